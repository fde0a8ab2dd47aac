"""What a format cannot carry, said before anything is written.

A writer first turns each row into the row that will be read back (``Format.carry``), and enters in a ``Ledger``
whatever is different. So the report is exact: what it does not name survives the round trip.
"""

from __future__ import annotations

from typing import Literal

from dsetkit.spec.base import Document

EXAMPLES = 3
"""How many places a loss names."""


class Loss(Document):
    """One kind of thing that gets lost or changed."""

    code: str
    """Stable, lower-case, hyphenated: ``kind-dropped``."""
    message: str
    """What exactly is lost and what becomes of it."""
    severity: Literal["warning", "info"] = "warning"
    """``info`` is bookkeeping (ids, lineage, findings), no label; a strict write refuses on ``warning`` only."""
    count: int = 1
    """How many annotations, samples or categories it is about."""
    examples: tuple[str, ...] = ()
    """The first of them: a key, ``key#annotation id``, or a category's name."""

    def describe(self) -> str:
        """One line for a person."""
        where = f", e.g. {', '.join(self.examples)}" if self.examples else ""
        return f"{self.message} ({self.count}{where}) [{self.code}]"


class LossReport(Document):
    """What a write loses, and how much it was asked to write."""

    format: str
    losses: tuple[Loss, ...] = ()
    samples: int = 0
    """Samples that are to be written."""
    annotations: int = 0
    """Annotations that are to be written."""

    @property
    def is_lossless(self) -> bool:
        """Whether no label is lost or changed; bookkeeping may be."""
        return not self.refusals

    @property
    def refusals(self) -> tuple[Loss, ...]:
        """The losses that a strict write refuses on."""
        return tuple(loss for loss in self.losses if loss.severity == "warning")

    def describe(self) -> str:
        """The whole report for a person, one line a loss."""
        head = f"{self.format}: {self.samples} samples, {self.annotations} annotations"
        if not self.losses:
            return f"{head}, nothing lost"
        return "\n".join((f"{head}, with losses:", *(f"- {loss.describe()}" for loss in self.losses)))


class Ledger:
    """Collects losses; like ones (same code, same message) are counted together.

    >>> ledger = Ledger("voc")
    >>> ledger.add("kind-dropped", "a VOC file has no captions; they are left out", "cats/1.jpg#0")
    >>> ledger.report().losses[0].count
    1
    """

    def __init__(self, format_name: str) -> None:
        self.format_name = format_name
        self.samples = 0
        self.annotations = 0
        self._found: dict[tuple[str, str], tuple[Literal["warning", "info"], int, tuple[str, ...]]] = {}

    def add(
        self,
        code: str,
        message: str,
        example: str | None = None,
        *,
        severity: Literal["warning", "info"] = "warning",
        count: int = 1,
    ) -> None:
        """Enter a loss. The message must not name single samples (the example does), or nothing is counted together."""
        known_severity, known_count, examples = self._found.get((code, message), (severity, 0, ()))
        if example is not None and len(examples) < EXAMPLES and example not in examples:
            examples = (*examples, example)
        self._found[code, message] = (known_severity, known_count + count, examples)

    def losses(self) -> list[Loss]:
        """What was entered so far, in that order."""
        return [
            Loss(code=code, message=message, severity=severity, count=count, examples=examples)
            for (code, message), (severity, count, examples) in self._found.items()
        ]

    def report(self) -> LossReport:
        """What was entered so far, sorted by severity (warnings first), code and message."""
        losses = self.losses()
        losses.sort(key=lambda loss: (loss.severity == "info", loss.code, loss.message))
        return LossReport(
            format=self.format_name, losses=tuple(losses), samples=self.samples, annotations=self.annotations
        )
