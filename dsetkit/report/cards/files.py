"""Cards: ``README.md`` and ``croissant.json`` of a snapshot, and whether a project's are complete and current."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from dsetkit.errors import AccessError, NotFoundError, SchemaError, TamperError
from dsetkit.formats.loss import LossReport
from dsetkit.report.cards.croissant import croissant
from dsetkit.report.cards.readme import export_readme, readme
from dsetkit.report.facts.collect import SnapshotFacts, collect
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.card import DatasetCard
from dsetkit.spec.issue import Issue
from dsetkit.spec.snapshot import SnapshotInfo
from dsetkit.stages.export import export_snapshot
from dsetkit.stages.project import PARAMS, Project, load_name
from dsetkit.stages.sealed import keys_of
from dsetkit.stages.sealed_report import CARDS, sealed_report
from dsetkit.storage.url import to_local

_BUILD = "Make it again: dvc repro report."
_FORCE = f"{_BUILD} If DVC finds nothing to do (a newer dsetkit words a card otherwise): dvc repro -sf report."
_UNSTATED = ("missing", "string_too_short", "too_short", "none_required")


def build_card(
    card: DatasetCard, snapshot: Snapshot, facts: SnapshotFacts, *, place: PurePosixPath
) -> dict[str, bytes]:
    """The card of a snapshot: its files by name; the same bytes for the same card and snapshot.

    ``place``: the snapshot's folder as seen from the folder of the card (``../../data/cleaned``). What is
    not stated reads so; nothing raises for it. Raises ``StorageError`` where ``snapshot.json`` cannot be read.
    """
    return {
        "README.md": readme(card, facts, place=str(place), download_bytes=_size_bytes(snapshot.info)),
        "croissant.json": croissant(card, snapshot, facts, place=str(place)),
    }


def export_with_card(snapshot: Snapshot, dst: str | os.PathLike[str], *, format: str, **options: Any) -> LossReport:
    """``export_snapshot``, with a card (``README.md``) beside what it writes where the snapshot's project has one.

    The card counts the samples that are exported. Raises what ``export_snapshot`` does, and ``ParamsError`` where the
    project's params are not what they must be.
    """
    project = project_of(snapshot.folder.url)
    if project is None or not _says_something(project.params.card):
        return export_snapshot(snapshot, dst, format=format, **options)
    facts = collect(snapshot)
    card = export_readme(project.params.card, facts, fingerprint=snapshot.fingerprint, format=format)
    return export_snapshot(snapshot, dst, format=format, beside={"README.md": card}, **options)


def project_of(place: str) -> Project | None:
    """The project that a snapshot at a path stands in; None for one that stands in none, or at another address."""
    path = to_local(place)
    try:
        return Project.find(path) if path is not None and path.is_dir() else None
    except NotFoundError:
        return None


def card_places(project: Project) -> dict[Path, Path]:
    """Each snapshot's folder that has a card → the card's folder; whether or not they are there."""
    return {place: project.root / CARDS / place.name for place in (project.cleaned, project.augmented)}


def relative_place(card_folder: Path, snapshot_folder: Path) -> PurePosixPath:
    """The ``place`` of ``build_card``: how to come from the one to the other."""
    return PurePosixPath(Path(os.path.relpath(snapshot_folder, card_folder)).as_posix())


def check_cards(project: Project, snapshots: list[Path] | None = None) -> list[Issue]:
    """What is wrong with the project's cards; empty: complete, and what params and snapshots give now.

    ``snapshots``: folders of the snapshots whose cards are looked at; all that are built if left out. Codes:
    ``card-incomplete`` (the contract that ``card.schema`` names wants more), ``card-missing``, ``card-stale``. A
    project that says nothing in ``card`` and has no cards wants none. Raises ``SchemaError`` for a contract that is
    none, ``SnapshotError`` for a damaged snapshot.
    """
    card = project.params.card
    if card == DatasetCard() and not (project.root / CARDS).is_dir():
        return []
    issues = list(_check_contract(card, project.root))
    for place, folder in card_places(project).items():
        if (place / "snapshot.json").is_file() and (snapshots is None or place in snapshots):
            issues += _check_card(card, place, folder, project.root)
    return issues


def _says_something(card: DatasetCard) -> bool:
    return card.model_copy(update={"schema_": None}) != DatasetCard()


def _check_card(card: DatasetCard, place: Path, folder: Path, root: Path) -> Iterator[Issue]:
    keys = keys_of(root)
    snapshot = open_snapshot(place, keys=keys).base
    names = ("README.md", "croissant.json")
    missing = [name for name in names if not (folder / name).is_file()]
    for name in missing:
        yield Issue(
            code="card-missing",
            message=f"{place.relative_to(root).as_posix()} has no card there",
            file=(folder / name).relative_to(root).as_posix(),
            hint=_BUILD,
        )
    if missing == list(names):
        return
    made = build_card(card, snapshot, collect(snapshot), place=relative_place(folder, place))
    try:
        seal = None if keys is None else keys.seal_for("report")
    except TamperError:
        raise
    except AccessError:  # the cards are for readers of the report, and this is none
        return
    if seal is not None:
        paths = {name: PurePosixPath((folder / name).relative_to(root).as_posix()) for name in names}
        sealed = sealed_report({paths[name]: made[name] for name in names}, seal)
        made = {name: sealed[paths[name]] for name in names}
    for name in names:
        if name not in missing and (found := (folder / name).read_bytes()) != made[name]:
            other = snapshot.fingerprint.encode() not in found
            yield Issue(
                code="card-stale",
                message=f"it is {'of another snapshot' if other else 'not what params.yaml and the snapshot give'}",
                file=(folder / name).relative_to(root).as_posix(),
                hint=_BUILD if other else _FORCE,
            )


def _check_contract(card: DatasetCard, root: Path) -> Iterator[Issue]:
    """What the project's contract for cards has against this one."""
    if card.schema_ is None:
        return
    contract = load_name(card.schema_, root)
    if not (isinstance(contract, type) and issubclass(contract, DatasetCard)):
        raise SchemaError(
            f"{card.schema_} is no contract for cards",
            reference=card.schema_,
            hint="Write class Card(dsetkit.DatasetCard): ... in schemas/card.py, and name it schemas.card:Card.",
        )
    try:
        contract.model_validate(card.model_dump(exclude_defaults=True, exclude={"schema_"}))
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            yield _unmet(item, contract)


