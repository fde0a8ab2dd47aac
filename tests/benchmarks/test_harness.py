"""The benchmarks' harness: turns, kernel figures, ratios with their spread, and refusing what is no race."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results
from benchmarks.__main__ import contests, main
from benchmarks.harness import PEERS_VARIABLE, BenchmarkError, Contender, Contest, Outcome, Run, hold, python_of


def say_nothing(_: str) -> None:
    pass


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    (folder / "input").write_text("work")
    return {"files": 1, "quick": quick}


def script(body: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["-c", f"import json, os, sys\nfolder = {str(folder)!r}\n{body}"]


def saying(document: object) -> Callable[[Path], list[str]]:
    return script(f"print('chatter'); print({json.dumps(document)!r})")


def contest(*contenders: Contender, **options: Any) -> Contest:
    return Contest("toy", "A toy", options.pop("target", {}), prepare, contenders, "Nothing bounds it.", **options)


def hold_quietly(held: Contest, folder: Path, repeats: int = 1) -> Outcome:
    return hold(held, folder, quick=True, repeats=repeats, say=say_nothing)


def outcome(ours: list[float], theirs: list[float], **options: Any) -> Outcome:
    runs = {
        name: [Run({"read": seconds, "write": 1.0}, {"files": 1, "out_bytes": 5}, 0.5, 2**20) for seconds in of_one]
        for name, of_one in {"ours": ours, "peer": theirs}.items()
    }
    contenders = (Contender("ours", saying({})), Contender("peer", saying({})))
    return Outcome(contest(*contenders, **options), {"files": 1000}, runs, {"dsetkit": "1.0"})


def test_a_contender_gets_the_prepared_input_an_empty_folder_and_the_project(tmp_path: Path) -> None:
    body = """
import benchmarks
assert os.listdir() == [], os.listdir()
open("made here", "w").close()
text = open(folder + "/input").read()
print(json.dumps({"steps": {"read": 0.5}, "facts": {"text": text}}))
"""
    held = hold_quietly(contest(Contender("ours", script(body), packages=("pytest",))), tmp_path / "work", repeats=2)
    assert held.workload == {"files": 1, "quick": True}
    assert [run.facts for run in held.runs["ours"]] == [{"text": "work"}] * 2
    assert held.versions == {"pytest": pytest.__version__}
    assert not (tmp_path / "work" / "scratch").exists()


def test_what_was_written_can_stay_until_all_is_over(tmp_path: Path) -> None:
    body = "open('made here', 'w').close()\nprint(json.dumps({'steps': {'read': 0.5}}))"
    held = contest(Contender("ours", script(body)), Contender("peer", script(body)), keeps_scratch=True)
    hold_quietly(held, tmp_path / "work", repeats=2)
    kept = sorted(path.relative_to(tmp_path / "work").as_posix() for path in tmp_path.rglob("made here"))
    assert kept == [f"kept/{number}/work/made here" for number in range(4)]


def test_the_kernel_says_what_a_process_and_its_children_took(tmp_path: Path) -> None:
    body = """
