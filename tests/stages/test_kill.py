"""kill -9 at random moments of each stage: the next run completes and gives the bytes of an undisturbed one."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.storage.atomic import remove_tree

STAGES = {
    "ingest": ("raw/pets", ["ingest", "pets"]),
    "clean": ("cleaned", ["clean"]),
    "augment": ("augmented", ["augment"]),
}
SLOWLY = """
import os, sys, time
import dsetkit.storage.tar as tar
from dsetkit.cli import main
from dsetkit.stages import augment, clean, ingest
# Many moments to die in: each member that is packed takes a little longer.
header = tar.header
def slow_header(member):
    time.sleep(0.002)
    return header(member)
tar.header = slow_header
from dsetkit.snapshots.write import SnapshotWriter
begin = SnapshotWriter.__init__
def say_and_begin(self, *rest, **named):
    print("ready", flush=True)
    begin(self, *rest, **named)
SnapshotWriter.__init__ = say_and_begin
# Each line on stdin is one run, in a process forked from this one, which has imported everything already.
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv = ["dsetkit", *line.split()]
        main()
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


@pytest.fixture
def runs(built: Bench) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY],
        cwd=built.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.communicate(timeout=60)


def said(runs: subprocess.Popen[str], wanted: tuple[str, ...]) -> str:
    """The next of these words it says; a stage's own words in between are passed over. A number is a process."""
    assert runs.stdout is not None
    for line in runs.stdout:
        word = line.strip()
        if word in wanted or (word.isdigit() and "number" in wanted):
            return word
    raise AssertionError("it ended")


@pytest.fixture
def built(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "project")
    bench.params(
        shards={"target_bytes": 4096},
        clean={"pixels.max_side_px": 48},
        augment={"recipes": {"flip": {"operations": [{"op": "flip"}]}}},
    )
    for number in range(40):
        bench.source.put(f"{number:02d}.jpg", picture_bytes(number), [("cat", [4.0, 4.0, 20.0, 16.0])])
    bench.add()
    bench.build()
    return bench


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_run_after_a_kill_gives_the_same_bytes(built: Bench, runs: subprocess.Popen[str], stage: str) -> None:
    output, command = STAGES[stage]
    place = built.root / "data" / output
    expected = tree_bytes(place)
    draw = random.Random(f"kill {stage}")
    reused = []
    build = built.root / ".dsetkit" / "build" / f"data-{output.replace('/', '-')}"
    shards = sum(1 for name in expected if name.endswith(".tar"))
    for _ in range(20):
        remove_tree(place)  # as DVC does before a stage runs
        assert runs.stdin is not None
        print(*command, file=runs.stdin, flush=True)
        child = int(said(runs, ("number",)))
        assert said(runs, ("ready", "gone")) == "ready"
        wanted = draw.randint(0, shards)
        deadline = time.monotonic() + 60
        while not place.exists() and len(list(build.glob("shards/*.tar"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.02))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        said(runs, ("gone",))
        if place.exists():
            assert tree_bytes(place) == expected  # it was done already; never half
            remove_tree(place)
        result = {"ingest": built.ingest, "clean": built.clean, "augment": built.augment}[stage]()
        assert tree_bytes(place) == expected
        assert not list((built.root / "data").rglob(".*dsetkit*"))
        reused.append(result.reused)
    assert any(reused), "no run ever used what a killed one had finished"
