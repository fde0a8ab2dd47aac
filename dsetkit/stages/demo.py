"""The demo source: a small made-up dataset with every defect that the pipeline handles.

A COCO file and about seventy pictures of yards with crates (boxes), kites (polygons, one in two parts, one a mask
with a hole) and walkers (keypoints). File names say what is wrong with a picture. The same bytes come out on every
run, as long as the version of Pillow stays the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dsetkit.imaging import paint
from dsetkit.stages.demo_card import demo_card
from dsetkit.stages.demo_scenes import BONES, HEIGHT_PX, JOINTS, WIDTH_PX, Label, box_label, paint_yard
from dsetkit.storage.atomic import write_atomic

YARDS, SHOTS = 20, 3
_TURNED = {(4, 1): 6, (9, 0): 8, (14, 2): 7}  # yard, shot: EXIF orientation of the stored pixels
_BOXED = (3, 11)  # yards whose labeller wrote "box" for "crate"
_GUESTS = {
    (2, 0): [("crate", 250.0, 180.0)],
    (7, 1): [("crate", 8.0, 176.0)],
    (12, 2): [("crate", 120.0, 197.0)],
    (5, 0): [("crate", 246.0, 168.0)],
    (15, 2): [("bird", 126.0, 30.0), ("bird", 152.0, 42.0)],  # a category that the dataset does not have
}
_CATEGORIES = ("crate", "kite", "walker", "box", "bird")


def demo_params() -> dict[str, Any]:
    """What ``params.yaml`` says of the demo: its source, and the sections that differ from the defaults."""
    wobble = [
        {"op": "rotate", "angle_deg": [-8.0, 8.0]},
        {"op": "zoom", "factor": [0.9, 1.15]},
        {"op": "brightness_contrast", "alpha": [0.8, 1.2], "beta": [-0.08, 0.08]},
        {"op": "noise", "std": [0.01, 0.03], "probability": 0.5},
    ]
    return {
        "sources": {"demo": {"path": "data/sources/demo", "labels": [{"format": "coco", "file": "annotations.json"}]}},
        "shards": {"target_bytes": 131072},
        "clean": {
            "categories": {"names": ["crate", "kite", "walker"], "map": {"box": "crate", "bird": None}},
            "quality": {"min_side_px": 32, "min_sharpness": 10.0, "min_brightness": 0.15, "max_brightness": 0.82},
            "duplicates": {"near": "drop"},
            "split": {"ratios": {"train": 0.7, "val": 0.15, "test": 0.15}, "group_by": "yard-[0-9]+", "seed": 23},
        },
        "augment": {
            "recipes": {
                "flip": {"operations": [{"op": "flip"}]},
                "wobble": {"variants": 2, "operations": wobble, "fill": "reflect"},
            }
        },
        "card": demo_card(),
    }


def write_demo(folder: Path) -> None:
    """Write the demo source into ``folder``: ``annotations.json`` (last) and ``images/``.

    Files of these names are written anew, others stay. Raises ``OSError`` where the folder cannot be written.
    """
    writer = _Writer(folder / "images")
    for yard in range(1, YARDS + 1):
        for shot in range(SHOTS):
            _write_shot(writer, yard, shot)
    _write_defects(writer)
    write_atomic(folder / "annotations.json", _readable(writer.document()).encode())


def _readable(document: dict[str, Any]) -> str:
    """JSON with one image, annotation or category a line, so that people can find and change one."""
    sections = []
    for name, value in document.items():
        items = ",\n".join(map(json.dumps, value)) if isinstance(value, list) else None
        sections.append(f'"{name}": ' + (json.dumps(value) if items is None else f"[\n{items}\n]"))
    return "{\n" + ",\n".join(sections) + "\n}\n"


class _Writer:
    """Gathers the COCO document while pictures are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def picture(self, name: str, data: bytes) -> None:
        """A picture's bytes."""
        write_atomic(self._folder / name, data)

    def labels(self, name: str, labels: list[Label], width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> None:
        """A picture's entry and its labels; the size is that of the upright picture."""
        image_id = 1000 + len(self._images)
        self._images.append({"id": image_id, "file_name": name, "width": width_px, "height": height_px, "license": 1})
        for label in labels:
            facts = {key: value for key, value in label.items() if key != "category"}
            category = 1 + _CATEGORIES.index(label["category"])
            number = 1 + len(self._annotations)
            self._annotations.append({"id": number, "image_id": image_id, "category_id": category, **facts})

    def document(self) -> dict[str, Any]:
        """The COCO document."""
        categories: list[dict[str, Any]] = [{"id": n, "name": name} for n, name in enumerate(_CATEGORIES, 1)]
        categories[_CATEGORIES.index("walker")] |= {
            "supercategory": "person",
            "keypoints": list(JOINTS),
            "skeleton": [[1 + JOINTS.index(a), 1 + JOINTS.index(b)] for a, b in BONES],
        }
        return {
            "info": {"description": "Yards that never were: the demo of dsetkit", "version": "1", "year": 2024},
            "licenses": [{"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
            "categories": categories,
            "images": self._images,
            "annotations": self._annotations,
        }


def _name(yard: int, shot: int, ending: str = ".jpg") -> str:
    return f"yard-{yard:02d}-{'abc'[shot]}{ending}"


def _write_shot(writer: _Writer, yard: int, shot: int) -> None:
    """An ordinary picture; some are stored in ways that ``clean`` evens out."""
    image, labels = paint_yard(yard, shot, guests=_GUESTS.get((yard, shot), ()))
    if yard in _BOXED:
        labels = [{**label, "category": "box"} if label["category"] == "crate" else label for label in labels]
    name = _name(yard, shot)
    if (yard, shot) in _TURNED:
        data = paint.to_jpeg(image, orientation=_TURNED[yard, shot], taken_at=f"2024:05:{yard:02d} 1{shot}:20:00")
    elif (yard, shot) == (6, 2):
        data = paint.to_jpeg(image, taken_at="2024:05:06 12:20:00", latitude_deg=52)
    elif (yard, shot) == (8, 1):
        data = paint.to_jpeg(paint.grey(image))
    elif yard == 17:
        name = _name(yard, shot, ".png")
        data = paint.to_png(paint.with_palette(image, 64) if shot == 1 else image)
    else:
        data = paint.to_jpeg(image)
    writer.picture(name, data)
    writer.labels(name, _spoil(yard, shot, labels))


def _spoil(yard: int, shot: int, labels: list[Label]) -> list[Label]:
    """The labels with what ``clean`` repairs or turns away; a guest's label is the last."""
    stretched = {
        # Up to 1.5 pixels out of the picture: clipped.
        (2, 0): {"right": WIDTH_PX + 1.5},
        (7, 1): {"left": -1.5},
        (12, 2): {"bottom": HEIGHT_PX + 0.8},
        # 44 pixels out of it: nobody can mean that.
        (5, 0): {"right": WIDTH_PX + 44.0},
    }
    slips = {
        # A slip of the hand: no width; no area.
        (10, 1): box_label("crate", 130.0, 150.0, 0.0, 24.0),
        (13, 0): {**box_label("kite", 60.0, 40.0, 20.0, 0.0), "segmentation": [[60.0, 40.0, 80.0, 40.0, 70.0, 40.0]]},
    }
    if (yard, shot) in stretched:
        labels = [*labels[:-1], _stretch(labels[-1], **stretched[yard, shot])]
    return [*labels, slips[yard, shot]] if (yard, shot) in slips else labels


def _stretch(
    label: Label, *, left: float | None = None, right: float | None = None, bottom: float | None = None
) -> Label:
    """A box that reaches just so far, and elsewhere no farther than the picture does."""
    x, y, w, h = label["bbox"]
    x0 = max(0.0, x) if left is None else left
    x1 = min(float(WIDTH_PX), x + w) if right is None else right
    y1 = min(float(HEIGHT_PX), y + h) if bottom is None else bottom
    return box_label(label["category"], x0, y, round(x1 - x0, 1), round(y1 - y, 1))


def _write_defects(writer: _Writer) -> None:
    """Pictures of which something is wrong as a whole."""

    def add(name: str, image: paint.Picture, labels: list[Label], quality: int = 88) -> None:
        writer.picture(name, paint.to_jpeg(image, quality=quality))
        writer.labels(name, labels, *image.size)

    image, labels = paint_yard(1, 0)
    add("yard-01-a_copied.jpg", image, labels)
    image, labels = paint_yard(2, 1)
    add("yard-02-b_labelled-otherwise.jpg", image, labels[1:])
    image, labels = paint_yard(3, 1)
    add("yard-03-b_saved-again.jpg", image, labels, quality=55)
    image, labels = paint_yard(4, 0)
    add("yard-04-a_smaller.jpg", paint.resized(image, WIDTH_PX * 3 // 4, HEIGHT_PX * 3 // 4), _scaled(labels, 0.75))
    image, labels = paint_yard(9, 3)
    add("yard-09_blurred.jpg", paint.blurred(image, 4.0), labels)
    image, labels = paint_yard(11, 3)
    add("yard-11_dark.jpg", paint.exposed(image, 0.2, 0.0), labels)
    image, labels = paint_yard(13, 3)
    add("yard-13_bright.jpg", paint.exposed(image, 0.3, 180.0), labels)
    image, labels = paint_yard(14, 3)
    add("yard-14_tiny.jpg", paint.resized(image, 24, 18), [])
    image, labels = paint_yard(16, 3, empty=True)
    add("yard-16_empty.jpg", image, labels)

    image, labels = paint_yard(18, 3)
    whole = paint.to_jpeg(image)
    writer.picture("yard-18_truncated.jpg", whole[: len(whole) // 2])
    writer.labels("yard-18_truncated.jpg", labels)
    image, _ = paint_yard(19, 3)
    writer.picture("yard-19_unlabelled.jpg", paint.to_jpeg(image))
    _, labels = paint_yard(20, 3)
    writer.labels("yard-20_missing.jpg", labels)


def _scaled(labels: list[Label], factor: float) -> list[Label]:
    """Box, polygon and keypoint labels of the same picture at another size."""

    def scale(values: list[float]) -> list[float]:
        return [round(value * factor, 2) for value in values]

    scaled = []
    for label in labels:
        if isinstance(label["segmentation"], dict):
            raise ValueError("a mask cannot be scaled here; take another picture")
        label = {**label, "bbox": scale(label["bbox"]), "area": round(label["area"] * factor * factor, 2)}
        label["segmentation"] = [scale(part) for part in label["segmentation"]]
        if "keypoints" in label:
            points = label["keypoints"]
            label["keypoints"] = [v if n % 3 == 2 else round(v * factor, 2) for n, v in enumerate(points)]
        scaled.append(label)
    return scaled


if __name__ == "__main__":
    write_demo(Path(sys.argv[1]))
