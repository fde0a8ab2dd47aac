"""Blame in histories of every shape: real git and DVC's cache; the snapshots are written by hand."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.versions import commit, sh

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.history.blame import Blamed, blame
from dsetkit.history.objects import Objects
from dsetkit.history.repository import create_repository
from dsetkit.history.revisions import resolve
from dsetkit.snapshots.store import Store
from dsetkit.snapshots.write import SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import CORRECTED, SetAnnotation

INFO = {
    "stage": "cleaned",
    "name": "cleaned",
    "categories": [{"name": name, "index": at} for at, name in enumerate(("cell", "dust", "hair"))],
}
KEY = "lab/a.jpg"


def box(name: str, x: float, category: str = "cell", **fields: Any) -> Row:
    return {"id": name, "kind": "box", "category": category, "bbox_xywh_px": [x, 10.0, 20.0, 20.0], **fields}


def numbered(*boxes: Row) -> list[Row]:
    """As formats without ids do it: by their place."""
    return [{**item, "id": str(at)} for at, item in enumerate(boxes)]


def sample(key: str, *annotations: Row, picture: str = "", **fields: Any) -> Row:
    digest = hashlib.sha256((picture or key).encode()).hexdigest()
    size = {"width_px": 640, "height_px": 480}
    return {"key": key, "digest": digest, "labelled": "yes", **size, "annotations": list(annotations), **fields}


class History:
    """A project whose versions are written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root.parent / "work"
        root.mkdir()
        create_repository(root)
        (root / ".gitignore").write_text("/data\n")
        commit(root, "nothing yet")

    def version(self, tag: str, *rows: Row, message: str | None = None, place: str = "data/cleaned") -> None:
        """Put a snapshot of these rows into DVC's cache, name it in ``dvc.lock`` and commit that."""
        shutil.rmtree(self._work, ignore_errors=True)
        writer = SnapshotWriter(self._work, target_bytes=4096)
        for row in sorted(rows, key=lambda row: row["key"].encode()):
            writer.add(row, None)
        writer.finish(INFO)
        files = {path.relative_to(self._work).as_posix(): path for path in self._work.rglob("*") if path.is_file()}
        listed = [{"md5": self._keep(path.read_bytes()), "relpath": name} for name, path in sorted(files.items())]
        oid = self._keep(json.dumps(listed).encode(), ".dir")
        out = f"    outs:\n    - path: {place}\n      md5: {oid}\n"
        (self.root / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  clean:\n    cmd: clean\n{out}")
        commit(self.root, message or f"version {tag}", tag)

    def branch(self, name: str, rev: str) -> None:
        sh(self.root, "git", "checkout", "-q", "-b", name, rev)

    def merge(self, other: str, *options: str) -> None:
        """Begin a merge whose ``dvc.lock`` the next version resolves."""
        sh(self.root, "sh", "-c", f"git merge -q --no-commit --no-ff {' '.join(options)} {other} || true")

    def blame(self, key: str = KEY, stage: str = "cleaned", rev: str = "HEAD") -> list[Blamed]:
        objects = Objects(self.root)
        try:
            return blame(self.root, objects, stage, key, resolve(self.root, rev))[1]
        finally:
            objects.close()

    def versions(self, key: str = KEY, **options: str) -> list[str]:
        """The version that each annotation is from, in the order of the annotations."""
        return [item.commit.message.removeprefix("version ") for item in self.blame(key, **options)]

    def lose(self, tag: str) -> None:
        """Take a version's list of files out of DVC's cache."""
        lock = sh(self.root, "git", "show", f"{tag}:dvc.lock")
        oid = lock.rpartition("md5: ")[2].strip()
        self._path(oid).unlink()

    def _keep(self, data: bytes, ending: str = "") -> str:
        oid = hashlib.md5(data, usedforsecurity=False).hexdigest() + ending
        self._path(oid).parent.mkdir(parents=True, exist_ok=True)
        self._path(oid).write_bytes(data)
        return oid

    def _path(self, oid: str) -> Path:
        return self.root / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "project")


def test_a_box_deleted_in_front_does_not_touch_those_behind_it(history: History) -> None:
    boxes = [box("", x) for x in (0.0, 100.0, 200.0, 300.0)]
    history.version("v1", sample(KEY, *numbered(*boxes)))
    history.version("v2", sample(KEY, *numbered(*boxes[1:])))
    assert history.versions() == ["v1"] * 3
    moved = {**boxes[2], "bbox_xywh_px": [204.0, 10.0, 20.0, 20.0]}
    history.version("v3", sample(KEY, *numbered(boxes[3], moved, boxes[1], box("", 500.0))))
    assert history.versions() == ["v1", "v3", "v1", "v3"]
    assert history.versions(rev="v2") == ["v1"] * 3


