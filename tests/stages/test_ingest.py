"""``ingest``: what is taken in, what is turned away, and what is not computed again."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.errors import ChangedError, LockError, NotFoundError, UsageError
from dsetkit.snapshots.verify import verify
from dsetkit.stages.build import Build
from dsetkit.stages.manage import add_source, source_params


def test_every_sample_and_annotation_is_accounted_for(bench: Bench) -> None:
    bench.source.put("cut.jpg", picture_bytes(50)[:-400], [("cat", [1, 1, 5, 5])])
    bench.source.put("notes.png", b"not a picture", [])
    bench.source.put("lonely.jpg", picture_bytes(51))
    bench.source.boxes["gone.jpg"] = [("dog", [0, 0, 9, 9])]
    bench.add()
    result = bench.ingest()
    counts = result.info.counts
    assert (counts.samples_in, counts.annotations_in) == (16, 26)
    assert counts.samples + counts.rejected_samples == counts.samples_in
    assert counts.annotations + counts.rejected_annotations == counts.annotations_in
    rejected = bench.open("raw/pets").rejected.to_pylist()
    assert {row["key"]: row["reason"] for row in rejected} == {
        "pets/images/cut.jpg": "picture-truncated",
        "pets/images/notes.png": "picture-unknown",
        "pets/gone.jpg": "picture-missing",
    }
    packed = {row["key"] for row in rejected if row["shard"] is not None}
    assert packed == {"pets/images/cut.jpg", "pets/images/notes.png"}
    assert bench.open("raw/pets")["pets/images/lonely.jpg"].labelled == "no"
    assert verify(bench.open("raw/pets")) == []


def test_bytes_and_labels_are_kept_as_they_came(bench: Bench) -> None:
    bench.add()
    bench.ingest()
    snapshot = bench.open("raw/pets")
    assert snapshot.read_bytes("pets/images/03.jpg") == bench.source.pictures["03.jpg"]
    boxes = [item.bbox_xywh_px for item in snapshot["pets/images/03.jpg"].annotations]
    assert boxes == [(4.0, 4.0, 20.0, 16.0), (30.0, 20.0, 24.0, 20.0)]


def test_a_source_that_nobody_locked_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match=r"there is no source 'pets'.*dsetkit add pets PATH"):
        bench.ingest()


def test_a_source_that_changed_since_is_refused_and_says_what_differs(bench: Bench) -> None:
    bench.add()
    bench.source.put("new.jpg", picture_bytes(99), [])
    bench.source.put("00.jpg", picture_bytes(98))
    bench.source.write()
    with pytest.raises(LockError) as caught:
        bench.ingest()
    assert str(caught.value) == (
        "the source 'pets' is no longer what was locked: 1 new: images/new.jpg; "
        "2 changed: annotations.json, images/00.jpg. "
        "Take the new state in: dsetkit update pets; or put the old files back."
    )
    assert not (bench.root / "data/raw/pets").exists()


def test_five_more_pictures_decode_five(bench: Bench) -> None:
    bench.params(shards={"target_bytes": 8192})
    bench.add()
    first = bench.ingest()
    assert (first.decoded, first.reused) == (12, 0)
    before = {shard.name for shard in first.info.shards}
    for number in range(100, 105):
        bench.source.put(f"{number}.jpg", picture_bytes(number), [])
    bench.update()
    second = bench.ingest()
    assert (second.decoded, second.reused) == (5, 12)
    assert second.shards_linked == len(before & {shard.name for shard in second.info.shards}) > 0


def test_a_changed_label_rewrites_no_shard(bench: Bench) -> None:
    bench.add()
    first = bench.ingest()
    bench.source.boxes["00.jpg"] = [("dog", [5.0, 5.0, 10.0, 10.0])]
    bench.update()
    second = bench.ingest()
    assert (second.decoded, second.shards_packed) == (0, 0)
    assert [shard.name for shard in first.info.shards] == [shard.name for shard in second.info.shards]
    assert first.info.fingerprint != second.info.fingerprint


@pytest.mark.parametrize("workers", [1, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(bench: Bench, workers: int) -> None:
    bench.add()
    bench.ingest(workers=2)
    expected = tree_bytes(bench.root / "data/raw/pets")
    for path in sorted((bench.root / "data/raw/pets").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    bench.ingest(workers=workers)
    assert tree_bytes(bench.root / "data/raw/pets") == expected


def test_params_changed_meanwhile_stop_it_before_the_swap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.add()
    bench.ingest()
    before = tree_bytes(bench.root / "data/raw/pets")
    bench.source.put("more.jpg", picture_bytes(77), [])
    bench.update()
    from dsetkit.stages.ingest import _Ingest

    add = _Ingest.add

    def edit_and_add(self: _Ingest, *rest: object) -> None:
        bench.params(ingest={"max_pixels": 12345})
        add(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(_Ingest, "add", edit_and_add)
    with pytest.raises(ChangedError, match=r"changed while the stage ran: params.yaml: ingest; pets was not replaced"):
        bench.ingest()
    assert tree_bytes(bench.root / "data/raw/pets") == before


def test_labels_of_the_stored_picture_are_turned_upright(bench: Bench) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    bench.source.put("turned.jpg", picture_bytes(60, (64, 48), exif=exif.tobytes()), [("cat", [0.0, 0.0, 10.0, 20.0])])
    bench.add()
    bench.ingest()
    sample = bench.open("raw/pets")["pets/images/turned.jpg"]
    assert (sample.width_px, sample.height_px, sample.exif_orientation) == (48, 64, 6)
    assert sample.annotations[0].bbox_xywh_px == (28.0, 0.0, 20.0, 10.0)


def test_the_contract_of_a_source_is_checked(bench: Bench) -> None:
    (bench.root / "schemas" / "pets.py").write_text(
        "from typing import Literal\nimport dsetkit\nclass Label(dsetkit.Annotation):\n    category: Literal['cat']\n"
    )
    bench.add(schema="schemas.pets:Label")
    bench.ingest()
    annotations = bench.open("raw/pets")["pets/images/00.jpg"].annotations
    assert [[item.code for item in one.issues] for one in annotations] == [[], ["contract-category"]]


def test_rows_say_where_a_sample_is_from(bench: Bench) -> None:
    bench.add(license="CC-BY-4.0")
    bench.ingest()
    table = bench.open("raw/pets").table
    assert pc.struct_field(table["provenance"], "uri").to_pylist()[0] == "images/00.jpg"
    assert pc.struct_field(table["provenance"], "license").to_pylist()[0] == "CC-BY-4.0"


def test_the_contract_of_one_label_file_is_for_its_labels_alone(bench: Bench) -> None:
    import json

    (bench.root / "schemas" / "pets.py").write_text(
        "from typing import Literal\nimport dsetkit\n"
        "class Label(dsetkit.Annotation):\n    kind: Literal['box']\n    category: Literal['cat']\n"
    )
    bench.source.write()
    document = json.loads((bench.source.folder / "annotations.json").read_text())
    captions = [{"id": 900, "image_id": document["images"][0]["id"], "caption": "a cat and a dog"}]
    (bench.source.folder / "captions.json").write_text(
        json.dumps({"images": document["images"], "annotations": captions})
    )
    labels = [
        {"format": "coco", "file": "annotations.json", "schema": "schemas.pets:Label"},
        {"format": "coco", "file": "captions.json", "annotator": "anna"},
    ]
    bench.add(labels=labels)
    bench.ingest()
    annotations = bench.open("raw/pets")["pets/images/00.jpg"].annotations
    assert {(one.kind, one.category, one.annotator): [item.code for item in one.issues] for one in annotations} == {
        ("box", "cat", None): [],
        ("box", "dog", None): ["contract-category"],
        ("caption", None, "anna"): [],
    }


def test_two_runs_do_not_build_one_snapshot_at_once(bench: Bench) -> None:
    bench.add()
    with Build(bench.project, bench.project.raw("pets"), dict, stage="raw/pets"):
        with pytest.raises(UsageError, match="another run is building pets right now"):
            bench.ingest()
        assert not (bench.root / "data" / "raw" / "pets").exists()
    bench.ingest()


def test_a_source_may_be_a_file_url(bench: Bench) -> None:
    bench.source.write()
    found = source_params(bench.project, f"file://{bench.source.folder}")
    add_source(bench.project, "pets", found)
    assert bench.ingest().info.counts.samples == 12
