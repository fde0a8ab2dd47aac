"""Small snapshots to read, break and build again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsetkit.access.keys import DataKey
from dsetkit.access.seal import DomainSeal
from dsetkit.errors import AccessError, TamperError
from dsetkit.snapshots import write
from dsetkit.snapshots.cut import PartCutter
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.sealed import Seals

CATEGORIES = [{"name": "RBC", "index": 0}, {"name": "WBC", "index": 1}]
INFO = {"stage": "cleaned", "name": "cleaned", "categories": CATEGORIES}
READS: list[str] = []


def picture_of(number: int) -> bytes:
    """Bytes of 100 to 1,123 by their number."""
    seed = hashlib.sha256(f"picture {number}".encode()).digest()
    return (seed * 36)[: 100 + int.from_bytes(seed[:2], "big") % 1024]


def row_of(number: int, **fields: Any) -> Row:
    """A row with one or two annotations; the picture is that of its number."""
    annotations: list[Row] = [
        {
            "id": "0",
            "kind": "box",
            "category": ("RBC", "WBC")[number % 2],
            "bbox_xywh_px": [1.0, 2.0, 3.5, float(number)],
        }
    ]
    if number % 3 == 0:
        annotations.append({"id": "1", "kind": "caption", "text": "Zellen, größer", "attributes": {"sure": number > 5}})
    data = picture_of(number)
    return {
        "key": f"{('blood', 'tissue')[number % 2]}/picture_{number:05}.jpg",
        "digest": hashlib.sha256(data).hexdigest(),
        "media_type": "image/jpeg",
        "width_px": 640,
        "height_px": 480,
        "split": ("train", "val")[number % 5 == 0],
        "labelled": "yes",
        "subsets": ["fold1"] if number % 4 == 0 else [],
        "annotations": annotations,
        **fields,
    }


def picture_bytes(data: bytes, name: str = "") -> PictureBytes:
    """The picture to be packed; reading it is noted in ``READS``."""

    def read() -> bytes:
        READS.append(name)
        return data

    return PictureBytes(hashlib.sha256(data).hexdigest(), len(data), ".jpg", read)


def seal_of(number: int = 1, **fields: Any) -> DomainSeal:
    """The keys of a domain, the same for the same number; ``fields`` say whose keys they are."""
    key = DataKey(hashlib.sha256(f"data key {number}".encode()).digest())
    return DomainSeal(key, **{"project": "5a" * 16, "domain": "d1", "epoch": 1, **fields})


class KeysOf:
    """What somebody holds who has these keys and no others; what was asked is noted in ``said``."""

    def __init__(self, *seals: DomainSeal, refuses: str = "") -> None:
        self.seals = seals
        self.refuses = refuses
        self.said: list[str] = []

    def seal(self, seals: Seals) -> DomainSeal:
        """The keys; ``AccessError`` for others."""
        self.said.append("seal")
        wanted = (seals.project, seals.domain, seals.epoch, seals.padding)
        for seal in self.seals:
            if (seal.project, seal.domain, seal.epoch, seal.padding) == wanted:
                return seal
        raise AccessError("this identity does not read it", subject=seals.stage, hint="Ask.")

    def facet(self, seals: Seals, name: str) -> DomainSeal | None:
        """None."""
        return None

    def check(self, seals: Seals, document: bytes) -> None:
        """Refuses, where it is to."""
        self.said.append("check")
        if self.refuses:
            raise TamperError(self.refuses, subject=seals.stage, hint="Ask.")

    def check_place(self, url: str, seals: Seals | None) -> None:
        """Notes it."""
        self.said.append("plain" if seals is None else "place")

    def opened(self, seals: Seals) -> None:
        """Notes it."""
        self.said.append("opened")


def write_snapshot(
    build: Path,
    originals: Iterable[tuple[Row, bytes | None]],
    variants: Iterable[tuple[Row, bytes | None]] = (),
    *,
    memory: Sequence[Snapshot] = (),
    target_bytes: int = 4096,
    info: Row | None = None,
    seal: DomainSeal | None = None,
) -> SnapshotWriter:
    """Write rows (those with a ``reason`` are rejected) and finish."""
    writer = SnapshotWriter(build, target_bytes=target_bytes, memory=memory, seal=seal)
    for group, rows in enumerate((originals, variants)):
        for row, data in sorted(rows, key=lambda item: item[0]["key"].encode()):
            picture = None if data is None else picture_bytes(data, row["key"])
            writer.add(row, picture, rejected="reason" in row, group=group)
    writer.finish(INFO if info is None else info)
    return writer


def numbered(numbers: Iterable[int], **fields: Any) -> list[tuple[Row, bytes | None]]:
    """Rows with their pictures."""
    return [(row_of(number, **fields), picture_of(number)) for number in numbers]


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_file(place: Path, name: str, change: Callable[[Path], object]) -> str:
    """Change a part of a snapshot in such a way that all digests of files fit; the name it has then."""
    change(place / name)
    data = (place / name).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    new = f"samples/{digest}.parquet" if name.startswith("samples/") else name
    (place / name).rename(place / new)
    document = place / "snapshot.json"
    info = json.loads(document.read_text(encoding="utf-8"))
    part = next(part for part in [*info["parts"], info["rejected"]] if part["name"] == name)
    part.update(name=new, digest=digest, size_bytes=len(data))
    document.write_text(json.dumps(info), encoding="utf-8")
    return new


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifest parts that aim at 12 rows."""
    monkeypatch.setattr(write, "PartCutter", lambda: PartCutter(12))


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, which tests cannot import by name."""
    names = (picture_of, row_of, picture_bytes, write_snapshot, numbered, files_of, change_file, seal_of, sixty)
    return SimpleNamespace(INFO=INFO, READS=READS, KeysOf=KeysOf, **{function.__name__: function for function in names})


def sixty() -> list[tuple[Row, bytes | None]]:
    """60 rows, three of them rejected: two with their bytes, one without."""
    rows = numbered(range(60))
    for number in (7, 20):
        row, data = rows[number]
        rows[number] = ({**row, "reason": "picture-corrupt", "message": "cut off", "what": "sample"}, data)
    row, _ = rows[33]
    rows[33] = ({**row, "reason": "picture-missing"}, None)
    del rows[33][0]["digest"]
    return rows


def _build(place: Path, seal: DomainSeal | None = None) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "PartCutter", lambda: PartCutter(12))
        write_snapshot(place, sixty(), seal=seal)
    return place


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 samples in many shards and parts, three of them rejected. Only to be read."""
    return _build(tmp_path_factory.mktemp("built") / "snapshot")


@pytest.fixture(scope="session")
def built_sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, sealed by ``seal_of()``. Only to be read."""
    return _build(tmp_path_factory.mktemp("sealed") / "snapshot", seal_of())


@pytest.fixture
def sealed(tmp_path: Path, built_sealed: Path) -> Path:
    """A copy of ``built_sealed`` that a test may break."""
    shutil.copytree(built_sealed, tmp_path / "sealed")
    return tmp_path / "sealed"


@pytest.fixture
def snapshot(tmp_path: Path, built: Path) -> Snapshot:
    """A copy of ``built`` that a test may break, at ``tmp_path / "snapshot"``."""
    shutil.copytree(built, tmp_path / "snapshot")
    return open_snapshot(tmp_path / "snapshot")
