"""Spoiled label files through every reader: nothing may crash, hang, eat the memory or raise but ``DsetkitError``.

Again what failed under a number: ``python -m support.fuzz FORMAT NUMBER [FOLDER]`` (in ``tests``) reads it once more,
with the whole traceback, and writes the files into a folder where one is named.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from dsetkit.errors import DsetkitError
from dsetkit.formats import registry
from dsetkit.formats.base import Format, Options
from dsetkit.formats.reading import open_tree
from dsetkit.formats.testing import FormatContract, MemoryExport, ReadContract, check_labels, files_of
from dsetkit.formats.writing import write_labels
from dsetkit.geometry.rle import encode
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Entry, Store, Tree
from support.mutate import Files, mutate

SECONDS = 5.0
"""Of processor time, for one input."""
BYTES = 1024**3
"""Of memory, for one input, beyond what there is at the start."""
LARGEST = 4_000_000
"""An example larger than this takes no part."""


class Example(NamedTuple):
    """A valid set of files of a format."""

    format: Format
    options: Options
    files: Files
    targets: tuple[str, ...]
    """The label files."""


class MemoryStore(Store):
    """Files in memory."""

    root = "memory"
    workers = 1

    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        return self._files[entry.raw][:length]

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``."""
        self.check_range(entry, start, length)
        return self._files[entry.raw][start : start + length]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        yield self._files[entry.raw]


def tree_of(files: Files) -> Tree:
    """A tree of files in memory."""
    stamps = {path: f"{zlib.crc32(data)} {len(data)}" for path, data in files.items()}
    entries = {path: Entry(path, len(data), stamps[path], path) for path, data in files.items()}
    return Tree("memory", entries, MemoryStore(files))


