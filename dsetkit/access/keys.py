"""Data keys, and the keys for each use that are derived of one.

A data key is 32 random bytes of one domain and epoch and never used itself: every use has a key of its own by
HKDF-SHA256 (RFC 5869), with the project's id as salt and a length-prefixed label of domain, epoch and use as info, so
that no two uses, epochs, domains or projects share a key.
"""

from __future__ import annotations

import hmac
import os
from typing import Any, Literal, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DATA_KEY_BYTES = 32

Use = Literal["members", "member-names", "files", "file-names", "cuts", "rows", "stamps", "commitment", "facets"]
"""What a derived key is for."""

_LABEL = b"dsetkit/1"


def label(*parts: bytes) -> bytes:
    """Parts as one byte string that says where each ends: each after its length in 8 bytes, big-endian."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


class Secret:
    """What holds key material: tells nothing when shown, and cannot be copied, pickled or put into a set of JSON."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError(
            "keys are not pickled or copied: they stay in the process that unwrapped them. Open the snapshot in each "
            "process (dsetkit.open), as in worker_init_fn of a DataLoader whose workers are spawned"
        )


class DataKey(Secret):
    """The data key of one domain in one epoch."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Raises ``ValueError`` unless it has 32 bytes."""
        if len(secret) != DATA_KEY_BYTES:
            raise ValueError(f"a data key has {DATA_KEY_BYTES} bytes, not {len(secret)}")
        self._secret = bytes(secret)

    @classmethod
    def generate(cls) -> DataKey:
        """A new one, of the system's random numbers."""
        return cls(os.urandom(DATA_KEY_BYTES))

    def use(self, project: str, domain: str, epoch: int, use: Use, size_bytes: int = 32) -> bytes:
        """The key for one use; ``project`` is its id in hex. At most 8,160 bytes."""
        info = label(_LABEL, domain.encode(), epoch.to_bytes(8, "big"), use.encode())
        return HKDF(SHA256(), size_bytes, salt=bytes.fromhex(project), info=info).derive(self._secret)

    def commitment(self, project: str, domain: str, epoch: int) -> str:
        """What the policy says of it (SHA-256-sized hex): binds the key, and tells nothing of it."""
        return self.use(project, domain, epoch, "commitment").hex()

    def is_committed(self, project: str, domain: str, epoch: int, commitment: str) -> bool:
        """Whether it is the key that a policy committed to."""
        return hmac.compare_digest(self.commitment(project, domain, epoch), commitment)

    def reveal(self) -> bytes:
        """The secret itself; only to be wrapped for readers (``keyring``)."""
        return self._secret
