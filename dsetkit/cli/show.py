"""``show``: a snapshot or one sample of it, in words and as a picture with its labels drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import typer

import dsetkit
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON, REV
from dsetkit.cli.summary import labels_apart, show_summary
from dsetkit.cli.words import measured_text
from dsetkit.errors import DsetkitError, NotFoundError, SnapshotError, UsageError
from dsetkit.imaging.draw import contact_sheet, draw_annotations
from dsetkit.imaging.encode import encode
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.sample import Sample
from dsetkit.stages.project import Project
from dsetkit.storage.atomic import write_atomic

_CELL_PX = 300
_READABLE_PX = 360
"""The shorter side of a picture is brought to this at least, so that its labels can be read."""


def show(
    path: str = typer.Argument(help="A snapshot: a folder or any fsspec URL."),
    key: str | None = typer.Argument(None, help="One sample; the end of its key will do where it is unique."),
    png: Path | None = typer.Option(
        None, "--png", help="Write the picture with its labels drawn; without KEY a contact sheet."
    ),
    rev: str | None = REV,
    everything: bool = typer.Option(False, "--all", help="All categories, not only the largest."),
    as_json: bool = JSON,
) -> None:
    """Show what is in a snapshot, or one sample of it."""
    snapshot = _open(path) if rev is None else dsetkit.open(path, rev=rev)
    output = Output(as_json=as_json)
    if png is not None:
        _check_png(png, snapshot)
    if key is None:
        if png is not None:
            _write_sheet(snapshot, png)
        if as_json:
            output.json({**snapshot.info.model_dump(mode="json"), **_apart(snapshot)})
        else:
            show_summary(output, snapshot, all_categories=everything)
    else:
        sample = snapshot[_find(snapshot, key)]
        if png is not None:
            _write_picture(snapshot, sample, png)
        if as_json:
            own, apart = snapshot.own_key(sample.key), snapshot.labels_apart(sample.split)
            more = {"original_key": own} if own != sample.key else {"labels_apart": list(apart)} if apart else {}
            output.json({**sample.model_dump(mode="json", exclude_defaults=True), **more})
        else:
            _show_sample(output, sample, snapshot)
    if png is not None and not as_json:
        output.line()
        output.line(f"Wrote {png}")


def _open(path: str) -> Snapshot:
    """The snapshot; where there is none and the path is the key of a sample of this project, that is said."""
    try:
        return dsetkit.open(path)
    except (SnapshotError, NotFoundError) as error:
        place = _snapshot_of(path)
        if place is None:
            raise
        raise UsageError(
            f"{path} is a sample, not a snapshot", hint=f"Name its snapshot first: dsetkit show {place} {path}."
        ) from error


def _snapshot_of(key: str) -> str | None:
    """The last stage's snapshot of this project that has the sample; None where none has, or this is no project."""
    try:
        project = Project.find()
        raw = [project.raw(name) for name in project.params.sources]
    except DsetkitError:
        return None
    for place in (project.cleaned, project.augmented, *raw):
        try:
            dsetkit.open(place).find_key(key)
        except DsetkitError:
            continue
        return place.relative_to(project.root).as_posix() if project.root == Path.cwd() else str(place)
    return None


def _check_png(png: Path, snapshot: Snapshot) -> None:
    """Raises before anything is read or drawn where the picture could not be written, or should not be."""
    if png.is_dir():
        raise UsageError(f"{png} is a folder", hint=f"Name a file in it: --png {png / 'picture.png'}.")
    if png.suffix.lower() != ".png":
        kind = f"ends in {png.suffix}" if png.suffix else "has no ending"
        raise UsageError(f"--png writes a PNG file, and {png.name} {kind}", hint=f"Name it {png.with_suffix('.png')}.")
    if not png.parent.is_dir():
        raise NotFoundError(
            f"there is no folder {png.parent} to write {png.name} into",
            name=str(png.parent),
            hint=f"Make it first: mkdir -p {png.parent}.",
        )
    folder = snapshot.folder.local_path("snapshot.json")
    if folder is not None and Path(folder).resolve().parent in png.resolve().parents:
        raise UsageError(
            f"{png} lies in the snapshot, and nothing is ever written into one", hint="Name a file elsewhere."
        )


