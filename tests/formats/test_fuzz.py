"""Spoiled label files through every reader; see ``support.fuzz``.

``DSETKIT_FUZZ`` gives the number of inputs over all readers (for example 200000), ``DSETKIT_FUZZ_FIRST`` the number
of the first and ``DSETKIT_FUZZ_FORMATS`` names, with commas, the formats to try alone.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fuzz import attempt, examples, spoiled

from dsetkit.formats import registry

TESTS = Path(__file__).resolve().parent.parent
INPUTS = int(os.environ.get("DSETKIT_FUZZ", "15000"))
FIRST = int(os.environ.get("DSETKIT_FUZZ_FIRST", "0"))
SILENCE_S = 60.0
"""So long without a word, and the process hangs where Python cannot stop it."""
SHOWN = 40


def names() -> list[str]:
    chosen = os.environ.get("DSETKIT_FUZZ_FORMATS")
    return chosen.split(",") if chosen else [name for name in registry.names() if registry.get(name).capabilities.reads]


def said(plan: list[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
    """What a process says that works on a plan; last, under ``died``, how it ended if it did not end well."""
    with subprocess.Popen(
        [sys.executable, "-m", "support.fuzz", "--serve", json.dumps(plan)],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        rest, heard = b"", time.monotonic()
        while True:
            ready, _, _ = select.select([process.stdout], [], [], 5.0)
            data = os.read(process.stdout.fileno(), 1 << 16) if ready else None
            if data == b"":
                break
            if data is None:
                if time.monotonic() - heard > SILENCE_S:
                    process.kill()
                    yield {"died": f"it hung for {SILENCE_S:.0f} s and had to be killed"}
                    return
                continue
            heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)
        process.wait()
        if process.returncode:
            assert process.stderr is not None
            words = process.stderr.read().decode(errors="replace").strip()[-600:]
            yield {"died": f"it ended with {process.returncode}: {words}"}


def run(plan: list[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
    """All that went wrong. A process that dies is started anew behind the input that killed it."""
    while plan:
        last: dict[str, Any] | None = None
        died = None
        for line in said(plan):
            if "what" in line:
                yield line
            elif "number" in line:
                last = line
            elif "died" in line:
                died = line["died"]
        if died is None:
            return
        assert last is not None, died
        yield {**last, "what": died, "where": "the process"}
        at = next(index for index, (name, _, _) in enumerate(plan) if name == last["format"])
        name, first, count = plan[at]
        done = last["number"] + 1 - first
        plan = [(name, first + done, count - done), *plan[at + 1 :]] if count > done else plan[at + 1 :]


PARTS = min(len(names()), max(4, INPUTS // 8000))
"""Tests that share the readers, so that they run side by side."""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_spoiled_label_files_never_break_a_reader(part: int) -> None:
    """Each ends in an error with a hint or in a valid set, within 5 s and 1 GiB."""
    each = max(1, INPUTS // len(names()))
    chosen = names()[part::PARTS]
    found: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
    for failure in run([(name, FIRST, each) for name in chosen]):
        kind = failure["what"].partition(":")[0]
        key = failure["format"], failure["where"], kind
        count, first = found.get(key, (0, failure))
        found[key] = count + 1, first
    lines = [
        f"{count} × {name} at {where}: {first['what']}\n    again: cd tests; "
        f"python -m support.fuzz {name} {first['number']}"
        for (name, where, _), (count, first) in sorted(found.items())
    ]
    assert not lines, "\n".join([f"{len(lines)} faults:", *lines[:SHOWN]])


def test_every_reader_has_examples_and_the_same_number_is_the_same_input() -> None:
    found = examples(TESTS)
    missing = [name for name in registry.names() if registry.get(name).capabilities.reads and name not in found]
    assert missing == [], "their tests have no class that inherits ReadContract or FormatContract"
    for name in ("coco", "voc", "yolo"):
        inputs = [spoiled(found, name, number) for number in range(20)]
        assert inputs == [spoiled(found, name, number) for number in range(20)]
        assert sum(files != example.files for example, files in inputs) >= 15


def test_what_breaks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examples(TESTS)

    def broken(*given: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(type(found["csv"][0].format), "read", broken)
    failure = attempt(found, "csv", 1)
    assert failure is not None
    assert failure["what"] == "KeyError: 'x'"
