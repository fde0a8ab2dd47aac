"""What has to be known of all rows before one label file is written: the task, names, folders, keypoints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dsetkit.formats.base import Export, Options, choose
from dsetkit.formats.bulk.tables import brief_rows, kind_sets
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_categories, split_of
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.loss import Ledger
from dsetkit.formats.places import Places, safe_part
from dsetkit.formats.yolo.names import MAX_KEYPOINTS, NO_SPLIT_KEYS, SPLIT_KEYS, Naming
from dsetkit.formats.yolo.subsets import NO_SPLIT
from dsetkit.formats.yolo.task import TASKS
from dsetkit.imaging.probe import read_size
from dsetkit.spec.arrow import Row

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
_TO_BOX = {"mask": "box", "keypoints": "box"}
_TO_POLYGON = {"rotated_box": "polygon", "ellipse": "polygon"}
_COMMON = Capabilities(
    kinds=frozenset({"box", "polygon"}),
    becomes={**_TO_POLYGON, **_TO_BOX},
    sample_fields=frozenset({"width_px", "height_px"}),
    subsets="one",
    parts=False,
)
CAPABILITIES: Mapping[str, Capabilities] = {
    "any": _COMMON,
    "segment": _COMMON,  # a box becomes a polygon of four corners, which is said where that is done
    "detect": replace(
        _COMMON, kinds=frozenset({"box"}), becomes={**dict.fromkeys((*_TO_POLYGON, "polygon"), "box"), **_TO_BOX}
    ),
    # What else can become four corners has become them before.
    "obb": replace(_COMMON, kinds=frozenset({"rotated_box", "polygon"}), becomes={}),
    "pose": replace(
        _COMMON,
        kinds=frozenset({"box", "keypoints"}),
        becomes=dict.fromkeys((*_TO_POLYGON, "polygon", "mask"), "box"),
        category_fields=frozenset({"keypoint_names", "flip_pairs"}),
    ),
}
"""What each task carries. ``any``: boxes and polygons as they are, told apart file by file."""


def choose_task(export: Export, options: Options) -> str:
    """The option ``task``, else what the annotations are: rotated boxes alone (and upright ones) are ``obb``, keypoints
    alone (and boxes) ``pose``, all others ``any``. Raises ``UsageError`` for a word that is no task.
    """
    if options.get("task") is not None:
        return choose(options, "task", TASKS, "detect")
    kinds = frozenset[str]().union(*kind_sets(export)) - {"image_label", "caption", "polyline", "points"}
    for kind, task in (("rotated_box", "obb"), ("keypoints", "pose")):
        if kind in kinds and kinds <= {kind, "box"}:
            return task
    return "any"


class YoloPlan:
    """Settled in a few walks over the rows."""

    def __init__(self, export: Export, task: str, ledger: Ledger) -> None:
        self.export = export
        self.task = task
        self.capabilities = CAPABILITIES[task]
        self.categories = carry_categories(export, self.capabilities, ledger)
        self.ids = {category.name: category.index for category in self.categories}
        self.names = FlatNames(brief_rows(export, "key", "media_type"))
        self.folders = folders_of(brief_rows(export, "split", "subsets"))
        """Split → folder; its name when read back."""
        names = {category.index: category.name for category in self.categories}
        self.naming = Naming("data.yaml", names)
        if task == "pose":
            self._plan_keypoints(ledger)
        self.has_polygons = task in ("segment", "any") and self._has_polygons(ledger)
        for split in ("train", "val"):
            if split not in self.folders.values():
                message = f"there is no split {split}, which Ultralytics wants; data.yaml names another folder for it"
                ledger.add("split-missing", message, severity="info")

    @property
    def said_task(self) -> str | None:
        """What ``data.yaml`` says of the task, so that lines are read back as they were meant."""
        if self.task == "any":
            return "segment" if self.has_polygons else None
        return self.task if self.task != "detect" else None

    def folder_of(self, row: Row) -> str:
        """The folder of a row's split."""
        return self.folders[split_of(row)]

    def size_of(self, row: Row) -> tuple[int, int] | None:
        """The size of a picture, pixels: as its row says it, else as its own bytes do."""
        width, height = row.get("width_px"), row.get("height_px")
        if width and height:
            return width, height
        picture = self.export.picture(row)
        return None if picture is None else read_size(picture)

    def _plan_keypoints(self, ledger: Ledger) -> None:
        points = {category.name: dict.fromkeys(category.keypoint_names) for category in self.categories}
        for row in self.export.rows():
            for annotation in row.get("annotations", ()):
                for point in annotation.get("keypoints", ()):
                    points.get(annotation.get("category") or "", {}).setdefault(point["name"])
        for category in self.categories:
            names = points[category.name]
            while len(names) > MAX_KEYPOINTS:
                names.popitem()
        count = max((len(names) for names in points.values()), default=0) or 1
        class_points = {category.index: tuple(points[category.name]) for category in self.categories}
        self.naming = replace(
            self.naming,
            keypoints=(count, 3),
            keypoint_names=tuple(str(index) for index in range(count)),
            class_points=class_points,
            flip_pairs=self._flip_pairs(class_points, ledger),
        )

    def _flip_pairs(self, class_points: Mapping[int, tuple[str, ...]], ledger: Ledger) -> tuple[tuple[int, int], ...]:
        """The pairs that all categories with keypoints agree on; none where they do not agree."""
        own: dict[str, tuple[tuple[int, int], ...]] = {}
        for category in self.categories:
            count = len(class_points[category.index])
            pairs = {tuple(sorted(pair)) for pair in category.flip_pairs if min(pair) >= 0 and max(pair) < count}
            ends = [end for pair in pairs for end in pair]
            if count:
                fits = len(set(ends)) == len(ends)
                own[category.name] = tuple(sorted((a, b) for a, b in pairs)) if fits else ()
        if len(set(own.values())) > 1 or any(
            set(own[category.name]) != {tuple(sorted(pair)) for pair in category.flip_pairs}
            for category in self.categories
            if category.name in own
        ):
            message = "yolo has one list of keypoints that change places in a mirror; what differs from it is left out"
            ledger.add("flip-pairs", message, severity="info")
        return next(iter(own.values())) if len(set(own.values())) == 1 else ()

    def _has_polygons(self, ledger: Ledger) -> bool:
        """Whether any line will be a polygon; says so where Ultralytics will take none of them."""
        polygons = boxes = False
        for kinds in kind_sets(self.export):
            is_outlined = bool(kinds & {"polygon", *_TO_POLYGON})
            polygons = polygons or is_outlined
            boxes = boxes or (not is_outlined and bool(kinds & {"box", *_TO_BOX}))
        if polygons and boxes and self.task == "any":
            message = (
                "some files have polygons, others boxes alone: of such a mixture Ultralytics takes boxes only; "
                "the option task=segment or task=detect makes it one or the other"
            )
            ledger.add("tasks-mixed", message, severity="info")
        return polygons or (boxes and self.task == "segment")


def folders_of(rows: Iterable[Row]) -> dict[str | None, str]:
    """A folder for each split. What YAML and file systems cannot say becomes ``_``; ``valid`` is ``val``."""
    splits = {split_of(row) for row in rows}
    places = Places()
    folders: dict[str | None, str] = {}
    for reserved in ("train", "val", "test", NO_SPLIT):
        places.take(reserved)
    for split in sorted((split for split in splits if split is not None), key=str.encode):
        usual = SPLIT_KEYS.get(split)
        if usual is not None:
            folders[split] = usual
            continue
        name = re.sub(r"[^A-Za-z0-9_-]", "_", safe_part(split))
        name = name if _PLAIN_KEY.match(name) and name.casefold() not in _WORDS | NO_SPLIT_KEYS else f"split_{name}"
        folders[split] = places.take(name)
    if None in splits:
        folders[None] = NO_SPLIT
    return folders
