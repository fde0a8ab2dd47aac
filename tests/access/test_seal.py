"""Sealing: known answers, what comes back, and all that must not be accepted."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.access.chunks import CHUNK_BYTES, HEADER_BYTES, SIV_BYTES
from dsetkit.access.keys import DataKey
from dsetkit.access.padme import padded_size
from dsetkit.access.seal import DomainSeal
from dsetkit.errors import TamperError

PROJECT = "00112233445566778899aabbccddeeff"
KEY = DataKey(bytes(range(32)))


def made(**changes: Any) -> DomainSeal:
    return DomainSeal(KEY, **{"project": PROJECT, "domain": "d1", "epoch": 1, **changes})


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_siv_gives_the_answers_of_rfc_5297() -> None:
    # Appendix A.1 (deterministic) and A.2 (several components of associated data, the last one a nonce).
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    data = bytes.fromhex("112233445566778899aabbccddee")
    bound = [bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")]
    assert AESSIV(key).encrypt(data, bound).hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    key = bytes.fromhex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f")
    bound = [
        bytes.fromhex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
        bytes.fromhex("102030405060708090a0"),
        bytes.fromhex("09f911029d74e35bd84156c5635688c0"),
    ]
    data = b"this is some plaintext to encrypt using SIV-AES"
    assert AESSIV(key).encrypt(data, bound).hex() == (
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"
    )


def test_the_format_stays_what_it_is() -> None:
    """Sealed bytes of yesterday are read for ever: who changes these digests changes the format's version."""
    seal = made()
    data = b"a picture"
    found = {
        "member": digest_of(seal.seal_member(digest_of(data), data)),
        "file": digest_of(seal.seal_file("samples", "n", data)),
        "file padded": digest_of(made(padding="padme").seal_file("samples", "n", bytes(100))),
        "names": digest_of(
            "".join([seal.member_name(digest_of(data)), seal.file_name(data), seal.draw(digest_of(data))]).encode()
        ),
        "ids": digest_of((seal.row_id("a/b.jpg") + seal.stamp("source", "x")).encode()),
    }
    assert found == GOLDEN


GOLDEN = {
    "member": "081e2ab8e1dd11bdeacc060c5267868ab1f9e67bde0dd1bb552331c2881d940a",
    "file": "becd7a6252565564c5cddf19112a4124581919902d9181e370c8610227d734b4",
    "file padded": "f9e0a39f8c27caa3d5d5901660801d390f25c45c937ee51ad5fc5091676e056e",
    "names": "c610f380674b1910df2ffe3897bc0f5f6e4a62efed378af09a0f9835fb255abd",
    "ids": "d2ccf81edaf44c249805f05bba58cd664d49ae67bc924bd5488bf0034a31e681",
}


