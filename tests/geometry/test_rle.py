from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from dsetkit.geometry import rle

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_encoding_and_decoding_gives_the_mask_back(array):
    row = rle.encode(array)
    assert row["size"] == list(array.shape)
    assert np.array_equal(rle.decode(row), array)
    assert np.array_equal(coco.decode(row).astype(bool), array)
    assert rle.mask_area(row) == array.sum()


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_the_box_is_that_of_the_pixels(array):
    box = rle.mask_bbox(rle.encode(array))
    if not array.any():
        assert box is None
        return
    rows, columns = np.nonzero(array)
    assert box == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_uncompressed_runs_give_the_same_mask(array):
    row = rle.encode(array)
    runs = rle.runs(row).tolist()
    assert rle.from_uncompressed(runs, list(array.shape)) == row


def test_runs_go_column_by_column():
    array = np.zeros((3, 2), bool)
    array[:, 1] = True
    assert rle.runs(rle.encode(array)).tolist() == [3, 3]


def test_a_long_mask_with_large_differences_is_parsed_as_pycocotools_does():
    array = np.random.default_rng(1).random((700, 900)) > 0.5
    array[:, 100:600] = True
    array[:, 600:800] = False
    row = rle.encode(array)
    assert np.array_equal(rle.decode(row), array)


HOSTILE = {
    "no size": {"counts": "04"},
    "size is a text": {"size": "22", "counts": "04"},
    "negative size": {"size": [-2, -2], "counts": "04"},
    "empty size": {"size": [0, 4], "counts": "0"},
    "size is not whole": {"size": [2.0, 2.0], "counts": "04"},
    "bool size": {"size": [True, 4], "counts": "04"},
    "huge": {"size": [10**9, 10**9], "counts": "04"},
    "above the limit": {"size": [20_000, 20_000], "counts": "04"},
    "no counts": {"size": [2, 2]},
    "empty counts": {"size": [2, 2], "counts": ""},
    "wrong characters": {"size": [2, 2], "counts": "é!"},
    "a surrogate": {"size": [2, 2], "counts": "\ud800"},
    "cut off": {"size": [2, 2], "counts": "0T"},
    "too few": {"size": [2, 2], "counts": "03"},
    "too many": {"size": [2, 2], "counts": "05"},
    "below 0": {"size": [2, 2], "counts": "5O"},
    "one endless run": {"size": [2, 2], "counts": "o" * 12 + "0"},
    "longer than any": {"size": [2, 2], "counts": "0" * 1000},
    "overflowing": {"size": [2, 2], "counts": "oooooo?" * 8},
    "a list": {"size": [2, 2], "counts": [4]},
}


@pytest.mark.parametrize("mask", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_mask_is_refused_before_it_is_decoded(mask, monkeypatch):
    monkeypatch.setattr(np, "repeat", _only_small(np.repeat))
    for call in (rle.decode, rle.mask_area, rle.mask_bbox):
        with pytest.raises(ValueError, match="mask"):
            call(mask)


def _only_small(repeat):
    def checked(values, repeats):
        assert np.sum(repeats) <= 1000
        return repeat(values, repeats)

    return checked


@pytest.mark.parametrize("counts", [[5], [3], [-1, 5], [4.0], [True, 3], "4", [2, 2, 10**30], [0] * 100])
def test_hostile_uncompressed_runs_are_refused(counts):
    with pytest.raises(ValueError, match="mask"):
        rle.from_uncompressed(counts, [2, 2])


def test_bytes_as_counts_are_read():
    row = rle.encode(np.eye(4, dtype=bool))
    assert np.array_equal(rle.decode({**row, "counts": row["counts"].encode()}), np.eye(4, dtype=bool))


def test_only_flat_arrays_are_encoded():
    with pytest.raises(ValueError, match="two dimensions"):
        rle.encode(np.zeros((2, 2, 2)))


def test_polygons_cover_the_union_of_their_parts_without_the_holes():
    square = (10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0)
    hole = (15.0, 15.0, 25.0, 15.0, 25.0, 25.0, 15.0, 25.0)
    array = rle.decode(rle.mask_from_polygons([[square, hole], [(0, 0, 5, 0, 5, 5, 0, 5)]], [40, 50]))
    expected = np.zeros((40, 50), bool)
    expected[10:30, 10:30] = True
    expected[15:25, 15:25] = False
    expected[0:5, 0:5] = True
    assert np.array_equal(array, expected)


def test_two_parts_that_overlap_cover_both():
    one, other = (0, 0, 10, 0, 10, 10, 0, 10), (5, 0, 15, 0, 15, 10, 5, 10)
    assert rle.mask_area(rle.mask_from_polygons([[one], [other]], [20, 20])) == 150


@pytest.mark.parametrize(
    ("polygons", "area"),
    [
        ([], 0),
        ([[]], 0),
        ([[(1, 1, 5, 5)]], 0),
        ([[(1, 1, 5, 5, 9, 9)]], 0),
        ([[(-1e12, -1e12, 1e12, -1e12, 1e12, 1e12, -1e12, 1e12)]], 400),
        ([[(0, 0, 10, 0, 10, 10, 0, 10), (1, 1, 2, 2)]], 100),
        ([[(100, 100, 110, 100, 110, 110)]], 0),
        ([[(float("nan"), 0, 10, 0, 10, 10)]], 0),
    ],
)
def test_odd_polygons_cost_nothing_and_do_not_fail(polygons, area):
    assert rle.mask_area(rle.mask_from_polygons(polygons, [20, 20])) == area


@given(st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_either_refused_or_a_mask_of_its_size(counts):
    try:
        array = rle.decode({"size": [5, 7], "counts": counts})
    except ValueError:
        return
    assert array.shape == (5, 7)
    assert np.array_equal(coco.decode({"size": [5, 7], "counts": counts}).astype(bool), array)


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 4)))
@settings(max_examples=60, deadline=None)
def test_each_value_of_a_picture_of_ids_is_a_mask(array):
    found = rle.encode_each(array)
    assert list(found) == np.unique(array).tolist()
    for value, mask in found.items():
        assert mask == rle.encode(array == value)


def test_ids_have_two_dimensions():
    with pytest.raises(ValueError, match="two dimensions, not 3"):
        rle.encode_each(np.zeros((2, 2, 3), np.uint8))
