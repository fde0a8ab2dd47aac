"""What a backup is made of: its files' names, the document that names and hashes all the others, and reading it.

```
dsetkit-backup.json                what this is, and of which project; written first
files/md5/ab/cdef…                 DVC's objects, each once, named as in a DVC remote
git/<sha256>.bundle                all branches and tags, for `git clone`
index/<number>-<sha256>.json       one generation: branches, tags, every object with size and SHA-256; written last
```

A file that is not what its name says is damaged, whoever wrote it. Nothing of a backup is believed before it is hashed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import from_json

from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.spec.base import Digest, Document, canonical_json
from dsetkit.spec.issue import Issue
from dsetkit.storage.folder import Folder
from dsetkit.storage.writable import is_unfinished

FORMAT = 1
MARKER = "dsetkit-backup.json"
MAX_INDEX_BYTES = 256 * 1024 * 1024
"""A larger index is not read; one of 1,800,000 objects fits."""
MAX_LISTING_BYTES = 256 * 1024 * 1024
"""A larger list of a folder's files is not read; one of three million fits."""
_BYTES_A_VALUE = 4
"""A value of a document that backups or DVC write takes more than that on average; of a bomb, one or two."""
_MAX_MARKER_BYTES = 1024 * 1024
_OID = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")
_REV = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_REF = re.compile(r"refs/(heads|tags)/[^\s\0~^:?*\[\\]+\Z")
_INDEX = re.compile(r"index/(\d{8})-([0-9a-f]{64})\.json\Z")
_BUNDLE = re.compile(r"git/([0-9a-f]{64})\.bundle\Z")
_OBJECT = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)\Z")
_REPAIR = "Send it again: dsetkit backup create {url} --check."


