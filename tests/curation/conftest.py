"""Rows for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Row = dict[str, Any]


@pytest.fixture(scope="session")
def box() -> Callable[..., Row]:
    """Makes a box annotation; all but its id may be given."""

    def make(name: str = "0", category: str | None = "RBC", at: Any = (10.0, 10.0, 20.0, 20.0), **more: Any) -> Row:
        out: Row = {"id": name, "kind": "box", "bbox_xywh_px": list(at), **more}
        return out if category is None else {**out, "category": category}

    return make


@pytest.fixture(scope="session")
def sample() -> Callable[..., Row]:
    """Makes a sample of a 100×80 picture with given annotations."""

    def make(key: str, *annotations: Row, **more: Any) -> Row:
        base: Row = {"key": key, "width_px": 100, "height_px": 80, "labelled": "yes"}
        return {**base, "annotations": list(annotations), **more} if annotations else {**base, **more}

    return make
