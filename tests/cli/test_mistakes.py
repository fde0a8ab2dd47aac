"""A first-time user's mistakes, each with the one message that it gets."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bench import Bench, picture_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def test_outside_a_project(run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("status")
    assert ran.code == 2
    assert ran.err == (
        f"error: {tmp_path} is not in a dsetkit project (no folder from here up has params.yaml and dvc.yaml).\n"
        "Go to the project's folder, or make one: dsetkit init DIR.\n"
    )


def test_a_path_that_is_not_there(run: Callable, bench: Bench) -> None:
    ran = run("add", "pets", "../sorce")
    assert ran.code == 2
    assert "sorce" in ran.err
    assert "source" in ran.err  # what is near
    assert run("status").code == 1
    assert "sources: {}" in (bench.root / "params.yaml").read_text()


def test_a_format_that_is_not_there(run: Callable, bench: Bench) -> None:
    ran = run("add", "pets", "../source", "--format", "coko")
    assert ran.code == 2
    assert "coko" in ran.err
    assert "coco" in ran.err


def test_a_format_that_is_not_this_one(run: Callable, bench: Bench) -> None:
    ran = run("add", "pets", "../source", "--format", "voc")
    if ran.code == 0:
        ran = run("ingest", "pets")
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert "VOC" in ran.err or "voc" in ran.err


def test_a_source_that_is_there_already(run: Callable, bench: Bench) -> None:
    assert run("add", "pets", "../source").code == 0
    ran = run("add", "pets", "../source")
    assert ran.code == 2
    assert ran.err == ("error: there is a source 'pets' already.\nChoose another name, or: dsetkit update pets.\n")


def test_a_name_that_cannot_be(run: Callable, bench: Bench) -> None:
    ran = run("add", "My Pets", "../source")
    assert ran.code == 2
    assert "a source name is lower-case letters, digits, '-' and '_', not 'My Pets'" in ran.err


def test_labels_that_name_missing_pictures(run: Callable, bench: Bench) -> None:
    bench.source.boxes["gone.jpg"] = [("cat", [1.0, 1.0, 2.0, 2.0])]
    bench.source.write()
    run("add", "pets", "../source")
    ran = run("ingest", "pets")
    assert ran.code == 0
    assert "1  picture-missing" in ran.out
    assert "the labels name gone.jpg, which is not there" in ran.out


def test_an_unknown_category(run: Callable, bench: Bench) -> None:
    bench.params(clean={"categories.names": ["dog"]})
    run("add", "pets", "../source")
    run("ingest", "pets")
    ran = run("clean")
    assert ran.code == 1
    assert "labels have categories that the dataset does not: 'cat' (4 in pets)" in ran.err
    assert "Map each in clean.categories.map" in ran.err


def test_malformed_yaml(run: Callable, bench: Bench) -> None:
    path = bench.root / "params.yaml"
    path.write_text(path.read_text().replace("  target_bytes: 8388608", "\ttarget_bytes: 8388608"))
    ran = run("status")
    assert ran.code == 2
    assert ran.err.startswith("error: params.yaml, line 9, column 1: not valid YAML: ")
    assert ran.err.endswith("Mend the line; nesting is by spaces, never by tabs.\n")


def test_an_unknown_parameter(run: Callable, bench: Bench) -> None:
    path = bench.root / "params.yaml"
    path.write_text(path.read_text().replace("max_invalid", "max_invald"))
    ran = run("status")
    assert ran.code == 2
    assert ran.err == (
        "error: params.yaml: unknown parameter 'clean.max_invald' (did you mean 'max_invalid'?).\nMend params.yaml.\n"
    )


def test_a_parameter_with_a_wrong_value(run: Callable, bench: Bench) -> None:
    bench.params(clean={"on_invalid": "ignore", "split.ratios": {"train": 0.5}})
    ran = run("status")
    assert ran.code == 2
    assert "clean.on_invalid: input should be 'drop', 'drop_sample', 'keep' or 'fail', not 'ignore'" in ran.err
    assert "clean.split: the ratios add up to 0.5, not to 1" in ran.err


def test_a_source_that_changed_since_it_was_locked(run: Callable, bench: Bench) -> None:
    run("add", "pets", "../source")
    bench.source.put("4.jpg", picture_bytes(4), [])
    bench.source.write()
    assert "pets" in run("status").out
    ran = run("ingest", "pets")
    assert ran.code == 1
    assert "the source 'pets' is no longer what was locked: 1 new: images/4.jpg; 1 changed: annotations.json" in ran.err
    assert "dsetkit update pets" in ran.err
    assert run("update", "pets").code == 0
    assert run("ingest", "pets").code == 0


def test_building_before_adding(run: Callable, bench: Bench) -> None:
    ran = run("clean")
    assert ran.code == 2
    assert ran.err == ("error: the project has no source yet.\nAdd one: dsetkit add NAME PATH, then dvc repro.\n")


def test_a_command_that_is_not_there(run: Callable) -> None:
    ran = run("cleen")
    assert ran.code == 2
    assert "clean" in ran.err


def test_json_errors_are_documents(run: Callable, bench: Bench) -> None:
    ran = run("clean", "--json")
    assert ran.code == 2
    assert ran.json()["error"] == {
        "kind": "UsageError",
        "message": "the project has no source yet",
        "hint": "Add one: dsetkit add NAME PATH, then dvc repro.",
        "issues": [],
        "losses": [],
    }


def test_json_errors_of_the_parser_are_documents_too(run: Callable, bench: Bench) -> None:
    ran = run("status", "--jsom", "--json")
    assert ran.code == 2
    assert ran.json()["error"]["kind"] == "UsageError"
    assert "--jsom" in ran.json()["error"]["message"]
    assert run("status", "--jsom").out == ""


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_name_that_is_no_text(run: Callable, bench: Bench, more: tuple[str, ...]) -> None:
    """A terminal of another encoding than the locale says: Python brings such bytes as surrogates."""
    assert run("add", "pets", "../source").code == 0
    assert run("ingest", "pets").code == 0
    ran = run("show", "data/raw/pets", "B\udce4r.jpg", *more)
    assert ran.code == 2
    assert "is not text in this locale's encoding" in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", [("formats",), ("formats", "--json")])
def test_a_reader_that_goes_away(bench: Bench, command: tuple[str, ...]) -> None:
    """`dsetkit … | head`: nobody is told of a failure, for there was none."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(["dsetkit", *command], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_tools_that_are_not_the_locked_ones(run: Callable, bench: Bench) -> None:
    run("add", "pets", "../source")
    path = bench.root / "tools.lock.yaml"
    path.write_text(path.read_text().replace("pillow: ", "pillow: 0."))
    ran = run("ingest", "pets")
    assert ran.code == 1
    assert "the tools here are not those of tools.lock.yaml: pillow 0." in ran.err
    assert run("update", "--tools").code == 0
    assert run("ingest", "pets").code == 0


def test_a_contract_that_is_not_there(run: Callable, bench: Bench) -> None:
    ran = run("add", "pets", "../source", "--schema", "schemas.nothing:Label")
    assert ran.code == 2
    assert "the contract 'schemas.nothing:Label' has no file schemas/nothing.py" in ran.err
    ran = run("add", "pets", "../source", "--schema", "os:path")
    assert ran.code == 2
    assert "no file os.py" in ran.err


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_nothing(bench: Bench, run: Callable, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number), "/data/dvc.lock")

    monkeypatch.setattr("dsetkit.cli.rollback.finish_before", refuse)
    told = run("status")
    assert told.code == 2
    assert f"/data/dvc.lock could not be written ({os.strerror(number)})" in " ".join(told.err.split())
    assert run("status", "--json").json()["error"]["kind"] == "StorageError"
