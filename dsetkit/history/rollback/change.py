"""What a rollback changes in a snapshot, as it is said before it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsetkit.errors import DsetkitError
from dsetkit.history.revisions import stage_facts
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.diff import Diff
from dsetkit.spec.diff_text import count_lines


@dataclass(frozen=True)
class SnapshotChange:
    """A snapshot that a rollback changes."""

    name: str
    """``raw/blood``, ``cleaned``, ``augmented``."""
    old: Snapshot | DsetkitError | None
    """As it stands in the workspace; None where it does not, the error where it cannot be read."""
    new: Snapshot | DsetkitError | None
    """As it is to be; None where it goes, the error where it cannot be read before it is fetched."""

    @property
    def change(self) -> str:
        """``added``, ``removed`` or ``replaced``."""
        return "removed" if self.new is None else "added" if self.old is None else "replaced"

    def diff(self) -> Diff | None:
        """What differs, where both sides can be read."""
        if not isinstance(self.old, Snapshot) or not isinstance(self.new, Snapshot):
            return None
        try:
            return diff(self.old, self.new)
        except (DsetkitError, OSError):
            return None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: both sides' facts, and how many entries each list of the diff has."""
        found = self.diff()
        counts: dict[str, Any] = {}
        for group, name, entries in found.lists() if found is not None else ():
            if name and entries:
                counts.setdefault(group, {})[name] = len(entries)
        return {
            "stage": self.name,
            "change": self.change,
            "old": stage_facts(self.old) if isinstance(self.old, Snapshot) else None,
            "new": stage_facts(self.new) if isinstance(self.new, Snapshot) else None,
            "differs": None if found is None else counts,
        }

    def lines(self) -> list[str]:
        """How many samples, annotations and categories differ, for people."""
        found = self.diff()
        return [] if found is None else count_lines(found)
