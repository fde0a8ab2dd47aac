"""From the categories of the sources to those of the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dsetkit.curation.nearest import list_names, short, suggest
from dsetkit.errors import ParamsError
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category, merge_categories, mirrored_pairs
from dsetkit.spec.issue import Finding, Issue
from dsetkit.spec.params import CategoriesParams

DROPPED = "category-dropped"
"""``clean.categories.map`` maps the category to null."""
UNKNOWN = "category-unknown"
"""The category is neither the dataset's nor mapped."""
UNDEFINED = "category-undefined"
"""Set by readers: the label file uses a class that it gives no name; ``category`` holds the bare id."""

_FACTS = ("keypoint_names", "skeleton", "flip_pairs", "is_thing", "supercategory")


class Mapped(NamedTuple):
    """What became of one annotation: ``annotation`` is none where it is dropped, and ``finding`` says why."""

    annotation: Row | None
    finding: Finding | None = None
    unknown: tuple[str, ...] = ()
    """Its categories that are neither the dataset's nor mapped."""


class MappedRow(NamedTuple):
    """What became of one sample's labels."""

    row: Row
    dropped: tuple[tuple[Row, Finding], ...] = ()
    """Annotations as they were, each with why it is gone."""
    changed: int = 0
    """Annotations kept with another category than before."""
    unknown: tuple[str, ...] = ()
    """Unknown categories, once for each annotation that has one; under ``unknown: fail`` the build stops for them."""


