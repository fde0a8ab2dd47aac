"""Text on pictures: on a box of its own, in a colour that reads, beside what it names."""

from __future__ import annotations

import math
import unicodedata

import numpy as np
from PIL import ImageDraw, ImageFont

from dsetkit.imaging.palette import Color, text_color

_MAX_LETTERS = 60
_MAX_LINES = 4
_PAD_PX = 2
_BEYOND_ASCII = "©«°±´·»‘’“”…‹›"
Rect = tuple[float, float, float, float]


class LabelWriter:
    """Writes labels onto one picture, each where it hides no earlier one if there is such a place."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
        self._draw = draw
        self._width, self._height = size
        self._font = ImageFont.load_default(max(10, min(64, min(size) // 34)))
        self._taken = np.zeros((size[1], size[0]), dtype=np.bool_)  # pixels under a label
        self._corner_y = 0.0

    def at(self, text: str, bbox_xywh: Rect, color: Color) -> None:
        """Write beside a box: above it, below it or inside it, where it hides least of the labels before it."""
        x, y, box_width, box_height = bbox_xywh
        text, width, height = self._fit(text)
        if not text:
            return
        right, below = x + box_width - width, y + box_height
        places = [(x, y - height), (x, below), (x, y), (right, y - height), (right, below), (right, y)]
        places += [(x, below - height), (right, below - height), (x - width, y), (x + box_width, y)]
        places += [(x, below + away * height) for away in (1, 2)] + [(x, y - away * height) for away in (2, 3)]
        rects = [self._inside(left, top, width, height) for left, top in places]
        self._write(text, min(rects, key=self._hidden), color)  # the first of equal ones

    def in_corner(self, text: str, color: Color) -> None:
        """Write into the picture's top left corner, below what was written there before; at most 4 lines."""
        for line in self._lines(text):
            fitted, width, height = self._fit(line)
            self._write(fitted, self._inside(0.0, self._corner_y, width, height), color)
            self._corner_y += height

    def _lines(self, text: str) -> list[str]:
        """The text broken between words where the picture ends; what is over stays on the last line, to be cut."""
        words = writable(text).split()
        lines = words[:1]
        for word in words[1:]:
            longer = f"{lines[-1]} {word}"
            fits = len(longer) < _MAX_LETTERS and self._font.getlength(longer) + 2 * _PAD_PX <= self._width
            if fits or len(lines) == _MAX_LINES:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _fit(self, text: str) -> tuple[str, float, float]:
        """The text on one line, cut to the picture's width, and its size with padding."""
        text = writable(text).strip()
        if len(text) > _MAX_LETTERS:
            text = text[: _MAX_LETTERS - 1] + "…"
        while len(text) > 2 and self._font.getlength(text) + 2 * _PAD_PX > self._width:
            text = text.removesuffix("…")[:-1] + "…"
        top, bottom = self._font.getbbox("Ág")[1::2]
        return text, self._font.getlength(text) + 2 * _PAD_PX, bottom - top + 2 * _PAD_PX

    def _inside(self, x: float, y: float, width: float, height: float) -> Rect:
        """The rectangle moved into the picture."""
        x, y = max(0.0, min(x, self._width - width)), max(0.0, min(y, self._height - height))
        return x, y, x + width, y + height

    def _hidden(self, rect: Rect) -> int:
        """Pixels of earlier labels under a rectangle."""
        return int(np.count_nonzero(self._taken[_pixels(rect)]))

    def _write(self, text: str, rect: Rect, color: Color) -> None:
        self._taken[_pixels(rect)] = True
        self._draw.rectangle((rect[0], rect[1], rect[2] - 1, rect[3] - 1), fill=color)  # Pillow fills the ends too
        top = self._font.getbbox("Ág")[1]
        self._draw.text((rect[0] + _PAD_PX, rect[1] + _PAD_PX - top), text, fill=text_color(color), font=self._font)


def writable(text: str) -> str:
    """The text as far as Pillow's built-in font goes: ASCII, accents taken off, ``?`` for letters it does not have.

    Fonts of the machine are not used: the same picture everywhere.
    """
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(_known(letter) for letter in letters)


def _known(letter: str) -> str:
    if not letter.isprintable():
        return " "
    return letter if letter.isascii() or letter in _BEYOND_ASCII else "?"


def _pixels(rect: Rect) -> tuple[slice, slice]:
    """Rows and columns that a rectangle touches."""
    left, top, right, bottom = rect
    return slice(math.floor(top), math.ceil(bottom)), slice(math.floor(left), math.ceil(right))
