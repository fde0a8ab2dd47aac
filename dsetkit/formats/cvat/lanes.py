"""Videos and lanes: what becomes one task of CVAT, and what becomes one ``<track>`` of it (see ``video``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.cvat.meta import MAX_FRAME
from dsetkit.formats.voc.write import clean_text
from dsetkit.spec.arrow import Row

Size = tuple[int, int] | None
_MOST_TEXT = 1000


@dataclass(eq=False)
class Video:
    """One video, which is a task of its own. ``name``, ``split`` and ``size`` are its samples'."""

    name: str | None
    split: str | None
    size: Size
    folder: str = ""
    """What the paths of its files begin with: empty, or ends in ``/``."""
    given: dict[str, int | None] = field(default_factory=dict)
    """Key → the frame that the sample names."""
    start: int = 0
    stop: int = 0
    step: int = 1

    def number_frames(self) -> dict[str, int]:
        """Frame by key: what samples name, if it is a number that no other has; else the next ones, in key order."""
        frames: dict[str, int] = {}
        taken: set[int] = set()
        for key, frame in self.given.items():
            if frame is not None and 0 <= frame <= MAX_FRAME and frame not in taken:
                frames[key] = frame
                taken.add(frame)
        last = max(taken, default=-1)
        free = last + 1 if last + len(self.given) < MAX_FRAME else 0
        for key in (key for key in self.given if key not in frames):
            while free in taken:
                free += 1
            frames[key] = free
            taken.add(free)
        self.start, self.stop = min(taken, default=0), max(taken, default=0)
        self.step = math.gcd(*(frame - self.start for frame in taken)) or 1
        return frames

    @property
    def count(self) -> int:
        """How many frames the task has."""
        return (self.stop - self.start) // self.step + 1 if self.given else 0


@dataclass(eq=False)
class Lane:
    """The shapes of one ``<track>``, by frame."""

    order: int
    video: Video
    track: str | None
    category: str
    source: str | None
    group: str | None
    attributes: Mapping[str, Any]
    """Those of the first shape that was seen."""
    id: str = ""
    """The number of its ``<track>``."""
    holds: bool = True
    """False: its shapes do not all have the same attributes."""
    states: dict[int, tuple[bool, bool]] = field(default_factory=dict)
    """Frame → whether the shape is outside, whether it is a keyframe."""
    ends: set[int] = field(default_factory=set)
    """Frames behind which an ``outside`` shape has to stand that nobody stated."""

    def settle(self) -> None:
        """Finds where the track ends, and makes keyframes of what CVAT would pass over else.

        CVAT imports keyframes alone: the first shape has to be one, the first behind a gap, and each ``outside`` one.
        """
        frames, is_gone = sorted(self.states), True
        for frame, following in zip(frames, [*frames[1:], None], strict=True):
            outside, keyframe = self.states[frame]
            self.states[frame] = (outside, keyframe or outside or is_gone)
            next_frame = frame + self.video.step
            ends = not outside and following != next_frame and next_frame <= self.video.stop
            if ends:
                self.ends.add(frame)
            is_gone = outside or ends


def video_text(name: str | None) -> str:
    """A video's name as it stands in the file."""
    return clean_text(name or "").strip()[:_MOST_TEXT].strip()


def is_keyframe(track: Row) -> bool:
    """Whether CVAT calls a shape of a track a keyframe: whatever was not interpolated, and is not said to be none."""
    return bool(track.get("keyframe", True)) and not track.get("interpolated", False)
