"""What is unfolded: all of it or nothing, within its limit, and no open file left behind."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import lzma
from collections.abc import Iterator

import pytest

from dsetkit.errors import PictureError
from dsetkit.formats.unpacked import Unpacked
from dsetkit.storage.temporary import FAULTS, TemporaryBytes, TooLargeError, unpack

DATA = bytes(range(256)) * 40
PACKED = {"gz": gzip.compress(DATA), "bz2": bz2.compress(DATA), "xz": lzma.compress(DATA)}


@pytest.mark.parametrize("kind", PACKED)
def test_what_was_packed_comes_back_and_can_be_read_anywhere(kind: str) -> None:
    for name in (kind, f"t{kind}"):
        assert b"".join(unpack(io.BytesIO(PACKED[kind]), name)) == DATA
    held = Unpacked(PACKED[kind], kind)
    assert held.size_bytes == len(DATA)
    assert held.read(300, 10) == DATA[300:310]
    assert held.read(len(DATA) - 3, 10**12) == DATA[-3:]
    assert held.read(len(DATA) + 5, 9) == b""
    with held.open() as one, held.open() as other:
        one.seek(-4, io.SEEK_END)
        assert (one.read(), other.read(4)) == (DATA[-4:], DATA[:4])


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_damaged_is_a_fault(kind: str) -> None:
    for packed in (PACKED[kind][:-20], b"x" * 50, PACKED[kind][:10] + b"\xff" * 20 + PACKED[kind][30:]):
        with pytest.raises(FAULTS):
            b"".join(unpack(io.BytesIO(packed), kind))
        with pytest.raises(PictureError, match="what holds it cannot be unpacked"):
            Unpacked(packed, kind)


def test_no_more_is_unfolded_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    held = TemporaryBytes()
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1000)

    with pytest.raises(TooLargeError, match="more than 2,500 bytes"):
        held.fill(endless(), 2500)
    assert taken == 3
    assert not held.close.alive  # the file is gone at once
    monkeypatch.setattr("dsetkit.formats.unpacked.ALWAYS_BYTES", 10)
    monkeypatch.setattr("dsetkit.formats.unpacked.MAX_RATIO", 1)
    with pytest.raises(PictureError, match=f"it unfolds to more than {len(PACKED['xz'])} bytes"):
        Unpacked(PACKED["xz"], "xz")


def test_the_file_goes_when_nobody_needs_it() -> None:
    held = TemporaryBytes()
    held.fill([b"abc"])
    close, reader = held.close, held.open()
    del held
    gc.collect()
    assert close.alive
    assert reader.read() == b"abc"
    reader.close()
    del reader
    gc.collect()
    assert not close.alive
