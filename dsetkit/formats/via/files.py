"""Which files of a tree are VIA's, by their beginnings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable

from dsetkit.errors import FormatError
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.text import decode
from dsetkit.formats.via.table import csv_places
from dsetkit.storage.tree import Tree

HEAD_BYTES = 16 * 1024
_PROJECT = re.compile(rb'\A\s*\{\s*"_via_(?:settings|img_metadata|attributes|data_format_version|image_id_list)"\s*:')
_PICTURE = re.compile(rb'"(?:filename|fileref)"\s*:')
_OURS = re.compile(rb'"(?:shape_attributes|file_attributes|base64_img_data)"\s*:')
_OPENS = re.compile(rb'\A\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\{')
_REGIONS = re.compile(rb'"regions"\s*:\s*([{\[])')
_PROJECT_3 = re.compile(rb'\A\s*\{\s*"(?:project|config|attribute|file|metadata|view)"\s*:\s*\{')
_OURS_3 = re.compile(rb'"(?:anchor_id"\s*:\s*"FILE|vid_list"\s*:\s*\[|loc_prefix"\s*:\s*\{|fid_list"\s*:\s*\[)')
_SINGLE = re.compile(rb'\A\s*\{\s*"(?:filename|fileref|size)"\s*:')


def of_kind(tree: Tree, extensions: Iterable[str]) -> list[str]:
    """All files of these extensions."""
    known = frozenset(extensions)
    return [path for path in tree.entries if extension_of_path(path) in known]


def label_files(tree: Tree, extensions: Iterable[str]) -> list[str]:
    """Files that look like VIA's, sorted by path. A table that says what a JSON file beside it says is among them."""
    return [path for path in of_kind(tree, extensions) if looks_like_via(tree, path) is not None]


def looks_like_via(tree: Tree, path: str) -> str | None:
    """What shows that a file is VIA's; None if nothing does."""
    head = tree.read_head(path, HEAD_BYTES)
    if extension_of_path(path) == ".csv":
        line = re.split(rb"[\r\n]", head.removeprefix(b"\xef\xbb\xbf"), maxsplit=1)[0]
        try:
            header = next(csv.reader([decode(line, path)]), [])
        except (FormatError, csv.Error):
            return None
        return f"region_shape_attributes of VIA {1 if line.startswith(b'#') else 2}" if csv_places(header) else None
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _PROJECT.match(text):
        return "a VIA 2 project"
    if _PROJECT_3.match(text) and _OURS_3.search(text):
        return "a VIA 3 project"
    if (_OPENS.match(text) or _SINGLE.match(text)) and _PICTURE.search(text) and _OURS.search(text):
        regions = _REGIONS.search(text)
        return "regions of VIA" if regions is None else f"regions of VIA {1 if regions[1] == b'{' else 2}"
    return None
