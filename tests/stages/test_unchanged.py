"""Shards taken over whole: as if each of their rows had been read, looked up and written again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pyarrow as pa
import pytest
from PIL import Image
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.snapshots.write import SnapshotWriter
from dsetkit.stages.yaml_documents import load_yaml, save_yaml
from dsetkit.storage.atomic import remove_tree

PICTURES = 60


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each shard that was taken over whole."""
    counts: list[int] = []
    carry = SnapshotWriter.carry_shard

    def counted(writer: SnapshotWriter, rows: pa.Table, snapshot: Snapshot, *, is_last: bool) -> bool:
        done = carry(writer, rows, snapshot, is_last=is_last)
        if done:
            counts.append(rows.num_rows)
        return done

    monkeypatch.setattr(SnapshotWriter, "carry_shard", counted)
    return counts


@pytest.fixture
def built(bench: Bench) -> Bench:
    """A project with 60 pictures more, in shards of a few, ingested once."""
    bench.params(shards={"target_bytes": 4096})
    for number in range(PICTURES):
        boxes = [("cat", [number % 9, 2.0, 10.0, 8.0])] if number % 3 else []
        bench.source.put(f"more-{number:02}.jpg", picture_bytes(1000 + number), boxes)
    bench.add()
    bench.ingest()
    return bench


def _assert_as_from_nothing(bench: Bench) -> None:
    found = tree_bytes(bench.root / "data" / "raw")
    remove_tree(bench.root / "data" / "raw" / "pets")
    bench.ingest()
    assert found == tree_bytes(bench.root / "data" / "raw")


def test_an_unchanged_source_is_taken_over_without_a_row(built: Bench, taken: list[int]) -> None:
    before = tree_bytes(built.root / "data" / "raw")
    result = built.ingest()
    assert sum(taken) == result.info.counts.samples == result.reused
    assert result.shards_linked == result.shards_total > 4
    assert result.decoded == result.bytes_packed == 0
    assert tree_bytes(built.root / "data" / "raw") == before
    assert verify(built.open("raw/pets")) == []


def _move_a_box(bench: Bench) -> None:
    bench.source.boxes["more-31.jpg"] = [("dog", [1.0, 2.0, 10.0, 8.0])]


def _turn_a_sign(bench: Bench) -> None:
    """0.0 and −0.0 are equal, and are not the same bytes."""
    bench.source.boxes["more-31.jpg"] = [("cat", [-0.0, 2.0, 10.0, 8.0])]


def _add_one(bench: Bench) -> None:
    bench.source.put("more-30a.jpg", picture_bytes(5000))


def _take_one_away(bench: Bench) -> None:
    del bench.source.pictures["more-31.jpg"], bench.source.boxes["more-31.jpg"]


def _damage_one(bench: Bench) -> None:
    bench.source.put("more-31.jpg", picture_bytes(1031)[:-300])


def _lose_one(bench: Bench) -> None:
    del bench.source.pictures["more-31.jpg"]


def _license(bench: Bench) -> None:
    document = load_yaml(bench.root / "params.yaml")
    document["sources"]["pets"]["license"] = "CC0-1.0"
    save_yaml(bench.root / "params.yaml", document)


def _turned(bench: Bench) -> None:
    """A picture with an EXIF orientation: its labels declare the size as stored."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(io.BytesIO(picture_bytes(1031))).save(buffer, "JPEG", exif=exif)
    bench.source.put("more-31.jpg", buffer.getvalue(), [("cat", [1.0, 2.0, 10.0, 8.0])])


def _another_size(bench: Bench) -> None:
    bench.source.put("more-31.jpg", picture_bytes(1031, (32, 32)))


@pytest.mark.parametrize(
    "change", [_add_one, _move_a_box, _turn_a_sign, _take_one_away, _damage_one, _lose_one, _turned, _another_size]
)
def test_what_is_near_a_change_is_made_again_and_the_rest_taken_over(
    built: Bench, taken: list[int], change: Callable[[Bench], None]
) -> None:
    built.source.boxes["more-31.jpg"] = [("cat", [0.0, 2.0, 10.0, 8.0])]
    built.update()
    built.ingest()
    taken.clear()
    change(built)
    built.update()
    built.ingest()
    assert PICTURES / 2 < sum(taken) < built.open("raw/pets").info.counts.samples
    # And once more: what the change left (a turned label, a picture turned away, an issue) is found again.
    again, issues = tree_bytes(built.root / "data" / "raw"), built.open("raw/pets").info.issues
    built.ingest()
    assert tree_bytes(built.root / "data" / "raw") == again
    assert built.open("raw/pets").info.issues == issues
    _assert_as_from_nothing(built)


def test_what_every_row_says_of_its_source_is_looked_at(built: Bench, taken: list[int]) -> None:
    _license(built)
    built.ingest()
    assert taken == []
    _assert_as_from_nothing(built)
    built.ingest()
    assert taken


def test_a_part_that_is_not_what_its_name_says_is_not_taken_over(built: Bench, taken: list[int]) -> None:
    place = built.root / "data" / "raw" / "pets"
    expected = tree_bytes(place)
    whole = built.open("raw/pets")
    part = whole.info.parts[0]
    document = json.loads((place / "snapshot.json").read_text())
    wrong = "0" * 64
    (place / part.name).rename(place / part.name.replace(part.digest, wrong))
    text = json.dumps(document).replace(part.digest, wrong)
    (place / "snapshot.json").write_text(text)
    built.ingest()
    assert taken == []
    assert tree_bytes(place) == expected
