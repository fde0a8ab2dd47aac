"""What belongs to a version of the dataset, and what has to change for the project to be at it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.history.recorded import MAX_DOCUMENT_BYTES, parse_lock
from dsetkit.history.rollback.git import Blob, contents, tree

FILES = ("dvc.yaml", "params.yaml", "sources.lock.yaml", "tools.lock.yaml", ".dvcignore", "dvc.lock")
FOLDERS = ("schemas", "corrections")
_NEVER = ("access", ".dvc", ".git")
"""A revoked grant stays revoked; the rest is not the dataset's."""
_IGNORE = ".gitignore"
_OID = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")


class Stage(NamedTuple):
    """A stage as ``dvc.lock`` records it; paths are the project's."""

    deps: tuple[str, ...]
    params: dict[str, tuple[str, ...]]
    """File → dotted names."""
    outs: dict[str, str]
    """Path → DVC's object."""


class Wish(NamedTuple):
    """A file as it is to be: of git, or of bytes that no version has."""

    mode: str
    sha: str | None
    data: bytes | None = None


@dataclass(frozen=True)
class Version:
    """What a commit, or a tree, says of the dataset."""

    root: Path
    treeish: str
    name: str

    @cached_property
    def texts(self) -> dict[str, bytes]:
        """The files of ``FILES`` that it has."""
        return {path: contents(self.root, blob, path) for path, blob in self.blobs(FILES).items()}

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Name → stage, in the order of ``dvc.lock``.

        Raises ``NotFoundError`` where there is none, ``StorageError`` for one that is damaged.
        """
        text = self.texts.get("dvc.lock")
        if text is None:
            raise NotFoundError(
                f"{self.name} has no dvc.lock, so no snapshot was recorded there",
                name=self.name,
                hint="Name a later revision; see dsetkit log.",
            )
        if plain_yaml(text) is None:
            raise StorageError(
                f"dvc.lock of {self.name} cannot be read",
                url=str(self.root / "dvc.lock"),
                hint="Where HEAD is meant, put a good one there (git checkout REV -- dvc.lock) and commit it;"
                " else name another revision.",
            )
        folders = {
            name: _text(stage.get("wdir")) for name, stage in _stages_of(self.texts.get("dvc.yaml", b"")).items()
        }
        stages = {
            name: _stage(stage, folders.get(name.partition("@")[0], "")) for name, stage in _stages_of(text).items()
        }
        for path, oid in (out for stage in stages.values() for out in stage.outs.items()):
            if oid and not is_oid(oid):  # it becomes a path in DVC's cache
                raise StorageError(
                    f"dvc.lock of {self.name} has no MD5 for {path}, but {oid!r}",
                    url=str(self.root / "dvc.lock"),
                    hint="DVC never writes that; name another revision.",
                )
        return stages

    @property
    def is_built(self) -> bool:
        """Whether it has a ``dvc.lock``."""
        return "dvc.lock" in self.texts

    @cached_property
    def uncached(self) -> set[str]:
        """Outputs that DVC does not keep: ``cache: false``, as far as ``dvc.yaml`` says it plainly."""
        found = set()
        for stage in _stages_of(self.texts.get("dvc.yaml", b"")).values():
            stage = stage.get("do", stage)
            for kind in ("outs", "metrics", "plots") if isinstance(stage, dict) else ():
                for item in _list(stage.get(kind)):
                    for path, options in item.items() if isinstance(item, dict) else ():
                        if isinstance(options, dict) and options.get("cache") is False:
                            found.add(_join(_text(stage.get("wdir")), _text(path)))
        return found

    def blobs(self, places: Iterable[str]) -> dict[str, Blob]:
        """What git has at and below some places."""
        return tree(self.root, self.treeish, list(dict.fromkeys(places)))


@dataclass(frozen=True)
class Plan:
    """What a rollback changes."""

    outputs: dict[str, str]
    """Path → DVC's object, of everything that is to stand and is not in git."""
    gone: tuple[str, ...]
    """Outputs that are to stand no more."""
    before: dict[str, str]
    """Path → DVC's object, of the outputs that stand now."""
    files: dict[str, Wish | None]
    """Files of git that change; None: goes."""
    places: tuple[str, ...]
    """At and below these nothing may be uncommitted."""
    left: tuple[str, ...] = ()
    """Outputs that are not in the project, or that neither git nor DVC keeps; they are left alone."""
    ignores: tuple[str, ...] = field(default=())
    """The ``.gitignore`` files among ``files``."""


