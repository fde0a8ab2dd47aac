"""What a label format is: the contract each format module fulfils, third-party ones too.

A new format is one class here and one test class that inherits ``dsetkit.formats.testing.FormatContract``.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_categories, carry_row
from dsetkit.formats.frames import Frame
from dsetkit.formats.loss import Ledger, LossReport
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License
from dsetkit.storage.held import HeldPicture

if TYPE_CHECKING:
    from dsetkit.formats.labelset import LabelSet
    from dsetkit.formats.pictures import PictureIndex
    from dsetkit.snapshots.sealing import Keys
    from dsetkit.storage.scan import Tree
    from dsetkit.storage.sink import Sink

__all__ = ["SUBSET_NAMES", "Capabilities", "Detection", "Export", "Format", "HeldPicture", "Options", "choose"]

Options = Mapping[str, Any]
"""A format's own options by name, as ``params.yaml`` or a caller gives them."""

SUBSET_NAMES = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "trainval"})
"""Folder and file names that are taken for the name of a subset, not of a category; lower-case."""

LAST_RESORT = 0.3
"""Up to this confidence, a format is found only where nothing else is."""


@dataclass(frozen=True)
class Detection:
    """A format that a tree looks like."""

    format: str
    confidence: float
    """0 to 1. From 0.9: files that can hardly be anything else. Up to 0.3: a last resort."""
    why: str
    """What was found, for a person: ``found annotations/instances_train.json with images and annotations``."""


class Export(Protocol):
    """What is to be written. ``rows`` may be called many times and gives the same rows in key order each time.

    An export that holds its rows in tables may have ``tables()`` besides, an iterator of the same rows as tables in the
    schema of ``Sample``, which writers take that work by the column (``dsetkit.formats.bulk``); then ``picture`` gets
    rows without annotations. Its ``has_pictures`` may be False: then nobody asks for any.
    """

    @property
    def categories(self) -> Sequence[Category]:
        """All categories, in order."""

    @property
    def info(self) -> Mapping[str, Any]:
        """What the sources said of themselves."""

    @property
    def licenses(self) -> Sequence[License]:
        """The licences that samples name in ``provenance.license``."""

    def rows(self) -> Iterator[Row]:
        """Sparse sample rows in key order. They must not be changed."""

    def picture(self, row: Row) -> bytes | None:
        """The picture's bytes; None where there are none, and only labels are written."""


class Format(ABC):
    """One label format: recognise, read, say what would be lost, write.

    Formats hold no state; one object serves all threads.
    """

    name: ClassVar[str]
    """What users type: lower-case, ``[a-z0-9_]+``."""
    title: ClassVar[str]
    """What people call it: ``Pascal VOC``."""
    extensions: ClassVar[frozenset[str]]
    """Extensions of its label files, lower-case with dot; empty where folders carry the labels."""
    looks_for: ClassVar[str]
    """What ``detect`` looks for, for the message of a failed detection: ``Annotations/*.xml with <annotation>``."""
    capabilities: ClassVar[Capabilities]
    options: ClassVar[Mapping[str, str]] = {}
    """Name → description of each option."""
    frame: ClassVar[Frame] = "auto"
    """Which picture coordinates are of, where the format itself says it for good: ``stored`` or ``upright``."""
    sizes_known: ClassVar[bool] = False
    """Whether sizes that ``read`` declares are the upright pictures' for sure, so that nobody has to look at those."""

    def with_keys(self, keys: Keys | None) -> Self:
        """The format, able to open what is sealed and these keys open; most have nothing of the kind."""
        return self

    @abstractmethod
    def detect(self, tree: Tree) -> Detection | None:
        """Whether the tree looks like this format, and why. Reads few files, and only their beginnings."""

    @abstractmethod
    def label_files(self, tree: Tree) -> list[str]:
        """Paths of this format's label files in the tree, sorted; what the source's lock covers beside pictures."""

    def side_files(self, tree: Tree) -> list[str]:
        """Those of ``label_files`` that hold no labels themselves: lists of splits, names of classes.

        A source's lock covers them and does not count them.
        """
        return []

    def pictures(self, tree: Tree) -> list[str]:
        """Paths of the files that count as pictures, sorted."""
        return [path for path in tree.entries if _extension(path) in PICTURE_EXTENSIONS]

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures that lie inside files of the labels' tree, under the keys that ``read`` gives them; none, mostly.

        Called before ``read``, which finds them in its ``PictureIndex`` as if they were files. Their containers are
        among ``label_files``: a lock covers those, not the pictures, whose bytes may be encoded anew. Lazy, and no
        picture is decoded. Raises as ``read``.
        """
        return ()

    @abstractmethod
    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """The labels in ``labels``, one row a picture that they speak of.

        ``pictures`` finds the picture that a label file names; it may belong to another tree, or be empty.
        Keys are paths of pictures relative to their tree. What is wrong with one annotation is a Finding on it;
        what cannot be represented is an issue of the set. Options are checked already.
        Raises ``FormatError`` for a label file that cannot be read at all, or where there is none (``no_labels``).
        """

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> Any:
        """What has to be known of all rows before one can be written (ids, places); handed to ``carry``.

        Enters losses that are about no single row (categories) in the ledger.
        """
        return carry_categories(export, self.capabilities, ledger)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it will be read back after writing; each difference that is a loss is entered in the ledger.

        Its key is the path of the picture in what is written; a split has become a subset.
        """
        return carry_row(row, self.capabilities, ledger)

    def check_losses(self, export: Export, options: Options) -> LossReport:
        """What ``write`` would lose. Writes nothing."""
        ledger = Ledger(self.name)
        prepared = self.prepare(export, options, ledger)
        for row in export.rows():
            ledger.samples += 1
            ledger.annotations += len(row.get("annotations", ()))
            self.carry(row, prepared, ledger)
        return ledger.report()

    @abstractmethod
    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Write labels, and pictures where there are bytes, deterministic to the byte.

        Neither commits nor aborts the sink. Options are checked already.
        """

    def write_reporting(self, export: Export, sink: Sink, options: Options) -> LossReport:
        """``write``, and what ``check_losses`` would say; a format that finds that as it writes does both in one."""
        report = self.check_losses(export, options)
        self.write(export, sink, options)
        return report

    def no_labels(self, tree: Tree) -> FormatError:
        """The error for a tree in which ``read`` finds no label file."""
        return FormatError(
            f"no {self.title} labels in {tree.url}",
            file=tree.url,
            hint=f"Looked for {self.looks_for}. Name another format or folder.",
        )

    def check_options(self, options: Options | None) -> Options:
        """The options themselves; raises ``UsageError`` naming the nearest known one for one that is unknown."""
        for name in options or {}:
            if name not in self.options:
                raise UsageError(f"the format {self.name} has no option {name!r}", hint=_nearest(name, self.options))
        return options or {}


def choose(options: Options, name: str, allowed: Sequence[str], default: str) -> str:
    """The value of an option that is one of a few words; raises ``UsageError`` for another."""
    value = options.get(name, default)
    if value not in allowed:
        raise UsageError(f"the option {name} is {value!r}", hint=f"It is one of: {', '.join(allowed)}.")
    return str(value)


def _nearest(name: str, known: Mapping[str, str]) -> str:
    if not known:
        return "It has none."
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    names = f"Its options are: {', '.join(sorted(known))}."
    return f"Did you mean {near[0]!r}? {names}" if near else names


def _extension(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return f".{extension.lower()}" if dot and stem else ""
