"""Where written pictures go: names that every file system takes, each only once."""

from __future__ import annotations

import unicodedata

from dsetkit.formats.pictures import reduce_name

_FORBIDDEN = str.maketrans(dict.fromkeys('\\/:*?"<>|', "_"))
_MAX_BYTES = 200


def safe_part(name: str) -> str:
    """One part of a path (folder or file name) that names the same on every system; the name itself if it does.

    Separators and characters Windows forbids become ``_``, as do control characters, a leading dot (hidden) and
    trailing dots and spaces. Longer than 200 bytes it is cut in the middle, so that an extension stays.
    """
    name = unicodedata.normalize("NFC", name).translate(_FORBIDDEN)
    name = reduce_name(f"x/{name}").removeprefix("x/") if name not in (".", "..", "") else ""
    if name.startswith("."):
        name = "_" + name[1:]
    stripped = name.rstrip(". ")
    name = stripped + "_" * (len(name) - len(stripped))
    data = name.encode()
    if len(data) > _MAX_BYTES:
        head = data[: _MAX_BYTES - 20].decode(errors="ignore")
        name = f"{head}~{data[-19:].decode(errors='ignore')}"
    return name or "_"


def safe_path(key: str) -> str:
    """A key as a path of safe parts."""
    return "/".join(map(safe_part, key.split("/")))


class Places:
    """Gives each path out once; a path that differs from one taken only in case, too, gets ``-2``, ``-3``, ... ."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, path: str) -> str:
        """The path itself, or, where that is taken, one with a number before its extension."""
        folder, slash, name = path.rpartition("/")
        stem, dot, extension = name.rpartition(".")
        if not (dot and stem):
            stem, dot, extension = name, "", ""
        number, free = 2, path
        while free.casefold() in self._taken:
            free = f"{folder}{slash}{stem}-{number}{dot}{extension}"
            number += 1
        self._taken.add(free.casefold())
        return free
