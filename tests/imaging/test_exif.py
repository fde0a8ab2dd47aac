from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsetkit.imaging.exif import find_orientation, orientation_block, orientation_of, with_orientation_one


def pillow_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[271], exif[274], exif[305] = "Maker", orientation, "Software"
    return exif.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reads_what_pillow_writes_and_the_other_way(orientation):
    assert orientation_of(pillow_exif(orientation)) == orientation
    exif = Image.Exif()
    exif.load(orientation_block(orientation))
    assert dict(exif) == {274: orientation}
    assert orientation_of(orientation_block(orientation)) == orientation


def test_big_endian():
    block = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, 6, 0, 0)
    assert orientation_of(block) == 6
    assert orientation_of(with_orientation_one(block)) == 1


def test_set_to_one_in_place():
    block = pillow_exif(6)
    one = with_orientation_one(block)
    assert orientation_of(one) == 1
    assert len(one) == len(block)
    assert sum(a != b for a, b in zip(one, block, strict=True)) == 1
    assert with_orientation_one(b"nonsense") == b"nonsense"


@pytest.mark.parametrize("block", [None, b"", b"II", b"II*\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"XX*\0" + bytes(20)])
def test_damaged_blocks_say_nothing(block):
    assert orientation_of(block) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_an_error(block):
    find_orientation(b"II*\0" + block)
    assert orientation_of(b"Exif\0\0MM\0*" + block) in (None, 1, 2, 3, 4, 5, 6, 7, 8)
