"""`verify --all`, and `--repair`: good copies in place of damaged ones, never the other way round."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.versions import sh

import dsetkit
from dsetkit.history.backup.create import create_backup
from dsetkit.history.backup.index import object_name
from dsetkit.history.objects import Objects
from dsetkit.history.repair import repair_versions
from dsetkit.history.revisions import snapshots_at
from dsetkit.history.verify import verify_versions
from dsetkit.storage.folder import open_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def stored(project: Path, tmp_path: Path) -> Path:
    """The project, its versions in a remote and in a backup."""
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    create_backup(project, str(tmp_path / "backup"))
    return project


def spoil(path: Path) -> None:
    """Flip a byte in a file of its own, whoever shares it by a link; size and time stay."""
    found = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.chmod(path, 0o444)


def spoil_shared(path: Path) -> None:
    """Flip a byte in place, in all files that are linked."""
    os.chmod(path, 0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def listing(project: Path, rev: str, stage: str) -> dict[str, str]:
    objects = Objects(project)
    try:
        found = json.loads(objects.read(snapshots_at(project, rev)[f"data/{stage}"], stage))
    finally:
        objects.close()
    return {item["relpath"]: item["md5"] for item in found}


def shard(project: Path, rev: str = "v1", stage: str = "cleaned") -> tuple[str, str]:
    return next((name, oid) for name, oid in listing(project, rev, stage).items() if name.startswith("shards/"))


def ran(project: Path, *arguments: str) -> tuple[int, Any]:
    command = ["dsetkit", "verify", *arguments, "--json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def of_data(issues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those about the cards: the fixture did not make them again."""
    return [issue for issue in issues if issue["code"] != "card-stale"]


def cached(project: Path, oid: str) -> Path:
    return project / ".dvc" / "cache" / object_name(oid)