import subprocess, time
held = b"x" * (200 * 2**20)
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"], check=True)
print(json.dumps({"steps": {"all": 0.001}}))
"""
    (run,) = hold_quietly(contest(Contender("ours", script(body))), tmp_path / "work").runs["ours"]
    assert run.cpu_s >= 0.4
    assert 200 * 2**20 < run.peak_rss_bytes < 400 * 2**20


def test_what_prepare_holds_does_not_count_for_contenders(tmp_path: Path) -> None:
    # A process begins its peak with what its parent holds, here this one with all its tests.
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 200 * 2**20

    def hungry(folder: Path, quick: bool) -> dict[str, Any]:
        return {"bytes": len(b"x" * size)}

    held = Contest("toy", "A toy", {}, hungry, (Contender("ours", saying({"steps": {"all": 1.0}})),), "")
    (run,) = hold_quietly(held, tmp_path / "work").runs["ours"]
    own = results.Spread.of([run.peak_rss_bytes]).most
    assert own < size


def test_contenders_take_turns_and_the_order_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = ("a", "b", "c")
    contenders = [
        Contender(name, script(f"open({str(log)!r}, 'a').write({name!r}); print(json.dumps({{'steps': {{'x': 1}}}}))"))
        for name in names
    ]
    hold_quietly(contest(*contenders), tmp_path / "work", repeats=3)
    assert log.read_text() == "abcbcacab"


def test_a_server_is_fresh_for_each_run_and_ended(tmp_path: Path) -> None:
    events: list[str] = []

    @contextmanager
    def server(scratch: Path) -> Iterator[Mapping[str, str]]:
        assert scratch.is_dir()
        events.append("up")
        yield {"SERVER": f"number {len(events)}"}
        events.append("down")

    body = "print(json.dumps({'steps': {'x': 1}, 'facts': {'server_s': os.environ['SERVER']}}))"
    held = hold_quietly(
        contest(Contender("a", script(body)), Contender("b", script(body)), server=server), tmp_path / "work"
    )
    assert events == ["up", "down"] * 2
    assert [held.runs[name][0].facts["server_s"] for name in "ab"] == ["number 1", "number 3"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('{}'); sys.exit(3)", "ours ended with 3"),
        ("sys.exit('no such picture')", "no such picture"),
        ("pass", "printed no line of JSON"),
        ("print('done')", "printed no line of JSON"),
        ("print('[]')", "printed no line of JSON"),
        ("print('{\"facts\": {}}')", "printed no line of JSON"),
        ("print('{\"steps\": {}}')", "names no step"),
        ('print(\'{"steps": {"read": -1}}\')', "less than no time"),
    ],
)
def test_a_contender_that_fails_or_says_nothing_ends_the_contest(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(BenchmarkError, match=said):
        hold_quietly(contest(Contender("ours", script(body))), tmp_path / "work")


def test_input_that_cannot_be_made_ends_the_contest(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def broken(folder: Path, quick: bool) -> dict[str, Any]:
        raise OSError("the disk is full")

    held = Contest("toy", "A toy", {}, broken, (Contender("ours", saying({"steps": {"all": 1.0}})),), "")
    with pytest.raises(BenchmarkError, match="could not be made"):
        hold_quietly(held, tmp_path / "work")
    assert "the disk is full" in capfd.readouterr().err


def test_who_did_other_work_is_not_in_the_race(tmp_path: Path) -> None:
    contenders = [
        Contender(name, saying({"steps": {"x": 1}, "facts": {"pictures": count, "index_bytes": count}}))
        for name, count in (("ours", 10), ("peer", 11))
    ]
    with pytest.raises(BenchmarkError, match="not the same work: pictures is 10 for ours, 11 for peer"):
        hold_quietly(contest(*contenders), tmp_path / "work")


def test_the_peers_have_an_environment_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_of("main") == sys.executable
    monkeypatch.setenv(PEERS_VARIABLE, str(tmp_path))
    with pytest.raises(BenchmarkError, match="make bench"):
        python_of("peers")
    (tmp_path / "bin").mkdir()
    os.symlink(sys.executable, tmp_path / "bin" / "python")
    assert python_of("peers") == str(tmp_path / "bin" / "python")


def test_a_ratio_is_taken_round_by_round() -> None:
    held = outcome([1.0, 2.0, 4.0], [5.0, 6.0, 20.0])
    ours, peer = held.runs["ours"], held.runs["peer"]
    assert results.ratio(peer, ours, "read") == results.Spread(5.0, 3.0, 5.0)
    assert results.ratio(peer, ours, results.TOTAL) == results.Spread(3.0, 7 / 3, 21 / 5)
    assert results.ratio(peer, ours, "absent") is None
    assert results.seconds(ours, "read") == results.Spread(2.0, 1.0, 4.0)


def test_what_was_missed_is_said() -> None:
    held = outcome([1.0], [5.0], target={"peer": 4.0}, limits={"out_bytes": 4, "peak_rss_bytes": 2**30})
    assert results.missed(held) == [
        "4× peer was wanted, 3.00× was reached",
        "out_bytes is 5, at most 4 was wanted",
    ]
    assert results.missed(outcome([1.0], [5.0], target={"peer": 3.0}, limits={"out_bytes": 5})) == []


def test_a_step_that_may_cost_more_has_a_largest_ratio() -> None:
    held = outcome([1.0], [1.2], at_most={("peer", "read"): 1.15, ("peer", "write"): 1.0})
    assert results.missed(held) == ["read, peer is 1.20×, at most 1.15× was wanted"]
    assert "Wanted: read, peer ≤ 1.15×, write, peer ≤ 1×: read, peer is 1.20×" in results.section(held)
    assert results.missed(outcome([1.0], [1.1], at_most={("peer", "read"): 1.15})) == []
    assert results.missed(outcome([1.0], [1.1], at_most={("peer", "draw"): 2.0})) == [
        "draw, peer is inf×, at most 2× was wanted"
    ]


def test_a_section_shows_steps_ratios_and_what_was_reached() -> None:
    text = results.section(outcome([1.0, 2.0], [5.0, 6.0], target={"peer": 2.0}))
    assert "Input: files 1,000. Rounds: 2." in text
    assert "| read | 1.50 (1.00–2.00) | 5.50 (5.00–6.00) | 4.00 (3.00–5.00)× |" in text
    assert "| write | 1.00 | 1.00 | 1.00× |" in text
    assert "| **total** | 2.50 (2.00–3.00) | 6.50 (6.00–7.00) | 2.67 (2.33–3.00)× |" in text
    assert "Wanted: 2× peer: reached." in text
    assert "Nothing bounds it." in text
    assert os.uname().nodename not in text


def test_a_quick_run_is_not_judged() -> None:
    text = results.section(replace(outcome([1.0], [1.0], target={"peer": 99.0}), is_quick=True))
    assert "Wanted" not in text
    assert "not judged" in text


def test_the_results_file_keeps_the_contests_that_were_not_held(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("old head\n<!-- other -->\n## Other\n\nkept\n<!-- end -->\n\n<!-- toy -->\nold\n<!-- end -->\n")
    results.write(path, [outcome([1.0], [5.0])])
    text = path.read_text()
    assert text.startswith(results.HEAD)
    assert "## Other\n\nkept" in text
    assert "## A toy" in text
    assert "old" not in text
    results.write(path, [outcome([1.0], [5.0])])
    assert path.read_text() == text


def test_every_contest_says_what_it_must() -> None:
    known = contests()
    assert "versioning" in known
    for name, held in known.items():
        assert held.name == name
        assert held.bound.strip(), f"{name} does not say what bounds it"
        names = [contender.name for contender in held.contenders]
        assert names[0] == "dsetkit"
        assert {*held.target, *(peer for peer, _ in held.at_most)} <= set(names[1:])


def test_an_unknown_contest_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2
    assert "no contest named nonsense" in capsys.readouterr().err
