"""Derived keys: known answers, no two alike, nothing shown."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dsetkit.access.keys import DataKey, label

PROJECT = "00112233445566778899aabbccddeeff"


def test_hkdf_gives_the_answers_of_rfc_5869() -> None:
    # Appendix A.1 and A.3.
    secret, salt, info = bytes([0x0B] * 22), bytes(range(13)), bytes(range(0xF0, 0xFA))
    assert HKDF(SHA256(), 42, salt=salt, info=info).derive(secret).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert HKDF(SHA256(), 42, salt=b"", info=b"").derive(secret).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_a_key_for_a_use_is_hkdf_with_a_length_prefixed_label() -> None:
    secret = bytes(range(32))
    info = b"".join(
        len(part).to_bytes(8, "big") + part for part in (b"dsetkit/1", b"d1", (2).to_bytes(8, "big"), b"members")
    )
    expected = HKDF(SHA256(), 64, salt=bytes.fromhex(PROJECT), info=info).derive(secret)
    assert DataKey(secret).use(PROJECT, "d1", 2, "members", 64) == expected


def test_no_two_uses_epochs_domains_or_projects_share_a_key() -> None:
    key = DataKey(bytes(range(32)))
    found = {
        key.use(project, domain, epoch, use)  # type: ignore[arg-type]
        for project in (PROJECT, PROJECT[::-1])
        for domain in ("d1", "d11", "d")
        for epoch in (1, 11)
        for use in ("members", "member-names", "files", "file-names", "cuts", "rows", "stamps", "commitment", "facets")
    }
    assert len(found) == 2 * 3 * 2 * 9


def test_a_label_says_where_each_part_ends() -> None:
    assert label(b"ab", b"c") != label(b"a", b"bc")
    assert label(b"", b"a") != label(b"a", b"")


def test_a_commitment_binds_the_key_and_its_place() -> None:
    key = DataKey.generate()
    said = key.commitment(PROJECT, "d1", 1)
    assert key.is_committed(PROJECT, "d1", 1, said)
    assert not key.is_committed(PROJECT, "d1", 2, said)
    assert not DataKey.generate().is_committed(PROJECT, "d1", 1, said)


def test_a_key_tells_nothing_and_stays_where_it_is() -> None:
    secret = bytes(range(100, 132))
    key = DataKey(secret)
    assert repr(key) == str(key) == f"{key}" == "<DataKey>"
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="keys are not pickled or copied"):
            act(key)
    with pytest.raises(TypeError):
        json.dumps(key)
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_data_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"a data key has 32 bytes, not {size}"):
        DataKey(bytes(size))
