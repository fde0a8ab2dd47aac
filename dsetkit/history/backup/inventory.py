"""Everything that any branch or tag names: the versions, their outputs, and DVC's objects of those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.errors import DsetkitError, StorageError
from dsetkit.history.backup.copies import backup_blocks, cache_blocks, hashed, remote_blocks
from dsetkit.history.backup.index import MAX_LISTING_BYTES, StoredVersion, parse_listing
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.history.revisions import tags_of
from dsetkit.storage.folder import Folder

_MD5 = "0123456789abcdef"
_MOST_NAMED = 3


class Use(NamedTuple):
    """Where an object belongs."""

    place: str
    """The output: ``data/cleaned``."""
    name: str
    """The file in it; empty for the list of its files, and for an output that is a file."""
    version: str
    """A tag, else a commit."""


class Inventory:
    """The objects of some versions, and what each is for."""

    def __init__(self, versions: list[StoredVersion]) -> None:
        self.versions = versions
        self.listings: dict[str, dict[str, str]] = {}
        """Folder's object → its files, name → object."""
        self._outputs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for version in versions:
            for place, oid in version.outputs.items():
                self._outputs[oid] += [(place, name) for name in version.names or (version.rev[:7],)]
        self._holders: dict[str, list[tuple[str, str]]] = defaultdict(list)

    @property
    def outputs(self) -> list[str]:
        """The objects that versions name themselves, sorted; of folders the list of their files."""
        return sorted(self._outputs)

    def add_listing(self, oid: str, files: dict[str, str]) -> None:
        """What a folder's object lists."""
        self.listings[oid] = files
        for name, file in files.items():
            self._holders[file].append((oid, name))

    @property
    def oids(self) -> list[str]:
        """All objects, each once, sorted."""
        return sorted({*self._outputs, *self._holders})

    def uses(self, oid: str) -> list[Use]:
        """Everything an object is for."""
        found = [Use(place, "", version) for place, version in self._outputs.get(oid, ())]
        for holder, name in self._holders.get(oid, ()):
            found += [Use(place, name, version) for place, version in self._outputs[holder]]
        return found

    def describe(self, oid: str) -> str:
        """``shards/….tar of data/cleaned and data/augmented (v1, v2)``."""
        uses = self.uses(oid)
        if not uses:
            return "no version needs it"
        names = list(dict.fromkeys(use.name for use in uses))
        what = names[0] or ("the list of files" if oid.endswith(".dir") else "the file")
        places = _listed(list(dict.fromkeys(use.place for use in uses)))
        return f"{what} of {places} ({_listed(list(dict.fromkeys(use.version for use in uses)))})"

    def needed_by(self, outputs: dict[str, str]) -> list[str]:
        """The objects of some outputs, each once, sorted."""
        found = set(outputs.values())
        for oid in outputs.values():
            found.update(self.listings.get(oid, {}).values())
        return sorted(found)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def recorded_versions(root: Path) -> list[StoredVersion]:
    """The commits of all branches and tags that changed what DVC tracks, and those that branches and tags point at.

    ``root`` is the project's folder. Of commits with the same outputs one is listed, the newest. Outputs that git
    itself keeps (``cache: false``) are left out.
    """
    paths = ("--", ":(glob)**/dvc.lock", ":(glob)**/*.dvc")
    # Without simplification: a version on a branch that was merged away is one, too.
    log = git(root, "log", "--branches", "--tags", "HEAD", "--full-history", "--format=%H", *paths) or ""
    tips = git(root, "log", "--branches", "--tags", "HEAD", "--no-walk=unsorted", "--format=%H") or ""
    revs = list(dict.fromkeys([*log.split(), *tips.split()]))
    tags = tags_of(root, revs)
    pointing = _tags_at(root)
    found: dict[tuple[tuple[str, str], ...], StoredVersion] = {}
    blobs: dict[str, Any] = {}
    for rev in revs:
        outputs = _outputs(root, rev, blobs)
        if not outputs:
            continue
        key = tuple(sorted(outputs.items()))
        names = tuple(sorted({*tags.get(rev, ()), *pointing.get(rev, ())}))
        if key in found:
            names = tuple(sorted({*found[key].names, *names}))
            found[key] = found[key].model_copy(update={"names": names})
        else:
            found[key] = StoredVersion(rev=rev, names=names, outputs=outputs)
    return list(found.values())


def _tags_at(root: Path) -> dict[str, list[str]]:
    """Commit → the tags that point at it."""
    text = git(root, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname:strip=2)", "refs/tags") or ""
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        own, target, name = line.split(" ", 2)
        found[target or own].append(name)
    return found


def outputs_at(root: Path, rev: str) -> dict[str, str]:
    """Path in the project → DVC's object of each output that a commit records and git does not keep itself."""
    return _outputs(root, rev, {})


