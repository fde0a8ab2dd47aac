from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
from pathlib import Path

import pyrage
import pytest

from dsetkit.access import signing
from dsetkit.access.identity import Identity, load_identity, make_identity
from dsetkit.errors import AccessError

MAKE = "`dsetkit access init` makes one; then name it with --identity or in $DSETKIT_IDENTITY."
OWN = "Use one made by `dsetkit access init`: it is a file of its own that no agent and no passphrase guards."


def keygen(path: Path, *arguments: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-C", "", "-f", path, *arguments], check=True, capture_output=True)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(AccessError) as found:
        load_identity(path)
    assert found.value.__cause__ is None
    return str(found.value)


def written(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Identity]:
    path = tmp_path / "ada"
    return path, make_identity(path, name="ada@lab")


def test_a_made_identity_is_read_back(made: tuple[Path, Identity]) -> None:
    path, identity = made
    again = load_identity(None, {"DSETKIT_IDENTITY": str(path)})
    assert path.stat().st_mode & 0o777 == 0o600
    assert (again.name, again.public) == ("ada@lab", identity.public)
    assert again.public.age[0].startswith("age1")
    wrapped = pyrage.encrypt(b"hello", [pyrage.x25519.Recipient.from_str(again.public.age[0])])
    assert again.unwrap(wrapped) == b"hello"
    space = signing.namespace_of("snapshot", "ab" * 16)
    assert signing.verify(b"x", again.sign(b"x", space), namespace=space, principal="ada@lab", keys=again.public.ssh)
    lines = path.read_text().splitlines()
    assert lines[0] == "# dsetkit identity of ada@lab"
    assert lines[1] == f"# public key: {again.public.age[0]}"
    assert lines[2] == f"# signing key: {again.public.ssh[0]}"
    assert lines[4] == "-----BEGIN OPENSSH PRIVATE KEY-----"


def test_a_plain_openssh_key_serves_for_both(tmp_path: Path) -> None:
    path = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    identity = load_identity(path)
    public = path.with_suffix(".pub").read_text().strip()
    assert (identity.name, identity.public.age, identity.public.ssh) == (None, (public,), (public,))
    assert identity.unwrap(pyrage.encrypt(b"hello", [pyrage.ssh.Recipient.from_str(public)])) == b"hello"


def test_no_personal_key_is_taken_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    keygen(tmp_path / ".ssh" / "id_ed25519", "-t", "ed25519", "-N", "")
    for environ in ({}, {"DSETKIT_IDENTITY": ""}):
        with pytest.raises(AccessError) as found:
            load_identity(None, environ)
        assert str(found.value) == f"No identity is named. {MAKE}"


def test_each_unusable_identity_says_what_to_do(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    locked = keygen(tmp_path / "locked", "-t", "ed25519", "-N", "secret")
    rsa = keygen(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
    ecdsa = keygen(tmp_path / "ecdsa", "-t", "ecdsa", "-N", "")
    pem = keygen(tmp_path / "pem", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "")
    locked_pem = keygen(tmp_path / "locked_pem", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret")
    public = written(tmp_path / "public", key.with_suffix(".pub").read_text())
    age = written(tmp_path / "age", f"# created\n{pyrage.x25519.Identity.generate()}\n")
    two = written(tmp_path / "two", f"{pyrage.x25519.Identity.generate()}\n{pyrage.x25519.Identity.generate()}\n")
    wrapped = written(tmp_path / "wrapped", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n")
    prose = written(tmp_path / "prose", "hello\n")
    cut = written(tmp_path / "cut", key.read_text()[:200] + "\n-----END OPENSSH PRIVATE KEY-----\n")
    long = written(tmp_path / "long", "#" * 70_000)
    binary = tmp_path / "binary"
    binary.touch(mode=0o600)
    binary.write_bytes(b"\xff\xfe")
    shared = written(tmp_path / "shared", key.read_text())
    shared.chmod(0o640)
    os.mkfifo(tmp_path / "pipe", mode=0o600)
    copy_hint = "Take it back from where you keep a copy, or make another."
    guarded = f"is guarded by a passphrase, and pipelines cannot type one. {OWN}"
    golden = {
        tmp_path / "none": f"is not there. {MAKE}",
        tmp_path: f"is no regular file. {MAKE}",
        tmp_path / "pipe": f"is no regular file. {MAKE}",
        shared: f"can be read or written by others than its owner. Close it: chmod 600 {shared}",
        locked: guarded,
        locked_pem: guarded,
        wrapped: guarded,
        public: f"is a public key; its secret, if an agent holds it, cannot be used. {OWN}",
        rsa: f"holds a key of kind ssh-rsa, not ssh-ed25519. {OWN}",
        ecdsa: f"holds a key of kind ecdsa-sha2-nistp256, not ssh-ed25519. {OWN}",
        pem: f"is no OpenSSH key of kind ssh-ed25519. {OWN}",
        age: f"has no key to sign with. {MAKE}",
        two: f"is no identity file. {MAKE}",
        prose: f"is no identity file. {MAKE}",
        long: f"is no identity file. {MAKE}",
        binary: f"is no identity file. {MAKE}",
        cut: f"is damaged: a key in it is not whole. {copy_hint}",
    }
    for path, expected in golden.items():
        assert refusal(path) == f"The identity file {path} {expected}"


def test_one_in_a_project_is_refused(made: tuple[Path, Identity], tmp_path: Path) -> None:
    """By whatever path it is named: it would be committed."""
    project = tmp_path / "project"
    (project / "access" / "policy").mkdir(parents=True)
    inside = project / "keys" / "mine"
    inside.parent.mkdir()
    inside.write_bytes(made[0].read_bytes())
    inside.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(inside)
    for path in (inside, link):
        assert f"lies in the project {project}: it would be committed" in refusal(path)
    (project / "access" / "policy").rmdir()
    assert load_identity(inside).public == made[1].public


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_identity_says_so(made: tuple[Path, Identity]) -> None:
    made[0].chmod(0o000)
    assert "cannot be read (Permission denied). Run as the user whom it belongs to" in refusal(made[0])


def test_comments_that_name_other_keys_are_refused(made: tuple[Path, Identity]) -> None:
    path, identity = made
    other = str(pyrage.x25519.Identity.generate().to_public())
    path.write_text(path.read_text().replace(identity.public.age[0], other))
    assert "names other public keys than it has" in refusal(path)


def test_nothing_is_written_over_and_names_are_strict(made: tuple[Path, Identity], tmp_path: Path) -> None:
    before = made[0].read_bytes()
    with pytest.raises(AccessError, match="is there already and is not written over"):
        make_identity(made[0], name="bob")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(AccessError, match="is there already"):
        make_identity(link, name="bob")
    with pytest.raises(AccessError, match="No identity can have this name: a principal's name is 1 to 64 of a-z"):
        make_identity(tmp_path / "new", name="Bob *")
    assert made[0].read_bytes() == before
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "new").exists()


def test_an_identity_tells_nothing(made: tuple[Path, Identity]) -> None:
    path, identity = made
    secret = next(line for line in path.read_text().splitlines() if line.startswith("AGE-SECRET"))
    assert repr(identity) == str(identity) == f"{identity}" == "<Identity>"
    assert not hasattr(identity, "__dict__")
    for what in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as found:
            what(identity)
        assert secret not in str(found.value)
    with pytest.raises(AccessError, match="It is not encrypted for this identity, or is damaged"):
        identity.unwrap(b"age-encryption.org/v1\n-> X25519 abc\n")


def test_no_damaged_identity_shows_what_is_in_it(made: tuple[Path, Identity]) -> None:
    path, _ = made
    text = path.read_text()
    secrets = [line for line in text.splitlines() if line and line[0] != "#" and line[0] != "-"]
    for cut in range(0, len(text), 7):
        path.write_text(text[:cut] + text[cut + 5 :])
        try:
            load_identity(path)
        except AccessError as error:
            refused = error
        else:
            continue  # cut within a comment
        assert not any(line[:20] in str(refused) for line in secrets)
        assert refused.__cause__ is None
