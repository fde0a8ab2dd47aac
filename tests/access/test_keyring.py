from __future__ import annotations

import base64
import json
import random
from typing import TYPE_CHECKING

import pyrage
import pytest

from dsetkit.access.files import document_text
from dsetkit.access.keyring import keyring_name, needs_wrapping, read_keyring, unwrap, wrap
from dsetkit.access.keys import DataKey
from dsetkit.access.wanted import Wanted
from dsetkit.errors import AccessError, TamperError

if TYPE_CHECKING:
    from conftest import Team


@pytest.fixture
def sealed(team: Team) -> Team:
    wanted = Wanted.of(team.chain.policy)
    people = {name: team.people[name].public for name in ("ada", "bob", "cy")}
    wanted = Wanted(principals=people, admins=wanted.admins).with_reader("cleaned", "ada", builds=True)
    team.change(wanted.with_reader("cleaned", "bob"))
    return team


def test_readers_get_the_keys_and_others_are_told_who_has_them(sealed: Team) -> None:
    policy = sealed.chain.policy
    for name in ("ada", "bob"):
        keys = read_keyring(sealed.root, sealed.people[name], policy, "d1")
        assert {n: k.reveal() for n, k in keys.items()} == {1: sealed.keys["d1"][1].reveal()}
    with pytest.raises(AccessError) as found:
        read_keyring(sealed.root, sealed.people["cy"], policy, "d1")
    assert str(found.value) == (
        "access/keys/d1.age was not encrypted for this identity, or is damaged. "
        "Have an admin or a reader (ada, bob) wrap it again: dsetkit access rotate."
    )
    (sealed.root / keyring_name("d1")).unlink()
    with pytest.raises(AccessError, match=r"d1.age is not there. Take it back \(git checkout access/keys\)"):
        read_keyring(sealed.root, sealed.people["ada"], policy, "d1")


def test_revoking_starts_an_epoch_and_old_keyrings_are_refused(sealed: Team) -> None:
    place = sealed.root / keyring_name("d1")
    old = place.read_bytes()
    before = sealed.chain.policy
    chain = sealed.change(sealed.wanted().without_reader("cleaned", "bob"))
    assert needs_wrapping(before, chain.policy) == ("d1",)
    assert set(read_keyring(sealed.root, sealed.people["ada"], chain.policy, "d1")) == {1, 2}
    with pytest.raises(AccessError, match="was not encrypted for this identity"):
        read_keyring(sealed.root, sealed.people["bob"], chain.policy, "d1")
    place.write_bytes(old)
    for name in ("ada", "bob"):
        with pytest.raises(TamperError, match="is an older one: it lacks the data key of epoch 2"):
            read_keyring(sealed.root, sealed.people[name], chain.policy, "d1")


def test_a_keyring_that_somebody_made_is_refused(sealed: Team) -> None:
    policy, ada = sealed.chain.policy, sealed.people["ada"]
    recipient = pyrage.x25519.Recipient.from_str(ada.public.age[0])
    key = base64.b64encode(sealed.keys["d1"][1].reveal()).decode()
    other = base64.b64encode(bytes(32)).decode()
    good = {"domain": "d1", "epochs": [{"key": key, "number": 1}], "format": 1, "project": policy.project}

    def made(row: dict[str, object]) -> bytes:
        text = (json.dumps(row, indent=2, sort_keys=True) + "\n").encode()
        data: bytes = pyrage.encrypt(text, [recipient])
        return data

    assert unwrap(ada, made(good), policy, "d1")[1].reveal() == sealed.keys["d1"][1].reveal()
    for row, message in (
        (
            {**good, "epochs": [{"key": other, "number": 1}]},
            "holds another data key of epoch 1 than the policy commits to",
        ),
        ({**good, "epochs": [{"key": key, "number": 2}]}, "is an older one: it lacks the data key of epoch 1"),
        ({**good, "domain": "d2"}, "is the keyring of another domain or project"),
        ({**good, "project": "cd" * 16}, "is the keyring of another domain or project"),
        ({**good, "epochs": []}, "holds no data keys"),
        ({**good, "epochs": [{"key": key[:-4], "number": 1}]}, "holds no data keys"),
        ({**good, "more": 1}, "holds no data keys"),
    ):
        with pytest.raises(TamperError, match=message) as found:
            unwrap(ada, made(row), policy, "d1")
        assert key[:10] not in str(found.value)
    later = {**good, "epochs": [*good["epochs"], {"key": other, "number": 2}]}  # type: ignore[misc]
    assert set(unwrap(ada, made(later), policy, "d1")) == {1}


def test_no_altered_keyring_is_accepted(sealed: Team) -> None:
    policy, ada = sealed.chain.policy, sealed.people["ada"]
    good = (sealed.root / keyring_name("d1")).read_bytes()
    rng = random.Random(2)
    for _ in range(2000):
        bad = bytearray(good)
        place = rng.randrange(len(bad))
        match rng.randrange(3):
            case 0:
                bad[place] ^= 1 << rng.randrange(8)
            case 1:
                del bad[place : place + rng.randrange(1, 40)]
            case _:
                other = rng.randrange(len(bad))
                bad[place : place + 8], bad[other : other + 8] = bad[other : other + 8], bad[place : place + 8]
        if bytes(bad) != good:
            with pytest.raises(AccessError):
                unwrap(ada, bytes(bad), policy, "d1")


def test_only_committed_keys_are_wrapped(sealed: Team) -> None:
    policy = sealed.chain.policy
    for keys in ({}, {1: DataKey.generate()}, {**sealed.keys["d1"], 2: DataKey.generate()}):
        with pytest.raises(ValueError, match="these are not the data keys of the domain d1"):
            wrap(policy, "d1", keys)
    assert document_text(policy) not in wrap(policy, "d1", sealed.keys["d1"])
