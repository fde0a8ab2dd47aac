"""Are the facets of a snapshot what they say they are, as far as they are read."""

from __future__ import annotations

from collections.abc import Iterator

from dsetkit.errors import DsetkitError
from dsetkit.snapshots.columns import UNFIT
from dsetkit.snapshots.facet_document import Layer
from dsetkit.snapshots.facet_tables import layer_file
from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.snapshots.naming import FACETS
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.tally import Tally
from dsetkit.snapshots.verify_stored import StoredFiles
from dsetkit.spec.arrow import iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.snapshot import ManifestPart

_BUILD = "Build it again."


def verify_facets(snapshot: Snapshot, base: StoredFiles) -> list[Issue]:
    """What is wrong with facets; ``base``: how the files of the snapshot were found, its facets' among them.

    Codes as of ``verify``. Raises ``StorageError``.
    """
    if not snapshot.info.facets:
        return []
    return _Facets(snapshot, base).run()


class _Facets:
    def __init__(self, snapshot: Snapshot, base: StoredFiles) -> None:
        self.snapshot = snapshot.whole
        self.stored = StoredFiles(snapshot.folder, [f for f in base.files if f.name.startswith(f"{FACETS}/")])
        self.missing = base.missing
        self.is_sound = not any(issue.severity == "error" for issue in base.issues)
        self.parts = {part.name: part for part in snapshot.info.parts}

    def run(self) -> list[Issue]:
        for file in self.stored.files:
            if file.name not in self.missing:
                with self.stored.on_disk(file) as path:
                    self.stored.check_digest(file, path)
        for layer in self.snapshot.facets.layers:
            for name, part in layer.parts.items():
                if not {name, part.name} & self.missing:
                    self._check_table(layer, self.parts[name])
        self.is_sound &= not self.stored.issues
        if self.snapshot.facets.info is not None and self.is_sound:
            self._check_meaning()
        for facet in self.snapshot.hidden:
            rows = f" of the split{'s' * (len(facet.splits) > 1)} {', '.join(facet.splits)}" if facet.splits else ""
            self.stored.report(
                "facet-hidden",
                f"{', '.join(facet.columns)}{rows} are sealed in the facet {facet.name}: of these, only digests and "
                "sizes of files were checked",
                severity="info",
                file="snapshot.json",
                hint="To check all of it, let somebody verify it who reads the facet.",
            )
        return self.stored.issues

    def _check_table(self, layer: Layer, part: ManifestPart) -> None:
        """Whether a table is about the rows that it lies beside."""
        name = layer.parts[part.name].name
        try:
            file = layer_file(self.snapshot.folder, layer.parts[part.name], layer)
            keys = [table.read(("key",))["key"].to_pylist() for table in (file, self._base_file(part))]
            if keys[0] != keys[1]:
                self.stored.report("facet-damaged", f"its rows are not those of {part.name}", file=name)
            for column, what in file.untrue_columns():
                self.stored.report("statistics-untrue", what, file=name, place=f"column {column}", hint=_BUILD)
        except (DsetkitError, ValueError) as error:
            self.stored.report(
                "facet-damaged", error.message if isinstance(error, DsetkitError) else str(error), file=name
            )

    def _base_file(self, part: ManifestPart) -> TableFile:
        return TableFile(self.snapshot.folder, part, Sample, self.snapshot.seal)

    def _check_meaning(self) -> None:
        """Rows whole, their digests, what they count and what they mean together."""
        info, report, tally = self.snapshot.info, self.stored.report, Tally()
        try:
            found = fingerprint(self._digests(tally), info.categories)
            if self.snapshot.rejected_file is not None:
                for row in iter_rows([self.snapshot.rejected], Rejected):
                    tally.add_rejected(row)
        except (DsetkitError, ValueError) as error:
            report("facet-damaged", error.message if isinstance(error, DsetkitError) else str(error))
            return
        if found != info.fingerprint:
            report("fingerprint-wrong", f"its rows mean {found}, not {info.fingerprint}", file="snapshot.json")
        stated = info.counts.model_dump()
        for name, count in tally.counted().items():
            if not name.startswith("added_") and stated[name] != count:
                report(
                    "counts-wrong", f"{name} is {stated[name]}, counted are {count}", file="snapshot.json", hint=_BUILD
                )

    def _digests(self, tally: Tally) -> Iterator[str]:
        for row in iter_rows(self.snapshot.iter_tables(), Sample):
            tally.add_kept(row)
            try:
                own = row_digest(row)
            except UNFIT:
                own = ""
            if own != row.get("row_digest"):
                self.stored.report("row-damaged", "its row does not mean what its row digest says", key=row["key"])
            yield row.get("row_digest", "")
