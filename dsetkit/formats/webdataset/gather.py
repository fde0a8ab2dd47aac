"""Members put together to samples: of a shard, or of files that lie as they would in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.pictures import reduce_name
from dsetkit.formats.webdataset.dataset import MAX_BYTES, MEMBER, Dataset, read_dataset
from dsetkit.formats.webdataset.files import Name, open_shard, split_name, without_suffix
from dsetkit.formats.webdataset.tar import Member, TarError
from dsetkit.storage.tree import Tree

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""A larger member is not read as a label."""
_AGAIN = "Fetch the shard again; what stands before is read."


@dataclass
class SampleFiles:
    """One sample's members."""

    name: str
    """Its name in the shard."""
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """Field and key of each picture."""
    texts: dict[str, bytes] = field(default_factory=dict)
    """Field → content."""

    def main(self) -> str | None:
        """The key of the picture that labels are of: the first whose field is an extension alone, else the first."""
        plain = (key for name, key in self.pictures if "." not in name)
        return next(plain, self.pictures[0][1] if self.pictures else None)


def pictures_in(tree: Tree, path: str) -> Iterator[tuple[str, Member]]:
    """Key and place of every picture of a shard, as far as it can be read; each key once."""
    prefix = prefix_of(path)
    seen: set[str] = set()
    begun = False
    try:
        walk = open_shard(tree, path)
        for member in walk.members():
            name = split_name(member.name)
            if member.name == MEMBER and not begun and _dataset(member.size, partial(walk.bytes_at, *member[1:])):
                prefix = ""
            begun |= name is not None
            key = _key(prefix, member.name) if name is not None and name.is_picture else None
            if key is not None and key not in seen:
                seen.add(key)
                yield key, member
    except (TarError, FormatError):  # told of when the labels are read
        return


def prefix_of(path: str) -> str:
    """What comes before a member's name in its key: the shard's path, but in shards that dsetkit wrote."""
    return f"{without_suffix(path)}/"


class Gatherer:
    """Puts members together; what is wrong with them becomes an issue."""

    def __init__(self, tree: Tree, issues: IssueList) -> None:
        self.tree = tree
        self.issues = issues
        self.keys: set[str] = set()
        self.prefix = ""
        """What comes before names of members in keys of the shard that was read last."""
        self.dataset: Dataset | None = None
        """What dsetkit says of the dataset in it."""

    def shard(self, path: str) -> list[SampleFiles]:
        """The samples of a shard, in order. Raises ``FormatError`` for one that cannot even be unpacked."""
        walk = open_shard(self.tree, path)
        members = (
            (member.name, member.size, partial(walk.bytes_at, member.start, member.size)) for member in walk.members()
        )
        self.prefix, self.dataset = prefix_of(path), None
        found = self._samples(members, path)
        if walk.special:
            message = f"{walk.special} members are links or other special ones; they were left out"
            self.issues.add("member-special", message, severity="warning", file=path, hint="Unpack the tar.")
        return found

    def loose(self, paths: Iterable[str]) -> list[SampleFiles]:
        """The samples that files beside each other make."""
        items = ((path, self.tree.entries[path].size_bytes, partial(self.tree.read, path)) for path in paths)
        self.prefix, self.dataset = "", None
        return self._samples(items, None)

    def _samples(self, members: Iterator[tuple[str, int, Callable[[], bytes]]], shard: str | None) -> list[SampleFiles]:
        samples: dict[str, SampleFiles] = {}
        unread: Counter[str] = Counter()
        scattered: dict[str, None] = {}
        last = ""
        try:
            for path, size, read in members:
                name = split_name(path)
                if path == MEMBER and not samples and (found := _dataset(size, read)) is not None:
                    self.prefix, self.dataset = "", found
                if name is None:
                    continue
                sample = samples.setdefault(name.sample, SampleFiles(name.sample))
                if name.sample != last and (sample.pictures or sample.texts):
                    scattered[name.sample] = None
                last = name.sample
                file, place = (shard, path) if shard is not None else (path, None)
                if not self._take(sample, name, path, size, read, file, place):
                    unread[name.field.rpartition(".")[2]] += 1
        except TarError as error:
            self.issues.add("shard-damaged", str(error), file=shard, hint=_AGAIN)
        if scattered and shard is not None:
            example = next(iter(scattered))
            message = f"the members of {len(scattered)} samples do not follow each other ({example[:100]!r})"
            hint = "WebDataset takes them for several samples; here they count as one."
            self.issues.add("sample-scattered", message, severity="warning", file=shard, hint=hint)
        for field_name, count in sorted(unread.items()):
            message = f"{count} members .{field_name[:40]} are not read"
            hint = "Only pictures, classes, texts and JSON are."
            self.issues.add("member-unread", message, severity="info", file=shard, hint=hint)
        return list(samples.values())

    def _take(
        self,
        sample: SampleFiles,
        name: Name,
        path: str,
        size: int,
        read: Callable[[], bytes],
        file: str,
        place: str | None,
    ) -> bool:
        """Whether the member is of a kind that is read."""
        if name.is_picture:
            key = _key(self.prefix, path)
            if key is None:
                message = f"no picture can be named {path[:80]!r}"
                self.issues.add("picture-name-unusable", message, file=file, place=place, hint="Rename the member.")
            elif key in self.keys:
                self._twice(path, file, place)
            else:
                self.keys.add(key)
                sample.pictures.append((name.field, key))
            return True
        if not name.is_text:
            return False
        if name.field in sample.texts:
            self._twice(path, file, place)
        elif size > MAX_TEXT_BYTES:
            message = f"it has {size:,} bytes, more than {MAX_TEXT_BYTES:,}"
            self.issues.add("member-too-large", message, file=file, place=place, hint="It was left out.")
        else:
            sample.texts[name.field] = read()
        return True

    def _twice(self, path: str, file: str, place: str | None) -> None:
        message = f"{path[:100]!r} is there twice, but for case and folders that lead nowhere; the first counts"
        self.issues.add("member-twice", message, file=file, place=place, hint="Rename one of the two.")


def _dataset(size: int, read: Callable[[], bytes]) -> Dataset | None:
    return read_dataset(read()) if size <= MAX_BYTES else None


def _key(prefix: str, name: str) -> str | None:
    reduced = reduce_name(name)
    if not reduced or len((prefix + reduced).encode()) > 1024 or any(part[:1] == "." for part in reduced.split("/")):
        return None
    return prefix + reduced
