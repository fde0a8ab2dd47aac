"""``snapshot.json`` and the files it names, checked before anything is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import from_json

from dsetkit.errors import SnapshotError
from dsetkit.snapshots.order import runs_of
from dsetkit.spec.key import sort_key
from dsetkit.spec.snapshot import Part, SnapshotInfo
from dsetkit.storage.folder import Folder

FORMAT = 1
MAX_INFO_BYTES = 64 * 1024 * 1024
"""A larger ``snapshot.json`` is not read; one of a quarter of a million shards fits."""

_SHARD = re.compile(r"shards/([0-9a-f]{64})\.tar\Z")
_PART = re.compile(r"samples/([0-9a-f]{64})\.parquet\Z")
_REJECTED = "rejected.parquet"
_DAMAGED = "It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout)."
_FETCH = "Fetch it (under DVC: dvc checkout; a killed one leaves such a snapshot)."


def to_json(info: SnapshotInfo) -> bytes:
    """``snapshot.json``: keys sorted, indented by 2, ending in a newline; fields at their defaults left out.

    ``format`` and all counts are always there.
    """
    fields = info.model_dump(mode="json", exclude_defaults=True)
    fields["format"] = info.format
    fields["counts"] = info.counts.model_dump(mode="json")
    return (json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def absent(place: str) -> SnapshotError:
    """The error for a place without a snapshot."""
    return SnapshotError(
        f"there is no snapshot at {place}", path=place, hint="Fetch it (under DVC: dvc checkout), or check the path."
    )


def read_info(folder: Folder) -> SnapshotInfo:
    """The document of the snapshot in a folder. Raises ``SnapshotError`` where there is none, or it cannot be one."""
    size = folder.size_bytes("snapshot.json")
    if size is None:
        raise absent(folder.url)
    if size > MAX_INFO_BYTES:
        _refuse(folder, f"it has {size:,} bytes, more than {MAX_INFO_BYTES:,}")
    try:
        fields = from_json(folder.read("snapshot.json"), allow_inf_nan=False)
    except ValueError as error:
        _refuse(folder, f"it is no JSON ({error})")
    number = fields.get("format") if isinstance(fields, dict) else None
    if number is None:
        _refuse(folder, "it does not say what format it has")
    if number != FORMAT:
        raise SnapshotError(
            f"{folder.url} is a snapshot of format {str(number)[:20]}; this dsetkit reads format {FORMAT}",
            path=folder.url,
            hint="Update it: pip install -U dsetkit.",
        )
    try:
        info = SnapshotInfo.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        if first["type"] == "extra_forbidden":
            _refuse(folder, what, "A later dsetkit wrote it; update this one: pip install -U dsetkit.")
        _refuse(folder, what)
    _check_info(folder, info)
    return info


def check_files(folder: Folder, info: SnapshotInfo) -> None:
    """Raises ``SnapshotError`` naming files that are not there or do not have their size."""
    wrong = wrong_files(folder, info)
    if not wrong:
        return
    missing = [part.name for part, size in wrong if size is None]
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    if missing:
        shown = ", ".join(sorted(missing)[:3])
        text = f"{folder.url} is not whole: {shown}{more} missing"
    else:
        shown = ", ".join(
            f"{part.name} has {size} bytes, not {part.size_bytes}"
            for part, size in sorted(wrong, key=lambda item: item[0].name)[:3]
        )
        text = f"{folder.url} is not whole: {shown}{more}"
    raise SnapshotError(text, path=folder.url, hint=_FETCH)


def wrong_files(folder: Folder, info: SnapshotInfo) -> list[tuple[Part, int | None]]:
    """The files that are not there (None) or have another size than stated, with the size they have."""
    parts = list(files_of(info))
    if folder.local_path("snapshot.json") is not None:
        sizes: Iterable[int | None] = [folder.size_bytes(part.name) for part in parts]
    else:
        with ThreadPoolExecutor(16) as pool:
            sizes = list(pool.map(lambda part: folder.size_bytes(part.name), parts))
    return [(part, size) for part, size in zip(parts, sizes, strict=True) if size != part.size_bytes]


def files_of(info: SnapshotInfo) -> Iterable[Part]:
    """All files but ``snapshot.json``."""
    yield from info.parts
    yield from info.shards
    if info.rejected is not None:
        yield info.rejected


def _check_info(folder: Folder, info: SnapshotInfo) -> None:
    for pattern, parts in ((_PART, info.parts), (_SHARD, info.shards)):
        for part in parts:
            found = pattern.match(part.name)
            if found is None or found[1] != part.digest:
                _refuse(folder, f"{part.name!r} cannot be a file of a snapshot")
    if info.rejected is not None and info.rejected.name != _REJECTED:
        _refuse(folder, f"{info.rejected.name!r} cannot be a file of a snapshot")
    files = list(files_of(info))
    if len({part.name for part in files}) < len(files):
        _refuse(folder, "it names a file twice")
    for part in files:
        if part.size_bytes < 0 or part.rows < 0:
            _refuse(folder, f"{part.name} has a negative size")
    shards = {part.name for part in info.shards}
    for part in info.parts:
        if part.rows < 1 or sort_key(part.first_key) > sort_key(part.last_key):
            _refuse(folder, f"{part.name} has no rows, or its keys are in no order")
        for shard in part.shards:
            if f"shards/{shard}" not in shards:
                _refuse(folder, f"{part.name} needs {shard!r}, which is not a shard of it")
    if sum(part.rows for part in info.parts) != info.counts.samples:
        _refuse(folder, f"its parts do not have the {info.counts.samples} samples it counts")
    if len(runs_of(info.parts)) > 2:
        _refuse(folder, "its parts are in no order")


def _refuse(folder: Folder, what: Any, hint: str = _DAMAGED) -> NoReturn:
    raise SnapshotError(
        f"snapshot.json of {folder.url} cannot be believed: {str(what)[:300]}", path=folder.url, hint=hint
    )
