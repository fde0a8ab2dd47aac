"""A dataset's life on real data: it grows, is put right, and each version can be told from the others exactly."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.once import made_once
from support.rolls import fingerprints
from support.versions import commit, sh

import dsetkit
from dsetkit.history.blame import blame
from dsetkit.history.compare import compare
from dsetkit.history.log import find
from dsetkit.history.objects import Objects
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.diff import Diff
from dsetkit.stages.yaml_documents import load_yaml, save_yaml

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

ABSENT, MOVED, RECATEGORISED, REPLACED, RENAMED, EXCLUDED = 23, 40, 10, 5, 7, 3
BEGINNING = "RBC"
"""The one category that the first version has."""
SIDES = ("xmin", "ymin", "xmax", "ymax")
ROOM = 10
"""A box that is moved is at least so far from the edges, and moved by less."""

Spot = tuple[str, int]
"""Picture (without its ending) and number of the object in its file."""


@dataclass
class Life:
    """A project with three versions, and what was done between them."""

    root: Path
    objects: dict[str, list[tuple[str, list[int]]]] = field(default_factory=dict)
    """Picture → name and sides of each object of v2, read from the XML without dsetkit."""
    absent: set[str] = field(default_factory=set)
    moved: dict[Spot, tuple[int, int]] = field(default_factory=dict)
    """By how much, right and down, px."""
    recategorised: dict[Spot, str] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)

    @property
    def cleaned(self) -> Path:
        return self.root / "data" / "cleaned"

    def open(self, rev: str) -> Snapshot:
        return dsetkit.open(self.cleaned, rev=rev)

    def diff(self, old: str, new: str) -> Diff:
        return dsetkit.diff(self.open(old), self.open(new))

    def key(self, name: str) -> str:
        """The key of a picture of v2 as v3 has it."""
        return key_of(self.renamed.get(name, name))

    def box(self, spot: Spot) -> tuple[float, ...]:
        """x, y, width, height in v2."""
        return box_of(self.objects[spot[0]][spot[1]][1])

    @property
    def changed(self) -> set[Spot]:
        """What v3 moved or re-categorised."""
        return {*self.moved, *self.recategorised}

    def version(self, spot: Spot) -> str:
        """The version that an object of v3 is from."""
        if spot in self.changed:
            return "v3"
        return "v1" if spot[0] not in self.absent and self.objects[spot[0]][spot[1]][0] == BEGINNING else "v2"


def key_of(name: str) -> str:
    return f"blood/JPEGImages/{name}.jpg"


def box_of(sides: list[int]) -> tuple[float, ...]:
    """VOC counts pixels from 1, and both corners belong to the box (the devkit's documentation)."""
    x0, y0, x1, y1 = sides
    return (x0 - 1.0, y0 - 1.0, x1 - x0 + 1.0, y1 - y0 + 1.0)


def read_objects(path: Path) -> list[tuple[str, list[int]]]:
    root = ElementTree.parse(path).getroot()
    return [
        (str(item.findtext("name")), [int(item.findtext(f"bndbox/{side}") or "") for side in SIDES])
        for item in root.iter("object")
    ]


class Cells:
    """The source, a copy of the blood cells that can be edited."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        shutil.copytree(data, folder, ignore=shutil.ignore_patterns(".*", "*.csv", "*.md"))
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.names = sorted(path.stem for path in (folder / "JPEGImages").iterdir())
        self.sets = {path: path.read_text().split() for path in (folder / "ImageSets" / "Main").iterdir()}
        self._aside = folder.parent / "aside"

    def picture(self, name: str) -> Path:
        return self.folder / "JPEGImages" / f"{name}.jpg"

    def labels(self, name: str) -> Path:
        return self.folder / "Annotations" / f"{name}.xml"

    def begin(self, absent: set[str]) -> None:
        """Take some pictures away, and all labels but those of the first category."""
        self._aside.mkdir()
        for name in self.names:
            shutil.copyfile(self.labels(name), self._aside / f"{name}.xml")
            if name in absent:
                self.labels(name).unlink()
                self.picture(name).rename(self._aside / f"{name}.jpg")
            else:
                tree = ElementTree.parse(self.labels(name))
                for item in [one for one in tree.getroot().iter("object") if one.findtext("name") != BEGINNING]:
                    tree.getroot().remove(item)
                tree.write(self.labels(name))
        self._write_sets(dict.fromkeys(absent))

    def complete(self) -> None:
        """Everything as it came."""
        for path in self._aside.iterdir():
            shutil.copyfile(path, self.picture(path.stem) if path.suffix == ".jpg" else self.labels(path.stem))
        self._write_sets({})

    def edit(self, spot: Spot, *, by: tuple[int, int] = (0, 0), name: str | None = None) -> None:
        tree = ElementTree.parse(self.labels(spot[0]))
        item = list(tree.getroot().iter("object"))[spot[1]]
        for side, shift in zip(SIDES, (*by, *by), strict=True):
            place = item.find(f"bndbox/{side}")
            assert place is not None
            place.text = str(int(place.text or "") + shift)
        label = item.find("name")
        assert label is not None
        label.text = name or label.text
        tree.write(self.labels(spot[0]))

    def replace(self, name: str) -> None:
        """The same scene from another encoder: other bytes, the same labels."""
        with Image.open(self.picture(name)) as image:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=70)
        self.picture(name).write_bytes(buffer.getvalue())

    def rename(self, names: dict[str, str]) -> None:
        for old, new in names.items():
            self.picture(old).rename(self.picture(new))
            text = self.labels(old).read_text().replace(f">{old}.jpg<", f">{new}.jpg<")
            self.labels(new).write_text(text)
            self.labels(old).unlink()
        self._write_sets(dict(names))

    def _write_sets(self, changed: dict[str, str | None]) -> None:
        """The lists of splits, with names replaced, or taken out where there is no new one."""
        for path, names in self.sets.items():
            there = [changed.get(name, name) for name in names]
            path.write_text("".join(f"{name}\n" for name in there if name is not None))


@pytest.fixture(scope="session")
def life(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Only to be read."""

    def make(folder: Path) -> None:
        (folder / "life").write_bytes(pickle.dumps(_live(folder / "project", shared_data / "bccd")))

    found = pickle.loads((made_once(tmp_path_factory, "blood-cells", make) / "life").read_bytes())
    assert isinstance(found, Life)
    return found


def _live(root: Path, data: Path) -> Life:
    life = Life(root)
    sh(life.root.parent, "dsetkit", "init", str(life.root))
    _end_with_clean(life.root)
    cells = Cells(life.root / "data" / "sources" / "cells", data)
    life.objects = {name: read_objects(cells.labels(name)) for name in cells.names}
    _plan(life, cells.names)

    cells.begin(life.absent)
    sh(life.root, "dsetkit", "add", "blood", "data/sources/cells")
    _name(life.root, [BEGINNING])
    _build(life.root, "the red cells", "v1")
    cells.complete()
    _name(life.root, [BEGINNING, "WBC", "Platelets"])
    sh(life.root, "dsetkit", "update", "blood")
    _build(life.root, "all cells", "v2")
    for spot, by in life.moved.items():
        cells.edit(spot, by=by)
    for spot, name in life.recategorised.items():
        cells.edit(spot, name=name)
    for name in life.replaced:
        cells.replace(name)
    cells.rename(life.renamed)
    sh(life.root, "dsetkit", "update", "blood")
    sh(life.root, "dsetkit", "exclude", *map(key_of, life.excluded), "--why", "Smeared")
    _build(life.root, "put right", "v3")
    return life


@pytest.fixture
def life_copy(life: Life, tmp_path: Path) -> Life:
    """The same, to be changed."""
    return replace(life, root=Path(shutil.copytree(life.root, tmp_path / "project", symlinks=True)))


def _end_with_clean(root: Path) -> None:
    """Take the stages behind clean out of the pipeline: nothing here is about them, and they take their time."""
    document = load_yaml(root / "dvc.yaml")
    for name in ("augment", "report"):
        del document["stages"][name]
    save_yaml(root / "dvc.yaml", document)


def _build(root: Path, message: str, tag: str) -> None:
    sh(root, "dvc", "repro", "-q")
    commit(root, message, tag)


def _name(root: Path, names: list[str]) -> None:
    """Say what the dataset's categories are, in order: what is put behind renumbers none."""
    document = load_yaml(root / "params.yaml")
    document["clean"]["categories"]["names"] = names
    save_yaml(root / "params.yaml", document)


def _plan(life: Life, names: list[str]) -> None:
    """What becomes of which picture and object; some pictures suffer several things at once."""
    draw = random.Random(4)
    life.absent = set(draw.sample(names, ABSENT))
    spots = [
        (name, number)
        for name, objects in life.objects.items()
        for number, (_, (x0, y0, x1, y1)) in enumerate(objects)
        if ROOM < x0 < x1 < 640 - ROOM and ROOM < y0 < y1 < 480 - ROOM
    ]
    chosen = draw.sample(spots, MOVED + RECATEGORISED - 2)
    steps = [step for step in range(1 - ROOM, ROOM) if step]
    life.moved = {spot: (draw.choice(steps), draw.choice(steps)) for spot in chosen[:MOVED]}
    both = chosen[:2]  # moved and re-categorised at once
    for spot in [*both, *chosen[MOVED:]]:
        others = sorted({"RBC", "WBC", "Platelets"} - {life.objects[spot[0]][spot[1]][0]})
        life.recategorised[spot] = draw.choice(others)
    touched = sorted({name for name, _ in chosen})
    calm = [name for name in names if name not in touched]
    life.replaced = [*draw.sample(touched, 2), *draw.sample(calm, REPLACED - 2)]
    left = [name for name in touched if name not in life.replaced]
    old = [*draw.sample(left, 3), *draw.sample([name for name in calm if name not in life.replaced], RENAMED - 3)]
    # Two change places with others' neighbours in the order of keys; one goes to the very end.
    life.renamed = {name: f"BloodImage_{10_000 + number * 7}" for number, name in enumerate(old[:-1])}
    life.renamed[old[-1]] = "Cells-last"
    life.excluded = draw.sample([name for name in calm if name not in {*life.replaced, *life.renamed}], EXCLUDED)


def iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    inside = max(0.0, across) * max(0.0, down)
    return inside / (one[2] * one[3] + other[2] * other[3] - inside)


def lists_of(diff: Diff) -> dict[str, int]:
    return {f"{group}.{name}".rstrip("."): len(entries) for group, name, entries in diff.lists() if entries}


def kept(objects: list[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
    """Without boxes of no area, which clean drops."""
    return [(name, sides) for name, sides in objects if sides[2] > sides[0] and sides[3] > sides[1]]


def test_what_came_with_the_second_version_is_found_and_nothing_else(life: Life) -> None:
    found = life.diff("v1", "v2")
    assert {entry.key: entry.annotations for entry in found.samples.added} == {
        key_of(name): len(kept(life.objects[name])) for name in life.absent
    }
    expected = Counter(
        (key_of(name), category)
        for name, objects in life.objects.items()
        for category, _ in kept(objects)
        if name not in life.absent and category != BEGINNING
    )
    assert Counter((entry.key, entry.category) for entry in found.annotations.added) == expected
    places = {(key_of(name), box_of(sides)) for name, objects in life.objects.items() for _, sides in objects}
    near = [entry for entry in found.annotations.added if (entry.key, entry.bbox_xywh_px) not in places]
    assert len(near) < len(found.annotations.added) / 10  # those that stuck out of the picture were clipped
    assert [(entry.name, entry.index) for entry in found.categories.added] == [("WBC", 1), ("Platelets", 2)]
    # Where a box of no area came, the labels are not whole any more.
    partial = {
        key_of(name)
        for name, objects in life.objects.items()
        if name not in life.absent and any(one not in kept(objects) and one[0] != BEGINNING for one in objects)
    }
    assert {entry.key: [one.name for one in entry.fields] for entry in found.samples.changed} == {
        key: ["labelled"] for key in partial
    }
    assert set(lists_of(found)) <= {
        *("samples.added", "samples.changed", "annotations.added", "categories.added", "params")
    }


def test_what_was_put_right_in_the_third_version_is_found_and_nothing_else(life: Life) -> None:
    found = life.diff("v2", "v3")
    assert lists_of(found) == {
        "samples.removed": EXCLUDED,
        "samples.reencoded": REPLACED,
        "samples.renamed": RENAMED,
        "annotations.moved": MOVED,
        "annotations.recategorized": RECATEGORISED,
        "params": 1,
    }
    assert [change.name for change in found.params] == ["params_digest"]  # corrections are among what it is of
    assert {entry.key: entry.annotations for entry in found.samples.removed} == {
        key_of(name): len(kept(life.objects[name])) for name in life.excluded
    }
    assert {entry.key for entry in found.samples.reencoded} == {life.key(name) for name in life.replaced}
    assert {entry.old_key: entry.key for entry in found.samples.renamed} == {
        key_of(old): key_of(new) for old, new in life.renamed.items()
    }
    expected = {}
    for spot, (right, down) in life.moved.items():
        x, y, w, h = old = life.box(spot)
        new = (x + right, y + down, w, h)
        expected[life.key(spot[0]), old, new] = iou(old, new)
    moved = {(entry.key, entry.old_bbox_xywh_px, entry.bbox_xywh_px): entry.iou for entry in found.annotations.moved}
    assert moved == pytest.approx(expected)
    turned = Counter((entry.key, entry.old_category, entry.category) for entry in found.annotations.recategorized)
    assert turned == Counter(
        (life.key(spot[0]), life.objects[spot[0]][spot[1]][0], name) for spot, name in life.recategorised.items()
    )


def test_turned_round_it_is_the_same_turned_round(life: Life) -> None:
    there, back = life.diff("v2", "v3"), life.diff("v3", "v2")
    assert lists_of(back) == {name.replace("removed", "added"): count for name, count in lists_of(there).items()}, (
        "what was excluded is added"
    )
    assert {(entry.old_key, entry.key) for entry in there.samples.renamed} == {
        (entry.key, entry.old_key) for entry in back.samples.renamed
    }
    assert {(entry.old_bbox_xywh_px, entry.bbox_xywh_px, entry.iou) for entry in there.annotations.moved} == {
        (entry.bbox_xywh_px, entry.old_bbox_xywh_px, entry.iou) for entry in back.annotations.moved
    }
    grown, shrunk = lists_of(life.diff("v1", "v2")), lists_of(life.diff("v2", "v1"))
    assert grown["annotations.added"] == shrunk["annotations.removed"]
    assert grown["samples.added"] == shrunk["samples.removed"]


def test_params_and_files_that_decided_are_compared(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(life.root)
    found = compare("v1", "v2")
    assert [(one.name, one.old, one.new) for one in found.params] == [
        ("clean.categories.names", [BEGINNING], [BEGINNING, "WBC", "Platelets"])
    ]
    assert found.files == ()
    found = compare("v2", "v3")
    assert found.params == ()
    (file,) = found.files  # where the exclusions stand
    assert (Path(file.path).parent.name, file.change, file.lines_added) == ("corrections", "added", EXCLUDED)


def test_each_version_can_be_opened_and_the_workspace_stays(life: Life) -> None:
    before = sh(life.root, "git", "status", "--porcelain")
    first, second, third = (life.open(rev) for rev in ("v1", "v2", "v3"))
    assert [len(one) for one in (first, second, third)] == [364 - ABSENT, 364, 364 - EXCLUDED]
    assert {category.name for category in first.categories} == {BEGINNING}
    for snapshot in (first, second, third):
        assert dsetkit.verify(snapshot) == []
    old, new = next(iter(life.renamed.items()))
    assert second[key_of(old)].digest == third[key_of(new)].digest
    assert key_of(old) not in third
    assert not {key_of(name) for name in life.excluded} & set(third.column("key")["key"].to_pylist())
    name = life.replaced[0]
    assert first.info.fingerprint != second.info.fingerprint != third.info.fingerprint
    assert second.read_bytes(key_of(name)) != third.read_bytes(life.key(name))
    assert third.fingerprint == dsetkit.open(life.cleaned).fingerprint
    assert sh(life.root, "git", "status", "--porcelain") == before


def test_the_log_counts_each_version(life: Life) -> None:
    listed = json.loads(sh(life.root, "dsetkit", "log", "--json"))
    assert [(item["tags"], item["message"]) for item in listed] == [
        (["v3"], "put right"),
        (["v2"], "all cells"),
        (["v1"], "the red cells"),
    ]
    for item in listed:
        snapshot = life.open(item["rev"])
        assert item["stages"]["cleaned"]["fingerprint"] == snapshot.fingerprint
        assert item["stages"]["cleaned"]["samples"] == len(snapshot)
    text = sh(life.root, "dsetkit", "log")
    assert f"{EXCLUDED} removed" in text
    assert f"{RENAMED} renamed" in text
    assert f"{MOVED} moved, {RECATEGORISED} re-categorised" in text
    assert f"{ABSENT} added" in text


def test_a_fingerprint_says_which_version_it_is_of(life: Life) -> None:
    objects = Objects(life.root)
    for rev in ("v1", "v2", "v3"):
        named = find(life.root, objects, life.open(rev).fingerprint[:12]).found
        assert [(item.commit.tags, item.stage, item.selection) for item in named] == [((rev,), "cleaned", {})]
    objects.close()
    part = life.open("v2").where(split="train", category="WBC")
    found = json.loads(sh(life.root, "dsetkit", "find", part.fingerprint, "--json"))
    assert ["v2"] in [item["tags"] for item in found]
    assert {"split": "train", "category": "WBC"} in [item["selection"] for item in found]


def test_what_was_excluded_says_by_whom_and_why(life: Life) -> None:
    for name in life.excluded[:1]:
        assert "Smeared (Tester, " in sh(life.root, "dsetkit", "why", key_of(name))
    rejected = life.open("v3").read_rejected(("key", "what", "reason")).to_pylist()
    assert sorted(row["key"] for row in rejected if (row["what"], row["reason"]) == ("sample", "excluded")) == sorted(
        key_of(name) for name in life.excluded
    )


def blamed(life: Life, key: str) -> list[dict[str, Any]]:
    """What the command says of each annotation."""
    found = json.loads(sh(life.root, "dsetkit", "blame", key, "--json"))
    assert found["key"] == key
    assert all(item["author"] == "Tester" and item["is_certain"] for item in found["annotations"])
    annotations: list[dict[str, Any]] = found["annotations"]
    return annotations


def box_in(item: dict[str, Any]) -> tuple[float, ...]:
    return tuple(item["annotation"]["bbox_xywh_px"])


def test_blame_names_the_version_that_last_changed_each_box(life: Life) -> None:
    """All labels of v2 stand in the order of their files, so those of v1 have other ids there."""
    changed = sorted({name for name, _ in life.changed})
    names = {*changed[::3], *life.renamed, *life.replaced, *sorted(life.absent)[:3]}
    objects = Objects(life.root)
    for name in sorted(names - set(life.excluded)):
        expected = []
        for number, one in enumerate(life.objects[name]):
            x, y, w, h = life.box((name, number))
            right, down = life.moved.get((name, number), (0, 0))
            if one in kept([one]) and 0 <= x < x + w <= 640 and 0 <= y < y + h <= 480:  # else it was clipped
                expected.append(((x + right, y + down, w, h), life.version((name, number))))
        key, answers = blame(life.root, objects, "cleaned", life.key(name))
        found = Counter((tuple(item.annotation["bbox_xywh_px"]), *item.commit.tags) for item in answers)
        assert (key, found.total()) == (life.key(name), len(kept(life.objects[name])))
        assert Counter(expected) <= found, name
        assert all(item.is_whole and item.correction_id is None for item in answers)
    objects.close()


def test_the_command_follows_a_renamed_sample(life: Life) -> None:
    old, new = next((old, new) for old, new in life.renamed.items() if old not in {name for name, _ in life.changed})
    assert {tag for item in blamed(life, key_of(new)) for tag in item["tags"]} <= {"v1", "v2"}, old


def test_people_read_a_summary_and_see_a_page(life: Life, tmp_path: Path) -> None:
    page = tmp_path / "out" / "diff.html"
    environment = {**os.environ, "COLUMNS": "200"}
    text = sh(life.root, "env", f"COLUMNS={environment['COLUMNS']}", "dsetkit", "diff", "v2", "v3", "--html", str(page))
    assert re.search(r"^cleaned at v2 \([0-9a-f]{12}\) → cleaned at v3", text)
    assert f"samples: {EXCLUDED} removed, {REPLACED} re-encoded, {RENAMED} renamed" in text
    assert f"annotations: {MOVED} moved, {RECATEGORISED} re-categorised" in text
    shown = page.read_text("utf-8")
    touched = {life.key(name) for name, _ in life.changed}
    touched |= {life.key(name) for name in (*life.replaced, *life.renamed, *life.excluded)}
    assert f"All {len(touched)} changed samples are shown" in shown or f"of {len(touched)} changed samples" in shown
    assert str(life.root) not in shown
    assert len(shown) < 15_000_000


def test_rolled_back_to_the_first_version_and_forward_to_the_last(life_copy: Life) -> None:
    life, root = life_copy, life_copy.root
    source = {path: path.read_bytes() for path in (root / "data" / "sources").rglob("*.xml")}
    recorded = {
        rev: {name: dsetkit.open(root / "data" / name, rev=rev).fingerprint for name in ("cleaned", "raw/blood")}
        for rev in ("v1", "v2", "v3")
    }
    assert fingerprints(root) == recorded["v3"]
    for rev, samples in (("v1", 364 - ABSENT), ("v3", 364 - EXCLUDED)):
        sh(root, "dsetkit", "rollback", rev)
        assert fingerprints(root) == recorded[rev]
        for _ in range(2):
            assert "Running stage" not in sh(root, "dvc", "repro")
        assert fingerprints(root) == recorded[rev]
        now = dsetkit.open(life.cleaned)
        assert (len(now), now.fingerprint) == (samples, recorded[rev]["cleaned"])
        assert dsetkit.verify(now) == []
        assert not sh(root, "git", "diff", "--stat", rev, "--", ":(exclude)data/sources")
        assert not dsetkit.diff(now, life.open(rev))
        names = [category.name for category in now.categories]
        assert names == ([BEGINNING] if rev == "v1" else [BEGINNING, "WBC", "Platelets"])
    assert not sh(root, "git", "status", "--porcelain")
    assert source == {path: path.read_bytes() for path in (root / "data" / "sources").rglob("*.xml")}


def test_a_wrong_label_is_fixed_in_a_label_tool_and_stays_so(life_copy: Life, tmp_path: Path) -> None:
    life, root = life_copy, life_copy.root
    touched = {*life.absent, *life.renamed, *life.replaced, *life.excluded, *(name for name, _ in life.changed)}
    name = next(
        name
        for name, objects in life.objects.items()
        if name not in touched and len(objects) > 5 and len({str(sides) for _, sides in objects}) == len(objects)
    )
    number = next(n for n, (category, _) in reversed(list(enumerate(life.objects[name]))) if category == BEGINNING)
    box = life.box((name, number))

    # To the label tool, and fixed there.
    (tmp_path / "keys").write_text(f"{key_of(name)}\n")
    out = tmp_path / "out"
    sh(root, "dsetkit", "export", "data/cleaned", str(out), "-f", "voc", "--keys", str(tmp_path / "keys"))
    (labels,) = out.rglob("*.xml")
    relabel_object(labels, life.objects[name][number][1], "WBC")

    # Back as a correction.
    text = sh(root, "dsetkit", "corrections", "from", str(out), "-f", "voc", "--why", "A white cell", "--json")
    (made,) = json.loads(text)["corrections"]
    assert (made["action"], made["key"], made["new"]) == ("set", key_of(name), {"category": "WBC"})
    assert made["old"]["category"] == BEGINNING
    _build(root, "fixed", "v4")
    found = life.diff("v3", "v4")
    assert lists_of(found) == {"annotations.recategorized": 1, "annotations.changed": 1, "params": 1}
    assert {entry.key for entry in (*found.annotations.recategorized, *found.annotations.changed)} == {key_of(name)}
    before = {box_in(item): item for item in blamed(life, key_of(name))}
    fixed = before.pop(box)
    assert (fixed["tags"], fixed["annotation"]["category"]) == (["v4"], "WBC")
    assert fixed["correction"] == made
    assert {tag for item in before.values() for tag in item["tags"]} <= {"v1", "v2"}
    assert not any(item["correction"] for item in before.values())

    # Its source is updated: the labels in front of it go, so it is numbered anew, and a picture comes.
    cells = root / "data" / "sources" / "cells"
    tree = ElementTree.parse(cells / "Annotations" / f"{name}.xml")
    for item in list(tree.getroot().iter("object"))[:2]:
        tree.getroot().remove(item)
    tree.write(cells / "Annotations" / f"{name}.xml")
    with Image.open(cells / "JPEGImages" / f"{name}.jpg") as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(cells / "JPEGImages" / "Cells-new.jpg", "JPEG")
    sh(root, "dsetkit", "update", "blood")
    _build(root, "updated", "v5")
    after = {box_in(item): item for item in blamed(life, key_of(name))}
    assert set(after) == {box, *before} - {life.box((name, gone)) for gone in (0, 1)}
    assert after[box]["annotation"]["id"] != fixed["annotation"]["id"]
    assert after[box]["annotation"]["category"] == "WBC"
    assert (after[box]["tags"], after[box]["correction"]) == (["v4"], made)
    assert all(after[one]["tags"] == before[one]["tags"] for one in after if one != box)
    assert sh(root, "dsetkit", "corrections", "check").startswith(f"{EXCLUDED + 1} corrections: 0 issues")


def relabel_object(path: Path, sides: list[int], category: str) -> None:
    """What a person does in a label tool: the object at that place gets another category."""
    tree = ElementTree.parse(path)
    (item,) = [
        item
        for item in tree.getroot().iter("object")
        if [round(float(item.findtext(f"bndbox/{side}") or "")) for side in SIDES] == sides
    ]
    label = item.find("name")
    assert label is not None
    label.text = category
    tree.write(path)
