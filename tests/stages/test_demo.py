from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import PictureError
from dsetkit.imaging.probe import probe
from dsetkit.spec.params import Params
from dsetkit.stages.demo import demo_params, write_demo

NEAR_BITS = 4


@pytest.fixture(scope="module")
def coco(demo_source: Path) -> dict[str, Any]:
    return dict(json.loads((demo_source / "annotations.json").read_text("utf-8")))


@pytest.fixture(scope="module")
def measures(demo_source: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((demo_source / "images").iterdir()):
        try:
            found[path.name] = probe(path.read_bytes(), max_pixels=10**6)
        except PictureError as error:
            found[path.name] = {"error": error.code}
    return found


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_bytes_are_the_same_on_every_run_and_in_every_process(demo_source: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "again")
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-m", "dsetkit.stages.demo", tmp_path / "other"], check=True, env=environment)
    assert read_all(tmp_path / "again") == read_all(demo_source) == read_all(tmp_path / "other")


def test_it_is_small(demo_source: Path) -> None:
    files = read_all(demo_source)
    assert 60 <= len(files) <= 80
    assert sum(map(len, files.values())) < 2_000_000


def test_params_are_valid() -> None:
    params = Params.model_validate(demo_params())
    assert params.clean.categories.map["box"] == "crate"
    assert set(params.augment.recipes) == {"flip", "wobble"}


def test_every_kind_of_label_is_there(coco: dict[str, Any]) -> None:
    kinds = Counter(
        "keypoints" if "keypoints" in label else "mask" if isinstance(label["segmentation"], dict)
        else f"{len(label['segmentation'])} parts"
        for label in coco["annotations"]
    )  # fmt: skip
    assert min(kinds[kind] for kind in ("keypoints", "mask", "0 parts", "1 parts", "2 parts")) >= 5


def test_ids_are_unique_and_refer(coco: dict[str, Any]) -> None:
    images = [image["id"] for image in coco["images"]]
    assert len(set(images)) == len(images)
    assert len({label["id"] for label in coco["annotations"]}) == len(coco["annotations"])
    assert {label["image_id"] for label in coco["annotations"]} <= set(images)
    assert {label["category_id"] for label in coco["annotations"]} == {c["id"] for c in coco["categories"]}


def test_labels_fit_but_for_the_planted_ones(coco: dict[str, Any]) -> None:
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    out: list[float] = []
    degenerate = 0
    for label in coco["annotations"]:
        (x, y, w, h), (width, height) = label["bbox"], sizes[label["image_id"]]
        sticks_out = max(-x, -y, x + w - width, y + h - height)
        if sticks_out > 0:
            out.append(round(sticks_out, 1))
        degenerate += w <= 0 or h <= 0
    assert sorted(out) == [0.8, 1.5, 1.5, 44.0]
    assert degenerate == 2
    assert (degenerate + 1) / len(coco["annotations"]) < 0.02


def test_sizes_are_those_of_the_upright_pictures(coco: dict[str, Any], measures: dict[str, dict[str, Any]]) -> None:
    for image in coco["images"]:
        found = measures.get(image["file_name"], {})
        if "width_px" in found:
            assert (found["width_px"], found["height_px"]) == (image["width"], image["height"]), image["file_name"]
    assert {found["exif_orientation"] for found in measures.values() if "exif_orientation" in found} == {6, 7, 8}


def test_the_thresholds_part_good_from_bad(measures: dict[str, dict[str, Any]]) -> None:
    quality = Params.model_validate(demo_params()).clean.quality
    assert quality.min_sharpness is not None
    assert quality.min_brightness is not None
    assert quality.max_brightness is not None
    assert quality.min_side_px is not None
    found = {name: found for name, found in measures.items() if "error" not in found}
    assert {n for n, f in found.items() if f["sharpness"] < quality.min_sharpness} == {"yard-09_blurred.jpg"}
    assert {n for n, f in found.items() if f["brightness"] < quality.min_brightness} == {"yard-11_dark.jpg"}
    assert {n for n, f in found.items() if f["brightness"] > quality.max_brightness} == {"yard-13_bright.jpg"}
    assert {n for n, f in found.items() if f["height_px"] < quality.min_side_px} == {"yard-14_tiny.jpg"}
    assert {n: f["error"] for n, f in measures.items() if "error" in f} == {
        "yard-18_truncated.jpg": "picture-truncated"
    }


def test_only_planted_twins_are_alike(measures: dict[str, dict[str, Any]]) -> None:
    hashes = {name: found["phash"] for name, found in measures.items() if "phash" in found}
    names = sorted(hashes)
    alike = {
        (one, other)
        for n, one in enumerate(names)
        for other in names[n + 1 :]
        if (hashes[one] ^ hashes[other]).bit_count() <= 2 * NEAR_BITS
    }
    assert alike == {
        ("yard-01-a.jpg", "yard-01-a_copied.jpg"),
        ("yard-02-b.jpg", "yard-02-b_labelled-otherwise.jpg"),
        ("yard-03-b.jpg", "yard-03-b_saved-again.jpg"),
        ("yard-04-a.jpg", "yard-04-a_smaller.jpg"),
    }


def test_pictures_and_entries_differ_as_planted(coco: dict[str, Any], measures: dict[str, dict[str, Any]]) -> None:
    named = {image["file_name"] for image in coco["images"]}
    assert named - set(measures) == {"yard-20_missing.jpg"}
    assert set(measures) - named == {"yard-19_unlabelled.jpg"}
    assert {found.get("mode") for found in measures.values()} >= {"L", "P", "RGB"}


@pytest.mark.slow
def test_the_pipeline_finds_every_defect(built_demo: Path) -> None:
    def counts(name: str) -> dict[str, Any]:
        return dict(json.loads((built_demo / "data" / name / "snapshot.json").read_text("utf-8"))["counts"])

    raw, cleaned, augmented = counts("raw/demo"), counts("cleaned"), counts("augmented")
    assert (raw["samples_in"], raw["annotations_in"]) == (72, 351)
    assert raw["per_reason"] == {"picture-missing": 1, "picture-truncated": 1}
    assert cleaned["per_reason"] == {
        "box-degenerate": 1,
        "category-dropped": 2,
        "duplicate": 1,
        "duplicate-labels-differ": 2,
        "duplicate-near": 2,
        "outside-picture": 1,
        "picture-blurred": 1,
        "picture-bright": 1,
        "picture-dark": 1,
        "picture-small": 1,
        "shape-degenerate": 1,
    }
    assert (cleaned["per_change"]["clipped"], cleaned["per_change"]["picture-upright"]) == (3, 3)
    assert set(cleaned["per_category"]) == {"crate", "kite", "walker"}
    assert cleaned["per_split"] == {"train": 43, "val": 9, "test": 9}
    for stage in (raw, cleaned, augmented):
        for what in ("samples", "annotations"):
            assert stage[f"{what}_in"] + stage[f"added_{what}"] == stage[what] + stage[f"rejected_{what}"]
    assert augmented["added_samples"] == 3 * cleaned["per_split"]["train"]
