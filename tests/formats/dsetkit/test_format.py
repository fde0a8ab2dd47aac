from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import DsetkitError, FormatError, SnapshotError, StorageError
from dsetkit.formats import registry
from dsetkit.formats.dsetkit.format import Dsetkit
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract, check_labels, png
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.storage.scan import scan

CATEGORIES = [{"name": "cat", "index": 0, "supercategory": "animal", "source_ids": ["3"]}, {"name": "dog", "index": 1}]


def row_of(number: int, **fields: Any) -> dict[str, Any]:
    data = png(32, 24, number)
    annotation = {
        "id": "b7",
        "kind": "rotated_box",
        "category": "cat",
        "rotated_box": {"cx": 16.0, "cy": 12.0, "w": 10.0, "h": 4.0, "angle": 30.0},
        "bbox_xywh_px": [10.7, 7.8, 10.7, 8.5],
        "status": "declined",
        "track": {"id": "1"},
        "attributes": {"occluded": True},
        "extras": {"coco": {"synset": "cat.n.01"}},
    }
    return {
        "key": f"pets/{number:02}.png",
        "digest": hashlib.sha256(data).hexdigest(),
        "media_type": "image/png",
        "width_px": 32,
        "height_px": 24,
        "mode": "L",
        "phash": 2**63 + number,
        "sharpness": 1.5,
        "channel_mean": [0.5, 0.5, 0.5],
        "labelled": "partial",
        "annotations": [annotation],
        "provenance": {"uri": "https://example.org", "license": "CC0"},
        "split_group": "g",
        **fields,
    }


def write(place: Path, rows: list[dict[str, Any]], **info: Any) -> Path:
    writer = SnapshotWriter(place, target_bytes=500)
    for row in rows:
        data = png(32, 24, int(row["key"].rpartition("/")[2][:2]))
        picture = PictureBytes(hashlib.sha256(data).hexdigest(), len(data), ".png", lambda data=data: data)  # type: ignore[misc]
        writer.add(row, picture if "digest" in row else None, rejected="reason" in row)
    about = {"stage": "cleaned", "name": "cleaned", "categories": CATEGORIES, "info": {"year": 2024}}
    writer.finish({**about, "licenses": [{"name": "CC0"}], **info})
    return place


def rows() -> list[dict[str, Any]]:
    made = [row_of(number) for number in range(9)]
    made[0] |= {"split": "train", "subsets": ["fold 1", "train"]}
    made[1] |= {"subsets": ["fold 1"]}
    made[2] |= {"labelled": "yes", "annotations": [], "derived_from": ["pets/00.png"], "recipe": {"name": "flip"}}
    made[3] |= {"reason": "picture-corrupt", "what": "sample", "message": "cut off"}
    del made[4]["digest"]
    return made


class TestDsetkit(ReadContract):
    format = Dsetkit()

    def example(self, folder: Path) -> None:
        folder.rmdir()
        write(folder, [row_of(number, split="train") for number in range(4)])


def test_rows_are_as_they_are(tmp_path: Path) -> None:
    opened = open_labels(write(tmp_path / "s", rows()))
    assert opened.found[0].why == "found snapshot.json, a snapshot of dsetkit"
    labels = opened.labels
    found = {row["key"]: row for row in labels.rows}
    assert list(found) == [f"pets/{number:02}.png" for number in (0, 1, 2, 4, 5, 6, 7, 8)]
    expected = {name: row_of(5)[name] for name in ("key", "width_px", "height_px", "labelled", "annotations")}
    assert found["pets/05.png"] == expected | {name: row_of(5)[name] for name in ("provenance", "split_group")}
    assert found["pets/00.png"]["subsets"] == ["train", "fold 1"]
    assert "split" not in found["pets/00.png"]
    assert found["pets/01.png"]["subsets"] == ["fold 1"]
    assert found["pets/02.png"]["labelled"] == "yes"
    assert found["pets/02.png"]["recipe"] == {"name": "flip"}
    assert [category.to_row() for category in labels.categories] == [
        {"name": "cat", "index": 0, "supercategory": "animal", "source_ids": ("3",)},
        {"name": "dog", "index": 1},
    ]
    assert (labels.info, labels.licenses[0].name) == ({"year": 2024}, "CC0")
    assert [(issue.code, issue.severity) for issue in labels.issues] == [
        ("rejected-unread", "info"),
        ("picture-missing", "error"),
    ]
    assert labels.issues[0].describe() == (
        "rejected.parquet: the snapshot had turned away 1 samples or annotations; they are not read. See "
        "rejected.parquet, or take the raw snapshot in. [rejected-unread]"
    )


