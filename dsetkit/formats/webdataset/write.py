"""Rows into shards."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from dsetkit.errors import UsageError
from dsetkit.formats.base import Export, Options
from dsetkit.formats.carry import split_of
from dsetkit.formats.matching import extension_of_path, without_extension
from dsetkit.formats.places import Places, safe_path
from dsetkit.formats.webdataset.dataset import OWN
from dsetkit.formats.webdataset.tar import BLOCK
from dsetkit.imaging.media import PICTURE_EXTENSIONS, extension_of
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import canonical_json

SHARD_BYTES = 100_000_000
"""What a shard's pictures have together, about, where nobody says another size."""
_LEAST_BYTES, _MOST_BYTES = 1_000, 4_000_000_000
_NO_SPLIT = "data"


class Placed(NamedTuple):
    """Where a sample goes."""

    shard: str
    stem: str
    """Its name in the shard, without a dot in its last part."""
    extension: str
    """Of its picture, lower-case, with its dot."""

    @property
    def prefix(self) -> str:
        """What the shards of its split have in common."""
        return self.shard.rpartition("-")[0]

    @property
    def key(self) -> str:
        """The member that its picture is."""
        return f"{self.stem}{self.extension}"


def shard_bytes(options: Options) -> int:
    """The option of that name. Raises ``UsageError`` for what is no size."""
    value = options.get("shard_bytes", SHARD_BYTES)
    if type(value) is not int or not _LEAST_BYTES <= value <= _MOST_BYTES:
        raise UsageError(
            f"the option shard_bytes is {value!r}",
            hint=f"It is a number of bytes from {_LEAST_BYTES:,} to {_MOST_BYTES:,}; a shard is made in memory.",
        )
    return value


def place(export: Export, target_bytes: int) -> dict[str, Placed]:
    """Where each sample goes, by its key.

    Each split has shards of its own, cut behind the sample with which the pictures reach the target. Names differ also
    where case does not count, and over all shards.
    """
    shards = Places()
    stems: set[str] = set()
    prefixes: dict[str, str] = {}
    counts: dict[str, tuple[int, int]] = {}
    placed: dict[str, Placed] = {}
    for row in export.rows():
        split = split_of(row) or ""
        if split not in prefixes:
            prefixes[split] = shards.take(re.sub(r"[^0-9A-Za-z_-]", "_", split)[:100].lstrip("-_") or _NO_SPLIT)
        number, size = counts.get(split, (0, 0))
        shard = f"{prefixes[split]}-{number:06d}.tar"
        size += _size(row, export)
        counts[split] = (number + 1, 0) if size >= target_bytes else (number, size)
        placed[row["key"]] = Placed(shard, *_member(row, stems))
    return placed


def _size(row: Row, export: Export) -> int:
    size = row.get("size_bytes")
    return size if size is not None else len(export.picture(row) or b"")


def _member(row: Row, taken: set[str]) -> tuple[str, str]:
    path = safe_path(row["key"])
    extension = extension_of_path(path)
    if extension in PICTURE_EXTENSIONS:
        path = without_extension(path)
    else:
        extension = extension_of(row["media_type"]) if row.get("media_type") else ".jpg"
    folder, slash, name = path.rpartition("/")
    name = name.replace(".", "_")
    name = f"_{name.strip('_')}" if re.fullmatch(r"__[^/]*__", name) else name
    folder = "/".join(re.sub(r"\A__([^/]*)__\Z|\A(__MACOSX)\Z", r"_\1\2_", part) for part in folder.split("/"))
    free, number = f"{folder}{slash}{name}", 2
    while free.casefold() in taken:
        free = f"{folder}{slash}{name}-{number}"
        number += 1
    taken.add(free.casefold())
    return free, extension


def class_of(row: Row, categories: Mapping[str, int]) -> int | None:
    """The number of the first image label's category; of what is not in the frame there is none."""
    seen = (item for item in row.get("annotations", ()) if not is_outside(item))
    labels = (item.get("category") for item in seen if item["kind"] == "image_label")
    return next((categories[name] for name in labels if name in categories), None)


def caption_of(row: Row) -> str | None:
    """The first caption that says something, alike."""
    seen = (item for item in row.get("annotations", ()) if not is_outside(item))
    texts = (item.get("text") for item in seen if item["kind"] == "caption")
    return next((text for text in texts if text), None)


def fields_of(export: Export, placed: Mapping[str, Placed], categories: Mapping[str, int]) -> set[tuple[str, str]]:
    """Prefix of shards and extension, for ``.cls`` and ``.txt`` where each sample of that split has one.

    Loaders want the same fields in all samples.
    """
    missing: set[tuple[str, str]] = set()
    prefixes = set()
    for row in export.rows():
        prefix = placed[row["key"]].prefix
        prefixes.add(prefix)
        missing |= set() if class_of(row, categories) is not None else {(prefix, ".cls")}
        missing |= set() if caption_of(row) is not None else {(prefix, ".txt")}
    return {(prefix, extension) for prefix in prefixes for extension in (".cls", ".txt")} - missing


def documents(
    row: Row, placed: Placed, categories: Mapping[str, int], fields: Container[tuple[str, str]]
) -> Iterator[tuple[str, bytes]]:
    """The members beside the picture, by extension: a class's number, a caption, and all labels as JSON."""
    number, text = class_of(row, categories), caption_of(row)
    if number is not None and (placed.prefix, ".cls") in fields:
        yield ".cls", str(number).encode()
    if text is not None and (placed.prefix, ".txt") in fields:
        yield ".txt", text.encode()
    document = {**row, OWN: 1, "picture": placed.key}
    del document["key"]
    yield ".json", canonical_json(document).encode()


class ShardBuilder:
    """One tar in memory."""

    def __init__(self) -> None:
        self._out = io.BytesIO()

    def add(self, name: str, data: bytes) -> None:
        """A file: mode 0644, owner 0, time 0; a name that ustar has no room for in a pax header."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._out.write(member.tobuf(tarfile.PAX_FORMAT))
        self._out.write(data)
        self._out.write(bytes(-len(data) % BLOCK))

    def finish(self) -> bytes:
        """The tar's bytes."""
        self._out.write(bytes(2 * BLOCK))
        return self._out.getvalue()
