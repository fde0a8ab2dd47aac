"""Contest: 3,000 photos, some of them bad or there twice: measure each, tell which are to go."""

from __future__ import annotations

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Contender, Contest

if TYPE_CHECKING:
    from PIL import Image

PICTURES = 3_000
PICTURES_QUICK = 60
SIZE_PX = (640, 480)
QUALITY = 90

BAD = ("dark", "bright", "blurred", "flat")
NEAR = ("reencoded", "resized", "brighter")
SHARE_OF_EACH = 100  # one picture of so many is of each kind of BAD; three are exact duplicates, three of each NEAR
DUPLICATES_OF_EACH = 3


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    """``photos/<number>.jpg`` and ``planted.json``: the names of the bad ones, and of duplicates with their originals.

    Nothing is planted twice on one picture: originals of duplicates are good, and each has one duplicate.
    """
    count = PICTURES_QUICK if quick else PICTURES
    of_each = math.ceil(count / SHARE_OF_EACH)
    duplicates = DUPLICATES_OF_EACH * of_each
    # By place: originals, then what was planted. Names are given by another order, so that twins are not neighbours.
    kinds = [kind for kind in BAD for _ in range(of_each)]
    kinds += [kind for kind in ("exact", *NEAR) for _ in range(duplicates)]
    originals = count - len(kinds)
    names = [f"{(place * 7919) % count:05}.jpg" for place in range(count)]  # 7919 is a prime, and no divisor of count
    (folder / "photos").mkdir()

    def write(place: int) -> int:
        # The n-th duplicate is of the n-th original; there are more originals than duplicates.
        kind = kinds[place - originals] if place >= originals else "good"
        source = place if kind in ("good", *BAD) else place - originals - len(BAD) * of_each
        data = photo(source, kind)
        (folder / "photos" / names[place]).write_bytes(data)
        return len(data)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        size_bytes = sum(pool.map(write, range(count)))
    planted: dict[str, Any] = {kind: [] for kind in (*BAD, "exact", *NEAR)}
    for place, kind in enumerate(kinds, start=originals):
        source = place - originals - len(BAD) * of_each
        planted[kind].append(names[place] if kind in BAD else [names[source], names[place]])
    (folder / "planted.json").write_text(json.dumps(planted))
    return {
        "JPEGs of 640×480 px": count,
        "bytes a JPEG": size_bytes // count,
        **{f"planted {kind}": len(found) for kind, found in planted.items()},
    }


def photo(seed: int, kind: str) -> bytes:
    """A JPEG of a made-up scene, or of what became of it: the same bytes for one seed and kind."""
    import io

    from PIL import Image, ImageFilter

    image, quality = scene(seed), QUALITY
    if kind == "dark":
        image = image.point([level // 16 for level in range(256)] * 3)
    elif kind == "bright":
        image = image.point([255 - (255 - level) // 24 for level in range(256)] * 3)
    elif kind == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(12))
    elif kind == "flat":
        image = Image.new("RGB", SIZE_PX, image.getpixel((320, 240)))
    elif kind == "reencoded":
        quality = 55
    elif kind == "resized":
        image = image.resize((600, 450), Image.Resampling.LANCZOS)
    elif kind == "brighter":
        image = image.point([min(255, level * 11 // 10 + 8) for level in range(256)] * 3)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def scene(seed: int) -> Image.Image:
    """Soft light at four scales, things with edges in it, grain over all."""
    import numpy as np
    from PIL import Image, ImageChops, ImageDraw

    random = np.random.default_rng(seed)
    width, height = SIZE_PX
    image = Image.new("RGB", SIZE_PX, (128, 128, 128))
    for cells, weight in ((4, 0.9), (10, 0.4), (40, 0.25), (160, 0.2)):
        small = random.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(small).resize(SIZE_PX, Image.Resampling.BICUBIC)
        image = Image.blend(image, layer, weight)
    image = image.point([min(255, max(0, 128 + (level - 128) * 8 // 5)) for level in range(256)] * 3)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = random.integers(-80, width).item(), random.integers(-80, height).item()
        w, h = random.integers(20, 200, 2).tolist()
        color = tuple(random.integers(0, 256, 3).tolist())
        (draw.ellipse if random.integers(2) else draw.rectangle)((x, y, x + w, y + h), fill=color)
    grain = np.clip(random.normal(128, 6, (height, width)), 0, 255).astype(np.uint8)
    return ImageChops.add(image, Image.merge("RGB", [Image.fromarray(grain)] * 3), 1, -128)


def _contender(module: str, *arguments: str) -> Any:
    return lambda folder: ["-m", f"benchmarks.contenders.{module}", str(folder), *arguments]


CONTEST = Contest(
    name="photos",
    title="Measuring and deduplicating 3,000 photos",
    target={"cleanvision + imagededup": 8.0},
    prepare=prepare,
    contenders=(
        Contender("dsetkit", _contender("photos_dsetkit"), packages=("dsetkit", "pillow", "numpy")),
        Contender(
            "cleanvision + imagededup",
            _contender("photos_peers", "cleanvision", "imagededup"),
            env="peers",
            packages=("cleanvision", "imagededup"),
        ),
        Contender("cleanvision", _contender("photos_peers", "cleanvision"), env="peers"),
        Contender("dsetkit ingest, clean", _contender("photos_stages")),
    ),
    bound=(
        "Decoding each JPEG and measuring it, once; the search among perceptual hashes is a small part. dsetkit's "
        "two stages also write two snapshots, which the peers do not."
    ),
)
