from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation import near
from dsetkit.curation.groups import clusters, connect
from dsetkit.curation.near import find_exact, find_near, looks_alike
from dsetkit.errors import PictureError
from dsetkit.imaging.probe import probe
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.sample import Sample


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return table_from_rows([{"key": f"a/{index}", **row} for index, row in enumerate(rows)], Sample)


def picture(phash: int, width_px: int = 640, height_px: int = 480, contrast: float = 0.2) -> dict[str, Any]:
    return {"phash": phash, "width_px": width_px, "height_px": height_px, "contrast": contrast}


def found(rows: list[dict[str, Any]], distance: int) -> list[tuple[int, int]]:
    left, right = find_near(table(rows), distance)
    return list(zip(left.tolist(), right.tolist(), strict=True))


@st.composite
def hashes(draw: st.DrawFn) -> list[int]:
    """Hashes of which some are a few bits apart."""
    base = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4, unique=True))
    out = [draw(st.sampled_from(base)) for _ in range(draw(st.integers(1, 12)))]
    bits = st.sets(st.integers(0, 63), max_size=8)
    return [value ^ sum(1 << bit for bit in draw(bits)) for value in out]


@given(hashes(), st.integers(0, 16))
def test_all_pairs_within_the_distance_are_connected_and_no_others(values: list[int], distance: int) -> None:
    rows = [picture(value) for value in values]
    wanted = {
        (i, j)
        for j in range(len(rows))
        for i in range(j)
        if looks_alike(rows[i], rows[j], distance) and values[i] != values[j]
    }
    got = set(found(rows, distance))
    assert {pair for pair in got if values[pair[0]] != values[pair[1]]} <= wanted
    every = wanted | {(i, j) for j in range(len(rows)) for i in range(j) if values[i] == values[j]}
    for pairs in (got, every):
        flat = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        roots = connect(len(rows), flat[:, 0], flat[:, 1]).tolist()
        assert roots == connect(len(rows), *find_near(table(rows), distance)).tolist()


def test_aspect_flatness_and_size_count() -> None:
    assert found([picture(0b1111), picture(0)], 4) == [(0, 1)]
    assert found([picture(0b1111), picture(0, 480, 480)], 4) == []
    assert found([picture(0b1111), picture(0, 320, 232)], 4) == [(0, 1)]
    assert found([picture(0b0011), picture(0, 480, 480)], 4) == [(0, 1)], "stretched"
    assert found([picture(0), picture(0, contrast=0.001)], 4) == []
    assert found([picture(0), picture(1, 28, 28), picture(1, 56, 28)], 4) == [(1, 2)], "tiny"


def test_what_was_not_measured_is_like_nothing() -> None:
    rows = [picture(1), {"width_px": 640, "height_px": 480}, {"phash": 1}, {"phash": 1, "width_px": 9, "height_px": 0}]
    assert found(rows, 4) == []
    no_contrast = {key: value for key, value in picture(1).items() if key != "contrast"}
    assert found([picture(1), no_contrast], 4) == [(0, 1)]
    assert found([], 4) == []


def test_many_copies_cost_nothing() -> None:
    start = time.perf_counter()
    assert len(found([picture(7)] * 20_000, 4)) == 19_999
    assert time.perf_counter() - start < 5


def test_pairs_that_are_let_go_leave_the_same_rows_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    # Frames of three fixed cameras: within one, nearly all are alike.
    views = [draw.getrandbits(64) for _ in range(3)]
    rows = [picture(draw.choice(views) ^ (1 << draw.randrange(64)) ^ (1 << draw.randrange(64))) for _ in range(300)]
    every = found(rows, 4)
    monkeypatch.setattr(near, "MOST_PAIRS", 500)
    fewer = found(rows, 4)
    assert len(every) > 10_000 > len(fewer)
    assert fewer == sorted(set(fewer))
    roots = [connect(len(rows), *np.array(pairs, dtype=np.int64).T) for pairs in (every, fewer)]
    assert np.array_equal(*roots)
    assert len(clusters(roots[0])) == 3


def test_equal_bytes() -> None:
    assert [part.tolist() for part in find_exact(["a", None, "b", "a", None])] == [[0, 3]]


@pytest.mark.slow
def test_a_hundred_thousand_pictures() -> None:
    draw = random.Random(0)
    values = [draw.getrandbits(64) for _ in range(100_000)]
    values[1::1000] = [value ^ 0b1011 for value in values[0::1000]]
    start = time.perf_counter()
    columns = {"phash": pa.array(values, pa.uint64()), "width_px": [640] * 100_000, "height_px": [480] * 100_000}
    left, right = find_near(pa.table({**columns, "contrast": [0.2] * 100_000}), 4)
    assert len(left) >= 100
    assert set(left.tolist()) >= set(range(0, 100_000, 1000))
    assert time.perf_counter() - start < 10
    assert all((values[i] ^ values[j]).bit_count() <= 4 for i, j in zip(left.tolist(), right.tolist(), strict=True))


@pytest.mark.realdata
def test_twins_of_real_pictures_are_found(shared_data: Path) -> None:
    """Ships whose names begin alike are one picture, made brighter, noisier and so on."""
    stems, rows = [], []
    for path in sorted((shared_data / "yolo-ships" / "train" / "images").glob("*.jpg"))[:150]:
        rows.append(probe(path.read_bytes(), max_pixels=10**8))
        stems.append(path.name.split(".rf.")[0])
    twins = {(i, j) for j in range(len(rows)) for i in range(j) if stems[i] == stems[j]}
    left, right = find_near(table(rows), 4)
    parts = clusters(connect(len(rows), left, right))
    together = {(i, j) for part in parts for j in part.tolist() for i in part.tolist() if i < j}
    assert len(twins) > 50
    assert len(together & twins) >= 0.97 * len(twins)
    assert len(together - twins) <= 0.03 * len(together)


@pytest.mark.realdata
def test_a_picture_saved_otherwise_is_the_same(shared_data: Path) -> None:
    folder = shared_data / "near-duplicates"
    names = ["mixed_images/ukbench00120.jpg", "ukbench00120_gray.jpg", "alpha_channel_image.png"]
    names += ["mixed_images/ukbench00120_resize.jpg", "base_images/ukbench01380.jpg", "mixed_images/ukbench09268.jpg"]
    rows = [probe((folder / name).read_bytes(), max_pixels=10**8) for name in names]
    assert [part.tolist() for part in clusters(connect(6, *find_near(table(rows), 4)))] == [[0, 1, 2, 3]]
    with pytest.raises(PictureError):
        probe((folder / "mixed_images/ukbench09268_corrupt.jpg").read_bytes(), max_pixels=10**8)
