"""Label maps of semantic segmentation: a PNG whose colours stand for classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsetkit.geometry import rle
from dsetkit.imaging.decode import open_picture
from dsetkit.spec.arrow import Row

BACKGROUND = "BACKGROUND"
"""The class of what is nothing."""
_HEX = re.compile(r"#?([0-9a-fA-F]{6})\Z")


def read_label_map(data: bytes, colors: Mapping[str, Any]) -> tuple[tuple[int, int], list[Row]]:
    """Width and height of a label map, pixels, and a draft of an annotation for each class that it shows.

    A draft has ``number`` and ``score`` besides, the class's number and confidence.

    ``colors`` is the metadata's ``internal-color-map``: number → class-name, hex-color, confidence. A picture of one
    channel in which none of the colours stands has the numbers themselves. Raises ``PictureError`` as ``open_picture``
    does, ``ValueError`` for a map too large.
    """
    image = open_picture(data, max_pixels=rle.MAX_PIXELS)
    height, width = rle.check_size([image.height, image.width])
    pixels = np.asarray(image.convert("RGB")).astype(np.uint32)
    codes: NDArray[Any] = pixels[:, :, 0] << 16 | pixels[:, :, 1] << 8 | pixels[:, :, 2]
    wanted = {name: _code(entry) for name, entry in colors.items()}
    present = set(np.unique(codes).tolist())
    if image.mode in ("P", "L", "I", "I;16") and not present & set(wanted.values()):
        codes = np.asarray(image)
        wanted = {name: int(name) if name.isascii() and name.isdigit() and len(name) < 9 else None for name in colors}
    out: list[Row] = []
    for name, entry in colors.items():
        category = entry.get("class-name") if isinstance(entry, dict) else None
        if wanted[name] is None or category == BACKGROUND:
            continue
        on = codes == wanted[name]
        if not on.any():
            continue
        mask = rle.encode(on)
        draft: Row = {"kind": "mask", "mask": mask, "bbox_xywh_px": rle.mask_bbox(mask)}
        if isinstance(category, str) and category:
            draft["category"] = category
        score = entry.get("confidence") if isinstance(entry, dict) else None
        out.append(draft | {"number": name, "score": score})
    return (width, height), out


def _code(entry: Any) -> int | None:
    found = _HEX.match(str(entry.get("hex-color", ""))) if isinstance(entry, dict) else None
    return int(found[1], 16) if found else None
