"""Commands that a contender times: each is a process of its own, as a person would start it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def environment(place: Path) -> dict[str, str]:
    """Nobody's own settings: git and DVC read and write theirs below ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(place / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(place / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(place / "system"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "bench" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


class Stopwatch:
    """Runs commands in a folder and keeps the wall seconds of those that belong to a step."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = dict(env)
        self.steps: dict[str, float] = {}

    def run(
        self,
        *commands: Sequence[str],
        step: str | None = None,
        folder: Path | None = None,
        fine: tuple[int, ...] = (0,),
    ) -> str:
        """Run commands one after the other; what the last one printed.

        Raises ``RuntimeError`` when one ends with a code that is not among the ``fine`` ones.
        """
        began = time.perf_counter()
        done = None
        for command in commands:
            done = subprocess.run(
                command, cwd=folder or self.folder, env=self.env, capture_output=True, text=True, check=False
            )
            if done.returncode not in fine:
                raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        if step is not None:
            self.steps[step] = self.steps.get(step, 0.0) + time.perf_counter() - began
        return done.stdout if done else ""