def _fits(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.match(value):
            raise ValueError(f"{value[:80]!r} is no {what}")
        return value

    return AfterValidator(check)


def _check_place(value: str) -> str:
    if "\\" in value or "\0" in value or any(part in ("", ".", "..") for part in value.split("/")):
        raise ValueError(f"{value[:200]!r} is no path in a project")
    return value


Oid = Annotated[str, _fits(_OID, "id of an object")]
"""DVC's object id: an MD5, with ``.dir`` for the list of a folder's files."""
Rev = Annotated[str, _fits(_REV, "commit")]
Place = Annotated[str, AfterValidator(_check_place)]
"""A relative path with ``/`` between its parts, without ``..``."""


class StoredFile(Document):
    """What a file must be."""

    size_bytes: int = Field(ge=0)
    digest: Digest


class StoredVersion(Document):
    """A commit that records outputs."""

    rev: Rev
    names: tuple[str, ...] = ()
    """Tags; without any the abbreviated hash."""
    outputs: dict[Place, Oid] = Field(default_factory=dict)
    """Path in the project → what stood there."""


class BackupIndex(Document):
    """One generation of a backup."""

    format: Literal[1] = 1
    generation: int = Field(ge=1)
    created_at: str
    project: Place | Literal[""] = ""
    """Where in the git repository the project is; empty: at its top."""
    head: str = ""
    """The branch that was checked out; empty: none."""
    refs: dict[Annotated[str, _fits(_REF, "branch or tag")], Rev]
    head_rev: Rev
    bundle: StoredFile
    versions: tuple[StoredVersion, ...] = ()
    objects: dict[Oid, StoredFile] = Field(default_factory=dict)
    missing: tuple[Oid, ...] = ()
    """Objects that versions name but that were nowhere to be had, in the order of their ids."""


class Marker(Document):
    """``dsetkit-backup.json``."""

    format: Literal[1] = 1
    kind: Literal["dsetkit backup"] = "dsetkit backup"
    roots: tuple[Rev, ...]
    """The project's first commits: what tells one project from another."""


@dataclass(frozen=True)
class Generation:
    """An index that was read, and is what its name says."""

    name: str
    index: BackupIndex


def object_name(oid: str) -> str:
    """Where a backup has an object; the same as in a DVC remote."""
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def bundle_name(digest: str) -> str:
    """Where a backup has the git bundle of a digest."""
    return f"git/{digest}.bundle"


def oid_of(name: str) -> str | None:
    """The object that a file of a backup is; None for another file."""
    found = _OBJECT.match(name)
    return found[1] + found[2] if found else None


def is_own(name: str) -> bool:
    """Whether a file is one that backups write (so that pruning may look at it), finished or not."""
    if is_unfinished(name):
        return name.startswith(("files/md5/", "git/", "index/", f".{MARKER}"))
    return bool(name == MARKER or oid_of(name) or _BUNDLE.match(name) or _INDEX.match(name))


def is_bundle(name: str) -> bool:
    """Whether a file is a git bundle."""
    return _BUNDLE.match(name) is not None


def index_file(index: BackupIndex) -> tuple[str, bytes]:
    """Name and bytes of a generation's document."""
    data = (canonical_json(index.model_dump(mode="json", exclude_defaults=True) | {"format": FORMAT}) + "\n").encode()
    return f"index/{index.generation:08d}-{hashlib.sha256(data).hexdigest()}.json", data


def next_generation(names: Mapping[str, int]) -> int:
    """The number for a new index: above all that are there, damaged ones too."""
    return max((int(found[1]) for name in names if (found := _INDEX.match(name))), default=0) + 1


def read_generations(folder: Folder, sizes: Mapping[str, int]) -> tuple[list[Generation], list[Issue]]:
    """The generations that can be believed, newest first, and what is wrong with the others (``index-damaged``).

    ``sizes``: what the folder lists. Raises ``StorageError`` where it cannot be reached.
    """
    found: list[Generation] = []
    issues: list[Issue] = []
    for name in sorted((name for name in sizes if _INDEX.match(name)), reverse=True):
        try:
            found.append(Generation(name, _read_index(folder, name, sizes[name])))
        except ValueError as error:
            issues.append(
                Issue(
                    code="index-damaged",
                    message=f"generation {int(name[6:14])} cannot be used: {str(error)[:300]}",
                    file=name,
                    hint="Make a new one (dsetkit backup create), then delete this file; use another till then.",
                )
            )
    return found, issues


def _read_index(folder: Folder, name: str, size_bytes: int) -> BackupIndex:
    if size_bytes > MAX_INDEX_BYTES:
        raise ValueError(f"it has {size_bytes:,} bytes, more than {MAX_INDEX_BYTES:,}")
    data = folder.read(name)
    stated = _INDEX.match(name)
    assert stated is not None
    digest = hashlib.sha256(data).hexdigest()
    if digest != stated[2]:
        raise ValueError(f"its digest is {digest}")
    index = BackupIndex.model_validate(_parsed(data))
    if index.generation != int(stated[1]):
        raise ValueError(f"it says that it is generation {index.generation}")
    if index.head and index.head not in index.refs:
        raise ValueError(f"it has no branch {index.head[:80]!r}")
    return index


def _from_json(data: bytes) -> Any:
    """What a JSON document says. Raises ``ValueError``, also for one of so many values that they fill the memory."""
    if sum(map(data.count, (b",", b"[", b"{"))) > len(data) // _BYTES_A_VALUE + 1000:
        raise ValueError("it has too many values for its size")
    return from_json(data, allow_inf_nan=False)


def _parsed(data: bytes) -> Any:
    fields = _from_json(data)
    number = fields.get("format") if isinstance(fields, dict) else None
    if number != FORMAT:
        raise ValueError(f"it is of format {str(number)[:20]}; this dsetkit reads format {FORMAT}")
    return fields


def newest(folder: Folder, generations: list[Generation], issues: list[Issue], number: int | None = None) -> Generation:
    """The newest generation, or the one that is asked for.

    Raises ``NotFoundError`` where it is not there, ``StorageError`` where all there are cannot be used.
    """
    wanted = [item for item in generations if number is None or item.index.generation == number]
    if wanted:
        return wanted[0]
    there = ", ".join(str(item.index.generation) for item in generations)
    if not issues and not generations:
        raise NotFoundError(
            f"{folder.url} is no backup, or one that was never finished",
            name=folder.url,
            hint="Check the address; or make one: dsetkit backup create.",
        )
    if generations:
        raise NotFoundError(
            f"{folder.url} has no generation {number} that can be used", name=str(number), hint=f"It has {there}."
        )
    raise StorageError(
        f"{folder.url}: {issues[0].message}",
        url=folder.url,
        hint="No generation is whole. The objects may still serve as a DVC remote; see docs/backup.md.",
    )


def read_marker(folder: Folder, sizes: Mapping[str, int]) -> Marker | None:
    """What says that this is a backup; None where it is not there. Raises ``ValueError`` for a damaged one."""
    if MARKER not in sizes:
        return None
    if sizes[MARKER] > _MAX_MARKER_BYTES:
        raise ValueError("it is too large")
    return Marker.model_validate(_parsed(folder.read(MARKER)))


def marker_bytes(roots: tuple[str, ...]) -> bytes:
    """The document ``dsetkit-backup.json``."""
    return (json.dumps(Marker(roots=roots).model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()


def check_place(folder: Folder, sizes: Mapping[str, int], roots: tuple[str, ...]) -> bool:
    """Whether the marker has yet to be written; raises ``UsageError`` where this project must not be backed up.

    That is a place with files that are no backup (a DVC remote has objects of the same names, and pruning a backup
    would delete them), and the backup of another project.
    """
    try:
        marker = read_marker(folder, sizes)
    except (ValueError, ValidationError):
        if not any(_INDEX.match(name) for name in sizes):
            raise UsageError(
                f"{MARKER} of {folder.url} is damaged", hint="Delete it if this is the backup; or name another place."
            ) from None
        marker = None
        return True
    if marker is None:
        others = [name for name in sizes if not is_unfinished(name)]
        if others and not any(_INDEX.match(name) for name in others):
            raise UsageError(
                f"{folder.url} is not empty, and no backup", hint="Name a place where nothing is yet, or a backup."
            )
        return True
    if not set(marker.roots) & set(roots):
        raise UsageError(f"{folder.url} is the backup of another project", hint="Name a place of this project's own.")
    return False


def parse_listing(data: bytes, oid: str, what: str) -> dict[str, str]:
    """Name → object id of the files that a folder's object (``<md5>.dir``) lists.

    Raises ``StorageError`` for bytes that are not that object, and for names and ids that are none.
    """
    try:
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            raise ValueError("other bytes")
        entries = _from_json(data)
        files = {_check_place(str(entry["relpath"])): str(entry["md5"]) for entry in entries}
        if not all(_OID.match(found) and not found.endswith(".dir") for found in files.values()):
            raise ValueError("an id is none")
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"the list of files of {what} is damaged ({oid})", url=what, hint="Fetch it again, or restore it."
        ) from error
    return files


def repair_hint(url: str) -> str:
    """What to do about a damaged file of a backup, while the project still has it."""
    return _REPAIR.format(url=url)
