"""``access/stages.yaml``: what a policy says of each stage, for DVC; and that the stages of ``dvc.yaml`` depend on it.

Derived from the policy alone, so anybody may write it anew; and a stage is not built where it says something else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from dsetkit.access.files import read_below, refuse, write_below
from dsetkit.access.policy import read_chain
from dsetkit.access.rules import facets_of, rule_of
from dsetkit.errors import AccessError, TamperError, UsageError
from dsetkit.spec.policy import PROJECT_STAGES, AccessPolicy
from dsetkit.stages.sealed import STAGES
from dsetkit.stages.yaml_documents import UnfitYaml, free_end, load_yaml, parse_untrusted, save_yaml

PLAIN = "plain"
MARKS = "access/built"
"""A file a stage, the same for ever, that DVC is told to keep (``persist``): of a stage with such an output it takes
nothing from its run-cache. What is sealed is always built, and signed, by somebody who may, however old it is; that is
quick, as the memory has all of it (``stages/memory.py``)."""
MARK = b"DVC takes nothing from its run-cache for a stage with this output: what is sealed is built and signed anew.\n"
UNDECIDED = "undecided"
"""The entry of a stage that is made from what different people read: a rule must say who reads it."""

_COMMAND = re.compile(r"dsetkit\s+(ingest|clean|augment|report)\b")
_STAGE_OF = {"ingest": "raw/${key}", "clean": "cleaned", "augment": "augmented", "report": "report"}
_MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 8
"""Five are used: the file, an entry, its facets, one of them, its columns."""
_ANEW = "Write it anew: dsetkit access finish; then dvc repro."
_HEAD = "What seals each stage, for DVC. Written by dsetkit access; in doubt: dsetkit access finish"


def check_entry(root: Path, policy: AccessPolicy, stage: str) -> None:
    """Refuses to build a stage where DVC goes by something else than the policy says.

    Each source of ``params.yaml`` has an entry (``raw/blood``), be its rule its own or that of ``raw``. Raises
    ``AccessError`` where ``access/stages.yaml`` lacks the stage's entry or has another, ``TamperError`` where it is no
    file that dsetkit wrote.
    """
    if _read_entries(root).get(stage) != entry_of(policy, stage):
        raise AccessError(
            f"{STAGES} does not say of {stage} what the policy says",
            subject=stage,
            hint=_ANEW,
        )


def entry_of(policy: AccessPolicy, stage: str) -> Any:
    """What ``access/stages.yaml`` says of a stage: all by which a policy changes what is built, and no more."""
    try:
        rule = rule_of(policy, stage)
        facets = facets_of(policy, stage) if rule is not None else {}
    except AccessError:
        return UNDECIDED
    if rule is None:
        return PLAIN
    entry: dict[str, Any] = {"domain": rule.domain, "epoch": len(policy.domains[rule.domain].epochs)}
    if policy.padding != "none":
        entry["padding"] = policy.padding
    if facets:
        entry["facets"] = {
            name: {
                "domain": facet.domain,
                "epoch": len(policy.domains[facet.domain].epochs),
                "columns": list(facet.columns),
                **({"splits": list(facet.splits)} if facet.splits else {}),
                **({"hides_keys": True} if facet.hides_keys else {}),
            }
            for name, facet in facets.items()
        }
    return entry


def write_entries(root: Path, policy: AccessPolicy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Derives ``access/stages.yaml``, whatever is there, and the dependencies in ``dvc.yaml``.

    Gives the stages whose entry is another now, and the files that were written. Raises ``ParamsError``,
    ``UsageError`` for a ``dvc.yaml`` that cannot be edited, ``StorageError``.
    """
    before = _known_entries(root)
    sources = load_yaml(root / "params.yaml").get("sources") if (root / "params.yaml").is_file() else None
    names = sorted(sources) if isinstance(sources, Mapping) else []
    entries = {stage: entry_of(policy, stage) for stage in (*(f"raw/{name}" for name in names), *PROJECT_STAGES[1:])}
    files = []
    if before is None or before != entries:
        document = CommentedMap(entries)
        document.yaml_set_start_comment(_HEAD)
        save_yaml(root / STAGES, document)
        files.append(STAGES)
    try:
        if _depend(root / "dvc.yaml"):
            files.append("dvc.yaml")
    except RecursionError:
        raise UsageError("dvc.yaml has aliases within aliases, too deep", hint="Take them out of it.") from None
    changed = tuple(stage for stage, entry in entries.items() if (before or {}).get(stage, PLAIN) != entry)
    return changed, tuple(files)