def test_every_version_is_verified_each_object_once(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    look = dsetkit.history.verify.look_at  # type: ignore[attr-defined]

    def counted(objects: Objects, oid: str) -> Any:
        read.append(oid)
        return look(objects, oid)

    monkeypatch.setattr("dsetkit.history.verify.look_at", counted)
    objects = Objects(stored)
    done = verify_versions(stored, objects)
    objects.close()
    assert (done.issues, done.versions) == ([], 3)
    assert len(read) == len(set(read)) == done.objects
    assert done.snapshots < 9  # some are the same in several versions
    assert ran(stored, "--all") == (0, [])


def test_damage_in_any_version_is_named_and_mended_from_the_remote(stored: Path) -> None:
    name, oid = shard(stored)
    spoil(cached(stored, oid))
    code, issues = ran(stored, "--all")
    assert code == 1
    assert [issue["code"] for issue in issues] == ["object-damaged"]
    message = issues[0]["message"]
    assert all(word in message for word in (name, "data/cleaned", "v1", "the pictures of 'demo/"))
    code, done = ran(stored, "--all", "--repair")
    assert (code, done["issues"], len(done["repaired"])) == (0, [], 1)
    assert os.stat(cached(stored, oid)).st_mode & 0o777 == 0o444
    assert ran(stored, "--all") == (0, [])


def test_what_the_remote_lacks_comes_from_a_backup(stored: Path, tmp_path: Path) -> None:
    oid = snapshots_at(stored, "v1")["data/cleaned"]
    others = listing(stored, "v1", "cleaned")
    for lost in (oid, others["snapshot.json"], shard(stored)[1]):
        cached(stored, lost).unlink()
        (tmp_path / "remote" / object_name(lost)).unlink()
    code, issues = ran(stored, "--all")
    assert code == 1
    assert {issue["code"] for issue in issues} == {"object-missing"}
    code, done = ran(stored, "--all", "--repair")
    assert code == 1
    assert "repair-failed" in {issue["code"] for issue in done["issues"]}
    code, done = ran(stored, "--all", "--repair", "--from", str(tmp_path / "backup"))
    assert (code, done["issues"]) == (0, [])
    assert dsetkit.verify(dsetkit.open(stored / "data" / "cleaned", rev="v1")) == []


def test_one_revision(stored: Path) -> None:
    _, oid = shard(stored)
    spoil(cached(stored, oid))
    assert ran(stored, "data/cleaned", "--rev", "v1")[0] == 1
    code, done = ran(stored, "--rev", "v1", "--repair")
    assert (code, done["issues"], len(done["repaired"])) == (0, [], 1)


@pytest.mark.parametrize("how", ["flipped, cache too", "flipped, cache good", "missing", "no snapshot.json", "gone"])
def test_the_workspace(stored: Path, how: str) -> None:
    place = stored / "data" / "cleaned"
    before = dsetkit.open(place).fingerprint
    name, oid = shard(stored, "v3")
    target = place / name
    if how == "flipped, cache too":
        cached(stored, oid).unlink()
        os.link(target, cached(stored, oid))  # as DVC links them; the fixture's copy has undone that
        spoil_shared(target)
    elif how == "flipped, cache good":
        spoil(target)
    elif how == "missing":
        target.unlink()
        cached(stored, oid).unlink()
    elif how == "no snapshot.json":
        (place / "snapshot.json").unlink()
    else:
        shutil.rmtree(place)
    if how != "gone":
        untouched = next(path for path in place.rglob("*.parquet"))
        stamp = untouched.stat()
    _, done = ran(stored, "data/cleaned", "--repair")
    assert of_data(done["issues"]) == []
    assert done["repaired"]
    assert dsetkit.verify(dsetkit.open(place)) == []
    assert dsetkit.open(place).fingerprint == before
    if how != "gone":
        assert untouched.stat().st_ino == stamp.st_ino
    assert ran(stored, "--all") == (0, [])
    assert "data/cleaned" not in sh(stored, "dvc", "data", "status", "-q")


def test_a_missing_shard_is_named_with_its_samples(stored: Path) -> None:
    name, _ = shard(stored, "v3")
    (stored / "data" / "cleaned" / name).unlink()
    code, issues = ran(stored, "data/cleaned")
    assert code == 1
    assert [(issue["code"], issue["file"]) for issue in issues] == [("shard-damaged", name)]
    assert "the pictures of 'demo/" in issues[0]["message"]


def test_bad_never_replaces_anything(stored: Path, tmp_path: Path) -> None:
    _, oid = shard(stored)
    for place in (tmp_path / "remote", tmp_path / "backup"):
        spoil(place / object_name(oid))
    good = cached(stored, oid).stat()
    objects = Objects(stored)
    backup = open_folder(tmp_path / "backup")
    assert repair_versions(stored, objects, [oid], backup).mended == []
    assert cached(stored, oid).stat().st_ino == good.st_ino
    spoil(cached(stored, oid))
    bad = cached(stored, oid).read_bytes()
    done = repair_versions(stored, objects, [oid], backup)
    objects.close()
    assert [issue.code for issue in done.issues] == ["repair-failed"]
    assert cached(stored, oid).read_bytes() == bad
    assert not list((stored / ".dvc" / "cache").rglob(".*"))


def said(project: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(["dsetkit", "verify", *arguments], cwd=project, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_what_could_not_be_mended_is_said_with_why(project: Path, tmp_path: Path) -> None:
    name, oid = shard(project, "v3")
    cached(project, oid).unlink()
    (project / "data" / "cleaned" / name).unlink()
    (tmp_path / "empty").mkdir()
    code, text = said(project, "data/cleaned")
    assert code == 1
    assert "dsetkit verify --repair" in text
    code, text = said(project, "data/cleaned", "--repair", "--from", str(tmp_path / "empty"))
    assert code == 1
    assert "repaired 0 files" in text
    assert "looking again" not in text
    assert f"no good copy of data/cleaned/{name} was found" in text
    assert f"{tmp_path / 'empty'} has none" in text
    assert "[repair-failed]" in text
    assert said(project, "--repair", "--from", str(tmp_path / "nowhere"))[0] == 2


def test_a_snapshot_without_its_document_is_seen_without_being_named(stored: Path) -> None:
    (stored / "data" / "cleaned" / "snapshot.json").unlink()
    code, issues = ran(stored)
    assert code == 1
    assert [issue["code"] for issue in of_data(issues)] == ["snapshot-unreadable"]
    _, done = ran(stored, "--repair")
    assert of_data(done["issues"]) == []
    assert done["repaired"] == ["data/cleaned/snapshot.json"]


def test_a_place_that_a_revision_does_not_have(project: Path) -> None:
    code, text = said(project, "data/nosuch", "--rev", "v1")
    assert code == 2
    assert "v1 has no snapshot at data/nosuch. It has data/" in text
    code, text = said(project, "./data/../data/cleaned", "--rev", "v1")
    assert (code, "verified" in text) == (0, True)


def test_options_that_do_not_go_together(project: Path) -> None:
    for arguments in (["--from", "x"], ["--all", "--rev", "v1"], ["--all", "data/cleaned"]):
        assert ran(project, *arguments)[0] == 2
