"""The classes that a contract is made of, and that they only narrow."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from dsetkit.curation.findings import literal_values
from dsetkit.curation.nearest import list_names, short
from dsetkit.errors import SchemaError
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.sample import Sample

_M = TypeVar("_M", bound=BaseModel)


def name_of(item: Any) -> str:
    """``module:Name`` of a class."""
    return f"{item.__module__}:{item.__qualname__}" if isinstance(item, type) else short(item)


def classes_of(target: Any) -> tuple[Any, ...]:
    """The members of a union (also of annotated ones), or the one class."""
    if get_origin(target) in (typing.Union, types.UnionType):
        return tuple(dict.fromkeys(item for part in get_args(target) for item in classes_of(part)))
    if get_origin(target) is typing.Annotated:
        return classes_of(get_args(target)[0])
    return (target,)


def check_members(classes: Sequence[Any], base: type[_M], reference: str) -> tuple[type[_M], ...]:
    """The classes that subclass ``base``. Raises ``SchemaError`` for one that does not only narrow."""
    out = tuple(item for item in classes if isinstance(item, type) and issubclass(item, base))
    for item in out:
        added = [name for name in item.model_fields if name not in base.model_fields]
        added += list(item.model_computed_fields)
        if added or item.model_config.get("extra") != "forbid":
            what = list_names(added) if added else "any field"
            raise SchemaError(
                f"the contract {reference} adds {what} to {base.__name__}",
                reference=reference,
                hint="A contract narrows fields and adds none: put facts of your own into a typed attributes.",
            )
    return out


def annotations_within(samples: Sequence[type[Sample]], reference: str) -> tuple[type[Annotation], ...]:
    """The annotation classes that contracts of samples declare: ``annotations: tuple[Label, ...]``."""
    found: list[Any] = []
    for item in samples:
        hint = item.model_fields["annotations"].annotation
        found += [part for arg in get_args(hint) if arg is not Ellipsis for part in classes_of(arg)]
    return check_members(tuple(dict.fromkeys(found)), Annotation, reference) or (Annotation,)


def kinds_of(member: type[Annotation]) -> tuple[str, ...]:
    """The kinds of annotation a member takes, all where it does not say."""
    return literal_values(member.model_fields["kind"].annotation) or get_args(
        Annotation.model_fields["kind"].annotation
    )
