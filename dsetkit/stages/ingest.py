"""``ingest``: one raw snapshot of one source. Bytes and labels are kept as they came."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from dsetkit.curation.contract import Contract
from dsetkit.errors import LockError, PictureError
from dsetkit.formats.frames import Frame, is_stored_frame, size_issue, to_upright
from dsetkit.formats.labelset import LabelSet
from dsetkit.imaging.media import extension_of
from dsetkit.imaging.probe import probe
from dsetkit.snapshots.facets import Facets
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row, count_annotations, iter_rows
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue, group_issues
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License
from dsetkit.stages.build import Build, NoProgress, Progress, StageResult
from dsetkit.stages.executor import Job, Pool
from dsetkit.stages.facets import facets_for
from dsetkit.stages.lineage import raw_digest
from dsetkit.stages.memory import Made, Memory
from dsetkit.stages.project import Project
from dsetkit.stages.sources import SourceState, check_lock, keep_listing, read_source
from dsetkit.stages.tools import picture_digests
from dsetkit.stages.unchanged import Source, stretches

MISSING = "picture-missing"
"""Labels name a picture that is not there."""
NOT_DECODED = frozenset({"picture-empty", "picture-unknown", "picture-pointer", "picture-unsafe", "picture-bomb"})
"""Reasons that are found before a pixel is decoded."""


class Probed(NamedTuple):
    """What a worker found out about one picture."""

    fields: Row
    data: bytes
    reason: str | None = None
    message: str = ""
    decoded: bool = True


def probe_file(read: Callable[[], bytes], path: str, digest: str, max_pixels: int, max_file_bytes: int) -> Probed:
    """Read one picture of a source and measure it. Runs in a worker.

    Raises ``LockError`` where the file is no longer the one that was listed.
    """
    data = read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise LockError(
            f"{path} changed while it was read", name=path, changes=[path], hint="Run dsetkit update, then dvc repro."
        )
    fields: Row = {"digest": digest, "size_bytes": len(data)}
    if len(data) > max_file_bytes:
        message = f"the file has {len(data)} bytes, more than ingest.max_file_bytes = {max_file_bytes}"
        return Probed(fields, data, "picture-too-large", message, decoded=False)
    try:
        return Probed({**fields, **probe(data, max_pixels=max_pixels)}, data)
    except PictureError as error:
        return Probed(fields, data, error.code, error.message, decoded=error.code not in NOT_DECODED)


def ingest(
    project: Project,
    name: str,
    *,
    pool: Pool,
    memory: Snapshot | None = None,
    progress: Progress | None = None,
) -> StageResult:
    """Build ``data/raw/<name>`` from the source as it was locked.

    Raises ``LockError`` where the source or the tools are not what was locked, ``ChangedError`` where something
    changed meanwhile, and what readers raise for label files that cannot be read at all.
    """
    shown = progress or NoProgress()
    source = project.source(name)
    tools = project.check_tools()
    place = project.raw(name)
    sections = (f"sources.{name}", "ingest", "shards")
    build = Build(project, place, lambda: project.state(sections=sections, sources=(name,)), stage=f"raw/{name}")
    with build:
        build.sealing.check_pool(is_local=pool.is_local)
        shown.start(f"{name}: scanning", None)
        state = read_source(source, project.source_url(name), project.stat_cache)
        check_lock(project, name, state)
        digests = state.listing()
        keep_listing(project, project.lock[name].digest, digests)
        sound = SoundFiles(project.stat_cache)
        known = Memory([memory] if memory is not None else [], build.folder, sound, build.sealing.seal)
        facets = facets_for(build.sealing)
        run = _Ingest(project, name, state, digests, known, facets)
        new = max(0, len(state.pictures) - len(known))
        mean_bytes = sum(state.tree.entries[path].size_bytes for path in state.pictures) // len(state.pictures)
        with pool.crowded(new, mean_bytes) as workers:
            shown.start(f"{name}: reading labels", None)
            labels = state.read_labels(project.contract)
            table, facts = labels.table, _Facts.of(labels)
            del labels  # with its rows, which are several times as large as the table
            writer = SnapshotWriter(
                build.folder,
                target_bytes=project.params.shards.target_bytes,
                memory=known.snapshots,
                sound=sound,
                seal=build.sealing.seal,
                facets=facets,
            )
            table = run.in_order(table)
            shown.start(f"{name}: pictures", table.num_rows)
            before = memory if run.contract is None and not facets else None
            for stretch in stretches(table, run.source, before, sound):
                count, is_last = stretch.stop - stretch.start, stretch.stop == table.num_rows
                shard = stretch.shard
                if shard is not None and before is not None and writer.carry_shard(shard, before, is_last=is_last):
                    run.reused += count
                    shown.advance(count)
                    continue
                rows = iter_rows([table.slice(stretch.start, count)], Sample)
                for (row, made_from), result in workers.in_batches(run.items(rows), run.plan, probe_file):
                    run.add(writer, row, made_from, result)
                    shown.advance()
        # A missing picture is told of below, by its key.
        read = [issue for issue in facts.issues if issue.code != MISSING]
        issues = [*state.issues, *read, *run.issues]
        contract = run.contract
        info = writer.finish(
            {
                "stage": "raw",
                "name": f"raw/{name}",
                "categories": facts.categories,
                "info": facts.info,
                "licenses": _licenses(facts.licenses, source.license),
                "schema": None if contract is None else {"reference": contract.reference, "digest": contract.digest},
                "params_digest": raw_digest(project, name),
                "versions": tools,
                "issues": group_issues(issues),
                "counts": {
                    "samples_in": table.num_rows,
                    "annotations_in": count_annotations(table),
                    "per_change": run.per_change,
                },
            }
        )
        build.swap(info)
    return StageResult(info, place, run.decoded, run.reused, **writer.statistics)


class _Facts(NamedTuple):
    """What a set of labels says besides its rows."""

    categories: tuple[Category, ...]
    info: dict[str, Any]
    licenses: tuple[License, ...]
    issues: tuple[Issue, ...]

    @classmethod
    def of(cls, labels: LabelSet) -> _Facts:
        return cls(labels.categories, labels.info, labels.licenses, labels.issues)


def _licenses(found: tuple[License, ...] | list[License], stated: str | None) -> tuple[License, ...]:
    return (*([License(name=stated)] if stated else []), *found)


class _Ingest:
    """The run of one source: what is known, what is submitted, what comes back."""

    def __init__(
        self,
        project: Project,
        name: str,
        state: SourceState,
        digests: dict[str, str],
        memory: Memory,
        facets: Facets,
    ) -> None:
        self.name = name
        self.facets = facets
        self.tree = state.tree
        self.params = project.params.ingest
        self.digests = digests
        self.memory = memory
        self.license = project.source(name).license
        source = project.source(name)
        self.contract: Contract | None = project.contract(source.schema_)
        self.frame: Frame = state.frame
        self.picture_digest = picture_digests("ingest", self.params.model_dump(mode="json"))
        self.source = Source(f"{name}/", self.frame, self._provenance, self._made_from)
        self.issues: list[Issue] = []
        self.per_change: dict[str, int] = {}
        self.decoded = 0
        self.reused = 0

    def in_order(self, labels: pa.Table) -> pa.Table:
        """The labels in the order of the keys that they will have."""
        if not self.facets.hides_keys:
            return labels
        keys = zip(labels["key"].to_pylist(), labels["split"].to_pylist(), strict=True)
        named = [sort_key(self.facets.base_key(f"{self.name}/{path}", split)) for path, split in keys]
        return labels.take(pa.array(sorted(range(len(named)), key=named.__getitem__), pa.int64()))

    def items(self, rows: Iterator[Row]) -> Iterator[tuple[Row, str | None]]:
        for row in rows:
            yield row, self._made_from(row["key"])

    def plan(self, item: tuple[Row, str | None]) -> Job | Made | None:
        """What is known of the picture, or the work that finds it out; None for one that is not there."""
        row, made_from = item
        if made_from is None:
            return None
        known = self.memory.find(made_from)
        if known is not None:
            return known
        path = row["key"]
        limits = (self.params.max_pixels, self.params.max_file_bytes)
        size_bytes = self.tree.entries[path].size_bytes
        return Job((self.tree.reader(path), path, self.digests[path], *limits), size_bytes)

    def add(self, writer: SnapshotWriter, row: Row, made_from: str | None, result: Probed | Made | None) -> None:
        path = row["key"]
        row = {**row, "key": f"{self.name}/{path}", "provenance": self._provenance(row, path)}
        if result is None:
            message = f"the labels name {path}, which is not there"
            self.issues.append(
                Issue(
                    code=MISSING,
                    message=message,
                    key=row["key"],
                    hint="Put the picture there, or take it out of the labels.",
                )
            )
            rejected = {**row, "what": "sample", "reason": MISSING, "message": message}
            self._write(writer, rejected, None, rejected=True)
            return
        known = isinstance(result, Made)
        self.reused += known
        self.decoded += 0 if isinstance(result, Made) else result.decoded
        declared = (row["width_px"], row["height_px"]) if "width_px" in row and "height_px" in row else None
        row = {**row, **result.fields, "made_from": made_from}
        read = result.read if isinstance(result, Made) else _give(result.data)
        media_type = row.get("media_type")
        extension = extension_of(media_type) if media_type else ".bin"
        picture = PictureBytes(row["digest"], row["size_bytes"], extension, read)
        if result.reason is not None:
            self.issues.append(
                Issue(
                    code=result.reason,
                    message=result.message,
                    file=path,
                    key=row["key"],
                    hint="Replace the file, or exclude it.",
                )
            )
            row = {**row, "what": "sample", "reason": result.reason, "message": result.message}
            self._write(writer, row, picture, rejected=True)
            return
        self._write(writer, self._check(row, declared), picture)

    def _write(self, writer: SnapshotWriter, row: Row, picture: PictureBytes | None, *, rejected: bool = False) -> None:
        key = row["key"]
        base = self.facets.base_key(key, row.get("split"))
        own = None if base == key else key
        writer.add({**row, "key": base}, picture, rejected=rejected, original_key=own)

    def _made_from(self, path: str) -> str | None:
        digest = self.digests.get(path)
        return None if digest is None else self.picture_digest(digest)

    def _provenance(self, row: Row, path: str) -> Row:
        found = {"source": self.name, "uri": path}
        if self.license is not None:
            found["license"] = self.license
        return {**found, **row.get("provenance", {})}

    def _check(self, row: Row, declared: tuple[int, int] | None) -> Row:
        """Labels against the picture and the source's own contract."""
        upright = (row["width_px"], row["height_px"])
        orientation = row.get("exif_orientation")
        annotations = row.get("annotations", [])
        if annotations and orientation and is_stored_frame(self.frame, declared, upright, orientation):
            annotations = to_upright(annotations, orientation, upright)
            self._count("labels-turned-upright")
        elif declared is not None and (issue := size_issue(row["key"], declared, upright)) is not None:
            self.issues.append(issue)
        if self.contract is not None:
            annotations = self.contract.with_findings(annotations)
        return {**row, "annotations": annotations} if annotations else row

    def _count(self, change: str) -> None:
        self.per_change[change] = self.per_change.get(change, 0) + 1


def _give(data: bytes) -> Any:
    return lambda: data
