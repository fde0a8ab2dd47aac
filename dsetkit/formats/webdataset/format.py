"""WebDataset: pictures and their labels in tars, sample by sample, to be read in one go.

Definition: https://webdataset.github.io/webdataset ("The WebDataset Format"). Members of the same path up to the first
dot of their last part are one sample; what follows is the field: ``0001.jpg``, ``0001.cls``, ``0001.txt``.

Read: one or more shards (``.tar``, also packed by gzip, bzip2 or xz), or what was in one: a single tar, or a folder it
was unpacked into. Shards are gone through once, header by header; pictures are read by their place. A picture's key is
its shard and its name in it (``train-000000/0001.jpg``); in a single tar its name. Fields read: ``.cls`` (``.class``,
``.label``): a class's number or name → ``image_label``; ``.txt`` (``.text``, ``.caption``, ``.transcript``) →
``caption``; ``.json``: an object, whole, as attributes of the sample, and where there are no such members its ``label``
(``cls``, ``class``, ``category``, ...) and ``caption`` (``text``). Numbers are called as ``classnames.txt``
(``classes.txt``, ``labels.txt``) beside the shards says, else as numbers. Words as ``train``, ``val``, ``test`` in a
shard's path give the subset. Of several pictures of a sample the first whose field is an extension alone has the
labels. Other members (NumPy arrays, pickles, sound) are never opened, and an issue.

Written: ``<split>-000000.tar``, ..., cut at a stated size, with for each sample the picture, ``.cls`` (the number of
its first image label's category; in splits of which every sample has one), ``.txt`` (its first caption, likewise) and
``.json``: all its labels as dsetkit has them, which other tools give out as a dict. Coordinates in there are of the
upright picture; nothing else has any. A shard's first member, ``__dsetkit__``, which other tools pass over, lists the
categories. By these dsetkit reads all of it back; keys are then names in the shard alone, unique over all shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options
from dsetkit.formats.carry import SHAPE_FIELD, carry_categories, carry_row
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.unpacked import Unpacked
from dsetkit.formats.webdataset.dataset import MEMBER, dataset_document
from dsetkit.formats.webdataset.files import (
    CLASSES,
    looks_like_samples,
    loose_files,
    name_lists,
    packing,
    shard_paths,
    split_name,
)
from dsetkit.formats.webdataset.gather import pictures_in
from dsetkit.formats.webdataset.read import OWN_FIELDS, SampleReader
from dsetkit.formats.webdataset.write import (
    Placed,
    ShardBuilder,
    documents,
    fields_of,
    place,
    shard_bytes,
)
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Provenance
from dsetkit.storage.held import picked
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_LOOKED_AT = 4


class WebDataset(Format):
    """Tars of samples."""

    name = "webdataset"
    title = "WebDataset"
    extensions: ClassVar[frozenset[str]] = frozenset({".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".cls"})
    looks_for = "tars of samples such as 0001.jpg, 0001.cls, 0001.json, or such files beside each other"
    frame = "upright"
    sizes_known = True
    capabilities = Capabilities(
        kinds=frozenset(SHAPE_FIELD),
        annotation_fields=frozenset(Annotation.model_fields) - {"kind", "category", "attributes"},
        outside=True,
        attributes=None,
        sample_fields=OWN_FIELDS - {"subsets", "labelled", "annotations", "provenance"},
        provenance_fields=frozenset(Provenance.model_fields),
        category_fields=frozenset(Category.model_fields) - {"name", "index"},
        needs_category=False,
        subsets="many",
        holes=True,
        names="free",
    )
    options: ClassVar[Mapping[str, str]] = {
        "shard_bytes": "when written, after how many bytes of pictures a shard ends: 100000000 where it is left out",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of at most 4 tars, evenly spread; else for files that name classes."""
        tars = [path for path in tree.entries if packing(path) is not None]
        if tars:
            found = {path: looks_like_samples(tree, path) for path in tars[:: -(-len(tars) // _LOOKED_AT)]}
            labelled = [path for path, (_, both) in found.items() if both]
            if labelled:
                return Detection(self.name, 0.92, f"found {labelled[0]}, which begins with pictures and labels")
            if any(pictures for pictures, _ in found.values()):
                return Detection(self.name, 0.25, f"found pictures in {tars[0]}, and no labels where it begins")
        return self._detect_loose(tree)

    def _detect_loose(self, tree: Tree) -> Detection | None:
        fields: dict[str, set[str]] = {}
        for path in tree.entries:
            name = split_name(path)
            if name is not None:
                fields.setdefault(name.sample, set()).add("picture" if name.is_picture else name.field)
        pictures = [names for names in fields.values() if "picture" in names]
        classes = sum(not names.isdisjoint(CLASSES[:1]) for names in pictures)
        if classes:
            return Detection(self.name, 0.85, f"found {classes} pictures with a .cls file beside them")
        both = sum({"txt", "json"} <= names for names in pictures)
        if both and both == len(pictures):
            return Detection(self.name, 0.5, f"found {both} pictures with a .txt and a .json file beside each")
        return None

    def label_files(self, tree: Tree) -> list[str]:
        """Shards; where there are none, label files beside pictures; and lists of names."""
        files = shard_paths(tree) or loose_files(tree)
        return sorted((*files, *name_lists(tree)), key=str.encode) if files else []

    def side_files(self, tree: Tree) -> list[str]:
        """Lists of names."""
        return sorted(name_lists(tree), key=str.encode) if self.label_files(tree) else []

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures in shards; what is packed is unpacked once in each process."""
        for path in shard_paths(tree):
            kind = packing(path)
            for key, member in pictures_in(tree, path):
                read: Any = tree.range_reader(path, member.start, member.size)
                if kind:
                    read = picked(tree, path, _OPEN[kind], _pick, member.start, member.size)
                yield HeldPicture(key, path, read, member.size)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture."""
        shard_bytes(options)
        issues = IssueList()
        shards = shard_paths(labels)
        loose = [] if shards else loose_files(labels)
        if not shards and not loose:
            raise self.no_labels(labels)
        reader = SampleReader(labels, issues)
        refused: list[FormatError] = []
        for path in shards:
            try:
                with collector_paused():
                    reader.add_shard(path)
            except FormatError as error:
                refused.append(error)
                issues.add("file-unreadable", error.message, file=path, hint=error.hint)
        if shards and len(refused) == len(shards):
            raise refused[0]
        if not shards:
            known = {path for path in labels.entries if (name := split_name(path)) is not None and name.is_picture}
            known.update(loose)
            reader.add_loose([path for path in labels.entries if path in known])
        return reader.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Where each sample goes."""
        categories = carry_categories(export, self.capabilities, ledger)
        return _Plan(categories, place(export, shard_bytes(options)))

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """Everything but how the sample was made from others."""
        plan: _Plan = prepared
        partial = row.get("labelled") == "partial"
        out = carry_row({**row, "labelled": "yes"} if partial else row, self.capabilities, ledger)
        if partial:
            out["labelled"] = "partial"
        out["key"] = plan.places[row["key"]].key
        return out

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """One split after another, so that one shard at a time is in memory."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        numbers = {category.name: category.index for category in plan.categories}
        fields = fields_of(export, plan.places, numbers)
        for prefix in dict.fromkeys(placed.prefix for placed in plan.places.values()):
            for name, data in self._shards(export, prefix, plan, numbers, fields, ledger):
                sink.write(name, data)

    def _shards(
        self,
        export: Export,
        prefix: str,
        plan: _Plan,
        numbers: Mapping[str, int],
        fields: set[tuple[str, str]],
        ledger: Ledger,
    ) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of each shard of a split."""
        about = dataset_document(export, plan.categories)
        current: tuple[str, ShardBuilder] | None = None
        for row in export.rows():
            placed = plan.places[row["key"]]
            if placed.prefix != prefix:
                continue
            if current is None or current[0] != placed.shard:
                if current is not None:
                    yield current[0], current[1].finish()
                current = placed.shard, ShardBuilder()
                current[1].add(MEMBER, about)
            picture = export.picture(row)
            if picture is not None:
                current[1].add(placed.key, picture)
            carried = self.carry(row, plan, ledger)
            for extension, data in documents(carried, placed, numbers, fields):
                current[1].add(f"{placed.stem}{extension}", data)
        if current is not None:
            yield current[0], current[1].finish()


@dataclass(frozen=True)
class _Plan:
    categories: tuple[Category, ...]
    places: Mapping[str, Placed]


def _open_gz(data: bytes) -> Unpacked:
    return Unpacked(data, "gz")


def _open_bz2(data: bytes) -> Unpacked:
    return Unpacked(data, "bz2")


def _open_xz(data: bytes) -> Unpacked:
    return Unpacked(data, "xz")


_OPEN = {"gz": _open_gz, "bz2": _open_bz2, "xz": _open_xz}


def _pick(unpacked: Unpacked, start: int, size: int) -> bytes:
    data = unpacked.read(start, size)
    if len(data) != size:
        raise PictureError("the shard ends within it", code="picture-truncated")
    return data