def _outputs(root: Path, rev: str, blobs: dict[str, Any]) -> dict[str, str]:
    tree = _tree(root, rev)
    kept = set(tree) | {str(folder) for name in tree for folder in PurePosixPath(name).parents}
    found: dict[str, str] = {}
    for name, blob in tree.items():
        base = name.rpartition("/")[2]
        if base != "dvc.lock" and not (base.endswith(".dvc") and base != ".dvc"):
            continue
        folder = PurePosixPath(name).parent
        beside = str(folder / "dvc.yaml")
        uncached = set()
        if base == "dvc.lock" and beside in tree:
            uncached = _uncached(_document(root, tree[beside], blobs))
        for path, oid in _recorded(_document(root, blob, blobs)):
            place = normpath(str(folder / path))
            if place in kept or path in uncached:  # git has it
                continue
            if place == "." or place.startswith(("/", "../")) or "\\" in place or "\0" in place:  # not the project's
                continue
            found[place] = oid
    return found


def _tree(root: Path, rev: str) -> dict[str, str]:
    """Path in the project → blob of every file of a commit below the project's folder."""
    text = git(root, "ls-tree", "-r", "-z", rev, required=True) or ""
    found = {}
    for entry in text.split("\0"):
        facts, mark, name = entry.partition("\t")
        if mark:
            found[name] = facts.split()[2]
    return found


def _document(root: Path, blob: str, blobs: dict[str, Any]) -> Any:
    if blob not in blobs:
        text = git(root, "cat-file", "blob", blob, required=True) or ""
        try:
            blobs[blob] = YAML(typ="safe", pure=True).load(text)
        except YAMLError:
            blobs[blob] = None
    return blobs[blob]


def _recorded(document: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        return
    stages = document.get("stages")
    holders = list(stages.values()) if isinstance(stages, dict) else [document]
    for holder in holders:
        outs = holder.get("outs") if isinstance(holder, dict) else None
        for out in outs if isinstance(outs, list) else ():
            if not isinstance(out, dict) or out.get("cache") is False:
                continue
            oid, path = str(out.get("md5", "")), out.get("path")
            digits = oid.removesuffix(".dir")
            if isinstance(path, str) and len(digits) == 32 and set(digits) <= set(_MD5):
                yield path, oid


def _uncached(document: Any) -> set[str]:
    """Outputs that ``dvc.yaml`` keeps out of DVC's cache."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, dict) and inner.get("cache") is False:
                    found.add(str(name))
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    return found


def take_inventory(
    versions: list[StoredVersion], read_listing: Callable[[str, str], bytes]
) -> tuple[Inventory, dict[str, DsetkitError]]:
    """The objects of versions; and the folders whose list of files cannot be had, with why.

    ``read_listing`` gives the bytes of a folder's object by its id and a name for messages.
    """
    inventory = Inventory(versions)
    lost: dict[str, DsetkitError] = {}
    for oid in inventory.outputs:
        if oid.endswith(".dir"):
            what = inventory.describe(oid)
            try:
                inventory.add_listing(oid, parse_listing(read_listing(oid, what), oid, what))
            except DsetkitError as error:
                lost[oid] = error
    return inventory, lost


class ListingReader:
    """Reads folders' objects from the first place that has a good one: cache, remote, backup."""

    def __init__(self, objects: Objects | None, folder: Folder | None = None) -> None:
        self._objects = objects
        self._folder = folder

    def __call__(self, oid: str, what: str) -> bytes:
        """The bytes of a folder's object. Raises the first place's ``DsetkitError`` where no place has it."""
        first: DsetkitError | None = None
        for blocks in sources(oid, what, self._objects, self._folder):
            try:
                data = b"".join(_limited(blocks(), what))
                if hashed([data]).is_object(oid):
                    return data
                raise StorageError(f"{what} is damaged ({oid})", url=what, hint="Fetch it again: dvc fetch.")
            except DsetkitError as error:
                first = first or error
        raise first or StorageError(f"{what} is nowhere", url=what, hint="Name a backup.")


def sources(
    oid: str, what: str, objects: Objects | None, folder: Folder | None = None
) -> Iterator[Callable[[], Iterator[bytes]]]:
    """Where an object may be: DVC's cache, its remote, a backup."""
    if objects is not None:
        yield lambda: cache_blocks(objects, oid)
        yield lambda: remote_blocks(objects, oid, what)
    if folder is not None:
        yield lambda: backup_blocks(folder, oid)


def _limited(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > MAX_LISTING_BYTES:
            raise StorageError(
                f"the list of files of {what} has more than {MAX_LISTING_BYTES:,} bytes",
                url=what,
                hint="It is no list that DVC wrote.",
            )
        yield block