def contracts(tests: Path) -> Iterator[type[ReadContract]]:
    """The test classes of all formats, which write examples."""
    for path in sorted(tests.glob("formats/**/test_*.py")):
        if path.name == "test_fuzz.py" or "Contract" not in path.read_text(encoding="utf-8"):
            continue
        spec = importlib.util.spec_from_file_location(f"fuzzed_{path.parent.name}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for value in list(vars(module).values()):
            if isinstance(value, type) and issubclass(value, ReadContract) and value.__module__ == spec.name:
                yield value


def examples(tests: Path) -> dict[str, list[Example]]:
    """Examples by format, of those that are registered; what their tests write, and of writers one of every kind."""
    found: dict[str, list[Example]] = {}

    def add(label_format: Format, options: Options, write: Callable[[Path], Any]) -> None:
        with tempfile.TemporaryDirectory() as place:
            write(Path(place) / "out")
            files = files_of(Path(place) / "out")
        targets = tuple(label_format.label_files(tree_of(files))) or tuple(files)
        if sum(map(len, files.values())) <= LARGEST and targets:
            found.setdefault(label_format.name, []).append(Example(label_format, options, files, targets))

    for contract in contracts(tests):
        if contract.format.name not in registry.names():
            continue
        made = contract()
        add(made.format, made.read_options, made.made)
        if isinstance(made, FormatContract):
            options = made.write_options
            add(
                made.format,
                made.read_options,
                lambda folder, made=made, options=options: write_labels(
                    rich_export(), folder, made.format, options=options
                ),
            )
    return found


def rich_export() -> MemoryExport:
    """A sample of every kind of annotation."""
    shapes: dict[str, Row] = {
        "image_label": {},
        "box": {"bbox_xywh_px": (2.0, 3.0, 10.0, 8.0)},
        "rotated_box": {"rotated_box": {"cx": 12.0, "cy": 10.0, "w": 8.0, "h": 4.0, "angle": 30.0}},
        "polygon": {"polygons": (((2.0, 3.0, 12.0, 3.0, 12.0, 11.0),), ((20.0, 2.0, 30.0, 2.0, 30.0, 9.0),))},
        "mask": {"mask": _mask()},
        "polyline": {"polyline": (1.0, 2.0, 3.0, 4.0, 9.0, 9.0)},
        "points": {"points": (1.0, 2.0, 3.0, 4.0)},
        "keypoints": {"keypoints": ({"name": "nose", "x": 5.0, "y": 6.0, "visibility": 2},)},
        "ellipse": {"ellipse": {"cx": 12.0, "cy": 10.0, "rx": 4.0, "ry": 3.0, "angle": 10.0}},
        "caption": {"text": "a cat"},
    }

    categories = [
        Category(name="cat", index=0, keypoint_names=("nose", "tail"), skeleton=((0, 1),)),
        Category(name="dog", index=1),
    ]
    rows: list[Row] = []
    for number, split in enumerate(("train", "val")):
        annotations = []
        for kind, shape in shapes.items():
            row: Row = {"id": str(len(annotations)), "kind": kind, **shape}
            if kind != "caption":
                row["category"] = "cat" if kind == "keypoints" or len(annotations) % 2 else "dog"
            if "bbox_xywh_px" not in row and (box := enclosure(row)) is not None:
                row["bbox_xywh_px"] = box
            row |= {"attributes": {"occluded": True, "color": "red"}, "score": 0.5, "annotator": "ann"}
            annotations.append(row)
        rows.append(
            {"key": f"src/cat_{number}.jpg", "width_px": 32, "height_px": 24, "labelled": "yes", "split": split}
            | {"annotations": tuple(annotations)}
        )
    return MemoryExport(rows, categories)


def _mask() -> Row:
    pixels = np.zeros((24, 32), np.bool_)
    pixels[3:9, 4:20] = True
    return encode(pixels)


def spoiled(found: dict[str, list[Example]], name: str, number: int) -> tuple[Example, Files]:
    """The input of that number of a format: always the same."""
    dice = random.Random(f"{name}:{number}")
    example = dice.choice(found[name])
    donors = [item.files[path] for items in found.values() for item in items for path in item.targets[:3]]
    return example, mutate(example.files, example.targets, donors, dice)


def read(example: Example, files: Files) -> None:
    """Reads files as the format; raises what must not happen."""
    try:
        opened = open_tree(example.format, tree_of(files), example.options)
        for path in list(opened.tree.entries)[:200]:
            if path not in files:
                opened.tree.read(path)
    except DsetkitError as error:
        if not error.hint:
            raise ValueError(f"an error without a hint: {error}") from error
        return
    check_labels(opened.labels)


def serve(plan: list[tuple[str, int, int]], tests: Path) -> None:
    """Reads all inputs of a plan of (format, first number, count); a line of JSON before each and for what failed."""
    found = examples(tests)
    warnings.simplefilter("error")
    used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))  # noqa: SIM115

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    for name, first, count in plan:
        if name not in found:
            continue
        for number in range(first, first + count):
            print(json.dumps({"format": name, "number": number}), flush=True)
            failure = attempt(found, name, number)
            if failure is not None:
                print(json.dumps({"format": name, "number": number, **failure}), flush=True)
    print(json.dumps({"done": True}), flush=True)


def attempt(found: dict[str, list[Example]], name: str, number: int) -> dict[str, str] | None:
    """What went wrong with an input; None where nothing did."""
    example, files = spoiled(found, name, number)
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            read(example, files)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except Exception as error:
        frames = [item for item in traceback.extract_tb(error.__traceback__) if "/dsetkit/" in item.filename]
        where = [f"{item.filename.partition('/dsetkit/')[2]}:{item.lineno}" for item in frames]
        own = [place for place in where if not place.startswith("formats/testing")]
        return {"what": f"{type(error).__name__}: {str(error)[:200]}", "where": (own or where or ["?"])[-1]}
    return None


def main() -> None:
    """See the module."""
    tests = Path(__file__).resolve().parent.parent
    if sys.argv[1] == "--serve":
        serve(json.loads(sys.argv[2]), tests)
        return
    example, files = spoiled(examples(tests), sys.argv[1], int(sys.argv[2]))
    for path, data in files.items() if len(sys.argv) > 3 else ():
        target = Path(sys.argv[3]) / path
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    changed = [path for path, data in files.items() if example.files.get(path) != data]
    print(f"{example.format.name} with options {dict(example.options)}; changed: {', '.join(changed) or 'only names'}")
    warnings.simplefilter("error")
    read(example, files)
    print("read without a fault")


if __name__ == "__main__":
    main()