def _find(snapshot: Snapshot, text: str) -> str:
    """The key that ``text`` names; one that was turned away is said to be."""
    try:
        return snapshot.find_key(text)
    except NotFoundError as error:
        rejected, own = snapshot.read_rejected(("what", "key")), snapshot.rejected_keys()
        for shown in dict.fromkeys(rejected.filter(pc.equal(rejected["what"], "sample"))["key"].to_pylist()):
            key = own.get(shown, shown)
            if text in (key, shown) or key.endswith(f"/{text}") or shown.endswith(f"/{text}"):
                raise NotFoundError(
                    f"{key} was turned away by {snapshot.info.name}", name=text, hint=f"See why: dsetkit why {key}."
                ) from error
        raise


def _apart(snapshot: Snapshot) -> dict[str, Any]:
    """For ``--json``: how many samples' labels are kept apart by facets that are not read, and by which."""
    rows, facets = labels_apart(snapshot, snapshot.info.counts.per_split)
    return {"labels_apart": {"samples": rows, "facets": facets}} if facets else {}


def _show_sample(output: Output, sample: Sample, snapshot: Snapshot) -> None:
    own = snapshot.own_key(sample.key)
    output.heading(own)
    if own != sample.key:
        output.line(f"  called {sample.key} in the snapshot", "dim")
    size = f"{sample.width_px}×{sample.height_px} px" if sample.width_px else "no picture"
    facts = [size, sample.media_type, sample.mode, f"digest {sample.digest[:12]}" if sample.digest else None]
    output.line(f"  {', '.join(fact for fact in facts if fact)}")
    measured = [("sharpness", sample.sharpness), ("brightness", sample.brightness), ("contrast", sample.contrast)]
    told = [f"{name} {measured_text(value)}" for name, value in measured if value is not None]
    if told:
        output.line(f"  {', '.join(told)}")
    apart = snapshot.labels_apart(sample.split)
    labels = f"labels kept apart ({', '.join(apart)})" if apart else f"labelled {sample.labelled}"
    output.line(f"  split {sample.split or 'none'}, {labels}")
    if sample.annotations:
        output.table(
            ("id", "kind", "category", "x, y, w, h (px)", "issues"),
            [
                (
                    item.id,
                    item.kind,
                    ", ".join(item.categories) or item.category or item.text,
                    "not in this frame"
                    if item.track and item.track.outside
                    else ", ".join(f"{value:g}" for value in item.bbox_xywh_px or ()),
                    ", ".join(finding.code for finding in item.issues),
                )
                for item in sample.annotations
            ],
        )


def _write_picture(snapshot: Snapshot, sample: Sample, png: Path) -> None:
    rows = [item.to_row() for item in sample.annotations]
    image = snapshot.image(sample.key)
    width = max(2, min(image.size) // _READABLE_PX)  # a huge picture is looked at brought down
    drawn = draw_annotations(image, rows, snapshot.categories, width=width, min_side_px=_READABLE_PX)
    write_atomic(png, encode(drawn, format="png", quality=100))


def _write_sheet(snapshot: Snapshot, png: Path) -> None:
    """Up to 24 samples drawn from the whole snapshot, always the same ones, each with its key."""
    cells, titles = [], []
    for sample in snapshot.take(min(24, len(snapshot)), seed=0):
        rows = [item.to_row() for item in sample.annotations]
        image = snapshot.image(sample.key)
        cells.append(draw_annotations(image, rows, snapshot.categories, width=1, max_side_px=_CELL_PX))
        key, is_apart = snapshot.own_key(sample.key), snapshot.labels_apart(sample.split)
        note = " (labels kept apart)" if is_apart else " (not labelled)" if sample.labelled == "no" else ""
        titles.append(f"{key}{note}")
    if not cells:
        raise UsageError("the snapshot holds no sample to draw", hint="Choose another snapshot.")
    write_atomic(
        png, encode(contact_sheet(cells, columns=6, cell_px=_CELL_PX, titles=titles), format="png", quality=100)
    )


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    app.command()(show)
