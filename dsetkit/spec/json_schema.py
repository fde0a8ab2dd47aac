"""JSON Schemas of the documents, for editors and other languages."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from dsetkit.spec.card import DatasetCard
from dsetkit.spec.correction import CorrectionDocument
from dsetkit.spec.lock import Lock
from dsetkit.spec.params import Params
from dsetkit.spec.policy import AccessPolicy
from dsetkit.spec.sample import Sample
from dsetkit.spec.sealed import SealedSnapshot
from dsetkit.spec.snapshot import SnapshotInfo

DOCUMENTS: dict[str, type[BaseModel]] = {
    "labels": Sample,
    "params": Params,
    "card": DatasetCard,
    "lock": Lock,
    "snapshot": SnapshotInfo,
    "correction": CorrectionDocument,
    "policy": AccessPolicy,
    "sealed": SealedSnapshot,
}
"""Which document stands behind each ``schemas/json/<name>/v1.json``."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one document. Raises ``KeyError`` for a name that is not in ``DOCUMENTS``."""
    schema = DOCUMENTS[name].model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text(schema: dict[str, Any]) -> str:
    """A JSON Schema as it is written to a file."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
