"""What happened to one sample, stage by stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from dsetkit.errors import DsetkitError, NotFoundError, TamperError, is_sealed_to_reader
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.arrow import Row, rows_from_table
from dsetkit.spec.sample import Rejected
from dsetkit.stages.project import Project


@dataclass(frozen=True)
class StageStory:
    """What one snapshot knows of a sample."""

    stage: str
    outcome: str
    """``kept``, ``rejected``, ``unknown`` (it never came here), ``absent`` (the snapshot is not built), ``sealed``
    (this identity does not read it), ``hidden`` (a facet that it does not read keeps apart what became of it)."""
    reason: str = ""
    message: str = ""
    duplicate_of: str | None = None
    digest: str | None = None
    split: str | None = None
    labelled: str | None = None
    """None where that is not known here, or kept apart."""
    labels_apart: tuple[str, ...] = ()
    """The facets that this identity does not read, and that keep its labels apart."""
    annotations: int = 0
    rejected_annotations: tuple[dict[str, str], ...] = ()
    changes: tuple[str, ...] = ()
    """What was done to the picture and its annotations."""
    duplicates: tuple[str, ...] = ()
    """Samples that were turned away as duplicates of this one."""
    variants: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return dict(vars(self))


@dataclass
class Story:
    """What happened to ``key`` in every stage."""

    key: str
    stages: list[StageStory] = field(default_factory=list)
    variant_of: str | None = None
    """Where ``key`` is a variant: the sample it was made from, of which the stages before ``augmented`` tell."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        story = {"key": self.key, "stages": [stage.to_json() for stage in self.stages]}
        return story if self.variant_of is None else {**story, "variant_of": self.variant_of}


def trace(project: Project, text: str) -> Story:
    """What each stage did with the sample that ``text`` names (a key, or the end of one that is unique).

    Raises ``NotFoundError`` where no snapshot that is built knows such a sample, ``AccessError`` where all that are
    built are sealed to this identity.
    """
    snapshots: list[tuple[str, Snapshot | DsetkitError]] = []
    source = text.split("/", 1)[0]
    places = [(f"raw/{name}", project.raw(name)) for name in project.params.sources if name == source]
    places = places or [(f"raw/{name}", project.raw(name)) for name in project.params.sources]
    for stage, place in [*places, ("cleaned", project.cleaned), ("augmented", project.augmented)]:
        try:
            snapshots.append((stage, open_snapshot(place, keys=project.keys)))
        except DsetkitError as error:
            snapshots.append((stage, error))
    key = _resolve(text, [snapshot for _, snapshot in snapshots])
    last = snapshots[-1][1]
    row = _row(last, _shown(last, key)) if isinstance(last, Snapshot) else None
    parents = [_own(last, parent) for parent in (row or {}).get("derived_from", ())]
    story = Story(key, variant_of=parents[0] if parents else None)
    veil = _veil(key, [snapshot for _, snapshot in snapshots])
    for stage, snapshot in snapshots:
        if stage.startswith("raw/") and not key.startswith(f"{stage[4:]}/"):
            continue
        asked = key if stage == "augmented" else story.variant_of or key
        story.stages.append(_tell(stage, snapshot, _shown(snapshot, asked), veil))
    return story


def _own(snapshot: Snapshot | DsetkitError, key: str) -> str:
    """The sample's own key, where a facet gave it another and its own can be read."""
    return snapshot.own_keys().get(key, key) if isinstance(snapshot, Snapshot) else key


def _shown(snapshot: Snapshot | DsetkitError, key: str) -> str:
    return snapshot.shown_key(key) if isinstance(snapshot, Snapshot) else key


def _veil(key: str, found: list[Snapshot | DsetkitError]) -> list[str]:
    """The facets not read that keep apart what this pseudonym stands for; other stages may call it otherwise."""
    return [name for snapshot in found if isinstance(snapshot, Snapshot) for name in snapshot.key_apart(key)]


def _resolve(text: str, found: list[Snapshot | DsetkitError]) -> str:
    failures: list[NotFoundError] = []
    snapshots = [snapshot for snapshot in found if isinstance(snapshot, Snapshot)]
    sealed = [error for error in found if is_sealed_to_reader(error)]
    if sealed and not snapshots:
        raise sealed[0]
    for snapshot in snapshots:
        try:
            return _own(snapshot, snapshot.find_key(text))
        except NotFoundError as error:
            failures.append(error)
    source, _, rest = text.partition("/")
    for snapshot in snapshots:
        known = snapshot.own_keys()
        for shown in dict.fromkeys(snapshot.read_rejected(("key",))["key"].to_pylist()):
            for key in (shown, known.get(shown, shown)):
                is_end = key.startswith(f"{source}/") and key.endswith(f"/{rest}")
                if key == text or key.endswith(f"/{text}") or is_end:
                    return known.get(shown, str(shown))
    if not failures:
        raise NotFoundError(
            "no snapshot is built yet", name=text, hint="Build the dataset first: dvc repro; or fetch it: dvc pull."
        )
    best = min(failures, key=lambda error: not error.hint.startswith(("Say which", "Near it")))
    message = best.message if best.hint.startswith("Say which") else f"no snapshot knows a sample {text!r}"
    more = f" Or it is in {sealed[0].subject}, which is sealed to you. {sealed[0].hint}" if sealed else ""
    apart = _facets(name for snapshot in snapshots for name in (*snapshot.rejected_apart, *_hiding_keys(snapshot)))
    more += f" Or what tells of it is kept apart by {apart}, which you do not read." if apart else ""
    raise NotFoundError(message, name=text, hint=best.hint + more)


