"""Reading: by key, by number, by column, in selections; always in key order."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from dsetkit.errors import NotFoundError, SnapshotError, UsageError
from dsetkit.snapshots.fingerprint import fingerprint
from dsetkit.snapshots.read import Selection, Snapshot, open_snapshot
from dsetkit.spec.sample import Sample
from dsetkit.storage.folder import RemoteFolder


@pytest.fixture
def augmented(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> Snapshot:
    """Originals and variants, whose parts interleave."""
    variants = [
        (kit.row_of(n + 500, key=kit.row_of(n)["key"] + "~flip-0", split="train"), kit.picture_of(n + 500))
        for n in range(0, 60, 2)
    ]
    kit.write_snapshot(tmp_path / "augmented", kit.numbered(range(60)), variants)
    return open_snapshot(tmp_path / "augmented")


@pytest.fixture(params=["snapshot", "augmented", "remote"])
def any_snapshot(request: pytest.FixtureRequest) -> Snapshot:
    """One whose parts follow each other, one whose parts interleave, and that one read by ranges."""
    if request.param != "remote":
        found: Snapshot = request.getfixturevalue(request.param)
        return found
    there = request.getfixturevalue("augmented")
    return open_snapshot(RemoteFolder(_to_memory(Path(there.folder.url))))


def _to_memory(folder: Path) -> str:
    import fsspec

    fsspec.filesystem("memory").put(str(folder), f"/{folder.parent.name}", recursive=True)
    return f"memory://{folder.parent.name}"


def test_everything_is_in_key_order(any_snapshot: Snapshot) -> None:
    keys = any_snapshot.table["key"].to_pylist()
    assert len(keys) == len(any_snapshot) > 50
    assert keys == sorted(keys, key=str.encode)
    assert [sample.key for sample in any_snapshot] == keys
    assert any_snapshot.column("key")["key"].to_pylist() == keys
    assert [any_snapshot[number].key for number in range(len(keys))] == keys
    assert [any_snapshot[key].key for key in keys] == keys
    assert any_snapshot[-1].key == keys[-1]


def test_samples_by_key_and_number_are_the_same(any_snapshot: Snapshot) -> None:
    for number, sample in enumerate(any_snapshot):
        assert isinstance(sample, Sample)
        if number % 9 == 0:
            assert any_snapshot[sample.key] == any_snapshot[number] == sample
            assert any_snapshot.row(sample.key) == any_snapshot.row(number)


def test_picture_bytes_by_key_row_and_sample(any_snapshot: Snapshot) -> None:
    keys = any_snapshot.column("key")["key"].to_pylist()
    random.Random(1).shuffle(keys)
    for key in keys[:20]:
        data = any_snapshot.read_bytes(key)
        assert hashlib.sha256(data).hexdigest() == any_snapshot[key].digest
        assert any_snapshot.read_bytes(any_snapshot.row(key)) == data
        assert any_snapshot.read_bytes(any_snapshot[key]) == data


def test_columns_are_projected(any_snapshot: Snapshot) -> None:
    table = any_snapshot.column(("split", "key"))
    assert table.column_names == ["split", "key"]
    (first, *_) = any_snapshot.iter_tables(("annotations.category", "digest", "annotations.id"))
    assert first.column_names == ["annotations", "digest"]
    assert set(first["annotations"].to_pylist()[0][0]) == {"category", "id"}
    assert any_snapshot.column("split")["split"].to_pylist() == any_snapshot.table["split"].to_pylist()
    with pytest.raises(UsageError, match=r"no column 'spilt'. Columns are: key, "):
        any_snapshot.column("spilt")
    with pytest.raises(UsageError, match=r"no column 'annotations.nothing'"):
        any_snapshot.column("annotations.nothing")


def test_iter_tables_gives_about_a_part_at_a_time(any_snapshot: Snapshot) -> None:
    tables = list(any_snapshot.iter_tables())
    assert len(tables) > 3
    assert max(table.num_rows for table in tables) <= 3 * max(part.rows for part in any_snapshot.info.parts)


def test_where(any_snapshot: Snapshot) -> None:
    rows = any_snapshot.table.to_pylist()

    def keys(**conditions: Any) -> list[str]:
        found: list[str] = any_snapshot.where(**conditions).column("key")["key"].to_pylist()
        return found

    def expected(test: Any) -> list[str]:
        return [row["key"] for row in rows if test(row)]

    assert keys() == expected(lambda row: True)
    assert keys(split="train") == expected(lambda row: row["split"] == "train")
    assert keys(split=["train", "val"]) == keys()
    assert keys(split=None) == keys(category=[]) == keys(key="bloo/*") == []
    assert keys(split_group=None) == keys()
    assert keys(labelled="yes") == keys()
    assert keys(labelled=("no", "partial")) == []
    assert keys(source="blood") == expected(lambda row: row["key"].startswith("blood/"))
    assert keys(subset="fold1") == expected(lambda row: "fold1" in row["subsets"])
    assert keys(key="blood/*1?.jpg*") == expected(lambda row: row["key"].startswith("blood/") and row["key"][17] == "1")
    has_wbc = expected(lambda row: any(item["category"] == "WBC" for item in row["annotations"]))
    assert 0 < len(has_wbc) < len(rows)
    assert keys(category="WBC") == has_wbc
    both = keys(category="WBC", split="val")
    assert both == [key for key in has_wbc if key in keys(split="val")]
    assert any_snapshot.where(category="WBC").where(split="val").column("key")["key"].to_pylist() == both


def test_categories_where_several_apply(kit: SimpleNamespace, tmp_path: Path) -> None:
    rows = [
        (kit.row_of(n, annotations=[{"id": "0", "kind": "image_label", "categories": ["a", "b"][: n % 3]}]), None)
        for n in range(6)
    ]
    kit.write_snapshot(tmp_path / "a", rows)
    snapshot = open_snapshot(tmp_path / "a")
    assert (len(snapshot.where(category="a")), len(snapshot.where(category="b"))) == (4, 2)
    assert snapshot.info.counts.per_category == {"a": 4, "b": 2}


def test_a_selection_is_a_snapshot(any_snapshot: Snapshot) -> None:
    part = any_snapshot.where(split="train").take(10, seed=3)
    keys = part.table["key"].to_pylist()
    assert isinstance(part, Selection)
    assert len(part) == len(keys) == 10
    assert keys == sorted(keys)
    assert [sample.key for sample in part] == keys
    assert part[3].key == part[keys[3]].key == keys[3]
    assert part[-1].key == keys[-1]
    assert part.find_key(keys[0].partition("/")[2]) == keys[0]
    assert part.read_bytes(keys[5]) == any_snapshot.read_bytes(keys[5])
    assert part.categories == any_snapshot.categories
    assert keys[0] in part
    other = next(key for key in any_snapshot.table["key"].to_pylist() if key not in keys)
    assert other not in part
    with pytest.raises(NotFoundError):
        part[other]
    with pytest.raises(NotFoundError):
        part.read_bytes(other)
    with pytest.raises(IndexError, match="sample 10 of 10"):
        part[10]


def test_take_is_by_digest_of_seed_and_key(any_snapshot: Snapshot) -> None:
    keys = any_snapshot.table["key"].to_pylist()
    drawn = sorted(keys, key=lambda key: hashlib.sha256(f"5:{key}".encode()).digest())[:7]
    assert any_snapshot.take(7, seed=5).table["key"].to_pylist() == sorted(drawn)
    assert any_snapshot.take(7).table["key"].to_pylist() != sorted(drawn)
    assert len(any_snapshot.take(10_000)) == len(any_snapshot)
    assert len(any_snapshot.take(0)) == 0
    with pytest.raises(UsageError, match=r"take\(-1\) cannot mean anything"):
        any_snapshot.take(-1)


def test_fingerprints_of_selections(any_snapshot: Snapshot) -> None:
    assert any_snapshot.where().fingerprint == any_snapshot.fingerprint == any_snapshot.info.fingerprint
    part = any_snapshot.where(split="val")
    assert part.fingerprint == fingerprint(part.table["row_digest"].to_pylist(), any_snapshot.categories)
    assert part.fingerprint == any_snapshot.where(split=["val"]).fingerprint != any_snapshot.fingerprint


def test_a_snapshot_can_be_sent_to_another_process(any_snapshot: Snapshot) -> None:
    if any_snapshot.folder.url.startswith("memory"):
        pytest.skip("memory: is of one process")
    part = any_snapshot.where(split="val")
    there = pickle.loads(pickle.dumps(part))
    assert there.fingerprint == part.fingerprint
    assert there.read_bytes(there[0]) == part.read_bytes(part[0])


def test_find_key(snapshot: Snapshot, kit: SimpleNamespace, tmp_path: Path) -> None:
    assert snapshot.find_key("blood/picture_00002.jpg") == "blood/picture_00002.jpg"
    assert snapshot.find_key("picture_00003.jpg") == "tissue/picture_00003.jpg"
    kit.write_snapshot(tmp_path / "two", [(kit.row_of(1, key=f"{name}/x/same.jpg"), None) for name in "abcd"])
    two = open_snapshot(tmp_path / "two")
    assert two.find_key("a/x/same.jpg") == "a/x/same.jpg"
    assert two.find_key("b/same.jpg") == "b/x/same.jpg"  # within its source
    assert two["b/same.jpg"].key == "b/x/same.jpg"
    messages = []
    for place, text in (
        (snapshot, "picture_0002.jpg"),
        (snapshot, "nothing alike"),
        (two, "same.jpg"),
        (two, "ame.jpg"),
    ):
        with pytest.raises(NotFoundError) as caught:
            place.find_key(text)
        assert caught.value.name == text
        messages.append(str(caught.value))
    with pytest.raises(NotFoundError) as caught:
        snapshot["blood/picture_00003.jpg"]
    assert [*messages, str(caught.value)] == [
        "cleaned has no sample 'picture_0002.jpg'. Near it: 'blood/picture_00028.jpg', 'blood/picture_00026.jpg', "
        "'blood/picture_00024.jpg'.",
        "cleaned has no sample 'nothing alike'. Its keys look like 'blood/picture_00000.jpg'.",
        "4 samples of cleaned end in 'same.jpg'. Say which: 'a/x/same.jpg', 'b/x/same.jpg', 'c/x/same.jpg' and others.",
        "cleaned has no sample 'ame.jpg'. Near it: 'd/x/same.jpg', 'c/x/same.jpg', 'b/x/same.jpg'.",
        "cleaned has no sample 'blood/picture_00003.jpg'. Near it: 'tissue/picture_00003.jpg'.",
    ]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"categry": "WBC"}, "where() has no condition 'categry'. Did you mean 'category'?"),
        (
            {"colour": "red"},
            "where() has no condition 'colour'. "
            "There are: split, split_group, labelled, source, key, subset, category.",
        ),
        ({"labelled": "maybe"}, "labelled='maybe' is never so. It is 'no', 'partial' or 'yes'."),
        ({"split": 3}, "where(split=3) cannot mean anything. Give a text, or a list of texts."),
        ({"category": None}, "where(category=None) cannot mean anything. Give a text, or a list of texts."),
        ({"category": "WBX"}, "no sample of cleaned has the category 'WBX'. Did you mean 'WBC'? There are: RBC, WBC."),
        ({"category": ["WBC", "x"]}, "no sample of cleaned has the category 'x'. There are: RBC, WBC."),
        ({"split": "valid"}, "no sample of cleaned has the split 'valid'. Did you mean 'val'? There are: train, val."),
        (
            {"source": "bloo"},
            "no sample of cleaned has the source 'bloo'. Did you mean 'blood'? There are: blood, tissue.",
        ),
        ({"subset": "x"}, "no sample of cleaned has the subset 'x'. There are: fold1."),
        (
            {"split_group": "x"},
            "no sample of cleaned has the split group 'x'. No sample has a split group; clean gives them.",
        ),
    ],
)
def test_conditions_that_cannot_be(snapshot: Snapshot, conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        snapshot.where(**conditions)
    assert str(caught.value) == message


def test_what_a_selection_lacks_and_the_snapshot_has_gives_nothing(any_snapshot: Snapshot, tmp_path: Path) -> None:
    blood = any_snapshot.where(source="blood")
    assert len(blood.where(source="tissue")) == 0
    assert len(blood.where(subset="fold1", source=["blood", "tissue"])) == len(blood.where(subset="fold1")) > 0
    assert len(any_snapshot.take(0).where(split="val", category="WBC", subset="fold1")) == 0
    for wrong in ({"source": "tisue"}, {"subset": "fold2"}, {"split": "test"}):
        with pytest.raises(UsageError, match="no sample of cleaned has the s"):
            blood.where(**wrong)


def test_a_category_that_is_listed_may_have_no_annotation(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "a", [(kit.row_of(0, annotations=[]), None)])
    assert len(open_snapshot(tmp_path / "a").where(category="WBC")) == 0


def test_image_is_upright(kit: SimpleNamespace, tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    kit.write_snapshot(tmp_path / "a", [(kit.row_of(1, digest=digest, key="s/a.jpg"), file.getvalue())])
    snapshot = open_snapshot(tmp_path / "a")
    assert snapshot.image("s/a.jpg").size == snapshot.image(0).size == (20, 40)


def test_export_goes_through_what_was_handed_in(tmp_path: Path, kit: SimpleNamespace) -> None:
    kit.write_snapshot(tmp_path / "a", kit.numbered(range(5)))
    called: list[Any] = []

    def export(*arguments: Any, **options: Any) -> str:
        called.append((arguments, options))
        return "report"

    part = open_snapshot(tmp_path / "a", export=export).take(2)
    assert part.export("out", format="yolo", strict=True) == "report"
    assert called == [((part, "out"), {"format": "yolo", "strict": True})]
    with pytest.raises(UsageError, match="opened without formats"):
        open_snapshot(tmp_path / "a").export("out", format="yolo")


def test_a_sample_without_bytes(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "a", [(kit.row_of(1), None)])
    with pytest.raises(SnapshotError, match=r"has no picture bytes for 'tissue/picture_00001\.jpg'\. Only its labels"):
        open_snapshot(tmp_path / "a").read_bytes("tissue/picture_00001.jpg")


def test_shard_members(snapshot: Snapshot, tmp_path: Path) -> None:
    from dsetkit.storage.tar import check_shard

    shards = sorted((tmp_path / "snapshot" / "shards").iterdir())
    assert snapshot.shard_members() == {
        path.name: tuple(member.name for member in check_shard(path)) for path in shards
    }
