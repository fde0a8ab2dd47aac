"""Formats with label files of each picture's own: one rendering of a sample says what is written and what is read back.

Such a format gives ``prepare`` and ``render``; ``carry``, ``check_losses``, ``write`` and ``write_reporting`` follow.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from dsetkit.formats.base import Export, Format, Options
from dsetkit.formats.loss import Ledger, LossReport
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink


class Rendered(NamedTuple):
    """One sample as a format says it."""

    row: Row
    """As it is read back; its picture is written under its key."""
    files: Sequence[tuple[str, Callable[[], bytes]]] = ()
    """Its label files: the path of each, and what makes its bytes, which is called only where they are written."""


class RenderedFormat(Format):
    """A format that renders each sample by itself."""

    @abstractmethod
    def render(self, row: Row, prepared: Any, ledger: Ledger) -> Rendered:
        """The sample as it will be read back, and its label files; each loss is entered in the ledger."""

    def lists(self, prepared: Any) -> Iterable[tuple[str, bytes]]:
        """Files that are about no single picture, by path; written last. None, mostly."""
        return ()

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return self.render(row, prepared, ledger).row

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Pictures, the label files of each, and lists."""
        self.write_reporting(export, sink, options)

    def write_reporting(self, export: Export, sink: Sink, options: Options) -> LossReport:
        """As ``write``; each sample is rendered once."""
        ledger = Ledger(self.name)
        prepared = self.prepare(export, options, ledger)
        for row in export.rows():
            ledger.samples += 1
            ledger.annotations += len(row.get("annotations", ()))
            rendered = self.render(row, prepared, ledger)
            picture = export.picture(row)
            if picture is not None:
                sink.write(rendered.row["key"], picture)
            for path, make in rendered.files:
                sink.write(path, make())
        for path, data in self.lists(prepared):
            sink.write(path, data)
        return ledger.report()
