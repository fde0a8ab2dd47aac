"""Rows into CVAT for video 1.1: ``annotations.xml`` of tracks, and frames in ``images/frame_000000.png``, ....

Several videos are written as exports of their own, each in a folder of its own, as CVAT has a video in each task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from lxml import etree

from dsetkit.formats.base import Export
from dsetkit.formats.carry import split_of, withdraw_labelled
from dsetkit.formats.cvat.elements import hide_elements
from dsetkit.formats.cvat.lanes import Lane, Video, video_text
from dsetkit.formats.cvat.tracks import with_track
from dsetkit.formats.cvat.video import VideoPlan
from dsetkit.formats.cvat.write import (
    carry_size,
    carry_split,
    enter_losses,
    fill_texts,
    renumber,
    text_of_element,
)
from dsetkit.formats.loss import Ledger
from dsetkit.formats.voc.write import category_name, clean_text
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink

_OF_TRACK = ("label", "source", "group_id")


def carry_frame(row: Row, plan: VideoPlan, ledger: Ledger) -> tuple[Row, list[tuple[Lane, Any]]]:
    """The row as it will be read back, and its shapes, each with the lane that it is of."""
    key = row["key"]
    frame = plan.places[key][1]
    out = plan.fitted(row, ledger)
    carry_split(out, split_of(row), key, ledger)
    carry_size(out)
    _carry_provenance(out, row, frame, ledger)
    shapes: list[tuple[Lane, Any]] = []
    backs: list[tuple[Lane, Row, Row]] = []
    for place, annotation, element, back in plan.shapes(out, ledger):
        where = f"{key}#{annotation['id']}"
        lane = plan.lane_of(key, place)
        enter_losses(annotation, back, ledger, where)
        backs.append((lane, annotation, _carry_track(annotation, back, lane, frame, plan, ledger, where)))
        shapes.append((lane, _tracked(element, frame, *lane.states[frame])))
    backs.sort(key=lambda item: item[0].order)  # as their tracks stand in the file
    kept = [renumber(given, back, number, ledger, key) for number, (_, given, back) in enumerate(backs)]
    out.pop("annotations", None)
    if kept:
        out["annotations"] = kept
    out["key"] = plan.picture(row)
    withdraw_labelled(row, out, ledger)
    return out, shapes


def _carry_provenance(out: Row, row: Row, frame: int, ledger: Ledger) -> None:
    given = row.get("provenance") or {}
    if given.get("frame") is None:
        message = "samples without the number of their frame are numbered in key order"
        ledger.add("frame-made", message, row["key"], severity="info")
    elif given["frame"] != frame:
        message = "of samples that name the same frame of a video the first keeps it; the others are numbered anew"
        ledger.add("frame-renumbered", message, row["key"])
    out["provenance"] = {"frame": frame}
    said = video_text(given.get("video"))
    if said:
        out["provenance"]["video"] = said
    if said != (given.get("video") or ""):
        message = "a video is called by plain text of at most 1,000 characters, without space around it"
        ledger.add("video-renamed", message, row["key"], severity="info")


def _carry_track(
    annotation: Row, back: Row, lane: Lane, frame: int, plan: VideoPlan, ledger: Ledger, where: str
) -> Row:
    track = annotation.get("track")
    if track is None:
        message = "cvat has no annotation without a track in a video; each becomes a track of one frame"
        ledger.add("track-made", message, where, severity="info")
        return back
    outside, keyframe = lane.states[frame]
    out = with_track(back, lane.id, keyframe=keyframe, outside=outside)
    if lane.id != track["id"]:
        message = "tracks are numbers in CVAT; those that are none are numbered"
        ledger.add("track-renumbered", message, where, severity="info")
    if plan.parts[lane.video, lane.track] > 1:
        message = (
            "a track of CVAT has one label, one kind of shape (but no masks), one source, and one shape a frame; what "
            "is more becomes tracks of the same number"
        )
        ledger.add("track-split", message, where, severity="info")
    said = (track.get("keyframe", True), track.get("interpolated", False))
    if said != (out["track"].get("keyframe", True), out["track"].get("interpolated", False)):
        message = "in CVAT what is no keyframe is interpolated; a track begins, goes on and ends with a keyframe"
        ledger.add("track-keyframe", message, where, severity="info")
    if outside and annotation["kind"] == "keypoints" and _seen(annotation) != _seen(back):
        message = "keypoints of an object that is outside are not visible in CVAT"
        ledger.add("keypoint-visibility", message, where, severity="info")
    return out


def _seen(annotation: Row) -> list[int]:
    return [point.get("visibility", 2) for point in annotation["keypoints"]]


def _tracked(element: Any, frame: int, outside: bool, keyframe: bool) -> Any:
    """The element of a shape as it stands in a track."""
    given = {name: value for name, value in element.attrib.items() if name not in _OF_TRACK}
    element.attrib.clear()
    element.set("frame", str(frame))
    element.set("keyframe", str(int(keyframe)))
    unstated = None
    if element.tag != "skeleton":
        element.set("outside", str(int(outside)))
        unstated = None if "occluded" in given else "occluded"
        element.set("occluded", given.pop("occluded", "0"))
    else:
        for item in element.iterchildren("points"):
            item.set("keyframe", str(int(keyframe)))
        # CVAT says it of the elements alone; said of the skeleton, too, none can be hidden and the object be there.
        if outside or all(item.get("outside") == "1" for item in element.iterchildren("points")):
            element.set("outside", str(int(outside)))
    for name, value in given.items():
        element.set(name, value)
    if unstated is not None:
        element.set("unstated", unstated)
    return element


def _end(element: Any, frame: int) -> Any:
    """The shape that ends a track behind another one."""
    made = deepcopy(element)
    made.set("frame", str(frame))
    made.set("keyframe", "1")
    made.set("outside", "1")
    made.set("unstated", "shape")
    if made.tag == "skeleton":
        hide_elements(made)
        for item in made.iterchildren("points"):
            item.set("keyframe", "1")
    return made


def write_video(export: Export, sink: Sink, plan: VideoPlan, ledger: Ledger) -> None:
    """Pictures and an ``annotations.xml`` of each video; losses are entered, and what is written counted."""
    shapes: dict[Lane, list[tuple[int, str]]] = {}
    labelled: dict[Video, list[int]] = {}
    for row in export.rows():
        ledger.samples += 1
        ledger.annotations += len(row.get("annotations", ()))
        video, frame = plan.places[row["key"]]
        carried, made = carry_frame(row, plan, ledger)
        picture = export.picture(row)
        if picture is not None:
            sink.write(carried["key"], picture)
        if carried.get("labelled") == "yes" and not carried.get("annotations"):
            labelled.setdefault(video, []).append(frame)
        for lane, element in made:
            texts = shapes.setdefault(lane, [])
            if frame in lane.ends:
                texts.append((frame + video.step, text_of_element(_end(element, frame + video.step), 2)))
            texts.append((frame, text_of_element(element, 2)))
    for number, video in enumerate(plan.videos, 1):
        lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
        lines.append(text_of_element(_meta(video, number, plan, sorted(labelled.get(video, ()))), 1))
        for lane in sorted((lane for lane in shapes if lane.video is video), key=lambda lane: lane.order):
            lines += [_head(lane, plan), *(text for _, text in sorted(shapes[lane])), "  </track>"]
        lines.append("</annotations>\n")
        sink.write(f"{video.folder}annotations.xml", "\n".join(lines).encode())


def _head(lane: Lane, plan: VideoPlan) -> str:
    element = etree.Element("track", {"id": lane.id, "label": category_name(lane.category)})
    if lane.source is not None:
        element.set("source", lane.source)
    if lane.group:
        element.set("group_id", plan.groups[lane.group])
    unstated = [word for word, is_so in (("track", lane.track is None), ("held", not lane.holds)) if is_so]
    if unstated:
        element.set("unstated", " ".join(unstated))
    return text_of_element(element, 1).removesuffix("/>") + ">"


def _meta(video: Video, number: int, plan: VideoPlan, labelled: Sequence[int]) -> Any:
    meta = etree.Element("meta")
    name = plan.info.get("name")
    texts: Mapping[str, str] = {
        "id": str(number),
        "name": clean_text(name) if isinstance(name, str) else "",
        "size": str(video.count),
        "mode": "interpolation",
        "overlap": "0",
        **({"subset": clean_text(video.split)} if video.split is not None else {}),
        "start_frame": str(video.start),
        "stop_frame": str(video.stop),
        "frame_filter": f"step={video.step}" if video.step > 1 else "",
        **({"labelled_frames": " ".join(map(str, labelled))} if labelled else {}),
    }
    task = etree.SubElement(meta, "task")
    fill_texts(task, texts)
    task.append(deepcopy(plan.labels))
    if video.size is not None:
        size = etree.SubElement(task, "original_size")
        fill_texts(size, {"width": str(video.size[0]), "height": str(video.size[1])})
    if video_text(video.name):
        fill_texts(meta, {"source": video_text(video.name)})
    return meta
