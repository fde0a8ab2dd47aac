"""JSON lists a piece at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from dsetkit.formats.json_stream import NotInPieces, list_pieces

TEXTS = st.text(alphabet='ab"\\{}[], \n\u00e4\U0001f600', max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def portions(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def joined(text: bytes, size: int = 7, piece_bytes: int = 1) -> list[Any]:
    found: list[Any] = []
    for piece in list_pieces(portions(text, size), piece_bytes):
        assert piece.first == len(found)
        assert text[piece.start : piece.start + len(piece.text)] == piece.text
        found += piece.elements
    return found


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.integers(1, 60), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_the_documents_own_for_every_boundary(
    elements: list[Any], size: int, piece_bytes: int, indent: int | None, is_ascii: bool
) -> None:
    text = json.dumps(elements, indent=indent, ensure_ascii=is_ascii).encode()
    assert joined(text, size, piece_bytes) == elements
    assert joined(b"\xef\xbb\xbf \n" + text + b"\n\n", size, piece_bytes) == elements


@given(st.text(alphabet='[]{}",:\\1a ', max_size=24), st.integers(1, 9), st.integers(1, 9))
def test_what_is_no_list_is_never_taken_for_one(text: str, size: int, piece_bytes: int) -> None:
    data = text.encode()
    try:
        whole = from_json(data)
    except ValueError:
        whole = None
    if isinstance(whole, list):
        assert joined(data, size, piece_bytes) == whole
    else:
        with pytest.raises(NotInPieces):
            joined(data, size, piece_bytes)


@pytest.mark.parametrize(
    "text",
    [b"", b" ", b"{}", b"[", b"[1", b"[{}", b"[{},]", b"[,{}]", b"[{} {}]", b"[{},,{}]", b"[{}]]", b"[{}] [{}]",
     b"[{}]x", b"[{}}", b"]", b"\xef\xbb", b"\xff\xfe[\x00]\x00", b'["\\"]', b"[" * 300 + b"]" * 300, b"[{},1],[2]"],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 100])
def test_what_is_wrong_has_to_be_parsed_whole(text: bytes, size: int) -> None:
    with pytest.raises(NotInPieces):
        joined(text, size)


def test_long_runs_of_backslashes() -> None:
    for count in range(6):
        value = '[{"a": "%s"}, "b"]' % ("\\\\" * count + '\\"')
        for size in range(1, 12):
            assert joined(value.encode(), size) == json.loads(value)


def test_a_piece_is_as_large_as_was_asked_for() -> None:
    text = json.dumps([{"number": number} for number in range(1000)]).encode()
    pieces = list(list_pieces(portions(text, 64), 1000))
    assert {len(piece.text) for piece in pieces[:-1]} <= set(range(1000, 1020))
    assert len(list(list_pieces([text]))) == 1
