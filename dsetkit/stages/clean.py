"""``clean``: one cleaned snapshot of all sources."""

from __future__ import annotations

from collections.abc import Iterator

from dsetkit.curation.corrections import Corrector
from dsetkit.curation.mapping import CategoryMapper
from dsetkit.errors import UsageError
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.snapshots.write import SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import group_issues
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.snapshot import License
from dsetkit.stages.build import Build, NoProgress, Progress, StageResult, open_input
from dsetkit.stages.clean_labels import LabelCleaner
from dsetkit.stages.clean_pictures import Cleaned, PictureCleaner
from dsetkit.stages.clean_plan import make_plan
from dsetkit.stages.corrections import load_corrections
from dsetkit.stages.executor import Pool
from dsetkit.stages.facets import facets_for, refuse_hidden, scratch_seal, with_own_keys
from dsetkit.stages.lineage import clean_digest
from dsetkit.stages.memory import Made, Memory
from dsetkit.stages.project import Project
from dsetkit.stages.sources import sorted_sources
from dsetkit.stages.spool import Spool

SECTIONS = ("sources", "schema", "shards", "clean")


def clean(
    project: Project, *, pool: Pool, memory: Snapshot | None = None, progress: Progress | None = None
) -> StageResult:
    """Build ``data/cleaned`` from the raw snapshots of exactly the sources that params name, and the corrections.

    Raises ``UsageError`` where there is no source, ``SnapshotError`` where a raw snapshot is absent, ``CheckError``
    for unknown categories, for more invalid labels than the budget allows and for lines that are no corrections,
    ``ChangedError`` where params, corrections or inputs changed meanwhile.
    """
    shown = progress or NoProgress()
    params = project.params
    if not params.sources:
        raise UsageError("the project has no source yet", hint="Add one: dsetkit add NAME PATH, then dvc repro.")
    tools = project.check_tools()
    names = sorted_sources(list(params.sources))
    build = Build(
        project,
        project.cleaned,
        lambda: project.state(sections=SECTIONS, corrections=True),
        stage="cleaned",
        inputs={f"raw/{name}": project.raw(name) for name in names},
    )
    with build:
        build.sealing.check_pool(is_local=pool.is_local)
        inputs = {
            name: refuse_hidden(open_input(project.raw(name), project, f"ingest@{name}"), "cleaned") for name in names
        }
        facets = facets_for(build.sealing)
        aside, scratch = project.work / "build" / "data-cleaned", scratch_seal(build.sealing, facets)
        contract = project.contract(params.schema_)
        mapper = CategoryMapper(params.clean.categories, {name: inputs[name].categories for name in params.sources})
        corrector = Corrector(
            load_corrections(project),
            categories=tuple(category.name for category in mapper.categories),
            ratios=tuple(params.clean.split.ratios),
        )
        kept = Spool(aside.with_name(f"{aside.name}.kept.arrow"), Sample, scratch)
        rejected = Spool(aside.with_name(f"{aside.name}.rejected.arrow"), Rejected, scratch)
        labels = LabelCleaner(params.clean, mapper, corrector, contract, kept, rejected)
        try:
            shown.start("clean: labels", sum(len(snapshot) for snapshot in inputs.values()))
            for name, snapshot in inputs.items():
                labels.take(name, with_own_keys(snapshot, aside.with_name(f"{aside.name}.raw.arrow"), scratch), shown)
            kept.close()
            labels.check()
            shown.start("clean: duplicates, splits", None)
            plan = make_plan(params.clean, labels, kept, contract)
            rejected.close()
            sound = SoundFiles(project.stat_cache)
            known = Memory([memory] if memory is not None else [], build.folder, sound, build.sealing.seal)
            names_given = plan.base_keys(facets)
            pictures = PictureCleaner(
                inputs, params.clean.pixels, params.ingest, known, plan.training_split, names_given.originals
            )
            writer = SnapshotWriter(
                build.folder,
                target_bytes=params.shards.target_bytes,
                memory=[*known.snapshots, *inputs.values()],
                sound=sound,
                seal=build.sealing.seal,
                facets=facets,
            )
            shown.start("clean: pictures", len(kept))
            rows = names_given.rows(plan.rows(kept), aside.with_name(f"{aside.name}.sorted.arrow"), scratch)
            made: Iterator[tuple[tuple[Row, str], Cleaned | Made]] = pool.in_order(
                pictures.items(rows), pictures.submit
            )
            for (row, made_from), result in made:
                pictures.add(writer, row, made_from, result)
                shown.advance()
            for row in rejected:
                renamed = names_given.rejected(row)
                own = row["key"] if renamed["key"] != row["key"] else None
                writer.add(renamed, None, rejected=True, original_key=own)
            info = writer.finish(
                {
                    "stage": "cleaned",
                    "name": "cleaned",
                    "parents": tuple(
                        {"name": f"raw/{name}", "fingerprint": snapshot.info.fingerprint}
                        for name, snapshot in inputs.items()
                    ),
                    "categories": mapper.categories,
                    "info": {name: snapshot.info.info for name, snapshot in inputs.items() if snapshot.info.info},
                    "licenses": _licenses(inputs),
                    "schema": None
                    if contract is None
                    else {"reference": contract.reference, "digest": contract.digest},
                    "params_digest": clean_digest(project),
                    "versions": tools,
                    "issues": group_issues([*mapper.issues, *corrector.issues(), *plan.issues]),
                    "channel_statistics": pictures.statistics.result() if pictures.statistics else None,
                    "counts": {
                        "samples_in": labels.samples_in,
                        "annotations_in": labels.annotations_in,
                        "added_annotations": labels.added_annotations + plan.added_annotations,
                        "per_change": {
                            name: count
                            for name, count in sorted((labels.per_change + pictures.per_change).items())
                            if count
                        },
                    },
                }
            )
            build.swap(info)
        finally:
            kept.remove()
            rejected.remove()
    return StageResult(info, project.cleaned, pictures.decoded, pictures.reused, **writer.statistics)


def _licenses(inputs: dict[str, Snapshot]) -> tuple[License, ...]:
    return tuple(dict.fromkeys(item for snapshot in inputs.values() for item in snapshot.info.licenses))
