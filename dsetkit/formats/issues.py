"""Collecting issues while reading, so that a file with a million like faults yields a few lines and a count."""

from __future__ import annotations

from dsetkit.spec.issue import Issue, Severity

KEPT = 20
"""How many issues of one code and file are kept apart; the rest is counted on the last of them."""


class IssueList:
    """Issues in the order they were found; of one code in one file the first ``KEPT`` apart, the rest counted."""

    def __init__(self) -> None:
        self._found: list[Issue] = []
        self._places: dict[tuple[str, str | None], list[int]] = {}
        self._more: dict[int, int] = {}

    def add(
        self,
        code: str,
        message: str,
        *,
        severity: Severity = "error",
        file: str | None = None,
        place: str | None = None,
        key: str | None = None,
        annotation_id: str | None = None,
        hint: str = "",
    ) -> None:
        """Note one issue; see ``dsetkit.spec.issue.Issue`` for what the fields say."""
        places = self._places.setdefault((code, file), [])
        if len(places) >= KEPT:
            self._more[places[-1]] = self._more.get(places[-1], 0) + 1
            return
        places.append(len(self._found))
        self._found.append(
            Issue(
                code=code,
                severity=severity,
                message=message,
                file=file,
                place=place,
                key=key,
                annotation_id=annotation_id,
                hint=hint,
            )
        )

    def __len__(self) -> int:
        return len(self._found) + sum(self._more.values())

    def all(self) -> tuple[Issue, ...]:
        """The issues so far, counts filled in."""
        return tuple(
            issue.model_copy(update={"count": 1 + self._more[index]}) if index in self._more else issue
            for index, issue in enumerate(self._found)
        )
