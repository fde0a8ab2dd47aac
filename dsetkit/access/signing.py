"""SSH signatures: made here, checked here, and by ``ssh-keygen -Y verify``, which has the last word.

Sources: the signature's format is OpenSSH's PROTOCOL.sshsig; Ed25519 is RFC 8032; the file of allowed signers is as in
ssh-keygen(1), ALLOWED SIGNERS. Signing happens in this process, so that a private key is in no file but its own and no
other program ever sees it. Before ``ssh-keygen`` sees a signature, it was taken apart here strictly: there is one text
for one signature, so none is accepted that was altered in any bit. A signature is bound to a *namespace*, which
names the use and the project: one for a snapshot is none for a policy, and none in another project.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import TypeAdapter, ValidationError

from dsetkit.access.files import refuse, shown
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy, PrincipalName

Use = Literal["policy", "snapshot", "audit"]

GIT_NAMESPACE = "git"
"""The namespace of git's own signatures (gitformat-signature(5))."""

MAX_SIGNATURE_BYTES = 4096

_MAGIC = b"SSHSIG"
_KIND = b"ssh-ed25519"
_HASH = b"sha512"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"
_LINE = 70
_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group of Ed25519 (RFC 8032, section 5.1)."""
_NAMESPACE = re.compile(r"(git|dsetkit-(policy|snapshot|audit)@[0-9a-f]{32})\Z")
_PRINCIPAL: TypeAdapter[str] = TypeAdapter(PrincipalName)
_TIMEOUT_S = 60


class Signature(NamedTuple):
    """A signature, taken apart; that it has this form says nothing of whether it is right."""

    key: str
    """``ssh-ed25519 …``: who seems to have signed."""
    namespace: str
    raw: bytes
    """64 bytes: R and S."""


def namespace_of(use: Use, project: str) -> str:
    """The namespace of signatures for one use in one project: ``dsetkit-policy@<project id>``."""
    return _checked_namespace(f"dsetkit-{use}@{project}")


def sign(private: Ed25519PrivateKey, data: bytes, namespace: str) -> str:
    """An armoured SSHSIG of ``data``, the same text that ``ssh-keygen -Y sign`` makes (PROTOCOL.sshsig).

    Raises ``ValueError`` for a namespace that is none of this project's uses.
    """
    public = _key_blob(private.public_key().public_bytes_raw())
    raw = private.sign(_signed_bytes(data, _checked_namespace(namespace)))
    return _armoured(public, namespace, raw)


def parse_signature(signature: bytes | str, subject: str = "the signature") -> Signature:
    """Takes a signature apart. Raises ``TamperError`` unless it is the one text of an Ed25519 SSHSIG."""
    text = signature.encode() if isinstance(signature, str) else signature
    if len(text) > MAX_SIGNATURE_BYTES:
        refuse(f"has more than {MAX_SIGNATURE_BYTES:,} bytes, and no signature is that large", subject)
    try:
        lines = text.decode("ascii")
        body = base64.b64decode(lines.removeprefix(_BEGIN).removesuffix(_END).replace("\n", ""), validate=True)
        if body[:10] != _MAGIC + (1).to_bytes(4, "big"):
            raise ValueError
        key, namespace, _, algorithm, inner = _strings(body[10:], 5)
        kind, raw = _strings(inner, 2)
        public = _strings(key, 2)
        if (kind, public[0], algorithm) != (_KIND, _KIND, _HASH) or (len(public[1]), len(raw)) != (32, 64):
            refuse("is no signature by an Ed25519 key with SHA-512", subject, hint="Sign with a dsetkit identity.")
        # S below the order, else there were a second signature for each (RFC 8032, section 5.1.7).
        if int.from_bytes(raw[32:], "little") >= _ORDER or _armoured(key, namespace.decode("ascii"), raw) != lines:
            raise ValueError
    except ValueError:  # also what b64decode and decode raise
        refuse("is no SSH signature, or was altered", subject)
    return Signature(_key_text(key), namespace.decode("ascii"), raw)


def verify(
    data: bytes,
    signature: bytes | str,
    *,
    namespace: str,
    principal: str,
    keys: Sequence[str],
    subject: str = "the signature",
) -> str:
    """Checks that ``principal``, whose public keys (``ssh-ed25519 …``) are ``keys``, signed ``data``; gives the key.

    Both ``verify_here`` and ``confirm``. Raises ``TamperError`` with the reason; ``AccessError`` where ``ssh-keygen``
    is not there or does not run; ``ValueError`` for a namespace, principal or key in ``keys`` that cannot be one.
    """
    key = verify_here(data, signature, namespace=namespace, principal=principal, keys=keys, subject=subject)
    confirm(data, signature, namespace=namespace, principal=principal, key=key, subject=subject)
    return key


def verify_here(
    data: bytes,
    signature: bytes | str,
    *,
    namespace: str,
    principal: str,
    keys: Sequence[str],
    subject: str = "the signature",
) -> str:
    """The half of ``verify`` that takes no other program: many signatures are checked so before one is confirmed."""
    _checked_namespace(namespace)
    _checked_principal(principal)
    points = {key: key_bytes(key) for key in keys}
    found = parse_signature(signature, subject)
    if found.namespace != namespace:
        refuse(f"was made for another use or project ({shown(found.namespace)}, not {namespace})", subject)
    if found.key not in points:
        refuse(f"was not made with a key of {principal}", subject, hint=f"Have {principal} sign it again.")
    try:
        Ed25519PublicKey.from_public_bytes(points[found.key]).verify(found.raw, _signed_bytes(data, namespace))
    except (InvalidSignature, ValueError):
        refuse(f"by {principal} is of other content: that, or the signature, was altered", subject)
    return found.key


def confirm(
    data: bytes, signature: bytes | str, *, namespace: str, principal: str, key: str, subject: str = "the signature"
) -> None:
    """The other half of ``verify``: ``ssh-keygen`` has the last word. ``key`` is what ``verify_here`` gave."""
    line = _signer_line(_checked_principal(principal), [_checked_namespace(namespace)], key)
    text = signature.encode() if isinstance(signature, str) else signature
    _run_ssh_keygen(data, text, f"{line}\n", principal, namespace, subject)


def allowed_signers(policy: AccessPolicy) -> str:
    """The file of allowed signers (ssh-keygen(1)): each principal of a verified policy, for what they sign by it.

    That is the policy for admins, snapshots and reports for builders of any stage and admins, an audit chain for all.
    Git checks tags and commits with it (``gpg.ssh.allowedSignersFile``): of admins and builders, as what somebody signs
    there is taken for a release. Which stages a builder builds, such a file cannot say.
    """
    builders = {name for rule in policy.stages.values() for name in rule.builders}

    def namespaces(name: str) -> list[str]:
        is_admin = name in policy.admins
        signs = is_admin or name in builders
        uses: list[tuple[Use, bool]] = [("policy", is_admin), ("snapshot", signs), ("audit", True)]
        own = [namespace_of(use, policy.project) for use, is_theirs in uses if is_theirs]
        return [GIT_NAMESPACE, *own] if signs else own

    return "".join(
        f"{_signer_line(_checked_principal(name), namespaces(name), key)}\n"
        for name, principal in sorted(policy.principals.items())
        for key in sorted(principal.ssh)
        if key_bytes(key)
    )


def key_bytes(key: str) -> bytes:
    """The 32 bytes of a public key ``ssh-ed25519 …``. Raises ``ValueError`` unless it is the one text of one."""
    kind, _, text = key.partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
        name, point = _strings(blob, 2)
    except ValueError:  # binascii.Error is one
        raise ValueError("not a public key of kind ssh-ed25519") from None
    if kind.encode() != _KIND or name != _KIND or len(point) != 32 or _key_text(blob) != key:
        raise ValueError("not a public key of kind ssh-ed25519")
    return point


def public_text(private: Ed25519PrivateKey) -> str:
    """The public key as in ``authorized_keys``, without comment."""
    return _key_text(_key_blob(private.public_key().public_bytes_raw()))


def _run_ssh_keygen(data: bytes, text: bytes, signers: str, principal: str, namespace: str, subject: str) -> None:
    """``ssh-keygen -Y verify``; what lies in the temporary folder meanwhile is public."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise AccessError(
            "Signatures cannot be checked: there is no ssh-keygen",
            subject=subject,
            hint="Install OpenSSH, 8.1 or later (Debian: openssh-client).",
        )
    with tempfile.TemporaryDirectory(prefix="dsetkit-verify-") as folder:
        allowed, signature = Path(folder, "allowed_signers"), Path(folder, "signature")
        allowed.write_text(signers, encoding="ascii")
        signature.write_bytes(text)
        command = [program, "-Y", "verify", "-f", str(allowed), "-I", principal, "-n", namespace, "-s", str(signature)]
        try:
            done = subprocess.run(
                command,
                input=data,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"LC_ALL": "C", "HOME": folder},  # no agent, no settings of this user
                cwd=folder,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _no_answer(subject, shown(str(error))) from error
    if done.returncode:
        said = shown(done.stderr.decode("utf-8", "replace").strip().replace("\n", "; "))
        if "No user exists" in said:
            raise _no_answer(subject, said)
        refuse(f"by {principal} is refused by ssh-keygen ({said})", subject)


