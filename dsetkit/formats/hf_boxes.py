"""What four numbers of a box mean, where nothing says it: corner and size, or two corners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsetkit.formats.issues import IssueList
from dsetkit.spec.arrow import Row

BoxForm = Literal["xywh", "xyxy"]
FORMS = ("auto", "xywh", "xyxy")
"""Values of the option."""
_SLACK_PX = 1.5
_AREA_RATIO = 1e-6
_LOOKED_AT = 16


@dataclass
class Boxes:
    """The boxes of one file or set of files, before it is known what their numbers mean."""

    annotations: list[Row]
    """Those that wait for their ``bbox_xywh_px``."""
    numbers: list[tuple[float, float, float, float]]
    areas: list[float]
    """As the source states them; NaN where it does not."""
    keys: list[str]
    """The pictures that they are on."""
    sizes: dict[str, tuple[int, int]]
    """Width and height of pictures, as far as the source states them."""

    @classmethod
    def none(cls) -> Boxes:
        """No boxes yet."""
        return cls([], [], [], [], {})

    def settle(
        self,
        form: str,
        size_of: Callable[[str], tuple[int, int] | None],
        issues: IssueList,
        file: str,
    ) -> None:
        """Give every annotation its box. ``form`` is one of ``FORMS``; ``size_of`` looks at a picture.

        ``auto``: stated areas tell which it is where they fit one reading alone; else boxes whose second corner would
        be before the first, or that would stick out of their picture; where none do, some pictures are looked at. What
        stays open is taken as corner and size, with an issue.
        """
        if not self.annotations:
            return
        boxes = np.array(self.numbers, np.float64)
        found = self._find(boxes, size_of, issues, file) if form == "auto" else form
        if found == "xyxy":
            boxes[:, 2:] -= boxes[:, :2]
        for annotation, box in zip(self.annotations, boxes.tolist(), strict=True):
            annotation["bbox_xywh_px"] = tuple(box)
        if bool((np.abs(boxes) <= 1.0).all()):
            message = "no coordinate is above 1, so they look like fractions of the size, not pixels"
            hint = "Multiply them by the picture's size."
            issues.add("coordinates-normalised", message, severity="warning", file=file, hint=hint)

    def _find(
        self,
        boxes: NDArray[np.float64],
        size_of: Callable[[str], tuple[int, int] | None],
        issues: IssueList,
        file: str,
    ) -> BoxForm:
        size_form, corner_form = self._votes(boxes)
        if not size_form and not corner_form:
            for key in _spread(list(dict.fromkeys(self.keys))):
                if key not in self.sizes and (size := size_of(key)) is not None:
                    self.sizes[key] = size
            size_form, corner_form = self._votes(boxes)
        if bool(size_form) != bool(corner_form):
            return "xywh" if size_form else "xyxy"
        found: BoxForm = "xyxy" if corner_form > size_form else "xywh"
        meaning = "corner and size (xywh)" if found == "xywh" else "two corners (xyxy)"
        why = "nothing tells"
        if size_form:
            why = f"{size_form} boxes cannot be two corners and {corner_form} cannot be corner and size, so it is open"
        message = f"{why} whether boxes are corner and size or two corners; they are taken as {meaning}"
        hint = "Say it by the option boxes: xywh or xyxy."
        issues.add("box-form-assumed", message, severity="warning", file=file, hint=hint)
        return found

    def _votes(self, boxes: NDArray[np.float64]) -> tuple[int, int]:
        """How many boxes can only be corner and size, and how many only two corners."""
        a, b, c, d = boxes.T
        areas = np.array(self.areas, np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            as_size = np.isclose(c * d, areas, rtol=_AREA_RATIO, atol=1e-6)
            as_corners = np.isclose((c - a) * (d - b), areas, rtol=_AREA_RATIO, atol=1e-6)
            if bool((as_size != as_corners).any()):
                return int((as_size & ~as_corners).sum()), int((as_corners & ~as_size).sum())
            sizes = np.array([self.sizes.get(key, (np.nan, np.nan)) for key in self.keys], np.float64)
            outside = (a + c > sizes[:, 0] + _SLACK_PX) | (b + d > sizes[:, 1] + _SLACK_PX)
        turned = (c < a) | (d < b)
        return int((turned & ~outside).sum()), int((outside & ~turned).sum())


def _spread(keys: Sequence[str]) -> Sequence[str]:
    return keys[:: -(-len(keys) // _LOOKED_AT)] if keys else keys
