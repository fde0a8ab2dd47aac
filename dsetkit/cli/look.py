"""``show``, ``why``, ``verify``, ``formats``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import typer

import dsetkit
from dsetkit.cli.output import Output, bar, in_order, plural, turned_away
from dsetkit.cli.sources import JSON
from dsetkit.errors import NotFoundError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Format
from dsetkit.imaging.draw import contact_sheet, draw_annotations
from dsetkit.imaging.encode import encode
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.sample import Sample
from dsetkit.stages.project import Project
from dsetkit.stages.why import StageStory, trace
from dsetkit.storage.atomic import write_atomic

_CELL_PX = 300


def show(
    path: str = typer.Argument(help="A snapshot: a folder or any fsspec URL."),
    key: str | None = typer.Argument(None, help="One sample; the end of its key will do where it is unique."),
    png: Path | None = typer.Option(
        None, "--png", help="Write the picture with its labels drawn; without KEY a contact sheet."
    ),
    as_json: bool = JSON,
) -> None:
    """Show what is in a snapshot, or one sample of it."""
    snapshot = dsetkit.open(path)
    output = Output(as_json=as_json)
    if key is None:
        if png is not None:
            _write_sheet(snapshot, png)
        if as_json:
            output.json(snapshot.info.model_dump(mode="json"))
        else:
            _show_snapshot(output, snapshot)
    else:
        sample = snapshot[_find(snapshot, key)]
        if png is not None:
            _write_picture(snapshot, sample, png)
        if as_json:
            output.json(sample.model_dump(mode="json", exclude_defaults=True))
        else:
            _show_sample(output, sample)
    if png is not None and not as_json:
        output.line()
        output.line(f"Wrote {png}")


def why(
    key: str = typer.Argument(help="A sample's key; its end will do where it is unique."),
    as_json: bool = JSON,
) -> None:
    """Say what happened to a sample, stage by stage."""
    story = trace(Project.find(), key)
    output = Output(as_json=as_json)
    if as_json:
        output.json(story.to_json())
        return
    output.heading(story.key)
    if story.variant_of is not None:
        output.line(f"  a variant of {story.variant_of}, which came through like this:")
    for stage in story.stages:
        _show_stage(output, stage)


def verify(
    path: str | None = typer.Argument(None, help="A snapshot; all of the project's if left out."),
    as_json: bool = JSON,
) -> None:
    """Recompute every digest and fingerprint. Exit code 1 where one does not match."""
    output = Output(as_json=as_json)
    places = [path] if path is not None else [str(place) for place in _built(Project.find())]
    if not places:
        raise UsageError("no snapshot is built yet", hint="Build the dataset first: dvc repro; or: dvc pull.")
    found = []
    for place in places:
        with output.progress() as progress:
            progress.start(f"verifying {_short(place)}", None)
            issues = dsetkit.verify(dsetkit.open(place))
        found.extend(issues)
        if not as_json:
            output.line(f"{_short(place)}: {'verified' if not issues else plural(len(issues), 'issue')}")
            output.issues(issues)
    if as_json:
        output.json([issue.model_dump(mode="json", exclude_defaults=True) for issue in found])
    raise typer.Exit(1 if found else 0)


def formats(
    name: str | None = typer.Argument(None, help="One format, with its options."),
    as_json: bool = JSON,
) -> None:
    """List the label formats and what each can carry."""
    output = Output(as_json=as_json)
    chosen = [registry.get(item) for item in ([name] if name else registry.names())]
    if as_json:
        output.json([_facts(item) for item in chosen])
        return
    for item in chosen:
        facts = _facts(item)
        output.heading(f"{facts['name']}  {facts['title']}")
        output.line(f"  kinds: {', '.join(facts['kinds'])}")
        if facts["becomes"]:
            output.line(f"  written as another kind: {', '.join(f'{a} → {b}' for a, b in facts['becomes'].items())}")
        output.line(f"  carries: {', '.join(facts['carries']) or 'nothing more'}")
        for option, text in facts["options"].items() if name else ():
            output.line(f"  option {option}: {text}")


def _facts(label_format: Format) -> dict[str, Any]:
    """What a format can carry, as a document."""
    can = label_format.capabilities
    carries = {
        "polygons of several parts": can.parts and "polygon" in can.kinds,
        "holes": can.holes,
        "attributes" + ("" if can.attributes is None else f" ({', '.join(sorted(can.attributes))})"): (
            can.attributes is None or bool(can.attributes)
        ),
        "subsets": can.subsets != "none",
        "unlabelled told from empty": can.tells_unlabelled,
        "annotation ids": "id" in can.annotation_fields,
        "several annotators": "annotator" in can.annotation_fields,
        "tracks": "track" in can.annotation_fields,
        "crowds": "is_crowd" in can.annotation_fields,
        "scores": "score" in can.annotation_fields,
        "all categories in order": can.categories == "all",
    }
    return {
        "name": label_format.name,
        "title": label_format.title,
        "reads": can.reads,
        "writes": can.writes,
        "kinds": sorted(can.kinds),
        "becomes": dict(sorted(can.becomes.items())),
        "carries": [name for name, does in carries.items() if does],
        "looks_for": label_format.looks_for,
        "options": dict(label_format.options),
    }


def _find(snapshot: Snapshot, text: str) -> str:
    """The key that ``text`` names; one that was turned away is said to be."""
    try:
        return snapshot.find_key(text)
    except NotFoundError as error:
        keys = dict.fromkeys(snapshot.rejected.filter(pc.equal(snapshot.rejected["what"], "sample"))["key"].to_pylist())
        for key in keys:
            if key == text or key.endswith(f"/{text}"):
                raise NotFoundError(
                    f"{key} was turned away by {snapshot.info.name}", name=text, hint=f"See why: dsetkit why {key}."
                ) from error
        raise


def _short(place: str) -> str:
    """A path below the working folder, relative to it."""
    try:
        return str(Path(place).relative_to(Path.cwd()))
    except ValueError:
        return place


def _built(project: Project) -> list[Path]:
    places = [*(project.raw(name) for name in project.params.sources), project.cleaned, project.augmented]
    return [place for place in places if (place / "snapshot.json").is_file()]


def _show_snapshot(output: Output, snapshot: Snapshot) -> None:
    info, counts = snapshot.info, snapshot.info.counts
    output.heading(f"{info.name}  {plural(counts.samples, 'sample')}, {plural(counts.annotations, 'annotation')}")
    output.line(f"  fingerprint {info.fingerprint}")
    for parent in info.parents:
        output.line(f"  made from {parent.name} {parent.fingerprint[:12]}", "dim")
    for title, numbers in (("split", in_order(counts.per_split)), ("category", list(counts.per_category.items()))):
        if numbers:
            most = max(number for _, number in numbers)
            output.line()
            output.table(
                (title, "samples" if title == "split" else "annotations", ""),
                [(name, number, bar(number / most if most else 0)) for name, number in numbers],
                right=(1,),
            )
    if counts.per_reason:
        output.line()
        output.line(f"turned away: {turned_away(counts)}")
        rejected = snapshot.rejected
        rows = []
        for reason in sorted(counts.per_reason):
            of_reason = rejected.filter(pc.equal(rejected["reason"], reason))
            for what in ("sample", "annotation"):
                keys = of_reason.filter(pc.equal(of_reason["what"], what))["key"]
                if len(keys):
                    rows.append((plural(len(keys), what), reason, keys[0].as_py()))
        output.table(("", "reason", "for example"), rows)
    if counts.per_change:
        output.line()
        output.line("changed and kept:")
        output.table(("", ""), [(n, name) for name, n in sorted(counts.per_change.items())], right=(0,), header=False)
    statistics = info.channel_statistics
    if statistics is not None:
        mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (statistics.mean, statistics.std))
        output.line()
        output.line(f"normalise by x' = (x − mean) / std of {statistics.split}, in R, G, B from 0 to 1:")
        output.line(f"  mean {mean}")
        output.line(f"  std  {std}")
    if info.issues:
        output.line()
        output.line("issues:")
        output.issues(info.issues, limit=10)


def _show_sample(output: Output, sample: Sample) -> None:
    output.heading(sample.key)
    size = f"{sample.width_px}×{sample.height_px} px" if sample.width_px else "no picture"
    facts = [size, sample.media_type, sample.mode, f"digest {sample.digest[:12]}" if sample.digest else None]
    output.line(f"  {', '.join(fact for fact in facts if fact)}")
    output.line(f"  split {sample.split or 'none'}, labelled {sample.labelled}")
    if sample.annotations:
        output.table(
            ("id", "kind", "category", "x, y, w, h (px)", "issues"),
            [
                (
                    item.id,
                    item.kind,
                    item.category or item.text,
                    ", ".join(f"{value:g}" for value in item.bbox_xywh_px or ()),
                    ", ".join(finding.code for finding in item.issues),
                )
                for item in sample.annotations
            ],
        )


def _show_stage(output: Output, stage: StageStory) -> None:
    text = f"{stage.stage}: {stage.outcome}"
    if stage.reason:
        text += f", {stage.reason}"
    if stage.message:
        text += f" ({stage.message})"
    if stage.duplicate_of and stage.duplicate_of not in stage.message:
        text += f"; duplicate of {stage.duplicate_of}"
    if stage.outcome == "kept":
        text += f", {plural(stage.annotations, 'annotation')}, labelled {stage.labelled}"
        text += f", split {stage.split}" if stage.split else ""
    output.line(f"  {text}", {"rejected": "red", "kept": "green"}.get(stage.outcome, "dim"))
    for change in stage.changes:
        output.line(f"    {change}")
    for item in stage.rejected_annotations:
        output.line(
            f"    annotation {item['annotation']} ({item['category']}) turned away: "
            f"{item['reason']} ({item['message']})",
            "red",
        )
    if stage.duplicates:
        output.line(f"    stands for its duplicates {', '.join(stage.duplicates)}")
    if stage.variants:
        output.line(f"    variants: {', '.join(stage.variants)}")


def _write_picture(snapshot: Snapshot, sample: Sample, png: Path) -> None:
    rows = [item.to_row() for item in sample.annotations]
    drawn = draw_annotations(snapshot.image(sample.key), rows, snapshot.categories)
    write_atomic(png, encode(drawn, format="png", quality=100))


def _write_sheet(snapshot: Snapshot, png: Path) -> None:
    """Up to 24 samples drawn from the whole snapshot, always the same ones, each with its key."""
    cells, titles = [], []
    for sample in snapshot.take(min(24, len(snapshot)), seed=0):
        rows = [item.to_row() for item in sample.annotations]
        image = snapshot.image(sample.key)
        cells.append(draw_annotations(image, rows, snapshot.categories, width=1, max_side_px=_CELL_PX))
        titles.append(sample.key if sample.labelled != "no" else f"{sample.key} (not labelled)")
    if not cells:
        raise UsageError("the snapshot holds no sample to draw", hint="Choose another snapshot.")
    write_atomic(
        png, encode(contact_sheet(cells, columns=6, cell_px=_CELL_PX, titles=titles), format="png", quality=100)
    )


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (show, why, verify, formats):
        app.command()(command)
