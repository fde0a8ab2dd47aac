"""``python -m benchmarks [NAME…] [--quick] [--repeats N]``: hold contests, write RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import benchmarks
from benchmarks import results
from benchmarks.harness import KEPT, PROJECT, BenchmarkError, Contest, hold

NOT_CONTESTS = frozenset({"__main__", "harness", "results", "contenders"})


def contests() -> dict[str, Contest]:
    """Every contest of this folder, by name: the ``CONTEST`` of its modules."""
    names = sorted({module.name for module in pkgutil.iter_modules(benchmarks.__path__)} - NOT_CONTESTS)
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    found = [module.CONTEST for module in modules if hasattr(module, "CONTEST")]
    return {contest.name: contest for contest in found}


def main(argv: list[str] | None = None) -> int:
    """Hold the contests that are named (all when none is); 0 when all could be held, whatever the times."""
    known = contests()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="dsetkit against its peers")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"contests to hold: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="small inputs, one round: is everything alive?")
    parser.add_argument("--repeats", type=int, help="rounds (5; 1 with --quick)")
    parser.add_argument("--folder", type=Path, default=PROJECT / "build" / "benchmarks", help="where to work")
    parser.add_argument("--out", type=Path, help="the results file (benchmarks/RESULTS.md; none with --quick)")
    asked = parser.parse_args(argv)
    unknown = [name for name in asked.names if name not in known]
    repeats = asked.repeats if asked.repeats is not None else (1 if asked.quick else 5)
    if unknown or repeats < 1:
        parser.error(f"no contest named {', '.join(unknown)}" if unknown else "--repeats must be 1 or more")
    outcomes = []
    out = asked.out or (None if asked.quick else PROJECT / "benchmarks" / "RESULTS.md")
    with ExitStack() as at_the_end:
        for name in asked.names or known:
            folder = asked.folder.absolute() / name
            at_the_end.callback(shutil.rmtree, folder / KEPT, ignore_errors=True)
            try:
                outcome = hold(
                    known[name],
                    folder,
                    quick=asked.quick,
                    repeats=repeats,
                    say=lambda line: print(line, file=sys.stderr, flush=True),
                )
            except BenchmarkError as error:
                print(error, file=sys.stderr)
                return 1
            outcomes.append(outcome)
            print(results.section(outcome), end="\n\n", flush=True)
            if out:
                results.write(out, outcomes)  # after each contest: hours of measuring are not lost to a later failure
    return 0


if __name__ == "__main__":
    sys.exit(main())
