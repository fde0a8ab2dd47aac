"""Writing labels, with or without pictures, in any format."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from dsetkit.errors import LossError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Export, Format, Options
from dsetkit.formats.loss import LossReport
from dsetkit.formats.outside import SeenExport
from dsetkit.storage.sink import open_sink

__all__ = ["Export", "as_seen", "check_losses", "write_labels"]

_SHOWN = 5


def check_losses(export: Export, format: str | Format, *, options: Options | None = None) -> LossReport:
    """What ``write_labels`` would lose. Writes nothing. Raises ``NotFoundError`` and ``UsageError`` as it does."""
    label_format, checked = _writer(format, options)
    seen = as_seen(export, label_format)
    return _whole(seen, label_format.check_losses(seen, checked))


def as_seen(export: Export, label_format: Format) -> Export:
    """The export as the format gets it: without what it would show though it is not there (``formats.outside``)."""
    capabilities = label_format.capabilities
    if capabilities.outside:
        return export
    has_links = bool({"relations", "based_on"} & capabilities.annotation_fields)
    return SeenExport(export, label_format.name, has_links=has_links)


def _whole(export: Export, report: LossReport) -> LossReport:
    return export.report(report) if isinstance(export, SeenExport) else report


def write_labels(
    export: Export,
    dst: str | os.PathLike[str],
    format: str | Format,
    *,
    strict: bool = False,
    options: Options | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> LossReport:
    """Write ``export`` to ``dst``, a folder (absent or empty) or fsspec URL, and say what was lost.

    ``beside``: further files by name, each written unless the format has one of that name.

    The same export and options give the same bytes. Everything or nothing: a local ``dst`` appears when all is written.
    Raises ``LossError`` under ``strict`` before anything is written if a label would be lost (bookkeeping, as ids and
    lineage, may be), ``NotFoundError`` for an unknown format, ``UsageError`` for an unknown option, a format that
    cannot be written, or a ``dst`` that is not empty.
    """
    label_format, checked = _writer(format, options)
    export = as_seen(export, label_format)
    report = _whole(export, label_format.check_losses(export, checked)) if strict else None
    if report is not None and report.refusals:
        raise LossError(
            f"writing {report.format} would lose labels: {_listed([loss.describe() for loss in report.refusals])}",
            losses=report.refusals,
            hint="Nothing was written. Choose a format that carries them, or leave --strict out.",
        )
    with open_sink(os.fspath(dst)) as sink:
        if report is None:
            report = _whole(export, label_format.write_reporting(export, sink, checked))
        else:
            label_format.write(export, sink, checked)
        for name, data in (beside or {}).items():
            if name not in sink:
                sink.write(name, data)
    return report


def _writer(format: str | Format, options: Options | None) -> tuple[Format, Options]:
    """The format and its options, checked."""
    label_format = format if isinstance(format, Format) else registry.get(format)
    if not label_format.capabilities.writes:
        writers = [name for name in registry.names() if registry.get(name).capabilities.writes]
        raise UsageError(f"{label_format.title} is only read, not written", hint=f"Written are: {', '.join(writers)}.")
    return label_format, label_format.check_options(options)


def _listed(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more
