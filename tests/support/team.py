"""A team of three roles on a sealed project, made with the command line alone.

Cora curates: she is admin and builds everything. Tom trains: he reads cleaned and augmented. Olga is an outsider with a
full clone, DVC's cache and remote, and the backup.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.once import made_once

SEALED_STAGES = ("raw/{source}", "cleaned", "augmented")


class Ran(NamedTuple):
    """What a command gave."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Person:
    """Somebody with an identity, a memory of what was seen, and a clone."""

    name: str
    home: Path
    place: Path
    """Their clone."""

    @property
    def identity(self) -> Path:
        return self.home / "identity"

    @property
    def environ(self) -> dict[str, str]:
        mine = {
            "HOME": str(self.home),
            "DSETKIT_STATE": str(self.home / "state"),
            "DSETKIT_IDENTITY": str(self.identity),
            "COLUMNS": "200",
        }
        return {**os.environ, **mine}

    def run(self, *command: str, cwd: Path | None = None, **more: str) -> Ran:
        """Any command; ``more`` are variables of its environment."""
        self.home.mkdir(parents=True, exist_ok=True)
        place = self.place if cwd is None else cwd
        done = subprocess.run(
            command,
            cwd=place,
            env=self.environ | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(command, done.returncode, done.stdout, done.stderr)

    def dsetkit(self, *arguments: str, cwd: Path | None = None, **more: str) -> Ran:
        return self.run("dsetkit", *arguments, cwd=cwd, **more)

    def must(self, *command: str, cwd: Path | None = None) -> Ran:
        """A command that succeeds."""
        ran = self.run(*command, cwd=cwd)
        assert ran.code == 0, f"{self.name}: {' '.join(command)} gave {ran.code}\n{ran.told}"
        return ran

    def commit(self, message: str, *tags: str) -> None:
        self.must("git", "add", "--all")
        self.must("git", "commit", "--quiet", "--message", message)
        for tag in tags:
            self.must("git", "tag", tag)


@dataclass(frozen=True)
class Team:
    """A folder with all of them."""

    root: Path

    @property
    def cora(self) -> Person:
        return Person("cora", self.root / "cora", self.root / "team")

    @property
    def tom(self) -> Person:
        return Person("tom", self.root / "tom", self.root / "toms")

    @property
    def olga(self) -> Person:
        return Person("olga", self.root / "olga", self.root / "olgas")

    @property
    def people(self) -> tuple[Person, ...]:
        return self.cora, self.tom, self.olga

    @property
    def project(self) -> Path:
        """Cora's clone."""
        return self.root / "team"

    @property
    def store(self) -> Path:
        """DVC's remote."""
        return self.root / "store"

    @property
    def backup(self) -> Path:
        return self.root / "backup"

    @property
    def source(self) -> str:
        """The name of its only source."""
        return json.loads((self.root / "team.json").read_text())["source"]

    @property
    def stages(self) -> tuple[str, ...]:
        """All whose snapshots are sealed."""
        return tuple(stage.format(source=self.source) for stage in SEALED_STAGES)

    def copied(self, to: Path) -> Team:
        """A copy to be changed."""
        shutil.copytree(self.root, to, symlinks=True)
        team = Team(to)
        for person in (team.tom, team.olga):
            person.must("git", "remote", "set-url", "origin", str(team.project))
        return team


def the_team(factory: pytest.TempPathFactory, name: str, *, source: Path | None = None, facets: bool = True) -> Team:
    """A team that is made once in a run of tests. Only to be read: copy it to change it.

    ``DSETKIT_TEST_TEAMS`` may name a folder that has it already, to try tests again and again.
    """
    made = Path(os.environ.get("DSETKIT_TEST_TEAMS", "")) / name

    def make(folder: Path) -> None:
        if "DSETKIT_TEST_TEAMS" in os.environ and made.is_dir():
            shutil.copytree(made, folder, symlinks=True, dirs_exist_ok=True)
        else:
            make_team(folder, source=source, facets=facets)

    return Team(made_once(factory, f"team-{name}", make))


def make_team(root: Path, *, source: Path | None = None, facets: bool = True) -> None:
    """A team in an empty folder: on the demo, or on the ``source``, which is read in place.

    Three versions: ``v1`` that only Cora reads; ``v2`` that Tom reads too, with facets; ``v3``, a sample fewer.
    """
    team = Team(root)
    cora, tom, olga = team.people
    name = "demo" if source is None else "blood"
    (root / "team.json").write_text(json.dumps({"source": name}))
    cora.must("dsetkit", "init", "team", *(["--demo"] if source is None else []), cwd=root)
    cora.must("dsetkit", "access", "init", "cora")
    if source is not None:
        cora.must("dsetkit", "add", name, str(source))
        params = cora.place / "params.yaml"
        text = params.read_text()
        assert "  recipes: {}" in text
        params.write_text(
            text.replace("  recipes: {}", "  recipes: {flip: {operations: [{op: flip}]}}").replace(
                "target_bytes: 8388608", "target_bytes: 1048576"
            )
        )
    cora.must("dvc", "remote", "add", "--default", "store", "../store")
    cora.must("dvc", "repro", "--quiet")
    cora.commit("first, sealed", "v1")
    cora.must("git", "clone", "--quiet", "team", "toms", cwd=root)
    tom.must("dsetkit", "access", "init", "tom")
    (root / "tom.pub").write_text(tom.must("dsetkit", "access", "whoami", "--public").out)
    for facet in ("test-labels", "provenance") if facets else ():
        cora.must("dsetkit", "access", "facet", facet, "--stage", "cleaned", "--stage", "augmented")
    both = ("--stage", "cleaned", "--stage", "augmented")
    cora.must("dsetkit", "access", "grant", "tom", "--identity-of", str(root / "tom.pub"), *both)
    cora.must("dvc", "repro", "--quiet")
    cora.commit("tom trains", "v2")
    cora.must("dsetkit", "exclude", first_key(cora), "--why", "It shows nothing.")
    cora.must("dvc", "repro", "--quiet")
    cora.commit("one fewer", "v3")
    cora.must("dsetkit", "access", "audit", "--anchor")
    cora.must("dvc", "push", "--quiet")
    cora.must("dsetkit", "backup", "create", str(team.backup))
    tom.must("git", "pull", "--quiet")
    tom.must("dvc", "pull", "--quiet", "clean", "augment")
    cora.must("git", "clone", "--quiet", "team", "olgas", cwd=root)
    shutil.copytree(team.project / ".dvc" / "cache", olga.place / ".dvc" / "cache")
    olga.must("dvc", "checkout", "--quiet")
    olga.must("dsetkit", "access", "init", "olga")


def first_key(person: Person) -> str:
    """The key of a sample of the cleaned snapshot that ``dsetkit show`` names."""
    code = "import dsetkit; print(next(s.key for s in dsetkit.open('data/cleaned') if s.split == 'train'))"
    return person.must("python", "-c", code).out.strip()
