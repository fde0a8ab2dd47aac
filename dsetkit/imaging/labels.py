"""Text on pictures: on a box of its own, in a colour that reads, beside what it names."""

from __future__ import annotations

import unicodedata

from PIL import ImageDraw, ImageFont

from dsetkit.imaging.palette import Color, text_color

_MAX_LETTERS = 60
_PAD_PX = 2
_BEYOND_ASCII = "©«°±´·»‘’“”…‹›"
Rect = tuple[float, float, float, float]


class LabelWriter:
    """Writes labels onto one picture, each where it hides no earlier one if there is such a place."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
        self._draw = draw
        self._width, self._height = size
        self._font = ImageFont.load_default(max(10, min(28, min(size) // 34)))
        self._taken: list[Rect] = []
        self._corner_y = 0.0

    def at(self, text: str, bbox_xywh: Rect, color: Color) -> None:
        """Write beside a box: above it, below it, or inside at its top, as there is room."""
        x, y, box_width, box_height = bbox_xywh
        text, width, height = self._fit(text)
        if not text:
            return
        places = [(x, y - height), (x, y + box_height), (x, y), (x + box_width - width, y - height)]
        rects = [self._inside(left, top, width, height) for left, top in places]
        free = [rect for rect in rects if not any(_overlap(rect, taken) for taken in self._taken)]
        self._write(text, (free or rects)[0], color)

    def in_corner(self, text: str, color: Color) -> None:
        """Write into the picture's top left corner, below what was written there before."""
        text, width, height = self._fit(text)
        if text:
            self._write(text, self._inside(0.0, self._corner_y, width, height), color)
            self._corner_y += height

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

    def _write(self, text: str, rect: Rect, color: Color) -> None:
        self._taken.append(rect)
        self._draw.rectangle(rect, fill=color)
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


def _overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
