"""One stage rolled back: what decides it comes from the earlier version, all else stays."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dsetkit.errors import NotFoundError, UsageError
from dsetkit.history.rollback.plan import Stage, Version, Wish, plain_yaml
from dsetkit.stages.yaml_documents import load_yaml, save_yaml

_PIPELINE, _PARAMS, _SOURCES = "dvc.yaml", "params.yaml", "sources.lock.yaml"
_LOCK = "dvc.lock"


def choose(old: Version, new: Version, wanted: str) -> tuple[set[str], set[str]]:
    """The stages, of each version, that change with a snapshot: its own, and all that decide it.

    ``wanted`` is ``cleaned``, ``augmented``, ``raw/SOURCE``, or the name of a stage. What stands below a folder that a
    chosen stage reads, and that ``new`` does not have, goes. Raises ``NotFoundError`` naming what there is, and
    ``UsageError`` where ``old`` has no ``dvc.lock`` for one stage to go into.
    """
    if not old.is_built:
        raise UsageError(
            f"{old.name} has no dvc.lock, so one stage alone cannot go into it", hint="Roll back without --stage."
        )
    name = _find(new.stages, wanted)
    if name is None:
        there = [
            out.removeprefix("data/") for stage in new.stages.values() for out in stage.outs if out.startswith("data/")
        ]
        raise NotFoundError(
            f"{new.name} has no snapshot {wanted!r}", name=wanted, hint=f"It has {', '.join(sorted(there)) or 'none'}."
        )
    chosen = {name}
    pending = [name]
    while pending:
        deps = new.stages[pending.pop()].deps
        for other, stage in new.stages.items():
            if other not in chosen and any(_meet(out, dep) for out in stage.outs for dep in deps):
                chosen.add(other)
                pending.append(other)
    deps = tuple(dep for stage in chosen for dep in new.stages[stage].deps)
    gone = {
        other
        for other, stage in old.stages.items()
        if other not in new.stages and any(_meet(out, dep) for out in stage.outs for dep in deps)
    }
    return {*(stage for stage in chosen if stage in old.stages), *gone}, chosen


def merged_files(old: Version, new: Version, chosen: tuple[set[str], set[str]]) -> dict[str, Wish | None]:
    """The pipeline, params and locks with what the chosen stages are decided by as ``new`` has it."""
    gone = chosen[0] - chosen[1]
    names: dict[str, dict[str, None]] = {_PARAMS: {}, _SOURCES: {}}
    for version, stages in ((new, chosen[1]), (old, gone)):
        for stage in sorted(stages):
            for file in names:
                names[file].update(dict.fromkeys(version.stages[stage].params.get(file, ())))
    found: dict[str, Wish | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        bases = {f"stages.{stage.partition('@')[0]}": None for stage in sorted(chosen[1])}
        for file, keys in {**names, _PIPELINE: bases}.items():
            _take(found, file, _merge(old, new, file, list(keys), Path(folder)), old, new)
    _take(found, _LOCK, _merge_lock(old, new, chosen[1], gone), old, new)
    return found


def _find(stages: Mapping[str, Stage], wanted: str) -> str | None:
    if wanted in stages:
        return wanted
    place = wanted if wanted.startswith("data/") else f"data/{wanted}"
    return next((name for name, stage in stages.items() if place in stage.outs), None)


def _meet(one: str, other: str) -> bool:
    """Whether one of two paths is the other, or lies in it."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _merge(old: Version, new: Version, file: str, keys: list[str], folder: Path) -> bytes | None:
    """``file`` of ``old`` with the values at some dotted names as in ``new``; those that ``new`` lacks go."""
    if file not in old.texts or file not in new.texts:
        return new.texts.get(file, old.texts.get(file))
    paths = [folder / "old.yaml", folder / "new.yaml"]
    for path, version in zip(paths, (old, new), strict=True):
        path.write_bytes(version.texts[file])
    document, source = (load_yaml(path) for path in paths)
    changed = False
    for key in keys:
        *parents, last = _parts(source, document, key)
        to, come = _walk(document, parents), _walk(source, parents)
        if come is None or last not in come:
            changed = (to is not None and to.pop(last, None) is not None) or changed
        elif to is not None and (last not in to or to[last] != come[last]):
            to[last] = come[last]
            changed = True
    if not changed:
        return old.texts[file]
    save_yaml(paths[0], document)
    return paths[0].read_bytes()


def _merge_lock(old: Version, new: Version, chosen: set[str], gone: set[str]) -> bytes:
    yaml = YAML(typ="rt")
    document, source = (yaml.load(version.texts[_LOCK].decode()) for version in (old, new))
    for stage in gone:
        document["stages"].pop(stage, None)
    for stage in source["stages"]:
        if stage in chosen:
            document["stages"][stage] = source["stages"][stage]
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue().encode()


def _take(found: dict[str, Wish | None], file: str, data: bytes | None, old: Version, new: Version) -> None:
    """Note a file that changes; where it comes to mean what a version has, as that version wrote it."""
    was, then = old.blobs((file,)).get(file), new.blobs((file,)).get(file)
    if data is None or (was is not None and plain_yaml(data) == plain_yaml(old.texts[file])):
        return
    if then is not None and plain_yaml(data) == plain_yaml(new.texts[file]):
        found[file] = Wish(then.mode, then.sha)
    else:
        found[file] = Wish("100644", None, data)


def _parts(source: Any, document: Any, key: str) -> list[str]:
    """A name that stands as it is, dots and all, is one part."""
    return [key] if key in source or key in document else key.split(".")


def _walk(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = document.get(part) if hasattr(document, "get") else None
    return document if hasattr(document, "get") else None
