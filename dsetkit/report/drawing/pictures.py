"""The pictures a page holds: each embedded once, small, within a budget of bytes."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from dsetkit.errors import DsetkitError, PictureError
from dsetkit.imaging.decode import MAX_PIXELS
from dsetkit.imaging.thumbnail import thumbnail

_AT_ONCE = 32


class Size(NamedTuple):
    """How large the pictures of a section are embedded."""

    side_px: int
    """The longer side at most."""
    quality: int
    """Of WebP."""
    heavy_bytes: int
    """A picture that comes out larger is encoded again, more coarsely."""


LARGE = Size(448, 72, 36_000)
MEDIUM = Size(256, 68, 12_000)
SMALL = Size(112, 60, 2_600)


@dataclass(frozen=True)
class Wanted:
    """A picture that a page asks for."""

    digest: str | None
    """Of its bytes; None where there are none."""
    width_px: int
    """Of the upright picture, in whose pixels labels are drawn."""
    height_px: int
    read: Callable[[], bytes]
    """Gives the bytes; may raise ``DsetkitError``."""


@dataclass(frozen=True)
class Embedded:
    """A picture in the page."""

    id: str
    """Of the SVG ``image`` that holds it."""
    width_px: int
    height_px: int
    data: str
    """Base64 of a WebP; empty where the picture cannot be shown."""
    missing: str = ""
    """Why it cannot be shown."""

    @property
    def cost_bytes(self) -> int:
        """What it adds to the page."""
        return len(self.data) + 120


class Pictures:
    """All pictures of one page, by the digest of their bytes. A picture asked for again is not embedded again."""

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._held: dict[str, Embedded] = {}

    def __iter__(self) -> Iterator[Embedded]:
        """Those that can be shown, in the order in which they were first taken."""
        return (picture for picture in self._held.values() if picture.data)

    @property
    def total_bytes(self) -> int:
        """What all of them add to the page."""
        return sum(picture.cost_bytes for picture in self._held.values())

    def get(self, wanted: Iterable[Wanted], size: Size) -> Iterator[tuple[Embedded, int]]:
        """Each wanted picture in turn with what it adds to the page; decoded in threads, a few ahead.

        It is in the page once it is given. A caller that has spent its budget stops asking and calls ``drop`` for the
        last one. Never raises for a picture that cannot be read or decoded: ``missing`` says why.
        """
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            asked = iter(wanted)
            while batch := list(islice(asked, _AT_ONCE)):
                new = {item.digest: item for item in reversed(batch) if item.digest and item.digest not in self._held}
                small = pool.map(lambda item: self._make(item, size), new.values())
                made: dict[str | None, tuple[str, str]] = dict(zip(new, small, strict=True))
                for item in batch:
                    yield self._take(item, made)

    def all(self, wanted: Sequence[Wanted], size: Size) -> list[tuple[Embedded, int]]:
        """As ``get``, all of them."""
        return list(self.get(wanted, size))

    def drop(self, picture: Embedded, cost: int) -> None:
        """Take a picture out again that was given last, if it was new then (``cost`` above 0)."""
        if cost:
            self._held = {digest: held for digest, held in self._held.items() if held.id != picture.id}

    def _take(self, item: Wanted, made: dict[str | None, tuple[str, str]]) -> tuple[Embedded, int]:
        if item.digest is None:
            return _absent(item, "There are no bytes of it"), 0
        held = self._held.get(item.digest)
        if held is not None:
            return held, 0
        data, missing = made[item.digest]
        picture = Embedded(f"p-{item.digest[:16]}", item.width_px, item.height_px, data, missing)
        self._held[item.digest] = picture
        return picture, picture.cost_bytes if data else 0

    def _make(self, item: Wanted, size: Size) -> tuple[str, str]:
        """Base64 of the small picture, or why there is none. Runs in a thread."""
        try:
            small = thumbnail(
                item.read(),
                size.side_px,
                quality=size.quality,
                max_bytes=size.heavy_bytes,
                max_pixels=self._max_pixels,
            )
        except PictureError as error:
            return "", error.message
        except DsetkitError:  # its message names places of this machine, which a page must not
            return "", "Its bytes cannot be read"
        return base64.b64encode(small).decode("ascii"), ""


def _absent(item: Wanted, why: str) -> Embedded:
    return Embedded("", item.width_px, item.height_px, "", why)
