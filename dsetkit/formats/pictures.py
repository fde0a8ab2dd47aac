"""Finding the picture that a label file means.

Label files name pictures by whatever path held where they were written: relative to something, absolute on another
machine, with backslashes, as a URL. Such a name is only ever matched against paths that were scanned; it is never
opened, so an absolute path or ``..`` in a label file reaches nothing outside the source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote, urlsplit

from dsetkit.formats.issues import IssueList
from dsetkit.imaging.probe import read_header
from dsetkit.spec.key import check_key
from dsetkit.storage.scan import Tree

HEAD_BYTES = 64 * 1024
"""How much of a picture is read to learn its size; the whole is read where that is not enough."""
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_DRIVE = re.compile(r"[a-zA-Z]:(?=[\\/])|[a-zA-Z]:$")
_REDUCED = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}){0,3}")
"""Names that are as they should be; nearly all are."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def reduce_name(name: str) -> str:
    """A picture's name as found in a label file, as a plain relative path: NFC, ``/``-separated, no ``.`` or ``..``.

    Drives, roots, schemes, hosts and queries go, URLs are percent-decoded, control characters become ``_``.
    Empty where nothing is left, or where what is left is too long for a key.

    >>> reduce_name("C:\\\\data\\\\..\\\\a.jpg"), reduce_name("https://host/x/a%20b.jpg?raw=1")
    ('data/a.jpg', 'x/a b.jpg')
    """
    if _REDUCED.fullmatch(name):
        return name
    if _URL.match(name):
        try:
            name = unquote(urlsplit(name).path)
        except ValueError:  # a broken host part, as in "http://["
            name = name.partition("://")[2]
    name = _DRIVE.sub("", _UNSAFE.sub("_", name), count=1) if _DRIVE.match(name) else _UNSAFE.sub("_", name)
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    try:
        return check_key("/".join(parts)) if parts else ""
    except ValueError:
        return ""


class PictureIndex:
    """The pictures of a source, to be found by the names label files give them.

    ``tree`` may be None where there are no pictures at hand: then nothing is found.
    """

    def __init__(self, tree: Tree | None, paths: Iterable[str] = ()) -> None:
        self.tree = tree
        self.paths = tuple(paths)
        self._known = frozenset(self.paths)
        self._by_name: dict[str, list[str]] | None = None
        self._by_folded: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] | None = None
        self._headers: dict[str, tuple[tuple[int, int], int | None] | None] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def resolve(self, name: str, near: str = "", prefer: Sequence[str] = ()) -> str | None:
        """The path of the picture that a label file calls ``name``; None where it is not there or not clear.

        Tried in order: the exact path; the path from the label file's folder ``near``; the one path that ends in
        ``name``, or in ever fewer of its last parts; the one picture of that file name whatever its case. Of several,
        the one under a folder named in ``prefer`` (a subset's name) is taken if it is only one.
        """
        found = self.candidates(name, near, prefer)
        return found[0] if len(found) == 1 else None

    def candidates(self, name: str, near: str = "", prefer: Sequence[str] = ()) -> tuple[str, ...]:
        """All pictures that ``name`` could mean, as ``resolve`` looks for them: none, one, or several alike."""
        if not self._known:
            return ()
        for path in (name, _from_folder(name, near)):
            if path in self._known:
                return (path,)
        reduced = reduce_name(name)
        for path in (reduced, f"{near}/{reduced}" if near else reduced):
            if path in self._known:
                return (path,)
        by_name, by_folded = self._names()
        base = reduced.rpartition("/")[2]
        return _narrow(by_name.get(base) or by_folded.get(base.casefold(), []), reduced, prefer, str)

    def by_stem(self, stem: str, near: str = "", prefer: Sequence[str] = ()) -> str | None:
        """The picture of that name but for its extension (``labels/a``: ``images/a.jpg``), as in ``resolve``."""
        if self._by_stem is None:
            self._by_stem = {}
            for path in self.paths:
                self._by_stem.setdefault(_stem(path).rpartition("/")[2], []).append(path)
        reduced = reduce_name(stem)
        found = self._by_stem.get(reduced.rpartition("/")[2], [])
        for wanted in (reduced, f"{near}/{reduced}" if near else reduced):
            exact = [path for path in found if _stem(path) == wanted]
            if len(exact) == 1:
                return exact[0]
        narrowed = _narrow(found, reduced, prefer, _stem)
        return narrowed[0] if len(narrowed) == 1 else None

    def key_of(
        self, name: str, issues: IssueList, *, near: str = "", prefer: Sequence[str] = (), file: str, place: str
    ) -> str | None:
        """The key for a picture named in a label file: its path if found, else its reduced name.

        A name that several pictures could mean is an issue ``picture-ambiguous``; one of which nothing usable is left
        (empty, too long) is an issue ``picture-name-unusable`` and gives None.
        """
        found = self.candidates(name, near, prefer)
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(found[:3])
            issues.add(
                "picture-ambiguous",
                f"{name!r} could be any of {len(found)} pictures ({shown})",
                file=file,
                place=place,
                hint="Give the path in the label file, or give pictures names of their own.",
            )
        key = reduce_name(name)
        if not key:
            issues.add(
                "picture-name-unusable",
                f"no picture can be named {name[:80]!r}",
                file=file,
                place=place,
                hint="Name the picture by its path relative to the source.",
            )
        return key or None

    def size(self, path: str) -> tuple[int, int] | None:
        """Width and height, pixels, of the upright picture, from its header; None where it cannot be learnt."""
        header = self.header(path)
        return None if header is None else header[0]

    def header(self, path: str) -> tuple[tuple[int, int], int | None] | None:
        """The upright size, as ``size``, and the EXIF orientation (1 to 8; None where it has none)."""
        if self.tree is None or path not in self._known:
            return None
        if path not in self._headers:
            head = self.tree.read_head(path, HEAD_BYTES)
            header = read_header(head)
            if header is None and len(head) == HEAD_BYTES:
                header = read_header(self.tree.read(path))
            self._headers[path] = header
        return self._headers[path]

    def _names(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        if self._by_name is None:
            self._by_name = {}
            for path in self.paths:
                base = path.rpartition("/")[2]
                self._by_name.setdefault(base, []).append(path)
                self._by_folded.setdefault(base.casefold(), []).append(path)
        return self._by_name, self._by_folded


def _narrow(found: list[str], name: str, prefer: Sequence[str], form: Callable[[str], str]) -> tuple[str, ...]:
    """Of pictures with the right file name, those that share most of the name's last parts, then ``prefer``."""
    if len(found) < 2:
        return tuple(found)
    parts = name.split("/")
    for count in range(len(parts), 1, -1):
        tail = "/" + "/".join(parts[-count:])
        ending = [path for path in found if f"/{form(path)}".endswith(tail)]
        if ending:
            found = ending
            break
    if len(found) > 1 and prefer:
        wanted = {part.casefold() for part in prefer}
        under = [path for path in found if wanted & {part.casefold() for part in path.split("/")[:-1]}]
        found = under or found
    return tuple(found)


def _from_folder(name: str, near: str) -> str:
    """``name`` as seen from the folder ``near``, with ``..`` taken at its word; empty where it leaves the root."""
    parts = [] if name.startswith("/") else [part for part in near.split("/") if part]
    for part in unicodedata.normalize("NFC", name).replace("\\", "/").split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else name}"