def refresh_entries(root: Path, environ: Mapping[str, str] = os.environ) -> None:
    """``write_entries`` for the policy there is, where there is one: sources have come or gone. Raises like it."""
    if (root / "access" / "policy").exists():
        write_entries(root, read_chain(root, environ).policy)


def built(root: Path) -> list[str]:
    """The stages that DVC has recorded as built (``dvc.lock``), sorted."""
    path = root / "dvc.lock"
    stages = load_yaml(path).get("stages") if path.is_file() else None
    nodes = [node for node in (stages.values() if isinstance(stages, Mapping) else ()) if isinstance(node, Mapping)]
    lists = [node.get("outs") for node in nodes]
    found = [out for outs in lists if isinstance(outs, list) for out in outs if isinstance(out, Mapping)]
    outs = [out["path"] for out in found if isinstance(out.get("path"), str)]
    names = {"report" if out.startswith("reports/") else out.removeprefix("data/") for out in outs}
    return sorted(name for name in names if name in PROJECT_STAGES or name.startswith("raw/"))


def built_plain(root: Path) -> list[str]:
    """Those of ``built`` that are not known to have been sealed: their entry was none, or said that they are plain."""
    entries = _known_entries(root) or {}
    return [stage for stage in built(root) if entries.get(stage, PLAIN) == PLAIN]


def _known_entries(root: Path) -> dict[str, Any] | None:
    """``_read_entries``; None where the file is none that dsetkit wrote: it says nothing, and is written anew."""
    try:
        return _read_entries(root)
    except TamperError:
        return None


def _read_entries(root: Path) -> dict[str, Any]:
    """Stage → entry; none where there is no file. Raises ``TamperError`` for one that dsetkit cannot have written."""
    try:
        data = read_below(root, STAGES, _MAX_BYTES)
    except TamperError as error:
        raise TamperError(error.message, subject=STAGES, hint=_ANEW) from None
    if data is None:
        return {}
    try:
        entries = parse_untrusted(data.decode(), max_depth=_MAX_DEPTH)
    except UnfitYaml as error:
        refuse(str(error), STAGES, hint=_ANEW)
    except UnicodeDecodeError:
        refuse("cannot be read as YAML", STAGES, hint=_ANEW)
    if not isinstance(entries, dict):
        refuse("is not a mapping of stages to entries", STAGES, hint=_ANEW)
    return entries


def _depend(path: Path) -> bool:
    """Lets each stage of ``dvc.yaml`` that dsetkit runs depend on its entry; whether the file was written."""
    if not path.is_file():
        return False
    document = load_yaml(path)
    stages = document.get("stages")
    has_changed = False
    for node in stages.values() if isinstance(stages, Mapping) else ():
        body = node.get("do", node) if isinstance(node, CommentedMap) else None
        if not isinstance(body, CommentedMap):
            continue
        command = body.get("cmd")
        found = _COMMAND.search(command) if isinstance(command, str) else None
        if found is None:
            continue
        wanted = _STAGE_OF[found[1]]
        has_changed |= _keep_mark(body, wanted)
        if body.get("params") is None:
            body["params"] = CommentedSeq()
        params = body["params"]
        if not isinstance(params, list):
            raise UsageError(f"{path.name} has params that are no list", hint="Write them as a list, as DVC asks.")
        known = next((item for item in params if isinstance(item, CommentedMap) and STAGES in item), None)
        if known is not None and known[STAGES] == [wanted]:
            continue
        has_changed = True
        if known is not None:
            known[STAGES] = CommentedSeq([wanted])
        else:
            free_end(body, "params")
            params.insert(0, CommentedMap({STAGES: CommentedSeq([wanted])}))
    if has_changed:
        save_yaml(path, document)
    return has_changed


def mark_of(stage: str) -> str:
    """Where the mark of a stage is, below the project's root."""
    return f"{MARKS}/{stage.replace('/', '__')}"


def write_mark(root: Path, stage: str) -> None:
    """Leaves the mark of a stage that was built. Raises ``TamperError`` for a link, ``StorageError``."""
    if read_below(root, mark_of(stage), len(MARK)) != MARK:
        write_below(root, mark_of(stage), MARK)


def _keep_mark(body: CommentedMap, stage: str) -> bool:
    """Lets a stage of ``dvc.yaml`` have its mark as an output; whether it had it not."""
    outs, mark = body.setdefault("outs", CommentedSeq()), mark_of(stage)
    if not isinstance(outs, list):
        raise UsageError("dvc.yaml has outs that are no list", hint="Write them as a list, as DVC asks.")
    if any(item == mark or (isinstance(item, CommentedMap) and mark in item) for item in outs):
        return False
    outs.insert(0, CommentedMap({mark: CommentedMap({"cache": False, "persist": True})}))  # what follows stays last
    return True
