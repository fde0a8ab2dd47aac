"""Where the work of a stage runs: local threads, or a Dask cluster. Results never depend on which."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from dsetkit.errors import MissingExtraError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Pending(Protocol[Result_co]):
    """What will have a result: ``concurrent.futures.Future``, and Dask's, which is no subclass of it."""

    def result(self) -> Result_co:
        """The result, once there is one."""


class Pool:
    """An executor and how many pictures it works on at once."""

    def __init__(self, executor: Executor, workers: int) -> None:
        self.executor = executor
        self.workers = workers

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
        yield Pool(executor, count)
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