def test_pictures_are_read_from_shards_by_their_place(tmp_path: Path) -> None:
    opened = open_labels(write(tmp_path / "s", rows()))
    assert len(list((tmp_path / "s" / "shards").iterdir())) > 1
    for number in (0, 1, 5, 8):
        assert opened.tree.read(f"pets/{number:02}.png") == png(32, 24, number)
    reader = pickle.dumps(opened.tree.reader("pets/08.png"))
    assert len(reader) < 1500
    assert pickle.loads(reader)() == png(32, 24, 8)
    assert "pets/04.png" not in opened.tree.entries


def test_a_snapshot_in_a_folder_or_an_archive_and_several(tmp_path: Path) -> None:
    import shutil

    write(tmp_path / "data" / "cleaned", rows())
    assert len(read_labels(tmp_path)) == 8
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "data")
    opened = open_labels(packed)
    assert opened.tree.read("pets/08.png") == png(32, 24, 8)
    write(tmp_path / "data" / "raw", rows())
    assert Dsetkit().detect(scan(tmp_path)) is not None
    with pytest.raises(FormatError, match=r"has 2 snapshots \(data/cleaned, data/raw\)") as caught:
        read_labels(tmp_path, "dsetkit")
    assert caught.value.hint == "Name the folder of one of them."


def test_an_empty_snapshot(tmp_path: Path) -> None:
    found = read_labels(write(tmp_path / "s", []))
    assert len(found) == 0
    assert [category.name for category in found.categories] == ["cat", "dog"]


def test_a_missing_part_and_a_damaged_picture(tmp_path: Path) -> None:
    place = write(tmp_path / "s", rows())
    shard = sorted((place / "shards").iterdir())[0]
    data = shard.read_bytes()
    shard.write_bytes(data.replace(b"IDAT", b"IDAX"))
    opened = open_labels(place)
    inside = next(key for key, entry in opened.tree.entries.items() if f"{shard.name}//" in entry.raw)
    with pytest.raises(StorageError, match="is not the one that was packed"):
        opened.tree.read(inside)
    shard.unlink()
    with pytest.raises(SnapshotError) as caught:
        read_labels(place)
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"fingerprint": "x"},
        {"parts": 7},
        {"shards": [{"name": "../../etc/passwd", "digest": "0" * 64, "size_bytes": 1, "rows": 1}]},
        {"categories": [{"name": ""}]},
    ],
)
def test_documents_that_cannot_be(tmp_path: Path, change: dict[str, Any]) -> None:
    place = write(tmp_path / "s", rows())
    document = json.loads((place / "snapshot.json").read_text())
    (place / "snapshot.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(DsetkitError) as caught:
        read_labels(place, "dsetkit")
    assert caught.value.hint


def test_another_document_of_that_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").write_text("[]")
    (tmp_path / "a.png").write_bytes(png(4, 4))
    found, _ = registry.detect(scan(tmp_path))
    assert found.format == "image_folder"


def test_what_is_exported_and_taken_in_again_is_the_same(tmp_path: Path) -> None:
    found = read_labels(write(tmp_path / "s", rows()), "dsetkit")
    check_labels(found)
    assert found.is_table
