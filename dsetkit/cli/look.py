"""``why`` and ``formats``."""

from __future__ import annotations

from typing import Any, get_args

import typer

from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.cli.words import plural
from dsetkit.formats import registry
from dsetkit.formats.base import Format
from dsetkit.formats.frames import FRAME_OPTION
from dsetkit.spec.annotation import Kind
from dsetkit.stages.project import Project
from dsetkit.stages.why import StageStory, trace


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


def formats(
    name: str | None = typer.Argument(None, help="One format, with its options."),
    as_json: bool = JSON,
) -> None:
    """List the label formats and what each can carry."""
    output = Output(as_json=as_json)
    chosen = [registry.get(item) for item in ([name] if name else registry.names())]
    if as_json:
        output.json([_facts(item) for item in chosen])
    elif name:
        _show_format(output, chosen[0])
    else:
        columns = len(_COLUMNS) if output.console.width >= _WIDE else 3
        output.table(_COLUMNS[:columns], [_line(item)[:columns] for item in chosen], whole=(0, 1))
        more = "" if columns == len(_COLUMNS) else f"; what each carries is shown from {_WIDE} columns on"
        output.line(f"Of one, its options and more: dsetkit formats NAME{more}", "dim")


_COLUMNS = (
    *("format", "r/w", "kinds", "holes", "parts", "attributes", "annotator", "split", "track", "score"),
    "unlabelled",
)
_WIDE = 110
"""Columns that the whole table needs."""
_SHORT = {
    "image_label": "label",
    "rotated_box": "rotated",
}
_MANY_KINDS = 7
"""A format of at least so many kinds is said to have all but some."""


def _line(label_format: Format) -> tuple[str, ...]:
    """A format as a row of the table: what it says, not what it turns into something else."""
    can = label_format.capabilities
    fields = can.annotation_fields
    polygons = "polygon" in can.kinds
    does = "r w" if can.reads and can.writes else "r" if can.reads else "w"
    attributes = "all" if can.attributes is None else ", ".join(sorted(can.attributes)) or "–"
    return (
        label_format.name,
        does,
        _kinds(can.kinds),
        _word(can.holes) if polygons else "",
        _word(can.parts) if polygons else "",
        attributes if len(attributes) <= 12 else f"{len(can.attributes or ())} names",
        _word("annotator" in fields),
        {"none": "–", "one": "one", "many": "many"}[can.subsets],
        _word("track" in fields),
        _word("score" in fields),
        _word(can.tells_unlabelled),
    )


def _kinds(kinds: frozenset[str]) -> str:
    every = [kind for kind in get_args(Kind) if kind in kinds]
    others = [kind for kind in get_args(Kind) if kind not in kinds]
    if len(every) >= _MANY_KINDS:
        return "all" if not others else f"all but {', '.join(_SHORT.get(kind, kind) for kind in others)}"
    return ", ".join(_SHORT.get(kind, kind) for kind in every) or "–"


def _word(does: bool) -> str:
    return "yes" if does else "–"


def _show_format(output: Output, label_format: Format) -> None:
    facts = _facts(label_format)
    does = " and ".join(word for word in ("reads", "writes") if facts[word])
    output.heading(f"{facts['name']}  {facts['title']}")
    output.line(f"  {does.replace('reads', 'read').replace('writes', 'written') or 'neither read nor written'}")
    output.line(f"  looks for: {facts['looks_for']}")
    output.line(f"  kinds: {', '.join(facts['kinds'])}")
    if facts["becomes"]:
        output.line(f"  written as another kind: {', '.join(f'{a} → {b}' for a, b in facts['becomes'].items())}")
    output.line(f"  carries: {', '.join(facts['carries']) or 'nothing more'}")
    if facts["writes"]:
        output.line(f"  names of pictures (--names): {_NAMING[facts['names']]}")
    for option, text in facts["options"].items():
        output.line(f"  option {option}: {text}")


_NAMING = {
    "free": "as you like, with folders",
    "flat": "the file's name, without folders",
    "fixed": "fixed by the format",
}


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
        "names": can.names,
        "looks_for": label_format.looks_for,
        "options": {**label_format.options, "frame": label_format.options.get("frame", FRAME_OPTION)},
    }


def _show_stage(output: Output, stage: StageStory) -> None:
    text = f"{stage.stage}: {stage.outcome}"
    if stage.reason:
        text += f", {stage.reason}"
    if stage.message:
        text += f" ({stage.message})"
    if stage.duplicate_of and stage.duplicate_of not in stage.message:
        text += f"; duplicate of {stage.duplicate_of}"
    if stage.outcome == "kept":
        if stage.labels_apart:
            text += f", labels kept apart ({', '.join(stage.labels_apart)})"
        else:
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


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (why, formats):
        app.command()(command)
