"""What bulk work asks of Arrow's arrays."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.formats.annotation_columns import Ints

Bools = npt.NDArray[np.bool_]


def opened(lists: pa.ListArray) -> tuple[Ints, pa.Array]:
    """Where each list starts among all values of theirs (and where all end), and those values."""
    offsets = np.asarray(lists.offsets).astype(np.int64)
    return offsets - offsets[0], lists.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def says(array: pa.Array, model: type[BaseModel], name: str) -> Bools:
    """Which values a sparse row would have: those that are not null and not the field's default."""
    info = model.model_fields[name]
    default: Any = None if info.is_required() else info.get_default(call_default_factory=True)
    if array.null_count == len(array):
        return np.zeros(len(array), np.bool_)
    if default == () or (isinstance(default, list | tuple) and not default):
        return numpy_of(pc.fill_null(pc.greater(pc.list_value_length(array), 0), False))
    if isinstance(default, dict):
        return numpy_of(pc.fill_null(pc.not_equal(array, "{}"), False))
    if isinstance(default, str | bool | int | float):
        return numpy_of(pc.fill_null(pc.not_equal(array, pa.scalar(default, array.type)), False))
    return numpy_of(pc.is_valid(array))


def numpy_of(array: pa.Array) -> npt.NDArray[Any]:
    """The values as NumPy has them."""
    return cast("npt.NDArray[Any]", array.to_numpy(zero_copy_only=False))
