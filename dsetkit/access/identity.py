"""A principal's secret keys: one file that decrypts (age) and signs (SSH, Ed25519).

``access init`` makes it, mode 0600: comment lines, an age identity line (age-encryption.org/v1; the form of the file is
that of age-keygen(1)), and an OpenSSH private key (PROTOCOL.key) without passphrase. An OpenSSH Ed25519 key file alone
serves as well: age encrypts for such keys. Which file it is, is always said by whoever calls: no key of ``~/.ssh`` is
taken unasked.

The private key is in memory of this process and in its file only: signatures are made here (``signing``), so no agent,
temporary file or other program ever holds it.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pyrage
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_ssh_private_key
from pydantic import TypeAdapter, ValidationError

from dsetkit.access import signing
from dsetkit.access.files import shown
from dsetkit.access.keys import Secret
from dsetkit.access.process import no_core_dumps
from dsetkit.errors import AccessError
from dsetkit.spec.policy import Principal, PrincipalName
from dsetkit.storage.atomic import sync_folder, written

IDENTITY_VARIABLE = "DSETKIT_IDENTITY"
"""Names the identity file."""

_MAX_BYTES = 64 * 1024
_MAKE = "`dsetkit access init` makes one; then name it with --identity or in $DSETKIT_IDENTITY."
_OWN = "Use one made by `dsetkit access init`: it is a file of its own that no agent and no passphrase guards."
_COPY = "Take it back from where you keep a copy, or make another."
_NAME = re.compile(r"# dsetkit identity of (\S+)\Z")
_PEM = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END OPENSSH PRIVATE KEY-----\n?\Z")
_KEY_MAGIC = b"openssh-key-v1\0"
_PRINCIPAL: TypeAdapter[str] = TypeAdapter(PrincipalName)


class Identity(Secret):
    """The secret keys of one principal, as read from an identity file. Threads may share it."""

    __slots__ = ("_age", "_signing", "name", "public")

    name: str | None
    """As its file says; a policy knows principals by their keys alone."""
    public: Principal
    """What others may know of it."""

    def __init__(self, name: str | None, age: pyrage.x25519.Identity | None, pem: str) -> None:
        """``pem`` is an OpenSSH Ed25519 key; without ``age`` it also decrypts."""
        private = load_ssh_private_key(pem.encode(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError("the signing key is of kind ssh-ed25519")
        self.name = name
        self._signing = private
        self._age = age if age is not None else pyrage.ssh.Identity.from_buffer(pem.encode())
        key = signing.public_text(private)
        self.public = Principal(age=(str(age.to_public()) if age is not None else key,), ssh=(key,))

    def unwrap(self, data: bytes) -> bytes:
        """The content of an age file (age-encryption.org/v1, binary).

        Raises ``AccessError`` where it was not encrypted for this identity, or is no whole age file; what of the two
        cannot always be told, and neither says who made it.
        """
        no_core_dumps()
        try:
            content: bytes = pyrage.decrypt(data, [self._age])
        except pyrage.DecryptError:
            raise AccessError(
                "It is not encrypted for this identity, or is damaged",
                subject="an age file",
                hint="Ask an admin to grant access again.",
            ) from None
        return content

    def sign(self, data: bytes, namespace: str) -> str:
        """An armoured SSH signature (PROTOCOL.sshsig) of ``data``; for namespaces see ``signing.namespace_of``."""
        return signing.sign(self._signing, data, namespace)


def load_identity(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Identity:
    """Reads the identity file ``path``, else the one that ``DSETKIT_IDENTITY`` names; never another.

    Raises ``AccessError`` that says what to do: none named, not there, readable by others, no usable key in it, or
    within a project that has a policy, where it would be committed with what it opens.
    """
    if path is None:
        named = environ.get(IDENTITY_VARIABLE, "")
        if not named:
            raise AccessError("No identity is named", subject="identity", hint=_MAKE)
        path = Path(named).expanduser()
    for folder in path.resolve().parents:
        if (folder / "access" / "policy").is_dir():
            raise AccessError(
                f"{path} lies in the project {folder}: it would be committed, or backed up, with what it opens",
                subject=str(path),
                hint=f"Move it out, and name its new place (in {IDENTITY_VARIABLE}). If it was committed, make a new "
                "one: who has the repository has it.",
            )
    no_core_dumps()
    return _parse(_read(path), path)


def make_identity(path: Path, *, name: str) -> Identity:
    """Makes a new identity for ``name`` and writes it to ``path``, which only its owner may read (0600).

    Raises ``AccessError`` where a file is there already or ``name`` cannot be a principal's; ``StorageError``.
    """
    try:
        _PRINCIPAL.validate_python(name)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise AccessError(f"No identity can have this name: {why}", subject=name, hint="Choose another name.") from None
    no_core_dumps()
    age = pyrage.x25519.Identity.generate()
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    made = Identity(name, age, pem)
    text = "\n".join((*_comments(name, made.public), str(age), pem))
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise AccessError(
                f"{path} is there already and is not written over",
                subject=str(path),
                hint="Name another file; what an identity could read is lost with it.",
            ) from None
        with open(number, "w", encoding="ascii") as file:
            os.fchmod(number, 0o600)
            file.write(text)
            file.flush()
            os.fsync(number)
        sync_folder(path.parent)
    return made


def _comments(name: str, public: Principal) -> tuple[str, str, str]:
    return (f"# dsetkit identity of {name}", f"# public key: {public.age[0]}", f"# signing key: {public.ssh[0]}")


def _read(path: Path) -> str:
    try:
        # O_NONBLOCK: a named pipe must not make us wait for a writer.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            state = os.fstat(number)
            if not stat.S_ISREG(state.st_mode):
                _refuse(path, "is no regular file", _MAKE)
            if stat.S_IMODE(state.st_mode) & 0o077:
                _refuse(path, "can be read or written by others than its owner", f"Close it: chmod 600 {path}")
            with open(number, "rb", closefd=False) as file:
                data = file.read(_MAX_BYTES + 1)
        finally:
            os.close(number)
    except FileNotFoundError:
        _refuse(path, "is not there", _MAKE)
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror})", "Run as the user whom it belongs to, or name another.")
    try:
        if len(data) > _MAX_BYTES:
            raise UnicodeError
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeError:
        _refuse(path, "is no identity file", _MAKE)


def _parse(text: str, path: Path) -> Identity:
    _refuse_other_keys(text, path)
    head, begin, rest = text.partition("-----BEGIN ")
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    secrets = [line for line in lines if not line.startswith("#")]
    if len(secrets) > 1 or not all(line.startswith("AGE-SECRET-KEY-1") for line in secrets):
        _refuse(path, "is no identity file", _MAKE)
    pem = _PEM.match(begin + rest)
    if pem is None:
        _refuse(path, "has no key to sign with" if secrets else "is no identity file", _MAKE)
    _refuse_other_ssh_keys(pem[1], path)
    names = [found[1] for line in lines if (found := _NAME.match(line))]
    try:
        name = _PRINCIPAL.validate_python(names[0]) if names else None
        age = pyrage.x25519.Identity.from_str(secrets[0]) if secrets else None
        identity = Identity(name, age, pem[0])
    except (ValueError, TypeError, pyrage.IdentityError, UnsupportedAlgorithm):
        # The cause is left out: it may quote what stands in the file.
        _refuse(path, "is damaged: a key in it is not whole", _COPY)
    if name is not None and secrets:
        told = [line for line in lines if line.startswith(("# public key:", "# signing key:"))]
        if not set(told) <= set(_comments(name, identity.public)):
            _refuse(path, "names other public keys than it has", _COPY)
    return identity


def _refuse_other_keys(text: str, path: Path) -> None:
    """Files that hold another kind of key, by how they begin."""
    start = text.lstrip()
    if start.startswith(("age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----")):
        _refuse(path, "is guarded by a passphrase, and pipelines cannot type one", _OWN)
    if re.match(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ AAAA", start):
        _refuse(path, "is a public key; its secret, if an agent holds it, cannot be used", _OWN)
    if start.startswith("-----BEGIN ") and not start.startswith("-----BEGIN OPENSSH PRIVATE KEY-----"):
        if "ENCRYPTED" in start[:2000]:
            _refuse(path, "is guarded by a passphrase, and pipelines cannot type one", _OWN)
        _refuse(path, "is no OpenSSH key of kind ssh-ed25519", _OWN)


def _refuse_other_ssh_keys(body: str, path: Path) -> None:
    """OpenSSH keys (PROTOCOL.key) that are encrypted or not Ed25519, by their unencrypted head."""
    try:
        data = base64.b64decode(body.replace("\n", ""), validate=True)
    except ValueError:
        data = b""
    if not data.startswith(_KEY_MAGIC):
        _refuse(path, "is damaged: a key in it is not whole", _COPY)
    cipher, data = _string(data[len(_KEY_MAGIC) :])
    if cipher != b"none":
        _refuse(path, "is guarded by a passphrase, and pipelines cannot type one", _OWN)
    _, data = _string(data)
    _, data = _string(data)
    public, _ = _string(data[4:])
    kind, _ = _string(public)
    if kind != b"ssh-ed25519":
        _refuse(path, f"holds a key of kind {shown(kind.decode('ascii', 'replace'))}, not ssh-ed25519", _OWN)


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The string at the front (RFC 4251, section 5), and what follows; short where the data is."""
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]


def _refuse(path: Path, what: str, hint: str) -> NoReturn:
    raise AccessError(f"The identity file {path} {what}", subject=str(path), hint=hint) from None