def test_an_id_that_is_now_that_of_another_annotation(history: History) -> None:
    """What it says counts: neither box was changed, they only changed their ids."""
    history.version("v1", sample(KEY, box("7", 0.0), box("8", 100.0, "dust")))
    history.version("v2", sample(KEY, box("8", 0.0), box("7", 100.0, "dust")))
    assert history.versions() == ["v1", "v1"]
    # With its own id it is the same one however far it was moved, and whatever else came where it was.
    history.version("v3", sample(KEY, box("8", 400.0), box("9", 0.0, "hair"), box("7", 100.0, "dust")))
    assert history.versions() == ["v3", "v3", "v1"]


def test_numbers_of_the_source_and_links_by_them_are_no_change(history: History) -> None:
    def pair(first: str, second: str) -> list[Row]:
        part = {"relations": [{"kind": "part_of", "target": first}]}
        return [box(first, 0.0, source_id=first), box(second, 100.0, "dust", source_id=second, **part)]

    history.version("v1", sample(KEY, *pair("1", "2")))
    history.version("v2", sample(KEY, *pair("51", "52")))
    assert history.versions() == ["v1", "v1"]
    changed = pair("51", "52")
    changed[1]["attributes"] = {"occluded": True}
    history.version("v3", sample(KEY, *changed))
    assert history.versions() == ["v1", "v3"]


def test_a_renamed_sample_keeps_its_history(history: History) -> None:
    other = sample("lab/z.jpg", box("0", 5.0))
    history.version("v1", sample("lab/old.jpg", box("0", 0.0), box("1", 100.0), picture="p"), other)
    history.version("v2", sample("lab/old.jpg", box("0", 3.0), box("1", 100.0), picture="p"), other)
    history.version("v3", sample("lab/new.jpg", *numbered(box("", 100.0), box("", 3.0)), picture="p"), other)
    history.version("v4", sample("lab/b/new.jpg", *numbered(box("", 100.0), box("", 8.0)), picture="p"), other)
    assert history.versions("lab/b/new.jpg") == ["v1", "v4"]
    assert history.versions("lab/new.jpg", rev="v3") == ["v1", "v2"]
    assert history.versions("z.jpg") == ["v1"]


def test_pictures_that_were_numbered_anew(history: History) -> None:
    """The second key had another picture before; a copy is no rename."""
    one, two = box("0", 0.0), box("0", 100.0)
    history.version("v1", sample("lab/1.jpg", one, picture="a"), sample("lab/2.jpg", two, picture="b"))
    copy = sample("lab/4.jpg", two, picture="b")
    history.version("v2", sample("lab/2.jpg", one, picture="a"), sample("lab/3.jpg", two, picture="b"), copy)
    found = {key: history.versions(key) for key in ("lab/2.jpg", "lab/3.jpg", "lab/4.jpg")}
    assert found == {"lab/2.jpg": ["v1"], "lab/3.jpg": ["v1"], "lab/4.jpg": ["v2"]}


def test_another_picture_under_the_same_key(history: History) -> None:
    """Boxes are compared in the new picture's frame."""
    history.version("v1", sample(KEY, box("0", 10.0), box("1", 100.0), picture="old"))
    small = [{**box("0", 5.0), "bbox_xywh_px": [5.0, 5.0, 10.0, 10.0]}, {**box("1", 50.0), "category": "dust"}]
    small[1]["bbox_xywh_px"] = [50.0, 5.0, 10.0, 10.0]
    history.version("v2", sample(KEY, *small, picture="new", width_px=320, height_px=240))
    assert history.versions() == ["v1", "v2"]


def test_a_sample_that_is_new_and_one_that_came_back(history: History) -> None:
    there, other = sample(KEY, box("0", 0.0)), sample("lab/b.jpg", box("0", 0.0))
    history.version("v1", there)
    history.version("v2", there, other)
    assert history.versions("b.jpg") == ["v2"]
    history.version("v3", other)
    history.version("v4", there, other)
    assert history.versions() == ["v4"], "that it is there again is this version's doing"
    with pytest.raises(NotFoundError, match="has no sample"):
        history.versions(rev="v3")


