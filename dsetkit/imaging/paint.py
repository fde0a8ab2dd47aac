"""Drawing made-up pictures: what the demo's scenes are painted with, and the ways a picture goes wrong.

All of it is deterministic: the same calls give the same bytes with the same version of Pillow.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Color = tuple[int, int, int]
"""R, G, B from 0 to 255."""
Point = tuple[float, float]
"""x, y in pixels of the finished picture."""

Picture = Image.Image
"""A picture of Pillow, for rooms that pass one on and may not name Pillow themselves."""

_SCALE = 3  # drawn three times as large and reduced, so that edges are smooth
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825


class Canvas:
    """An RGB picture being drawn, in pixels of the finished picture."""

    def __init__(self, width_px: int, height_px: int, color: Color) -> None:
        self._image = Image.new("RGB", (width_px * _SCALE, height_px * _SCALE), color)
        self._draw = ImageDraw.Draw(self._image)

    def gradient(self, top_px: float, bottom_px: float, top: Color, bottom: Color) -> None:
        """Fill the rows from ``top_px`` to ``bottom_px`` with colours that run from one to the other."""
        first, last = round(top_px * _SCALE), round(bottom_px * _SCALE)
        for y in range(first, last):
            share = (y - first) / max(1, last - first - 1)
            color = mix(top, bottom, share)
            self._draw.line([(0, y), (self._image.width, y)], fill=color)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=color)

    def box(self, x: float, y: float, w: float, h: float, color: Color) -> None:
        """A filled upright box, by its top-left corner and size."""
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], color)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, color: Color) -> None:
        """A filled upright ellipse, by its centre and half axes."""
        self._draw.ellipse([v * _SCALE for v in (cx - rx, cy - ry, cx + rx, cy + ry)], fill=color)

    def line(self, points: Sequence[Point], color: Color, width_px: float) -> None:
        """A line through points, with round ends and joints."""
        width = max(1, round(width_px * _SCALE))
        self._draw.line([(x * _SCALE, y * _SCALE) for x, y in points], fill=color, width=width)
        if width > _SCALE:
            for x, y in points:
                self.ellipse(x, y, width_px / 2, width_px / 2, color)

    def finish(self, *, seed: str, grain: int = 6) -> Image.Image:
        """The picture at its own size, with film grain of at most ``grain`` grey levels drawn from ``seed``."""
        image = self._image.reduce(_SCALE)
        noise = np.frombuffer(hashlib.shake_256(seed.encode()).digest(image.width * image.height), np.uint8)
        levels = (noise.reshape(image.height, image.width, 1).astype(np.int16) * (2 * grain + 1) >> 8) - grain
        pixels = np.clip(np.asarray(image).astype(np.int16) + levels, 0, 255).astype(np.uint8)
        return Image.fromarray(pixels)


def mix(one: Color, other: Color, share: float) -> Color:
    """The colour that is ``share`` (0 to 1) of the way from one to the other."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, other, strict=True))
    return r, g, b


def blurred(image: Image.Image, radius_px: float) -> Image.Image:
    """Out of focus."""
    return image.filter(ImageFilter.GaussianBlur(radius_px))


def exposed(image: Image.Image, alpha: float, beta: float) -> Image.Image:
    """Each value ``x`` from 0 to 255 as ``alpha * x + beta``, clipped."""
    return image.point([max(0, min(255, round(alpha * x + beta))) for x in range(256)] * len(image.getbands()))


def resized(image: Image.Image, width_px: int, height_px: int) -> Image.Image:
    """At another size."""
    return image.resize((width_px, height_px), Image.Resampling.LANCZOS)


def grey(image: Image.Image) -> Image.Image:
    """In mode ``L``."""
    return image.convert("L")


def with_palette(image: Image.Image, colors: int) -> Image.Image:
    """In mode ``P``, with so many colours."""
    return image.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def to_jpeg(
    image: Image.Image,
    *,
    quality: int = 88,
    orientation: int | None = None,
    taken_at: str | None = None,
    latitude_deg: int | None = None,
) -> bytes:
    """As JPEG bytes.

    ``orientation`` (1 to 8) stores the pixels turned and says so in EXIF, as cameras do, so that the upright picture
    is ``image``. ``taken_at`` and ``latitude_deg`` add what cameras tell of time and place.
    """
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        image = image.transpose(_STORED[orientation]) if orientation in _STORED else image
    if taken_at is not None:
        exif[0x010F], exif[0x0110] = "Demo", "Paintbox 1"  # maker and model of the camera
        exif.get_ifd(_EXIF_IFD)[0x9003] = taken_at
    if latitude_deg is not None:
        exif.get_ifd(_GPS_IFD).update({1: "N", 2: (float(latitude_deg), 0.0, 0.0)})
    out = io.BytesIO()
    image.save(out, "jpeg", quality=quality, exif=exif.tobytes() if len(exif) or latitude_deg is not None else b"")
    return out.getvalue()


def to_png(image: Image.Image) -> bytes:
    """As PNG bytes."""
    out = io.BytesIO()
    image.save(out, "png", compress_level=6)
    return out.getvalue()
