"""From Pydantic's errors to findings that a person understands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from dsetkit.curation.nearest import list_names, short, suggest
from dsetkit.spec.issue import Finding

PREFIX = "contract-"
"""What the codes of contract findings start with: ``contract-<field>``, ``contract-missing-<field>``."""
RULE = "contract-rule"
"""A validator of the contract's own, over the whole annotation or sample."""
UNKNOWN_FIELD = "contract-unknown-field"
"""A field that annotations or samples do not have."""
KIND = "contract-kind"
"""A kind of annotation that the contract does not have."""

_APART = 3
"""Findings of one code on one annotation that are kept apart."""


def literal_values(hint: Any) -> tuple[Any, ...]:
    """All values of the ``Literal`` (or union or ``Annotated`` of them) that a field is declared with; else none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(dict.fromkeys(value for part in get_args(hint) for value in literal_values(part)))


def findings_of(errors: Sequence[Mapping[str, Any]], value: Any, model: type[BaseModel]) -> tuple[Finding, ...]:
    """Findings for Pydantic's ``errors()`` about one row; their ``loc`` starts at the row's fields.

    At most three of one code, the last of them saying how many more there are.
    """
    per_code: dict[str, list[str]] = {}
    for error in errors:
        code, message = _describe(error, value, model)
        messages = per_code.setdefault(code, [])
        if message not in messages:
            messages.append(message)
    out = []
    for code, messages in per_code.items():
        more = len(messages) - _APART
        if more > 0:
            messages = [*messages[: _APART - 1], f"{messages[_APART - 1]}, and {more} more like it"]
        out += [Finding(code=code, message=message) for message in messages]
    return tuple(out)


def describe_crash(error: Exception) -> str:
    """What to say of a validator that fell over instead of saying what is wrong."""
    return f"the contract fell over on it: {type(error).__name__}: {short(str(error))}"


def error_list(error: ValidationError) -> list[Any]:
    """Pydantic's errors, without the links to its web pages."""
    return list(error.errors(include_url=False))


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> str:
    """``category 'wbc' is not one of 'RBC', 'WBC', 'Platelets'``; of many the first few and the nearest."""
    text = f"{name} {short(value)} is not one of {list_names(allowed)}"
    return text + suggest(value, map(str, allowed)) if isinstance(value, str) and len(allowed) > 8 else text


def _describe(error: Mapping[str, Any], value: Any, model: type[BaseModel]) -> tuple[str, str]:
    kind, loc, given = error["type"], error["loc"], error.get("input")
    known = bool(loc) and loc[0] in model.model_fields
    if loc and not known:
        return UNKNOWN_FIELD, f"{short(str(loc[0]))} is not a field of it"
    path = _path(loc, value, kind)
    field = str(loc[0]) if loc else ""
    if kind == "missing":
        return (PREFIX + f"missing-{field}" if len(loc) == 1 else PREFIX + field), f"{path} is missing"
    code = PREFIX + field if loc else RULE
    context = error.get("ctx") or {}
    if kind == "literal_error":
        allowed = literal_values(model.model_fields[field].annotation) if len(loc) == 1 else ()
        if allowed:
            return code, one_of(path, given, allowed)
        return code, f"{path} {short(given)} is not one of {str(context.get('expected', '')).replace(' or ', ', ')}"
    if kind in ("too_long", "too_short") and "actual_length" in context:
        bound = "min_length" if kind == "too_short" else "max_length"
        word = "least" if kind == "too_short" else "most"
        return code, f"{path} has length {context['actual_length']}, which should be at {word} {context[bound]}"
    if kind == "extra_forbidden":
        return code, f"{path} is not allowed"
    if kind in ("value_error", "assertion_error") and "error" in context:
        said = str(context["error"])[:500] or "breaks a rule of the contract"
        return code, f"{path}: {said}" if path else said
    said = str(error["msg"])
    if said.startswith("Input should "):
        return code, f"{path or 'it'} {short(given)} should {said.removeprefix('Input should ')}"
    return code, f"{path or 'it'} {short(given)}: {said[:1].lower()}{said[1:]}"


def _path(loc: Iterable[int | str], value: Any, kind: str) -> str:
    """``attributes.age``, ``polygons[0][1]``; the names that Pydantic gives to members of a union are left out."""
    text, parts = "", list(loc)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if isinstance(part, int) and isinstance(value, list | tuple):
            text += f"[{part}]"
            value = value[part] if part < len(value) else None
        elif (isinstance(value, Mapping) and part in value) or (last and kind in ("missing", "extra_forbidden")):
            name = str(part) if str(part).isidentifier() else short(str(part))
            text += f".{name}" if text else name
            value = value.get(part) if isinstance(value, Mapping) else None
    return text or (str(parts[0]) if parts else "")
