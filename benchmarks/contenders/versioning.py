"""The contest ``versioning``, both sides: ``python -m benchmarks.contenders.versioning dsetkit|dvc PREPARED``.

Works in the current folder, which must be empty. Timed are whole commands, the start of Python in each included.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.contenders.commands import Stopwatch, environment

REMOTES = ("folder", "s3")


def main(side: str, prepared: Path) -> None:
    """Hold one side of the contest and print what it took."""
    here = Path.cwd()
    watch = Stopwatch(here / "project", environment(here / "settings"))
    begin, add, update, check, out = _dsetkit(here) if side == "dsetkit" else _dvc()
    source = here / "source" if side == "dsetkit" else watch.folder / "photos"
    watch.folder.mkdir()
    watch.run(*begin)
    if side == "dsetkit":
        _only_ingest(watch.folder / "dvc.yaml")
    _add_remotes(watch, here)
    shutil.copytree(prepared / "photos", source)  # each side owns its pictures: DVC takes the write permission away
    os.sync()
    watch.run(*add, step="build, add")
    watch.run(["git", "add", "--all"], ["git", "commit", "--quiet", "--message", "first"])
    for remote in REMOTES:
        watch.run(["dvc", "push", "--remote", remote], step=f"push to {remote}")
    # dsetkit's says 1: cleaned and augmented are not built.
    watch.run(*check, step="status", fine=(0, 1))
    shutil.copy(prepared / "more.jpg", source / "one-more.jpg")
    os.sync()
    watch.run(*update, step="one picture more: build, add")
    for remote in REMOTES:
        watch.run(["dvc", "push", "--remote", remote], step=f"one picture more: push to {remote}")
    watch.run(["git", "add", "--all"], ["git", "commit", "--quiet", "--message", "second"])
    shutil.rmtree(watch.folder / out)
    watch.run(["dvc", "checkout"], step="checkout")
    clone = here / "clone"
    watch.run(["git", "clone", "--quiet", str(watch.folder), str(clone)])
    _add_remotes(watch, here, clone)
    watch.run(["dvc", "pull", "--remote", "folder"], step="pull from folder", folder=clone)
    facts = {"pictures": _count(side, clone / out), "objects": _objects(here / "remote")}
    names = {"objects": f"objects_of_{side}"}
    print(json.dumps({"steps": watch.steps, "facts": {names.get(name, name): fact for name, fact in facts.items()}}))


Commands = list[list[str]]


def _dsetkit(here: Path) -> tuple[Commands, Commands, Commands, Commands, str]:
    source = str(here / "source")
    build = ["dvc", "repro", "ingest@photos"]
    return (
        [["git", "init", "--quiet"], ["dsetkit", "init", "."]],
        [["dsetkit", "add", "photos", source, "--labels", "coco:annotations.json"], build],
        [["dsetkit", "update", "photos"], build],
        [["dsetkit", "status"], ["dvc", "status", "ingest@photos"]],
        "data/raw/photos",
    )


def _dvc() -> tuple[Commands, Commands, Commands, Commands, str]:
    return (
        [["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["dvc", "config", "cache.type", "hardlink,copy"]],
        [["dvc", "add", "photos"]],
        [["dvc", "add", "photos"]],
        [["dvc", "status"]],
        "photos",
    )


def _only_ingest(pipeline: Path) -> None:
    """Take the stages after ``ingest`` out of the pipeline: DVC on its own cleans nothing either."""
    text = pipeline.read_text()
    kept, found, _ = text.partition("\n  clean:")
    if not found:
        raise RuntimeError(f"{pipeline} has no stage clean to end at")
    pipeline.write_text(kept + "\n")


def _add_remotes(watch: Stopwatch, here: Path, project: Path | None = None) -> None:
    """In the local configuration, which is not in git."""
    commands = [["dvc", "config", "--local", "cache.type", "hardlink,copy"]]
    for remote, url in (("folder", str(here / "remote")), ("s3", watch.env["BENCH_S3_URL"])):
        commands.append(["dvc", "remote", "add", "--local", remote, url])
    commands.append(["dvc", "remote", "modify", "--local", "s3", "endpointurl", watch.env["AWS_ENDPOINT_URL"]])
    watch.run(*commands, folder=project)


def _count(side: str, out: Path) -> int:
    """The pictures that came out at the other end."""
    if side == "dvc":
        return sum(1 for _ in out.rglob("*.jpg"))
    import dsetkit

    return len(dsetkit.open(str(out)))


def _objects(remote: Path) -> int:
    return sum(1 for path in remote.rglob("*") if path.is_file())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
