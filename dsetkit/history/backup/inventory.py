"""Everything that any branch or tag names: the versions, their outputs, and DVC's objects of those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from dsetkit.errors import DsetkitError, StorageError
from dsetkit.history.backup.copies import backup_blocks, cache_blocks, hashed, remote_blocks
from dsetkit.history.backup.index import MAX_LISTING_BYTES, StoredVersion, parse_listing
from dsetkit.history.objects import Objects
from dsetkit.history.outputs import Outputs
from dsetkit.history.repository import git
from dsetkit.history.revisions import tags_of
from dsetkit.storage.folder import Folder

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


def recorded_versions(root: Path, known: dict[str, dict[str, str]] | None = None) -> list[StoredVersion]:
    """The commits of all branches and tags that changed what DVC tracks, and those that branches and tags point at.

    ``root`` is the project's folder. Of commits with the same outputs one is listed, the newest. Outputs that git
    itself keeps (``cache: false``) are left out. ``known``: commit → outputs, of what was looked at before; it fills.
    """
    paths = ("--", ":(glob)**/dvc.lock", ":(glob)**/*.dvc")
    # Without simplification: a version on a branch that was merged away is one, too.
    log = git(root, "log", "--branches", "--tags", "HEAD", "--full-history", "--format=%H", *paths) or ""
    tips = git(root, "log", "--branches", "--tags", "HEAD", "--no-walk=unsorted", "--format=%H") or ""
    revs = list(dict.fromkeys([*log.split(), *tips.split()]))
    tags = tags_of(root, revs)
    pointing = _tags_at(root)
    found: dict[tuple[tuple[str, str], ...], StoredVersion] = {}
    recorded = Outputs(root)
    known = {} if known is None else known
    for rev in revs:
        outputs = known[rev] = known[rev] if rev in known else recorded.at(rev)
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