def make_plan(old: Version, new: Version, chosen: tuple[set[str], set[str]] | None = None) -> Plan:
    """From ``old``, where the project is, to ``new``; ``chosen`` are the stages that change, of each, else all.

    The texts of ``FILES`` are not in it where stages are chosen. ``old`` may have no ``dvc.lock``: a branch on which
    nothing was built yet. Raises as ``Version.stages``.
    """
    had = old.stages if old.is_built else {}
    old_stages = {name: stage for name, stage in had.items() if chosen is None or name in chosen[0]}
    new_stages = {name: stage for name, stage in new.stages.items() if chosen is None or name in chosen[1]}
    old_outs, new_outs = _outs(old_stages), _outs(new_stages)
    away = [path for path in new_outs if not is_ours(path)]
    old_outs, new_outs = _ours(old_outs), _ours(new_outs)
    deps = {dep for stage in new_stages.values() for dep in stage.deps if is_ours(dep)}
    old_deps = {dep for stage in old_stages.values() for dep in stage.deps}
    read = {file for stage in new_stages.values() for file in stage.params if is_ours(file)}
    if chosen is None:
        whole = {*FILES, *FOLDERS, *read}
    else:
        whole = {*(place for place in FOLDERS if place in deps | old_deps), *(read - {*FILES[:3]})}
    there = new.blobs([*whole, *deps, *new_outs, *old_outs])
    places = {*whole, *new_outs, *old_outs, *(dep for dep in deps if _has(there, dep))}
    wanted = {path: blob for path, blob in there.items() if _is_file_of(path, places)}
    present = {path: blob for path, blob in old.blobs(places).items() if _is_file_of(path, places)}
    files: dict[str, Wish | None] = {path: None for path in present if path not in wanted}
    for path, blob in wanted.items():
        if present.get(path) != blob:
            files[path] = Wish(blob.mode, blob.sha)
    loose = {path for path in new_outs if not _has(wanted, path) and path in new.uncached}
    outputs = {path: oid for path, oid in new_outs.items() if not _has(wanted, path) and path not in loose}
    before = {
        path: oid for path, oid in old_outs.items() if not _has(present, path) and path not in old.uncached | loose
    }
    ignores = _ignores(old, new, set(before), set(outputs))
    files.update(ignores)
    folders = {posixpath.dirname(path) for path in (*outputs, *before)}
    return Plan(
        outputs=outputs,
        gone=tuple(path for path in before if path not in outputs),
        before=before,
        files=files,
        places=tuple(sorted({*places, *(FILES if chosen else ()), *(_join(folder, _IGNORE) for folder in folders)})),
        left=tuple(sorted(path for path in {*away, *loose} if not path.startswith("access/"))),
        ignores=tuple(ignores),
    )


def is_ours(path: str) -> bool:
    """Whether a path of ``dvc.lock`` is one of the project that a rollback may touch."""
    parts = path.split("/")
    first = parts[0]
    if posixpath.normpath(path) != path or "\\" in path or "\0" in path or ".git" in map(str.lower, parts):
        return False
    return first.lower() not in ("", ".", "..", *_NEVER) and ":" not in first


def is_oid(text: str) -> bool:
    """Whether a text is the name of one of DVC's objects: it becomes a path."""
    return _OID.match(text) is not None


