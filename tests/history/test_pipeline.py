"""The pipeline as users run it: `dvc repro`, with DVC's cache as the stages' memory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.bench import picture_bytes, tree_bytes

from dsetkit.history.memory import last_output
from dsetkit.storage.atomic import remove_tree

pytestmark = pytest.mark.slow


def sh(folder: Path, *command: str, code: int = 0) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == code, f"{' '.join(command)} gave {done.returncode}:\n{text}"
    return text


def decoded(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"decoded (\d+) picture", text)]


def commit(folder: Path) -> None:
    sh(folder, "git", "add", "-A")
    sh(folder, "git", "commit", "-qm", "a version")


def test_a_second_repro_runs_nothing(demo_copy: Path) -> None:
    text = sh(demo_copy, "dvc", "repro")
    assert "Running stage" not in text
    assert "Data and pipelines are up to date." in text


def test_from_nothing_the_bytes_are_the_same(demo_copy: Path) -> None:
    expected = tree_bytes(demo_copy / "data")
    for name in ("raw/demo", "cleaned", "augmented"):
        remove_tree(demo_copy / "data" / name)
    shutil.rmtree(demo_copy / ".dvc" / "cache", ignore_errors=True)
    shutil.rmtree(demo_copy / ".dvc" / "tmp", ignore_errors=True)
    lock = (demo_copy / "dvc.lock").read_text()
    (demo_copy / "dvc.lock").unlink()
    sh(demo_copy, "dvc", "repro")
    assert tree_bytes(demo_copy / "data") == expected
    assert (demo_copy / "dvc.lock").read_text() == lock


def test_five_more_pictures_decode_five_and_keep_the_other_shards(demo_copy: Path) -> None:
    source = demo_copy / "data" / "sources" / "demo"
    for number in range(5):
        (source / "images" / f"zz-{number}.jpg").write_bytes(picture_bytes(number, (256, 192)))
    sh(demo_copy, "dsetkit", "update", "demo")
    before = {path.name for path in (demo_copy / "data/raw/demo/shards").iterdir()}
    text = sh(demo_copy, "dvc", "repro")
    assert decoded(text)[0] == 5
    after = {path.name for path in (demo_copy / "data/raw/demo/shards").iterdir()}
    assert len(before - after) <= 1
    incremental = tree_bytes(demo_copy / "data")
    for name in ("raw/demo", "cleaned", "augmented"):
        remove_tree(demo_copy / "data" / name)
    shutil.rmtree(demo_copy / ".dvc" / "cache")
    (demo_copy / "dvc.lock").unlink()
    sh(demo_copy, "dvc", "repro")
    assert tree_bytes(demo_copy / "data") == incremental


def test_a_changed_label_decodes_nothing_and_writes_no_shard(demo_copy: Path) -> None:
    path = demo_copy / "data" / "sources" / "demo" / "annotations.json"
    document = json.loads(path.read_text())
    box = next(item for item in document["annotations"] if "bbox" in item and item["bbox"][2] > 20)
    box["bbox"][2] -= 3
    path.write_text(json.dumps(document))
    sh(demo_copy, "dsetkit", "update", "demo")
    shards = {p.name for p in (demo_copy / "data").rglob("*.tar")}
    text = sh(demo_copy, "dvc", "repro")
    assert set(decoded(text)) == {0}
    assert {p.name for p in (demo_copy / "data").rglob("*.tar")} == shards
    assert text.count("wrote 0 B") == 3


def test_a_threshold_decodes_nothing_in_clean(demo_copy: Path) -> None:
    path = demo_copy / "params.yaml"
    path.write_text(re.sub(r"min_side_px: 32", "min_side_px: 33", path.read_text()))
    text = sh(demo_copy, "dvc", "repro")
    assert "Stage 'ingest@demo' didn't change" in text
    assert decoded(text)[0] == 0


def test_a_clone_without_the_sources_loses_nothing(demo_copy: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    sh(demo_copy, "dvc", "remote", "add", "-d", "store", str(remote))
    sh(demo_copy, "dvc", "push", "-q")
    (demo_copy / ".gitignore").write_text("/data/sources\n")
    commit(demo_copy)
    clone = tmp_path / "clone"
    sh(tmp_path, "git", "clone", "-q", str(demo_copy), str(clone))
    assert not (clone / "data" / "sources").exists()
    sh(clone, "dvc", "pull", "-q")
    expected = {name: tree_bytes(demo_copy / "data" / name) for name in ("raw/demo", "cleaned", "augmented")}
    text = sh(clone, "dvc", "repro")
    assert "Running stage" not in text
    assert {name: tree_bytes(clone / "data" / name) for name in expected} == expected
    path = clone / "params.yaml"
    path.write_text(path.read_text().replace("max_invalid: 0.02", "max_invalid: 0.03"))
    assert "Running stage 'ingest" not in sh(clone, "dvc", "repro", "--pull")
    # A stage that would have to read the source says so, and DVC keeps what was there in its cache.
    path.write_text(path.read_text().replace("max_pixels: 89478485", "max_pixels: 80000000"))
    text = sh(clone, "dvc", "repro", code=255)
    assert "data" in text
    assert "no 'sources'" in text
    sh(clone, "git", "checkout", "-q", "params.yaml", "dvc.lock")
    sh(clone, "dvc", "checkout", "-q")
    assert {name: tree_bytes(clone / "data" / name) for name in expected} == expected


def test_nothing_is_built_on_absent_data(demo_copy: Path, tmp_path: Path) -> None:
    remove_tree(demo_copy / "data" / "raw" / "demo")
    shutil.rmtree(demo_copy / ".dvc" / "cache")
    path = demo_copy / "params.yaml"
    path.write_text(path.read_text().replace("max_invalid: 0.02", "max_invalid: 0.03"))
    text = sh(demo_copy, "dvc", "repro", "--allow-missing", code=255)
    assert "data/raw/demo holds no snapshot" in text
    assert not (demo_copy / "data" / "cleaned").exists()


def test_params_edited_while_a_stage_runs_stop_it(demo_copy: Path) -> None:
    path = demo_copy / "params.yaml"
    path.write_text(path.read_text().replace("max_pixels: 89478485", "max_pixels: 80000000"))
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=demo_copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    build = demo_copy / ".dvc" / "tmp" / "dsetkit" / "build" / "data-raw-demo"
    deadline = time.monotonic() + 60
    while not build.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    path.write_text(path.read_text().replace("max_pixels: 80000000", "max_pixels: 70000000"))
    text, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "changed while the stage ran: params.yaml: ingest" in text
    sh(demo_copy, "dvc", "repro")


def test_the_memory_is_the_last_committed_output(demo_copy: Path) -> None:
    place = demo_copy / "data" / "cleaned"
    remove_tree(place)
    memory = last_output(demo_copy, place)
    assert memory is not None
    assert memory.info.name == "cleaned"
    assert memory.read_bytes(memory[0].key)
    commit(demo_copy)
    (demo_copy / "dvc.lock").unlink()
    again = last_output(demo_copy, place)  # as HEAD has it
    assert again is not None
    assert again.fingerprint == memory.fingerprint
    for name in memory.info.shards:
        path = memory.folder.local_path(name.name)
        assert path is not None
        os.chmod(path, 0o644)
        path.unlink()
    assert last_output(demo_copy, place) is None  # not whole in the cache


def test_a_damaged_object_in_the_cache_is_dropped_and_made_anew(demo_copy: Path) -> None:
    place = demo_copy / "data" / "augmented"
    cleaned = {path.name for path in (demo_copy / "data" / "cleaned" / "shards").iterdir()}
    shard = next(path for path in (place / "shards").iterdir() if path.name not in cleaned)
    expected = tree_bytes(place)
    md5 = hashlib.md5(shard.read_bytes()).hexdigest()
    cached = demo_copy / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    data = bytearray(cached.read_bytes())
    data[700] ^= 255
    cached.chmod(0o644)
    cached.write_bytes(data)
    cached.chmod(0o444)  # so DVC trusts it without a look
    text = sh(demo_copy, "dvc", "repro", "--force", "--single-item", "augment")
    assert decoded(text)[0] > 0
    assert " reused 0" not in text  # other shards are still known
    assert tree_bytes(place) == expected
    assert hashlib.md5(cached.read_bytes()).hexdigest() == md5


def test_repro_before_add_says_what_to_do(tmp_path: Path) -> None:
    sh(tmp_path, "dsetkit", "init", "empty")
    text = sh(tmp_path / "empty", "dvc", "repro", code=255)
    assert "the project has no source yet" in text
    assert "Add one: dsetkit add NAME PATH, then dvc repro." in text


def test_remove_and_rebuild(demo_copy: Path) -> None:
    other = demo_copy.parent / "other"
    other.mkdir()
    for number in range(3):
        (other / f"{number}.jpg").write_bytes(picture_bytes(900 + number, (256, 192)))
    sh(demo_copy, "dsetkit", "add", "other", str(other))
    sh(demo_copy, "dvc", "repro")
    assert "ingest@other" in (demo_copy / "dvc.lock").read_text()
    sh(demo_copy, "dsetkit", "remove", "other")
    assert "ingest@other" not in (demo_copy / "dvc.lock").read_text()
    sh(demo_copy, "dvc", "repro")
    sh(demo_copy, "dsetkit", "status")
