from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.spec.key import check_key


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("Ünïcode 🦝", "Ünïcode 🦝"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_"),
        (".", "_"),
        (".git", "_git"),
        ("end. ", "end__"),
        ("C:", "C_"),
        ("http://x", "http___x"),
        ("\x00\n", "__"),
        ("", "_"),
    ],
)
def test_safe_parts(name, expected):
    assert safe_part(name) == expected


@given(st.text(max_size=400))
def test_a_safe_part_is_one_visible_part_of_a_key(name):
    part = safe_part(name)
    assert check_key(part) == part
    assert "/" not in part
    assert not part.startswith(".")
    assert safe_part(part) == part


def test_a_long_name_keeps_its_extension():
    part = safe_part("é" * 300 + ".jpeg")
    assert part.endswith(".jpeg")
    assert len(part.encode()) <= 200


def test_places_are_given_out_once_whatever_the_case():
    places = Places()
    wanted = ("a/x.jpg", "a/X.jpg", "a/x.jpg", "a/x-2.jpg", "b/x.jpg", "noext", "noext")
    assert list(map(places.take, wanted)) == [
        "a/x.jpg", "a/X-2.jpg", "a/x-3.jpg", "a/x-2-2.jpg", "b/x.jpg", "noext", "noext-2",
    ]  # fmt: skip
    assert safe_path("src/a:b/c.jpg") == "src/a_b/c.jpg"
