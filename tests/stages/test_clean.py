"""``clean``: what is kept, what is turned away and why, and what is not computed again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.bench import Bench, picture_bytes

from dsetkit.errors import CheckError, SnapshotError, UsageError
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.stages.build import Build


def reasons(snapshot: Snapshot) -> dict[str, str]:
    return {row["key"].rpartition("/")[2]: row["reason"] for row in snapshot.rejected.to_pylist()}


def test_without_a_source_it_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(UsageError) as caught:
        bench.clean()
    assert str(caught.value) == ("the project has no source yet. Add one: dsetkit add NAME PATH, then dvc repro.")


def test_it_never_builds_on_absent_data(bench: Bench) -> None:
    bench.add()
    with pytest.raises(
        SnapshotError, match=r"data/raw/pets holds no snapshot.*dvc repro ingest@pets; or fetch it: dvc pull"
    ):
        bench.clean()


def test_every_sample_and_annotation_is_accounted_for(bench: Bench) -> None:
    same, other = picture_bytes(40), picture_bytes(41)
    bench.source.put("same-a.jpg", same, [("cat", [1, 1, 9, 9])])
    bench.source.put("same-b.jpg", same, [("cat", [1, 1, 9, 9])])
    bench.source.put("differ-a.jpg", other, [("cat", [1, 1, 9, 9])])
    bench.source.put("differ-b.jpg", other, [("dog", [1, 1, 9, 9])])
    bench.source.put("dark.png", _flat(1), [("cat", [1, 1, 9, 9])])
    bench.source.put("tiny.png", picture_bytes(42, (6, 6), "PNG"), [])
    bench.source.boxes["00.jpg"] = [("cat", [5.0, 5.0, 0.0, 0.0]), ("dog", [50.0, 30.0, 15.5, 18.0])]
    bench.params(clean={"max_invalid": 0.5})
    bench.source.boxes["01.jpg"] = [("cat", [50.0, 30.0, 40.0, 18.0])]
    bench.add()
    bench.ingest()
    result = bench.clean()
    counts = result.info.counts
    assert counts.samples_in == counts.samples + counts.rejected_samples == 18
    assert counts.annotations_in == counts.annotations + counts.rejected_annotations
    cleaned = bench.open("cleaned")
    assert reasons(cleaned) == {
        "same-b.jpg": "duplicate",
        "differ-a.jpg": "duplicate-labels-differ",
        "differ-b.jpg": "duplicate-labels-differ",
        "dark.png": "picture-dark",
        "tiny.png": "picture-small",
        "00.jpg": "box-degenerate",
        "01.jpg": "outside-picture",
    }
    repaired = cleaned["pets/images/00.jpg"]
    assert repaired.labelled == "partial"
    assert [item.bbox_xywh_px for item in repaired.annotations] == [(50.0, 30.0, 14.0, 18.0)]
    assert repaired.annotations[0].issues[0].code == "clipped"
    assert cleaned["pets/images/01.jpg"].labelled == "partial"
    assert verify(cleaned) == []


def _flat(level: int) -> bytes:
    import io

    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 2, (48, 64), dtype=np.uint8) * level
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_unknown_category_fails_and_names_it(bench: Bench) -> None:
    bench.params(clean={"categories.names": ["cat", "hound"]})
    bench.add()
    bench.ingest()
    with pytest.raises(CheckError) as caught:
        bench.clean()
    assert str(caught.value) == (
        "labels have categories that the dataset does not: 'dog' (12 in pets). Map each in clean.categories.map (null "
        "drops it), add it to clean.categories.names, or set clean.categories.unknown: drop."
    )


def test_categories_are_mapped_renamed_and_dropped(bench: Bench) -> None:
    bench.params(clean={"categories.map": {"cat": "pet", "dog": None}})
    bench.add()
    bench.ingest()
    info = bench.clean().info
    assert [item.name for item in info.categories] == ["pet"]
    assert info.counts.per_category == {"pet": 12}
    assert info.counts.per_reason == {"category-dropped": 12}
    assert info.counts.per_change["category-mapped"] == 12
    assert bench.open("cleaned")[0].labelled == "yes"


def test_too_many_invalid_labels_fail_the_build(bench: Bench) -> None:
    bench.source.boxes["01.jpg"] = [("cat", [50.0, 30.0, 40.0, 18.0]), ("dog", [1.0, 1.0, 9.0, 9.0])]
    bench.add()
    bench.ingest()
    with pytest.raises(
        CheckError, match=r"1 of 24 annotations are invalid \(4.2%\), more than clean.max_invalid = 0.02"
    ):
        bench.clean()


@pytest.mark.parametrize(
    ("action", "samples", "annotations"), [("drop", 12, 12), ("drop_sample", 0, 0), ("keep", 12, 24)]
)
def test_what_breaks_the_contract_goes_as_the_params_say(
    bench: Bench, action: str, samples: int, annotations: int
) -> None:
    (bench.root / "schemas" / "pets.py").write_text(
        "from typing import Literal\nimport dsetkit\nclass Label(dsetkit.Annotation):\n    category: Literal['cat']\n"
    )
    bench.params(clean={"on_invalid": action, "max_invalid": 1.0})
    text = (bench.root / "params.yaml").read_text().replace("schema: null", "schema: schemas.pets:Label")
    (bench.root / "params.yaml").write_text(text)
    bench.add()
    bench.ingest()
    info = bench.clean().info
    assert (info.counts.samples, info.counts.annotations) == (samples, annotations)
    assert info.schema_ is not None
    assert info.schema_.reference == "schemas.pets:Label"


def test_pictures_are_brought_to_what_params_ask(bench: Bench) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    bench.source.put("turned.jpg", picture_bytes(60, (64, 48), exif=exif.tobytes()), [("cat", [28.0, 0.0, 20.0, 10.0])])
    bench.params(clean={"pixels.mode": "RGB", "pixels.max_side_px": 32, "pixels.format": "png"})
    bench.add(labels=[{"format": "coco", "frame": "upright"}])
    bench.ingest()
    bench.clean()
    cleaned = bench.open("cleaned")
    turned = cleaned["pets/images/turned.jpg"]
    assert (turned.width_px, turned.height_px, turned.media_type, turned.mode) == (24, 32, "image/png", "RGB")
    assert turned.annotations[0].bbox_xywh_px == (14.0, 0.0, 10.0, 5.0)
    assert [step.op for step in turned.recipe.steps] == ["upright", "resize", "encode"]  # type: ignore[union-attr]
    assert cleaned.image("pets/images/turned.jpg").size == (24, 32)


def test_a_threshold_decodes_nothing(bench: Bench) -> None:
    bench.params(clean={"pixels.max_side_px": 32})
    bench.add()
    bench.ingest()
    assert bench.clean().decoded == 12
    bench.params(clean={"quality.min_contrast": 0.01})
    again = bench.clean()
    assert (again.decoded, again.reused, again.shards_packed) == (0, 12, 0)


def test_statistics_are_those_of_the_training_pixels(bench: Bench) -> None:
    bench.add()
    bench.ingest()
    info = bench.clean().info
    assert info.channel_statistics is not None
    cleaned = bench.open("cleaned")
    train = [np.asarray(cleaned.image(sample.key)) / 255 for sample in cleaned.where(split="train")]
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in train])
    assert info.channel_statistics.samples == len(train)
    np.testing.assert_allclose(info.channel_statistics.mean, pixels.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(info.channel_statistics.std, pixels.std(axis=0), atol=1e-9)


def test_duplicates_with_different_labels_may_be_merged_or_kept(bench: Bench) -> None:
    data = picture_bytes(41)
    bench.source.put("differ-a.jpg", data, [("cat", [1, 1, 9, 9])])
    bench.source.put("differ-b.jpg", data, [("dog", [1, 1, 9, 9])])
    bench.params(clean={"duplicates.on_label_conflict": "merge"})
    bench.add()
    bench.ingest()
    counts = bench.clean().info.counts
    merged = bench.open("cleaned")["pets/images/differ-a.jpg"]
    assert [item.category for item in merged.annotations] == ["cat", "dog"]
    assert counts.annotations_in + counts.added_annotations == counts.annotations + counts.rejected_annotations
    bench.params(clean={"duplicates.on_label_conflict": "keep"})
    bench.clean()
    kept = bench.open("cleaned").where(key="pets/images/differ-*")
    assert len(kept) == 2
    assert len({sample.split for sample in kept}) == 1


def test_groups_never_span_two_splits(bench: Bench) -> None:
    bench.params(clean={"split.group_by": "([0-9])[0-9].jpg", "split.ratios": {"train": 0.5, "test": 0.5}})
    bench.add()
    bench.ingest()
    bench.clean()
    groups: dict[str, set[str]] = {}
    for sample in bench.open("cleaned"):
        groups.setdefault(str(sample.split_group), set()).add(str(sample.split))
    assert set(groups) == {"0", "1"}
    assert all(len(splits) == 1 for splits in groups.values())


def test_a_sample_turned_away_takes_its_dropped_annotations_along_once(bench: Bench) -> None:
    bench.source.boxes["00.jpg"] = [
        ("cat", [5.0, 5.0, 0.0, 0.0]),
        ("dog", [50.0, 30.0, 60.0, 18.0]),
        ("cat", [1.0, 1.0, 9.0, 9.0]),
    ]
    bench.params(clean={"on_invalid": "drop_sample", "max_invalid": 1.0})
    bench.add()
    bench.ingest()
    counts = bench.clean().info.counts
    assert (counts.samples_in, counts.samples, counts.rejected_samples) == (12, 11, 1)
    assert (counts.annotations_in, counts.annotations, counts.rejected_annotations) == (25, 22, 3)
    (row,) = bench.open("cleaned").rejected.to_pylist()
    assert (row["what"], row["reason"]) == ("sample", "outside-picture")
    assert [len(row["annotations"]), [item["code"] for item in row["issues"]]] == [
        3,
        ["outside-picture", "box-degenerate"],
    ]


@pytest.mark.parametrize("action", ["drop", "fail", "keep"])
def test_a_sample_that_its_split_makes_invalid_is_no_exception(bench: Bench, action: str) -> None:
    (bench.root / "schemas" / "pets.py").write_text(
        "from typing import Literal\nimport dsetkit\nclass Pet(dsetkit.Sample):\n    split: Literal['train']\n"
    )
    bench.params(clean={"on_invalid": action, "split.ratios": {"train": 0.5, "val": 0.5}})
    text = (bench.root / "params.yaml").read_text().replace("schema: null", "schema: schemas.pets:Pet")
    (bench.root / "params.yaml").write_text(text)
    bench.add()
    bench.ingest()
    if action == "keep":
        info = bench.clean().info
        assert info.counts.samples == 12
        found = [issue for issue in info.issues if issue.code == "contract-split"]
        assert sum(issue.count for issue in found) == info.counts.per_split["val"]
    else:
        match = r"samples are invalid \(.*more than clean.max_invalid" if action == "drop" else "on_invalid is fail"
        with pytest.raises(CheckError, match=match):
            bench.clean()


def test_a_second_run_leaves_the_rows_of_the_first_alone(bench: Bench) -> None:
    """What a run puts aside on the disk is opened only under the build lock."""
    bench.add()
    bench.ingest()
    project = bench.project
    with Build(project, project.cleaned, dict, stage="cleaned") as first:
        aside = [first.folder.with_name(f"data-cleaned.{name}.arrow") for name in ("kept", "rejected")]
        for path in aside:
            path.write_bytes(b"of the first run")
        with pytest.raises(UsageError, match="another run is building cleaned right now"):
            bench.clean()
        assert [path.read_bytes() for path in aside] == [b"of the first run"] * 2
    bench.clean()
    assert not any(path.exists() for path in aside)
