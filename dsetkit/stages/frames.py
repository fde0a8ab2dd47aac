"""Labels of the picture as it is stored, brought to the upright picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dsetkit.geometry.affine import transform
from dsetkit.spec.arrow import Row

Frame = Literal["auto", "stored", "upright"]
"""Which picture coordinates are of: as stored, upright, or to be found from the declared size."""
Matrix = tuple[float, float, float, float, float, float]


def orientation_matrix(orientation: int, width_px: int, height_px: int) -> Matrix:
    """The map from stored pixels to upright ones, ``x' = ax + by + c``, ``y' = dx + ey + f``.

    ``width_px`` and ``height_px`` are of the stored picture; orientations are EXIF's 1 to 8 (Exif 2.32, tag 0x0112).
    """
    w, h = float(width_px), float(height_px)
    return {
        1: (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        2: (-1.0, 0.0, w, 0.0, 1.0, 0.0),
        3: (-1.0, 0.0, w, 0.0, -1.0, h),
        4: (1.0, 0.0, 0.0, 0.0, -1.0, h),
        5: (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
        6: (0.0, -1.0, h, 1.0, 0.0, 0.0),
        7: (0.0, -1.0, h, -1.0, 0.0, w),
        8: (0.0, 1.0, 0.0, -1.0, 0.0, w),
    }[orientation]


def is_stored_frame(
    frame: Frame,
    declared: tuple[int, int] | None,
    upright: tuple[int, int],
    orientation: int | None,
) -> bool:
    """Whether labels speak of the picture as stored.

    ``auto`` goes by the declared size: where turning exchanges the sides (orientations 5 to 8) and the declared
    size is the stored one and not the upright one, they do. Where the size cannot tell, they are taken as upright.
    """
    if orientation in (None, 1) or frame == "upright":
        return False
    if frame == "stored":
        return True
    exchanged = orientation is not None and orientation >= 5
    return exchanged and declared == (upright[1], upright[0]) and declared != upright


def to_upright(annotations: Sequence[Row], orientation: int, upright: tuple[int, int]) -> list[Row]:
    """The annotations in the frame of the upright picture, whose size is ``upright``."""
    stored = (upright[1], upright[0]) if orientation >= 5 else upright
    matrix = orientation_matrix(orientation, *stored)
    return [transform(item, matrix, width_px=upright[0], height_px=upright[1]) for item in annotations]
