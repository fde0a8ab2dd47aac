"""A picture brought to what a dataset asks of its pictures. What already is so keeps its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from PIL import Image

from dsetkit.imaging.decode import MAX_PIXELS, Decoded, decode
from dsetkit.imaging.encode import carried, encode
from dsetkit.imaging.exif import orientation_of, with_orientation_one
from dsetkit.imaging.measure import measure
from dsetkit.imaging.modes import to_16_bit, to_mode
from dsetkit.imaging.strip import STRIPPABLE, is_lossless_webp, strip_metadata

_KEPT_MODES = frozenset(("L", "RGB", "RGBA", "I;16"))


class PixelRecipe(NamedTuple):
    """What cleaned pictures are like: the fields of ``spec.params.PixelsParams``. Always upright."""

    mode: Literal["keep", "RGB", "L"] = "keep"
    max_side_px: int | None = None
    format: Literal["keep", "jpeg", "png", "webp"] = "keep"
    quality: int = 95
    strip_metadata: bool = True


class CleanResult(NamedTuple):
    """A cleaned picture."""

    data: bytes
    """The very bytes given, where nothing had to change."""
    fields: dict[str, Any]
    """Row fields that are to be set; ``exif_orientation`` is ``None`` where the picture no longer has one."""
    steps: list[dict[str, Any]]
    """What was done, in order: ``{"op": ..., "values": {...}}``; empty where nothing was."""
    scale: tuple[float, float]
    """New by old width and height of the upright picture; labels are scaled by it."""
    decoded: bool
    """Whether pixels were decoded and encoded anew."""


def clean_picture(
    data: bytes, row: Mapping[str, Any], recipe: PixelRecipe, max_pixels: int = MAX_PIXELS
) -> CleanResult:
    """Bring one picture to a recipe, with as little done to it as that takes.

    ``row`` holds what ``probe`` returned for these bytes. Pixels are decoded, once, only where the picture is not
    upright, too large, or of another mode or format than asked for; the fields measured then are those of the new
    pixels before they are encoded. Else metadata is taken away byte by byte (decoding only if the file's structure does
    not allow that), and ``fields`` holds no more than ``size_bytes`` and ``exif_orientation``.

    Done in the order upright, mode, resize (Lanczos, sides rounded half up, at least 1 px), encode. See
    ``modes.to_mode`` for what becomes of modes and ``encode`` for what a format cannot carry. ``keep`` as format leaves
    JPEG, PNG and WebP (a WebP without loss stays so) and makes PNG of all others. WebP has no grey: there, L is written
    as three equal channels, and a WebP that is to be L is always encoded anew. With ``strip_metadata`` off, an
    EXIF block survives encoding with its orientation set to 1; XMP, text and comments do not.
    Raises ``PictureError`` as ``probe`` does, for bytes that have to be decoded and cannot be.
    """
    format = _target_format(row.get("media_type"), recipe)
    if _keeps_pixels(row, recipe, format):
        if not recipe.strip_metadata:
            return CleanResult(data, {}, [], (1.0, 1.0), False)
        try:
            return _stripped(data, row)
        except ValueError:
            pass  # damaged or unknown structure: what a decoder makes of it is encoded anew
    return _encoded(data, decode(data, max_pixels), recipe, format)


def _target_format(media_type: str | None, recipe: PixelRecipe) -> str:
    if recipe.format != "keep":
        return recipe.format
    return media_type.rpartition("/")[2] if media_type in STRIPPABLE else "png"


def _keeps_pixels(row: Mapping[str, Any], recipe: PixelRecipe, format: str) -> bool:
    mode = row.get("mode")
    longest = max(row.get("width_px") or 0, row.get("height_px") or 0)
    return (
        row.get("media_type") == f"image/{format}"
        and row.get("exif_orientation") in (None, 1)
        and (mode in _KEPT_MODES if recipe.mode == "keep" else mode == recipe.mode)
        and (recipe.max_side_px is None or 0 < longest <= recipe.max_side_px)
    )


def _stripped(data: bytes, row: Mapping[str, Any]) -> CleanResult:
    stripped = strip_metadata(data, row["media_type"])
    if stripped is data:
        return CleanResult(data, {}, [], (1.0, 1.0), False)
    fields: dict[str, Any] = {"size_bytes": len(stripped)}
    if row.get("exif_orientation") is not None:
        fields["exif_orientation"] = None
    return CleanResult(stripped, fields, [_step("strip_metadata")], (1.0, 1.0), False)


def _encoded(data: bytes, decoded: Decoded, recipe: PixelRecipe, format: str) -> CleanResult:
    steps: list[dict[str, Any]] = []
    if decoded.orientation not in (None, 1):
        steps.append(_step("upright", orientation=decoded.orientation))
    image, scale = decoded.image, (1.0, 1.0)
    if image.mode in ("I", "F"):
        image, low, high = to_16_bit(image)
        steps.append(_step("mode", **{"from": decoded.image.mode, "to": image.mode, "low": low, "high": high}))
    image = _noted(to_mode(image, recipe.mode), image, steps)
    image = _noted(carried(image, format), image, steps)
    size = _fitting(image.size, recipe.max_side_px)
    if size != image.size:
        scale = (size[0] / image.width, size[1] / image.height)
        image = image.resize(size, Image.Resampling.LANCZOS)
        steps.append(_step("resize", width_px=size[0], height_px=size[1]))
    if format == "webp":
        image = carried(image, format)  # made smaller, alpha may hide nothing any more
    lossless = format == "webp" and is_lossless_webp(data)
    exif = with_orientation_one(decoded.exif) if decoded.exif and not recipe.strip_metadata else None
    fields = measure(image)
    encoded = encode(image, format=format, quality=recipe.quality, lossless=lossless, exif=exif)
    steps.append(_encode_step(format, recipe.quality, lossless))
    fields |= {
        "media_type": f"image/{format}",
        "width_px": image.width,
        "height_px": image.height,
        "mode": image.mode,
        "exif_orientation": orientation_of(exif),
        "size_bytes": len(encoded),
    }
    return CleanResult(encoded, fields, steps, scale, True)


def _noted(image: Image.Image, before: Image.Image, steps: list[dict[str, Any]]) -> Image.Image:
    if image.mode != before.mode:
        steps.append(_step("mode", **{"from": before.mode, "to": image.mode}))
    return image


def _fitting(size: tuple[int, int], max_side_px: int | None) -> tuple[int, int]:
    longest = max(size)
    if max_side_px is None or longest <= max_side_px:
        return size
    width, height = (max(1, (2 * side * max_side_px + longest) // (2 * longest)) for side in size)
    return width, height


def _encode_step(format: str, quality: int, lossless: bool) -> dict[str, Any]:
    if format == "png":
        return _step("encode", format=format)
    if lossless:
        return _step("encode", format=format, lossless=True)
    return _step("encode", format=format, quality=quality)


def _step(op: str, **values: Any) -> dict[str, Any]:
    return {"op": op, "values": values}
