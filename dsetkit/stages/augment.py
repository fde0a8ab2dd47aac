"""``augment``: label-aware variants of chosen splits. Originals are carried over as they are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dsetkit.augmentation.apply import apply_steps, apply_to_annotations
from dsetkit.augmentation.draw import draw_recipe, output_format
from dsetkit.errors import UsageError
from dsetkit.imaging.decode import open_picture
from dsetkit.imaging.encode import carried, encode
from dsetkit.imaging.measure import measure
from dsetkit.imaging.media import extension_of
from dsetkit.snapshots.facets import Facets
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.shards import Shards
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample
from dsetkit.stages.build import Build, NoProgress, Progress, StageResult, open_input
from dsetkit.stages.executor import Pending, Pool
from dsetkit.stages.facets import facets_for, refuse_hidden, reordered, scratch_seal
from dsetkit.stages.lineage import augment_digest
from dsetkit.stages.memory import Made, Memory
from dsetkit.stages.pictures import Place, place_of, read_picture
from dsetkit.stages.project import Project
from dsetkit.stages.tools import pixel_digest

_CHUNK = 256


class Variant(NamedTuple):
    """One picture to make."""

    key: str
    parent: str
    recipe: str
    number: int
    place: int
    """The parent's number in the cleaned snapshot."""


class Job(NamedTuple):
    """A variant with all that making it takes."""

    variant: Variant
    parent: Row
    recipe: Row
    made_from: str


class Varied(NamedTuple):
    """What a worker made."""

    fields: Row
    data: bytes


@dataclass
class Group:
    """All variants of one sample: its picture is decoded once for all of them that must be made."""

    jobs: list[Job]
    known: dict[str, Made]
    missing: list[str]
    future: Future[list[Varied]] | None = None
    left: int = 0

    def take(self, job: Job, made: list[Varied]) -> Varied:
        """The one of the made variants that is the job's."""
        return made[self.missing.index(job.variant.key)]


def make_variants(shards: Shards, place: Place, recipes: Sequence[Row], max_pixels: int) -> list[Varied]:
    """Decode one picture and make variants of it, in the order of ``recipes``. Runs in a worker."""
    image = open_picture(read_picture(shards, place), max_pixels)
    made = []
    for recipe in recipes:
        encoding = recipe["steps"][-1]["values"]
        varied = carried(apply_steps(image, recipe["steps"]), encoding["format"])
        data = encode(varied, format=encoding["format"], quality=encoding["quality"])
        fields = {
            "digest": hashlib.sha256(data).hexdigest(),
            "size_bytes": len(data),
            "media_type": f"image/{encoding['format']}",
            "width_px": varied.width,
            "height_px": varied.height,
            "mode": varied.mode,
            **measure(varied),
        }
        made.append(Varied(fields, data))
    return made


def augment(
    project: Project, *, pool: Pool, memory: Snapshot | None = None, progress: Progress | None = None
) -> StageResult:
    """Build ``data/augmented`` from ``data/cleaned``.

    Raises ``SnapshotError`` where there is no cleaned snapshot, ``UsageError`` where a variant's key is taken,
    ``ChangedError`` where params or input changed meanwhile.
    """
    shown = progress or NoProgress()
    tools = project.check_tools()
    build = Build(
        project,
        project.augmented,
        lambda: project.state(sections=("augment", "shards")),
        stage="augmented",
        inputs={"cleaned": project.cleaned},
    )
    with build:
        build.sealing.check_pool(is_local=pool.is_local)
        cleaned = refuse_hidden(open_input(project.cleaned, project, "clean"), "augmented")
        facets = facets_for(build.sealing)
        sound = SoundFiles(project.stat_cache)
        known = Memory([memory] if memory is not None else [], build.folder, sound, build.sealing.seal)
        names = _Names(cleaned, facets)
        run = _Augment(project, cleaned, known, names)
        writer = SnapshotWriter(
            build.folder,
            target_bytes=project.params.shards.target_bytes,
            memory=[cleaned, *known.snapshots],
            sound=sound,
            seal=build.sealing.seal,
            facets=facets,
        )
        variants = run.plan()
        shown.start("augment: originals", len(cleaned))
        if writer.carry(cleaned):
            shown.advance(len(cleaned))
        else:
            aside = project.work / "build" / "data-augmented.sorted.arrow"
            for row in names.rows(aside, scratch_seal(build.sealing, facets)):
                writer.add(row, _original(cleaned, row), original_key=names.originals.get(row["key"]))
                shown.advance()
        shown.start("augment: variants", len(variants))
        made: Iterator[tuple[tuple[Job, Group], list[Varied] | Made]] = pool.in_order(run.jobs(variants), run.submit)
        for (job, group), result in made:
            run.add(writer, job, result if isinstance(result, Made) else group.take(job, result))
            shown.advance()
        info = writer.finish(
            {
                "stage": "augmented",
                "name": "augmented",
                "parents": ({"name": "cleaned", "fingerprint": cleaned.info.fingerprint},),
                "categories": cleaned.info.categories,
                "info": cleaned.info.info,
                "licenses": cleaned.info.licenses,
                "schema": cleaned.info.schema_,
                "params_digest": augment_digest(project),
                "versions": tools,
                "channel_statistics": cleaned.info.channel_statistics,
                "counts": {
                    "samples_in": cleaned.info.counts.samples,
                    "annotations_in": cleaned.info.counts.annotations,
                    "added_samples": len(variants),
                    "added_annotations": run.added_annotations,
                },
            }
        )
        build.swap(info)
    return StageResult(info, project.augmented, run.decoded, run.reused, **writer.statistics)


