"""Whether a project's cards are complete and current; and the card beside an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.bench import Bench, picture_bytes

import dsetkit
from dsetkit.errors import SchemaError
from dsetkit.formats import registry
from dsetkit.report.cards.files import build_card, check_cards, relative_place
from dsetkit.report.facts.collect import collect
from dsetkit.snapshots.read import open_snapshot
from dsetkit.stages.demo_card import demo_card
from dsetkit.stages.project import Project
from dsetkit.stages.yaml_documents import load_yaml, save_yaml


@pytest.fixture
def carded(tmp_path: Path) -> Bench:
    """A built project whose card is complete and current."""
    bench = Bench(tmp_path / "project")
    for place in range(6):
        bench.source.put(f"{place}.jpg", picture_bytes(place), [("cat", [4.0, 4.0, 20.0, 16.0])])
    bench.add()
    state(bench.root, demo_card())
    bench.build()
    put_cards(bench.project)
    return bench


def state(root: Path, card: dict[str, Any]) -> None:
    document = load_yaml(root / "params.yaml")
    document["card"] = card
    save_yaml(root / "params.yaml", document)


def put_cards(project: Project) -> None:
    for name in ("cleaned", "augmented"):
        snapshot = open_snapshot(project.root / "data" / name)
        folder = project.root / "cards" / name
        place = relative_place(folder, project.root / "data" / name)
        for file, data in build_card(project.params.card, snapshot, collect(snapshot), place=place).items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)


def codes(project: Project) -> list[tuple[str, str | None, str | None]]:
    return [(issue.code, issue.file, issue.place) for issue in check_cards(project)]


def test_a_complete_and_current_card_is_fine(carded: Bench) -> None:
    assert codes(carded.project) == []


def test_missing_cards(carded: Bench) -> None:
    (carded.root / "cards/augmented/croissant.json").unlink()
    assert codes(carded.project) == [("card-missing", "cards/augmented/croissant.json", None)]
    (carded.root / "cards/augmented/README.md").unlink()
    assert [code for code, _, _ in codes(carded.project)] == ["card-missing"] * 2
    assert check_cards(carded.project)[0].describe() == (
        "cards/augmented/README.md: data/augmented has no card there. Make it again: dvc repro report. [card-missing]"
    )
    assert check_cards(carded.project, [carded.project.cleaned]) == []


def test_a_card_that_somebody_changed_is_stale(carded: Bench) -> None:
    page = carded.root / "cards/cleaned/README.md"
    page.write_bytes(page.read_bytes().replace(b"Nobody had to be asked", b"Everybody was asked"))
    (issue,) = check_cards(carded.project)
    assert (issue.code, issue.file) == ("card-stale", "cards/cleaned/README.md")
    assert issue.message == "it is not what params.yaml and the snapshot give"


def test_a_card_of_another_snapshot_is_stale(carded: Bench) -> None:
    carded.source.put("new.jpg", picture_bytes(99), [("dog", [4.0, 4.0, 20.0, 16.0])])
    carded.update()
    carded.build()
    issues = check_cards(carded.project)
    assert [(issue.code, issue.file) for issue in issues] == [
        ("card-stale", f"cards/{stage}/{name}")
        for stage in ("cleaned", "augmented")
        for name in ("README.md", "croissant.json")
    ]
    assert {issue.message for issue in issues} == {"it is of another snapshot"}


def test_an_incomplete_card_is_written_and_found(carded: Bench) -> None:
    left_out = ("purpose", "contacts", "collection")
    card = {name: value for name, value in demo_card().items() if name not in left_out}
    state(carded.root, {**card, "collection": {"by": "us"}, "limits": []})
    put_cards(carded.project)
    assert codes(carded.project) == [
        ("card-incomplete", "params.yaml", f"card.{name}")
        for name in ("purpose", "contacts", "collection.how", "limits")
    ]
    assert check_cards(carded.project)[0].describe() == (
        "params.yaml: card.purpose: it is not stated (What it was made for, by whom, with whose money). "
        "State it in params.yaml, then: dvc repro report. [card-incomplete]"
    )
    assert (
        b"It does not say: purpose, contacts, collection, limits."
        in (carded.root / "cards/cleaned/README.md").read_bytes()
    )


def test_a_project_that_wants_no_card(carded: Bench) -> None:
    state(carded.root, {})
    for path in sorted((carded.root / "cards").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (carded.root / "cards").rmdir()
    assert codes(carded.project) == []


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("schemas.detection:Label", "is no contract for cards"),
        ("schemas.card:Nothing", "has no 'Nothing'"),
        ("schemas.nowhere:Card", "has no file"),
    ],
)
def test_what_is_no_contract_for_cards(carded: Bench, reference: str, said: str) -> None:
    state(carded.root, {**demo_card(), "schema": reference})
    with pytest.raises(SchemaError, match=said):
        check_cards(carded.project)


@pytest.mark.parametrize("format", [name for name in registry.names() if registry.get(name).capabilities.writes])
def test_an_export_has_a_card_and_reads_back(carded: Bench, format: str, tmp_path: Path) -> None:
    snapshot = dsetkit.open(carded.root / "data" / "cleaned")
    part = snapshot.where(split="train")
    with_card, without = tmp_path / "with", tmp_path / "without"
    report = part.export(with_card, format=format)
    assert dsetkit.export_snapshot(part, without, format=format) == report
    page = (with_card / "README.md").read_text("utf-8")
    assert "An export as" in page
    assert part.fingerprint in page
    assert f"| samples | {len(part)} |" in page
    assert not (without / "README.md").exists()
    read, plain = (dsetkit.read_labels(folder, format=format) for folder in (with_card, without))
    assert read.table.equals(plain.table)
    assert read.issues == plain.issues
    (with_card / "README.md").unlink()
    files = [
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (with_card, without)
    ]
    assert files[0] == files[1]


def test_an_export_of_a_project_without_a_word_has_no_card(carded: Bench, tmp_path: Path) -> None:
    state(carded.root, {"schema": "schemas.card:Card"})
    dsetkit.open(carded.root / "data" / "cleaned").export(tmp_path / "out", format="coco")
    assert not (tmp_path / "out" / "README.md").exists()
