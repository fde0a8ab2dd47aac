"""The one base of every document: frozen, strict about unknown fields, finite numbers only."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue


class Document(BaseModel):
    """A frozen value. Unknown fields are refused, NaN and infinities are refused, fields are documented in place."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        populate_by_name=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )

    def to_row(self) -> dict[str, Any]:
        """The document as a sparse row: plain Python values, fields at their defaults left out."""
        return self.model_dump(mode="python", exclude_defaults=True)


class ArrowType:
    """Marks a field whose Arrow type is not the one its Python type gives (``ArrowType("uint64")``)."""

    def __init__(self, name: str) -> None:
        self.name = name


class ArrowJson:
    """Marks a field that stands in Arrow as one string of canonical JSON."""


def canonical_json(value: Any) -> str:
    """One text for one JSON value: sorted keys, no spaces, shortest round-trip floats, −0.0 as 0.0, no NaN.

    Follows RFC 8785 (JCS) but for two points: integers and floats stay apart (``1`` and ``1.0``), and keys are
    sorted by code point. Raises ``ValueError`` for NaN and infinities.
    """
    return json.dumps(_plain_zero(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0  # −0.0 + 0.0 is 0.0
    if isinstance(value, dict):
        return {key: _plain_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_zero(item) for item in value]
    return value


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a JSON value's canonical text."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def _check_digest(value: str) -> str:
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ValueError("a digest is 64 lower-case hex digits (SHA-256)")
    return value


Digest = Annotated[str, AfterValidator(_check_digest)]
"""A SHA-256 in lower-case hex."""

JsonObject = Annotated[dict[str, JsonValue], ArrowJson()]
"""A JSON object; in Arrow one string of canonical JSON."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number from 0 to 1, both included."""
