"""A source that gains a category moves those behind it: told by the command, and by ``diff``, never by the snapshot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support.bench import tree_bytes
from support.versions import commit

from dsetkit.snapshots.read import open_snapshot
from dsetkit.stages.yaml_documents import load_yaml, save_yaml
from dsetkit.storage.atomic import remove_tree

pytestmark = pytest.mark.slow

HINT = "To keep the numbers, put this under clean.categories in params.yaml and run dvc repro: "


def sh(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "10000"}
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)}:\n{text}"
    return text


def names(project: Path) -> list[str]:
    return [category.name for category in open_snapshot(project / "data" / "cleaned").categories]


def name_categories(project: Path, listed: list[str]) -> None:
    params = load_yaml(project / "params.yaml")
    params["clean"]["categories"]["names"] = listed
    save_yaml(project / "params.yaml", params)


def told(text: str) -> tuple[str, list[str]]:
    """The one warning, and the list of names it gives."""
    (line,) = (line for line in text.splitlines() if "[categories-renumbered]" in line)
    message, _, put = line.partition(HINT)
    return message, yaml.safe_load(put.removesuffix(" [categories-renumbered]"))["names"]


def test_a_category_in_front_of_others(demo_copy: Path) -> None:
    name_categories(demo_copy, [])
    sh(demo_copy, "dvc", "repro", "clean")
    commit(demo_copy, "first")
    before = names(demo_copy)
    old = Path(shutil.copytree(demo_copy / "data" / "cleaned", demo_copy.parent / "old"))
    path = demo_copy / "data" / "sources" / "demo" / "annotations.json"
    document = json.loads(path.read_text())
    document["categories"].insert(0, {"id": 1000, "name": "aardvark"})
    path.write_text(json.dumps(document))
    sh(demo_copy, "dsetkit", "update", "demo")

    text = sh(demo_copy, "dvc", "repro", "clean")
    assert names(demo_copy) == ["aardvark", *before]
    message, kept = told(text)
    assert f"(0 was '{before[0]}', is 'aardvark'; 1 was '{before[1]}', is '{before[0]}'; " in message
    assert kept == [*before, "aardvark"]

    shown = sh(demo_copy, "dsetkit", "diff", str(old), "data/cleaned")
    assert f"categories: 1 added, {len(before)} changed" in shown
    assert f"{before[0]} index 0 → 1" in shown

    moved = tree_bytes(demo_copy / "data" / "cleaned")
    assert "renumbered" not in (demo_copy / "data" / "cleaned" / "snapshot.json").read_text()
    assert told(sh(demo_copy, "dvc", "repro", "--force", "--single-item", "clean")) == (message, kept)
    remove_tree(demo_copy / "data" / "cleaned")
    sh(demo_copy, "dsetkit", "clean")
    assert tree_bytes(demo_copy / "data" / "cleaned") == moved

    name_categories(demo_copy, kept)
    assert "renumbered" not in sh(demo_copy, "dvc", "repro", "clean")
    assert names(demo_copy) == kept
    assert "index" not in sh(demo_copy, "dsetkit", "diff", str(old), "data/cleaned")


def test_names_that_were_edited_where_nothing_is_committed(demo_copy: Path) -> None:
    before = names(demo_copy)
    name_categories(demo_copy, before[::-1])
    message, kept = told(sh(demo_copy, "dvc", "repro", "clean"))
    assert f"0 was '{before[0]}', is '{before[-1]}'" in message
    assert kept == before
    document = json.loads(sh(demo_copy, "dsetkit", "clean", "--json"))
    assert [issue["code"] for issue in document["issues"] if issue["code"] == "categories-renumbered"] == []
    name_categories(demo_copy, [*before, "aardvark"])
    sh(demo_copy, "dvc", "repro", "clean")
    name_categories(demo_copy, before)
    document = json.loads(sh(demo_copy, "dsetkit", "clean", "--json"))
    assert (document["issues"][0]["code"], document["issues"][0]["severity"]) == ("categories-renumbered", "warning")
