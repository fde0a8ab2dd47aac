"""Samples as frames of videos and annotations as shapes of tracks, settled before the first is written.

Samples of one video, split and size are one task of CVAT. CVAT's frames are every ``step``-th from the first to the
last, so ``step`` is the largest by which all of a video's frames can be reached. What one ``<track>`` can hold is a
lane: one label, kind of shape, source and group, one shape a frame; of masks, which CVAT has no tracks of, one at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import split_of
from dsetkit.formats.cvat.labels import Definitions, label_elements
from dsetkit.formats.cvat.lanes import Lane, Size, Video, is_keyframe, video_text
from dsetkit.formats.cvat.meta import MAX_FRAME, Meta, read_meta
from dsetkit.formats.cvat.write import NO_SPLIT, carry_size, fitted, numbered, render
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import stem_of
from dsetkit.formats.places import Places, safe_part
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_FRAME_NAME = "frame_%06d"
_PICTURE = ".png"
_NAMES = FlatNames(())


class VideoPlan:
    """Which sample is which frame, and which annotation belongs to which lane. ``lane_of`` finds an annotation's."""

    def __init__(
        self, export: Export, categories: Sequence[Category], capabilities: Capabilities, ledger: Ledger
    ) -> None:
        self.capabilities = capabilities
        self.definitions = Definitions(categories)
        self.groups: Mapping[str, str] = _Anything()
        self.meta = Meta()
        self.info = export.info
        self._videos: dict[tuple[str | None, str | None, Size], Video] = {}
        self._lanes: dict[tuple[Any, ...], Lane] = {}
        self.places: dict[str, tuple[Video, int]] = {}
        seen: dict[str, list[tuple[tuple[Any, ...], bool, bool]]] = {}
        tracks: dict[str, None] = {}
        groups: dict[str, None] = {}
        for row in export.rows():
            out = self.fitted(row, Ledger(ledger.format_name))
            video = self._video_of(row, carry_size(out))
            seen[row["key"]] = []
            for annotation in out.get("annotations", ()):
                self.definitions.add(annotation)
                groups.update({annotation["instance_group"]: None} if annotation.get("instance_group") else {})
                tracks.update({annotation["track"]["id"]: None} if annotation.get("track") else {})
            for place, annotation, _, _ in self.shapes(out, Ledger(ledger.format_name)):
                said = annotation.get("track") or {}
                seen[row["key"]].append((place, bool(said.get("outside")), is_keyframe(said)))
                self._compare(video, place, annotation)
        self.groups = numbered(groups)
        self.numbers = numbered(tracks, 0)
        """Track → its number."""
        self.videos = list(self._videos.values()) or [Video(None, None, None)]
        self._settle(seen)
        self.labels = label_elements(self.definitions)
        self.meta = read_meta(self.labels)
        self.parts = Counter((lane.video, lane.track) for lane in self._lanes.values())
        """Video and track → how many ``<track>`` it takes."""
        for category in categories:
            self.definitions.enter_losses(category, self.meta, ledger)

    def fitted(self, row: Row, ledger: Ledger) -> Row:
        """The row as far as a video of CVAT goes."""
        tags = [one for one in row.get("annotations", ()) if one["kind"] == "image_label"]
        for tag in tags:
            message = "a video of cvat has no labels of whole pictures; such annotations are left out"
            ledger.add("kind-dropped", message, f"{row['key']}#{tag['id']}")
        if not tags:
            return fitted(row, self.capabilities, ledger)
        rest = [one for one in row["annotations"] if one["kind"] != "image_label"]
        labelled = "yes" if row.get("labelled") == "partial" and not rest else row.get("labelled", "no")
        return fitted({**row, "annotations": rest, "labelled": labelled}, self.capabilities, ledger)

    def shapes(self, out: Row, ledger: Ledger) -> Iterator[tuple[tuple[Any, ...], Row, Any, Row]]:
        """Place of its lane, annotation, element and what is read back, of each annotation that can be written."""
        key = out["key"]
        size = (out["width_px"], out["height_px"]) if "width_px" in out else None
        times: Counter[tuple[Any, ...]] = Counter()
        for index, annotation in enumerate(out.get("annotations", ())):
            track = annotation.get("track") or {}
            where = f"{key}#{annotation['id']}"
            made = render(
                *(annotation, self.definitions, self.meta, self.groups, size, ledger, where),
                hidden=bool(track.get("outside")),
            )
            if made is None:
                continue
            element, back = made
            source, group = element.get("source"), annotation.get("instance_group")
            alike = (track.get("id"), annotation["category"], annotation["kind"], source, group)
            own = (key, index) if not track or annotation["kind"] == "mask" else (times[alike],)
            times[alike] += 1
            yield (*alike, *own), annotation, element, back

    def lane_of(self, key: str, place: tuple[Any, ...]) -> Lane:
        """The lane of an annotation of the sample, by the place that ``shapes`` gives."""
        return self._lanes[(self.places[key][0], *place)]

    def picture(self, row: Row) -> str:
        """Where a sample's picture lies."""
        video, frame = self.places[row["key"]]
        stem, name = _NAMES.both(row["key"], row.get("media_type"))
        return f"{video.folder}images/{_FRAME_NAME % frame}{name[len(stem) :] or _PICTURE}"

    def _video_of(self, row: Row, size: Size) -> Video:
        provenance = row.get("provenance") or {}
        place = (provenance.get("video"), split_of(row), size)
        video = self._videos.setdefault(place, Video(*place))
        video.given[row["key"]] = provenance.get("frame")
        return video

    def _compare(self, video: Video, place: tuple[Any, ...], annotation: Row) -> None:
        """Notes which attributes change in a lane. Lanes are made here, in the order in which they are written."""
        given = annotation.get("attributes", {})
        lane = self._lanes.get((video, *place))
        if lane is None:
            track, category, _, source, group, *_ = place
            self._lanes[(video, *place)] = Lane(len(self._lanes), video, track, category, source, group, given)
            return
        lane.holds = lane.holds and lane.attributes.keys() == given.keys()
        for name, value in given.items():
            if lane.attributes.get(name, value) != value:
                self.definitions.vary(annotation["category"], name)

    def _settle(self, seen: Mapping[str, Sequence[tuple[tuple[Any, ...], bool, bool]]]) -> None:
        folders = Places()
        has_splits = any(video.split is not None for video in self.videos)
        for video in self.videos:
            if len(self.videos) > 1:
                above = f"{safe_part(video.split or NO_SPLIT)}/" if has_splits else ""
                video.folder = folders.take(above + safe_part(stem_of(video_text(video.name)) or "video")) + "/"
            self.places.update({key: (video, frame) for key, frame in video.number_frames().items()})
        fresh = max(map(int, self.numbers.values()), default=-1)
        for lane in self._lanes.values():
            fresh += lane.track is None
            lane.id = str(fresh) if lane.track is None else self.numbers[lane.track]
        for key, shapes in seen.items():
            for place, outside, keyframe in shapes:
                self.lane_of(key, place).states[self.places[key][1]] = (outside, keyframe)
        for lane in self._lanes.values():
            lane.settle()


def has_videos(export: Export) -> bool:
    """Whether there are tracks, and each sample is a frame of its own of its video and split."""
    seen: set[tuple[str | None, str | None, int]] = set()
    has_tracks = False
    for row in export.rows():
        provenance = row.get("provenance") or {}
        frame = provenance.get("frame")
        if frame is None or not 0 <= frame <= MAX_FRAME:
            return False
        place = (provenance.get("video"), split_of(row), frame)
        if place in seen:
            return False
        seen.add(place)
        has_tracks = has_tracks or any(one.get("track") for one in row.get("annotations", ()))
    return has_tracks


class _Anything(dict[str, str]):
    """A number for every name: what it is does not matter yet."""

    def __missing__(self, name: str) -> str:
        return "1"
