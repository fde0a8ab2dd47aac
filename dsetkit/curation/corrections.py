"""What people decided, applied to rows: values set, annotations added and deleted, samples excluded, splits set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from dsetkit.curation.corrected import new_annotation, same_value, set_values
from dsetkit.curation.nearest import short, suggest
from dsetkit.curation.repair import drop_links
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import (
    AddAnnotation,
    Correction,
    DeleteAnnotation,
    ExcludeSample,
    Placed,
    SetAnnotation,
    SetSplit,
    in_order,
)
from dsetkit.spec.issue import Finding, Issue

EXCLUDED = "excluded"
"""The reason of a rejected sample that a correction excludes."""
DELETED = "correction-deleted"
"""The reason of a rejected annotation that a correction deletes."""
SPLIT = "split-corrected"
"""In ``counts.per_change``: samples whose split a correction set."""

STALE = "correction-stale"
"""What it replaces is no longer there."""
CONFLICT = "correction-conflict"
"""Another correction has made something else of what it replaces."""
MET = "correction-met"
"""It is so already."""
UNKNOWN_KEY = "correction-unknown-key"
"""No source has the sample."""
UNKNOWN_CATEGORY = "correction-unknown-category"
"""The dataset does not have the category."""
UNKNOWN_SPLIT = "correction-unknown-split"
"""The dataset does not have the split."""


class Corrected(NamedTuple):
    """What became of one sample."""

    row: Row
    excluded: Correction | None = None
    """The correction that keeps it out; nothing else is done then."""
    deleted: tuple[tuple[Row, Finding], ...] = ()
    """Annotations as they were, each with which correction took it away."""
    changed: int = 0
    """Annotations of which a value was set."""
    added: int = 0
    """Annotations that came to it."""
    split: str | None = None
    """The split that was decided."""


class Corrector:
    """Applies corrections to rows whose categories are mapped.

    ``categories`` are the dataset's; ``ratios`` names its splits, any split will do where it is empty. Corrections of a
    sample are tried by date, then by id; those that do not fit yet are tried again after the others. Each is applied at
    most once, and only to the value it names: so the order of lines and files decides nothing. Two that make different
    things of one value are a conflict, and the earlier one holds.
    """

    def __init__(self, placed: Sequence[Placed], *, categories: Collection[str], ratios: Collection[str] = ()) -> None:
        self.categories = categories
        self.ratios = ratios
        self._by_key: dict[str, list[Placed]] = {}
        for item in in_order(placed):
            self._by_key.setdefault(item.correction.key, []).append(item)
        self._unseen = set(self._by_key)
        self._excluded = {
            item.correction.old.digest: item.correction.key
            for items in self._by_key.values()
            for item in items
            if isinstance(item.correction, ExcludeSample) and item.correction.old.digest is not None
        }
        self._same_bytes: dict[str, str] = {}
        self._found: list[Issue] = []

    def correct_row(self, row: Row) -> Corrected:
        """One sample with all its corrections applied; ``row`` itself is not changed."""
        key = row["key"]
        if row.get("digest") in self._excluded and key not in self._by_key:
            self._same_bytes.setdefault(self._excluded[row["digest"]], key)
        if key not in self._by_key:
            return Corrected(row)
        self._unseen.discard(key)
        sample = _Sample(row, self)
        pending = self._by_key[key]
        while True:
            left = [item for item in pending if not sample.apply(item)]
            if len(left) == len(pending):
                break
            pending = left
        self._found += [sample.explain(item) for item in left]
        self._found += sample.issues
        return sample.result()

    def issues(self) -> list[Issue]:
        """What is wrong with the corrections, once all rows were seen: of one code by key, file and line."""
        found = list(self._found)
        for key in self._unseen:
            moved = self._same_bytes.get(key)
            for item in self._by_key[key]:
                message = f"no source has a sample {short(key)}"
                if moved is not None:
                    message += f"; the picture it excludes is now {short(moved)}"
                hint = "Write its key as it is now, or take the line out."
                found.append(item.issue(UNKNOWN_KEY, message, hint, "warning"))
        return sorted(found, key=lambda issue: (issue.code, issue.key or "", issue.file or "", issue.place or ""))


class _Held:
    """An annotation and what it said before each correction."""

    def __init__(self, annotation: Row) -> None:
        self.now = annotation
        self.states = [annotation]
        self.by: Correction | None = None
        """What changed it last."""
        self.is_deleted = False

    def matches(self, values: Mapping[str, Any], state: Row | None = None) -> bool:
        """Whether it says these values now (or in a state)."""
        held = self.now if state is None else state
        return all(same_value(name, held.get(name), value) for name, value in values.items())

    def was(self, values: Mapping[str, Any]) -> bool:
        """Whether it says, or once said, these values."""
        return any(self.matches(values, state) for state in self.states)


class _Sample:
    """One sample while its corrections are applied."""

    def __init__(self, row: Row, rules: Corrector) -> None:
        self.row = row
        self.rules = rules
        self.held = [_Held(item) for item in row.get("annotations") or ()]
        self.deleted: list[tuple[Row, Finding]] = []
        self.changed: set[int] = set()
        self.added = 0
        self.excluded: Correction | None = None
        self.split: str | None = None
        self.splits: list[str | None] = [None]
        self.issues: list[Issue] = []

    def apply(self, item: Placed) -> bool:
        """Whether it could be applied, or was found to be no good for a reason that will not go away."""
        correction = item.correction
        if isinstance(correction, ExcludeSample):
            return self._exclude(item, correction)
        if isinstance(correction, SetSplit):
            return self._set_split(item, correction)
        problem = self._problem(correction)
        if problem is not None:
            self.issues.append(problem.at(item))
            return True
        if isinstance(correction, AddAnnotation):
            return self._add(correction)
        target = self._target(correction)
        if target is None:
            return False
        held = self.held[target]
        if isinstance(correction, DeleteAnnotation):
            held.is_deleted, held.by = True, correction
            self.deleted.append((held.now, Finding(code=DELETED, message=correction.note())))
            return True
        try:
            changed = set_values(held.now, correction)
        except ValueError as error:  # with what another correction made of it, it is no shape
            self.issues.append(item.issue(CONFLICT, f"new: {error}", "Write it again over the others.", "warning"))
            return True
        held.now, held.by = changed, correction
        held.states.append(changed)
        self.changed.add(target)
        return True

    def explain(self, item: Placed) -> Issue:
        """Why a correction could not be applied."""
        correction = item.correction
        if isinstance(correction, SetSplit):
            return self._explain_split(item, correction)
        assert isinstance(correction, SetAnnotation | AddAnnotation | DeleteAnnotation)
        named = next((held for held in self.held if held.now["id"] == correction.annotation), None)
        what = f"annotation {short(correction.annotation)}"
        if isinstance(correction, AddAnnotation):
            if named is not None and named.matches(correction.new.said):
                return _met(item, f"{what} is there already")
            message = f"the id of {what} is taken by another"
            return item.issue(CONFLICT, message, "Give it an id that no annotation of the sample has.", "warning")
        old = correction.old.said
        known = named if named is not None and named.was(old) else None
        known = known or next((held for held in self.held if held.was(old)), None)
        if isinstance(correction, SetAnnotation):
            wanted = {**old, **correction.new.said}
            if any(not held.is_deleted and held.matches(wanted) for held in ([known] if known else self.held)):
                return _met(item, f"{what} says so already")
        elif known is not None and known.is_deleted:
            return _met(item, f"{what} is deleted already")
        if known is not None and known.by is not None:
            made = "deleted it" if known.is_deleted else "made something else of it"
            message = f"{what}: another correction {made}: {known.by.note()}"
            hint = "Keep one of the two lines; or write this one again over what the other made."
            return item.issue(CONFLICT, message, hint, "warning")
        if named is None:
            differs = "is not there"
        else:
            name = next((name for name, value in old.items() if not same_value(name, named.now.get(name), value)), "")
            differs = f"says {name} {short(named.now.get(name))} where {short(old.get(name))} was to be replaced"
        message = f"{what} {differs}" if named is not None or known is None else f"{what} is there more than once"
        hint = "Its source has changed: look at the sample, then correct it again or take the line out."
        return item.issue(STALE, message, hint, "warning")

    def result(self) -> Corrected:
        if self.excluded is not None:
            return Corrected(self.row, self.excluded)
        if not (self.changed or self.added or self.deleted):
            return Corrected(self.row, split=self.split)
        kept = [held.now for held in self.held if not held.is_deleted]
        out = {name: value for name, value in self.row.items() if name != "annotations"}
        if kept:
            out["annotations"] = drop_links(kept) if self.deleted else kept
        if self.added and out.get("labelled", "no") == "no":
            out["labelled"] = "partial"
        named = {item.get("category") for item in kept if not is_outside(item)}
        absent = [name for name in out.get("absent_categories") or () if name not in named]
        if len(absent) < len(out.get("absent_categories") or ()):
            out = {name: value for name, value in out.items() if name != "absent_categories"}
            if absent:
                out["absent_categories"] = absent
        changed = sum(not self.held[place].is_deleted for place in self.changed)
        return Corrected(out, None, tuple(self.deleted), changed, self.added, self.split)

    def _exclude(self, item: Placed, correction: ExcludeSample) -> bool:
        self.excluded = self.excluded or correction
        saw, digest = correction.old.digest, self.row.get("digest")
        if saw is not None and saw != digest:
            message = "its picture is another one now; it is kept out all the same"
            hint = "Look at the new picture; then exclude it again, or take the line out."
            self.issues.append(item.issue(STALE, message, hint, "warning"))
        return True

    def _set_split(self, item: Placed, correction: SetSplit) -> bool:
        split = correction.new.split
        ratios = self.rules.ratios
        if ratios and split not in ratios:
            message = f"the dataset has no split {short(split)}{suggest(split, ratios)}"
            hint = "Name one of clean.split.ratios."
            self.issues.append(item.issue(UNKNOWN_SPLIT, message, hint, "warning"))
            return True
        old = correction.old
        if sorted(old.subsets) != sorted(self.row.get("subsets") or ()) or old.split != self.split:
            return False
        self.split = split
        self.splits.append(split)
        return True

    def _explain_split(self, item: Placed, correction: SetSplit) -> Issue:
        subsets = sorted(self.row.get("subsets") or ())
        if self.split == correction.new.split:
            return _met(item, f"its split is {short(self.split)} already")
        if sorted(correction.old.subsets) == subsets and correction.old.split in self.splits:
            message = f"another correction put it into {short(self.split)}"
            return item.issue(CONFLICT, message, "Keep one of the two lines.", "warning")
        message = f"its source puts it into {short(subsets)}, not into {short(sorted(correction.old.subsets))}"
        hint = "Set its split again (dsetkit correct KEY --split), or take the line out."
        return item.issue(STALE, message, hint, "warning")

    def _problem(self, correction: SetAnnotation | AddAnnotation | DeleteAnnotation) -> _Problem | None:
        """What is wrong with the new values themselves."""
        if isinstance(correction, DeleteAnnotation):
            return None
        said = correction.new.said
        for name in dict.fromkeys([said.get("category"), *(said.get("categories") or ())]):
            if name is not None and name not in self.rules.categories:
                text = f"the dataset has no category {short(name)}{suggest(name, self.rules.categories)}"
                return _Problem(UNKNOWN_CATEGORY, text, "Name one it has, or add it to clean.categories.names.")
        return None

    def _add(self, correction: AddAnnotation) -> bool:
        if any(held.now["id"] == correction.annotation for held in self.held):
            return False
        held = _Held(new_annotation(correction))
        held.by = correction
        self.held.append(held)
        self.added += 1
        return True

    def _target(self, correction: SetAnnotation | DeleteAnnotation) -> int | None:
        """The place of the annotation that is meant, if what is to be replaced is what it says now."""
        old = correction.old.said
        replaced = {name: old[name] for name in correction.new.said} if isinstance(correction, SetAnnotation) else old
        told = {name: value for name, value in old.items() if name not in replaced}
        for place, held in enumerate(self.held):
            if held.now["id"] == correction.annotation and not held.is_deleted and held.was(told or replaced):
                if held.matches(replaced):
                    return place
                if held.was(old):
                    return None  # this is the one, and another correction made something else of it
        others = [place for place, held in enumerate(self.held) if not held.is_deleted and held.matches(old)]
        return others[0] if len(others) == 1 else None


class _Problem(NamedTuple):
    code: str
    message: str
    hint: str

    def at(self, item: Placed) -> Issue:
        """As an issue about a correction."""
        return item.issue(self.code, self.message, self.hint, "warning")


def _met(item: Placed, message: str) -> Issue:
    return item.issue(MET, message, "The line is not needed any more.", "info")
