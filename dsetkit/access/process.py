"""The process that holds keys: it leaves no core dump."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4
_done = False


def no_core_dumps() -> None:
    """From now on this process leaves no core dump, and (on Linux) no other of the same user may look into it.

    Both are needed: a limit of 0 is not heeded where the system pipes dumps to a program (core(5)). Called when the
    first key is unwrapped; children that are other programs start anew without the second.
    """
    global _done
    if _done:
        return
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _done = True
