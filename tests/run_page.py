"""Run the code of one page of documentation: `python tests/run_page.py PAGE`, in the folder the page is about.

Runs fenced blocks whose language is `python` or `console`, in order; nothing else. The python blocks of a page share
their names; a `cd` in a console block holds for the blocks after it. In a console block lines that begin with `$ ` are
commands, those that begin with `> ` go on with the one above, and all others show what came out; a block without any
`$ ` is all commands. `not-run` after the language, and why, leaves a block out; `file NAME` puts it into a file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
import traceback
from pathlib import Path
from typing import Any, NamedTuple

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^ *(?P=fence) *$", re.M | re.S)


class Block(NamedTuple):
    """One fenced block."""

    language: str
    note: str
    line: int
    """Of its first line of code, from 1."""
    code: str


def find_blocks(text: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        language, _, note = match["info"].strip().partition(" ")
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(language, note.strip(), line, textwrap.dedent(match["code"])))
    return found


def commands(code: str) -> str:
    """What a console block asks bash to do."""
    lines = code.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return code
    kept: list[str] = []
    open_command = False
    for line in lines:
        if line.startswith("$ ") or (open_command and line.startswith("> ")):
            kept.append(line[2:])
            open_command = True
        elif kept and kept[-1].endswith("\\"):
            kept.append(line)
        else:
            open_command = False
    return "\n".join(kept)


def run_console(code: str) -> None:
    """Run commands with `bash -e`, and stay where they end. Raises `CalledProcessError`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "place"
        script = f"trap 'pwd > {place}' EXIT\n{commands(code)}"
        subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], check=True, stdin=subprocess.DEVNULL)
        os.chdir(place.read_text().rstrip("\n"))


def main(page: Path) -> int:
    """Run all blocks; 1 at the first that fails."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in find_blocks(page.read_text("utf-8")):
        if block.language not in ("python", "console") or block.note.startswith("not-run"):
            continue
        print(f"--- {page.name}:{block.line} ({block.language})", flush=True)
        if block.note.startswith("file "):
            Path(block.note.removeprefix("file ")).write_text(block.code, "utf-8")
            continue
        try:
            if block.language == "console":
                run_console(block.code)
            else:
                # Not with this file's own `from __future__`: a page's code runs as a reader's would.
                code = compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True)
                exec(code, names)
        except (Exception, SystemExit):
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.path[0] = ""  # as in a person's own session: modules of the folder they stand in
    sys.exit(main(Path(sys.argv[1]).resolve()))
