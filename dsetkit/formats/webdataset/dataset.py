"""What dsetkit says of the whole dataset in each shard that it writes, in a member that other readers pass over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from dsetkit.formats.base import Export
from dsetkit.spec.base import canonical_json
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License

MEMBER = "__dsetkit__"
"""The first member of a shard; WebDataset takes such names for notes of its own."""
OWN = "dsetkit"
"""The field of a JSON object that says that dsetkit wrote it: 1, the version."""
MAX_BYTES = 64 * 1024 * 1024


class Dataset:
    """Categories, and what the sources said of themselves."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` or ``TypeError`` for a document that is none."""
        categories = [Category.model_validate(item) for item in document.get("categories", ())]
        if len({category.name for category in categories}) < len(categories):
            raise ValueError("a category is there twice")
        self.categories = tuple(item.model_copy(update={"index": index}) for index, item in enumerate(categories))
        info = document.get("info", {})
        if not isinstance(info, dict):
            raise ValueError("info is no object")
        canonical_json(info)
        self.info: dict[str, Any] = info
        self.licenses = tuple(License.model_validate(item) for item in document.get("licenses", ()))


def is_own(document: object) -> bool:
    """Whether a JSON value is of dsetkit's writing."""
    return isinstance(document, dict) and type(document.get(OWN)) is int and document[OWN] == 1


def read_dataset(data: bytes) -> Dataset | None:
    """What such a member says; None where it is damaged or somebody else's."""
    try:
        document = from_json(data)
        return Dataset(document) if is_own(document) else None
    except (ValueError, TypeError):
        return None


def dataset_document(export: Export, categories: Sequence[Category]) -> bytes:
    """The member for an export."""
    document = {
        OWN: 1,
        "categories": [category.to_row() for category in categories],
        "info": dict(export.info),
        "licenses": [license_.to_row() for license_ in export.licenses],
    }
    return canonical_json(document).encode() + b"\n"
