"""Corrections in a project: applied by ``clean``, counted, stale when their ground goes; and taken from label tools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.errors import ChangedError, CheckError, UsageError
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.spec.correction import Correction
from dsetkit.stages.build import Build
from dsetkit.stages.corrections import (
    Who,
    Workbench,
    add_annotation,
    add_corrections,
    delete_annotation,
    exclude,
    read_corrections,
    set_annotation,
    set_split,
)
from dsetkit.stages.keyed_export import KeyNames, export_keys
from dsetkit.stages.manage import stage_status
from dsetkit.stages.returned import Returned, compare_returned

WHO = Who("Ann <ann@example.org>", "2026-01-02T03:04:05Z", "seen under the microscope")
KEYS = [f"pets/images/{number:02d}.jpg" for number in range(12)]


@pytest.fixture
def built(bench: Bench) -> Bench:
    bench.params(clean={"duplicates.near": "keep"})
    bench.add()
    bench.ingest()
    bench.clean()
    return bench


def write(bench: Bench, *corrections: Correction | None) -> None:
    add_corrections(bench.project, [item for item in corrections if item is not None])


def boxes(snapshot: Snapshot, key: str) -> dict[str, tuple[str | None, Any]]:
    return {item.id: (item.category, item.bbox_xywh_px) for item in snapshot[key].annotations}


def rejected(snapshot: Snapshot) -> dict[str, str]:
    return {row["key"]: row["reason"] for row in snapshot.rejected.to_pylist()}


def test_without_corrections_not_a_byte_differs(built: Bench) -> None:
    expected = tree_bytes(built.project.cleaned)
    folder = built.root / "corrections"
    (folder / "2026.jsonl").write_bytes(b"\n \n")
    (folder / "notes.txt").write_text("not a line of it")
    built.clean()
    assert tree_bytes(built.project.cleaned) == expected
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    built.clean()
    assert tree_bytes(built.project.cleaned) == expected


def test_each_kind_is_applied_counted_and_seen(built: Bench) -> None:
    work = Workbench(built.project)
    rows = [work.row(key) for key in KEYS]
    first = [row["annotations"] for row in rows]
    write(
        built,
        set_annotation(KEYS[0], first[0][0], {"category": "dog"}, WHO),
        set_annotation(KEYS[1], first[1][1], {"bbox_xywh_px": [30.0, 20.0, 10.0, 10.0]}, WHO),
        delete_annotation(KEYS[2], first[2][0], WHO),
        add_annotation(KEYS[3], {"kind": "box", "category": "cat", "bbox_xywh_px": [1.0, 1.0, 5.0, 5.0]}, [], WHO),
        exclude(rows[4], WHO),
        set_split(rows[5], "test", WHO),
    )
    info = built.clean().info
    counts = info.counts
    assert counts.samples_in == counts.samples + counts.rejected_samples == 12
    assert counts.annotations_in + counts.added_annotations == counts.annotations + counts.rejected_annotations
    assert (counts.annotations_in, counts.added_annotations) == (24, 1)
    assert {name: counts.per_change[name] for name in ("corrected", "correction-added", "split-corrected")} == {
        "corrected": 2,
        "correction-added": 1,
        "split-corrected": 1,
    }
    assert counts.per_reason == {"correction-deleted": 1, "excluded": 1}
    cleaned = built.open("cleaned")
    assert rejected(cleaned) == {KEYS[2]: "correction-deleted", KEYS[4]: "excluded"}
    gone = next(row for row in cleaned.rejected.to_pylist() if row["reason"] == "excluded")
    assert gone["message"].startswith("seen under the microscope (Ann, 2026-01-02) [correction ")
    assert len(gone["annotations"]) == 2
    assert boxes(cleaned, KEYS[0])["1"][0] == "dog"
    assert cleaned[KEYS[0]].annotations[0].issues[0].code == "corrected"
    assert boxes(cleaned, KEYS[1])["4"][1] == (30.0, 20.0, 10.0, 10.0)
    assert len(boxes(cleaned, KEYS[2])) == 1
    assert cleaned[KEYS[2]].labelled == "yes"
    assert len(boxes(cleaned, KEYS[3])) == 3
    assert cleaned[KEYS[5]].split == "test"
    assert info.issues == ()
    assert verify(cleaned) == []


def test_the_order_of_lines_and_files_changes_nothing_that_counts(built: Bench) -> None:
    work = Workbench(built.project)
    for number, key in enumerate(KEYS[:6]):
        item = work.row(key)["annotations"][0]
        write(built, set_annotation(key, item, {"category": "dog"}, WHO._replace(date=f"202{number}-01-01T00:00:00Z")))
    fingerprint = built.clean().info.fingerprint
    files = sorted((built.root / "corrections").glob("*.jsonl"))
    assert len(files) == 6
    lines = [path.read_text() for path in reversed(files)]
    for path in files:
        path.unlink()
    (built.root / "corrections" / "all.jsonl").write_text("".join(lines) + lines[0])
    assert built.clean().info.fingerprint == fingerprint


def test_only_what_is_corrected_is_decoded_again(built: Bench) -> None:
    row = Workbench(built.project).row(KEYS[0])
    write(built, set_annotation(KEYS[0], row["annotations"][0], {"category": "dog"}, WHO))
    result = built.clean()
    assert (result.decoded, result.shards_packed) == (0, 0)
    incremental = tree_bytes(built.project.cleaned)
    for path in sorted(built.project.cleaned.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    built.project.cleaned.rmdir()
    built.clean()
    assert tree_bytes(built.project.cleaned) == incremental


def test_a_corrected_snapshot_is_out_of_date_when_corrections_change(built: Bench) -> None:
    assert [item.state for item in stage_status(built.project)][1] == "built"
    write(built, exclude(Workbench(built.project).row(KEYS[0]), WHO))
    assert [item.state for item in stage_status(built.project)][1] != "built"
    built.clean()
    assert [item.state for item in stage_status(built.project)][1] == "built"


def test_a_correction_that_comes_while_the_stage_runs_stops_it(built: Bench) -> None:
    before = tree_bytes(built.project.cleaned)
    state = {**built.project.state(sections=("clean",), corrections=True)}
    build = Build(
        built.project,
        built.project.cleaned,
        lambda: built.project.state(sections=("clean",), corrections=True),
        stage="cleaned",
    )
    build.check()
    write(built, exclude(Workbench(built.project).row(KEYS[0]), WHO))
    with pytest.raises(ChangedError, match=r"corrections/2026\.jsonl"):
        build.check()
    assert state != built.project.state(sections=("clean",), corrections=True)
    assert tree_bytes(built.project.cleaned) == before


def test_a_line_that_is_no_correction_stops_the_build_and_names_its_place(built: Bench, tmp_path: Path) -> None:
    folder = built.root / "corrections"
    (folder / "a.jsonl").write_text('{"action": "exclude"}\n<<<<<<< HEAD\n')
    outside = tmp_path / "outside"
    outside.write_text("secret\n")
    (folder / "b.jsonl").symlink_to(outside)
    (folder / "c.jsonl").mkdir()
    before = tree_bytes(built.project.cleaned)
    with pytest.raises(CheckError, match="4 lines in corrections/ cannot be read") as caught:
        built.clean()
    assert [(issue.code, issue.file, issue.place) for issue in caught.value.issues] == [
        ("correction-invalid", "corrections/a.jsonl", "line 1"),
        ("correction-unreadable", "corrections/a.jsonl", "line 2"),
        ("correction-unreadable", "corrections/b.jsonl", None),
        ("correction-unreadable", "corrections/c.jsonl", None),
    ]
    assert "secret" not in str([issue.describe() for issue in caught.value.issues])
    assert tree_bytes(built.project.cleaned) == before


def test_a_correction_outlives_an_update_of_its_source_and_turns_stale_when_its_ground_goes(built: Bench) -> None:
    work = Workbench(built.project)
    for key in KEYS[:2]:
        item = work.row(key)["annotations"][1]
        write(built, set_annotation(key, item, {"category": "cat"}, WHO))
    # A picture in front gives every annotation of the source another id; the boxes of one picture change, too.
    built.source.put("000.jpg", picture_bytes(99), [("cat", [1.0, 1.0, 9.0, 9.0])])
    built.source.boxes["01.jpg"] = [("cat", [4.0, 4.0, 20.0, 16.0]), ("dog", [33.0, 20.0, 24.0, 20.0])]
    built.update()
    built.ingest()
    info = built.clean().info
    cleaned = built.open("cleaned")
    assert [item.category for item in cleaned[KEYS[0]].annotations] == ["cat", "cat"]
    assert [item.category for item in cleaned[KEYS[1]].annotations] == ["cat", "dog"]
    assert [(issue.code, issue.key, issue.file, issue.place) for issue in info.issues] == [
        ("correction-stale", KEYS[1], "corrections/2026.jsonl", "line 2")
    ]
    assert [issue.code for issue in Workbench(built.project).issues()] == ["correction-stale"]


def test_an_excluded_picture_that_was_renamed_is_told(built: Bench) -> None:
    write(built, exclude(Workbench(built.project).row(KEYS[0]), WHO))
    built.source.pictures["moved.jpg"] = built.source.pictures.pop("00.jpg")
    built.source.boxes["moved.jpg"] = built.source.boxes.pop("00.jpg")
    built.update()
    built.ingest()
    issues = built.clean().info.issues
    assert [issue.code for issue in issues] == ["correction-unknown-key"]
    assert "is now 'pets/images/moved.jpg'" in issues[0].message
    assert Workbench(built.project).issues()[0].message == issues[0].message


def test_a_sample_turned_away_later_counts_each_annotation_once(built: Bench) -> None:
    built.source.put("same.jpg", built.source.pictures["00.jpg"], built.source.boxes["00.jpg"])
    built.update()
    built.ingest()
    work = Workbench(built.project)
    new = {"kind": "box", "category": "cat", "bbox_xywh_px": [1.0, 1.0, 5.0, 5.0]}
    key = "pets/images/same.jpg"
    write(
        built,
        add_annotation(key, new, [], WHO),
        add_annotation(KEYS[0], new, [], WHO),
        delete_annotation(key, work.row(key)["annotations"][0], WHO),
        delete_annotation(KEYS[0], work.row(KEYS[0])["annotations"][0], WHO),
        set_split(work.row(key), "test", WHO),
    )
    counts = built.clean().info.counts
    assert counts.annotations_in + counts.added_annotations == counts.annotations + counts.rejected_annotations
    assert counts.samples_in == counts.samples + counts.rejected_samples
    cleaned = built.open("cleaned")
    assert rejected(cleaned)[key] == "duplicate"
    assert cleaned[KEYS[0]].split == "test", "what was decided of a duplicate holds for the one that stays"


def test_an_invalid_shape_can_be_mended(built: Bench) -> None:
    built.source.boxes["00.jpg"] = [("cat", [50.0, 30.0, 40.0, 18.0])]
    built.params(clean={"max_invalid": 1.0})
    built.update()
    built.ingest()
    built.clean()
    assert boxes(built.open("cleaned"), KEYS[0]) == {}
    row = Workbench(built.project).row(KEYS[0])
    write(built, set_annotation(KEYS[0], row["annotations"][0], {"bbox_xywh_px": [50.0, 30.0, 10.0, 18.0]}, WHO))
    built.clean()
    assert [box for _, box in boxes(built.open("cleaned"), KEYS[0]).values()] == [(50.0, 30.0, 10.0, 18.0)]


def test_files_are_added_to_whole_lines(built: Bench) -> None:
    row = Workbench(built.project).row(KEYS[0])
    path = built.root / "corrections" / "2026.jsonl"
    write(built, exclude(row, WHO))
    path.write_text(path.read_text().rstrip("\n"))
    write(built, exclude(Workbench(built.project).inputs["pets"].row(KEYS[1]), WHO))
    assert len(path.read_text().splitlines()) == 2
    assert read_corrections(built.project)[1] == []


def test_branches_merge_line_by_line(built: Bench) -> None:
    def git(*arguments: str) -> None:
        done = subprocess.run(["git", *arguments], cwd=built.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    work = Workbench(built.project)
    git("init", "-q", "-b", "main")
    git("add", "corrections")
    git("commit", "-qm", "first")
    assert (built.root / "corrections" / ".gitattributes").is_file()
    for branch, key in (("ann", KEYS[0]), ("bob", KEYS[1])):
        git("checkout", "-qb", branch, "main")
        write(built, exclude(work.row(key), WHO))
        git("add", "corrections")
        git("commit", "-qm", branch)
    git("merge", "-q", "--no-edit", "ann")
    placed, issues = read_corrections(built.project)
    assert issues == []
    assert sorted(item.correction.key for item in placed) == KEYS[:2]


def there_and_back(bench: Bench, folder: Path, format: str, edit: Any, snapshot: str = "cleaned") -> Returned:
    held = bench.open(snapshot)
    export_keys(held, KEYS[:3], folder, format=format)
    edit(folder)
    return compare_returned(Workbench(bench.project), held, folder, WHO, format=format)


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "csv"])
@pytest.mark.parametrize("snapshot", ["cleaned", "raw/pets"])
def test_what_comes_back_unchanged_is_no_correction(built: Bench, tmp_path: Path, format: str, snapshot: str) -> None:
    found = there_and_back(built, tmp_path / "out", format, lambda folder: None, snapshot)
    assert found.samples == 3
    assert found.corrections == []
    assert found.issues == []


def edit_coco(folder: Path) -> None:
    """Moves a box, renames one, deletes one and adds one; and does what tools do: other ids, rounded numbers."""
    path = next((folder / "annotations").glob("*.json"))
    for other in (folder / "annotations").glob("*.json"):
        document = json.loads(other.read_text())
        names = {item["id"]: item["file_name"].rpartition("/")[2] for item in document["images"]}
        dog = next(item["id"] for item in document["categories"] if item["name"] == "dog")
        for image in document["images"]:
            image["file_name"] = f"upload-77-{names[image['id']]}"
        kept = []
        for item in document["annotations"]:
            name, x = names[item["image_id"]], item["bbox"][0]
            item["bbox"] = [value + 0.2 for value in item["bbox"]]
            if "00" in name and x < 10:
                item["bbox"] = [6.0, 4.0, 20.0, 16.0]
            elif "01" in name and x < 10:
                item["category_id"] = dog
            elif "02" in name and x < 10:
                continue
            kept.append({**item, "id": item["id"] + 5000})
        for identity, name in names.items():
            if "02" in name:
                kept.append({"id": 9999, "image_id": identity, "category_id": dog, "bbox": [2, 30, 8, 8], "iscrowd": 0})
        other.write_text(json.dumps({**document, "annotations": kept}))
    assert path.is_file()


@pytest.mark.parametrize("snapshot", ["cleaned", "raw/pets"])
def test_what_was_changed_comes_back_as_corrections(built: Bench, tmp_path: Path, snapshot: str) -> None:
    found = there_and_back(built, tmp_path / "out", "coco", edit_coco, snapshot)
    assert found.issues == []
    assert sorted((item.action, item.key) for item in found.corrections) == [
        ("add", KEYS[2]),
        ("delete", KEYS[2]),
        ("set", KEYS[0]),
        ("set", KEYS[1]),
    ]
    write(built, *found.corrections)
    info = built.clean().info
    assert info.issues == ()
    cleaned = built.open("cleaned")
    assert [value for _, value in boxes(cleaned, KEYS[0]).values()] == [
        (6.0, 4.0, 20.0, 16.0),
        (30.0, 20.0, 24.0, 20.0),
    ]
    assert [category for category, _ in boxes(cleaned, KEYS[1]).values()] == ["dog", "dog"]
    assert [value for _, value in boxes(cleaned, KEYS[2]).values()] == [(30.0, 20.0, 24.0, 20.0), (2.0, 30.0, 8.0, 8.0)]
    again = compare_returned(Workbench(built.project), cleaned, tmp_path / "out", WHO, format="coco")
    assert again.corrections == []


def test_pictures_of_another_size_give_corrections_of_the_raw_one(built: Bench, tmp_path: Path) -> None:
    built.params(clean={"pixels.max_side_px": 32})
    built.clean()
    assert boxes(built.open("cleaned"), KEYS[0])["1"][1] == (2.0, 2.0, 10.0, 8.0)

    def edit(folder: Path) -> None:
        for path in (folder / "annotations").glob("*.json"):
            document = json.loads(path.read_text())
            for item in document["annotations"]:
                if item["bbox"] == [2.0, 2.0, 10.0, 8.0]:
                    item["bbox"] = [5.0, 2.0, 10.0, 8.0]
            path.write_text(json.dumps(document))

    found = there_and_back(built, tmp_path / "out", "coco", edit)
    assert len(found.corrections) == 3
    write(built, *found.corrections)
    built.clean()
    assert boxes(built.open("cleaned"), KEYS[0])["1"][1] == (5.0, 2.0, 10.0, 8.0)
    built.params(clean={"pixels.max_side_px": None})
    built.clean()
    assert boxes(built.open("cleaned"), KEYS[0])["1"][1] == (10.0, 4.0, 20.0, 16.0)


def test_what_cannot_be_taken_is_said_and_the_rest_is_taken(built: Bench, tmp_path: Path) -> None:
    def edit(folder: Path) -> None:
        for path in (folder / "annotations").glob("*.json"):
            document = json.loads(path.read_text())
            document["categories"].append({"id": 77, "name": "horse"})
            for image in document["images"]:
                if "00" in image["file_name"]:
                    image["file_name"] = "somebody-elses.jpg"
                else:
                    first = next(item for item in document["annotations"] if item["image_id"] == image["id"])
                    first["category_id"] = 77
            path.write_text(json.dumps(document))

    found = there_and_back(built, tmp_path / "out", "coco", edit)
    assert found.corrections == []
    codes = sorted({issue.code for issue in found.issues})
    assert "correction-unknown-category" in codes
    assert "correction-unknown-key" in codes


def test_whatever_comes_back_no_line_is_made_that_stops_the_build(built: Bench, tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"bbox": [1, 1, 0, 0]},
        {"bbox": [1e300, 1, 5, 5]},
        {"bbox": [3, 3, 9, 9], "segmentation": [[1, 1, 2, 2]]},
        {"bbox": [3, 3, 9, 9], "segmentation": {"size": [48, 64], "counts": "nonsense"}},
        {"bbox": [3, 3, 9, 9], "attributes": {"deep": [[[[[[["x"]]]]]]], "text": "\u202e"}},
        {"bbox": "no box"},
    ]

    def edit(folder: Path) -> None:
        for path in (folder / "annotations").glob("*.json"):
            document = json.loads(path.read_text())
            image = document["images"][0]["id"]
            more = [{"id": 900 + n, "image_id": image, "category_id": 1, **item} for n, item in enumerate(bad)]
            path.write_text(json.dumps({**document, "annotations": [*document["annotations"], *more]}))

    found = there_and_back(built, tmp_path / "out", "coco", edit)
    assert all(item.action == "add" for item in found.corrections)
    write(built, *found.corrections)
    assert read_corrections(built.project)[1] == []
    built.params(clean={"max_invalid": 1.0})
    assert built.clean().info.issues == ()


def test_what_is_made_of_a_picture_is_not_corrected(built: Bench, tmp_path: Path) -> None:
    built.augment()
    with pytest.raises(UsageError, match="augmented"):
        compare_returned(Workbench(built.project), built.open("augmented"), tmp_path, WHO, format="coco")


def test_names_tell_keys() -> None:
    keys = ["a/b/c.jpg", "a/b__c.jpg", "a/B/C.png", "a/Ü x.jpg", "a/v1.0/img", f"a/{'long' * 60}.jpg", "b/only.jpg"]
    names = KeyNames(keys)
    stems = [names.stem(key) for key in keys]
    assert len({stem.casefold() for stem in stems}) == len(keys)
    assert all("/" not in stem and " " not in stem and len(stem.encode()) < 140 for stem in stems)
    for key, stem in zip(keys, stems, strict=True):
        for returned in (f"{stem}.jpg", f"images/{stem}.png", f"4f2a9-{stem}.jpg", stem, key, f"images/{key}"):
            assert names.find(returned) == key
    assert names.find("only.png") == "b/only.jpg"
    assert names.find("nothing.jpg") is None
