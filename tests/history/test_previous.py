"""The version before, found in a project's history and DVC's cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.versions import commit, relabel, sh

import dsetkit
from dsetkit.history.previous import Previous, previous_output
from dsetkit.history.recorded import recorded_folders
from dsetkit.snapshots.read import open_snapshot
from dsetkit.storage.atomic import remove_tree

pytestmark = pytest.mark.slow


def find(project: Path) -> Previous | None:
    place = project / "data" / "cleaned"
    return previous_output(project, place, open_snapshot(place).fingerprint)


def test_the_commit_before_and_its_tags(project: Path) -> None:
    found = find(project)
    assert found is not None
    assert found.rev == sh(project, "git", "rev-parse", "--short", "HEAD~2")
    assert found.tags == ("v2", "v2-again")
    now = dsetkit.open(project / "data" / "cleaned")
    difference = dsetkit.diff(found.snapshot, now)
    assert [len(difference), len(difference.annotations.moved)] == [1, 1]
    assert len(list(found.snapshot)) == len(now)
    assert found.snapshot.image(0).size


def test_what_is_not_yet_committed_is_compared_with_head(project: Path) -> None:
    relabel(project, 1)
    found = find(project)
    assert found is not None
    assert (found.rev, found.tags) == (sh(project, "git", "rev-parse", "--short", "HEAD"), ("v3",))


def test_a_version_out_of_the_cache_is_passed_over(project: Path) -> None:
    second = find(project)
    assert second is not None
    part = second.snapshot.folder.local_path(second.snapshot.info.parts[0].name)
    assert part is not None
    whole = part.read_bytes()
    part.chmod(0o644)
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # damaged: its size is what it was
    found = find(project)
    assert found is not None
    assert found.tags == ("v1",)
    assert part.exists()  # damaged as it is, it is not for a report to delete
    shutil.rmtree(project / ".dvc" / "cache")
    assert find(project) is None


def test_pictures_need_not_be_in_the_cache(project: Path) -> None:
    found = find(project)
    assert found is not None
    for shard in found.snapshot.info.shards:
        path = found.snapshot.folder.local_path(shard.name)
        assert path is not None
        path.chmod(0o644)
        path.unlink()
    again = find(project)
    assert again is not None
    assert again.rev == found.rev
    now = dsetkit.open(project / "data" / "cleaned")
    shown = dsetkit.diff(again.snapshot, now)._repr_html_()
    assert shown.count("<img") == 1  # the new one; of the old one it says what is missing
    assert "is not in DVC" in shown


def test_going_back_finds_what_was_left(project: Path) -> None:
    sh(project, "git", "checkout", "-q", "v1", "--", ".")
    sh(project, "dvc", "checkout", "-q")
    found = find(project)
    assert found is not None
    assert found.tags == ("v3",)
    commit(project, "back to the first")
    found = find(project)
    assert found is not None
    assert found.tags == ("v3",)


def test_a_merge_is_followed_on_its_first_side(project: Path) -> None:
    sh(project, "git", "checkout", "-q", "-b", "side", "v1")
    (project / "other.md").write_text("Other.\n")
    commit(project, "side")
    sh(project, "git", "checkout", "-q", "-")
    sh(project, "git", "merge", "-q", "--no-edit", "side")
    found = find(project)
    assert found is not None
    assert found.tags == ("v2", "v2-again")


def test_a_clone_of_one_commit_has_none_before(project: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    sh(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{project}", str(shallow))
    shutil.copytree(project / ".dvc" / "cache", shallow / ".dvc" / "cache")
    sh(shallow, "dvc", "checkout", "-q", "data/cleaned")
    assert find(shallow) is None
    fingerprint = "0" * 64  # as after a build that is not committed yet
    found = previous_output(shallow, shallow / "data" / "cleaned", fingerprint)
    assert found is not None
    assert found.rev == sh(shallow, "git", "rev-parse", "--short", "HEAD")


def test_a_project_below_the_top_of_its_repository(project: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    sh(top, "git", "init", "-q")
    below = top / "größer" / "demo"
    shutil.copytree(project, below, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    config = below / ".dvc" / "config"
    assert config.is_file()
    commit(top, "first", "v1")
    sh(below, "dvc", "--version")
    relabel(below, 1)
    found = find(below)
    assert found is not None
    assert found.tags == ("v1",)


@pytest.mark.parametrize("lacking", [".git", ".dvc"])
def test_without_git_or_dvc(project: Path, lacking: str) -> None:
    shutil.rmtree(project / lacking)
    assert find(project) is None


def test_where_git_is_not_installed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project / "nowhere"))
    assert find(project) is None


def test_before_the_first_commit(built_demo: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(built_demo, tmp_path / "demo", symlinks=True))
    if not subprocess.run(
        ["git", "-C", str(project), "rev-parse", "HEAD"], capture_output=True, check=False
    ).returncode:
        pytest.skip("the demo has a commit")
    assert find(project) is None


def test_inside_a_stage_that_dvc_runs(project: Path) -> None:
    """DVC holds its lock then, and has removed the stage's output."""
    script = project / "look.py"
    script.write_text(
        "from pathlib import Path\n"
        "from dsetkit.history.previous import previous_output\n"
        "from dsetkit.snapshots.read import open_snapshot\n"
        "place = Path('data/cleaned').resolve()\n"
        "found = previous_output(Path.cwd(), place, open_snapshot(place).fingerprint)\n"
        "Path('found.txt').write_text(' '.join(found.tags))\n"
    )
    stages = project / "dvc.yaml"
    stage = f"  look:\n    cmd: {sys.executable} look.py\n    deps: [look.py, data/cleaned]\n    outs: [found.txt]\n"
    stages.write_text(stages.read_text().replace("stages:\n", f"stages:\n{stage}", 1))
    sh(project, "dvc", "repro", "-q", "--single-item", "look")
    assert (project / "found.txt").read_text() == "v2 v2-again"


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "stages: 7", "stages: {a: 7}", "stages: {a: {outs: [7, {path: data/cleaned}]}}", "a: [", "a: b: c"],
)
def test_a_lock_that_is_none_records_nothing(text: str) -> None:
    assert list(recorded_folders(text, "data/cleaned")) == []


def test_what_a_lock_records() -> None:
    md5 = hashlib.md5(b"x").hexdigest()
    outs = [("data/cleaned", f"{md5}.dir"), ("data/other", f"{md5}.dir"), ("data/cleaned", md5)]
    text = json.dumps({"stages": {"clean": {"outs": [{"path": path, "md5": name} for path, name in outs]}}})
    assert list(recorded_folders(text, "data/cleaned")) == [f"{md5}.dir"]


def test_nothing_is_written_into_the_cache(project: Path) -> None:
    cache = project / ".dvc" / "cache"

    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in cache.rglob("*") if p.is_file()}

    before = state()
    place = project / "data" / "cleaned"
    fingerprint = open_snapshot(place).fingerprint
    remove_tree(place)
    assert previous_output(project, place, fingerprint) is not None
    assert state() == before
