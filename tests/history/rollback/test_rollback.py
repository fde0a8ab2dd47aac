"""Back to an earlier version and forward again; refused where work or data would be lost."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rolls import copied, fingerprints, state
from support.versions import sh

import dsetkit
from dsetkit.errors import CheckError, NotFoundError, SnapshotError, StorageError, UsageError
from dsetkit.history.revisions import snapshots_at
from dsetkit.history.rollback import fetch as roll_fetch
from dsetkit.history.rollback.run import finish_interrupted, open_rollback
from dsetkit.storage.unfinished import ROLLBACK

pytestmark = pytest.mark.slow

UP_TO_DATE = "Data and pipelines are up to date."


def roll(project: Path, rev: str, stage: str | None = None, *, commit: bool = False) -> Any:
    with open_rollback(project, rev, stage) as rolling:
        return rolling.run(commit=commit)


def refused(project: Path, *command: str) -> str:
    done = subprocess.run(["dsetkit", *command], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def cached(project: Path, rev: str, place: str, name: str = "") -> Path:
    """The object of a folder, or of a file in it, in DVC's cache."""
    oid = snapshots_at(project, rev)[place]
    cache = project / ".dvc" / "cache" / "files" / "md5"
    path = cache / oid[:2] / oid[2:]
    if name:
        entry = next(item for item in json.loads(path.read_text()) if item["relpath"].startswith(name))
        path = cache / entry["md5"][:2] / entry["md5"][2:]
    return path


def test_there_and_back_is_the_same(project: Path, built_demo: Path) -> None:
    third, marks = state(project), fingerprints(project)
    assert "raw/other" in marks
    first = {path: digest for path, digest in state(built_demo).items() if not path.startswith("data/sources/")}
    text = sh(project, "dsetkit", "rollback", "v1")
    assert "rolling back to v1" in text
    assert "cleaned: " in text
    assert "raw/other: 3 samples, 0 annotations" in text
    assert "→ none" in text
    assert "dvc repro has nothing to do" in text
    assert {path: digest for path, digest in state(project).items() if not path.startswith("data/sources/")} == first
    assert fingerprints(project) == fingerprints(built_demo)
    assert not (project / "data" / "raw" / "other").exists()
    assert (project / "schemas" / "keypoints.py").exists()
    assert not (project / "schemas" / "extra.py").exists()
    for _ in range(2):
        assert UP_TO_DATE in sh(project, "dvc", "repro")
    sh(project, "dsetkit", "verify")
    then = dsetkit.open(project / "data" / "cleaned", rev="v1")
    assert then.fingerprint == dsetkit.open(project / "data" / "cleaned").fingerprint
    text = sh(project, "dsetkit", "rollback", "v3")  # what stands is uncommitted, but a rollback left it so
    assert "not committed" not in text
    assert state(project) == third
    assert fingerprints(project) == marks
    for _ in range(2):
        assert UP_TO_DATE in sh(project, "dvc", "repro")
    assert sh(project, "git", "status", "--porcelain") == ""
    assert "is at v3" in sh(project, "dsetkit", "rollback", "v3")


def test_a_dry_run_changes_nothing(project: Path) -> None:
    def everything() -> dict[str, str]:
        kept = {f"git/{path}": mark for path, mark in state(project / ".git").items() if path != "index"}
        return {**state(project), **kept, **{f"cache/{p}": m for p, m in state(project / ".dvc" / "cache").items()}}

    before = everything()
    text = sh(project, "dsetkit", "rollback", "v1", "--dry-run")
    assert text.startswith("would roll back to v1")
    assert "rolled back" not in text
    found = json.loads(sh(project, "dsetkit", "rollback", "v1", "--dry-run", "--json"))
    assert found["dry_run"]
    assert not found["done"]
    assert everything() == before
    assert not (project / ROLLBACK).exists()


def test_what_it_says_is_what_it_does(project: Path) -> None:
    marks = fingerprints(project)
    found = json.loads(sh(project, "dsetkit", "rollback", "v1", "--json"))
    assert found["rev"] == sh(project, "git", "rev-parse", "v1")
    by_name = {item["stage"]: item for item in found["snapshots"]}
    assert {name: item["change"] for name, item in by_name.items()} == {
        "augmented": "replaced",
        "cleaned": "replaced",
        "raw/demo": "replaced",
        "raw/other": "removed",
    }
    now = fingerprints(project)
    for name, item in by_name.items():
        assert item["old"]["fingerprint"] == marks[name]
        assert (item["new"] or {}).get("fingerprint") == now.get(name)
    assert by_name["raw/demo"]["differs"] == {"annotations": {"moved": 1}}
    assert found["files"]["schemas/extra.py"] == "removed"
    assert found["files"]["schemas/keypoints.py"] == "added"
    assert found["files"]["dvc.lock"] == found["files"]["params.yaml"] == "changed"
    assert found["outputs"] == ["reports/report.html"]
    assert (found["done"], found["is_committed"], found["new_commit"], found["outdated"]) == (True, False, None, [])


