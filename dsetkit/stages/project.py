"""A dataset project: its params, locks, contracts and places."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dsetkit.curation.contract import Contract
from dsetkit.errors import LockError, NotFoundError, SchemaError
from dsetkit.spec.base import digest_of
from dsetkit.spec.lock import Lock, SourceLock, ToolsLock
from dsetkit.spec.params import Params, SourceParams
from dsetkit.stages.sealed import Sealing, keys_of
from dsetkit.stages.tools import tool_versions
from dsetkit.stages.yaml_documents import load_document, load_yaml
from dsetkit.storage.stat_cache import StatCache
from dsetkit.storage.unfinished import refuse_unfinished
from dsetkit.storage.url import to_local

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys

PARAMS = "params.yaml"
SOURCES_LOCK = "sources.lock.yaml"
TOOLS_LOCK = "tools.lock.yaml"
CORRECTIONS = "corrections"


@dataclass(frozen=True)
class Project:
    """The project whose top is ``root``; everything is read when first asked for and then kept."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The project that ``start`` (default: the working folder) lies in.

        Raises ``NotFoundError`` where no folder upwards holds both ``params.yaml`` and ``dvc.yaml``, ``UsageError``
        where a rollback was interrupted in it.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / PARAMS).is_file() and (folder / "dvc.yaml").is_file():
                refuse_unfinished(folder)
                return cls(folder)
        raise NotFoundError(
            f"{here} is not in a dsetkit project (no folder from here up has params.yaml and dvc.yaml)",
            name=str(here),
            hint="Go to the project's folder, or make one: dsetkit init DIR.",
        )

    @cached_property
    def params(self) -> Params:
        """``params.yaml``, checked whole. Raises ``ParamsError``."""
        return load_document(self.root / PARAMS, Params)

    @cached_property
    def lock(self) -> dict[str, SourceLock]:
        """``sources.lock.yaml``; empty where there is none. Raises ``ParamsError``."""
        path = self.root / SOURCES_LOCK
        return load_document(path, Lock).root if path.is_file() else {}

    @cached_property
    def work(self) -> Path:
        """Where snapshots are built: ``.dvc/tmp/dsetkit``, or ``.dsetkit`` in a project without DVC."""
        dvc = self.root / ".dvc"
        return dvc / "tmp" / "dsetkit" if dvc.is_dir() else self.root / ".dsetkit"

    @cached_property
    def stat_cache(self) -> StatCache:
        """Digests of source files by their stat, so that an unchanged file is not read again."""
        return StatCache(self.work / "stat-cache.sqlite")

    def sealing(self, stage: str) -> Sealing:
        """How a stage (``raw/blood``, ``cleaned``, ...) meets the project's access policy."""
        return Sealing(self.root, stage, self.keys)

    @cached_property
    def keys(self) -> ProjectKeys | None:
        """What the identity at hand may open; None where the project has no access policy."""
        return keys_of(self.root)

    def source(self, name: str) -> SourceParams:
        """The params of one source. Raises ``NotFoundError`` naming those there are."""
        try:
            return self.params.sources[name]
        except KeyError:
            known = ", ".join(sorted(self.params.sources)) or "none yet"
            raise NotFoundError(
                f"there is no source {name!r} in {PARAMS} (there are: {known})",
                name=name,
                hint=f"Add it: dsetkit add {name} PATH.",
            ) from None

    def source_url(self, name: str) -> str:
        """The source's path or URL; a relative path is taken from the project's top."""
        return self.resolve(self.source(name).path)

    def resolve(self, path: str) -> str:
        """A path or URL of the params, as one that can be opened from anywhere."""
        local = to_local(path)
        return path if local is None else os.path.normpath(self.root / local.expanduser())

    def raw(self, name: str) -> Path:
        """Where the raw snapshot of a source stands."""
        return self.root / "data" / "raw" / name

    @property
    def cleaned(self) -> Path:
        """Where the cleaned snapshot stands."""
        return self.root / "data" / "cleaned"

    @property
    def augmented(self) -> Path:
        """Where the augmented snapshot stands."""
        return self.root / "data" / "augmented"

    def correction_files(self) -> list[Path]:
        """What is called ``corrections/*.jsonl``, sorted by name; links and folders too, which are not to be read."""
        folder = self.root / CORRECTIONS
        names = [name for name in os.listdir(folder) if name.endswith(".jsonl")] if folder.is_dir() else []
        return [folder / name for name in sorted(names, key=os.fsencode)]

    def corrections_state(self) -> dict[str, str]:
        """The digest of each file of corrections that says something, by its path in the project."""
        return {
            f"{CORRECTIONS}/{path.name}": hashlib.sha256(data).hexdigest()
            for path in self.correction_files()
            if path.is_file() and not path.is_symlink() and (data := path.read_bytes()).strip()
        }

    def check_tools(self) -> dict[str, str]:
        """The versions that bytes depend on.

        Raises ``LockError`` where this environment has others than ``tools.lock.yaml`` says: pictures made with
        them would differ, and nobody asked for that.
        """
        versions = tool_versions()
        path = self.root / TOOLS_LOCK
        if not path.is_file():
            return versions
        locked = load_document(path, ToolsLock).root
        changes = [
            f"{name} {locked.get(name, 'absent')} → {versions.get(name, 'absent')}"
            for name in sorted(locked.keys() | versions.keys())
            if locked.get(name) != versions.get(name)
        ]
        if changes:
            raise LockError(
                f"the tools here are not those of {TOOLS_LOCK}: {', '.join(changes)}",
                name="tools",
                changes=changes,
                hint="Install the locked versions, or rebuild with these: dsetkit update --tools, then dvc repro.",
            )
        return versions

    def contract(self, reference: str | None) -> Contract | None:
        """The contract that ``module:Name`` of this project means; none for none. Runs the project's code.

        Raises ``SchemaError`` where the module or name is not there, or is no contract.
        """
        return None if reference is None else load_contract(reference, self.root)

    def state(
        self, *, sections: tuple[str, ...], sources: tuple[str, ...] = (), corrections: bool = False
    ) -> dict[str, str]:
        """Digests of what DVC will record as a stage's params and dependencies, by name, read anew from the disk."""
        document = load_yaml(self.root / PARAMS)
        state = {f"{PARAMS}: {section}": digest_of(_jsonable(_lookup(document, section))) for section in sections}
        if sources:
            path = self.root / SOURCES_LOCK
            locks = load_yaml(path) if path.is_file() else {}
            state.update({f"{SOURCES_LOCK}: {name}": digest_of(_jsonable(locks.get(name))) for name in sources})
        if corrections:
            state.update(self.corrections_state())
        tools = self.root / TOOLS_LOCK
        state[TOOLS_LOCK] = hashlib.sha256(tools.read_bytes()).hexdigest() if tools.is_file() else ""
        schemas = self.root / "schemas"
        for path in sorted(schemas.rglob("*.py")) if schemas.is_dir() else []:
            state[str(path.relative_to(self.root))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return state


def load_contract(reference: str, root: Path) -> Contract:
    """The contract of labels that ``module:Name`` names. Raises ``SchemaError`` for anything else."""
    return Contract(load_name(reference, root), reference=reference)


def load_name(reference: str, root: Path) -> Any:
    """What ``module:Name`` names, imported from the project at ``root`` and from nowhere else.

    Raises ``SchemaError`` where the reference is malformed, leads out of the project, does not import, or names
    nothing.
    """
    module_name, _, class_name = reference.partition(":")
    parts = module_name.split(".")
    if not class_name.isidentifier() or not all(part.isidentifier() for part in parts):
        raise SchemaError(
            f"{reference!r} does not name a contract",
            reference=reference,
            hint="Write it as module:Name, for example schemas.detection:Label.",
        )
    base = root.joinpath(*parts)
    path = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
    if not path.is_file() or root.resolve() not in path.resolve().parents:
        raise SchemaError(
            f"the contract {reference!r} has no file {base.relative_to(root)}.py in {root}",
            reference=reference,
            hint="Write it, or infer a first one: dsetkit schema infer SOURCE.",
        )
    module = _import_project_module(module_name, path, root, reference)
    if not hasattr(module, class_name):
        names = [name for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
        raise SchemaError(
            f"{path.relative_to(root)} has no {class_name!r}",
            reference=reference,
            hint=f"It has: {', '.join(names) or 'no class'}.",
        )
    return getattr(module, class_name)


def _import_project_module(name: str, path: Path, root: Path, reference: str) -> ModuleType:
    """Import by the project's own import path, so that contracts can import each other.

    A module of the same name that some other project (or an installed package) has put into ``sys.modules`` must
    not be taken for this project's. Nothing compiled is kept: a project's git would show it as work to commit.
    """
    top = name.split(".", 1)[0]
    for known in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
        location = getattr(sys.modules[known], "__file__", None)
        if location is None or root.resolve() not in Path(location).resolve().parents:
            del sys.modules[known]
    importlib.invalidate_caches()
    sys.path.insert(0, str(root))
    keeps_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        module = importlib.import_module(name)
    except Exception as error:  # the project's own code may raise anything
        raise SchemaError(
            f"{path.relative_to(root)} does not import: {type(error).__name__}: {error}",
            reference=reference,
            hint="Mend the module.",
        ) from error
    finally:
        sys.dont_write_bytecode = keeps_nothing
        sys.path.remove(str(root))
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise SchemaError(
            f"{name} was found at {module.__file__}, not in the project",
            reference=reference,
            hint="Rename the module.",
        )
    return module


def _lookup(document: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        document = document.get(part) if hasattr(document, "get") else None
    return document


def _jsonable(value: Any) -> Any:
    if hasattr(value, "items"):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
