"""Small projects made of real files, for tests of what works on a whole project."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.params import SourceParams
from dsetkit.stages.augment import augment
from dsetkit.stages.build import StageResult
from dsetkit.stages.clean import clean
from dsetkit.stages.executor import open_pool
from dsetkit.stages.ingest import ingest
from dsetkit.stages.init import write_project
from dsetkit.stages.manage import add_source, update_source
from dsetkit.stages.project import Project
from dsetkit.stages.yaml_documents import load_yaml, save_yaml


def picture_bytes(seed: int, size: tuple[int, int] = (64, 48), format: str = "JPEG", **options: Any) -> bytes:
    """A picture of smooth noise that no other seed gives; different enough that no two are near duplicates."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


class Source:
    """A COCO source on the disk that a test can edit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures: dict[str, bytes] = {}
        self.boxes: dict[str, list[tuple[str, list[float]]]] = {}
        self.categories = ["cat", "dog"]
        self.extra_images: list[str] = []

    def put(self, name: str, data: bytes, boxes: list[tuple[str, list[float]]] | None = None) -> None:
        self.pictures[name] = data
        if boxes is not None:
            self.boxes[name] = boxes

    def write(self) -> Source:
        images = self.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        for path in images.iterdir():
            if path.name not in self.pictures:
                path.unlink()
        for name, data in self.pictures.items():
            path = images / name
            if not path.is_file() or path.read_bytes() != data:
                path.write_bytes(data)
        named = [*sorted(self.boxes), *self.extra_images]
        ids = {name: number + 1 for number, name in enumerate(named)}
        annotations = [
            {
                "id": 0,
                "image_id": ids[name],
                "category_id": self.categories.index(category) + 1,
                "bbox": box,
                "iscrowd": 0,
            }
            for name, boxes in sorted(self.boxes.items())
            for category, box in boxes
        ]
        document = {
            "images": [{"id": ids[name], "file_name": name, "width": 64, "height": 48} for name in named],
            "annotations": [{**item, "id": number + 1} for number, item in enumerate(annotations)],
            "categories": [{"id": number + 1, "name": name} for number, name in enumerate(self.categories)],
        }
        (self.folder / "annotations.json").write_text(json.dumps(document))
        return self


class Bench:
    """A project and its source, with the stages to run on it. Memory is what stands at the output's place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_project(root)
        self.source = Source(root.parent / "source")

    @classmethod
    def at(cls, root: Path) -> Bench:
        """One that stands already."""
        bench = cls.__new__(cls)
        bench.root = root
        bench.source = Source(root.parent / "source")
        return bench

    @property
    def project(self) -> Project:
        """The project as the disk has it now."""
        return Project(self.root)

    def params(self, **sections: dict[str, Any]) -> None:
        """Change params, by dotted name: ``params(clean={"max_invalid": 1.0})``."""
        document = load_yaml(self.root / "params.yaml")
        for section, values in sections.items():
            for dotted, value in values.items():
                node = document[section]
                *path, last = dotted.split(".")
                for part in path:
                    node = node[part]
                node[last] = value
        save_yaml(self.root / "params.yaml", document)

    def add(self, name: str = "pets", **facts: Any) -> None:
        self.source.write()
        add_source(self.project, name, SourceParams(path=str(self.source.folder), **facts))

    def update(self, name: str = "pets") -> None:
        self.source.write()
        update_source(self.project, name)

    def ingest(self, name: str = "pets", workers: int = 2) -> StageResult:
        with open_pool(workers) as pool:
            return ingest(self.project, name, pool=pool, memory=self._memory(self.project.raw(name)))

    def clean(self, workers: int = 2) -> StageResult:
        with open_pool(workers) as pool:
            return clean(self.project, pool=pool, memory=self._memory(self.project.cleaned))

    def augment(self, workers: int = 2) -> StageResult:
        with open_pool(workers) as pool:
            return augment(self.project, pool=pool, memory=self._memory(self.project.augmented))

    def build(self, workers: int = 2) -> tuple[StageResult, StageResult, StageResult]:
        return self.ingest(workers=workers), self.clean(workers), self.augment(workers)

    def open(self, name: str) -> Snapshot:
        return open_snapshot(self.root / "data" / name)

    @staticmethod
    def _memory(place: Path) -> Snapshot | None:
        return open_snapshot(place) if (place / "snapshot.json").is_file() else None


def tree_bytes(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its SHA-256."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
