"""CVAT's files into rows: images as they are listed, frames of videos by the tracks that are on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.cvat.filing import Filing, Image, Store
from dsetkit.formats.cvat.meta import Meta, Task, categories_of, read_meta, subset_name, whole
from dsetkit.formats.cvat.shapes import ORIGINS, SHAPES, ShapeError, read_shape
from dsetkit.formats.cvat.tracks import Filler, Frames, Shape, TooManyError
from dsetkit.formats.cvat.xml import elements
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import stem_of, subset_of_folders
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.xml_text import shown
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Issue, Severity

_MAX_SIDE_PX = 2**31 - 1


@dataclass
class Track:
    """One ``<track>``, its shapes by frame."""

    id: str
    task: Task
    subset: str | None
    place: str
    unstated: Sequence[str] = ()
    shapes: dict[int, Shape] = field(default_factory=dict)


class CvatReader:
    """Takes files one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, *, empty_is_labelled: bool, frame_name: str) -> None:
        self.pictures = pictures
        self.store = Store(empty_is_labelled)
        self.frame_name = frame_name
        self.found: list[Issue] = []
        self.metas: list[Meta] = []
        self.used: dict[str, None] = {}
        self.info: dict[str, str] = {}

    def add(self, path: str, data: bytes, *, alone: bool, is_only: bool) -> None:
        """Read one file; ``alone`` if it is the only one in its folder, ``is_only`` if there is no other at all.

        Raises ``XmlRefusedError``.
        """
        FileReader(self, path, alone, is_only).read(data)

    def finish(self) -> LabelSet:
        """All that was read."""
        rows = []
        for key, row in self.store.rows.items():
            for number, annotation in enumerate(row["annotations"]):
                annotation["id"] = str(number)
            if key in self.store.partial:
                row["labelled"] = "partial"
            rows.append({name: value for name, value in row.items() if value not in ([], "no")})
        return LabelSet.from_rows(rows, categories_of(self.metas, self.used), self.info, issues=self.found)


