"""The card's document, and the starter contract for cards."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import dsetkit
from dsetkit.spec.base import Document
from dsetkit.spec.card import DatasetCard
from dsetkit.spec.json_schema import json_schema
from dsetkit.spec.params import Params
from dsetkit.stages.demo_card import demo_card

REQUIRED = (
    *("title", "summary", "purpose", "license", "contacts", "collection", "annotation", "consent"),
    *("personal_information", "limits"),
)


@pytest.fixture
def contract(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[DatasetCard]]:
    monkeypatch.syspath_prepend(str(project_root))
    yield importlib.import_module("schemas.card").Card
    for name in [name for name in sys.modules if name.partition(".")[0] == "schemas"]:
        del sys.modules[name]


def test_nothing_has_to_be_stated() -> None:
    assert Params().card == DatasetCard()
    assert DatasetCard().to_row() == {}
    assert dsetkit.DatasetCard is DatasetCard


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"titel": "Cells"}, "Extra inputs are not permitted"),
        ({"published": "2024-02-30"}, "a date is written YYYY-MM-DD"),
        ({"published": "February"}, "String should match pattern"),
        ({"url": "javascript:alert(1)"}, "String should match pattern"),
        ({"url": "https://example.org/a b"}, "String should match pattern"),
        ({"license": {"url": "https://example.org/>"}}, "String should match pattern"),
        ({"contacts": [{"name": "A", "email": "a@b<script>"}]}, "String should match pattern"),
        ({"contacts": [{"name": "  "}]}, "String should have at least 1 character"),
        ({"languages": ["English!"]}, "String should match pattern"),
        ({"annotation": {"kinds": ["experts"]}}, "Input should be 'expert-generated'"),
        ({"version": 1.10}, "Input should be a valid string"),  # 1.10 would become 1.1
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=r".") as raised:
        DatasetCard.model_validate(fields)
    assert said in str(raised.value)


def test_text_is_trimmed() -> None:
    assert DatasetCard(title="  Cells\n").title == "Cells"


def test_every_field_says_what_it_is() -> None:
    schema = json_schema("card")
    documents = {"DatasetCard": schema, **schema["$defs"]}
    clear = {"Party.name", "Party.kind", "Party.email", "Party.url"}  # its own docstring says enough
    missing = [
        f"{name}.{field}"
        for name, document in documents.items()
        for field, facts in document["properties"].items()
        if not (facts.get("description") or "$ref" in facts) and f"{name}.{field}" not in clear
    ]
    assert missing == []
    json.dumps(schema)


def test_the_demo_card_is_complete(contract: type[DatasetCard]) -> None:
    card = contract.model_validate(demo_card())
    assert card.title == "Yards that never were"
    assert card.published is None
    assert card.url is None


@pytest.mark.parametrize("name", REQUIRED)
def test_the_starter_wants_what_people_ask_for(contract: type[DatasetCard], name: str) -> None:
    stated = {field: value for field, value in demo_card().items() if field != name}
    with pytest.raises(ValidationError) as raised:
        contract.model_validate(stated)
    assert [error["loc"] for error in raised.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("title", "   ", ("title",)),
        ("limits", [], ("limits",)),
        ("contacts", [], ("contacts",)),
        ("collection", {"by": "me"}, ("collection", "how")),
        ("annotation", {"kinds": ["other"]}, ("annotation", "how")),
    ],
)
def test_saying_nothing_is_not_stating(
    contract: type[DatasetCard], name: str, value: Any, place: tuple[str, ...]
) -> None:
    with pytest.raises(ValidationError) as raised:
        contract.model_validate({**demo_card(), name: value})
    assert [error["loc"] for error in raised.value.errors()] == [place]


def test_the_starter_only_narrows(contract: type[DatasetCard]) -> None:
    assert issubclass(contract, Document)
    assert set(contract.model_fields) == set(DatasetCard.model_fields)
