"""How much of what was planted among the photos a contender found. No package needed: runs in either environment."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

BAD = ("dark", "bright", "blurred", "flat")
TWINS = ("exact", "reencoded", "resized", "brighter")


def found_facts(
    who: str,
    prepared: Path,
    *,
    bad: Mapping[str, Collection[str]] | None = None,
    alike: Iterable[Collection[str]] = (),
    twins: Iterable[str] = TWINS,
) -> dict[str, str]:
    """``{"dark (who)": "30 of 30", ...}`` and how many pictures were named that are neither bad nor twins.

    ``bad`` is the names that were called bad, by kind (None: not looked for); ``alike`` are sets of names that were
    called equal or alike; ``twins`` are the kinds of duplicates that were looked for.
    """
    planted = json.loads((prepared / "planted.json").read_text())
    clusters = [set(cluster) for cluster in alike]
    facts = {}
    for kind in BAD if bad is not None else ():
        facts[kind] = len(set(planted[kind]) & set(bad[kind] if bad else ())), len(planted[kind])
    cluster_of = {name: number for number, cluster in enumerate(clusters) for name in cluster}
    for kind in twins:
        pairs = planted[kind]
        facts[kind] = sum(cluster_of.get(one, -1) == cluster_of.get(other, -2) for one, other in pairs), len(pairs)
    said = {f"{kind} ({who})": f"{number} of {total}" for kind, (number, total) in facts.items()}
    if bad is not None:
        ill = {name for kind in BAD for name in planted[kind]}
        said[f"good but called bad ({who})"] = str(len({name for names in bad.values() for name in names} - ill))
    known = {name for kind in TWINS for pair in planted[kind] for name in pair}
    said[f"single but called alike ({who})"] = str(len(set(cluster_of) - known))
    return said


def say(steps: Mapping[str, float], facts: Mapping[str, object]) -> None:
    """Print what the harness reads."""
    print(json.dumps({"steps": steps, "facts": facts}))