def _no_answer(subject: str, said: str) -> AccessError:
    return AccessError(
        f"{subject} cannot be checked: ssh-keygen does not run here ({said})",
        subject=subject,
        hint="See that `ssh-keygen -Y verify` works for this user.",
    )


def _signer_line(principal: str, namespaces: Sequence[str], key: str) -> str:
    return f'{principal} namespaces="{",".join(namespaces)}" {key}'


def _signed_bytes(data: bytes, namespace: str) -> bytes:
    """What the key signs: never the content itself, so no signature of another protocol can be one of these."""
    digest = hashlib.sha512(data).digest()
    return _MAGIC + b"".join(_string(part) for part in (namespace.encode(), b"", _HASH, digest))


def _armoured(key: bytes, namespace: str, raw: bytes) -> str:
    inner = _string(_KIND) + _string(raw)
    parts = b"".join(_string(part) for part in (key, namespace.encode(), b"", _HASH, inner))
    text = base64.b64encode(_MAGIC + (1).to_bytes(4, "big") + parts).decode()
    lines = (text[start : start + _LINE] + "\n" for start in range(0, len(text), _LINE))
    return _BEGIN + "".join(lines) + _END


def _key_blob(point: bytes) -> bytes:
    return _string(_KIND) + _string(point)


def _key_text(blob: bytes) -> str:
    return f"{_KIND.decode()} {base64.b64encode(blob).decode()}"


def _string(part: bytes) -> bytes:
    """A string of RFC 4251, section 5."""
    return len(part).to_bytes(4, "big") + part


def _strings(data: bytes, count: int) -> list[bytes]:
    """Exactly ``count`` strings of RFC 4251, and nothing after. Raises ``ValueError``."""
    parts = []
    for _ in range(count):
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise binascii.Error("cut off")
        parts.append(data[4 : 4 + length])
        data = data[4 + length :]
    if data:
        raise binascii.Error("more than there should be")
    return parts


def _checked_namespace(namespace: str) -> str:
    if not _NAMESPACE.match(namespace):
        raise ValueError(f"{namespace!r} is no namespace of signatures")
    return namespace


def _checked_principal(principal: str) -> str:
    try:
        return _PRINCIPAL.validate_python(principal)
    except ValidationError:
        raise ValueError(f"{principal!r} is no principal's name") from None
