"""Samples written for a label tool, under names that tell their keys in whatever the tool gives back."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dsetkit.errors import UsageError
from dsetkit.formats.loss import LossReport
from dsetkit.formats.writing import write_labels
from dsetkit.snapshots.read import Snapshot
from dsetkit.stages.export import SnapshotExport

_MAX_NAME_BYTES = 120
_UNSAFE = re.compile(r"[^\w.\-]+")


class KeyNames:
    """A file name for each key of a snapshot that tells it, and the key that a returned name tells.

    The name is the key with ``/`` as ``__`` and without its extension (``demo__images__yard-01-a``), which label tools
    that know no folders keep, too; where two would be the same, eight digits of the key's SHA-256 follow.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._stems: dict[str, str] = {}
        by_stem: dict[str, list[str]] = {}
        by_name: dict[str, list[str]] = {}
        for key in keys:
            by_stem.setdefault(_flat(key).casefold(), []).append(key)
            by_name.setdefault(_stem(key.rpartition("/")[2]).casefold(), []).append(key)
        self._known: dict[str, str] = {}
        for same in by_stem.values():
            for key in same:
                stem = _flat(key)
                whole = f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
                self._stems[key] = stem if len(same) == 1 else whole
                self._known[whole.casefold()] = key
                if len(same) == 1:
                    self._known[stem.casefold()] = key
        self._by_name = {name: same[0] for name, same in by_name.items() if len(same) == 1}

    def stem(self, key: str) -> str:
        """The file name for a key, without an extension."""
        return self._stems[key]

    def find(self, path: str) -> str | None:
        """The key that a path in returned labels tells; what a tool put in front of the name does not matter.

        A path that ends in the whole key is known too, as is a file name that only one key has.
        """
        parts = path.split("/")
        for start in range(len(parts)):
            if "/".join(parts[start:]) in self._stems:
                return "/".join(parts[start:])
        name = parts[-1]
        for stem in dict.fromkeys((_stem(name).casefold(), name.casefold())):
            for start in range(len(stem)):
                if (start == 0 or stem[start - 1] in "-_. ") and stem[start:] in self._known:
                    return self._known[stem[start:]]
        return self._by_name.get(_stem(name).casefold())


class KeyedExport(SnapshotExport):
    """Samples of a snapshot whose pictures are named so that their keys can be told from what comes back."""

    def __init__(self, snapshot: Snapshot, names: KeyNames, *, all_statuses: bool = False) -> None:
        super().__init__(snapshot, all_statuses=all_statuses)
        self.names = names

    def _name(self, key: str, media_type: str | None) -> str:
        file = super()._name(key, media_type).rpartition("/")[2]
        return f"{self.names.stem(key)}{file[len(_stem(file)) :]}"


def choose_keys(snapshot: Snapshot, texts: Iterable[str]) -> Snapshot:
    """The samples that keys, or unique ends of keys, name. Raises ``NotFoundError``, and ``UsageError`` for none."""
    wanted = {snapshot.find_key(text) for text in texts}
    if not wanted:
        raise UsageError("no key is named", hint="Write one key a line.")
    keys = snapshot.column(("key",))["key"].to_pylist()
    return snapshot.at(np.array([number for number, key in enumerate(keys) if key in wanted], np.int64))


def all_names(snapshot: Snapshot) -> KeyNames:
    """The names for all samples of a snapshot."""
    return KeyNames(snapshot.column(("key",))["key"].to_pylist())


def export_keys(
    snapshot: Snapshot,
    texts: Iterable[str],
    dst: str | os.PathLike[str],
    *,
    format: str,
    strict: bool = False,
    all_statuses: bool = False,
    options: Mapping[str, Any] | None = None,
) -> LossReport:
    """Write just some samples for a label tool, each picture under a name that tells its key (see ``KeyNames``).

    Raises what ``choose_keys`` and ``export_snapshot`` raise.
    """
    export = KeyedExport(choose_keys(snapshot, texts), all_names(snapshot), all_statuses=all_statuses)
    return write_labels(export, os.fspath(dst), format, strict=strict, options=options)


def _stem(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and stem and len(extension) <= 5 else name


def _flat(key: str) -> str:
    folder, slash, file = key.rpartition("/")
    name = _UNSAFE.sub("_", f"{folder}{slash}{_stem(file)}".replace("/", "__")).rstrip(".") or "_"
    data = name.encode()
    if len(data) > _MAX_NAME_BYTES:
        name = f"{data[:_MAX_NAME_BYTES].decode(errors='ignore')}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return name
