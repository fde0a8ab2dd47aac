"""A source as it is now: its files, the formats that read its labels, and the state that can be locked."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dsetkit.curation.contract import Contract
from dsetkit.errors import LockError, NotFoundError, StorageError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Detection, Format
from dsetkit.formats.frames import Frame, bring_upright
from dsetkit.formats.join import join
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.reading import all_pictures, with_held
from dsetkit.spec.issue import Issue
from dsetkit.spec.lock import SourceLock
from dsetkit.spec.params import LabelsParams, SourceParams
from dsetkit.stages.project import Project
from dsetkit.storage.archive import is_archive
from dsetkit.storage.atomic import write_atomic
from dsetkit.storage.scan import Tree, scan, scan_archive, tree_digest
from dsetkit.storage.stat_cache import StatCache
from dsetkit.storage.url import to_local


@dataclass(frozen=True)
class LabelsFrom:
    """One set of label files: where they are and what reads them."""

    params: LabelsParams
    format: Format
    tree: Tree
    prefix: str | None
    """Where the tree lies in the source's own tree; none for one that lies elsewhere."""
    files: tuple[str, ...]
    """The label files, relative to their tree."""
    side_files: frozenset[str] = frozenset()
    """Those of them that hold no labels themselves."""

    @property
    def frame(self) -> Frame:
        """Which picture coordinates are of: as params say, else as the format does."""
        return self.params.frame if self.params.frame != "auto" else self.format.frame

    @property
    def own(self) -> set[str]:
        """The label files that lie in the source's own tree, relative to that."""
        return set() if self.prefix is None else {f"{self.prefix}/{path}".strip("/") for path in self.files}


@dataclass(frozen=True)
class SourceState:
    """The files of a source that count: pictures, and the label files that formats read."""

    tree: Tree
    labels: tuple[LabelsFrom, ...]
    pictures: tuple[str, ...]
    detection: Detection | None = None
    """How the format was found, where nobody named it."""
    others: tuple[Detection, ...] = ()
    """What other formats would have fitted."""
    held: frozenset[str] = frozenset()
    """Those of the pictures that lie inside label files."""

    @property
    def frame(self) -> Frame:
        """The frame of the labels that ``read_labels`` gives."""
        return self.labels[0].frame if len(self.labels) == 1 else "upright"

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What the scan could not take in."""
        return tuple(self.tree.issues)

    def listing(self) -> dict[str, str]:
        """SHA-256 of every picture and label file, by path; label files that lie elsewhere under ``labels[n]``.

        Of pictures inside label files, too: of the bytes that they are given out as.
        """
        listed = dict(self.tree.digests([*self._own_files(), *sorted(self.held, key=str.encode)]))
        for number, item in enumerate(self.labels):
            if item.prefix is None:
                digests = item.tree.digests(item.files)
                listed.update({f"labels[{number}]/{path}": digest for path, digest in digests.items()})
        return listed

    def lock(self) -> SourceLock:
        """The state as it is locked: one digest over the path and digest of each file, in path order.

        Pictures inside label files are not among them: the label files are, and how a picture is given out may depend
        on the versions of codecs.
        """
        own = self._own_files()
        digest = tree_digest(self.tree, own)
        size = sum(self.tree.entries[path].size_bytes for path in own)
        elsewhere = [item for item in self.labels if item.prefix is None]
        if elsewhere:
            lines = [digest, *(tree_digest(item.tree, item.files) for item in elsewhere)]
            digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
            size += sum(item.tree.entries[path].size_bytes for item in elsewhere for path in item.files)
        return SourceLock(
            digest=digest,
            pictures=len(self.pictures),
            labels=len(
                {(item.prefix, path) for item in self.labels for path in item.files if path not in item.side_files}
            ),
            size_bytes=size,
        )

    def _own_files(self) -> list[str]:
        labels = {path for item in self.labels for path in item.own}
        return sorted({*self.pictures, *labels} - self.held, key=str.encode)

    def read_labels(self, load: Callable[[str], Contract | None] = lambda _: None) -> LabelSet:
        """The labels of all files, joined by picture; pictures nobody labelled are there too.

        ``load`` gives the contract that a reference means: labels that have one of their own are held against it
        before they are joined with others.
        """
        index = PictureIndex(self.tree, self.pictures)
        sets = []
        for item in self.labels:
            read = item.format.read(item.tree, index, item.params.options)
            if len(self.labels) > 1:  # of one set alone, ingest finds it out from the pictures it decodes anyway
                read = bring_upright(read, index, item.frame, check=False)
            contract = None if item.params.schema_ is None else load(item.params.schema_)
            sets.append((read if contract is None else _checked(read, contract), item.params.annotator))
        return join(sets, self.pictures)


def read_source(params: SourceParams, url: str, cache: StatCache | None = None) -> SourceState:
    """Scan a source and settle which format reads its labels.

    Raises ``NotFoundError`` or ``StorageError`` for a place that cannot be read, ``NotFoundError`` for a format
    that is not known or found, ``UsageError`` for a source without any picture.
    """
    tree = scan(url, exclude=params.exclude, cache=cache)
    detection: Detection | None = None
    others: tuple[Detection, ...] = ()
    labels: list[LabelsFrom] = []
    for item in params.labels or (LabelsParams(),):
        inside, prefix = (tree, "") if item.file is None else _labels_tree(tree, item.file, params, cache)
        if item.format is None:
            detection, others = registry.detect(inside)
            label_format = registry.get(detection.format)
        else:
            label_format = registry.get(item.format)
        label_format.check_options(item.options)
        files = tuple(label_format.label_files(inside))
        labels.append(LabelsFrom(item, label_format, inside, prefix, files, frozenset(label_format.side_files(inside))))
    whole, held = with_held(tree, [(item.format, item.tree, item.params.options) for item in labels])
    own = {path for found in labels for path in found.own}
    pictures = tuple(all_pictures([item.format for item in labels], tree, held, own))
    if not pictures:
        raise UsageError(
            f"{url} holds no picture",
            hint="Give the folder that the pictures are in; labels alone are read by dsetkit validate and convert.",
        )
    return SourceState(whole, tuple(labels), pictures, detection, others, held)


def _checked(labels: LabelSet, contract: Contract) -> LabelSet:
    rows = (
        {**row, "annotations": contract.with_findings(row["annotations"])} if row.get("annotations") else row
        for row in labels.rows
    )
    return LabelSet.from_rows(rows, labels.categories, labels.info, labels.licenses, labels.issues)


def _labels_tree(tree: Tree, file: str, params: SourceParams, cache: StatCache | None) -> tuple[Tree, str | None]:
    """The tree of one set of label files, and where it lies in the source's own."""
    local = to_local(file)
    if local is None or local.is_absolute():
        return scan(file, exclude=params.exclude, cache=cache), None
    place = unicodedata.normalize("NFC", file).strip("/")
    if place in tree.entries and is_archive(place):
        return scan_archive(tree, place, exclude=params.exclude, cache=cache), None
    try:
        return tree.subtree(place), place.rpartition("/")[0] if place in tree.entries else place
    except NotFoundError as error:
        raise NotFoundError(
            f"the label file {file!r} is not in {tree.url}",
            name=file,
            hint=f"{error.hint} Give its path relative to the source, an absolute path, or a URL.",
        ) from error


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, list[str]]:
    """What is ``new``, ``gone`` and ``changed`` between two listings, each in path order."""
    return {
        "new": sorted(after.keys() - before.keys(), key=str.encode),
        "gone": sorted(before.keys() - after.keys(), key=str.encode),
        "changed": sorted((p for p in before.keys() & after.keys() if before[p] != after[p]), key=str.encode),
    }


