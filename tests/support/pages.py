"""Projects for tests of the page, made of rows and pictures that no source could give."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from dsetkit.report.facts.collect import collect_project
from dsetkit.report.page.build import build_page
from dsetkit.report.page.change import Change
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.stages.init import write_project
from dsetkit.stages.project import Project
from dsetkit.stages.yaml_documents import load_yaml, save_yaml

SIZE = (320, 240)


def drawn(*boxes: Sequence[float], size: tuple[int, int] = SIZE, format: str = "PNG", shade: int = 40) -> bytes:
    """A dark picture with a bright red rectangle at each x, y, width, height."""
    image = Image.new("RGB", size, (shade, shade, shade))
    for x, y, w, h in boxes:
        ImageDraw.Draw(image).rectangle((x, y, x + w - 1, y + h - 1), fill=(255, 40, 40))
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


def noise(number: int, size: tuple[int, int]) -> bytes:
    """A picture that no codec makes small."""
    image = Image.fromarray(np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def box(x: float, y: float, w: float, h: float, category: str | None = "cat", **fields: Any) -> Row:
    """A box annotation."""
    return {
        "id": "0",
        "kind": "box",
        "bbox_xywh_px": [x, y, w, h],
        **({"category": category} if category else {}),
        **fields,
    }


def numbered(annotations: Sequence[Row]) -> list[Row]:
    """The annotations with ids of their own."""
    return [{**annotation, "id": str(place)} for place, annotation in enumerate(annotations)]


class PageProject:
    """A project whose snapshots are written by hand; source ``pets``."""

    def __init__(self, root: Path, categories: Sequence[str | Row] = ("cat", "dog")) -> None:
        self.root = root
        write_project(root)
        self.set(sources={"pets": {"path": "pets"}})
        self.categories = [
            {"index": place, **(category if isinstance(category, dict) else {"name": category})}
            for place, category in enumerate(categories)
        ]
        self.kept: dict[str, tuple[Row, bytes]] = {}
        self.turned: dict[str, list[tuple[Row, bytes | None]]] = {"raw": [], "cleaned": []}

    def set(self, **sections: Any) -> None:
        """Change sections of params."""
        document = load_yaml(self.root / "params.yaml")
        document.update(sections)
        save_yaml(self.root / "params.yaml", document)

    def keep(
        self, name: str, data: bytes, annotations: Sequence[Row] = (), size: tuple[int, int] = SIZE, **fields: Any
    ) -> None:
        """A sample that is in the cleaned snapshot (and in raw)."""
        self.kept[f"pets/{name}"] = (_row(name, data, annotations, size, fields), data)

    def turn_away(
        self, stage: str, name: str, data: bytes | None, reason: str, annotations: Sequence[Row] = (), **fields: Any
    ) -> None:
        """A row of a stage's ``rejected.parquet``; what ``cleaned`` turns away stands in raw."""
        row = _row(name, data, annotations, SIZE, {"message": f"because of {reason}", **fields, "reason": reason})
        self.turned[stage].append((row, data))

    def write(self) -> PageProject:
        """Write the snapshots."""
        raw = {key: (_without(row, "split"), data) for key, (row, data) in self.kept.items()}
        for row, data in self.turned["cleaned"]:
            if data is not None and row["key"] not in raw:
                names = ("reason", "message", "what", "duplicate_of", "issues")
                raw[row["key"]] = (_without(row, *names), data)
        self._write("data/raw/pets", "raw", "raw/pets", raw, self.turned["raw"])
        self._write("data/cleaned", "cleaned", "cleaned", self.kept, self.turned["cleaned"])
        return self

    def open(self, name: str) -> Snapshot:
        """One of its snapshots."""
        return open_snapshot(self.root / "data" / name)

    def page(self, change: Change | None = None) -> str:
        """The page as text."""
        project = Project(self.root)
        return build_page(project, collect_project(project), change).decode()

    def _write(
        self,
        place: str,
        stage: str,
        name: str,
        samples: dict[str, tuple[Row, bytes]],
        rejected: Sequence[tuple[Row, bytes | None]],
    ) -> None:
        folder = self.root / place
        folder.parent.mkdir(parents=True, exist_ok=True)
        writer = SnapshotWriter(folder, target_bytes=1 << 20)
        kept = [(row, data, False) for row, data in samples.values()]
        turned_away = [(row, data, True) for row, data in rejected]
        for row, data, is_rejected in sorted([*kept, *turned_away], key=lambda one: one[0]["key"].encode()):
            writer.add(
                row, None if data is None or (is_rejected and stage != "raw") else _packed(data), rejected=is_rejected
            )
        turned = [row for row, _ in rejected if row.get("what", "sample") == "sample"]
        annotations = [row.get("annotations", ()) for row, _ in (*samples.values(), *rejected)]
        counts = {"samples_in": len(samples) + len(turned), "annotations_in": sum(map(len, annotations))}
        writer.finish({"stage": stage, "name": name, "categories": self.categories, "counts": counts})


def _row(name: str, data: bytes | None, annotations: Sequence[Row], size: tuple[int, int], fields: Row) -> Row:
    row: Row = {"key": f"pets/{name}", "labelled": "yes" if annotations else "no", "annotations": numbered(annotations)}
    if data is not None:
        row |= {"digest": hashlib.sha256(data).hexdigest(), "media_type": "image/png"}
    row |= {"width_px": size[0], "height_px": size[1], **fields}
    return {key: value for key, value in row.items() if value not in ([], None)}


def _packed(data: bytes) -> PictureBytes:
    return PictureBytes(hashlib.sha256(data).hexdigest(), len(data), ".png", lambda: data)


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}
