"""Where work runs never shows in what comes of it: threads, processes, batches, and processes that die."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.errors import LockError, UsageError
from dsetkit.stages import executor
from dsetkit.stages.executor import Job, Pool, open_pool
from dsetkit.stages.processes import Processes


def slow_square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


def refuse(number: int) -> int:
    raise LockError("the source changed", name=f"{number}", changes=["a"], hint="Run dsetkit update.")


def die(path: str) -> str:
    """Ends the process it runs in, once; done again it works."""
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(7)
    return "done"


def give_lambda() -> object:
    return lambda: 3


def who() -> int:
    return os.getpid()


def say(text: str) -> str:
    print(text)
    return text


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes(2) as started:
        yield started


class TestBatches:
    def square(self, pool: Pool, numbers: range) -> list[tuple[int, int]]:
        """Even numbers are known already."""

        def plan(number: int) -> Job | int:
            return -number if number % 2 == 0 else Job((number,), 50_000)

        return list(pool.in_batches(numbers, plan, slow_square))

    @pytest.mark.parametrize("count", [0, 1, 63, 64, 300, 1000])
    def test_results_come_in_the_order_of_the_items(self, count: int) -> None:
        with open_pool(3) as pool:
            found = self.square(pool, range(count))
        assert found == [(number, -number if number % 2 == 0 else number * number) for number in range(count)]

    def test_few_are_under_way_at_a_time(self) -> None:
        taken = 0

        def items() -> Iterator[int]:
            nonlocal taken
            for number in range(100_000):
                taken += 1
                yield number

        with open_pool(2) as pool:
            results = pool.in_batches(items(), lambda number: Job((number,), 1 << 20), abs)
            assert next(results) == (0, 0)
            assert taken <= 8  # each job fills a batch
            results.close()

    def test_an_error_of_the_work_is_raised(self) -> None:
        with open_pool(2) as pool, pytest.raises(LockError, match="the source changed"):
            list(pool.in_batches(range(3), lambda number: Job((number,), 1), refuse))


class TestProcesses:
    def test_work_is_done_elsewhere(self, processes: Processes) -> None:
        assert os.getpid() not in {processes.submit(who).result() for _ in range(20)}

    def test_an_error_is_raised_as_itself(self, processes: Processes) -> None:
        with pytest.raises(LockError) as caught:
            processes.submit(refuse, 4).result()
        assert (caught.value.name, caught.value.hint) == ("4", "Run dsetkit update.")

    def test_what_a_dead_process_left_is_done_again(self, processes: Processes, tmp_path: Path) -> None:
        assert processes.submit(die, str(tmp_path / "died")).result() == "done"
        assert [processes.submit(slow_square, number).result() for number in range(9)] == [n * n for n in range(9)]

    def test_what_cannot_be_pickled_is_done_here(self, processes: Processes) -> None:
        here = object()
        assert processes.submit(lambda: here).result() is here
        assert callable(processes.submit(give_lambda).result())
        assert processes.submit(slow_square, 5).result() == 25

    def test_what_the_work_prints_does_not_come_between(self, processes: Processes) -> None:
        assert processes.submit(say, "x" * 100_000).result() == "x" * 100_000
        assert processes.submit(slow_square, 5).result() == 25

    def test_none_is_left_behind(self) -> None:
        with Processes(2) as started:
            pids = {started.submit(who).result() for _ in range(20)}
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


class TestCrowds:
    def test_only_many_small_pictures_are_worth_processes(self) -> None:
        with open_pool(2) as pool:
            for pictures, mean_bytes in ((executor.CROWD - 1, 10), (executor.CROWD, executor.CROWD_MEAN_BYTES + 1)):
                with pool.crowded(pictures, mean_bytes) as same:
                    assert same is pool
            with pool.crowded(executor.CROWD, 8_000) as crowd:
                assert isinstance(crowd.executor, Processes)
        with open_pool(1) as pool, pool.crowded(10**6, 8_000) as same:
            assert same is pool

    def test_processes_give_the_bytes_that_threads_give(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.params(shards={"target_bytes": 4096})
        for number in range(90):
            bench.source.put(f"{number:03}.jpg", picture_bytes(number), [("cat", [1, 2, 20, 20])])
        bench.source.put("broken.jpg", picture_bytes(3)[:400])
        bench.add()
        with_threads = bench.ingest()
        expected = tree_bytes(bench.project.raw("pets"))
        (bench.project.raw("pets") / "snapshot.json").unlink()  # no memory
        monkeypatch.setattr(executor, "CROWD", 10)
        started: list[int] = []
        original = Processes.__init__

        def counted(self: Processes, workers: int) -> None:
            started.append(workers)
            original(self, workers)

        monkeypatch.setattr(Processes, "__init__", counted)
        with_processes = bench.ingest()
        assert started == [2]
        assert (with_processes.decoded, with_processes.reused) == (with_threads.decoded, 0)
        assert tree_bytes(bench.project.raw("pets")) == expected


def test_a_number_of_workers_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="0 workers"), open_pool(0):
        pass
