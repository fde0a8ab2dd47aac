"""``snapshot.json`` and the files it names, checked before anything is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from re import Pattern
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from dsetkit.errors import SnapshotError
from dsetkit.snapshots import envelope
from dsetkit.snapshots.envelope import StoredFile, files_of, to_json
from dsetkit.snapshots.facet_document import OpenFacets, open_facets
from dsetkit.snapshots.naming import PLAIN_TABLES, SEALED_TABLES, SHARD, SNAPSHOT
from dsetkit.snapshots.order import runs_of
from dsetkit.snapshots.sealing import Keys, Seal
from dsetkit.spec.key import sort_key
from dsetkit.spec.sealed import SealedSnapshot, Seals
from dsetkit.spec.snapshot import MAX_JSON_VALUES, SnapshotInfo, count_values
from dsetkit.storage.folder import Folder

__all__ = ["Opened", "check_files", "files_of", "read_info", "read_seals", "read_snapshot", "stored_files", "to_json"]

FORMAT = 1
MAX_INFO_BYTES = 64 * 1024 * 1024
"""A larger ``snapshot.json`` is not read; one of a quarter of a million shards fits."""

SEALED_RATIO = 3
"""A sealed one may be so many times as large: its body is in base64, and its files stand in it twice."""

_MAX_MISTAKES = 10_000

_DAMAGED = "It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout)."
_FETCH = "Fetch it (under DVC: dvc checkout; a killed one leaves such a snapshot)."

_Document = TypeVar("_Document", bound=BaseModel)


class Opened(NamedTuple):
    """What a snapshot's document says."""

    info: SnapshotInfo
    """Of one with facets its base: what it means without what they protect."""
    seals: Seals | None = None
    """The envelope of a sealed one."""
    seal: Seal | None = None
    """Its keys."""
    facets: OpenFacets = OpenFacets()

    @property
    def meant(self) -> SnapshotInfo:
        """What it means as far as it can be read: with all its facets, or without any."""
        return self.info if self.facets.info is None else self.facets.info


def absent(place: str) -> SnapshotError:
    """The error for a place without a snapshot."""
    return SnapshotError(
        f"there is no snapshot at {place}", path=place, hint="Fetch it (under DVC: dvc checkout), or check the path."
    )


def read_info(folder: Folder, keys: Keys | None = None) -> SnapshotInfo:
    """The document of the snapshot in a folder, whole or its base. Raises as ``read_snapshot`` does."""
    return read_snapshot(folder, keys).meant


def read_snapshot(folder: Folder, keys: Keys | None = None, *, facets: bool = True) -> Opened:
    """The document of the snapshot in a folder; a sealed one is opened with ``keys``.

    ``keys`` are asked whether it may stand there, and be plain. Without ``facets`` it is opened as for somebody who
    reads none of them. Raises ``SnapshotError`` where there is none, or it cannot be one; for a sealed one
    ``AccessError`` where these keys (or none) do not open it, and ``TamperError`` where it is not what was sealed, or
    nobody entitled signed it.
    """
    fields, data = _read_fields(folder)
    if "sealed" not in fields:
        info = _parse(folder, fields, SnapshotInfo)
        _check_info(folder, info, PLAIN_TABLES)
        if info.facets:
            _refuse(folder, "it has facets, and is not sealed")
        if keys is not None:
            keys.check_place(folder.url, None)
        return Opened(info)
    seals = _parse_seals(folder, fields, data)
    if keys is None:
        raise envelope.lacks_keys(folder.url, seals)
    keys.check_place(folder.url, seals)
    seal = keys.seal(seals)
    keys.check(seals, data)
    body = envelope.open_body(seals, seal, folder.url)
    if len(body) > MAX_INFO_BYTES:
        _refuse(folder, f"its body has {len(body):,} bytes, more than {MAX_INFO_BYTES:,}")
    info = _parse(folder, _fields_of(folder, body), SnapshotInfo)
    envelope.check_envelope(seals, info, folder.url)
    _check_info(folder, info, SEALED_TABLES)
    if not facets:
        return Opened(info, seals, seal, OpenFacets(hidden=info.facets))
    return Opened(info, seals, seal, open_facets(seals, info, body, keys, folder.url))