def test_an_annotation_that_came_back_and_one_that_was_changed_back(history: History) -> None:
    history.version("v1", sample(KEY, box("0", 0.0), box("1", 300.0)))
    history.version("v2", sample(KEY, box("0", 4.0)))
    history.version("v3", sample(KEY, box("0", 0.0), box("1", 300.0)))
    assert history.versions() == ["v3", "v3"]


def test_each_side_of_a_merge_is_blamed_for_its_own(history: History) -> None:
    boxes = [box(str(at), 100.0 * at) for at in range(4)]
    history.version("base", sample(KEY, *boxes, picture="p"))
    history.branch("theirs", "base")
    theirs = [boxes[0], {**boxes[1], "category": "dust"}, boxes[2], boxes[3]]
    history.version("theirs-1", sample("lab/new.jpg", *theirs, picture="p"))
    history.branch("ours", "base")
    ours = [{**boxes[0], "category": "hair"}, *boxes[1:]]
    history.version("ours-1", sample(KEY, *ours, picture="p"))
    history.merge("theirs")
    both = [ours[0], theirs[1], boxes[2], {**boxes[3], "category": "hair"}]
    history.version("merged", sample("lab/new.jpg", *both, picture="p"))
    assert len(sh(history.root, "git", "log", "-1", "--format=%P").split()) == 2
    assert history.versions("new.jpg") == ["ours-1", "theirs-1", "base", "merged"]
    (history.root / "notes.md").write_text("Notes.\n")
    commit(history.root, "documents")
    assert history.versions("new.jpg") == ["ours-1", "theirs-1", "base", "merged"]


def test_a_merge_that_takes_one_side_follows_that_side(history: History) -> None:
    history.version("base", sample(KEY, box("0", 0.0)))
    history.branch("theirs", "base")
    history.version("theirs-1", sample(KEY, box("0", 9.0)))
    history.branch("ours", "base")
    history.version("ours-1", sample(KEY, box("0", 4.0)))
    sh(history.root, "git", "merge", "-q", "-s", "ours", "theirs", "-m", "ours it is")
    assert history.versions() == ["ours-1"]
    history.branch("again", "theirs-1")
    history.merge("ours-1")
    history.version("merged", sample(KEY, box("0", 9.0)))
    assert history.versions() == ["theirs-1"]


def note(made: SetAnnotation) -> Row:
    return {"issues": [{"code": CORRECTED, "message": made.note("category")}]}


def test_the_correction_that_made_a_change_is_named(history: History) -> None:
    common = {"action": "set", "key": KEY, "annotation": "0", "author": "Ann <ann@example.org>"}
    old = {"kind": "box", "category": "cell"}
    first, second = (
        SetAnnotation.model_validate(
            {**common, "old": old, "new": {"category": name}, "date": date, "why": f"It is {name}"}
        )
        for name, date in (("dust", "2026-01-02"), ("hair", "2026-01-03"))
    )
    file = history.root / "corrections" / "2026.jsonl"
    file.parent.mkdir()
    history.version("v1", sample(KEY, *numbered(box("", 0.0), box("", 100.0), box("", 200.0))))
    file.write_text(first.to_line())
    corrected = box("", 100.0, "dust", **note(first))
    history.version("v2", sample(KEY, *numbered(box("", 0.0), corrected, box("", 200.0))))
    # The update of its source numbers it anew; somebody else's correction of another box stands at its old number.
    file.write_text(first.to_line() + second.to_line())
    other = box("", 200.0, "hair", **note(second))
    history.version("v3", sample(KEY, *numbered(corrected, other)))
    found = history.blame()
    assert [(item.commit.tags, item.correction_id) for item in found] == [(("v2",), first.id), (("v3",), second.id)]
    assert [item.correction for item in found] == [first, second]
    # Moved by its source after it was corrected: that is no correction's doing.
    moved = {**corrected, "bbox_xywh_px": [108.0, 10.0, 20.0, 20.0]}
    file.write_text(second.to_line())
    history.version("v4", sample(KEY, *numbered(moved, other)))
    assert [(item.commit.tags, item.correction_id) for item in history.blame()] == [
        (("v4",), None),
        (("v3",), second.id),
    ]


def test_a_correction_that_is_no_longer_written_down_is_known_by_its_id(history: History) -> None:
    made = SetAnnotation.model_validate(
        {
            "action": "set",
            "key": KEY,
            "annotation": "0",
            "old": {"kind": "box", "category": "cell"},
            "new": {"category": "dust"},
            "author": "Ann <ann@example.org>",
            "date": "2026-01-02",
            "why": "It is dust",
        }
    )
    history.version("v1", sample(KEY, box("0", 0.0)))
    history.version("v2", sample(KEY, box("0", 0.0, "dust", **note(made))))
    assert [(item.correction_id, item.correction) for item in history.blame()] == [(made.id, None)]
    shown = sh(history.root, "dsetkit", "blame", KEY)
    assert f"correction {made.id}, which corrections/ no longer has" in " ".join(shown.split())


