"""Outlines that are taken out of their JSON are what a JSON parser makes of them, or are not taken out at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.formats.annotation_columns import Outlines
from dsetkit.formats.coco.coordinates import take_out
from dsetkit.formats.coco.pieces import parse_piece

_NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**5).map(lambda n: n / 100),
    st.floats(-1e6, 1e6).filter(lambda value: value != 0 and abs(value) > 1e-4),
)
_RINGS = st.lists(_NUMBERS, min_size=2, max_size=8).map(lambda ring: ring[: len(ring) // 2 * 2])
_OUTLINES = st.lists(st.lists(_RINGS, min_size=1, max_size=3), min_size=1, max_size=5)


def annotation(number: int, segmentation: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": 1, "segmentation": segmentation, "iscrowd": 0}


def listed(outlines: Outlines) -> list[list[list[float]]]:
    numbers, lengths = iter(outlines.flat.tolist()), iter(outlines.lengths.tolist())
    return [[[next(numbers) for _ in range(next(lengths))] for _ in range(parts)] for parts in outlines.parts.tolist()]


@given(_OUTLINES, st.sampled_from([(", ", ": "), (",", ":")]))
def test_numbers_are_those_of_a_json_parser(outlines: list[list[list[float]]], separators: tuple[str, str]) -> None:
    items = [json.dumps(annotation(n, rings), separators=separators) for n, rings in enumerate(outlines)]
    text = separators[0].join(items).encode()
    taken = take_out(text)
    assert taken is not None
    assert listed(taken.outlines) == json.loads(json.dumps(outlines, default=float), parse_int=float)
    assert taken.rest.count(b"[[" + taken.mark + b"]]") == len(outlines)
    whole = parse_piece(text)
    assert whole is not None
    assert whole.total == len(outlines)


@pytest.mark.parametrize(
    "numbers",
    [
        *("01, 2", "1., 2", ".5, 2", "-.5, 2", "-01, 2", "+1, 2", "1 2, 3", "1, , 2", "1,, 2", ", 1, 2", "1, 2, "),
        *("1e5, 2", "1E5, 2", "1/2, 3", "1-2, 3", "--1, 2", "-, 2", "1.2.3, 4", "-0.0, 1", "-0, 1", "", "NaN, 1"),
        *("1, 2], [", "1, 2], [], [3, 4", "1, [2], 3", "1, 2], 3, [4, 5", '1, "2"', "1\u00a0, 2", "1" * 400 + ", 2"),
        *("1, 2], 3", "null, 1", "1, 2] , [3, 4], [5, 6", "1, 2,3, 4", "1 , 2, 3, 4", "1\n, 2, 3", "0x1, 2"),
    ],
)
def test_what_is_written_otherwise_is_left_to_the_json_parser(numbers: str) -> None:
    text = f'{{"segmentation": [[{numbers}]]}}, {{"segmentation": [[1, 2, 3, 4], [5, 6.5]]}}'.encode()
    assert take_out(text) is None


@pytest.mark.parametrize("text", ["", "[[", "]]", "]][[", "[[]]", "[[1, 2]]]]", "[[[[1, 2]]", "[[[1, 2]]]", "{}"])
def test_brackets_that_do_not_match(text: str) -> None:
    assert take_out(text.encode()) is None


def test_a_list_in_another_place_is_no_outline() -> None:
    plain = json.dumps(annotation(1, [[1.5, 2, 3, 4, 5, 6]]))
    assert parse_piece(plain.encode()) is not None
    for odd in ('"caption": "[[1, 2]]"', '"bbox": [[1, 2]]', '"x": {"segmentation": [[1, 2]]}', '"id": [[1, 2]]'):
        text = f'{plain}, {{"id": 2, "image_id": 1, "category_id": 1, {odd}}}'
        assert parse_piece(text.encode()) is None


def test_an_outline_of_which_there_is_something_to_note_is_put_back() -> None:
    odd = {**annotation(2, [[1, 2, 3]]), "bbox": [1, 2, 3, 4]}
    wrong = {**annotation(3, [[10, 10, 20, 10, 20, 20], [30, 30, 40, 30, 40, 40]]), "bbox": [0, 0, 1, 1]}
    items = [annotation(1, [[1.5, 2, 3, 4, 5, 6]]), odd, annotation(4, []) | {"bbox": [1, 2, 3, 4]}, wrong]
    piece = parse_piece(", ".join(map(json.dumps, items)).encode())
    assert piece is not None
    assert piece.odd == [(1, odd), (3, wrong)]
    assert listed(piece.outlines) == [[[1.5, 2, 3, 4, 5, 6]], []]
