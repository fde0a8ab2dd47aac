"""Recipes drawn from params: which steps, with which values."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dsetkit.errors import UsageError
from dsetkit.spec.base import canonical_json
from dsetkit.spec.params import (
    BlurOperation,
    BrightnessContrastOperation,
    ColorOperation,
    CropOperation,
    FlipOperation,
    NoiseOperation,
    Operation,
    Range,
    RecipeParams,
    RotateOperation,
    ShearOperation,
    ShiftOperation,
    ZoomOperation,
)

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

_MAX_SHEAR_DEG = 89.0
_KEPT_FORMATS = {"image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp"}


def draw_steps(
    recipe: RecipeParams, name: str, variant: int, digest: str, seed: int, width_px: int, height_px: int
) -> tuple[Row, ...]:
    """The steps (rows of ``spec.sample.Step``) of one variant of one picture of ``width_px`` × ``height_px``.

    Drawn from a stream that depends on ``seed``, the recipe's ``name``, ``variant`` and the picture's ``digest`` alone;
    an operation takes its numbers from it whether or not its probability lets it happen, so changing a probability
    changes no other draw. An operation that does not happen is not in the list. Values are rounded to 6 decimals and
    are all that applying the step needs: shifts and crops in whole pixels, the seed of noise, what fills the gaps.
    Raises ``UsageError`` for a shear that reaches ±89°, where the picture would be a line.
    """
    draw = _stream(seed, name, variant, digest)
    fill = {"fill": recipe.fill, "fill_color": list(recipe.fill_color)}
    size = (width_px, height_px)
    steps: list[Row] = []
    for operation in recipe.operations:
        happens = draw() < operation.probability
        values = _draw_values(operation, draw, *size)
        if not happens:
            continue
        if operation.op in ("rotate", "shift", "shear", "zoom"):
            values |= fill
        if operation.op == "crop":
            size = (values["width_px"], values["height_px"])
        steps.append({"op": operation.op, "values": values})
    return tuple(steps)


def draw_recipe(
    recipe: RecipeParams,
    name: str,
    variant: int,
    digest: str,
    seed: int,
    width_px: int,
    height_px: int,
    *,
    media_type: str,
    format: str = "keep",
    quality: int = 95,
) -> Row:
    """A row of ``spec.sample.Recipe``: what `draw_steps` draws and, last, how the variant is encoded.

    ``replay`` needs nothing else but the bytes of the picture. Raises ``UsageError`` as `draw_steps` does.
    """
    steps = draw_steps(recipe, name, variant, digest, seed, width_px, height_px)
    encoding = {"format": output_format(format, media_type), "quality": quality}
    row: Row = {"name": name, "steps": (*steps, {"op": "encode", "values": encoding})}
    return {**row, "variant": variant} if variant else row


def output_format(format: str, media_type: str) -> str:
    """``jpeg``, ``png`` or ``webp``: the format asked for, or for ``keep`` the picture's own, else ``png``."""
    return _KEPT_FORMATS.get(media_type, "png") if format == "keep" else format


def _stream(seed: int, name: str, variant: int, digest: str) -> Callable[[], float]:
    """Numbers from 0 to below 1. PCG64's raw stream is the part of numpy.random that never changes."""
    key = hashlib.sha256(canonical_json([seed, name, variant, digest]).encode()).digest()
    bits = np.random.PCG64(int.from_bytes(key, "big"))
    return lambda: (int(bits.random_raw()) >> 11) * 2.0**-53


def _draw_values(operation: Operation, draw: Callable[[], float], width_px: int, height_px: int) -> dict[str, Any]:
    def among(span: Range) -> float:
        return round(span[0] + draw() * (span[1] - span[0]), 6) + 0.0

    match operation:
        case FlipOperation():
            return {"axis": operation.axis}
        case RotateOperation():
            return {"angle_deg": among(operation.angle_deg)}
        case ShiftOperation():  # whole pixels, so that a shift alone samples nothing anew
            return {
                "x_px": math.trunc(among(operation.x) * width_px),
                "y_px": math.trunc(among(operation.y) * height_px),
            }
        case ShearOperation():
            if max(map(abs, (*operation.x_deg, *operation.y_deg))) >= _MAX_SHEAR_DEG:
                raise UsageError(
                    f"A shear of {operation.x_deg}, {operation.y_deg} degrees leaves nothing of a picture",
                    hint="Keep x_deg and y_deg between -89 and 89.",
                )
            return {"x_deg": among(operation.x_deg), "y_deg": among(operation.y_deg)}
        case ZoomOperation():
            return {"factor": max(among(operation.factor), 1e-6)}
        case CropOperation():
            scale = among(operation.scale)
            width, height = (min(side, max(1, round(scale * side))) for side in (width_px, height_px))
            x, y = math.floor(draw() * (width_px - width + 1)), math.floor(draw() * (height_px - height + 1))
            return {"x_px": x, "y_px": y, "width_px": width, "height_px": height}
        case BrightnessContrastOperation():
            return {"alpha": among(operation.alpha), "beta": among(operation.beta)}
        case ColorOperation():
            return {"saturation": among(operation.saturation), "hue_deg": among(operation.hue_deg)}
        case BlurOperation():
            return {"radius_px": max(among(operation.radius_px), 0.0)}
        case NoiseOperation():
            return {"std": max(among(operation.std), 0.0), "seed": math.floor(draw() * 2.0**53)}
