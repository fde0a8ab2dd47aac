"""What a rollback asks of git: the files of a version as git would check them out, and a commit without the index."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dsetkit.errors import NotFoundError, StorageError, UsageError

GONE = "0" * 40
_LINK = "120000"
_SUBMODULE = "160000"


class Blob(NamedTuple):
    """A file in git."""

    mode: str
    """``100644``, ``100755``, or ``120000`` for a symbolic link."""
    sha: str

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == _LINK


def run_git(
    root: Path, *arguments: str, data: bytes = b"", environment: Mapping[str, str] | None = None, hint: str = ""
) -> bytes:
    """What a git command says, byte for byte; paths are taken as they are, not as patterns, and no hook runs.

    Raises ``NotFoundError`` where git is not installed, ``StorageError`` where the command fails.
    """
    variables = {**os.environ, "GIT_LITERAL_PATHSPECS": "1", **(environment or {})}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "-c", f"core.hooksPath={os.devnull}", *arguments],
            capture_output=True,
            input=data,
            env=variables,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotFoundError("git is not installed", name="git", hint="Install git.") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise StorageError(f"git {arguments[0]} failed: {said}", url=str(root), hint=hint or "Mend it and try again.")
    return done.stdout


def tree(root: Path, treeish: str, places: Sequence[str]) -> dict[str, Blob]:
    """Path in the project → file, of what a commit or tree has at and below some places.

    Raises ``UsageError`` for a submodule: git itself only knows its name there.
    """
    found: dict[str, Blob] = {}
    if places:
        for line in _split(run_git(root, "ls-tree", "-r", "-z", treeish, "--", *places)):
            about, _, path = line.partition("\t")
            mode, _, sha = about.split()
            if mode == _SUBMODULE:
                raise UsageError(
                    f"{path} is a git submodule, and a rollback does not go into one",
                    hint="Use git checkout, git submodule update and dvc checkout here.",
                )
            found[path] = Blob(mode, sha)
    return found


def contents(root: Path, blob: Blob, path: str) -> bytes:
    """The bytes of a file as git would check it out at a path of the project; of a link, where it points."""
    if blob.is_link:
        return run_git(root, "cat-file", "blob", blob.sha)
    top, inside = _top(root)
    return run_git(top, "cat-file", "--filters", f"--path={inside}{path}", blob.sha)


def hashed(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Path → what git would call the file that stands there now."""
    plain = [path for path in paths if not os.path.islink(root / path)]
    if any("\n" in path for path in plain):
        raise StorageError("a file name has a line break", url=str(root), hint="Rename the file.")
    found = {path: _link_sha(root, path) for path in paths if os.path.islink(root / path)}
    if plain:
        top, inside = _top(root)
        data = "".join(f"{inside}{path}\n" for path in plain).encode("utf-8", "surrogateescape")
        found.update(zip(plain, run_git(top, "hash-object", "--stdin-paths", data=data).decode().split(), strict=True))
    return found


def keep_blob(root: Path, data: bytes, path: str) -> str:
    """Put bytes into git as the file at a path of the project; gives its name."""
    top, inside = _top(root)
    return run_git(top, "hash-object", "-w", "--stdin", f"--path={inside}{path}", data=data).decode().strip()


def known_files(root: Path, places: Sequence[str]) -> set[str]:
    """Files at and below some places of the project that git has in its index, or sees and does not ignore."""
    if not places:
        return set()
    command = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *places)
    return set(_split(run_git(root, *command)))


def staged(root: Path, places: Sequence[str]) -> list[str]:
    """Paths in the project whose version in the index is not that of HEAD."""
    if not places:
        return []
    return _split(run_git(root, "diff", "--cached", "--name-only", "--relative", "-z", "HEAD", "--", *places))


def tree_with(root: Path, changes: Mapping[str, Blob | None], index: Path) -> str:
    """A tree like HEAD's but for some files of the project (None: not there); ``index`` is a path for a scratch file.

    The repository's own index is left alone.
    """
    environment = {"GIT_INDEX_FILE": str(index)}
    try:
        run_git(root, "read-tree", "HEAD", environment=environment)
        _update_index(root, changes, environment)
        return run_git(root, "write-tree", environment=environment).decode().strip()
    finally:
        index.unlink(missing_ok=True)
        index.with_name(f"{index.name}.lock").unlink(missing_ok=True)


