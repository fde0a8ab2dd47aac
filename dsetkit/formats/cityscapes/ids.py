"""Pictures whose pixels are ids of classes or of single things, as masks.

Source of the numbers: ``json2instanceImg.py`` and ``json2labelImg.py`` of
https://github.com/mcordts/cityscapesScripts. A thing is 1000 · class + number; below 1000 an id is a class: in a
picture of things, one whose things are told apart elsewhere stands there for a group.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dsetkit.errors import PictureError
from dsetkit.formats.cityscapes.labels import BY_TRAIN_ID, OFFICIAL, Label
from dsetkit.geometry import rle
from dsetkit.imaging.decode import open_picture
from dsetkit.spec.arrow import Row

BY_ID: Mapping[int, Label] = {label.id: label for label in OFFICIAL}
_THING = 1000
_GREY = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")


def read_ids(data: bytes, kind: str, own: Mapping[int, Label] | None) -> tuple[tuple[int, int], list[Row]]:
    """Width and height, and the masks, by growing id; ``own`` is the table of classes where it is not Cityscapes'.

    ``kind`` is ``instanceIds``, ``labelIds`` or ``labelTrainIds``. Id 0 (unlabeled) is nothing, as are ids to train on
    that stand for no class (19 and above). Raises ``PictureError`` for what is no picture of ids.
    """
    image = open_picture(data, max_pixels=rle.MAX_PIXELS)
    if image.mode not in _GREY:
        raise PictureError(f"it has colours (mode {image.mode}), not ids", code="picture-unknown")
    pixels = np.asarray(image)
    is_train = kind == "labelTrainIds" and own is None
    table = BY_TRAIN_ID if is_train else own or BY_ID
    rows: list[Row] = []
    for number, mask in rle.encode_each(pixels).items():
        label_id, thing = divmod(number, _THING) if kind == "instanceIds" and number >= _THING else (number, None)
        label = table.get(label_id)
        if (is_train and label is None) or (number <= 0 and not is_train):
            continue
        row: Row = {"id": str(len(rows)), "kind": "mask", "mask": mask, "bbox_xywh_px": list(rle.mask_bbox(mask) or ())}
        row["category"] = label.name if label is not None else str(label_id)
        if label is None:
            message = f"{label_id} is the id of no class"
            row["issues"] = [{"code": "category-unknown", "message": message}]
        if kind == "instanceIds":
            row["source_id"] = str(number)
            if thing is None and label is not None and label.has_instances:
                row["is_crowd"] = True
        rows.append(row)
    return (image.width, image.height), rows