def is_compiled(path: str) -> bool:
    """Whether a file is one that Python writes for itself; DVC does not look at those, nor does a rollback."""
    return path.endswith(".pyc") or "__pycache__" in path.split("/")


def plain_yaml(text: bytes) -> dict[str, Any] | None:
    """A YAML document as plain values, only to be read; None for a text that is none, or no mapping."""
    try:
        return parse_lock(text.decode("utf-8-sig")) if len(text) <= MAX_DOCUMENT_BYTES else None
    except UnicodeDecodeError:
        return None


def _stages_of(text: bytes) -> dict[str, dict[str, Any]]:
    stages = (plain_yaml(text) or {}).get("stages")
    named = stages.items() if isinstance(stages, dict) else ()
    return {_text(name): stage for name, stage in named if isinstance(stage, dict)}


def _stage(stage: Mapping[str, Any], folder: str) -> Stage:
    params = stage.get("params")
    read = params.items() if isinstance(params, dict) else ()
    return Stage(
        deps=tuple(_join(folder, dep["path"]) for dep in _paths(stage, "deps")),
        params={_join(folder, _text(file)): tuple(map(_text, names or ())) for file, names in read if _is_names(names)},
        outs={_join(folder, out["path"]): _text(out.get("md5")) for out in _paths(stage, "outs")},
    )


def _paths(stage: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (item for item in _list(stage.get(kind)) if isinstance(item, dict) and isinstance(item.get("path"), str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """What is written as a text, or a number; what is anything else is none."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def _is_names(value: Any) -> bool:
    return value is None or isinstance(value, dict | list)


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path)) if folder else path


def _outs(stages: Mapping[str, Stage]) -> dict[str, str]:
    return {path: oid for stage in stages.values() for path, oid in stage.outs.items() if oid}


def _ours(outs: Mapping[str, str]) -> dict[str, str]:
    return {path: oid for path, oid in outs.items() if is_ours(path)}


def _has(blobs: Mapping[str, Blob], place: str) -> bool:
    return any(path == place or path.startswith(f"{place}/") for path in blobs)


def _is_file_of(path: str, places: set[str]) -> bool:
    """Whether a file is at or below one of the places; ``.gitignore`` files are worked out by themselves."""
    if posixpath.basename(path) == _IGNORE or not is_ours(path) or is_compiled(path):
        return False
    while path:
        if path in places:
            return True
        path = posixpath.dirname(path)
    return False


def _ignores(old: Version, new: Version, before: set[str], after: set[str]) -> dict[str, Wish | None]:
    """The ``.gitignore`` files beside outputs: DVC's own lines come and go, what people wrote stays."""
    found: dict[str, Wish | None] = {}
    folders = {posixpath.dirname(path) for path in (*before, *after)}
    names = [_join(folder, _IGNORE) for folder in sorted(folders)]
    had, has = old.blobs(names), new.blobs(names)
    for name in names:
        folder = posixpath.dirname(name)
        known = had.get(name)
        text = contents(old.root, known, name).decode("utf-8", "surrogateescape") if known is not None else ""
        lines = text.splitlines()
        ruled = {_rule(path) for path in before if posixpath.dirname(path) == folder}
        wished = [_rule(path) for path in sorted(after) if posixpath.dirname(path) == folder]
        kept = [line for line in lines if line not in ruled or line in wished]
        kept += [line for line in wished if line not in kept]
        if kept == lines:
            continue
        then = has.get(name)
        if then is not None:
            other = contents(old.root, then, name).decode("utf-8", "surrogateescape")
            if sorted(other.splitlines()) == sorted(kept):
                if then != known:
                    found[name] = Wish(then.mode, then.sha)
                continue
        data = "".join(f"{line}\n" for line in kept).encode("utf-8", "surrogateescape")
        found[name] = Wish(known.mode if known is not None else "100644", None, data) if kept else None
    return found


def _rule(path: str) -> str:
    return f"/{posixpath.basename(path)}"
