"""The git and DVC repository a project lives in."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.storage.atomic import write_atomic

IGNORED = (".gitignore", "__pycache__/", "*.pyc", "/schemas/json/")
"""What DVC does not take for part of a dependency; JSON Schemas are made from the code and decide nothing."""


def create_repository(root: Path) -> list[str]:
    """Make ``root`` a git and DVC repository where it is not one yet; gives what was done, a line a thing.

    ``cache.type`` is ``hardlink,copy``: with ``reflink`` first, DVC copies every shard where the file system has no
    reflinks and hashes it again at each run. Raises ``NotFoundError`` where git is not installed, ``StorageError``
    where DVC cannot work there: git of a repository around it ignores the folder.
    """
    done: list[str] = []
    inside = git(root, "rev-parse", "--show-toplevel")
    if inside is None:
        git(root, "init", "--quiet", required=True)
        done.append("git repository")
    if not (root / ".dvc").is_dir():
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        top = git(root, "rev-parse", "--show-toplevel") or str(root)
        try:
            with _quiet_dvc():
                repo = Repo.init(str(root), subdir=Path(top).resolve() != root.resolve())
        except DvcException as problem:
            raise StorageError(
                f"{root}: DVC cannot start here: {problem}".rstrip(),
                url=str(root),
                hint=f"if the repository around it ({top}) ignores this folder, run git init in it first",
            ) from problem
        with repo, repo.config.edit() as config:
            config.setdefault("cache", {})["type"] = ["hardlink", "copy"]
        done.append("DVC repository")
    ignore = root / ".dvcignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    wanted = [line for line in IGNORED if line not in lines]
    if wanted:
        write_atomic(ignore, "".join(f"{line}\n" for line in [*lines, *wanted]).encode())
    return done


def forget_stage(root: Path, stage: str, output: str) -> None:
    """Take a stage out of ``dvc.lock``, and its output out of the ``.gitignore`` DVC keeps beside it."""
    lock = root / "dvc.lock"
    if lock.is_file():
        yaml = YAML(typ="rt")
        yaml.width = 4096
        document = yaml.load(lock.read_text(encoding="utf-8")) or {}
        if (document.get("stages") or {}).pop(stage, None) is not None:
            buffer = StringIO()
            yaml.dump(document, buffer)
            write_atomic(lock, buffer.getvalue().encode())
    ignore = (root / output).parent / ".gitignore"
    if ignore.is_file():
        name = f"/{Path(output).name}"
        lines = ignore.read_text(encoding="utf-8").splitlines()
        if name in lines:
            write_atomic(ignore, "".join(f"{line}\n" for line in lines if line != name).encode())


@contextmanager
def _quiet_dvc() -> Iterator[None]:
    """Without DVC's greeting: what was done is for the caller to say."""
    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def git(root: Path, *arguments: str, required: bool = False, text: str | None = None) -> str | None:
    """What a git command in a folder says, without white space around it; None where it fails.

    ``text`` is what it reads. Raises ``NotFoundError`` where git is not installed, and ``StorageError`` where the
    command fails and is ``required``.
    """
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", input=text or "", check=False
        )
    except FileNotFoundError as error:
        raise NotFoundError("git is not installed", name="git", hint="Install git.") from error
    if done.returncode != 0:
        if required:
            raise StorageError(
                f"git {arguments[0]} failed: {done.stderr.strip()}", url=str(root), hint="Mend it and try again."
            )
        return None
    return done.stdout.strip()