def _unmet(error: Any, contract: type[BaseModel]) -> Issue:
    path = ".".join(map(str, error["loc"]))
    text = _description(contract, error["loc"])
    is_unstated = error["type"] in _UNSTATED
    message = "it is not stated" if is_unstated else str(error["msg"]).removeprefix("Value error, ")
    return Issue(
        code="card-incomplete",
        message=f"{message}{f' ({text})' if text and is_unstated else ''}",
        file=PARAMS,
        place=f"card.{path}",
        hint="State it in params.yaml, then: dvc repro report.",
    )


def _description(model: Any, location: tuple[Any, ...]) -> str:
    """What a field means, in its own words up to the first stop; a contract that narrows it need not say them again."""
    text = ""
    for part in location:
        fields = [base.model_fields[part] for base in getattr(model, "__mro__", ()) if part in _fields_of(base)]
        if not fields:
            return ""
        text = next((field.description for field in fields if field.description), "")
        model = fields[0].annotation
    return text.split(". ")[0].split(" (``")[0].rstrip(".").replace("``", "").replace("\n", " ")


def _fields_of(model: type) -> dict[str, Any]:
    return model.model_fields if issubclass(model, BaseModel) else {}


def _size_bytes(info: SnapshotInfo) -> int:
    files = [*info.parts, *info.shards, *([info.rejected] if info.rejected is not None else [])]
    return sum(part.size_bytes for part in files)
