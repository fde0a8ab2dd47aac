"""Runs contests: each contender is a process of its own, contenders take turns, every round is the same work.

A contender gets a *prepared folder* (made once a contest by ``Contest.prepare``, only to be read) and an empty
*scratch folder* of its own as working directory. The last line it prints is one JSON object::

    {"steps": {"read": 1.25, "validate": 0.4}, "facts": {"pictures": 20000}}

``steps`` are wall seconds it took around its own work (starting Python and importing are outside unless it says
otherwise); CPU seconds and peak memory are taken from the kernel for the whole process and the processes it waited for.
Facts that several contenders name must be equal: who did other work is not in the race.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

PROJECT = Path(__file__).resolve().parent.parent
PEERS_VARIABLE = "DSETKIT_BENCH_PEERS"
"""The environment variable that names another environment for the peers than ``.venv-bench``."""

TIMEOUT_S = 3600.0
KEPT = "kept"
"""The folder of a contest for what its contenders wrote, where it stays until all are over."""


class BenchmarkError(Exception):
    """A contest that could not be held: a contender failed, said nothing, or did other work than the others."""


@dataclass(frozen=True)
class Contender:
    """One process in a contest.

    ``argv`` makes the arguments for the environment's Python from the prepared folder, for example
    ``lambda folder: ["-m", "benchmarks.contenders.coco_dsetkit", str(folder)]``. ``env`` says whose Python: the one
    dsetkit is installed in, or the peers'. ``packages`` are distributions whose versions the results name.
    """

    name: str
    argv: Callable[[Path], list[str]]
    env: Literal["main", "peers"] = "main"
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contest:
    """What is raced, by whom, and what the outcome should be.

    The first contender is dsetkit's; ratios are the others' seconds over its seconds. ``prepare(folder, quick)`` makes
    the input in an empty folder, the same bytes on every run, and returns facts about it; it runs in a process of its
    own, so that what it needs does not count. ``target`` is the wanted ratio of the total for each peer; ``limits``
    are the largest values facts of dsetkit's contender may have (``peak_rss_bytes`` is the harness's own measure);
    ``at_most`` are the largest ratios wanted, by contender and step, where one does more than dsetkit's on purpose.
    ``server(scratch)`` is entered around every run of every contender, fresh each time, and yields environment
    variables for it. With ``keeps_scratch`` what contenders wrote is deleted when all contests are over: file systems
    as ext4 make files many times slower for minutes after thousands were deleted. ``bound`` says in a paragraph what
    bounds the figures and where the work is not the same.
    """

    name: str
    title: str
    target: Mapping[str, float]
    prepare: Callable[[Path, bool], dict[str, Any]]
    contenders: Sequence[Contender]
    bound: str
    limits: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[tuple[str, str], float] = field(default_factory=dict)
    server: Callable[[Path], AbstractContextManager[Mapping[str, str]]] | None = None
    keeps_scratch: bool = False


@dataclass(frozen=True)
class Run:
    """What one contender did in one round: wall seconds a step, facts, and what the kernel says of the process."""

    steps: dict[str, float]
    facts: dict[str, Any]
    cpu_s: float
    peak_rss_bytes: int

    @property
    def total_s(self) -> float:
        """Wall seconds of all steps."""
        return sum(self.steps.values())


@dataclass(frozen=True)
class Outcome:
    """A contest that was held: the facts of its input and each contender's runs, in rounds."""

    contest: Contest
    workload: dict[str, Any]
    runs: dict[str, list[Run]]
    versions: dict[str, str]
    is_quick: bool = False
    """Held on a little input: its times say nothing."""


def python_of(env: Literal["main", "peers"]) -> str:
    """The Python that runs contenders of an environment; raises ``BenchmarkError`` when the peers' is absent."""
    if env == "main":
        return sys.executable
    folder = PROJECT / (os.environ.get(PEERS_VARIABLE) or ".venv-bench")
    python = folder / "bin" / "python"
    if not python.exists():
        raise BenchmarkError(
            f"no Python of the peers at {python}. Make it with `make bench`, or name its folder in {PEERS_VARIABLE}."
        )
    return str(python)


def hold(contest: Contest, folder: Path, *, quick: bool, repeats: int, say: Callable[[str], None]) -> Outcome:
    """Hold one contest in ``folder`` (emptied first) and return what came of it.

    Contenders take turns within a round, and the order turns from round to round, so that none always runs on the
    machine another one left behind. Raises ``BenchmarkError`` when one fails or did other work than the others.
    """
    shutil.rmtree(folder, ignore_errors=True)
    prepared = folder / "prepared"
    prepared.mkdir(parents=True)
    say(f"{contest.name}: preparing")
    workload = _in_a_process(contest.prepare, prepared, quick)
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contest.contenders}
    for round_number in range(repeats):
        turn = round_number % len(contest.contenders)
        for contender in [*contest.contenders[turn:], *contest.contenders[:turn]]:
            say(f"{contest.name}: round {round_number + 1} of {repeats}, {contender.name}")
            run = run_once(contest, contender, prepared, folder / "scratch")
            say(f"{contest.name}: {contender.name} took {run.total_s:.2f} s, {run.cpu_s:.2f} s CPU")
            runs[contender.name].append(run)
    check_same_work(contest, runs)
    return Outcome(contest, workload, runs, _versions(contest), quick)


