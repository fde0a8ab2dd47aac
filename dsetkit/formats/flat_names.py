"""Names for pictures that are written into one folder, where the name says which label file is whose."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from dsetkit.formats.matching import extension_of_path, without_extension
from dsetkit.formats.places import safe_part
from dsetkit.imaging.media import PICTURE_EXTENSIONS, extension_of
from dsetkit.spec.arrow import Row

_SPACE = re.compile(r"\s")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_MAX_BYTES = 150
_USUAL = re.compile(r"[A-Za-z0-9_-]{1,150}\.(jpg|png)", re.IGNORECASE | re.ASCII)
"""Names that stay as they are; nearly all do."""
_SAME = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}


class FlatNames:
    """A file name for each sample; no two share a stem, not even where case does not count.

    A sample's name is its key's last part. Where several samples' are the same without extension, the first in key
    order keeps it and each other gets its whole key with ``/`` as ``__`` (and, if that is taken too, 8 digits of the
    key's SHA-256). White space, and what file systems forbid, becomes ``_``. The extension is the key's, unless the
    picture is known to be of another format.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        taken: dict[str, str] = {}
        late: list[str] = []
        for row in rows:
            key = row["key"]
            if taken.setdefault(_stem(key.rpartition("/")[2]).casefold(), key) != key:
                late.append(key)
        self._special: dict[str, str] = {}
        for key in late:
            stem = _stem(key.replace("/", "__"))
            if stem.casefold() in taken:
                stem = f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
            taken[stem.casefold()] = key
            self._special[key] = stem

    def stem(self, key: str) -> str:
        """The file name without extension."""
        return self._special.get(key) or _stem(key.rpartition("/")[2])

    def picture(self, row: Row) -> str:
        """The file name of the sample's picture."""
        return self.stem(row["key"]) + _extension(row)

    def both(self, key: str, media_type: str | None) -> tuple[str, str]:
        """The stem, and the file name of the picture."""
        stem = self.stem(key)
        return stem, stem + _extension({"key": key, "media_type": media_type})


def _stem(name: str) -> str:
    if _USUAL.fullmatch(name) and not _RESERVED.match(name):
        return name.rpartition(".")[0]
    stem = without_extension(name) if extension_of_path(name) in PICTURE_EXTENSIONS else name
    safe = safe_part(_SPACE.sub("_", stem)).rstrip(".") or "_"
    if _RESERVED.match(safe):
        safe = f"_{safe}"
    if len(safe.encode()) > _MAX_BYTES:
        start = safe.encode()[: _MAX_BYTES - 20].decode(errors="ignore")
        safe = f"{start}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return safe


def _extension(row: Row) -> str:
    own = row["key"].rpartition(".")[2]
    given = extension_of_path(row["key"])
    media_type = row.get("media_type")
    known = given in PICTURE_EXTENSIONS
    if media_type is None:
        return f".{own}" if known else ""
    right = extension_of(media_type)
    return f".{own}" if known and _SAME.get(given, given) == right else right
