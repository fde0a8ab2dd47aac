"""Tracks of CVAT for video: the frames between those that are listed, as CVAT itself works them out.

Recent exports list every frame of a track, those between keyframes with ``keyframe="0"``; of older and other files
only keyframes. Between two listed frames CVAT puts: boxes and ellipses on a straight line (every number, ``rotation``
the short way round), single points and elements of skeletons too, and holds several points where they were first.
Polygons and polylines of as many points each are not on a line there but matched by length, which is not done here:
such frames are left out, with an issue. From an ``outside`` shape on there is nothing, up to the next listed one.
After its last shape a track goes on, unchanged, to the last frame of its task. Attributes that a shape does not list
are those of the shape before.

CVAT has no annotation without a track in a video, and a track that ends has an ``outside`` shape behind its last one.
What dsetkit writes for that alone is marked with ``unstated``, which CVAT passes over, and counts for nothing when it
is read again: ``track`` of a track (its shapes are of none), ``shape`` of a shape, ``occluded`` of a shape's flag, and
``held`` of a track (its shapes list all of their attributes).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

MAX_MADE = 2_000_000
"""How many annotations between keyframes are made of one file at most."""


@dataclass
class Shape:
    """One listed shape of a track."""

    frame: int
    row: Row
    outside: bool
    keyframe: bool
    is_stated: bool = True
    """False: it only ends what was before."""


@dataclass
class Frames:
    """The frames of a task that there are. ``known`` are those with a picture or a listed shape, ascending.

    Where ``only_known`` is false (there are no pictures), every ``step``-th from ``start`` counts.
    """

    start: int
    stop: int | None
    step: int
    known: Sequence[int]
    only_known: bool

    def between(self, after: int, before: int) -> Sequence[int]:
        """The frames after one and before another."""
        if self.only_known:
            return self.known[bisect_right(self.known, after) : bisect_left(self.known, before)]
        first = after + self.step - (after - self.start) % self.step
        return range(first, max(first, before), self.step)


class TooManyError(ValueError):
    """Filling the frames would make more annotations than ``MAX_MADE``."""


class Filler:
    """Fills the frames between listed ones; one for a file, so that all of it is bounded."""

    def __init__(self) -> None:
        self.made = 0
        self.skipped: list[tuple[int, int]] = []
        """First and last listed frame of stretches that were left out because of their kind."""

    def fill(
        self, track: str, shapes: Sequence[Shape], frames: Frames, *, holds: bool = True
    ) -> Iterator[tuple[int, Row]]:
        """Frame and row of each shape, listed or made, ascending; rows have no ids yet.

        ``shapes`` are of different frames, ascending; with ``holds``, attributes hold until they are said anew. Raises
        ``TooManyError``.
        """
        before: Shape | None = None
        attributes: dict[str, Any] = {}
        for shape in shapes:
            own = shape.row.get("attributes", {}) if shape.is_stated else {}
            attributes = {**attributes, **own} if holds else own
            row = shape.row if len(attributes) == len(own) else {**shape.row, "attributes": dict(attributes)}
            shape = replace(shape, row=row)
            if before is not None and not before.outside:
                yield from self._between(track, before, shape, frames)
            if shape.is_stated:
                yield shape.frame, with_track(row, track, keyframe=shape.keyframe, outside=shape.outside)
            before = shape
        if before is not None and not before.outside and frames.stop is not None:
            for frame in self._take(frames.between(before.frame, frames.stop + 1)):
                yield frame, with_track(before.row, track, keyframe=False, outside=False)

    def _between(self, track: str, first: Shape, second: Shape, frames: Frames) -> Iterator[tuple[int, Row]]:
        gap = frames.between(first.frame, second.frame)
        if not len(gap):
            return
        kind = first.row["kind"]
        if kind != second.row["kind"] or (kind in ("polygon", "polyline", "mask") and not _same(first.row, second.row)):
            self.skipped.append((first.frame, second.frame))
            return
        for frame in self._take(gap):
            share = (frame - first.frame) / (second.frame - first.frame)
            row = interpolate(first.row, second.row, share)
            yield frame, with_track(row, track, keyframe=False, outside=False)

    def _take(self, gap: Sequence[int]) -> Sequence[int]:
        self.made += len(gap)
        if self.made > MAX_MADE:
            raise TooManyError
        return gap


def with_track(row: Row, track: str, *, keyframe: bool, outside: bool) -> Row:
    """The row as one frame of a track; a frame that is no keyframe was interpolated."""
    said: Row = {"id": track}
    if not keyframe:
        said |= {"keyframe": False, "interpolated": True}
    if outside:
        said["outside"] = True
    return {**row, "track": said}


def interpolate(first: Row, second: Row, share: float) -> Row:
    """The shape between two of one kind, ``share`` of the way (0 to 1) from the first; all else is the first's."""
    kind = first["kind"]
    if kind == "box":
        x0, y0, w0, h0 = first["bbox_xywh_px"]
        x1, y1, w1, h1 = second["bbox_xywh_px"]
        pairs = ((x0, x1), (y0, y1), (w0, w1), (h0, h1))
        return {**first, "bbox_xywh_px": [_mix(a, b, share) for a, b in pairs]}
    if kind in ("rotated_box", "ellipse"):
        a, b = first[kind], second[kind]
        shape = {name: _mix(a[name], b[name], share) for name in a if name != "angle"}
        angle = _turn(a.get("angle", 0.0), b.get("angle", 0.0), share)
        if "angle" in a or angle:
            shape["angle"] = angle
        return _enclosed({**first, kind: shape})
    if kind == "points" and len(first["points"]) == len(second["points"]) == 2:
        flat = [_mix(a, b, share) for a, b in zip(first["points"], second["points"], strict=True)]
        return _enclosed({**first, "points": flat})
    if kind == "keypoints":
        ends = {point["name"]: point for point in second["keypoints"]}
        points = [_between_points(point, ends.get(point["name"], point), share) for point in first["keypoints"]]
        return _enclosed({**first, "keypoints": points})
    return first  # several points are held; polygons, polylines and masks come here only where both are the same


def _between_points(first: Row, second: Row, share: float) -> Row:
    if first.get("visibility") == 0:
        return first
    return {**first, "x": _mix(first["x"], second["x"], share), "y": _mix(first["y"], second["y"], share)}


def _mix(first: float, second: float, share: float) -> float:
    return first + (second - first) * share


def _turn(first: float, second: float, share: float) -> float:
    """Degrees from 0 up to 360, the short way round from one angle to another."""
    apart = (second - first + 180.0) % 360.0 - 180.0
    return (first + apart * share) % 360.0


def _same(first: Row, second: Row) -> bool:
    return all(first.get(name) == second.get(name) for name in ("polygons", "polyline", "mask"))


def _enclosed(row: Row) -> Row:
    box = enclosure(row)
    return {**row, "bbox_xywh_px": list(box)} if box is not None else row
