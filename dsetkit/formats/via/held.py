"""Pictures that are in VIA's files themselves: ``base64_img_data`` of versions 1 and 2, ``src`` of version 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.inline import InlineReader, check, extension_of, numbered_key, stretches
from dsetkit.formats.issues import IssueList
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.per_picture import made_key
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.formats.via.document import parse_json
from dsetkit.formats.via.parsed import Picture
from dsetkit.storage.held import HeldPicture
from dsetkit.storage.tree import Tree

MAX_BYTES = 1024**3
_FIELD = "(?:base64_img_data|src|filename)"


def inline_key(path: str, picture: Picture, media_type: str) -> str:
    """The key of a picture in the file ``path``: its name seen from there, else its number in it."""
    if picture.name == picture.inline:
        return numbered_key(path, picture.number, media_type)
    key = made_key(path, [picture.name])
    return f"{key}{extension_of(media_type, key)}" if media_type else key


def held_pictures(tree: Tree, files: Iterable[str], pictures: PictureIndex) -> Iterator[HeldPicture]:
    """Those in ``files`` that can be read and of which there is no file; one that is there twice alike counts once."""
    seen: set[tuple[str, int]] = set()
    for path in files:
        if extension_of_path(path) == ".csv":
            continue
        try:
            data = read_label_bytes(tree, path, MAX_BYTES)
            places = stretches(data, _FIELD)
            parsed = parse_json(data, path, IssueList())
        except FormatError:  # told of when the labels are read
            continue
        for picture in parsed.pictures if parsed is not None else ():
            place = places.get(hash(picture.inline)) if picture.inline else None
            if place is None or _is_there(picture, path, pictures):
                continue
            try:
                content, media_type = check(picture.inline)
            except PictureError:  # told of when the labels are read
                continue
            key = inline_key(path, picture, media_type)
            if (key, hash(content)) not in seen:
                seen.add((key, hash(content)))
                yield HeldPicture(key, path, InlineReader(tree, path, *place), len(content))


def _is_there(picture: Picture, path: str, pictures: PictureIndex) -> bool:
    names = () if picture.name == picture.inline else (*picture.names, picture.name)
    return any(pictures.candidates(name, path.rpartition("/")[0]) for name in names)
