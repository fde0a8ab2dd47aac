"""Cards on the command line: `verify` wants them complete and current, `export` puts one beside what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bench import Bench

from dsetkit.stages.demo_card import demo_card
from dsetkit.stages.yaml_documents import load_yaml, save_yaml


@pytest.fixture
def reported(run: Callable, bench: Bench) -> Bench:
    """A project whose card is complete, built and reported."""
    bench.add()
    state(bench, **demo_card())
    for command in (("ingest", "pets"), ("clean",), ("augment",), ("report",)):
        assert run(*command).code == 0
    return bench


def state(bench: Bench, **fields: object) -> None:
    document = load_yaml(bench.root / "params.yaml")
    document["card"] = {**document["card"], **fields}
    save_yaml(bench.root / "params.yaml", document)


def codes(text: str) -> list[tuple[str, str]]:
    return [(issue["code"], issue["file"]) for issue in json.loads(text)]


def test_verify_looks_at_cards(run: Callable, reported: Bench) -> None:
    ran = run("verify")
    assert (ran.code, ran.out.splitlines()) == (
        0,
        [*(f"data/{name}: verified" for name in ("raw/pets", "cleaned", "augmented")), "cards: verified"],
    )
    state(reported, purpose=None)
    ran = run("verify")
    assert ran.code == 1
    assert ran.out.splitlines()[3:] == [
        "cards: 3 issues",
        "  params.yaml: card.purpose: it is not stated (What it was made for, by whom, with whose money). "
        "State it in params.yaml, then: dvc repro report. [card-incomplete]",
        *(  # croissant.json has no property for a purpose
            f"  cards/{stage}/README.md: it is not what params.yaml and the snapshot give. "
            "Make it again: dvc repro report. If DVC finds nothing to do (a newer dsetkit words a card otherwise): "
            "dvc repro -sf report. [card-stale]"
            for stage in ("cleaned", "augmented")
        ),
    ]
    assert run("report").code == 0
    ran = run("verify", "--json")
    assert (ran.code, codes(ran.out)) == (1, [("card-incomplete", "params.yaml")])


def test_verify_of_one_snapshot_looks_at_its_card(
    run: Callable, reported: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reported.root / "cards/cleaned/README.md").unlink()
    assert run("verify", "data/raw/pets").code == 0
    assert run("verify", "data/augmented").code == 0
    ran = run("verify", "data/cleaned", "--json")
    assert (ran.code, codes(ran.out)) == (1, [("card-missing", "cards/cleaned/README.md")])
    monkeypatch.chdir(reported.root.parent)  # the card is found from the snapshot, not from where one stands
    ran = run("verify", str(reported.root / "data" / "cleaned"), "--json")
    assert (ran.code, codes(ran.out)) == (1, [("card-missing", "cards/cleaned/README.md")])


def test_a_new_project_has_to_state_its_card(run: Callable, bench: Bench) -> None:
    bench.add()
    for command in (("ingest", "pets"), ("clean",)):
        run(*command)
    ran = run("verify", "--json")
    assert ran.code == 1
    found = codes(ran.out)
    assert [code for code, _ in found].count("card-missing") == 2
    assert [code for code, _ in found].count("card-incomplete") == 10


def test_a_damaged_snapshot_is_said_once(run: Callable, reported: Bench) -> None:
    part = next((reported.root / "data/cleaned/samples").iterdir())
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.unlink()
    part.write_bytes(data)
    ran = run("verify", "data/cleaned", "--json")
    assert ran.code == 1
    assert not [code for code, _ in codes(ran.out) if code.startswith("card-")]


def test_export_puts_a_card_beside_what_it_writes(run: Callable, reported: Bench, tmp_path: Path) -> None:
    plain = run("export", "data/cleaned", str(tmp_path / "a"), "--format", "coco", "--json")
    assert (tmp_path / "a" / "README.md").read_text("utf-8").startswith("---\npretty_name: ")
    document = load_yaml(reported.root / "params.yaml")
    document["card"] = {"schema": "schemas.card:Card"}
    save_yaml(reported.root / "params.yaml", document)
    without = run("export", "data/cleaned", str(tmp_path / "b"), "--format", "coco", "--json")
    assert not (tmp_path / "b" / "README.md").exists()
    assert plain.json() == without.json()  # the same loss report


def test_the_contract_for_cards_has_a_json_schema(run: Callable, bench: Bench) -> None:
    ran = run("schema", "export", "schemas.card:Card")
    assert ran.code == 0
    assert set(ran.json()["required"]) >= {"title", "purpose", "license", "consent", "limits"}
    assert "title" in run("schema", "export", "card").json()["properties"]
