"""The contest ``photos`` as whole commands, the start of Python in each included: ``... photos_stages PREPARED``.

Besides the work of the others they lock the source, pack the pictures into two snapshots and assign splits.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.contenders.commands import Stopwatch, environment
from benchmarks.contenders.photos_dsetkit import KINDS, QUALITY
from benchmarks.contenders.photos_found import found_facts, say


def main(prepared: Path) -> None:
    import dsetkit

    here = Path.cwd()
    watch = Stopwatch(here / "project", environment(here / "settings"))
    watch.folder.mkdir()
    watch.run(["git", "init", "--quiet"])  # a repository of its own: the working folder may be one that git ignores
    watch.run(["dsetkit", "init", "."])
    set_quality(watch.folder / "params.yaml")
    watch.run(["dsetkit", "add", "photos", str(prepared / "photos")], step="add")
    watch.run(["dsetkit", "ingest", "photos"], step="ingest")
    watch.run(["dsetkit", "clean"], step="clean")
    cleaned = dsetkit.open(str(watch.folder / "data" / "cleaned"))
    called: dict[str, set[str]] = {kind: set() for kind in KINDS.values()}
    clusters: dict[str, set[str]] = {}
    groups = {}
    for row in cleaned.table.select(["key", "split_group"]).to_pylist():
        if row["split_group"] is not None:
            groups[row["key"]] = row["split_group"]
            clusters.setdefault(row["split_group"], set()).add(name_of(row["key"]))
    for row in cleaned.rejected.to_pylist():
        kept = row["duplicate_of"]
        if kept is not None:
            clusters.setdefault(groups.get(kept, kept), {name_of(kept)}).add(name_of(row["key"]))
        for issue in row["issues"] or ():
            called[KINDS[issue["code"]]].add(name_of(row["key"]))
    pictures = len(cleaned) + cleaned.info.counts.rejected_samples
    say(watch.steps, {"pictures": pictures, **found_facts("dsetkit", prepared, bad=called, alike=clusters.values())})


def set_quality(params: Path) -> None:
    """Write the bounds of ``photos_dsetkit`` into a new project's params."""
    lines = params.read_text().splitlines()
    for name, bound in QUALITY.items():
        (place,) = (number for number, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
        lines[place] = f"    {name}: {bound}"
    params.write_text("\n".join(lines) + "\n")


def name_of(key: str) -> str:
    """The file's name of a sample's key."""
    return key.removeprefix("photos/")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