class CategoryMapper:
    """Maps annotations of every source to the dataset's categories.

    ``sources`` gives each source's categories, in the order of ``params.yaml``. A category is looked up in ``map`` as
    ``<source>/<name>``, then as ``<name>``; what it maps to is not looked up again. One that is not mapped stays as
    it is when ``names`` has it, or when ``names`` is empty and the source names it; else it is unknown, and so is a
    class that the label file gives no name. Unknown annotations are dropped with the finding ``category-unknown``;
    under ``unknown: fail`` the caller counts them over all samples and stops with ``unknown_issues``.

    Raises ``ParamsError`` when ``names`` repeats a name or ``map`` maps to one that ``names`` does not have.
    """

    def __init__(self, params: CategoriesParams, sources: Mapping[str, Sequence[Category]]) -> None:
        self.params = params
        self._names = frozenset(params.names)
        self._sources = {source: {item.name: item for item in items} for source, items in sources.items()}
        self._cache: dict[tuple[str, str, bool], tuple[str | None, Finding | None]] = {}
        _check_params(params)
        self.categories: tuple[Category, ...] = self._dataset_categories()
        """The dataset's categories in order: ``names`` if given, else by first appearance in the sources."""
        self.issues: tuple[Issue, ...] = (*self._unused_entries(), *self._differing_facts())
        """Warnings: entries of ``map`` that no source uses, categories merged whose facts differ."""

    def map(self, annotation: Row, source: str) -> Mapped:
        """One annotation with its ``category``, ``categories`` and ``probabilities`` mapped.

        It is dropped when it had a category and none is left. Where only some of several are dropped it stays, with
        the finding among its ``issues`` too. An annotation without a category (a caption) passes unchanged.
        """
        category, several = annotation.get("category"), annotation.get("categories") or ()
        probabilities, issues = annotation.get("probabilities") or (), annotation.get("issues") or ()
        if category is None and not several and not probabilities:
            return Mapped(annotation)
        undefined = any(item.get("code") == UNDEFINED for item in issues)
        asked = [*([] if category is None else [category]), *several]
        found = {name: self._target(name, source, undefined) for name in asked}
        findings = [finding for _, finding in found.values() if finding is not None]
        unknown = tuple(name for name, (_, finding) in found.items() if finding is not None and finding.code == UNKNOWN)
        kept = [target for target in dict.fromkeys(found[name][0] for name in several) if target is not None]
        first = found[category][0] if category is not None else None
        if asked and first is None and not kept:
            return Mapped(None, findings[0], unknown)
        update: Row = {"categories": kept, "probabilities": self._map_probabilities(probabilities, source)}
        if category is not None:
            update["category"] = first if first is not None else kept[0]
        if findings:
            update["issues"] = [*issues, *(item.to_row() for item in findings)]
        elif undefined:
            update["issues"] = [item for item in issues if item.get("code") != UNDEFINED]
        if all(_same(value, annotation.get(key)) for key, value in update.items()):
            return Mapped(annotation)
        out = {key: value for key, value in {**annotation, **update}.items() if key not in update or value}
        return Mapped(out, findings[0] if findings else None, unknown)

    def map_names(self, names: Iterable[str], source: str, *, every: bool) -> tuple[str, ...]:
        """Names of categories (those absent, or not exhaustively labelled) as the dataset's, without repeats.

        What is dropped or unknown is left out. With ``every`` a merged category is named only if each category of
        the source that became part of it is: a picture verified to be without 'lymphocyte' may still show a 'WBC'.
        """
        given = list(names)
        out = dict.fromkeys(self._target(name, source)[0] for name in given)
        out.pop(None, None)
        if every:
            had = set(given)
            lacking = {self._target(name, source)[0] for name in self._sources.get(source, {}) if name not in had}
            return tuple(name for name in out if name is not None and name not in lacking)
        return tuple(name for name in out if name is not None)

    def map_row(self, row: Row, source: str) -> MappedRow:
        """One sample with all its annotations and lists of categories mapped.

        Leaving out what the dataset does not have leaves a sample as completely labelled as it was; only a dropped
        annotation whose class has no name makes it ``partial``, since that may have been any of the categories.
        """
        kept: list[Row] = []
        dropped: list[tuple[Row, Finding]] = []
        unknown: list[str] = []
        changed = 0
        for annotation in row.get("annotations") or ():
            mapped = self.map(annotation, source)
            unknown += mapped.unknown
            if mapped.annotation is None:
                dropped.append((annotation, mapped.finding or Finding(code=UNKNOWN)))
                continue
            kept.append(mapped.annotation)
            changed += any(mapped.annotation.get(key) != annotation.get(key) for key in ("category", "categories"))
        out = dict(row)
        for key, value in (
            ("annotations", kept),
            ("absent_categories", list(self.map_names(row.get("absent_categories") or (), source, every=True))),
            (
                "not_exhaustive_categories",
                list(self.map_names(row.get("not_exhaustive_categories") or (), source, every=False)),
            ),
        ):
            if key in out:
                out[key] = value
                if not value:
                    del out[key]
        nameless = any(item.get("code") == UNDEFINED for gone, _ in dropped for item in gone.get("issues") or ())
        if nameless and out.get("labelled") == "yes":
            out["labelled"] = "partial"
        return MappedRow(out, tuple(dropped), changed, tuple(unknown))

    def unknown_issues(self, counts: Mapping[tuple[str, str], int]) -> tuple[Issue, ...]:
        """One error for each unknown ``(source, category)``, with how many annotations have it."""
        issues = []
        for (source, name), count in sorted(counts.items()):
            _, finding = self._target(name, source, undefined=name not in self._sources.get(source, {}))
            message = (
                finding.message if finding is not None else f"category {short(name)} of source {source} is unknown"
            )
            issues.append(Issue(code=UNKNOWN, message=message, hint=_UNKNOWN_HINT, count=count))
        return tuple(issues)

    def _target(self, name: str, source: str, undefined: bool = False) -> tuple[str | None, Finding | None]:
        """The dataset's name for a source's category, or none and why. Remembered: sources repeat few names."""
        known = self._cache.get((source, name, undefined))
        if known is None:
            known = self._cache[source, name, undefined] = self._find(name, source, undefined)
        return known

    def _find(self, name: str, source: str, undefined: bool) -> tuple[str | None, Finding | None]:
        for entry in (f"{source}/{name}", name):
            if entry in self.params.map:
                target = self.params.map[entry]
                if target is not None:
                    return target, None
                message = f"category {short(name)} of source {source} is mapped to null"
                return None, Finding(code=DROPPED, message=message)
        if name in self._names:
            return name, None
        if undefined:
            message = f"class {short(name)} of source {source} has no name there and is not mapped"
            return None, Finding(code=UNKNOWN, message=message)
        own = self._sources.get(source, {})
        if not self._names and name in own:
            return name, None
        where = "in names" if self._names else f"one that source {source} lists"
        message = f"category {short(name)} of source {source} is neither {where} nor mapped"
        return None, Finding(code=UNKNOWN, message=message + suggest(name, self._names or own))

    def _map_probabilities(self, items: Sequence[Mapping[str, Any]], source: str) -> list[Row]:
        """Of categories that became one, the probabilities are added up."""
        sums: dict[str, float] = {}
        for item in items:
            target, _ = self._target(item["category"], source)
            if target is not None:
                sums[target] = min(1.0, sums.get(target, 0.0) + item["probability"])
        return [{"category": name, "probability": value} for name, value in sums.items()]

    def _renamed(self) -> list[Category]:
        """Every source's categories that are kept, under the dataset's names, in order."""
        out = []
        for source, items in self._sources.items():
            for name, item in items.items():
                target, _ = self._target(name, source)
                if target is not None:
                    ids = item.source_ids if target == name else tuple(dict.fromkeys((*item.source_ids, name)))
                    out.append(item.model_copy(update={"name": target, "source_ids": ids}))
        return out

    def _dataset_categories(self) -> tuple[Category, ...]:
        fixed = [Category(name=name, index=index) for index, name in enumerate(self.params.names)]
        merged = merge_categories(fixed, self._renamed(), self._mapped_by_hand())
        return tuple(_with_flip_pairs(item) for item in (merged[: len(fixed)] if fixed else merged))

    def _mapped_by_hand(self) -> list[Category]:
        """Targets of nameless classes (``map: {"7": WBC}``), which no source lists."""
        targets = {target for target in self.params.map.values() if target is not None}
        return [Category(name=target, index=0) for target in sorted(targets)]

    def _unused_entries(self) -> list[Issue]:
        known = {name for items in self._sources.values() for name in items}
        known |= {f"{source}/{name}" for source, items in self._sources.items() for name in items}
        return [
            Issue(
                code="category-map-unused",
                severity="warning",
                message=f"clean.categories.map names {short(entry)}, which no source lists" + suggest(entry, known),
                hint="Correct the name, or take the entry out.",
            )
            for entry in sorted(self.params.map)
            if entry not in known and not entry.rpartition("/")[2].isdecimal()
        ]

    def _differing_facts(self) -> list[Issue]:
        seen: dict[tuple[str, str], object] = {}
        issues: list[Issue] = []
        for item in self._renamed():
            for fact in _FACTS:
                value = getattr(item, fact)
                if value in (None, ()):
                    continue
                if seen.setdefault((item.name, fact), value) != value:
                    issues.append(
                        Issue(
                            code="category-facts-differ",
                            severity="warning",
                            message=f"sources differ in {fact} of category {short(item.name)}; the first is kept",
                            hint="Make the sources agree, or map one of them to a category of its own.",
                        )
                    )
        return issues


def _with_flip_pairs(category: Category) -> Category:
    """Few formats say which keypoints change places in a mirror; names mostly do."""
    if category.flip_pairs or not category.keypoint_names:
        return category
    return category.model_copy(update={"flip_pairs": mirrored_pairs(category.keypoint_names)})


_UNKNOWN_HINT = (
    "Add it to clean.categories.names, map it in clean.categories.map, or set clean.categories.unknown: drop."
)


def _check_params(params: CategoriesParams) -> None:
    repeated = sorted({name for name in params.names if params.names.count(name) > 1})
    if repeated:
        raise ParamsError(
            f"clean.categories.names has {list_names(repeated)} more than once",
            file="params.yaml",
            hint="Name each category once.",
        )
    for entry, target in sorted(params.map.items()):
        if params.names and target is not None and target not in params.names:
            raise ParamsError(
                f"clean.categories.map has {short(entry)}: {short(target)}, which clean.categories.names does not have"
                + suggest(target, params.names),
                file="params.yaml",
                hint="Map to one of the names, or add the name at the end of the list.",
            )


def _same(new: Any, old: Any) -> bool:
    if isinstance(new, list):
        return new == list(old or ())
    return bool(new == old)