def read_seals(folder: Folder) -> Seals | None:
    """The envelope of the snapshot in a folder, for which no key is needed; None where it is plain.

    It is what it says of itself: nothing of it is signed or opened here. Raises ``SnapshotError``.
    """
    fields, data = _read_fields(folder)
    return _parse_seals(folder, fields, data) if "sealed" in fields else None


def stored_files(folder: Folder) -> tuple[StoredFile, ...]:
    """All files of the snapshot in a folder but ``snapshot.json``, as they lie there; no key is needed.

    Raises ``SnapshotError``.
    """
    seals = read_seals(folder)
    return files_of(read_info(folder)) if seals is None else envelope.files_of_seals(seals)


def _read_fields(folder: Folder) -> tuple[dict[str, Any], bytes]:
    """The document as JSON, of a format that is known, and its bytes."""
    size = folder.size_bytes(SNAPSHOT)
    if size is None:
        raise absent(folder.url)
    limit = MAX_INFO_BYTES
    if size > limit and folder.read_range(SNAPSHOT, 0, min(size, len(envelope.BEGINNING))) == envelope.BEGINNING:
        limit *= SEALED_RATIO
    if size > limit:
        _refuse(folder, f"it has {size:,} bytes, more than {limit:,}")
    data = folder.read(SNAPSHOT)
    return _fields_of(folder, data), data


def _fields_of(folder: Folder, data: bytes) -> dict[str, Any]:
    values = count_values(data)
    if values > MAX_JSON_VALUES:
        _refuse(folder, f"it has {values:,} values, more than {MAX_JSON_VALUES:,}")
    try:
        fields = from_json(data, allow_inf_nan=False)
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
    known: dict[str, Any] = fields
    return known


def _parse(folder: Folder, fields: dict[str, Any], model: type[_Document]) -> _Document:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        if error.error_count() > _MAX_MISTAKES:  # to list them would take far more memory than the document
            _refuse(folder, f"it has {error.error_count():,} mistakes")
        first = error.errors(include_url=False, include_input=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        if first["type"] == "extra_forbidden":
            _refuse(folder, what, "A later dsetkit wrote it; update this one: pip install -U dsetkit.")
        _refuse(folder, what)


def _parse_seals(folder: Folder, fields: dict[str, Any], data: bytes) -> Seals:
    document = _parse(folder, fields, SealedSnapshot)
    if to_json(document) != data:
        _refuse(folder, "it is not written as dsetkit writes it")
    files = envelope.files_of_seals(document.sealed)
    if len({file.name for file in files}) < len(files):
        _refuse(folder, "it names a file twice")
    return document.sealed


def check_files(folder: Folder, opened: Opened) -> None:
    """Raises ``SnapshotError`` naming files that are not there or do not have their size.

    Those of facets that cannot be read need not be there.
    """
    files = {part.name: part for part in (*files_of(opened.info), *files_of(opened.meant), *opened.facets.files())}
    wrong = wrong_files(folder, list(files.values()))
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


def wrong_files(folder: Folder, files: Sequence[StoredFile]) -> list[tuple[StoredFile, int | None]]:
    """The files that are not there (None) or have another size than stated, with the size they have."""
    if folder.local_path(SNAPSHOT) is not None:
        sizes: Iterable[int | None] = [folder.size_bytes(part.name) for part in files]
    else:
        with ThreadPoolExecutor(16) as pool:
            sizes = list(pool.map(lambda part: folder.size_bytes(part.name), files))
    return [(part, size) for part, size in zip(files, sizes, strict=True) if size != part.size_bytes]


def _check_info(folder: Folder, info: SnapshotInfo, tables: Mapping[str, Pattern[str]]) -> None:
    rejected = () if info.rejected is None else (info.rejected,)
    for pattern, parts in ((tables["samples"], info.parts), (SHARD, info.shards), (tables["rejected"], rejected)):
        for part in parts:
            found = pattern.match(part.name)
            is_by_digest = pattern in (SHARD, PLAIN_TABLES["samples"])
            if found is None or (is_by_digest and found[1] != part.digest):
                _refuse(folder, f"{part.name!r} cannot be a file of a snapshot")
    files = files_of(info)
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
