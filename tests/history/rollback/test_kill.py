"""A rollback that dies at any moment leaves the project at one version, wholly, after the next command.

As a script this file runs commands in processes that are forked from it and killed: at the n-th call of a function
that changes the disk, or after a time.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

if __name__ != "__main__":
    from support.rolls import copied, state
    from support.versions import sh

pytestmark = pytest.mark.slow

CALLS = ("replace", "rename", "fsync", "link", "unlink", "mkdir", "rmdir")
KILLS = int(os.environ.get("DSETKIT_TEST_KILLS", "56"))
"""How many; a third after a time, the others at a step."""


class Forks:
    """Commands in processes that can be killed; libraries are loaded once."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, *argv: str, at: int | None = None, delay_s: float | None = None) -> dict[str, Any]:
        """The exit code (-9: killed), how many calls were counted, how long it took, and all it said."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"folder": str(folder), "argv": argv, "at": at, "delay_s": delay_s}
        self._server.stdin.write(f"{json.dumps(request)}\n")
        self._server.stdin.flush()
        return dict(json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        for pipe in (self._server.stdin, self._server.stdout):
            assert pipe is not None
            pipe.close()
        self._server.wait(60)


@pytest.fixture(scope="module")
def both(life: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Forks, Forks]]:
    both = Forks(), Forks()
    for forks in both:  # each has then loaded what the commands load
        project = copied(life, tmp_path_factory.mktemp("warm") / "demo")
        for command in (("rollback", "v1", "--dry-run"), ("verify",)):
            assert forks.run(project, *command)["code"] == 0
    yield both
    for forks in both:
        forks.close()


@pytest.fixture
def forks(both: tuple[Forks, Forks]) -> Forks:
    return both[0]


def head(project: Path) -> str:
    return sh(project, "git", "rev-parse", "HEAD")


def test_killed_at_any_moment_it_is_at_one_version(life: Path, both: tuple[Forks, Forks], tmp_path: Path) -> None:
    forks = both[0]
    command = ("rollback", "v1", "--commit")
    old, old_head = state(life), head(life)
    project = copied(life, tmp_path / "demo")
    whole = forks.run(project, *command)
    assert whole["code"] == 0, whole["said"]
    new = state(project)
    assert new != old
    assert sh(project, "git", "status", "--porcelain") == ""
    draw = random.Random(4)
    first, last = whole["journal"] - 4, whole["done"] + 4
    # Most in and about the renames, where something can go wrong; the others while all is made ready.
    steps = draw.sample(range(first, last), min(KILLS // 2, last - first))
    steps += draw.sample(range(1, first), KILLS - KILLS // 3 - len(steps))
    moments: list[dict[str, Any]] = [{"at": step} for step in steps]
    moments += [{"delay_s": draw.uniform(0.0, whole["seconds"])} for _ in range(KILLS // 3)]

    def outcome(number: int) -> tuple[str, bool]:
        """Kill one, run the next command; at which version the project is then, and whether it was killed in time."""
        moment, forks = moments[number], both[number % 2]
        project = copied(life, tmp_path / f"demo-{number}")
        killed = forks.run(project, *command, **moment)
        assert killed["code"] == -signal.SIGKILL or "delay_s" in moment, (moment, killed)
        after = forks.run(project, "verify")
        assert after["code"] == 0, (moment, after["said"])
        found = state(project)
        assert found in (old, new), (moment, sorted(found.items() ^ old.items())[:9])
        assert (head(project) == old_head) is (found == old), moment
        assert sh(project, "git", "status", "--porcelain") == "", moment
        assert not (project / ".dvc" / "tmp" / "dsetkit" / "rollback").exists(), moment
        if number < len(moments) - 1:
            shutil.rmtree(project)
        return "new" if found == new else "old", killed["code"] == -signal.SIGKILL

    with ThreadPoolExecutor(2) as pool:  # each thread has its own processes to fork from
        halves = pool.map(lambda half: [outcome(number) for number in range(half, len(moments), 2)], (0, 1))
        outcomes = [found for half in halves for found in half]
    versions = [version for version, _ in outcomes]
    assert versions.count("old") > KILLS // 10
    assert versions.count("new") > KILLS // 10
    assert sum(was_killed for _, was_killed in outcomes) > KILLS * 8 // 10
    project = tmp_path / f"demo-{len(moments) - 1}"
    assert forks.run(project, "rollback", "v3" if state(project) == new else "v1")["code"] == 0  # and it still works
    assert "Running stage" not in sh(project, "dvc", "repro")


def test_the_recovery_can_be_killed_too(life: Path, forks: Forks, tmp_path: Path) -> None:
    project = copied(life, tmp_path / "demo")
    whole = forks.run(copied(life, tmp_path / "whole"), "rollback", "v1")
    new = state(tmp_path / "whole")
    middle = (whole["journal"] + whole["done"]) // 2
    assert forks.run(project, "rollback", "v1", at=middle)["code"] == -signal.SIGKILL
    assert state(project) != new
    for step in (3, 11, 20):
        assert forks.run(project, "status", at=step)["code"] == -signal.SIGKILL
    said = forks.run(project, "status")["said"]
    assert "finished the rollback to v1" in said
    assert "interrupted" in said
    assert state(project) == new
    assert "Running stage" not in sh(project, "dvc", "repro")


def test_what_dvc_deletes_meanwhile_comes_from_its_cache(life: Path, forks: Forks, tmp_path: Path) -> None:
    project = copied(life, tmp_path / "demo")
    whole = forks.run(copied(life, tmp_path / "whole"), "rollback", "v1")
    assert forks.run(project, "rollback", "v1", at=whole["done"] - 2)["code"] == -signal.SIGKILL
    assert (project / ".dvc" / "tmp" / "dsetkit" / "rollback" / "journal.json").exists()
    shutil.rmtree(project / "data" / "cleaned")  # as dvc repro does before its stage runs
    assert forks.run(project, "verify")["code"] == 0
    assert state(project) == state(tmp_path / "whole")


def test_a_stage_does_not_run_on_half_a_rollback(life: Path, forks: Forks, tmp_path: Path) -> None:
    project = copied(life, tmp_path / "demo")
    whole = forks.run(copied(life, tmp_path / "whole"), "rollback", "v1")
    middle = (whole["journal"] + whole["done"]) // 2
    assert forks.run(project, "rollback", "v1", at=middle)["code"] == -signal.SIGKILL
    done = subprocess.run(["dvc", "repro", "--force"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "a rollback to v1" in done.stdout + done.stderr
    assert "was interrupted here, and cannot be finished now" in done.stdout + done.stderr
    assert forks.run(project, "verify")["code"] == 0
    assert state(project) == state(tmp_path / "whole")


def _serve() -> None:
    import dvc.repo.status  # noqa: F401

    import dsetkit.cli.app  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        report = Path(request["folder"] + ".report")
        report.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _child(request, report)
        if request["delay_s"] is not None:
            time.sleep(request["delay_s"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        counted = json.loads(report.read_text()) if report.exists() else {}
        for name in counted.pop("modules", ()):  # loaded here too, so that no child has to
            with suppress(Exception):
                importlib.import_module(name)
        said = Path(request["folder"] + ".said").read_text() if Path(request["folder"] + ".said").exists() else ""
        answer = {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began, "said": said}
        print(json.dumps({**answer, **counted}), flush=True)


def _child(request: dict[str, Any], report: Path) -> None:
    number = os.open(request["folder"] + ".said", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(number, 1)
    os.dup2(number, 2)
    os.chdir(request["folder"])
    sys.argv = ["dsetkit", *request["argv"]]
    counted = {"calls": 0, "journal": 0, "done": 0}
    original = {name: getattr(os, name) for name in CALLS}

    def watch(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            counted["calls"] += 1
            if name == "replace" and str(arguments[1]).endswith("journal.json"):
                counted["journal"] = counted["calls"]
            if name == "unlink" and str(arguments[0]).endswith("journal.json"):
                counted["done"] = counted["calls"]
            if counted["calls"] == request["at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return original[name](*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, watch(name))
    code = 1
    try:
        from dsetkit.cli.app import run

        run()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    report.write_text(json.dumps({**counted, "modules": sorted(sys.modules)}))
    os._exit(code)


if __name__ == "__main__":
    _serve()
