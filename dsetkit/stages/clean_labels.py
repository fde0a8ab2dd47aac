"""The first half of ``clean``: labels of every source, mapped, corrected, repaired and held against the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from dsetkit.curation.contract import Contract
from dsetkit.curation.corrections import EXCLUDED, SPLIT, Corrector
from dsetkit.curation.findings import PREFIX
from dsetkit.curation.links import Breach
from dsetkit.curation.mapping import CategoryMapper
from dsetkit.curation.repair import CLIPPED, repair_row, with_annotations
from dsetkit.errors import CheckError
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import ADDED, CORRECTED
from dsetkit.spec.issue import Finding, Issue, group_issues
from dsetkit.spec.params import CleanParams
from dsetkit.stages.build import Progress
from dsetkit.stages.spool import BATCH_ROWS, Spool

CATEGORY_MAPPED = "category-mapped"


class LabelCleaner:
    """Takes raw rows in, puts cleaned ones and what was turned away aside, and keeps count."""

    def __init__(
        self,
        params: CleanParams,
        mapper: CategoryMapper,
        corrector: Corrector,
        contract: Contract | None,
        kept: Spool,
        rejected: Spool,
    ) -> None:
        self.params = params
        self.mapper = mapper
        self.corrector = corrector
        self.contract = contract
        self.kept = kept
        self.rejected = rejected
        self.samples_in = 0
        self.annotations_in = 0
        self.added_annotations = 0
        """By corrections; of samples that were not turned away here."""
        self.splits: dict[str, str] = {}
        """Key → the split that a correction decided."""
        self.per_change: Counter[str] = Counter()
        self.invalid_annotations = 0
        self.invalid_samples = 0
        self._unknown: Counter[tuple[str, str]] = Counter()
        self._examples: dict[str, list[Issue]] = {}

    def take(self, source: str, raw: Iterable[Row], progress: Progress) -> None:
        """All rows of one raw snapshot, in the order of their keys."""
        rows = iter(raw)
        while batch := list(islice(rows, BATCH_ROWS)):
            self._take_batch(source, batch)
            progress.advance(len(batch))

    def check(self) -> None:
        """Raise ``CheckError`` for unknown categories, and where more is invalid than ``max_invalid`` allows."""
        if self._unknown and self.params.categories.unknown == "fail":
            issues = self.mapper.unknown_issues(self._unknown)
            names = ", ".join(
                f"{name!r} ({count} in {source})" for (source, name), count in self._unknown.most_common(5)
            )
            raise CheckError(
                f"labels have categories that the dataset does not: {names}",
                issues=issues,
                hint="Map each in clean.categories.map (null drops it), add it to clean.categories.names, or set "
                "clean.categories.unknown: drop.",
            )
        found = group_issues([issue for issues in self._examples.values() for issue in issues])
        invalid = self.invalid_annotations + self.invalid_samples
        if invalid and self.params.on_invalid == "fail":
            raise CheckError(
                f"{self.invalid_annotations} annotations and {self.invalid_samples} samples are invalid, and "
                "clean.on_invalid is fail",
                issues=found,
                hint="Mend the labels, or let clean.on_invalid be drop.",
            )
        for count, total, noun in (
            (self.invalid_annotations, self.annotations_in, "annotations"),
            (self.invalid_samples, self.samples_in, "samples"),
        ):
            if count > self.params.max_invalid * total:
                raise CheckError(
                    f"{count} of {total} {noun} are invalid ({count / total:.1%}), more than clean.max_invalid = "
                    f"{self.params.max_invalid:g}",
                    issues=found,
                    hint="Mend the labels or the contract; or raise clean.max_invalid, if so many may be lost.",
                )

    def _take_batch(self, source: str, raw: Sequence[Row]) -> None:
        rows: list[Row] = []
        raw_rows: list[Row] = []
        dropped: list[tuple[tuple[Row, Finding], ...]] = []
        invalid: list[dict[int, list[Finding]]] = []
        added: list[int] = []
        for row in raw:
            self.samples_in += 1
            self.annotations_in += len(row.get("annotations", ()))
            mapped = self.mapper.map_row(row, source)
            corrected = self.corrector.correct_row(mapped.row)
            if corrected.excluded is not None:
                self.reject_sample(row, EXCLUDED, corrected.excluded.note())
                continue
            self._unknown.update((source, name) for name in mapped.unknown)
            self.per_change[CATEGORY_MAPPED] += mapped.changed
            self.per_change[CORRECTED] += corrected.changed
            self.per_change[ADDED] += corrected.added
            if corrected.split is not None:
                self.splits[row["key"]] = corrected.split
                self.per_change[SPLIT] += 1
            repaired = repair_row(corrected.row, self.params.repair)
            self.per_change[CLIPPED] += repaired.clipped
            dropped.append((*mapped.dropped, *corrected.deleted, *repaired.dropped))
            rows.append(repaired.row)
            raw_rows.append(row)
            added.append(corrected.added)
            found: dict[int, list[Finding]] = {}
            for place, finding in (*_placed(repaired.row, repaired.invalid), *_carried(repaired.row)):
                found.setdefault(place, []).append(finding)
            invalid.append(found)
        breaches: Sequence[tuple[Breach, ...]] = [()] * len(rows)
        if self.contract is not None:
            breaches = self.contract.check_rows(rows, splits=tuple(self.params.split.ratios))
        taken = zip(rows, raw_rows, dropped, invalid, added, breaches, strict=True)
        for row, before, gone, found, came, broken in taken:
            for breach in broken:
                if breach.position is not None:
                    found.setdefault(breach.position, []).append(breach.finding)
            whole = [breach.finding for breach in broken if breach.position is None]
            if self._settle(row, before, gone, found, whole):
                self.added_annotations += came

    def _settle(
        self,
        row: Row,
        raw: Row,
        dropped: Sequence[tuple[Row, Finding]],
        found: dict[int, list[Finding]],
        whole: list[Finding],
    ) -> bool:
        """Do with what is invalid as ``on_invalid`` says; False for a sample that is turned away.

        It takes what was ``dropped`` of it along, as it came: each annotation is counted once.
        """
        self.invalid_annotations += len(found)
        self.invalid_samples += bool(whole)
        for place, findings in found.items():
            self._note(raw, row["annotations"][place]["id"], findings[0])
        for finding in whole[:1]:
            self._note(raw, None, finding)
        action = self.params.on_invalid
        if (whole and action != "keep") or (found and action == "drop_sample"):
            findings = [*whole, *(finding for items in found.values() for finding in items)]
            findings += [finding for _, finding in dropped]
            self.reject_sample(raw, findings[0].code, findings[0].message, findings)
            return False
        for annotation, finding in dropped:
            self._reject_annotation(raw, annotation, [finding])
        if not found:
            self.kept.add(row)
            return True
        kept = []
        for place, annotation in enumerate(row["annotations"]):
            findings = found.get(place, [])
            if findings and action != "keep":
                self._reject_annotation(row, annotation, findings)
            elif findings:
                had = annotation.get("issues", ())
                new = [item.to_row() for item in findings if item.to_row() not in list(had)]
                kept.append({**annotation, "issues": [*had, *new]})
            else:
                kept.append(annotation)
        lost = len(kept) < len(row["annotations"])
        self.kept.add(with_annotations(row, kept, lost=lost))
        return True

    def take_late(self, row: Row, findings: Sequence[Finding]) -> None:
        """A sample that breaks the contract only now that it has its split, turned away; call ``check`` at the end."""
        self.invalid_samples += 1
        self._note(row, None, findings[0])
        self.reject_sample(row, findings[0].code, findings[0].message, findings)

    def reject_sample(
        self,
        row: Row,
        reason: str,
        message: str,
        findings: Sequence[Finding] = (),
        duplicate_of: str | None = None,
    ) -> None:
        """Turn a whole sample away, with all it carried. Its bytes stay in the raw snapshot."""
        self.rejected.add(rejected_row(row, "sample", reason, message, findings, duplicate_of))

    def _reject_annotation(self, row: Row, annotation: Row, findings: Sequence[Finding]) -> None:
        facts: Row = {
            name: row[name] for name in ("key", "digest", "width_px", "height_px", "provenance") if name in row
        }
        first = findings[0]
        self.rejected.add(
            rejected_row({**facts, "annotations": [annotation]}, "annotation", first.code, first.message, findings)
        )

    def _note(self, row: Row, annotation_id: str | None, finding: Finding) -> None:
        examples = self._examples.setdefault(finding.code, [])
        if len(examples) < 4:
            examples.append(
                Issue(code=finding.code, message=finding.message, key=row["key"], annotation_id=annotation_id)
            )
        else:
            examples[-1] = examples[-1].model_copy(update={"count": examples[-1].count + 1})


def rejected_row(
    row: Row,
    what: str,
    reason: str,
    message: str,
    findings: Sequence[Finding] = (),
    duplicate_of: str | None = None,
) -> Row:
    """A row of ``rejected.parquet`` for a cleaned snapshot, which holds no bytes of what it turned away."""
    left = ("shard", "offset_bytes", "made_from", "row_digest")
    out = {name: value for name, value in row.items() if name not in left}
    out |= {"what": what, "reason": reason, "message": message}
    if duplicate_of is not None:
        out["duplicate_of"] = duplicate_of
    if findings:
        out["issues"] = [finding.to_row() for finding in findings]
    return out


def _placed(row: Row, invalid: Sequence[tuple[str, Finding]]) -> Iterator[tuple[int, Finding]]:
    """Findings by the place of their annotation in the row: ids may repeat."""
    if invalid:
        for place, annotation in enumerate(row.get("annotations", ())):
            had = annotation.get("issues", ())
            for name, finding in invalid:
                if name == annotation["id"] and finding.to_row() in had:
                    yield place, finding


def _carried(row: Row) -> Iterator[tuple[int, Finding]]:
    """What ``ingest`` found against the source's own contract."""
    for place, annotation in enumerate(row.get("annotations", ())):
        for item in annotation.get("issues", ()):
            if item["code"].startswith(PREFIX):
                yield place, Finding.model_validate(item)
