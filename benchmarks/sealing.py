"""Contest: photos taken in, cleaned and read at random, plain and sealed; and all of them sealed anew, for an epoch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import PROJECT, Contender, Contest

SETS = ("bccd", "raccoon", "yolo-ships")
"""Public photos beside the project (where ``DSETKIT_TEST_DATA`` says); without them, photos are drawn."""

PICTURES_QUICK = 40
DRAWN = 900


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    """``photos/``; and ``sealed/``, a project that has built them sealed, with its ``identity``, to be sealed anew."""
    found = list(_real())
    count = min(PICTURES_QUICK if quick else DRAWN, len(found) or DRAWN)
    photos = folder / "photos"
    photos.mkdir()
    if found:
        for path in found[:: max(1, len(found) // count)] if quick else found:
            place = photos / f"{path.parent.name}-{path.name}"
            shutil.copyfile(path, place)
    else:
        from benchmarks.photos import photo

        for number in range(count):
            (photos / f"{number:05}.jpg").write_bytes(photo(number, "good"))
    # In a process of its own: it leaves this one as small as it was, and what it signs is believed by nobody else.
    from benchmarks.contenders.sealing import build, new_project, seal_project

    root = folder / "sealed"
    new_project(root, photos)
    seal_project(root, folder / "identity", folder / "state")
    build(root)
    sizes = [path.stat().st_size for path in photos.iterdir()]
    return {
        "photos": len(sizes),
        "bytes": sum(sizes),
        "bytes a photo": sum(sizes) // len(sizes),
        "of": ", ".join(SETS) if found else "drawn scenes",
    }


def _real() -> Iterator[Path]:
    """The JPEGs of all sets, in one order."""
    data = Path(os.environ.get("DSETKIT_TEST_DATA") or PROJECT.parent / "shared" / "data")
    for name in SETS:
        yield from sorted(path for path in (data / name).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def _contender(kind: str) -> Any:
    return lambda folder: ["-m", "benchmarks.contenders.sealing", kind, str(folder)]


CONTEST = Contest(
    name="sealing",
    title="Sealed snapshots beside plain ones, on real photos",
    target={},
    at_most={("sealed", "ingest, clean"): 1.15, ("sealed", "random reads"): 1.3},
    prepare=prepare,
    contenders=(
        Contender("dsetkit", _contender("plain"), packages=("dsetkit", "pillow", "cryptography", "pyrage")),
        Contender("sealed", _contender("sealed")),
        Contender("sealed anew", _contender("anew")),
    ),
    bound=(
        "All three are dsetkit, the first without a policy: a ratio over 1 is what sealing costs. `ingest, clean` is"
        " the build from nothing: every photo is decoded and measured, by threads on all cores, and packed into two"
        " snapshots; of the sealed ones every byte is encrypted on its way to the disk, and both are signed. The"
        " imports of what seals, the check of the policy's signatures and the unwrapping of keys count. `random reads`"
        " decodes 2,000 photos of the cleaned snapshot in an order drawn once, one after the other, from the page"
        " cache. `ingest, clean again` is both stages after `access rotate`: no photo is decoded again; each is opened"
        " with the data key of the epoch before, checked against its SHA-256 and sealed with the new one."
        " `resealed_bytes` and `resealed_mb_per_s` are of the sealed shards of both snapshots together, over the whole"
        " of both stages. There are no labels: tables are small beside photos."
    ),
)
