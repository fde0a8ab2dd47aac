"""The contests ``convert_voc`` and ``convert_yolo`` with dsetkit: ``... PREPARED FORMAT [OPTION=VALUE]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.contenders.convert_facts import say
from dsetkit.formats import registry
from dsetkit.stages.export import convert_opened, open_source

for name in ("coco", "voc", "yolo"):
    registry.get(name)  # imported when it is first asked for; the clock does not run yet for anybody's imports
pa.array([0])  # imports pandas where it is installed


def main(prepared: Path, to: str, options: dict[str, str]) -> None:
    began = time.perf_counter()
    opened, options = open_source(prepared, to, "coco", options)
    read = time.perf_counter()
    labels, report = convert_opened(opened, "written", to=to, options=options)
    written = time.perf_counter()
    facts = {"images": len(labels), "annotations": report.annotations}
    say({"read": read - began, "write": written - read}, facts, "dsetkit", to)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], dict(option.split("=", 1) for option in sys.argv[3:]))