def run_once(contest: Contest, contender: Contender, prepared: Path, scratch: Path) -> Run:
    """Run one contender once in an empty ``scratch`` folder, which is removed afterwards, or put into ``kept``."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    os.sync()  # what an earlier contender wrote must not be written to the disk on this one's time
    server = contest.server(scratch) if contest.server else nullcontext[Mapping[str, str]]({})
    command = [python_of(contender.env), *contender.argv(prepared)]
    try:
        with server as variables, open(scratch / "stdout", "w+") as out, open(scratch / "stderr", "w+") as err:
            work = scratch / "work"
            work.mkdir()
            code, cpu_s, peak = _run(command, work, variables, out, err)
            return _result(f"{contest.name}: {contender.name}", code, cpu_s, peak, out, err)
    finally:
        if contest.keeps_scratch:
            kept = scratch.with_name(KEPT)
            kept.mkdir(exist_ok=True)
            scratch.rename(kept / str(len(list(kept.iterdir()))))
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def _run(
    command: list[str], cwd: Path, variables: Mapping[str, str], out: IO[str], err: IO[str]
) -> tuple[int, float, int]:
    """Exit code, CPU seconds and peak resident bytes of a command and the processes it waited for."""
    env = {**os.environ, **variables, "PYTHONPATH": str(PROJECT), "DVC_NO_ANALYTICS": "1"}
    env["PATH"] = os.pathsep.join([str(Path(command[0]).parent), env.get("PATH", "")])
    child = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            # ru_maxrss: kilobytes on Linux, bytes on macOS (getrusage(2)).
            unit = 1 if sys.platform == "darwin" else 1024
            return child.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            return -9, 0.0, 0
        time.sleep(0.02)


def _result(who: str, code: int, cpu_s: float, peak: int, out: IO[str], err: IO[str]) -> Run:
    err.seek(0)
    out.seek(0)
    if code != 0:
        raise BenchmarkError(f"{who} ended with {code}:\n{(out.read() + err.read())[-4000:]}")
    lines = out.read().strip().splitlines()
    try:
        said = json.loads(lines[-1])
        steps = {str(name): float(seconds) for name, seconds in said["steps"].items()}
        facts = dict(said.get("facts", {}))
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchmarkError(f"{who} printed no line of JSON with its steps last ({error!r})") from error
    if not steps or any(not seconds >= 0 for seconds in steps.values()):
        raise BenchmarkError(f"{who} names no step, or one of less than no time: {steps}")
    return Run(steps, facts, cpu_s, peak)


def check_same_work(contest: Contest, runs: Mapping[str, Sequence[Run]]) -> None:
    """Raise ``BenchmarkError`` where a fact that several runs name is not the same in all of them.

    Facts that are measures (names ending in ``_bytes`` or ``_s``) may differ.
    """
    seen: dict[str, tuple[str, Any]] = {}
    for name, of_one in runs.items():
        for run in of_one:
            for fact, value in run.facts.items():
                if fact.endswith(("_bytes", "_s")):
                    continue
                first, expected = seen.setdefault(fact, (name, value))
                if value != expected:
                    raise BenchmarkError(
                        f"{contest.name}: not the same work: {fact} is {expected!r} for {first}, {value!r} for {name}"
                    )


def _in_a_process(prepare: Callable[[Path, bool], dict[str, Any]], folder: Path, quick: bool) -> dict[str, Any]:
    """Call ``prepare`` in a forked process: the harness stays small.

    On Linux a child's peak memory starts at what its parent held when it was forked.
    """
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def work() -> None:
        send.send(prepare(folder, quick))

    process = context.Process(target=work)
    process.start()
    send.close()
    try:
        facts: dict[str, Any] = receive.recv()
    except EOFError:
        raise BenchmarkError(f"the input could not be made in {folder}; its own error stands above") from None
    finally:
        process.join()
    return facts


def _versions(contest: Contest) -> dict[str, str]:
    """The versions of the packages that contenders name, as their environments say."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    found: dict[str, str] = {}
    for contender in contest.contenders:
        command = [python_of(contender.env), "-c", code, *contender.packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"{contest.name}: {contender.name}: {done.stderr.strip()[-400:]}")
        found |= json.loads(done.stdout)
    return found
