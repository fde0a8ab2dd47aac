"""A rollback loses nobody's work, believes no hostile version, and goes with whatever git is set to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.rolls import copied, make_odd, state
from support.versions import commit, sh

from dsetkit.errors import CheckError, StorageError, UsageError
from dsetkit.history.rollback.run import open_rollback
from dsetkit.storage.unfinished import ROLLBACK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd(tmp_path_factory.mktemp("odd") / "odd")


@pytest.fixture
def tiny(odd: Path, tmp_path: Path) -> Path:
    return copied(odd, tmp_path / "odd")


def roll(project: Path, rev: str, *, commit: bool = False) -> Any:
    with open_rollback(project, rev) as rolling:
        return rolling.run(commit=commit)


def exclude(project: Path, pattern: str) -> None:
    with (project / ".git" / "info" / "exclude").open("a") as file:
        file.write(f"{pattern}\n")


def write(path: Path, text: str = "mine\n") -> None:
    if path.parent.is_file():
        path.parent.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def hidden(tiny: Path) -> str:
    (tiny / ".dvcignore").write_text("*.tmp\n")
    commit(tiny, "ignore")
    write(tiny / "data" / "raw" / "one" / "notes.tmp")
    return "data/raw/one/notes.tmp"


def ignored_file(tiny: Path) -> str:
    roll(tiny, "A", commit=True)
    exclude(tiny, "code/d")
    write(tiny / "code" / "d")
    return "code/d"


def ignored_folder(tiny: Path) -> str:
    roll(tiny, "A", commit=True)
    exclude(tiny, "code/d/")
    write(tiny / "code" / "d" / "mine")
    return "code/d/mine"


def in_the_folder_of_an_output(tiny: Path) -> str:
    roll(tiny, "A", commit=True)
    exclude(tiny, "plots/mine")
    write(tiny / "plots" / "mine")
    return "plots/mine"


def beside_outputs(tiny: Path) -> str:
    exclude(tiny, "data/raw/mine")
    write(tiny / "data" / "raw" / "mine")
    return "data/raw/mine"


@pytest.mark.parametrize(
    "work",
    [hidden, ignored_file, ignored_folder, in_the_folder_of_an_output, beside_outputs],
)
def test_what_git_or_dvc_ignores_is_not_lost(tiny: Path, work: Callable[[Path], str]) -> None:
    path = work(tiny)
    rev = "A" if (tiny / "data" / "raw" / "one").exists() else "B"
    before = state(tiny)
    with pytest.raises(CheckError, match=path):
        roll(tiny, rev)
    assert state(tiny) == before
    assert not (tiny / ROLLBACK).exists()
    (tiny / path).unlink()
    roll(tiny, rev)


def test_what_is_already_as_it_is_to_be_is_not_in_the_way(tiny: Path) -> None:
    roll(tiny, "A", commit=True)
    exclude(tiny, "code/d")
    write(tiny / "code" / "d", "d\n")
    roll(tiny, "B")


def test_after_a_rollback_only_what_was_done_since_is_uncommitted_work(tiny: Path) -> None:
    roll(tiny, "A")
    (tiny / "code" / "c").write_text("mine\n")
    with pytest.raises(CheckError, match=r"uncommitted work: code/c\. "):
        roll(tiny, "B")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_git_is_not_believed_that_nothing_changed(tiny: Path, flag: str) -> None:
    sh(tiny, "git", "update-index", flag, "code/c")
    (tiny / "code" / "c").write_text("mine\n")
    with pytest.raises(CheckError, match="uncommitted work: code/c"):
        roll(tiny, "A")


def test_amid_a_merge(tiny: Path) -> None:
    sh(tiny, "git", "checkout", "-q", "-b", "side")
    write(tiny / "notes.md")
    commit(tiny, "notes")
    sh(tiny, "git", "checkout", "-q", "-")
    sh(tiny, "git", "merge", "-q", "--no-ff", "--no-commit", "side")
    with pytest.raises(CheckError, match=r"a merge is under way in git.*git merge --abort"):
        roll(tiny, "A", commit=True)
    sh(tiny, "git", "merge", "--abort")
    roll(tiny, "A", commit=True)


def test_in_a_worktree_and_on_no_branch(tiny: Path, tmp_path: Path) -> None:
    sh(tiny, "git", "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "B")
    tree, before = tmp_path / "tree", sh(tiny, "git", "rev-parse", "HEAD")
    (tree / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {tiny / '.dvc' / 'cache'}\n")
    sh(tree, "dvc", "checkout", "-q")
    done = roll(tree, "A", commit=True)
    assert done.commit == sh(tree, "git", "rev-parse", "HEAD")
    assert done.notes == ("HEAD is on no branch, and so is the commit: git switch --create NAME keeps it",)
    assert sh(tree, "git", "status", "--porcelain") == ""
    assert "up to date" in sh(tree, "dvc", "status")
    assert sh(tiny, "git", "rev-parse", "HEAD") == before
    assert sh(tiny, "git", "status", "--porcelain") == ""


def test_commits_are_signed_where_git_is_told_so(tiny: Path, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    sh(tmp_path, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(tmp_path / "none")), ("commit.gpgSign", "true")):
        sh(tiny, "git", "config", name, value)
    before = state(tiny)
    with pytest.raises(StorageError, match=r"commit\.gpgSign wants a signature.*nothing was changed"):
        roll(tiny, "A", commit=True)
    assert state(tiny) == before
    sh(tiny, "git", "config", "user.signingKey", str(tmp_path / "key"))
    roll(tiny, "A", commit=True)
    assert "BEGIN SSH SIGNATURE" in sh(tiny, "git", "cat-file", "commit", "HEAD")


def test_no_hook_runs(tiny: Path) -> None:
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-index-change"):
        hook = tiny / ".git" / "hooks" / name
        write(hook, f"#!/bin/sh\ntouch '{tiny}/ran-{name}'\nexit 1\n")
        hook.chmod(0o755)
    assert roll(tiny, "A", commit=True).commit
    assert not list(tiny.glob("ran-*"))


def test_an_index_that_somebody_holds_is_no_reason_to_fail(tiny: Path) -> None:
    lock = tiny / ".git" / "index.lock"
    lock.touch()
    done = roll(tiny, "A", commit=True)
    assert done.commit == sh(tiny, "git", "rev-parse", "HEAD")
    assert done.is_recorded
    assert "git's index is behind" in done.notes[0]
    assert "git reset" in done.notes[0]
    lock.unlink()
    sh(tiny, "git", "reset", "-q")
    assert sh(tiny, "git", "status", "--porcelain") == ""


def test_line_ends_are_as_git_checks_them_out(tiny: Path) -> None:
    sh(tiny, "git", "config", "core.autocrlf", "true")
    roll(tiny, "A", commit=True)
    assert (tiny / "dvc.yaml").read_bytes().endswith(b"\r\n")
    assert sh(tiny, "git", "status", "--porcelain") == ""
    assert sh(tiny, "git", "diff", "--stat", "A", "HEAD") == ""
    roll(tiny, "B", commit=True)
    assert sh(tiny, "git", "diff", "--stat", "B", "HEAD") == ""


def test_links_into_the_cache(tiny: Path) -> None:
    (tiny / ".dvc" / "config.local").write_text("[cache]\n    type = symlink\n")
    sh(tiny, "dvc", "checkout", "-q", "--relink")
    old = state(tiny)
    roll(tiny, "A")
    assert (tiny / "data" / "raw" / "a").is_symlink()
    assert (tiny / "data" / "raw" / "a").read_text() == "a\n"
    assert "up to date" in sh(tiny, "dvc", "status")
    roll(tiny, "B")
    assert state(tiny) == old


def test_a_submodule_is_refused(tiny: Path) -> None:
    head = sh(tiny, "git", "rev-parse", "HEAD")
    sh(tiny, "git", "update-index", "--add", "--cacheinfo", f"160000,{head},code/sub")
    sh(tiny, "git", "commit", "-qm", "sub")
    with pytest.raises(UsageError, match="code/sub is a git submodule"):
        roll(tiny, "A")


def test_where_head_has_no_lock(tiny: Path) -> None:
    sh(tiny, "git", "rm", "-q", "dvc.lock")
    sh(tiny, "git", "commit", "-qm", "nothing built")
    with pytest.raises(CheckError, match=r"in the way.*plots/p"):  # who knows what that is
        roll(tiny, "A")
    with pytest.raises(UsageError, match="one stage alone"), open_rollback(tiny, "A", "make"):
        pass
    for place in ("plots", "data"):
        shutil.rmtree(tiny / place)
    sh(tiny, "git", "commit", "-qam", "and nothing there")
    roll(tiny, "A", commit=True)
    assert "up to date" in sh(tiny, "dvc", "status")
    assert sh(tiny, "git", "status", "--porcelain") == ""


def test_a_damaged_lock(tiny: Path) -> None:
    good = (tiny / "dvc.lock").read_bytes()
    (tiny / "dvc.lock").write_text("<<<<<<< HEAD\n")
    sh(tiny, "git", "commit", "-qam", "a merge gone wrong")
    with pytest.raises(StorageError, match=r"dvc\.lock of HEAD cannot be read"):
        roll(tiny, "A")
    (tiny / "dvc.lock").write_bytes(good)
    sh(tiny, "git", "commit", "-qam", "mended")
    with pytest.raises(StorageError, match=r"dvc\.lock of HEAD~1 cannot be read"):
        roll(tiny, "HEAD~1")
    roll(tiny, "A")


def test_a_version_that_lies_about_objects(tiny: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = tiny / "dvc.lock"
    text = lock.read_text()
    lines = text.splitlines()
    place = lines.index("    - path: data/raw/one") + 2
    assert lines[place].strip().startswith("md5: ")
    for lie in (f"..{victim}", "../../../../../victim", "7", "0" * 31 + "G"):
        lock.write_text("\n".join([*lines[:place], f"      md5: {lie}", *lines[place + 1 :]]))
        sh(tiny, "git", "commit", "-qam", "lie")
        lock.write_text(text)
        sh(tiny, "git", "commit", "-qam", "mend")
        with pytest.raises(StorageError, match="has no MD5 for"):
            roll(tiny, "HEAD~1")
    assert victim.read_text() == "precious"


def test_from_inside_what_goes(tiny: Path) -> None:
    assert json.loads(sh(tiny / "data" / "raw" / "one", "dsetkit", "rollback", "A", "--json"))["done"]
    assert os.path.exists(tiny / "data" / "raw" / "a")
