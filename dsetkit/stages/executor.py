"""Where the work of a stage runs: local threads or processes, or a Dask cluster. Results never depend on which."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from dsetkit.errors import MissingExtraError, UsageError
from dsetkit.stages.processes import Processes

Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


BATCH_JOBS = 64
BATCH_BYTES = 1 << 20
BATCH_ITEMS = 256
"""What ends a batch: handing work over costs as much as a small picture's own work."""

CROWD = 5_000
CROWD_MEAN_BYTES = 1 << 18
"""From how many pictures on, and of which mean size at most, processes are worth their start."""


class Job(NamedTuple):
    """Work on one item: the arguments of the function that does it, and the bytes it is about."""

    args: tuple[Any, ...]
    size_bytes: int


class Pending(Protocol[Result_co]):
    """What will have a result: ``concurrent.futures.Future``, and Dask's, which is no subclass of it."""

    def result(self) -> Result_co:
        """The result, once there is one."""


class Pool:
    """An executor and how many pictures it works on at once."""

    def __init__(self, executor: Executor, workers: int, *, is_local: bool = False) -> None:
        """``is_local``: its workers are threads of this process."""
        self.executor = executor
        self.workers = workers
        self.is_local = is_local

    @contextmanager
    def crowded(self, pictures: int, mean_bytes: int) -> Iterator[Pool]:
        """The pool for so many pictures of such a mean size: of processes where they are many and small."""
        if not self.is_local or self.workers < 2 or pictures < CROWD or mean_bytes > CROWD_MEAN_BYTES:
            yield self
            return
        with Processes(self.workers) as executor:
            try:
                yield Pool(executor, self.workers)
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise

    def in_batches(
        self, items: Iterable[Item], plan: Callable[[Item], Job | Result], work: Callable[..., Result]
    ) -> Iterator[tuple[Item, Result]]:
        """Each item with its result, in the order of the items; as ``in_order``, for items that are quickly done.

        ``plan`` gives the ``Job`` that ``work`` is called for, and the result itself for what is known already.
        ``work`` and its arguments must be picklable. At most ``4 × workers`` batches are under way.
        """
        waiting: deque[tuple[list[tuple[Item, Job | Result]], Pending[list[Result]] | None]] = deque()
        batch: list[tuple[Item, Job | Result]] = []
        jobs: list[tuple[Any, ...]] = []
        size_bytes = 0
        for item in items:
            found = plan(item)
            batch.append((item, found))
            if isinstance(found, Job):
                jobs.append(found.args)
                size_bytes += found.size_bytes
            if len(jobs) >= BATCH_JOBS or size_bytes >= BATCH_BYTES or len(batch) >= BATCH_ITEMS:
                waiting.append((batch, self.executor.submit(_work_all, work, jobs) if jobs else None))
                batch, jobs, size_bytes = [], [], 0
            while len(waiting) >= 4 * self.workers:
                yield from _finished_batch(*waiting.popleft())
        waiting.append((batch, self.executor.submit(_work_all, work, jobs) if jobs else None))
        while waiting:
            yield from _finished_batch(*waiting.popleft())

    def in_order(
        self, items: Iterable[Item], submit: Callable[[Item, Executor], Pending[Result] | Result]
    ) -> Iterator[tuple[Item, Result]]:
        """Each item with its result, in the order of the items.

        ``submit`` gives a future for what must be worked out and the result itself for what is known already.
        At most ``4 × workers`` items are under way, so memory does not grow with their number.
        """
        waiting: deque[tuple[Item, Pending[Result] | Result]] = deque()
        for item in items:
            waiting.append((item, submit(item, self.executor)))
            while len(waiting) >= 4 * self.workers:
                yield _finished(waiting.popleft())
        while waiting:
            yield _finished(waiting.popleft())


def _finished(pair: tuple[Item, Pending[Result] | Result]) -> tuple[Item, Result]:
    item, pending = pair
    if hasattr(pending, "result"):
        result: Result = pending.result()
        return item, result
    return item, pending


def _work_all(work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]) -> list[Result]:
    """Runs in a worker."""
    return [work(*args) for args in jobs]


def _finished_batch(
    batch: Sequence[tuple[Item, Job | Result]], pending: Pending[list[Result]] | None
) -> Iterator[tuple[Item, Result]]:
    results = iter(pending.result() if pending is not None else ())
    for item, found in batch:
        yield item, next(results) if isinstance(found, Job) else found


@contextmanager
def open_pool(workers: int | None = None) -> Iterator[Pool]:
    """A pool of ``workers`` threads (default: one a core).

    ``DSETKIT_WORKERS`` gives the number where the caller does not; ``DSETKIT_DASK`` names the scheduler
    (``tcp://host:8786``) of a Dask cluster on shared storage to use instead. Raises ``UsageError`` for a number
    below 1, ``MissingExtraError`` where Dask is asked for and not installed.
    """
    count = workers if workers is not None else _workers_from_environment()
    if count < 1:
        raise UsageError(f"{count} workers cannot do anything", hint="Give --workers a number from 1 up.")
    scheduler = os.environ.get("DSETKIT_DASK")
    if scheduler:
        with _dask_pool(scheduler) as pool:
            yield pool
        return
    executor = ThreadPoolExecutor(count, thread_name_prefix="dsetkit")
    try:
        yield Pool(executor, count, is_local=True)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _dask_pool(scheduler: str) -> Iterator[Pool]:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("Running on a Dask cluster", "dask") from error
    with Client(scheduler, set_as_default=False) as client:
        executor: Any = client.get_executor()
        yield Pool(executor, max(1, sum(client.nthreads().values())))


def _workers_from_environment() -> int:
    text = os.environ.get("DSETKIT_WORKERS", "")
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit():
        raise UsageError(f"DSETKIT_WORKERS is {text!r}, not a number", hint="Set it to a number from 1 up.")
    return int(text)
