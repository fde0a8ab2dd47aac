"""Pictures inside LabelMe's JSON files: ``imageData``, base64 of a JPEG or PNG, upright already."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.labelme.files import MAX_JSON_BYTES
from dsetkit.formats.matching import ByStem, extension_of_path, without_extension
from dsetkit.formats.per_picture import made_key
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes, utf8_json
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.storage.held import HeldPicture, picked

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

_DATA = re.compile(rb'"imageData"\s*:\s*"([A-Za-z0-9+/]{0,16})')
_PNG = b"\x89PNG"


def held_pictures(tree: Tree, files: Iterable[str], pictures: Iterable[str]) -> Iterator[HeldPicture]:
    """The pictures in ``files`` that are not there as a file: none is called like the JSON file or as it says.

    A picture's key is its ``imagePath``, seen from the JSON file, else the JSON file's path with ``.jpg`` or ``.png``.
    """
    index = PictureIndex(None, pictures)
    by_stem = ByStem(index.paths)
    for path in files:
        if by_stem.find(path, path):
            continue
        try:
            data = utf8_json(read_label_bytes(tree, path, MAX_JSON_BYTES), path)
            found = _DATA.search(data)
            name = _document(data).get("imagePath") if found is not None else None
        except (FormatError, ValueError, RecursionError):  # told of by whoever reads the labels
            continue
        if found is None or not found[1]:
            continue
        names = [name] if isinstance(name, str) and name else []
        if any(index.candidates(item, path.rpartition("/")[0]) for item in names):
            continue
        key = made_key(path, names)
        if extension_of_path(key) not in PICTURE_EXTENSIONS:
            start = base64.b64decode(found[1][: len(found[1]) // 4 * 4])
            key = without_extension(path) + (".png" if start.startswith(_PNG) else ".jpg")
        size = max(1, (len(data) - found.start(1)) * 3 // 4)
        yield HeldPicture(key, path, picked(tree, path, read_picture, _whole), size)


def read_picture(data: bytes) -> bytes:
    """The picture in a document. Raises ``PictureError`` where there is none."""
    try:
        text = _document(utf8_json(data, "")).get("imageData")
        if isinstance(text, str) and text:
            return base64.b64decode(text, validate=True)
    except (FormatError, ValueError, RecursionError, binascii.Error):
        pass
    raise PictureError("imageData is no base64", code="picture-corrupt")


def _document(data: bytes) -> dict[str, Any]:
    document = from_json(data)
    return document if isinstance(document, dict) else {}


def _whole(picture: bytes) -> bytes:
    return picture