def test_a_commit_records_it(project: Path) -> None:
    (project / "notes.md").write_text("Not of the dataset.\n")
    sh(project, "git", "add", "notes.md")
    before = sh(project, "git", "rev-parse", "HEAD")
    text = sh(project, "dsetkit", "rollback", "v1", "--commit")
    assert "committed as" in text
    assert sh(project, "git", "rev-parse", "HEAD^") == before
    assert sh(project, "git", "status", "--porcelain") == "A  notes.md"  # neither committed nor lost
    assert sh(project, "git", "log", "-1", "--format=%s").startswith("Roll back to v1 (")
    assert sh(project, "git", "diff", "--stat", "v1", "HEAD", "--", "params.yaml", "schemas", "dvc.lock") == ""
    assert "dsetkit: Roll back to v1" in sh(project, "git", "reflog", "-1")
    assert UP_TO_DATE in sh(project, "dvc", "repro")
    log = json.loads(sh(project, "dsetkit", "log", "--json"))
    assert log[0]["tags"] == ["v1"]
    roll(project, "v3")
    assert roll(project, "v3", commit=True).commit == sh(project, "git", "rev-parse", "HEAD")  # afterwards will do
    assert UP_TO_DATE in sh(project, "dvc", "repro")


def test_in_a_repository_around_it(project: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "sets").mkdir(parents=True)
    shutil.copytree(project, outer / "sets" / "demo", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    inner = outer / "sets" / "demo"
    sh(outer, "git", "init", "-q")
    (inner / ".dvc" / "config").write_text('[core]\n    no_scm = false\n[cache]\n    type = "hardlink,copy"\n')
    sh(outer, "git", "add", "-A")
    sh(outer, "git", "commit", "-qm", "one")
    old = state(inner)
    params = inner / "params.yaml"
    params.write_text(params.read_text().replace("max_invalid: 0.03", "max_invalid: 0.04"))
    sh(inner, "dvc", "repro", "-q")
    sh(outer, "git", "commit", "-qam", "two")
    assert roll(inner, "HEAD~1", commit=True).commit
    assert state(inner) == old
    assert sh(outer, "git", "status", "--porcelain") == ""
    assert sh(outer, "git", "diff", "HEAD~2", "HEAD") == ""


def test_access_is_never_rolled_back(project: Path) -> None:
    (project / "access").mkdir()
    (project / "access" / "policy.json").write_text('{"revoked": []}\n')
    sh(project, "git", "add", "access")
    sh(project, "git", "commit", "-qm", "policy")
    sh(project, "git", "tag", "open")
    (project / "access" / "policy.json").write_text('{"revoked": ["bob"]}\n')
    sh(project, "git", "commit", "-qam", "revoke")
    for rev in ("v1", "open"):
        roll(project, rev, commit=True)
        assert "bob" in (project / "access" / "policy.json").read_text()
    (project / "access" / "policy.json").write_text('{"revoked": ["bob", "eve"]}\n')  # uncommitted, and no matter
    roll(project, "v3")
    assert "eve" in (project / "access" / "policy.json").read_text()


def edit(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text() + "# a thought\n")


def forget(project: Path) -> None:
    (project / "schemas" / "detection.py").unlink()


def invent(project: Path) -> None:
    (project / "corrections").mkdir(exist_ok=True)
    (project / "corrections" / "mine.jsonl").write_text("{}\n")


def stage_it(project: Path) -> None:
    edit(project)
    sh(project, "git", "add", "params.yaml")
    sh(project, "git", "show", "HEAD:params.yaml")
    text = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=project, capture_output=True, check=True).stdout
    (project / "params.yaml").write_bytes(text)


def rebuild(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("max_invalid: 0.03", "max_invalid: 0.04"))
    sh(project, "dvc", "repro", "-q", "clean")


@pytest.mark.parametrize(
    ("work", "named"),
    [
        (edit, "params.yaml"),
        (forget, "schemas/detection.py"),
        (invent, "corrections/mine.jsonl"),
        (stage_it, "params.yaml"),
        (rebuild, "dvc.lock"),
    ],
)
def test_uncommitted_work_is_refused(project: Path, work: Any, named: str) -> None:
    work(project)
    before = state(project)
    said = refused(project, "rollback", "v1")
    assert named in said
    assert "git commit" in said
    assert state(project) == before
    assert not (project / ROLLBACK).exists()