class _Names:
    """What the samples of the cleaned snapshot are called in the augmented one, whose facets may hide other keys."""

    def __init__(self, cleaned: Snapshot, facets: Facets) -> None:
        self._cleaned = cleaned
        self.given: list[str] | None = None
        """By their numbers; None: as they are called there."""
        self.originals: dict[str, str] = {}
        """Pseudonym → own key."""
        if facets.hides_keys:
            own = cleaned.original_keys()
            table = cleaned.column(("key", "split"))
            self.given = []
            for key, split in zip(table["key"].to_pylist(), table["split"].to_pylist(), strict=True):
                name = facets.base_key(own.get(key, key), split) if facets.needs_original(split) else key
                self.given.append(name)
                if name != key or key in own:
                    self.originals[name] = own.get(key, key)

    def rows(self, aside: Path, seal: Seal | None) -> Iterator[Row]:
        """All rows, in the order of their keys. ``aside``: where files may be put, sealed by ``seal``."""
        rows = iter_rows(self._cleaned.iter_tables(), Sample)
        if self.given is None or self.given == self._cleaned.column("key")["key"].to_pylist():
            yield from rows
        else:
            yield from (row for row, _ in reordered(rows, self.given, aside, seal))


class _Augment:
    def __init__(self, project: Project, cleaned: Snapshot, memory: Memory, names: _Names) -> None:
        self.params = project.params.augment
        self.max_pixels = project.params.ingest.max_pixels
        self.cleaned = cleaned
        self.names = names
        self.memory = memory
        self.parents = _Rows(cleaned)
        self.categories = cleaned.info.categories
        self.decoded = 0
        self.reused = 0
        self.added_annotations = 0

    def plan(self) -> list[Variant]:
        """All variants in key order, decided on columns."""
        table = self.cleaned.column(("key", "split", "media_type"))
        variants = []
        keys = self.names.given or table["key"].to_pylist()
        columns = (table[name].to_pylist() for name in ("split", "media_type"))
        for place, (key, split, media_type) in enumerate(zip(keys, *columns, strict=True)):
            for name, recipe in self.params.recipes.items():
                if split in recipe.splits:
                    extension = extension_of(f"image/{output_format(self.params.format, media_type)}")
                    stem = str(PurePosixPath(key).with_suffix(""))
                    for number in range(recipe.variants):
                        variants.append(Variant(f"{stem}@{name}.{number}{extension}", key, name, number, place))
        variants.sort(key=lambda variant: (sort_key(variant.key), sort_key(variant.parent)))
        taken = set(keys)
        for before, variant in zip([None, *variants], variants, strict=False):
            if variant.key in taken or (before is not None and before.key == variant.key):
                raise UsageError(
                    f"the key {variant.key} of a variant is taken already",
                    hint="Rename the source's picture, or the recipe.",
                )
        return variants

    def jobs(self, variants: list[Variant]) -> Iterator[tuple[Job, Group]]:
        """Variants in key order, each with the group of those that share its parent."""
        per_parent: dict[str, list[Variant]] = {}
        for variant in variants:
            per_parent.setdefault(variant.parent, []).append(variant)
        groups: dict[str, Group] = {}
        for variant in variants:
            group = groups.get(variant.parent)
            if group is None:
                group = groups[variant.parent] = self._group(per_parent.pop(variant.parent))
            group.left -= 1
            if group.left == 0:
                del groups[variant.parent]
            yield next(job for job in group.jobs if job.variant == variant), group

    def _group(self, variants: list[Variant]) -> Group:
        parent = self.parents.row(variants[0].place)
        jobs = []
        for variant in variants:
            params = self.params.recipes[variant.recipe]
            recipe = draw_recipe(
                params,
                variant.recipe,
                variant.number,
                parent["digest"],
                self.params.seed,
                parent["width_px"],
                parent["height_px"],
                media_type=parent["media_type"],
                format=self.params.format,
                quality=self.params.quality,
            )
            jobs.append(Job(variant, parent, recipe, pixel_digest("augment", parent["digest"], recipe)))
        known = {job.variant.key: made for job in jobs if (made := self.memory.find(job.made_from)) is not None}
        missing = [job.variant.key for job in jobs if job.variant.key not in known]
        self.decoded += bool(missing)
        return Group(jobs, known, missing, left=len(jobs))

    def submit(self, item: tuple[Job, Group], executor: Executor) -> Pending[list[Varied] | Made] | list[Varied] | Made:
        """What is known of the variant, or the work that makes it and its siblings."""
        job, group = item
        if job.variant.key in group.known:
            return group.known[job.variant.key]
        if group.future is None:
            recipes = [other.recipe for other in group.jobs if other.variant.key in group.missing]
            group.future = executor.submit(
                make_variants,
                self.cleaned.shards,
                place_of(job.parent),
                recipes,
                self.max_pixels,
            )
        return group.future

    def add(self, writer: SnapshotWriter, job: Job, result: Varied | Made) -> None:
        """The variant's row: its parent's labels, moved as its pixels were."""
        parent, recipe = job.parent, self.params.recipes[job.variant.recipe]
        if isinstance(result, Made):
            self.reused += 1
            fields, read = result.fields, result.read
        else:
            fields, data = result
            read = lambda: data  # noqa: E731
        annotations, dropped, _, _ = apply_to_annotations(
            parent.get("annotations", ()),
            job.recipe["steps"],
            self.categories,
            parent["width_px"],
            parent["height_px"],
            recipe.min_visible,
        )
        inherited = (
            "split",
            "split_group",
            "labelled",
            "absent_categories",
            "not_exhaustive_categories",
            "attributes",
            "provenance",
        )
        row: Row = {name: parent[name] for name in inherited if name in parent}
        row |= {name: value for name, value in fields.items() if name != "recipe"}
        row |= {
            "key": job.variant.key,
            "made_from": job.made_from,
            "derived_from": [job.variant.parent],
            "recipe": job.recipe,
        }
        self.added_annotations += len(annotations) + len(dropped)
        for annotation, finding in dropped:
            writer.add(
                {
                    **{name: row[name] for name in ("key", "split", "derived_from", "recipe") if name in row},
                    "annotations": [annotation],
                    "what": "annotation",
                    "reason": finding.code,
                    "message": finding.message,
                },
                None,
                rejected=True,
                group=1,
            )
        picture = PictureBytes(row["digest"], row["size_bytes"], extension_of(row["media_type"]), read)
        writer.add({**row, "annotations": annotations} if annotations else row, picture, group=1)


class _Rows:
    """Rows of a snapshot by number, asked for nearly in order: turned to Python by the chunk, a few chunks held."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._chunks: OrderedDict[int, list[Row]] = OrderedDict()

    def row(self, place: int) -> Row:
        number, within = divmod(place, _CHUNK)
        rows = self._chunks.get(number)
        if rows is None:
            rows = self._chunks[number] = self._snapshot.rows(number * _CHUNK, (number + 1) * _CHUNK)
            if len(self._chunks) > 8:
                self._chunks.popitem(last=False)
        return rows[within]


def _original(cleaned: Snapshot, row: Row) -> PictureBytes:
    read = partial(cleaned.shards.read, *place_of(row))
    return PictureBytes(row["digest"], row["size_bytes"], extension_of(row["media_type"]), read)
