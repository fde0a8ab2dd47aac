"""A compressed file as it is unpacked, to be read anywhere: in a temporary file, however large it is."""

from __future__ import annotations

import io

from dsetkit.errors import PictureError
from dsetkit.storage.temporary import ALWAYS_BYTES, FAULTS, MAX_RATIO, TemporaryBytes, unpack

__all__ = ["FAULTS", "Unpacked", "unpack"]


class Unpacked(TemporaryBytes):
    """What a file that holds pictures unfolds to."""

    def __init__(self, data: bytes, kind: str) -> None:
        """``kind`` is ``gz``, ``bz2`` or ``xz``.

        Raises ``PictureError`` for a file that is damaged, or unfolds to more than 1 GiB and 200 times its size.
        """
        super().__init__()
        try:
            self.fill(unpack(io.BytesIO(data), kind), max(ALWAYS_BYTES, MAX_RATIO * len(data)))
        except FAULTS as error:
            raise PictureError(f"what holds it cannot be unpacked ({error})", code="picture-corrupt") from error