def test_other_work_is_no_matter(project: Path) -> None:
    (project / "notes.md").write_text("A thought.\n")
    (project / "schemas" / "__pycache__").mkdir(exist_ok=True)
    (project / "schemas" / "__pycache__" / "detection.cpython-311.pyc").write_bytes(b"made by Python")
    roll(project, "v1")
    assert (project / "notes.md").read_text() == "A thought.\n"
    assert UP_TO_DATE in sh(project, "dvc", "repro")


def test_a_changed_snapshot_is_refused(project: Path) -> None:
    place = project / "data" / "cleaned"
    (place / "stray.txt").write_text("here by mistake")
    with pytest.raises(CheckError, match=r"not what dvc\.lock says: data/cleaned"):
        roll(project, "v1")
    (place / "stray.txt").unlink()
    shutil.rmtree(place)  # nothing is lost with what is not there
    roll(project, "v1")
    assert UP_TO_DATE in sh(project, "dvc", "repro")


def test_what_could_not_be_brought_back_stays(project: Path) -> None:
    path = cached(project, "v3", "data/cleaned", "samples/")
    path.unlink()
    with pytest.raises(CheckError, match=r"cache lacks what stands there.*data/cleaned"):
        roll(project, "v1")
    sh(project, "dvc", "commit", "-f", "-q")
    roll(project, "v1")
    roll(project, "v3")


def test_what_people_wrote_into_an_ignore_file_stays(project: Path) -> None:
    path = project / "data" / "raw" / ".gitignore"
    path.write_text("# mine\n*.tmp\n" + path.read_text())
    sh(project, "git", "commit", "-qam", "ignore more")
    roll(project, "v1")
    assert path.read_text() == "# mine\n*.tmp\n/demo\n"
    roll(project, "v3")
    assert sorted(path.read_text().splitlines()) == ["# mine", "*.tmp", "/demo", "/other"]


def test_what_nobody_keeps_is_left_alone(project: Path) -> None:
    (project / "reports" / ".gitignore").write_text("/report.html\n/plots\n")
    sh(project, "git", "rm", "-rq", "--cached", "reports/plots")
    sh(project, "git", "commit", "-qam", "plots are for here")
    edit(project)
    sh(project, "git", "commit", "-qam", "a thought")
    plots = {path: mark for path, mark in state(project).items() if path.startswith("reports/plots/")}
    with open_rollback(project, "HEAD~1") as rolling:
        assert rolling.plan.left == ("reports/plots",)
        assert list(rolling.files()) == ["params.yaml"]
        rolling.run()
    assert {path: mark for path, mark in state(project).items() if path.startswith("reports/plots/")} == plots


@pytest.fixture
def remote(project: Path, tmp_path: Path) -> Path:
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    return tmp_path / "remote"


def test_what_is_missing_is_fetched(project: Path, remote: Path, built_demo: Path) -> None:
    lost = {cached(project, "v1", "data/cleaned"), cached(project, "v1", "data/cleaned", "samples/")}
    lost.add(cached(project, "v1", "data/augmented", "snapshot.json"))
    for path in lost:
        path.unlink()
    assert "to fetch" in sh(project, "dsetkit", "rollback", "v1", "--dry-run")
    assert not any(path.exists() for path in lost)
    assert roll(project, "v1").fetched == 3
    assert fingerprints(project) == fingerprints(built_demo)
    assert UP_TO_DATE in sh(project, "dvc", "repro")


def test_a_damaged_object_is_fetched_again(project: Path, remote: Path, built_demo: Path) -> None:
    path = cached(project, "v1", "data/augmented", "samples/")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    assert roll(project, "v1").fetched == 1
    assert fingerprints(project) == fingerprints(built_demo)
    sh(project, "dsetkit", "verify")


def test_a_missing_remote_object_stops_it_before_it_begins(project: Path, remote: Path) -> None:
    path = cached(project, "v1", "data/cleaned", "samples/")
    there = remote / path.relative_to(project / ".dvc" / "cache")
    path.unlink()
    there.chmod(0o644)
    there.unlink()
    before = state(project)
    said = refused(project, "rollback", "v1")
    assert "neither in DVC's cache nor in a remote: samples/" in said
    assert "of data/cleaned of v1" in said
    assert "nothing was changed" in said
    assert state(project) == before
    assert not (project / ROLLBACK).exists()
    sh(project, "dvc", "remote", "remove", "--local", "store")
    assert "the project has no remote" in refused(project, "rollback", "v1")
    assert UP_TO_DATE in sh(project, "dvc", "repro")


