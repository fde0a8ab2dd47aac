"""Labels of the picture as it is stored, brought to the upright picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, get_args

from dsetkit.errors import UsageError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.geometry.affine import transform
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Issue

if TYPE_CHECKING:
    from dsetkit.formats.pictures import PictureIndex

Frame = Literal["auto", "stored", "upright"]
"""Which picture coordinates are of: as stored, upright, or to be found from the declared size."""
FRAME_OPTION = (
    "which picture coordinates are of, where EXIF turns it: auto (found from the declared size; where that cannot "
    "tell, upright), stored (before it is turned) or upright"
)
"""What the option ``frame``, which every format has, is about."""

_WORKERS = 8

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


def check_frame(value: object) -> Frame:
    """The value of the option ``frame``; raises ``UsageError`` for another than ``auto``, ``stored``, ``upright``."""
    for frame in get_args(Frame):
        if value == frame:
            found: Frame = frame
            return found
    raise UsageError(f"the option frame is {value!r}", hint=f"It is one of: {', '.join(get_args(Frame))}.")


def size_issue(key: str, declared: tuple[int, int], upright: tuple[int, int]) -> Issue | None:
    """``size-differs`` where the size that labels declare is the picture's in neither orientation."""
    if declared in (upright, upright[::-1]):
        return None
    return Issue(
        code="size-differs",
        severity="warning",
        message=f"its labels declare {declared[0]}×{declared[1]} px, the picture has {upright[0]}×{upright[1]} px",
        key=key,
        hint="Check that the labels are of this picture.",
    )


def bring_upright(labels: LabelSet, pictures: PictureIndex, frame: Frame, *, check: bool = True) -> LabelSet:
    """The labels in the frame of the upright pictures, as their headers tell it; declared sizes follow.

    Rows whose picture is not there, or which declare no size (unless ``frame`` is ``stored``), stay as they are. With
    ``check``, a declared size that is the picture's in neither orientation is an issue ``size-differs``.
    """
    if not len(pictures) or (frame == "upright" and not check):
        return labels
    found = IssueList()
    turned: dict[str, tuple[int, tuple[int, int]]] = {}
    for key, declared, header in _headers(labels, pictures, needs_size=frame != "stored"):
        if header is None:
            continue
        upright, orientation = header
        if orientation is not None and is_stored_frame(frame, declared, upright, orientation):
            turned[key] = orientation, upright
        if check and declared is not None and (issue := size_issue(key, declared, upright)) is not None:
            found.add(issue.code, issue.message, severity=issue.severity, key=key, hint=issue.hint)
    issues = (*labels.issues, *found.all())
    if not turned:
        return labels if len(found) == 0 else labels.with_issues(found.all(), last=True)
    rows = (_turned(row, *turned[row["key"]]) if row["key"] in turned else row for row in labels.rows)
    return LabelSet.from_rows(rows, labels.categories, labels.info, labels.licenses, issues)


def _turned(row: Row, orientation: int, upright: tuple[int, int]) -> Row:
    out = dict(row)
    if row.get("annotations"):
        out["annotations"] = to_upright(row["annotations"], orientation, upright)
    if "width_px" in row and "height_px" in row:
        out |= {"width_px": upright[0], "height_px": upright[1]}
    return out


def _headers(
    labels: LabelSet, pictures: PictureIndex, *, needs_size: bool
) -> Iterator[tuple[str, tuple[int, int] | None, tuple[tuple[int, int], int | None] | None]]:
    """Key, declared size and header of each row whose picture is there; with ``needs_size``, that declares one."""
    said: Iterable[tuple[str, int | None, int | None]]
    if labels.is_table:
        said = zip(*(labels.table[name].to_pylist() for name in ("key", "width_px", "height_px")), strict=True)
    else:
        said = ((row["key"], row.get("width_px"), row.get("height_px")) for row in labels.rows)
    asked = [
        (key, (width, height) if width is not None and height is not None else None)
        for key, width, height in said
        if key in pictures and not (needs_size and (width is None or height is None))
    ]
    with ThreadPoolExecutor(_WORKERS) as pool:
        yield from (
            (key, size, header)
            for (key, size), header in zip(asked, pool.map(pictures.header, [key for key, _ in asked]), strict=True)
        )