def commit_tree(root: Path, tree_sha: str, parent: str, message: str) -> str:
    """A commit that no branch has yet; signed where git is configured to sign commits."""
    hint = 'Tell git who you are: git config user.name "NAME", git config user.email ADDRESS; nothing was changed.'
    command = ["commit-tree", tree_sha, "-p", parent]
    if run_git(root, "config", "--type=bool", "--default=false", "--get", "commit.gpgSign").strip() == b"true":
        command.append("-S")
        hint = (
            "commit.gpgSign wants a signature: mend what git says, or roll back without --commit; nothing was changed."
        )
    return run_git(root, *command, data=message.encode(), hint=hint).decode().strip()


def amend_commit(root: Path, head: str, parent: str, paths: Sequence[str], message: str) -> str:
    """HEAD, which is ``head`` and what the index has, made anew on ``parent`` with what stands at these paths."""
    run_git(root, "add", "--all", "--", *(path for path in paths if (root / path).exists()))
    made = commit_tree(root, run_git(root, "write-tree").decode().strip(), parent, f"{message}\n")
    run_git(root, "update-ref", "-m", f"dsetkit: {message}", "HEAD", made, head)
    return made


def under_way(root: Path) -> str | None:
    """What git has begun and not ended: a merge, a rebase, a cherry-pick or a revert."""
    names = {
        "MERGE_HEAD": "merge",
        "rebase-merge": "rebase",
        "rebase-apply": "rebase",
        "CHERRY_PICK_HEAD": "cherry-pick",
        "REVERT_HEAD": "revert",
    }
    command = [part for name in names for part in ("--git-path", name)]
    places = os.fsdecode(run_git(root, "rev-parse", *command)).splitlines()
    return next((what for what, place in zip(names.values(), places, strict=True) if (root / place).exists()), None)


def is_detached(root: Path) -> bool:
    """Whether HEAD is on no branch, so that a new commit there is on none either."""
    return run_git(root, "rev-parse", "--symbolic-full-name", "HEAD").strip() == b"HEAD"


def move_head(root: Path, new: str, old: str, message: str) -> bool:
    """Let the current branch name a commit, if it still names ``old``; False where it names another by now."""
    now = run_git(root, "rev-parse", "HEAD").decode().strip()
    if now != new:
        if now != old:
            return False
        run_git(root, "update-ref", "-m", message, "HEAD", new, old)
    return True


def refresh_index(root: Path, changes: Mapping[str, Blob | None]) -> None:
    """Let the repository's index have some files as they were committed."""
    _update_index(root, changes, {})


def _update_index(root: Path, changes: Mapping[str, Blob | None], environment: Mapping[str, str]) -> None:
    top, inside = _top(root)
    # Removals first: a file may come where a folder was.
    lines = [f"0 {GONE}\t{inside}{path}\0" for path, blob in changes.items() if blob is None]
    lines += [f"{blob.mode} {blob.sha}\t{inside}{path}\0" for path, blob in changes.items() if blob is not None]
    data = "".join(lines).encode("utf-8", "surrogateescape")
    run_git(top, "update-index", "-z", "--index-info", data=data, environment=environment)


def _top(root: Path) -> tuple[Path, str]:
    """The top of the git repository, and the project's path from there: empty, or ending in ``/``.

    Some commands take paths from where they run, some from the top; at the top both are one.
    """
    up, inside = (
        os.fsdecode(line) for line in run_git(root, "rev-parse", "--show-cdup", "--show-prefix").split(b"\n")[:2]
    )
    return root / up, inside


def _link_sha(root: Path, path: str) -> str:
    target = os.fsencode(os.readlink(root / path))
    return run_git(root, "hash-object", "--stdin", data=target).decode().strip()


def _split(data: bytes) -> list[str]:
    return [os.fsdecode(part) for part in data.split(b"\0") if part]


def shown(paths: Iterable[str], most: int = 5) -> str:
    """Some names in one line."""
    names = sorted(paths)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
