"""A process that holds keys leaves no core dump."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CRASH = """
import os, resource, signal
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (65536 if most < 0 else min(most, 65536), most))  # a small dump is one too
{call}
print(resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""


def crash(folder: Path, call: str) -> tuple[int, bool, str]:
    """How it ended: the signal, whether the system says it dumped core, and what it printed."""
    process = subprocess.Popen([sys.executable, "-c", CRASH.format(call=call)], cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    text = process.stdout.read().decode()
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status)
    process.stdout.close()
    return os.WTERMSIG(status), os.WCOREDUMP(status), text


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux whether it dumped")
def test_there_is_no_core_dump(tmp_path: Path) -> None:
    ended, dumped, text = crash(
        tmp_path, "from dsetkit.access.process import no_core_dumps; no_core_dumps(); no_core_dumps()"
    )
    assert (ended, dumped) == (signal.SIGSEGV, False)
    assert text.splitlines()[0] == "0"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux whether it dumped")
def test_without_it_there_would_be_one(tmp_path: Path) -> None:
    """That the test above can fail."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core dumps are forbidden here by a hard limit")
    ended, dumped, _ = crash(tmp_path, "pass")
    assert ended == signal.SIGSEGV
    if not dumped:
        pytest.skip("the system is set not to dump core")
