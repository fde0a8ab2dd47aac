"""``augment``: variants, their labels, and originals that cost nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.augmentation.apply import replay
from dsetkit.errors import CheckError, SnapshotError, UsageError
from dsetkit.snapshots.verify import verify
from dsetkit.snapshots.write import SnapshotWriter
from dsetkit.storage.atomic import remove_tree

FLIP: dict[str, Any] = {"operations": [{"op": "flip"}]}
TURN: dict[str, Any] = {
    "variants": 2,
    "operations": [{"op": "rotate", "angle_deg": [-10.0, 10.0]}, {"op": "noise"}],
    "fill": "reflect",
}


def test_variants_stay_in_their_parents_split_and_originals_are_carried_over(bench: Bench) -> None:
    bench.params(augment={"recipes": {"flip": FLIP, "turn": TURN}})
    bench.add()
    bench.build()
    cleaned, augmented = bench.open("cleaned"), bench.open("augmented")
    train = [sample.key for sample in cleaned if sample.split == "train"]
    counts = augmented.info.counts
    assert counts.added_samples == 3 * len(train)
    assert counts.samples == counts.samples_in + counts.added_samples
    assert counts.annotations + counts.rejected_annotations == counts.annotations_in + counts.added_annotations
    for sample in augmented:
        if sample.derived_from:
            parent = cleaned[sample.derived_from[0]]
            assert (sample.split, parent.split) == ("train", "train")
            assert sample.recipe is not None
            made = replay(cleaned.read_bytes(parent.key), sample.recipe.to_row())
            assert made == augmented.read_bytes(sample.key)
        else:
            assert sample == cleaned[sample.key]
    assert {shard.name for shard in cleaned.info.shards} <= {shard.name for shard in augmented.info.shards}
    assert {part.name for part in cleaned.info.parts} <= {part.name for part in augmented.info.parts}
    assert [sample.key for sample in augmented] == sorted(
        (sample.key for sample in augmented), key=lambda key: key.encode()
    )
    assert verify(augmented) == []


def test_a_flipped_box_is_where_the_mirror_puts_it(bench: Bench) -> None:
    bench.params(augment={"recipes": {"flip": {**FLIP, "splits": ["train", "val", "test"]}}})
    bench.add()
    bench.build()
    boxes = [item.bbox_xywh_px for item in bench.open("augmented")["pets/images/00@flip.0.jpg"].annotations]
    assert boxes == [(40.0, 4.0, 20.0, 16.0), (10.0, 20.0, 24.0, 20.0)]


def test_one_recipe_more_makes_only_its_variants(bench: Bench) -> None:
    bench.params(augment={"recipes": {"flip": FLIP}})
    bench.add()
    first = bench.build()[2]
    assert first.decoded == first.info.counts.added_samples
    bench.params(augment={"recipes": {"flip": FLIP, "turn": TURN}})
    second = bench.augment()
    assert second.decoded == first.decoded  # each parent once, for both variants of the new recipe
    assert second.reused == first.info.counts.added_samples


def test_a_changed_label_makes_no_variant_anew(bench: Bench) -> None:
    bench.params(augment={"recipes": {"flip": FLIP}})
    bench.add()
    bench.build()
    bench.source.boxes["00.jpg"] = [("dog", [5.0, 5.0, 10.0, 10.0])]
    bench.update()
    for result in bench.build():
        assert (result.decoded, result.shards_packed) == (0, 0)


def test_a_variant_may_not_take_a_samples_key(bench: Bench) -> None:
    bench.source.put("00@flip.0.jpg", picture_bytes(70), [])
    bench.params(augment={"recipes": {"flip": {**FLIP, "splits": ["train", "val", "test"]}}})
    bench.add()
    bench.ingest()
    bench.clean()
    with pytest.raises(UsageError, match=r"the key pets/images/00@flip.0.jpg of a variant is taken already"):
        bench.augment()


@pytest.mark.parametrize("workers", [1, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(bench: Bench, workers: int) -> None:
    bench.params(augment={"recipes": {"flip": FLIP, "turn": TURN}}, clean={"pixels.max_side_px": 40})
    bench.add()
    bench.build(workers=2)
    expected = tree_bytes(bench.root / "data")
    for name in ("raw/pets", "cleaned", "augmented"):
        remove_tree(bench.root / "data" / name)
    bench.build(workers=workers)
    assert tree_bytes(bench.root / "data") == expected


def test_carrying_originals_over_gives_what_adding_each_row_gives(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.params(shards={"target_bytes": 4096}, augment={"recipes": {"flip": FLIP, "turn": TURN}})
    bench.add()
    carried = bench.build()[2]
    expected = tree_bytes(bench.root / "data")
    remove_tree(bench.root / "data" / "augmented")
    monkeypatch.setattr(SnapshotWriter, "carry", lambda writer, snapshot: False)
    added = bench.augment()
    assert tree_bytes(bench.root / "data") == expected
    assert added.to_json() == carried.to_json()


def test_a_damaged_shard_of_the_memory_is_made_anew(bench: Bench) -> None:
    bench.params(shards={"target_bytes": 4096}, augment={"recipes": {"flip": FLIP}})
    bench.add()
    bench.build()
    expected = tree_bytes(bench.root / "data")
    cleaned = {part.name for part in bench.open("cleaned").info.shards}
    shard = next(part.name for part in bench.open("augmented").info.shards if part.name not in cleaned)
    with (bench.root / "data" / "augmented" / shard).open("r+b") as file:
        file.seek(700)
        file.write(b"damage")
    result = bench.augment()
    assert tree_bytes(bench.root / "data") == expected
    assert result.decoded
    assert result.reused
    assert result.shards_packed == 1


def test_a_damaged_shard_of_the_input_stops_it(bench: Bench) -> None:
    bench.params(augment={"recipes": {"flip": FLIP}})
    bench.add()
    bench.build()
    remove_tree(bench.root / "data" / "augmented")
    shard = bench.open("cleaned").info.shards[0].name
    path = bench.root / "data" / "cleaned" / shard
    data = bytearray(path.read_bytes())
    data[700] ^= 255
    path.unlink()
    path.write_bytes(data)
    with pytest.raises((CheckError, SnapshotError), match="is damaged"):
        bench.augment()
    assert not (bench.root / "data" / "augmented").exists()