def test_a_version_that_cannot_be_read_leaves_it_open(history: History) -> None:
    history.version("v1", sample(KEY, box("0", 0.0), box("1", 100.0)))
    history.version("v2", sample(KEY, box("0", 0.0), box("1", 104.0)))
    history.version("v3", sample(KEY, box("0", 0.0), box("1", 104.0), box("2", 300.0)))
    history.lose("v1")
    assert [(item.commit.tags, item.is_whole) for item in history.blame()] == [
        (("v2",), False),
        (("v2",), False),
        (("v3",), True),
    ]
    assert "or an earlier one, which cannot be read" in " ".join(sh(history.root, "dsetkit", "blame", KEY).split())
    history.lose("v3")
    with pytest.raises((NotFoundError, StorageError), match="cache"):
        history.versions()


def test_where_the_history_is_cut_off_the_change_may_be_older(history: History, tmp_path: Path) -> None:
    history.version("v1", sample(KEY, box("0", 0.0), box("1", 100.0)))
    history.version("v2", sample(KEY, box("0", 0.0), box("1", 104.0)))
    history.version("v3", sample(KEY, box("0", 0.0), box("1", 108.0)))
    assert [item.is_whole for item in history.blame()] == [True, True]
    clone = tmp_path / "clone"
    sh(tmp_path, "git", "clone", "-q", "--depth", "2", f"file://{history.root}", str(clone))
    shutil.copytree(history.root / ".dvc" / "cache", clone / ".dvc" / "cache")
    history.root = clone
    found = history.blame()
    assert [(item.commit.message, item.is_whole) for item in found] == [("version v2", False), ("version v3", True)]


def test_what_cannot_be_answered_says_why(history: History) -> None:
    with pytest.raises(NotFoundError, match="no version of cleaned is recorded"):
        history.versions()
    history.version("v1", sample(KEY, box("0", 0.0)), sample("lab/deep/a.jpg"), sample("lab/b.jpg"))
    assert history.versions("lab/a.jpg") == ["v1"]
    assert history.versions("b.jpg") == [], "it has no annotation"
    with pytest.raises(NotFoundError, match=r"has no sample 'c\.jpg'"):
        history.versions("c.jpg")
    with pytest.raises(NotFoundError, match=r"2 samples of cleaned end in 'a\.jpg'") as caught:
        history.versions("a.jpg")
    assert "'lab/a.jpg', 'lab/deep/a.jpg'" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="no version of augmented is recorded"):
        history.versions(stage="augmented")
    with pytest.raises(NotFoundError, match="there is no revision 'v9'"):
        history.versions(rev="v9")


def test_a_stage_that_came_later_and_raw_snapshots(history: History) -> None:
    history.version("v1", sample(KEY, box("0", 0.0)), place="data/raw/lab")
    history.version("v2", sample(KEY, box("0", 0.0)))
    assert history.versions() == ["v2"]
    assert history.versions(stage="raw/lab", rev="v1") == ["v1"]


def test_a_commit_message_with_odd_characters(history: History) -> None:
    history.version("v1", sample(KEY, box("0", 0.0)), message="one\rtwo\u2028three\x0bfour")
    history.version("v2", sample(KEY, box("0", 0.0), box("1", 100.0)), message="second")
    assert [item.commit.tags for item in history.blame()] == [("v1",), ("v2",)]


def test_only_columns_are_read_where_a_sample_is_not_there(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [sample(f"lab/{number}.jpg", box("0", float(number))) for number in range(50)]
    history.version("v1", *others)
    history.version("v2", *others, sample(KEY, box("0", 0.0)))
    history.version("v3", *others, sample("lab/new.jpg", box("0", 0.0), picture=KEY))
    read: list[tuple[str, ...] | None] = []
    read_part = Store.read_part

    def noted(store: Store, number: int, columns: tuple[str, ...] | None = None) -> Any:
        read.append(columns)
        return read_part(store, number, columns)

    monkeypatch.setattr(Store, "read_part", noted)
    assert history.versions("lab/new.jpg") == ["v2"]
    assert {name for columns in read for name in columns or ("all",)} == {"key", "digest", "row_digest"}