def test_a_snapshot_that_lies_is_not_brought_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(project)
    monkeypatch.setattr(roll_fetch, "fingerprint", lambda *_: "0" * 64)
    with pytest.raises(SnapshotError, match="does not mean what it says"):
        roll(project, "v1")
    assert state(project) == before
    assert not (project / ROLLBACK).exists()


def test_dvc_at_work_is_refused(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("max_invalid: 0.03", "max_invalid: 0.04"))
    sh(project, "git", "commit", "-qam", "more")
    process = subprocess.Popen(["dvc", "repro"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = ""
    try:
        rwlock = project / ".dvc" / "tmp" / "rwlock"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and "dvc" not in (rwlock.read_text() if rwlock.exists() else ""):
            time.sleep(0.01)
        said = refused(project, "rollback", "v1")
    finally:
        text, _ = process.communicate(timeout=180)
    assert process.returncode == 0, text.decode()
    assert "a stage is running in this project" in said or "DVC is at work" in said
    assert "Wait until it has ended" in said
    assert UP_TO_DATE in sh(project, "dvc", "repro")  # the refusal did it no harm
    sh(project, "git", "commit", "-qam", "built")
    roll(project, "v1")


def test_locks(project: Path) -> None:
    with (project / ".dvc" / "tmp" / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="DVC is at work"):
            roll(project, "v1")
    with open_rollback(project, "v1"), pytest.raises(UsageError, match="another rollback"):
        roll(project, "v1")
    (project / ".dvc" / "tmp" / "dsetkit" / "build").mkdir(exist_ok=True)
    with (project / ".dvc" / "tmp" / "dsetkit" / "build" / "data-cleaned.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="a stage is building in this project: data-cleaned"):
            roll(project, "v1")
    rwlock = project / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        roll(project, "v1")
    dead = subprocess.Popen(["true"])
    dead.wait()
    entry = {"pid": dead.pid, "cmd": "dvc repro"}
    rwlock.write_text(json.dumps({"write": {"x": entry}, "read": {"y": [entry]}}))
    roll(project, "v1")
    rwlock.write_text(json.dumps({"write": {}, "read": {"y": [{"pid": os.getppid(), "cmd": "dvc repro"}]}}))
    with pytest.raises(UsageError, match=r"a stage is running in this project: dvc repro \(process"):
        roll(project, "v3")


@pytest.fixture
def small_disk(life: Path, tmp_path: Path) -> Iterator[Path]:
    """The project on a disk of its own with little room; skipped where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no disk may be mounted here")
    try:
        project = copied(life, place / "demo")
        (project / ".dvc" / "config.local").write_text("[cache]\n    type = copy\n")
        yield project
    finally:
        subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.parametrize("room", [0, 4096, 65536, 1_500_000])
def test_a_full_disk(small_disk: Path, room: int) -> None:
    before = state(small_disk)
    filler = small_disk.parent / "filler"
    left = os.statvfs(small_disk)
    with filler.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize - room)
    said = refused(small_disk, "rollback", "v1")
    assert "Traceback" not in said
    assert "No space left" in said
    filler.unlink()
    sh(small_disk, "dsetkit", "verify")
    assert state(small_disk) == before
    assert not (small_disk / ROLLBACK).exists()
    roll(small_disk, "v1")
    assert UP_TO_DATE in sh(small_disk, "dvc", "repro")


@pytest.mark.parametrize("limit", [40_000, 400_000])  # where DVC opens its databases; where the report is copied
def test_no_file_may_grow(project: Path, limit: int) -> None:
    (project / ".dvc" / "config.local").write_text("[cache]\n    type = copy\n")
    before = state(project)
    done = subprocess.run(
        ["dsetkit", "rollback", "v1"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2
    assert "nothing was changed" in done.stderr
    assert "Traceback" not in done.stderr
    sh(project, "dsetkit", "verify")
    assert state(project) == before


def test_a_rename_that_fails_puts_all_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(project)
    head = sh(project, "git", "rev-parse", "HEAD")
    replace = os.replace

    def failing(source: Any, target: Any) -> None:
        if str(target).endswith("params.yaml") and str(source).endswith("moving") and not failed:
            failed.append(target)
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    failed: list[Any] = []
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StorageError, match="everything was put back"):
        roll(project, "v1", commit=True)
    assert failed
    assert state(project) == before
    assert sh(project, "git", "rev-parse", "HEAD") == head
    assert sh(project, "git", "status", "--porcelain") == ""
    assert not (project / ROLLBACK).exists()
    roll(project, "v1")


def test_where_nothing_can_be_put_back_the_next_command_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        replace = os.replace

        def failing(source: Any, target: Any) -> None:
            if str(source).endswith("moving"):
                raise OSError(errno.EIO, "Input/output error", str(target))
            replace(source, target)

        patch.setattr(os, "replace", failing)
        with pytest.raises(StorageError, match="the next dsetkit command goes on from here"):
            roll(project, "v1")
    assert (project / ROLLBACK / "journal.json").exists()
    said = list(finish_interrupted([project / "data"]))
    first = sh(project, "git", "rev-parse", "v1")[:7]
    assert said == [f"finished the rollback to v1 ({first}), which had been interrupted"]
    assert list(finish_interrupted([project])) == []
    assert UP_TO_DATE in sh(project, "dvc", "repro")


def test_a_damaged_journal_is_said(project: Path) -> None:
    (project / ROLLBACK).mkdir(parents=True)
    (project / ROLLBACK / "journal.json").write_text("{")
    said = refused(project, "status")
    assert "the journal of an unfinished rollback cannot be read" in said
    assert "dvc checkout" in said
    shutil.rmtree(project / ROLLBACK)
    (project / ROLLBACK / "new").mkdir(parents=True)
    sh(project, "dsetkit", "status")
    assert not (project / ROLLBACK).exists()


def test_one_stage(project: Path) -> None:
    third, marks = state(project), fingerprints(project)
    sh(project, "dsetkit", "rollback", "v1")
    first = fingerprints(project)
    sh(project, "dsetkit", "rollback", "v3")
    text = sh(project, "dsetkit", "rollback", "v1", "--stage", "cleaned")
    assert "rolling cleaned back to v1" in text
    assert "dvc repro would now run augment, report, which are made from it" in text
    now = fingerprints(project)
    assert now == {**first, "augmented": marks["augmented"]}
    assert UP_TO_DATE in sh(project, "dvc", "repro", "clean")
    assert "max_invalid: 0.02" in (project / "params.yaml").read_text()
    assert "other" not in (project / "sources.lock.yaml").read_text()
    assert state(project)["reports/report.html"] == third["reports/report.html"]
    sh(project, "dsetkit", "rollback", "v3")
    assert state(project) == third
    roll(project, "v1", "cleaned", commit=True)
    assert sh(project, "git", "status", "--porcelain") == ""
    sh(project, "dvc", "repro")
    assert fingerprints(project) == first


def test_one_source(project: Path) -> None:
    marks = fingerprints(project)
    roll(project, "v1", "raw/demo")
    now = fingerprints(project)
    assert now["raw/demo"] != marks["raw/demo"]
    assert {name: mark for name, mark in now.items() if name != "raw/demo"} == {
        name: mark for name, mark in marks.items() if name != "raw/demo"
    }
    text = sh(project, "dvc", "repro", "ingest")  # the other source shares the contracts, so it may run
    assert "Stage 'ingest@demo' didn't change" in text
    assert fingerprints(project) == now
    assert "other" in (project / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("rev", "stage", "message"),
    [
        ("v33", None, "there is no revision 'v33'"),
        ("v1", "raw/other", r"v1 has no snapshot 'raw/other'.*It has augmented, cleaned, raw/demo"),
        ("empty", None, "empty has no dvc.lock"),
    ],
)
def test_what_there_is_not(project: Path, rev: str, stage: str | None, message: str) -> None:
    empty = sh(project, "git", "commit-tree", "-m", "nothing", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    sh(project, "git", "tag", "empty", empty)
    with pytest.raises(NotFoundError, match=message):
        roll(project, rev, stage)


def test_git_must_know_who_commits(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{name}_NAME")
        monkeypatch.delenv(f"GIT_{name}_EMAIL")
    sh(project, "git", "config", "user.useConfigOnly", "true")
    before = state(project)
    with pytest.raises(StorageError, match=r"git config user\.name"):
        roll(project, "v1", commit=True)
    assert state(project) == before
    roll(project, "v1")


def test_before_the_first_commit(tmp_path: Path) -> None:
    sh(tmp_path, "dsetkit", "init", "new")
    assert "there is no revision 'HEAD'" in refused(tmp_path / "new", "rollback", "HEAD")
    assert "lies in no DVC project" in refused(tmp_path, "rollback", "HEAD")
