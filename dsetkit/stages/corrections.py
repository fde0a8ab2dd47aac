"""The files of ``corrections/``, read and added to; and samples as corrections see them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dsetkit.curation.corrected import check_values, same_value
from dsetkit.curation.corrections import UNKNOWN_KEY, Corrector
from dsetkit.curation.mapping import CategoryMapper
from dsetkit.errors import CheckError, DsetkitError, NotFoundError, UsageError
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.base import digest_of
from dsetkit.spec.correction import (
    UNREADABLE,
    AddAnnotation,
    Correction,
    DeleteAnnotation,
    ExcludeSample,
    NewSplit,
    PictureValue,
    Placed,
    SetAnnotation,
    SetSplit,
    SplitValue,
    Values,
    parse_corrections,
)
from dsetkit.spec.issue import Issue
from dsetkit.spec.sample import Sample
from dsetkit.stages.build import open_input
from dsetkit.stages.project import CORRECTIONS, Project
from dsetkit.stages.sources import sorted_sources
from dsetkit.storage.atomic import write_atomic

ATTRIBUTES = "*.jsonl merge=union text eol=lf\n"
"""Git merges lines that two branches added to one file; that the file is there keeps the folder in git."""
MAX_FILE_BYTES = 256 * 1024 * 1024


class Who(NamedTuple):
    """What every correction says of its origin."""

    author: str
    date: str
    why: str

    def facts(self) -> dict[str, str]:
        """By the names of fields."""
        return self._asdict()


def make_corrections_folder(root: Path) -> None:
    """Make ``corrections/`` and its ``.gitattributes`` where they are not there."""
    path = root / CORRECTIONS / ".gitattributes"
    if not path.exists():
        write_atomic(path, ATTRIBUTES.encode())


def read_corrections(project: Project) -> tuple[list[Placed], list[Issue]]:
    """All corrections of the project, and an error for each line and file that holds none. Links are not followed."""
    placed: list[Placed] = []
    issues: list[Issue] = []
    for path in project.correction_files():
        name = f"{CORRECTIONS}/{path.name}"
        problem = _unreadable(path)
        if problem is not None:
            hint = f"Put a plain file there, or take it out of {CORRECTIONS}/."
            issues.append(Issue(code=UNREADABLE, message=problem, file=name, hint=hint))
            continue
        found, wrong = parse_corrections(path.read_bytes(), name)
        issues += wrong
        for item in found:
            finding = check_values(item.correction)
            if finding is None:
                placed.append(item)
            else:
                issues.append(item.issue(finding.code, finding.message, "Mend the line, or take it out.", "error"))
    return placed, issues


def load_corrections(project: Project) -> list[Placed]:
    """All corrections of the project.

    Raises ``CheckError`` where a line is none: what somebody decided must not be passed over in silence.
    """
    placed, issues = read_corrections(project)
    if issues:
        lines = "1 line" if len(issues) == 1 else f"{len(issues)} lines"
        raise CheckError(
            f"{lines} in {CORRECTIONS}/ cannot be read as corrections",
            issues=issues,
            hint="Mend them, or take them out.",
        )
    return placed


def add_corrections(project: Project, corrections: Sequence[Correction]) -> list[Path]:
    """Put corrections at the end of the files of their years, ``corrections/2026.jsonl``; gives those files.

    Raises ``StorageError``. All of a file's lines come at once or not at all.
    """
    by_name: dict[str, list[Correction]] = {}
    for correction in sorted(corrections, key=lambda item: (item.key.encode(), item.order)):
        by_name.setdefault(f"{correction.date[:4]}.jsonl", []).append(correction)
    make_corrections_folder(project.root)
    project.work.mkdir(parents=True, exist_ok=True)
    paths = []
    with (project.work / "corrections.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, items in sorted(by_name.items()):
            path = project.root / CORRECTIONS / name
            before = path.read_bytes() if path.is_file() else b""
            if before and not before.endswith(b"\n"):
                before += b"\n"
            write_atomic(path, before + "".join(item.to_line() for item in items).encode())
            paths.append(path)
    return paths


class Workbench:
    """A project's samples as corrections see them: raw, categories mapped, all corrections so far applied."""

    def __init__(self, project: Project) -> None:
        """Raises ``UsageError`` without sources, ``SnapshotError`` without a raw snapshot, as ``load_corrections``."""
        if not project.params.sources:
            raise UsageError("the project has no source yet", hint="Add one: dsetkit add NAME PATH, then dvc repro.")
        self.project = project
        self.inputs: dict[str, Snapshot] = {
            name: open_input(project.raw(name), project, f"ingest@{name}")
            for name in sorted_sources(list(project.params.sources))
        }
        self._own = {name: snapshot.original_keys() for name, snapshot in self.inputs.items()}
        self._shown = {name: {key: shown for shown, key in own.items()} for name, own in self._own.items()}
        """Source → own key → the pseudonym that a facet gave the sample in raw. Corrections name own keys."""
        categories = {name: self.inputs[name].categories for name in project.params.sources}
        self.mapper = CategoryMapper(project.params.clean.categories, categories)
        self.categories = tuple(category.name for category in self.mapper.categories)
        self.placed = load_corrections(project)

    @cached_property
    def _by_key(self) -> dict[str, list[Placed]]:
        found: dict[str, list[Placed]] = {}
        for item in self.placed:
            found.setdefault(item.correction.key, []).append(item)
        return found

    def find(self, text: str) -> str:
        """The own key of the sample that ``text`` names: its key, the end of it, or a pseudonym of a later stage.

        Raises ``NotFoundError`` where none or several are, ``AccessError`` where a facet keeps its own key apart.
        """
        source = text.partition("/")[0]
        names = [source] if source in self.inputs else list(self.inputs)
        found: list[str] = []
        failures: list[NotFoundError] = []
        for name in names:
            try:
                shown = self.inputs[name].find_key(text)
                found.append(self._own[name].get(shown, shown))
            except NotFoundError as error:
                failures.append(error)
        if len(found) == 1:
            return found[0]
        if found:
            hint = f"Say which: {', '.join(map(repr, found))}."
            raise NotFoundError(f"{len(found)} sources have a sample {text!r}", name=text, hint=hint)
        own = self._pseudonym_of(text)
        if own is not None:
            return own
        raise min(failures, key=lambda error: not error.hint.startswith(("Say which", "Near it")))

    def _pseudonym_of(self, text: str) -> str | None:
        """The own key of what a later stage calls so. Raises ``AccessError`` where a facet keeps it apart."""
        for place in (self.project.cleaned, self.project.augmented):
            try:
                snapshot = open_snapshot(place, keys=self.project.keys)
            except DsetkitError:
                continue
            known = snapshot.own_keys()
            found = [own for shown, own in known.items() if shown == text or shown.endswith(f"/{text}")]
            if len(found) == 1 and self.has(found[0]):
                return found[0]
            if snapshot.key_apart(text):
                snapshot.original_key(text)
        return None

    def has(self, key: str) -> bool:
        """Whether a source has a sample of this key."""
        source = key.partition("/")[0]
        return source in self.inputs and self._shown[source].get(key, key) in self.inputs[source]

    def row(self, key: str) -> Row:
        """The sample as the next correction will find it. Raises ``UsageError`` for one that is excluded."""
        source = key.partition("/")[0]
        mapped = self.mapper.map_row(self._raw_row(key), source)
        corrected = self._corrector(self._by_key.get(key, ())).correct_row(mapped.row)
        if corrected.excluded is not None:
            raise UsageError(
                f"{key} is excluded: {corrected.excluded.note()}", hint=f"Take that line out of {CORRECTIONS}/ first."
            )
        return corrected.row if corrected.split is None else {**corrected.row, "split": corrected.split}

    def _raw_row(self, key: str) -> Row:
        """The sample as its raw snapshot has it, under its own key."""
        source = key.partition("/")[0]
        return {**self.inputs[source].row(self._shown[source].get(key, key)), "key": key}

    def exclusion(self, key: str) -> Correction | None:
        """The correction that keeps a sample out."""
        items = self._by_key.get(key, ())
        return next((item.correction for item in items if isinstance(item.correction, ExcludeSample)), None)

    def issues(self) -> list[Issue]:
        """What is stale, in conflict or leads nowhere; reads the samples that corrections speak of."""
        corrector = self._corrector(self.placed)
        for key in sorted(self._by_key, key=str.encode):
            if self.has(key):
                source = key.partition("/")[0]
                corrector.correct_row(self.mapper.map_row(self._raw_row(key), source).row)
        found = corrector.issues()
        if any(issue.code == UNKNOWN_KEY for issue in found):  # an excluded picture may stand under another key now
            for name, snapshot in self.inputs.items():
                for row in iter_rows(snapshot.iter_tables(("key", "digest")), Sample):
                    shown: str = row["key"]
                    own = self._own[name].get(shown, shown)
                    if own not in self._by_key:
                        corrector.correct_row({**row, "key": own})
            found = corrector.issues()
        return found

    def _corrector(self, placed: Iterable[Placed]) -> Corrector:
        ratios = tuple(self.project.params.clean.split.ratios)
        return Corrector(list(placed), categories=self.categories, ratios=ratios)