def _hiding_keys(snapshot: Snapshot) -> list[str]:
    return [facet.name for facet in snapshot.hidden if facet.hides_keys]


def _facets(names: Iterable[str]) -> str:
    found = sorted(set(names))
    return f"the facet{'s' * (len(found) > 1)} {', '.join(found)}" if found else ""


def _tell(stage: str, snapshot: Snapshot | DsetkitError, key: str, veil: Sequence[str]) -> StageStory:
    """``key``: what the sample is called there; ``veil``: the facets that keep apart what else it may be called."""
    if is_sealed_to_reader(snapshot):
        return StageStory(stage, "sealed", message=f"the snapshot is sealed to you. {snapshot.hint}")
    if isinstance(snapshot, TamperError):
        return StageStory(stage, "absent", message=f"the snapshot was refused: {snapshot.message}")
    if not isinstance(snapshot, Snapshot):
        return StageStory(stage, "absent", message="the snapshot is not built, or not whole")
    turned_away = snapshot.rejected
    rejected = rows_from_table(turned_away.filter(pc.equal(turned_away["key"], key)), Rejected)
    known = snapshot.own_keys() if turned_away.num_rows else {}
    annotations = tuple(
        {
            "annotation": str(item["id"]),
            "category": str(item.get("category", "")),
            "reason": row["reason"],
            "message": row.get("message", ""),
        }
        for row in rejected
        if row.get("what") == "annotation"
        for item in row.get("annotations", ())
    )
    for row in rejected:
        if row.get("what", "sample") == "sample":
            return StageStory(
                stage,
                "rejected",
                row["reason"],
                row.get("message", ""),
                known.get(row.get("duplicate_of", ""), row.get("duplicate_of")),
                row.get("digest"),
                annotations=len(row.get("annotations", ())),
                rejected_annotations=annotations,
            )
    found = _row(snapshot, key)
    if found is None:
        apart = _facets([*veil, *snapshot.rejected_apart, *_hiding_keys(snapshot)])
        if apart:
            return StageStory(stage, "hidden", message=f"cannot be told: kept apart by {apart}")
        return StageStory(stage, "unknown", message="it did not come to this stage")
    duplicates = turned_away.filter(pc.equal(turned_away["duplicate_of"], key))["key"].to_pylist()
    labels_apart = snapshot.labels_apart(found.get("split"))
    return StageStory(
        stage,
        "kept",
        digest=found.get("digest"),
        split=found.get("split"),
        labelled=None if labels_apart else found.get("labelled", "no"),
        labels_apart=labels_apart,
        annotations=len(found.get("annotations", ())),
        rejected_annotations=annotations,
        changes=tuple(_changes(found)),
        duplicates=tuple(dict.fromkeys(known.get(name, name) for name in duplicates)),
        variants=tuple(_variants(snapshot, key)) if stage == "augmented" else (),
    )


def _row(snapshot: Snapshot, key: str) -> Row | None:
    try:
        sample = snapshot[key]
    except NotFoundError:
        return None
    return sample.to_row() if sample.key == key else None


def _changes(row: Row) -> list[str]:
    lines = []
    recipe = row.get("recipe")
    for step in recipe["steps"] if recipe else ():
        values = ", ".join(f"{name} {value}" for name, value in step.get("values", {}).items())
        lines.append(f"{step['op']}{f' ({values})' if values else ''}")
    for item in row.get("annotations", ()):
        for finding in item.get("issues", ()):
            lines.append(f"annotation {item['id']}: {finding['code']}: {finding.get('message', '')}".rstrip(": "))
    return lines


def _variants(snapshot: Snapshot, key: str) -> list[str]:
    table = snapshot.column(("key", "derived_from"))
    flat = pc.list_flatten(table["derived_from"])
    parents = pc.list_parent_indices(table["derived_from"])
    hits = pc.filter(parents, pc.equal(flat, key))
    return sorted(table["key"].take(hits).to_pylist())
