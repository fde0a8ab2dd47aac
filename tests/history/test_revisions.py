"""Versions seen from the workspace: opened, listed, compared, blamed, found."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from support.versions import sh

import dsetkit
from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.history.blame import blame
from dsetkit.history.compare import compare
from dsetkit.history.log import change_line, find
from dsetkit.history.log import versions as versions_of
from dsetkit.history.objects import ObjectFolder, Objects
from dsetkit.history.revisions import open_at, resolve
from dsetkit.snapshots.read import Snapshot, open_snapshot

pytestmark = pytest.mark.slow


@pytest.fixture
def pushed(project: Path, tmp_path: Path) -> Path:
    """The project with all its versions in a remote, and nothing in its cache or at ``data/cleaned``."""
    # --local: of a commit whose own configuration has no remote, DVC pushes nothing.
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project / "data" / "cleaned")
    return project


def test_an_earlier_version_is_opened_and_the_workspace_left_alone(project: Path) -> None:
    place = project / "data" / "cleaned"
    before = sh(project, "git", "status", "--porcelain")
    now, then = dsetkit.open(place), dsetkit.open(place, rev="v1")
    assert [len(dsetkit.diff(dsetkit.open(place, rev=rev), now)) for rev in ("v1", "v2", "v3")] == [2, 1, 0]
    assert dsetkit.open(place, rev="v2").fingerprint not in (now.fingerprint, then.fingerprint)
    assert then.image(0).size == now.image(0).size
    assert dsetkit.verify(then) == []
    assert pickle.loads(pickle.dumps(then)).fingerprint == then.fingerprint
    assert sh(project, "git", "status", "--porcelain") == before


def test_from_the_remote_only_what_is_asked_for_is_fetched(pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []
    folder_read, range_read = ObjectFolder.read, ObjectFolder.read_range

    def whole(folder: ObjectFolder, name: str) -> bytes:
        data = folder_read(folder, name)
        read.append((name, len(data)))
        return data

    def ranged(folder: ObjectFolder, name: str, start: int, length: int) -> bytes:
        read.append((name, length))
        return range_read(folder, name, start, length)

    monkeypatch.setattr(ObjectFolder, "read", whole)
    monkeypatch.setattr(ObjectFolder, "read_range", ranged)
    then = dsetkit.open(pushed / "data" / "cleaned", rev="v1")
    assert [name for name, _ in read] == ["snapshot.json"]
    key = then.row(3)["key"]
    read.clear()
    sample = then[key]
    assert sample.key == key
    assert {name for name, _ in read} <= {part.name for part in then.info.parts}
    read.clear()
    picture = then.read_bytes(key)
    shards = [(name, size) for name, size in read if name.startswith("shards/")]
    assert shards == [(f"shards/{then.row(key)['shard']}", len(picture))]
    assert not (pushed / ".dvc" / "cache" / "files").exists()
    assert dsetkit.verify(then) == []


def test_what_is_nowhere_is_said_to_be(pushed: Path, tmp_path: Path) -> None:
    then = dsetkit.open(pushed / "data" / "cleaned", rev="v1")
    shutil.rmtree(tmp_path / "remote")
    with pytest.raises(NotFoundError, match=r"neither in DVC's cache nor in the remote .*remote") as refused:
        then.read_bytes(then.row(0)["key"])
    assert "dvc push" in str(refused.value.hint)
    sh(pushed, "dvc", "remote", "remove", "--local", "store")
    with pytest.raises(NotFoundError, match=r"the project has no remote"):
        dsetkit.open(pushed / "data" / "cleaned", rev="v1")


@pytest.mark.parametrize(
    ("path", "rev", "message"),
    [
        ("data/cleaned", "v33", r"there is no revision 'v33'. Did you mean v3"),
        ("data/cleaned", "first", r"there is no revision 'first'. See dsetkit log"),
        ("data/cleaned", "--all", r"there is no revision '--all'"),
        ("data/cleaned", "", r"there is no revision ''"),
        ("data/gone", "v1", r"v1 has no data/gone. It has .*data/cleaned"),
        ("memory://data/cleaned", "v1", r"is a URL: it has no revisions"),
    ],
)
def test_what_there_is_not(project: Path, monkeypatch: pytest.MonkeyPatch, path: str, rev: str, message: str) -> None:
    monkeypatch.chdir(project)
    with pytest.raises((NotFoundError, UsageError), match=message):
        dsetkit.open(path, rev=rev)


def test_outside_a_project_there_are_no_versions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies in no DVC project"):
        dsetkit.open(tmp_path / "data", rev="v1")


@pytest.mark.parametrize(
    "damage", ["{", '[{"relpath": "../x", "md5": "%s"}]' % ("0" * 32), '[{"relpath": "x", "md5": "../x"}]']
)
def test_a_damaged_list_of_files_leads_nowhere(project: Path, damage: str) -> None:
    objects = Objects(project)
    for path in (project / ".dvc" / "cache").rglob("*.dir"):
        path.chmod(0o644)
        path.write_text(damage)
    with pytest.raises(StorageError):
        open_at(project / "data" / "cleaned", "v1", objects=objects)


def test_the_log(project: Path) -> None:
    objects = Objects(project)
    found = list(versions_of(project, objects))
    assert [(item.commit.tags, item.commit.message) for item in found] == [
        (("v3",), "third"),
        (("v2", "v2-again"), "second"),
        (("v1",), "first"),
    ]
    now = open_snapshot(project / "data" / "cleaned")
    cleaned = found[0].stages["cleaned"]
    assert isinstance(cleaned, Snapshot)
    assert cleaned.fingerprint == now.fingerprint
    assert sorted(found[0].stages) == ["augmented", "cleaned", "raw/demo"]
    assert change_line(found[1], found[0]).startswith("cleaned: annotations: 1 moved; ")
    assert change_line(None, found[2]) == "the first version"


def test_log_as_json_and_as_text(project: Path) -> None:
    listed = json.loads(sh(project, "dsetkit", "log", "--json"))
    assert [item["tags"] for item in listed] == [["v3"], ["v2", "v2-again"], ["v1"]]
    assert [item["rev"] for item in listed] == [sh(project, "git", "rev-parse", rev) for rev in ("v3", "HEAD~2", "v1")]
    now = open_snapshot(project / "data" / "cleaned")
    counts = now.info.counts
    assert listed[0]["stages"]["cleaned"] == {
        "fingerprint": now.fingerprint,
        "samples": counts.samples,
        "annotations": counts.annotations,
    }
    assert {"rev", "tags", "date", "author", "message", "stages"} == set(listed[0])
    text = sh(project, "dsetkit", "log", "-n", "1")
    assert "third" in text
    assert "second" not in text
    assert "older versions" in text


def test_a_fingerprint_is_found_and_so_is_a_selections(project: Path) -> None:
    objects = Objects(project)
    then = dsetkit.open(project / "data" / "cleaned", rev="v1")
    whole = find(project, objects, then.fingerprint[:10]).found
    assert [(item.commit.tags, item.stage, item.selection) for item in whole] == [(("v1",), "cleaned", {})]
    part = then.where(split="train")
    assert {"split": "train"} in [item.selection for item in find(project, objects, part.fingerprint).found]
    drawn = part.take(3, seed=7)
    assert find(project, objects, drawn.fingerprint).found == ()
    assert {"split": "train", "take": 3, "seed": 7} in [
        item.selection for item in find(project, objects, drawn.fingerprint, take=3, seed=7).found
    ]
    assert json.loads(sh(project, "dsetkit", "find", then.fingerprint, "--json"))[0]["tags"] == ["v1"]


def test_a_fingerprint_is_not_denied_where_versions_could_not_be_read(pushed: Path) -> None:
    """All of the cleaned snapshots are nowhere: so says the answer, and not that no version had it."""
    sh(pushed, "dvc", "remote", "remove", "--local", "store")
    objects = Objects(pushed)
    sought = find(pushed, objects, "0" * 64)
    objects.close()
    assert sought.found == sought.sealed == ()
    assert {type(error) for error in sought.unread} == {NotFoundError}
    ran = subprocess.run(
        ["dsetkit", "find", "0" * 64], cwd=pushed, env=os.environ | {"COLUMNS": "500"}, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "No version that could be read here has the fingerprint" in ran.stdout
    assert f"{len(sought.unread)} snapshots could not be read, and so not be looked at: " in ran.stderr


def test_revisions_folders_and_the_workspace_are_compared(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert len(compare("v1", "v1")) == 0
    assert len(compare("v2", "v3").annotations.moved) == 1
    assert compare("v1", None).new.fingerprint == open_snapshot("data/cleaned").fingerprint
    assert compare("v3", "data/cleaned").samples == compare("v3", None).samples
    assert compare("data/cleaned", "v1").new.name == "cleaned"
    assert compare("v1", "v3", stage="raw/demo").old.name == "raw/demo"
    params = {change.name for change in compare("v1", "v3").params}
    assert params == set()
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("max_invalid: ", "max_invalid: 0.5 # "))
    changed = {change.name: (change.old, change.new) for change in compare("v3", None).params}
    assert changed["clean.max_invalid"][1] == 0.5
    with pytest.raises(NotFoundError, match="there is no revision 'v7'"):
        compare("v7", "v1")
    document = json.loads(sh(project, "dsetkit", "diff", "v1", "v3", "--json"))
    assert {"samples", "annotations", "params", "schema"} <= set(document)
    assert set(document["samples"]) >= {"added", "removed", "reencoded", "renamed", "split_changed"}
    assert set(document["annotations"]) == {"added", "removed", "moved", "recategorized", "changed"}
    assert "annotations: 1 moved" in sh(project, "dsetkit", "diff", "v2", "v3")


def test_blame_names_the_version_that_last_changed_each_annotation(project: Path) -> None:
    objects = Objects(project)
    moved = dsetkit.diff(
        dsetkit.open(project / "data" / "cleaned", rev="v2"), dsetkit.open(project / "data" / "cleaned")
    ).annotations.moved[0]
    key, found = blame(project, objects, "cleaned", moved.key.rpartition("/")[2])
    assert key == moved.key
    assert {item.annotation["id"]: item.commit.tags for item in found if item.commit.tags != ("v1",)} == {
        moved.id: ("v3",)
    }
    then = blame(project, objects, "cleaned", key, resolve(project, "v1"))[1]
    assert {item.commit.tags for item in then} == {("v1",)}
    listed = json.loads(sh(project, "dsetkit", "blame", key, "--json"))
    assert [item["annotation"]["id"] for item in listed["annotations"]] == [item.annotation["id"] for item in found]
    assert "third" in sh(project, "dsetkit", "blame", key)


def test_commands_at_a_revision(pushed: Path, tmp_path: Path) -> None:
    assert "data/cleaned at v1: verified" in sh(pushed, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    shown = json.loads(sh(pushed, "dsetkit", "show", "data/cleaned", "--rev", "v2", "--json"))
    assert shown["fingerprint"] == dsetkit.open(pushed / "data" / "cleaned", rev="v2").fingerprint
    sh(pushed, "dsetkit", "export", "data/cleaned", str(tmp_path / "out"), "-f", "coco", "--rev", "v1")
    assert any((tmp_path / "out").rglob("*.json"))
