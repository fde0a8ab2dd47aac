"""Losses of many samples, in the order in which they would be found row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dsetkit.formats.annotation_columns import Ints
from dsetkit.formats.loss import EXAMPLES, Ledger


class Notes:
    """Losses of one batch, found column by column and row by row, entered in a ledger in the order of the rows."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str, str, str | None, Literal["warning", "info"], int]] = []

    def add(
        self,
        code: str,
        message: str,
        samples: Ints,
        examples: Callable[[int], str],
        *,
        severity: Literal["warning", "info"] = "warning",
    ) -> None:
        """A loss of each of these samples, in order (one is named once for each of its annotations).

        ``examples`` names the n-th.
        """
        for place, sample in enumerate(samples[:EXAMPLES].tolist()):
            count = len(samples) if place == 0 else 0
            self._found.append((sample, code, message, examples(place), severity, count))

    def add_row(self, sample: int, ledger: Ledger) -> None:
        """All that a ledger of one sample holds."""
        for loss in ledger.losses():
            for place, example in enumerate(loss.examples or (None,)):
                count = loss.count if place == 0 else 0
                self._found.append((sample, loss.code, loss.message, example, loss.severity, count))

    def enter(self, ledger: Ledger) -> None:
        """Enter all of them."""
        for _, code, message, example, severity, count in sorted(self._found, key=lambda found: found[0]):
            ledger.add(code, message, example, severity=severity, count=count)
