"""From steps to maps: what each step does to the plane, and consecutive moves as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dsetkit.errors import UsageError
from dsetkit.geometry.affine import Matrix, compose
from dsetkit.geometry.shape import turn
from dsetkit.imaging.warp import Color, Fill

MOVES = frozenset({"flip", "rotate", "shift", "shear", "zoom", "crop"})
"""Steps that move pixels, and labels with them."""

TONES = frozenset({"brightness_contrast", "color", "blur", "noise"})
"""Steps that leave every pixel where it is."""

_FILLS = ("constant", "edge", "reflect", "wrap")


class Move(NamedTuple):
    """One map from an old frame to a new one; several steps in a row are one move."""

    matrix: Matrix
    width_px: int
    """Of the new frame."""
    height_px: int
    fill: Fill = "constant"
    fill_color: Color = (0, 0, 0)


class Tone(NamedTuple):
    """One step that changes levels only."""

    op: str
    values: Mapping[str, Any]


def plan(steps: Iterable[Mapping[str, Any]], width_px: int, height_px: int) -> tuple[Move | Tone, ...]:
    """What a picture of ``width_px`` × ``height_px`` goes through, consecutive moves composed into one.

    So its pixels are sampled once a run of moves, and what one move takes out of the frame and the next brings back is
    not lost. ``encode`` is not part of it. Raises ``UsageError`` for a step that is unknown or has unusable values.
    """
    done: list[Move | Tone] = []
    width, height = width_px, height_px
    for step in steps:
        op, values = step["op"], step.get("values", {})
        if op == "encode":
            continue
        if op in TONES:
            done.append(Tone(op, values))
            continue
        try:
            matrix, width, height = _matrix(op, values, width, height)
            fill, color = _fill(values)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"The step {op!r} of a recipe cannot be applied to {width}×{height} pixels: {error!r}",
                hint="Use a recipe as dsetkit recorded it, with the picture it was drawn for.",
            ) from error
        if done and isinstance(done[-1], Move):
            before = done.pop()
            assert isinstance(before, Move)
            matrix = compose(before.matrix, matrix)
            if fill is None:
                fill, color = before.fill, before.fill_color
        done.append(Move(matrix, width, height, fill or "constant", color))
    return tuple(done)


def _fill(values: Mapping[str, Any]) -> tuple[Fill | None, Color]:
    fill = values.get("fill")
    if fill is None:
        return None, (0, 0, 0)
    if fill not in _FILLS:
        raise ValueError(f"{fill!r} is not one of {', '.join(_FILLS)}")
    red, green, blue = (min(max(int(level), 0), 255) for level in values.get("fill_color", (0, 0, 0)))
    return fill, (red, green, blue)


def _matrix(op: str, values: Mapping[str, Any], width: int, height: int) -> tuple[Matrix, int, int]:
    """The map of one step on a frame of this size, and the size of the new frame."""
    if op == "flip":
        mirror = {"horizontal": (-1.0, 1.0), "vertical": (1.0, -1.0), "both": (-1.0, -1.0)}[values["axis"]]
        x, y = (float(side) if sign < 0 else 0.0 for side, sign in zip((width, height), mirror, strict=True))
        return (mirror[0], 0.0, x, 0.0, mirror[1], y), width, height
    if op == "crop":
        left, top, new_width, new_height = (int(values[name]) for name in ("x_px", "y_px", "width_px", "height_px"))
        if not (0 <= left < left + new_width <= width and 0 <= top < top + new_height <= height):
            raise ValueError(f"the window {left}, {top}, {new_width}×{new_height} sticks out")
        return (1.0, 0.0, float(-left), 0.0, 1.0, float(-top)), new_width, new_height
    if op == "shift":
        return (1.0, 0.0, float(values["x_px"]), 0.0, 1.0, float(values["y_px"])), width, height
    if op == "rotate":
        cos, sin = turn(values["angle_deg"])
        linear = (cos, -sin, sin, cos)
    elif op == "shear":  # first along x, then along y: areas stay, whatever the two angles are
        across, down = _tangent(values["x_deg"]), _tangent(values["y_deg"])
        linear = (1.0, across, down, 1.0 + across * down)
    elif op == "zoom":
        factor = float(values["factor"])
        if not 0.0 < factor < float("inf"):
            raise ValueError("a zoom factor is above 0")
        linear = (factor, 0.0, 0.0, factor)
    else:
        raise UsageError(
            f"A recipe has the step {op!r}, which this version does not know",
            hint=f"Known steps: {', '.join(sorted(MOVES | TONES))}.",
        )
    return _about_centre(linear, width, height), width, height


def _about_centre(linear: tuple[float, float, float, float], width: int, height: int) -> Matrix:
    a, b, d, e = linear
    x, y = width / 2, height / 2
    return compose(compose((1.0, 0.0, -x, 0.0, 1.0, -y), (a, b, 0.0, d, e, 0.0)), (1.0, 0.0, x, 0.0, 1.0, y))


def _tangent(angle_deg: float) -> float:
    cos, sin = turn(angle_deg)
    if abs(cos) < 1e-3:
        raise ValueError("a shear lies between -89 and 89 degrees")
    return round(sin / cos, 12)