def describe_changes(found: dict[str, list[str]], examples: int = 3) -> list[str]:
    """One line a kind of change: how many, and the first few."""
    lines = []
    for word, paths in found.items():
        if paths:
            more = f", and {len(paths) - examples} more" if len(paths) > examples else ""
            lines.append(f"{len(paths)} {word}: {', '.join(paths[:examples])}{more}")
    return lines


def _listing_path(project: Project, digest: str) -> Path:
    return project.work / "listings" / f"{digest}.json"


def keep_listing(project: Project, digest: str, listing: dict[str, str]) -> None:
    """Keep, on this machine, which files a lock stands for, so that a difference can be named later.

    For this user alone, as it tells of what may be sealed; where it cannot be kept (the folder is another user's),
    differences will be counts.
    """
    path = _listing_path(project, digest)
    with suppress(OSError, StorageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):
            path.parent.chmod(0o700)  # listings of before, which others could read, with it
        write_atomic(path, json.dumps(listing, sort_keys=True).encode(), 0o600)


def locked_listing(project: Project, digest: str) -> dict[str, str] | None:
    """The files a lock stands for, where this machine has seen it; else None."""
    try:
        listing = json.loads(_listing_path(project, digest).read_bytes())
    except (OSError, ValueError):
        return None
    return listing if isinstance(listing, dict) else None


def check_lock(project: Project, name: str, state: SourceState) -> None:
    """Raise ``LockError``, saying what differs, unless the source is what was locked."""
    locked = project.lock.get(name)
    if locked is None:
        raise LockError(
            f"the source {name!r} is not locked, so nobody has said what state of it to take in",
            name=name,
            changes=(),
            hint=f"Lock what is there now: dsetkit update {name}.",
        )
    if is_locked(project, name, state):
        return
    lines = difference(project, name, state)
    raise LockError(
        f"the source {name!r} is no longer what was locked: {'; '.join(lines)}",
        name=name,
        changes=lines,
        hint=f"Take the new state in: dsetkit update {name}; or put the old files back.",
    )


def is_locked(project: Project, name: str, state: SourceState) -> bool:
    """Whether a source is just what was locked. Raises ``AccessError`` for who has not the keys of a sealed lock."""
    locked = project.lock.get(name)
    return locked is not None and project.sealing(f"raw/{name}").stamped(state.lock(), locked) == locked


def difference(project: Project, name: str, state: SourceState) -> list[str]:
    """How a source differs from its lock, a line a kind of change; counts where the files are not known here."""
    locked = project.lock.get(name)
    if locked is None:
        return ["it was never locked"]
    before = locked_listing(project, locked.digest)
    if before is not None:
        lines = describe_changes(changes(before, state.listing()))
        if lines:
            return lines
    current = state.lock()
    counts = [
        f"{getattr(locked, field)} {word} then, {getattr(current, field)} now"
        for field, word in (("pictures", "pictures"), ("labels", "label files"), ("size_bytes", "bytes"))
        if getattr(locked, field) != getattr(current, field)
    ]
    return counts or ["contents differ, counts and sizes are the same"]


def sorted_sources(names: Sequence[str]) -> list[str]:
    """Source names in the order of their samples' keys (``a-b/`` comes before ``a/``)."""
    return sorted(names, key=lambda name: f"{name}/".encode())
