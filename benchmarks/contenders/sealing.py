"""One side of the contest ``sealing``: ``... sealing plain|sealed|anew PREPARED``."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

READS = 2_000
SOURCE = "photos"


def main(kind: str, prepared: Path) -> None:
    root = Path("project").absolute()
    state, identity = root.with_name("state"), root.with_name("identity")
    if kind == "anew":
        shutil.copytree(prepared / "sealed", root)
        shutil.copyfile(prepared / "identity", identity)
        identity.chmod(0o600)
        name_keys(identity, state)
        rotate(root)
    else:
        new_project(root, prepared / "photos")
        if kind == "sealed":
            seal_project(root, identity, state)
    began, cpu_began = time.perf_counter(), cpu_s()
    decoded = build(root)
    took, cpu_took = time.perf_counter() - began, cpu_s() - cpu_began
    facts: dict[str, float] = {
        "photos": photos_in(root),
        f"sealed snapshots ({kind})": sealed_snapshots(root),
        "stages_cpu_s": round(cpu_took, 2),
    }
    if kind == "anew":
        size_bytes = sum(path.stat().st_size for path in root.glob("data/**/shards/*.tar"))
        steps = {"ingest, clean again": took}
        facts |= {"photos decoded again": decoded, "resealed_bytes": size_bytes}
        facts["resealed_mb_per_s"] = round(size_bytes / 1e6 / took, 1)
    else:
        cpu_began = cpu_s()
        steps = {"ingest, clean": took, **reads(root)}
        facts |= {"photos decoded": decoded, "reads_cpu_s": round(cpu_s() - cpu_began, 2)}
    print(json.dumps({"steps": steps, "facts": facts}))


def new_project(root: Path, photos: Path) -> None:
    """An empty project with the photos as its one source, locked."""
    from dsetkit.spec.params import SourceParams
    from dsetkit.stages.init import write_project
    from dsetkit.stages.manage import add_source
    from dsetkit.stages.project import Project

    write_project(root)
    add_source(Project(root), SOURCE, SourceParams(path=str(photos)))


def seal_project(root: Path, identity: Path, state: Path) -> None:
    """Make an identity and the policy that protects all stages; from now on, this process is who it is."""
    from dsetkit.access.identity import make_identity
    from dsetkit.stages.protection import create_policy

    name_keys(identity, state)
    create_policy(root, "bench", make_identity(identity, name="bench"))
    from dsetkit.stages.manage import update_source
    from dsetkit.stages.project import Project

    update_source(Project(root), SOURCE)  # its lock is keyed now


def name_keys(identity: Path, state: Path) -> None:
    """Say whose keys this process uses, and where it remembers what it saw."""
    os.environ.update(DSETKIT_IDENTITY=str(identity), DSETKIT_STATE=str(state))


def rotate(root: Path) -> None:
    """Start an epoch of every domain."""
    from dsetkit.access.identity import load_identity
    from dsetkit.stages.protection import change_policy

    change_policy(
        root,
        load_identity(),
        lambda wanted, _: wanted,
        "rotate",
        "all",
        rotate=lambda policy: tuple(policy.domains),
    )


def build(root: Path) -> int:
    """Run both stages, with what stands there as memory; how many photos they decoded together."""
    from dsetkit.history.memory import last_output
    from dsetkit.stages.clean import clean
    from dsetkit.stages.executor import open_pool
    from dsetkit.stages.ingest import ingest
    from dsetkit.stages.project import Project

    project = Project(root)
    with open_pool() as pool:
        taken = ingest(project, SOURCE, pool=pool, memory=last_output(root, project.raw(SOURCE)))
        cleaned = clean(project, pool=pool, memory=last_output(root, project.cleaned))
    return taken.decoded + cleaned.decoded


def cpu_s() -> float:
    """CPU seconds of this process and of those it waited for."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def reads(root: Path) -> dict[str, float]:
    """Open the cleaned snapshot and decode some photos of it."""
    import dsetkit

    began = time.perf_counter()
    snapshot = dsetkit.open(str(root / "data" / "cleaned"))
    keys = random.Random(1).choices(snapshot.table["key"].to_pylist(), k=READS)
    opened = time.perf_counter()
    for key in keys:
        snapshot.image(key).load()
    return {"open": opened - began, "random reads": time.perf_counter() - opened}


def photos_in(root: Path) -> int:
    """The photos that the cleaned snapshot has or turned away."""
    import dsetkit

    counts = dsetkit.open(str(root / "data" / "cleaned")).info.counts
    return counts.samples + counts.rejected_samples


def sealed_snapshots(root: Path) -> int:
    """How many snapshots say that they are sealed."""
    return sum('"sealed"' in path.read_text("utf-8")[:100] for path in root.glob("data/**/snapshot.json"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
