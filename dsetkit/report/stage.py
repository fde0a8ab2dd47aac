"""``report``: what people look at, made from finished snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsetkit.history.previous import previous_output
from dsetkit.report.cards.files import build_card, card_places, relative_place
from dsetkit.report.facts.collect import ProjectFacts, collect_project
from dsetkit.report.numbers.metrics import Metrics, build_metrics, metrics_bytes
from dsetkit.report.numbers.plots import build_plots
from dsetkit.report.page.build import build_page
from dsetkit.report.page.change import Change
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import open_snapshot
from dsetkit.stages.build import Build, NoProgress, Progress
from dsetkit.stages.lineage import report_digest
from dsetkit.stages.project import Project
from dsetkit.stages.sealed_report import CARDS, FOLDERS, METRICS, PAGE, PLOTS, sealed_report
from dsetkit.stages.tools import tool_versions
from dsetkit.storage.atomic import remove_tree, swap_folder, write_atomic

SECTIONS = ("sources", "clean", "augment", "card", "report")
"""Of params: what the report shows, and which snapshots it reads."""


@dataclass(frozen=True)
class ReportResult:
    """What was made."""

    page: Path
    page_bytes: int
    facts: ProjectFacts
    metrics: Metrics
    change: Change | None
    """What differs from the version before; None where there is none to compare with."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: where the page is, all metrics, and how much differs from the version before."""
        return {
            "page": str(self.page),
            "page_bytes": self.page_bytes,
            "metrics": self.metrics,
            "change": None if self.change is None else _change_json(self.change),
        }


def run_report(project: Project, *, progress: Progress | None = None) -> ReportResult:
    """Make ``reports/`` and ``cards/`` from the project's snapshots.

    All is made first, and signed where it is sealed; then plots and cards are replaced as whole folders, page and
    metrics as files, each by a rename. Raises ``UsageError`` where another run is at it, ``SnapshotError`` where a
    snapshot is absent or damaged, ``ChangedError`` where params or inputs changed meanwhile; nothing is replaced then.
    """
    shown = progress or NoProgress()
    inputs = {f"raw/{name}": project.raw(name) for name in project.params.sources}
    inputs |= {"cleaned": project.cleaned, "augmented": project.augmented}
    place = project.root / PAGE.parent
    build = Build(project, place, lambda: project.state(sections=SECTIONS), stage="report", inputs=inputs)
    with build:
        remove_tree(build.folder)
        shown.start("report: counting", None)
        facts = collect_project(project)
        shown.start("report: the version before", None)
        change = find_change(project)
        shown.start("report: cards", None)
        files = {CARDS / name: data for name, data in _cards(project, facts).items()}
        files |= {PLOTS / name: data for name, data in build_plots(facts).items()}
        shown.start("report: page", None)
        files |= {PAGE: build_page(project, facts, change), METRICS: metrics_bytes(facts)}
        seal = build.sealing.seal
        if seal is not None:
            files = sealed_report(files, seal)
        for folder in FOLDERS:
            inside = {path: data for path, data in files.items() if folder in path.parents}
            _write(build.folder / folder.name, {str(path.relative_to(folder)): data for path, data in inside.items()})
        build.check()
        build.sealing.sign(
            {path.as_posix(): data for path, data in files.items()},
            inputs,
            params=report_digest(project),
            tools=tool_versions(),
        )
        for folder in FOLDERS:
            (project.root / folder).parent.mkdir(parents=True, exist_ok=True)
            swap_folder(build.folder / folder.name, project.root / folder)
        for path in (PAGE, METRICS):
            write_atomic(project.root / path, files[path])
        build.sealing.finish()
        remove_tree(build.folder)
    return ReportResult(project.root / PAGE, len(files[PAGE]), facts, build_metrics(facts), change)


def find_change(project: Project) -> Change | None:
    """What differs between the cleaned snapshot and the one of the version before; None without one.

    None, too, where readers of the report may not read that one, or a facet keeps apart now what was not apart then: it
    would tell them just that.
    """
    now = open_snapshot(project.cleaned, keys=project.keys).base
    previous = previous_output(project.root, project.cleaned, now.fingerprint)
    if previous is None:
        return None
    old = previous.snapshot.base
    apart = {facet.name for facet in now.hidden} - {facet.name for facet in old.hidden}
    if apart or not project.sealing("report").may_tell_of(old.seals):
        return None
    return Change(previous, diff(old, now))


def _cards(project: Project, facts: ProjectFacts) -> dict[str, bytes]:
    """Path within ``cards/`` → content, of each stage that has a snapshot."""
    files: dict[str, bytes] = {}
    about = {project.cleaned: facts.cleaned, project.augmented: facts.augmented}
    for place, folder in card_places(project).items():
        found = about[place]
        if found is not None:
            snapshot = open_snapshot(place, keys=project.keys).base
            card = build_card(project.params.card, snapshot, found, place=relative_place(folder, place))
            files |= {f"{folder.name}/{name}": data for name, data in card.items()}
    return files


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        write_atomic(folder / name, data)


def _change_json(change: Change) -> dict[str, Any]:
    differing = {f"{group}.{name}" if name else group: len(entries) for group, name, entries in change.diff.lists()}
    return {
        "previous": {
            "rev": change.previous.rev,
            "tags": list(change.previous.tags),
            "fingerprint": change.diff.old.fingerprint,
        },
        "differing": {name: count for name, count in differing.items() if count},
    }
