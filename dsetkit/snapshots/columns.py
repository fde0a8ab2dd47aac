"""Rows to tables, with an error that names the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from dsetkit.errors import CheckError
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.issue import Issue

UNFIT = (ValueError, TypeError, OverflowError, AttributeError)
"""What is raised for values that do not fit."""


def checked_table(rows: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> pa.Table:
    """``table_from_rows``, but raises ``CheckError`` naming the key of a row that does not fit."""
    try:
        return table_from_rows(rows, model)
    except UNFIT:
        for row in rows:
            try:
                table_from_rows([row], model)
            except UNFIT as error:
                raise unfit(row["key"], error) from error
        raise


def unfit(key: str, error: Exception) -> CheckError:
    """The error for a row that cannot be written."""
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    message = f"its row cannot be written ({said})"
    return CheckError(
        f"{key!r}: {message}",
        hint="Its labels hold a value that no column takes; correct them or exclude the sample.",
        issues=(Issue(code="row-unfit", message=message, key=key),),
    )
