"""The contest ``report``: ``python -m benchmarks.contenders.report_dsetkit PROJECT``, in an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path


def main(prepared: Path) -> None:
    """Make the report in a project of links to the prepared one, which stays as it is."""
    from dsetkit.report.stage import run_report
    from dsetkit.stages.project import Project

    root = Path.cwd() / "project"
    shutil.copytree(prepared, root, copy_function=os.link, ignore=shutil.ignore_patterns("source"))
    began = time.perf_counter()
    result = run_report(Project(root))
    seconds = time.perf_counter() - began
    facts = {
        "page_bytes": result.page_bytes,
        "reports_bytes": _size(root / "reports"),
        "cards_bytes": _size(root / "cards"),
    }
    print(json.dumps({"steps": {"report": seconds}, "facts": facts}))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
