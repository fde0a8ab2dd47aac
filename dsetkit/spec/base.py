"""The one base of every document: frozen, strict about unknown fields, finite numbers only."""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, JsonValue


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

    Follows RFC 8785 (JCS) but for three points: integers and floats stay apart (``1`` and ``1.0``), keys are sorted by
    code point, and floats are written as Python writes them. Written out by hand, as ``json.dumps`` makes an encoder
    for each value it is called with. Raises ``ValueError`` for NaN and infinities, ``TypeError`` for what is not JSON.
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        parts = [f"{encode_basestring(key)}:{canonical_json(value[key])}" for key in sorted(value)]
        return "{" + ",".join(parts) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join([canonical_json(item) for item in value]) + "]"
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return int.__repr__(value)
    if isinstance(value, float):
        text = repr(float(value) + 0.0)  # −0.0 + 0.0 is 0.0
        if "n" in text:  # nan, inf
            raise ValueError(f"a number is finite, not {text}")
        return text
    plain: type[Any]
    for plain in (str, dict, list, tuple, int):  # a subclass is written as what it is one of
        if isinstance(value, plain):
            return canonical_json(plain(value))
    raise TypeError(f"{kind.__name__} is no JSON value")


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

_T = TypeVar("_T")

Many = Annotated[tuple[_T, ...], FailFast()]
"""Any number of documents; the first that is none is told, not all: a million mistakes fill the memory."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number from 0 to 1, both included."""