def exclude(row: Row, who: Who) -> ExcludeSample:
    """A correction that keeps a sample out; ``row`` as ``Workbench.row`` gives it."""
    return ExcludeSample(action="exclude", key=row["key"], old=PictureValue(digest=row.get("digest")), **who.facts())


def set_split(row: Row, split: str, who: Who) -> SetSplit:
    """A correction that decides a sample's split."""
    old = SplitValue(subsets=tuple(row.get("subsets") or ()), split=row.get("split"))
    return SetSplit(action="split", key=row["key"], old=old, new=NewSplit(split=split), **who.facts())


def set_annotation(key: str, annotation: Row, values: Mapping[str, Any], who: Who) -> SetAnnotation | None:
    """A correction that gives fields of an annotation other values (null for none); None where it has them already."""
    new = {name: value for name, value in values.items() if not same_value(name, annotation.get(name), value)}
    if not new:
        return None
    old = {**_told(annotation), **{name: annotation.get(name) for name in new}}
    return SetAnnotation(
        action="set",
        key=key,
        annotation=annotation["id"],
        old=Values.model_validate(old),
        new=Values.model_validate(new),
        **who.facts(),
    )


def add_annotation(key: str, values: Mapping[str, Any], taken: Iterable[str], who: Who) -> AddAnnotation:
    """A correction that adds an annotation, under an id made of what it says that is none of ``taken``."""
    new = Values.model_validate(values)
    names = set(taken)
    number = 0
    while (name := f"c{digest_of([key, number, new.model_dump(mode='json', exclude_unset=True)])[:10]}") in names:
        number += 1
    return AddAnnotation(action="add", key=key, annotation=name, new=new, **who.facts())


def delete_annotation(key: str, annotation: Row, who: Who) -> DeleteAnnotation:
    """A correction that takes an annotation away."""
    old = Values.model_validate(_told(annotation))
    return DeleteAnnotation(action="delete", key=key, annotation=annotation["id"], old=old, **who.facts())


def _told(annotation: Row) -> dict[str, Any]:
    """What tells an annotation from the others of its sample, whatever its id."""
    names = ["kind", "category", *(name for name in ("categories", "bbox_xywh_px", "text") if annotation.get(name))]
    return {name: annotation.get(name) for name in names}


def _unreadable(path: Path) -> str | None:
    if path.is_symlink():
        return "it is a link, which is not followed"
    if not path.is_file():
        return "it is no file"
    if path.stat().st_size > MAX_FILE_BYTES:
        return f"it is larger than {MAX_FILE_BYTES} bytes"
    return None
