from __future__ import annotations

import base64
import os
import random
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dsetkit.access import signing
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.policy import AccessPolicy, Domain, Epoch, Principal, StageRule

PROJECT = "ab" * 16
SPACE = signing.namespace_of("policy", PROJECT)
DATA = b"what is signed\n"


@pytest.fixture(scope="module")
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(scope="module")
def key_file(private: Ed25519PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    path.touch(mode=0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return path


def ssh_keygen(*arguments: str | Path, data: bytes) -> bytes:
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return subprocess.run(["ssh-keygen", *arguments], input=data, capture_output=True, check=True, env=environ).stdout


def check(signature: bytes | str, private: Ed25519PrivateKey, data: bytes = DATA, namespace: str = SPACE) -> str:
    return signing.verify(data, signature, namespace=namespace, principal="ada", keys=[signing.public_text(private)])


def test_signatures_are_those_of_ssh_keygen_to_the_byte(private: Ed25519PrivateKey, key_file: Path) -> None:
    theirs = ssh_keygen("-Y", "sign", "-f", key_file, "-n", SPACE, data=DATA)
    assert signing.sign(private, DATA, SPACE).encode() == theirs
    assert check(theirs, private) == signing.public_text(private)


def test_ssh_keygen_accepts_ours_with_the_file_of_allowed_signers(private: Ed25519PrivateKey, tmp_path: Path) -> None:
    key = signing.public_text(private)
    ada = Principal(age=(key,), ssh=(key,))
    policy = AccessPolicy(project=PROJECT, version=1, admins=("ada",), principals={"ada": ada})
    allowed, signature = tmp_path / "allowed", tmp_path / "sig"
    allowed.write_text(signing.allowed_signers(policy))
    uses = [signing.namespace_of(use, PROJECT) for use in ("policy", "snapshot", "audit")]
    assert allowed.read_text() == f'ada namespaces="git,{",".join(uses)}" {key}\n'
    for namespace in (*uses, "git"):
        signature.write_text(signing.sign(private, DATA, namespace))
        said = ssh_keygen("-Y", "verify", "-f", allowed, "-I", "ada", "-n", namespace, "-s", signature, data=DATA)
        assert said.startswith(f'Good "{namespace}" signature for ada'.encode())


def test_allowed_is_what_each_may_sign(private: Ed25519PrivateKey, tmp_path: Path) -> None:
    """A reader signs neither policies nor snapshots, and no tag of theirs is a release."""
    key = signing.public_text(private)
    people = {name: Principal(age=(key,), ssh=(key,)) for name in ("ada", "bob", "cy")}
    epochs = (Epoch(number=1, commitment="0" * 64),)
    policy = AccessPolicy(
        project=PROJECT,
        version=1,
        admins=("ada",),
        principals=people,
        stages={"cleaned": StageRule(domain="d1", readers=("bob", "cy"), builders=("bob",))},
        domains={"d1": Domain(readers=("bob", "cy"), epochs=epochs)},
    )
    allowed = {line.split()[0]: line.split('"')[1].split(",") for line in signing.allowed_signers(policy).splitlines()}
    assert {name: [space.partition("@")[0] for space in spaces] for name, spaces in allowed.items()} == {
        "ada": ["git", "dsetkit-policy", "dsetkit-snapshot", "dsetkit-audit"],
        "bob": ["git", "dsetkit-snapshot", "dsetkit-audit"],
        "cy": ["dsetkit-audit"],
    }


@pytest.mark.parametrize("size", [0, 1, 70, 4095, 1_000_000])
def test_any_size_is_signed(private: Ed25519PrivateKey, size: int) -> None:
    data = bytes(size)
    check(signing.sign(private, data, SPACE), private, data)


def test_each_reason_has_its_own_words(private: Ed25519PrivateKey) -> None:
    good = signing.sign(private, DATA, SPACE)
    with pytest.raises(TamperError, match="the signature by ada is of other content: that, or the signature, was"):
        check(good, private, DATA + b" ")
    with pytest.raises(TamperError, match="was made for another use or project"):
        check(good, private, namespace=signing.namespace_of("snapshot", PROJECT))
    with pytest.raises(TamperError, match="was made for another use or project"):
        check(good, private, namespace=signing.namespace_of("policy", "cd" * 16))
    with pytest.raises(TamperError, match=r"was not made with a key of ada\. Have ada sign it again"):
        check(good, Ed25519PrivateKey.generate())
    with pytest.raises(TamperError, match="is no SSH signature, or was altered"):
        check("nothing", private)
    with pytest.raises(TamperError, match="more than 4,096 bytes"):
        check(good + "\n" * 5000, private)


def test_no_other_text_of_a_signature_is_accepted(private: Ed25519PrivateKey) -> None:
    good = signing.sign(private, DATA, SPACE)
    lines = good.splitlines()
    others = [
        good + "\n",
        "\n" + good,
        good.replace("\n", "\r\n"),
        good.rstrip("\n"),
        lines[0] + "\n" + "".join(lines[1:-1]) + "\n" + lines[-1] + "\n",
        good.replace("==\n", "=\n") if "==\n" in good else good.replace("=\n", "\n"),
    ]
    for other in others:
        if other != good:
            with pytest.raises(TamperError):
                check(other, private)


def test_the_second_signature_that_ed25519_has_is_refused(private: Ed25519PrivateKey) -> None:
    # S + L satisfies the same equation; RFC 8032 demands S < L, ssh-keygen 9.2 does not look.
    good = signing.sign(private, DATA, SPACE)
    raw = signing.parse_signature(good).raw
    s = int.from_bytes(raw[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    body = base64.b64decode("".join(good.splitlines()[1:-1])).replace(raw, raw[:32] + s.to_bytes(32, "little"))
    text = base64.b64encode(body).decode()
    armoured = "\n".join([text[i : i + 70] for i in range(0, len(text), 70)])
    with pytest.raises(TamperError, match="is no SSH signature, or was altered"):
        check(f"-----BEGIN SSH SIGNATURE-----\n{armoured}\n-----END SSH SIGNATURE-----\n", private)


def test_no_altered_signature_is_accepted(private: Ed25519PrivateKey) -> None:
    good = signing.sign(private, DATA, SPACE).encode()
    rng = random.Random(1)
    for _ in range(3000):
        bad = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 5))):
            place = rng.randrange(len(bad))
            match rng.randrange(3):
                case 0:
                    bad[place] ^= 1 << rng.randrange(8)
                case 1:
                    del bad[place : place + rng.randrange(1, 40)]
                case _:
                    bad[place:place] = bad[place : place + rng.randrange(1, 40)]
            if not bad:
                break
        if bytes(bad) != good:
            with pytest.raises(TamperError):
                check(bytes(bad), private)


def test_names_that_could_mean_more_than_a_name_are_refused(private: Ed25519PrivateKey) -> None:
    good = signing.sign(private, DATA, SPACE)
    key = signing.public_text(private)
    for principal in ("*", "ada,bob", "-n", "ada bob", "a\nb", "", "ä", "../a"):
        with pytest.raises(ValueError, match="no principal's name"):
            signing.verify(DATA, good, namespace=SPACE, principal=principal, keys=[key])
    for namespace in ("*", "file", "git,file", "dsetkit-policy@", f"{SPACE}\n", f'{SPACE}" x'):
        with pytest.raises(ValueError, match="no namespace"):
            signing.sign(private, DATA, namespace)
        with pytest.raises(ValueError, match="no namespace"):
            signing.verify(DATA, good, namespace=namespace, principal="ada", keys=[key])
    for bad in (f"{key} comment", f"* {key}", "ssh-rsa AAAA", key[:-4], "cert-authority " + key, key + "\n"):
        with pytest.raises(ValueError, match="not a public key"):
            signing.verify(DATA, good, namespace=SPACE, principal="ada", keys=[bad])


def test_ssh_keygen_has_the_last_word(
    private: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = signing.sign(private, DATA, SPACE)
    program = tmp_path / "ssh-keygen"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AccessError, match=r"there is no ssh-keygen\. Install OpenSSH, 8.1 or later"):
        check(good, private)
    program.write_text("#!/bin/sh\necho 'I do not like it \033[31m' >&2\nexit 255\n")
    program.chmod(0o755)
    with pytest.raises(TamperError, match=r"refused by ssh-keygen \(I do not like it \\x1b\[31m\)"):
        check(good, private)
    program.write_text("#!/bin/sh\necho 'No user exists for uid 1234' >&2\nexit 255\n")
    with pytest.raises(AccessError, match="ssh-keygen does not run here") as found:
        check(good, private)
    assert not isinstance(found.value, TamperError)


def test_no_agent_and_no_secret_reaches_the_other_program(
    private: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    program = tmp_path / "bin" / "ssh-keygen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{{ /usr/bin/env; echo "$@"; /bin/cat "$4" "${{10}}"; }} > {told} 2>&1\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    check(signing.sign(private, DATA, SPACE), private)
    text = told.read_text()
    assert "namespaces=" in text
    assert "SSH_AUTH_SOCK" not in text
    assert "PRIVATE" not in text
