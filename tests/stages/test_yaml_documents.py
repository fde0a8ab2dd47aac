"""Documents that people write are edited without losing, or moving, what they wrote."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from support.bench import Bench

from dsetkit.errors import ParamsError
from dsetkit.spec.params import SourceParams
from dsetkit.stages.manage import add_source, remove_source
from dsetkit.stages.yaml_documents import free_end, load_yaml, save_yaml

NEXT = "\n# the contract\nschema: null  # none yet\n"


@pytest.mark.parametrize(
    "section",
    [
        "sources:\n  a:\n    path: x\n",
        "sources:\n  a:\n    path: x  # as it was sent\n",
        "sources:\n  a:\n    path: x\n    labels:\n      - format: coco\n        file: y\n",
        "sources:\n  a:\n    exclude:\n      - x\n      - y\n",
        "sources:\n  a:\n    labels: []\n",
        "sources:\n  a: {path: x}\n",
        "sources:\n  a:\n    path: x\n    # a: of the old camera\n",
        "sources:  # where it comes from\n  a:\n    path: x\n",
    ],
)
def test_what_follows_a_section_stays_behind_it(tmp_path: Path, section: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(section + NEXT)
    document = load_yaml(path)
    free_end(document, "sources")
    save_yaml(path, document)
    assert path.read_text() == section + NEXT
    document = load_yaml(path)
    free_end(document, "sources")
    document["sources"]["b"] = {"path": "z"}
    save_yaml(path, document)
    assert path.read_text() == section + "  b:\n    path: z\n" + NEXT
    document = load_yaml(path)
    free_end(document, "sources")
    del document["sources"]["b"]
    save_yaml(path, document)
    assert path.read_text() == section + NEXT


@pytest.mark.parametrize("text", ["sources:\n  a:\n    path: x\n\n# the end\n", "sources: {}\n", "sources:\n"])
def test_a_last_section_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    document = load_yaml(path)
    free_end(document, "sources")
    save_yaml(path, document)
    assert path.read_text() == text.replace("sources:\n", "sources: null\n" if text == "sources:\n" else "sources:\n")


def test_sources_come_and_go_without_a_trace(bench: Bench) -> None:
    path = bench.root / "params.yaml"
    before = path.read_text()
    source = SourceParams(path=str(bench.source.write().folder))
    for name in ("one", "two", "three"):
        add_source(bench.project, name, source)
    text = path.read_text()
    block = text[text.index("sources:") : text.index("\nschema:")]
    assert "\n\n" not in block.rstrip("\n")
    assert text.replace(block, "sources: {}\n") == before
    for name in ("three", "one", "two"):
        remove_source(bench.project, name)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
        + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in pairwise("abcdefgh")),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "a: &a [1]\n? *a\n: 2\n",
    ],
    ids=["bomb", "list in itself", "mapping in itself", "list as a key"],
)
def test_aliases_that_unfold_without_end(bench: Bench, text: str) -> None:
    (bench.root / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        _ = bench.project.params