class FileReader:
    """Reads one file into a reader's rows."""

    def __init__(self, reader: CvatReader, path: str, alone: bool, is_only: bool) -> None:
        self.reader = reader
        self.path = path
        self.meta = Meta()
        # Its own, so that a file that turns out broken leaves nothing behind.
        self.issues = IssueList()
        self.used: dict[str, None] = {}
        self.filing = Filing(reader.pictures, reader.store, self.issues, path, alone=alone, is_only=is_only)
        self.names: dict[str, dict[str, None]] = {}
        self.undefined: dict[str, str] = {}

    def read(self, data: bytes) -> None:
        """Everything in it."""
        images: list[Image] = []
        tracks: list[Track] = []
        for element in elements(data):
            if element.tag == "meta":
                self.meta = read_meta(element)
            elif element.tag == "image":
                images.append(self._image(element))
            else:
                tracks.append(self._track(element))
        images += self._frames(tracks, has_images=bool(images))
        self._name_elements()
        reader = self.reader
        reader.metas.append(self.meta)
        reader.info = {**self.meta.info, **reader.info}
        self._report_undefined()
        reader.used.update(self.used)
        self.filing.file(images)
        reader.found += self.issues.all()

    def _note(self, code: str, message: str, place: str | None, hint: str, severity: Severity = "error") -> None:
        self.issues.add(code, message, severity=severity, file=self.path, place=place, hint=hint)

    def _image(self, element: Any) -> Image:
        given: Mapping[str, str] = element.attrib
        name = given.get("name", "")
        task = self.meta.task_of(given.get("task_id"))
        image = Image(
            name=name,
            place=_place(element),
            number=given.get("id"),
            subset=self._subset(given.get("subset"), task),
            size=_size(given.get("width"), given.get("height")),
            labelled=given.get("labelled") == "yes",
        )
        for child in element:
            size = image.size or (self._picture_size(image) if child.tag == "mask" else None)
            row = self._shape(child, child.get("label"), size)
            if row is None:
                image.complete = False
            else:
                image.annotations.append(row)
        return image

    def _shape(self, element: Any, label: str | None, size: tuple[int, int] | None) -> Row | None:
        try:
            row = read_shape(element, self.meta, label, size)
        except ShapeError as error:
            hint = "Correct it in the file, or in CVAT." if element.tag in SHAPES else "Such a shape cannot be kept."
            self._note(error.code, str(error), _place(element), hint)
            return None
        if label:
            self.used.setdefault(label)
            if label not in self.meta.labels:
                self.undefined.setdefault(label, _place(element))
            if row["kind"] == "keypoints":
                self.names.setdefault(label, {}).update(dict.fromkeys(point["name"] for point in row["keypoints"]))
        return row

    def _picture_size(self, image: Image) -> tuple[int, int] | None:
        found = self.filing.find(image)
        return None if found is None else self.reader.pictures.size(found)

    def _track(self, element: Any) -> Track:
        given: Mapping[str, str] = element.attrib
        task = self.meta.task_of(given.get("task_id"))
        track = Track(given.get("id", "")[:1000], task, self._subset(given.get("subset"), task), _place(element))
        track.unstated = given.get("unstated", "").split()
        size = None if task.width_px is None or task.height_px is None else (task.width_px, task.height_px)
        for child in element:
            frame = whole(child.get("frame"))
            if frame is None:
                message = f"its frame is {shown(child.get('frame') or '')!r}, no number from 0; it was left out"
                self._note("frame-unreadable", message, _place(child), "Correct it in the file.")
                continue
            unstated = child.get("unstated", "").split()
            if "occluded" in unstated:
                child.attrib.pop("occluded", None)
            if child.tag == "mask" and size is None:
                size_here = self._picture_size(self._frame(task, track.subset, track.place, frame))
            else:
                size_here = size
            row = self._shape(child, given.get("label"), size_here)
            if row is None:
                continue
            if frame in track.shapes:
                message = f"the track {track.id} is at frame {frame} already; the first counts"
                self._note("frame-twice", message, _place(child), "Take one away.", "warning")
                continue
            row = _of_track(row, given)
            # CVAT says of a skeleton's elements alone that they are outside.
            hidden = row["kind"] == "keypoints" and all(point.get("visibility") == 0 for point in row["keypoints"])
            outside = child.get("outside") == "1" or (hidden and "outside" not in child.attrib)
            is_stated = "shape" not in unstated
            track.shapes[frame] = Shape(frame, row, outside, child.get("keyframe", "1") != "0", is_stated)
        return track

    def _subset(self, given: str | None, task: Task) -> str | None:
        found = subset_name(given) if given else task.subset
        if found is None and given is None:
            stem = stem_of(self.path)
            found = stem if subset_of_folders(f"{stem}/x") is not None else None
        return found

    def _frames(self, tracks: Sequence[Track], *, has_images: bool) -> Iterator[Image]:
        """The frames that tracks are on, of each task by number, and those that are known to show nothing."""
        frames: dict[tuple[str | None, int], dict[int, Image]] = {}
        filler = Filler()
        videos = [] if has_images else [task for task in self.meta.tasks.values() if task.is_video]
        pictured = self._picture_frames() if tracks or videos else set()
        known = sorted(pictured.union(*(_stated(track) for track in tracks)))
        for track in tracks:
            task = track.task
            there = Frames(task.start, task.stop, task.step, known, only_known=bool(pictured))
            images = frames.setdefault((track.subset, id(track.task)), {})
            shapes = sorted(track.shapes.values(), key=lambda shape: shape.frame)
            try:
                for frame, row in filler.fill(track.id, shapes, there, holds="held" not in track.unstated):
                    image = images.get(frame)
                    if image is None:
                        image = images[frame] = self._frame(task, track.subset, track.place, frame)
                    if "track" in track.unstated:
                        row = {name: value for name, value in row.items() if name != "track"}
                    image.annotations.append(row)
            except TooManyError:
                message = "its tracks leave more frames to be filled in than can be; the rest was left out"
                hint = "Export every frame of its tracks, as CVAT does, or split the file."
                self._note("track-too-long", message, track.place, hint)
                for image in images.values():
                    image.complete = False
                break
        for first, last in filler.skipped:
            message = (
                f"between the frames {first} and {last} a polygon or polyline changes, which only CVAT can fill in"
            )
            hint = "Export every frame of its tracks, as CVAT does."
            self._note("track-not-filled", message, None, hint, "warning")
            for images in frames.values():
                for number, image in images.items():
                    image.complete = image.complete and not first < number < last
        for task in videos:
            subset = self._subset(None, task)
            self._empty_frames(task, subset, frames.setdefault((subset, id(task)), {}), pictured)
        for images in frames.values():
            yield from images.values()

    def _empty_frames(self, task: Task, subset: str | None, images: dict[int, Image], pictured: set[int]) -> None:
        """Adds the frames of a task without a shape: those with a picture, and those that were labelled all the same.

        Of several tasks in one file nothing says whose a picture is.
        """
        stop = task.stop if task.stop is not None and len(self.meta.tasks) == 1 else -1
        there = {frame for frame in pictured if task.start <= frame <= stop and not (frame - task.start) % task.step}
        for frame in sorted(there.union(task.labelled) - images.keys()):
            images[frame] = self._frame(task, subset, None, frame)
        for frame in task.labelled:
            images[frame].labelled = True

    def _frame(self, task: Task, subset: str | None, place: str | None, frame: int) -> Image:
        size = None if task.width_px is None or task.height_px is None else (task.width_px, task.height_px)
        image = Image(self.reader.frame_name % frame, place or "meta", subset=subset, size=size)
        image.video, image.frame = task.video, frame
        return image

    def _picture_frames(self) -> set[int]:
        """The numbers of frames that have a picture by their name, below the file's folder."""
        before, after = _around_number(self.reader.frame_name)
        found = set()
        for path in self.reader.pictures.paths:
            if not path.startswith(self.filing.scope):
                continue
            name = stem_of(path)
            digits = name[len(before) : len(name) - len(after)]
            number = whole(digits) if name.startswith(before) and name.endswith(after) else None
            if number is not None and stem_of(self.reader.frame_name % number) == name:
                found.add(number)
        return found

    def _name_elements(self) -> None:
        """Adds names of a skeleton's elements that only shapes give to their label."""
        for label, names in self.names.items():
            known = self.meta.labels.get(label)
            if known is not None:
                known.elements += [name for name in names if name not in known.elements]

    def _report_undefined(self) -> None:
        if not self.meta.labels:
            return
        for label, place in self.undefined.items():
            message = f"the label {shown(label)!r} is not defined in the meta; it became a category all the same"
            self._note("category-undefined", message, place, "Define it, or correct the name.", "warning")


def _of_track(row: Row, given: Mapping[str, str]) -> Row:
    """A row with what its track says of all its shapes: who made it, and its group."""
    source, group = given.get("source", ""), given.get("group_id", "0").strip()
    out = dict(row)
    if source in ORIGINS:
        out["origin"] = ORIGINS[source]
    elif source:
        extras = out.get("extras", {}).get("cvat", {})
        out["extras"] = {"cvat": {**extras, "source": source[:1000]}}
    if group not in ("", "0"):
        out["instance_group"] = group[:1000]
    return out


def _stated(track: Track) -> set[int]:
    return {frame for frame, shape in track.shapes.items() if shape.is_stated}


def _size(width: str | None, height: str | None) -> tuple[int, int] | None:
    sides = (whole(width, _MAX_SIDE_PX), whole(height, _MAX_SIDE_PX))
    return (sides[0], sides[1]) if sides[0] and sides[1] else None


def _place(element: Any) -> str:
    return f"line {element.sourceline}"


def _around_number(pattern: str) -> tuple[str, str]:
    """What stands before and after the number in the stem of a frame's name."""
    stem = stem_of(pattern)
    before, _, rest = stem.partition("%")
    return before, rest.partition("d")[2]
