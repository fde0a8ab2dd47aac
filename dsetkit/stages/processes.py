"""Worker processes for many small pictures.

Pillow frees Python's lock while it decodes, so threads do well on photos. Of a small picture most of the time goes to
Python itself, where only one thread of a process gets on at a time.

``concurrent.futures.ProcessPoolExecutor`` is not used: its processes either import the main module again (which a
user's script may not be made for) or are forked while other threads hold locks.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn, ParamSpec, TypeVar

from dsetkit.access.process import no_core_dumps

_P = ParamSpec("_P")
_T = TypeVar("_T")

_SERVE = "import sys; sys.path[:] = {path!r}; from dsetkit.stages.processes import serve; serve()"


class Processes(Executor):
    """As many processes as workers, each served by a thread of this one; they end with it.

    Functions and arguments are pickled. What a process cannot do, for whatever reason, is done again in the thread:
    so errors are raised here as themselves, and nothing depends on whether there can be processes at all.
    """

    def __init__(self, workers: int) -> None:
        """Starts the processes at once: importing takes them half a second."""
        self._lock = threading.Lock()
        self._idle = [_start() for _ in range(workers)]
        self._all = [process for process in self._idle if process is not None]
        self._mine = threading.local()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="dsetkit")

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """See ``concurrent.futures.Executor``."""
        return self._threads.submit(self._work, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ``concurrent.futures.Executor``. The processes have ended when this returns."""
        self._threads.shutdown(wait=True, cancel_futures=cancel_futures)
        for process in self._all:
            _end(process)

    def _work(self, fn: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
        if not hasattr(self._mine, "process"):
            with self._lock:
                self._mine.process = self._idle.pop()
        process = self._mine.process
        if process is not None:
            try:
                pickle.dump((fn, args, kwargs), process.stdin, pickle.HIGHEST_PROTOCOL)
                process.stdin.flush()
                is_done, result = pickle.load(process.stdout)
                if is_done:
                    done: _T = result
                    return done
            except Exception:  # it died, or what it was given or gave cannot be pickled: no telling where the pipe is
                self._mine.process = None
                _end(process)
        return fn(*args, **kwargs)


def serve() -> NoReturn:
    """Do what comes in on standard input until it ends. Runs in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who began the work ends it
    no_core_dumps()  # it holds pictures that may be protected
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not come between
    while True:
        try:
            fn, args, kwargs = pickle.load(requests)
        except EOFError:
            os._exit(0)  # nothing is left to do or to write; taking down what was imported would take a while
        except Exception:  # what cannot be read here is done where it came from, which sees this process end
            os._exit(1)
        try:
            answer = pickle.dumps((True, fn(*args, **kwargs)), pickle.HIGHEST_PROTOCOL)
        except Exception:
            answer = pickle.dumps((False, None))
        answers.write(answer)
        answers.flush()


def _start() -> subprocess.Popen[bytes] | None:
    """A worker process that imports what this one does; None where none can be started."""
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(path=sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
