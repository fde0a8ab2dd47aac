"""Pictures of ids beside the polygons, as cityscapesScripts paint them."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dsetkit.errors import UsageError
from dsetkit.formats.cityscapes.format import Cityscapes
from dsetkit.formats.cityscapes.labels import BY_NAME, OFFICIAL, parse_label
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import Category

STEM = "ulm_000000_000019"
FILES = f"gtFine/train/ulm/{STEM}_gtFine"
NAMES = [*(label.name for label in OFFICIAL), "boat"]
CATEGORIES = [Category(name=name, index=index) for index, name in enumerate(NAMES)]


class TestCityscapesWithPicturesOfIds(FormatContract):
    format = Cityscapes()
    write_options = {"id_maps": "all"}  # noqa: RUF012
    examples = 15


def square(left: float, top: float, right: float, bottom: float) -> list[list[tuple[float, ...]]]:
    return [[(left, top, right, top, right, bottom, left, bottom)]]


def thing(number: int, category: str, polygons: Any, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "kind": "polygon", "category": category, "polygons": polygons, **more}


def export(*items: dict[str, Any], size: tuple[int, int] | None = (7, 5)) -> MemoryExport:
    row: dict[str, Any] = {"key": f"s/{STEM}.png", "split": "train", "labelled": "yes", "annotations": items}
    if size is not None:
        row |= {"width_px": size[0], "height_px": size[1]}
    return MemoryExport([row], CATEGORIES, pictures={})


def painted(folder: Path, given: MemoryExport, id_maps: str = "all") -> dict[str, Any]:
    write_labels(given, folder / "out", "cityscapes", options={"id_maps": id_maps})
    found = {
        path.stem.rpartition("_")[2]: Image.open(io.BytesIO(path.read_bytes())) for path in folder.rglob("*Ids.png")
    }
    return {name: (image.mode, np.asarray(image).tolist()) for name, image in found.items()}


def test_later_objects_cover_earlier_ones_and_outlines_count(tmp_path):
    items = (
        thing(0, "road", square(0, 2, 6, 4)),
        thing(1, "car", square(1, 1, 2, 3)),
        thing(2, "car", square(4, 1, 5, 2), is_crowd=True),
        thing(3, "person", square(0, 0, 6, 4), status="declined"),
        thing(4, "license plate", square(1, 1, 1, 1)),
        thing(5, "car", square(2, 3.9, 3.9, 4), status="proposed"),
    )
    found = painted(tmp_path, export(*items))
    assert found["labelIds"] == (
        "L",
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 26, 26, 0, 26, 26, 0],
            [7, 26, 26, 7, 26, 26, 7],
            [7, 26, 26, 26, 7, 7, 7],
            [7, 7, 26, 26, 7, 7, 7],
        ],
    )
    assert found["instanceIds"] == (
        "I;16",
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 26000, 26000, 0, 26, 26, 0],
            [7, 26000, 26000, 7, 26, 26, 7],
            [7, 26000, 26001, 26001, 7, 7, 7],
            [7, 7, 26001, 26001, 7, 7, 7],
        ],
    )
    (row,) = read_labels(tmp_path / "out").rows
    assert [item["kind"] for item in row["annotations"]] == ["polygon"] * 6  # the polygons are what is read back
    for path in (tmp_path / "out").rglob("*_polygons.json"):
        path.unlink()
    (row,) = read_labels(tmp_path / "out").rows
    assert [(item["source_id"], item["category"], item.get("is_crowd", False)) for item in row["annotations"]] == [
        ("7", "road", False),
        ("26", "car", True),
        ("26000", "car", False),
        ("26001", "car", False),
    ]
    assert rle.mask_area(row["annotations"][3]["mask"]) == 4


def test_none_are_written_unless_asked_for(tmp_path):
    item = thing(0, "car", square(1, 1, 2, 3))
    assert painted(tmp_path / "a", export(item), "none") == {}
    assert list(painted(tmp_path / "b", export(item), "labels")) == ["labelIds"]
    write_labels(export(item), tmp_path / "c", "cityscapes")
    assert sorted(files_of(tmp_path / "c")) == [f"{FILES}_polygons.json"]
    with pytest.raises(UsageError, match="the option id_maps is 'yes'"):
        write_labels(export(item), tmp_path / "d", "cityscapes", options={"id_maps": "yes"})


def test_what_pictures_of_ids_do_not_show_is_a_loss():
    many = [thing(number, "car", square(0, 0, 1, 1)) for number in range(6, 1007)]
    items = (
        thing(0, "boat", square(0, 0, 3, 3)),
        thing(1, "license plate", square(0, 0, 3, 3)),
        thing(2, "sky", [[(1.0, 1.0)]]),
        *many,
    )
    losses = check_losses(export(*items), "cityscapes", options={"id_maps": "labels"}).losses
    assert [loss.describe() for loss in losses if loss.code.startswith("ids-")] == [
        f"an outline of one point is not painted in pictures of ids (1, e.g. s/{STEM}.png#2) [ids-none]",
        f"cityscapes has no id for such a category; pictures of ids leave it out (1, e.g. s/{STEM}.png#0) [ids-none]",
        f"cityscapes never paints a license plate; pictures of ids leave it out (1, e.g. s/{STEM}.png#1) [ids-none]",
        "more than 1000 things of a class in a picture of ids have ids of the next class "
        f"(1, e.g. s/{STEM}.png#1006) [ids-run-over]",
    ]
    assert not [loss for loss in check_losses(export(*items), "cityscapes").losses if loss.code.startswith("ids-")]
    losses = check_losses(export(items[0], size=None), "cityscapes", options={"id_maps": "all"}).losses
    assert [loss.describe() for loss in losses if loss.code.startswith("ids-")] == [
        "a picture whose size is not known, or beyond all measure, has no picture of ids "
        f"(1, e.g. s/{STEM}.png) [ids-not-painted]"
    ]


def test_a_picture_nobody_labelled_has_none(tmp_path):
    row = {"key": f"s/{STEM}.png", "split": "train", "width_px": 7, "height_px": 5}
    assert painted(tmp_path, MemoryExport([row], CATEGORIES, pictures={})) == {}


def as_the_scripts(document: dict[str, Any]) -> tuple[Any, Any]:
    """One object after the other, each into both pictures, as ``json2labelImg`` and ``json2instanceImg`` go."""
    size = document["imgWidth"], document["imgHeight"]
    labels, things = Image.new("L", size, 0), Image.new("I", size, 0)
    counts = dict.fromkeys(BY_NAME, 0)
    for item in document["objects"]:
        name, is_group = parse_label(item["label"])
        number = BY_NAME[name].id
        if item.get("deleted") or number < 0:
            continue
        points = [tuple(point) for point in item["polygon"]]
        ImageDraw.Draw(labels).polygon(points, fill=number)
        if BY_NAME[name].has_instances and not is_group:
            number, counts[name] = number * 1000 + counts[name], counts[name] + 1
        ImageDraw.Draw(things).polygon(points, fill=number)
    return np.asarray(labels).tolist(), np.asarray(things).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_pixels_are_those_of_one_object_painted_after_the_other(tmp_path, seed):
    dice = random.Random(seed)

    def coordinate() -> float:
        odd = (16_777_217, -1e9, 1e9, 4.5, -0.5, 39, 40)  # 2²⁴ + 1 is no float32
        return dice.choice((dice.randint(-5, 45), dice.uniform(-8, 48), dice.choice(odd)))

    items = [
        thing(number, dice.choice(NAMES[:-1]), [[tuple(coordinate() for _ in range(2 * dice.choice((2, 3, 4, 9))))]])
        | dice.choice(({}, {}, {"is_crowd": True}, {"status": "declined"}))
        for number in range(40)
    ]
    found = painted(tmp_path, export(*items, size=(40, 30)))
    document = json.loads((tmp_path / "out" / f"{FILES}_polygons.json").read_text())
    assert (found["labelIds"][1], found["instanceIds"][1]) == as_the_scripts(document)