@pytest.mark.parametrize("padding", ["none", "padme"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_a_member_comes_back_and_has_the_size_that_was_told(size: int, padding: str) -> None:
    seal, data = made(padding=padding), os.urandom(size)
    sealed = seal.seal_member(digest_of(data), data)
    assert len(sealed) == seal.member_size(size)
    assert seal.open_member(digest_of(data), sealed) == data
    assert sealed == made(padding=padding).seal_member(digest_of(data), data)


@pytest.mark.parametrize("padding", ["none", "padme"])
@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 9, CHUNK_BYTES - 8, CHUNK_BYTES, 3 * CHUNK_BYTES + 5])
def test_a_file_comes_back_whole_and_by_range(size: int, padding: str) -> None:
    seal, data = made(padding=padding), random.Random(size).randbytes(size)
    sealed = seal.seal_file("samples", "name", data)
    assert seal.open_file("samples", "name", sealed) == data
    reads: list[tuple[int, int]] = []

    def read(start: int, length: int) -> bytes:
        reads.append((start, length))
        assert 0 <= start <= start + length <= len(sealed)
        return sealed[start : start + length]

    reader = seal.reader("samples", "name", len(sealed), read)
    assert reader.size_bytes == size
    for start, end in itertools.combinations([0, 1, size // 3, size // 2, size - 1, size], 2):
        if 0 <= start <= end <= size:
            assert reader.read(start, end - start) == data[start:end]
    for start, length in ((-1, 1), (0, size + 1), (size, 1), (0, -1)):
        with pytest.raises(ValueError, match="no bytes"):
            reader.read(start, length)


def test_one_range_of_a_large_file_opens_only_what_it_lies_in() -> None:
    seal, data = made(), bytes(5 * CHUNK_BYTES)
    sealed = seal.seal_file("samples", "name", data)
    taken = 0

    def read(start: int, length: int) -> bytes:
        nonlocal taken
        taken += length
        return sealed[start : start + length]

    seal.reader("samples", "name", len(sealed), read).read(4 * CHUNK_BYTES, 100)
    assert taken <= 2 * (CHUNK_BYTES + SIV_BYTES) + HEADER_BYTES


@given(st.binary(max_size=2000), st.data())
def test_no_changed_bit_is_accepted(data: bytes, choose: st.DataObject) -> None:
    seal = made()
    for sealed, opened in (
        (seal.seal_member(digest_of(data), data), lambda changed: seal.open_member(digest_of(data), changed)),
        (seal.seal_file("samples", "n", data), lambda changed: seal.open_file("samples", "n", changed)),
    ):
        place = choose.draw(st.integers(0, len(sealed) * 8 - 1))
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(TamperError):
            opened(bytes(changed))
        cut = choose.draw(st.integers(0, len(sealed) - 1))
        with pytest.raises(TamperError):
            opened(sealed[:cut])
        with pytest.raises(TamperError):
            opened(sealed + choose.draw(st.binary(min_size=1, max_size=40)))


OTHERS = [
    {"project": PROJECT[::-1]},
    {"domain": "d2"},
    {"domain": "d1 "},
    {"epoch": 2},
    {"padding": "padme"},
]


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_what_is_of_another_project_domain_or_epoch_is_not_accepted(change: dict[str, Any]) -> None:
    """Even by the same data key."""
    data = b"a picture"
    seal, other = made(), made(**change)
    with pytest.raises(TamperError):
        other.open_member(digest_of(data), seal.seal_member(digest_of(data), data))
    with pytest.raises(TamperError):
        other.open_file("samples", "n", seal.seal_file("samples", "n", data))
    if "padding" not in change:
        assert seal.member_name(digest_of(data)) != other.member_name(digest_of(data))


def test_what_is_of_another_kind_or_name_is_not_accepted() -> None:
    seal, data = made(), b"a table"
    sealed = seal.seal_file("samples", "n", data)
    for kind, name in (("samples", "m"), ("samples", ""), ("rejected", "n"), ("snapshot", "n")):
        with pytest.raises(TamperError):
            seal.open_file(kind, name, sealed)
    with pytest.raises(TamperError):
        seal.open_member(digest_of(b"another"), seal.seal_member(digest_of(data), data))


def test_chunks_cannot_be_cut_off_swapped_or_taken_from_elsewhere() -> None:
    seal = made()
    data = b"".join(bytes([number]) * CHUNK_BYTES for number in range(4))
    sealed = seal.seal_file("samples", "n", data)
    size = CHUNK_BYTES + SIV_BYTES
    header, chunks = sealed[:HEADER_BYTES], [sealed[HEADER_BYTES + i * size :][:size] for i in range(5)]
    shorter = seal.seal_file("samples", "n", data[: 3 * CHUNK_BYTES])
    attempts = [
        header + b"".join(chunks[:-1]),
        header + b"".join([chunks[1], chunks[0], *chunks[2:]]),
        header + b"".join([chunks[0], chunks[1], chunks[1], *chunks[3:]]),
        shorter[:HEADER_BYTES] + b"".join(chunks[:4]),
        header + shorter[HEADER_BYTES : HEADER_BYTES + size] + b"".join(chunks[1:]),
    ]
    for attempt in attempts:
        with pytest.raises(TamperError):
            seal.open_file("samples", "n", attempt)


def test_names_cuts_and_ids_are_keyed_apart() -> None:
    seal, data = made(), b"x"
    digest = digest_of(data)
    found = [
        seal.member_name(digest),
        seal.draw(digest),
        seal.file_name(data),
        seal.row_id(digest),
        seal.stamp("source", digest),
    ]
    assert len(set(found)) == len(found)
    assert digest not in found
    assert all(len(text) == 64 and set(text) <= set("0123456789abcdef") for text in found)
    assert seal.stamp("a", "bc") != seal.stamp("ab", "c")


def test_what_is_joined_takes_all_its_domains() -> None:
    first, second, third = made(domain="d1"), made(domain="d2"), made(domain="d3")
    joined = first.joined((second, third))
    sealed = joined.seal_file("facet", "*", b"all of it")
    assert third.joined((first, second)).open_file("facet", "*", sealed) == b"all of it"
    for fewer in (first.joined(()), first.joined((second,)), second):
        with pytest.raises(TamperError):
            fewer.open_file("facet", "*", sealed)


@pytest.mark.parametrize("padding", ["none", "padme"])
def test_sizes_tell_as_much_as_the_policy_lets_them(padding: str) -> None:
    seal = made(padding=padding)
    sizes = {seal.member_size(size) for size in range(100_000, 100_200)}
    assert len(sizes) == (200 if padding == "none" else 1)
    files = {len(seal.seal_file("samples", "n", bytes(size))) for size in range(100_000, 100_200, 20)}
    assert len(files) == (10 if padding == "none" else 1)


@given(st.integers(0, 2**45))
def test_padme_costs_at_most_12_percent(size: int) -> None:
    padded = padded_size(size)
    assert size <= padded <= size + size * 12 // 100 + 1
    assert padded_size(padded) == padded


def test_padme_gives_the_sizes_of_its_paper() -> None:
    # Worked by hand after the definition: E = floor(log2 L), S = floor(log2 E) + 1, E − S bits are rounded up.
    sizes = (0, 1, 8, 9, 15, 16, 17, 100, 1000, 100_000)
    assert [padded_size(size) for size in sizes] == [0, 1, 8, 10, 16, 16, 18, 104, 1024, 100_352]


def test_a_seal_tells_nothing() -> None:
    seal = made()
    assert repr(seal) == "<DomainSeal>"
    sealed = seal.seal_file("samples", "n", b"x")
    reader = seal.reader("samples", "n", len(sealed), lambda start, length: sealed[start : start + length])
    assert repr(reader) == "<ChunkReader>"
    for secret in (seal, reader):
        with pytest.raises(TypeError, match="keys are not pickled or copied"):
            pickle.dumps(secret)
