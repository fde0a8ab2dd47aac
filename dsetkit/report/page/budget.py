"""How many bytes of samples a page holds: each section has a share, and leaves to the next what it does not use."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dsetkit.spec.params import ReportParams


@dataclass(frozen=True)
class Budget:
    """How many bytes each section's pictures and labels may add to the page; in the order in which they are made."""

    pictures: int = 6_600_000
    change: int = 700_000
    variants: int = 1_200_000
    clusters: int = 1_600_000
    rejected: int = 3_700_000

    @classmethod
    def of(cls, params: ReportParams) -> Budget:
        """The usual budget, which keeps a page below 15 MB; larger in proportion where params ask for more."""
        usual = cls()
        shares = {field.name: getattr(usual, field.name) for field in fields(cls)}
        for name, field in ReportParams.model_fields.items():
            if name in shares:
                shares[name] = int(shares[name] * max(1.0, getattr(params, name) / field.default))
        return cls(**shares)


class Purse:
    """Bytes that may still be spent. Nothing but the order of what is bought decides what fits."""

    def __init__(self, left_bytes: int = 0) -> None:
        self.left_bytes = left_bytes

    def put(self, share_bytes: int) -> Purse:
        """Add the share of the section that is made next; what the ones before did not use is still there."""
        self.left_bytes += share_bytes
        return self

    def pay(self, cost_bytes: int) -> bool:
        """Take the cost; False, with nothing taken, where it is more than there is."""
        if cost_bytes > self.left_bytes:
            return False
        self.left_bytes -= cost_bytes
        return True
