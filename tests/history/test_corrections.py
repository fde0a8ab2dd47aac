"""Corrections in the life of a project: real git, real DVC."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.versions import commit, sh

from dsetkit.snapshots.read import open_snapshot

pytestmark = pytest.mark.slow


def fix(folder: Path, category: str) -> str:
    """What a person does in a label tool: the first box gets another category. Gives the key's file name."""
    path = folder / "annotations" / next(p.name for p in (folder / "annotations").iterdir() if "instances" in p.name)
    document = json.loads(path.read_text())
    target = next(item["id"] for item in document["categories"] if item["name"] == category)
    item = next(item for item in document["annotations"] if item["category_id"] != target and not item.get("keypoints"))
    item["category_id"] = target
    path.write_text(json.dumps(document))
    return str(next(image["file_name"] for image in document["images"] if image["id"] == item["image_id"]))


def test_a_wrong_label_is_fixed_blamed_and_outlives_an_update(demo_copy: Path, tmp_path: Path) -> None:
    commit(demo_copy, "first", "v1")
    assert (demo_copy / "corrections" / ".gitattributes").is_file()
    cleaned = open_snapshot(demo_copy / "data" / "cleaned")
    (tmp_path / "keys").write_text(f"{cleaned[0].key}\n")
    sh(
        demo_copy,
        "dsetkit",
        "export",
        "data/cleaned",
        str(tmp_path / "out"),
        "-f",
        "coco",
        "--keys",
        str(tmp_path / "keys"),
    )
    fix(tmp_path / "out", "kite")
    text = sh(
        demo_copy, "dsetkit", "corrections", "from", str(tmp_path / "out"), "-f", "coco", "--why", "it flies", "--json"
    )
    made = json.loads(text)["corrections"]
    assert {item["key"] for item in made} > {cleaned[0].key}, "a sample of the same bytes is corrected alike"
    made = [item for item in made if item["key"] == cleaned[0].key]
    assert [(item["action"], item["new"]) for item in made] == [("set", {"category": "kite"})]
    assert "clean" in sh(demo_copy, "dvc", "status")
    assert "Running stage 'clean'" in sh(demo_copy, "dvc", "repro")
    assert "Running stage" not in sh(demo_copy, "dvc", "repro")
    commit(demo_copy, "corrected", "v2")

    key = cleaned[0].key
    listed = json.loads(sh(demo_copy, "dsetkit", "blame", key, "--json"))["annotations"]
    by_id = {item["annotation"]["id"]: item for item in listed}
    blamed = by_id.pop(made[0]["annotation"])
    assert (blamed["message"], blamed["correction"]["id"]) == ("corrected", made[0]["id"])
    assert blamed["correction"]["author"] == "Tester <tester@example.org>"
    assert blamed["correction"]["why"] == "it flies"
    assert {item["correction"] for item in by_id.values()} <= {None}
    assert f"it flies (Tester, {made[0]['date'][:10]}) [correction {made[0]['id']}]" in sh(
        demo_copy, "dsetkit", "blame", key
    )

    source = demo_copy / "data" / "sources" / "demo"
    first = next(path for path in sorted((source / "images").iterdir()) if path.name == key.rpartition("/")[2])
    shutil.copy(first, source / "images" / "zz-copy.jpg")
    sh(demo_copy, "dsetkit", "update", "demo")
    sh(demo_copy, "dvc", "repro")
    commit(demo_copy, "updated", "v3")
    after = open_snapshot(demo_copy / "data" / "cleaned")
    held = {item.id: item.category for item in after[key].annotations}
    assert held[made[0]["annotation"]] == "kite"
    again = json.loads(sh(demo_copy, "dsetkit", "blame", key, "--json"))["annotations"]
    assert [item["correction"]["id"] for item in again if item["correction"]] == [made[0]["id"]]
    assert [item["message"] for item in again if item["correction"]] == ["corrected"]


def test_an_earlier_version_has_its_own_corrections(demo_copy: Path) -> None:
    commit(demo_copy, "first", "v1")
    key = "demo/images/yard-02-c.jpg"
    sh(demo_copy, "dsetkit", "exclude", key, "--why", "no consent")
    sh(demo_copy, "dvc", "repro", "-q")
    commit(demo_copy, "excluded", "v2")
    assert key not in open_snapshot(demo_copy / "data" / "cleaned")
    assert "no consent" in sh(demo_copy, "dsetkit", "why", key)
    found = json.loads(sh(demo_copy, "dsetkit", "diff", "v1", "v2", "--json"))
    assert [item["key"] for item in found["samples"]["removed"]] == [key]
