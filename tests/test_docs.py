"""README.md and docs/ do what they say: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("**/*.md"))]
EMPTY = "<!-- starts in an empty folder -->"
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def run_page(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "tests" / "run_page.py"), str(page)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_code_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """README.md begins in an empty folder, as do pages that say so; all others in the built demo project."""
    folder = tmp_path / "work"
    if page.name == "README.md" or EMPTY in page.read_text("utf-8"):
        folder.mkdir()
    else:
        shutil.copytree(request.getfixturevalue("built_demo"), folder, symlinks=True)
    done = run_page(page, folder)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize(
    "page", [*PAGES, PROJECT / "ARCHITECTURE.md", PROJECT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [match[1] for match in LINK.finditer(page.read_text("utf-8"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_blocks_of_a_page_share_names_and_folder(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```console\n$ mkdir there && cd there\nwhat came out\n$ printf '%s' \\\n  one > file\n```\n\n"
        "1. In a list:\n\n   ```python\n   from pathlib import Path\n   text = Path('file').read_text()\n   ```\n\n"
        "```python\nprint(text, Path().resolve().name)\n```\n\n"
        "```console not-run: needs a network\nfalse\n```\n\n```sh\nfalse\n```\n\n```console\necho all of it\n```\n"
        "```python file made.py\nprint('from a file')\n```\n\n```console\n$ python made.py\n```\n"
    )
    done = run_page(page, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("---")]
    assert lines == ["one there", "all of it", "from a file"]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```python\n\n1 / 0\n```\n", 'page.md", line 4, in <module>'),
        ("```console\n$ false\n$ true\n```\n", "non-zero exit status 1"),
        ("```console\n$ false | true\n```\n", "non-zero exit status 1"),
    ],
)
def test_a_page_that_lies_fails(tmp_path: Path, block: str, said: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n{block}")
    done = run_page(page, tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
