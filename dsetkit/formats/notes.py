"""Issues of one label file, and JSON values made fit to be kept."""

from __future__ import annotations

import math
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.spec.issue import Severity


class FileNotes:
    """Notes issues that all name the same file."""

    def __init__(self, issues: IssueList, path: str) -> None:
        self.issues = issues
        self.path = path

    def add(
        self, code: str, message: str, place: str, hint: str, severity: Severity = "error", key: str | None = None
    ) -> None:
        """Note one."""
        self.issues.add(code, message, file=self.path, place=place, hint=hint, severity=severity, key=key)

    def clean(self, value: Any, place: str) -> Any:
        """A JSON value without numbers that are not finite (null in their place, an issue)."""
        if isinstance(value, float) and not math.isfinite(value):
            self.add("number-not-finite", f"{value} is no number; null stands for it", place, "Correct it in the file.")
            return None
        if isinstance(value, dict):
            return {name: self.clean(item, f"{place}.{name}") for name, item in value.items()}
        if isinstance(value, list):
            return [self.clean(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return value


def bucket_path(name: str) -> str | None:
    """The path in its bucket of an object's name (``s3://``, ``gs://``, ``azure-blob://``); None for another name.

    Such names are no URLs: ``%``, ``?`` and ``#`` in them are what they are.

    >>> bucket_path("s3://bucket/a/100%.jpg")
    'a/100%.jpg'
    """
    scheme, separator, rest = name.partition("://")
    return rest.partition("/")[2] if separator and scheme in ("s3", "gs", "azure-blob") else None


def shown(value: Any, limit: int = 60) -> str:
    """A value as text for a message, cut to ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
