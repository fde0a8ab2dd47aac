"""Issues: findings with a stable code."""

from __future__ import annotations

from typing import Literal

from dsetkit.spec.base import Document

Severity = Literal["error", "warning", "info"]


class Finding(Document):
    """What is wrong with the one thing it is attached to (an annotation, a rejected sample)."""

    code: str
    """Stable, lower-case, hyphenated: ``box-degenerate``."""
    message: str = ""
    """What exactly, with the numbers."""


class Issue(Document):
    """A finding that says where it was found and what to do."""

    code: str
    """Stable, lower-case, hyphenated: ``picture-missing``."""
    severity: Severity = "error"
    message: str
    """What is wrong, with the values that show it."""
    file: str | None = None
    """The file it was found in, relative to its source."""
    place: str | None = None
    """Where in the file: ``line 7``, ``annotations[12].bbox``, ``object[3]/bndbox``."""
    key: str | None = None
    """The sample it is about."""
    keys: tuple[str, ...] = ()
    """All samples it is about, where it is about several: those whose pictures are in a damaged shard."""
    annotation_id: str | None = None
    """The annotation it is about."""
    hint: str = ""
    """What to do about it."""
    count: int = 1
    """How many findings this one stands for, where like ones were put together."""

    def describe(self) -> str:
        """One line for a person: place, message, hint, code."""
        what = self.key if self.key and not (self.file and self.key.endswith(self.file)) else None
        where = ": ".join(part for part in (self.file, self.place, what) if part)
        subject = f"{where}: " if where else ""
        times = f" (and {self.count - 1} more like it)" if self.count > 1 else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{subject}{self.message}{times}.{hint} [{self.code}]"


def group_issues(issues: list[Issue] | tuple[Issue, ...], examples: int = 3) -> tuple[Issue, ...]:
    """Issues with at most ``examples`` of each code kept apart; the rest of a code is counted on its last example."""
    kept: dict[str, list[Issue]] = {}
    for issue in issues:
        group = kept.setdefault(issue.code, [])
        if len(group) < examples:
            group.append(issue)
        else:
            group[-1] = group[-1].model_copy(update={"count": group[-1].count + issue.count})
    return tuple(issue for code in sorted(kept) for issue in kept[code])
