"""Small projects with an access policy, their people, and what stands in them. Made once, then copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsetkit.access import changes
from dsetkit.access.identity import Identity, load_identity, make_identity
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.wanted import Wanted
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.params import SourceParams
from dsetkit.spec.policy import PROJECT_STAGES
from dsetkit.stages import protection
from dsetkit.stages.augment import augment
from dsetkit.stages.build import StageResult
from dsetkit.stages.clean import clean
from dsetkit.stages.executor import open_pool
from dsetkit.stages.ingest import ingest
from dsetkit.stages.manage import add_source, update_source
from dsetkit.stages.project import Project

from .bench import Bench, picture_bytes

PEOPLE = ("cora", "tom", "olga")
"""The first admin, who builds; one that a test may grant something; one whom no policy knows."""


class Protected:
    """A project in ``place/project`` with one source of pictures with boxes, in ``place/source``."""

    def __init__(self, place: Path) -> None:
        self.place, self.root = place, place / "project"
        self.bench = Bench.at(self.root)
        self._read_source()

    @classmethod
    def make(cls, place: Path, pictures: int = 8) -> Protected:
        """One without a policy, that nothing is built of."""
        Bench(place / "project")
        made = cls(place)
        for name in PEOPLE:
            make_identity(place / name, name=name)
        for number in range(pictures):
            made.put(number)
        made.bench.source.write()
        add_source(made.project, "pets", SourceParams(path="../source"))
        return made

    @classmethod
    def copy(cls, kept: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
        """A copy of one that stands in ``kept``, with what its user has seen; cora is at work in it from now on."""
        shutil.copytree(kept, place, symlinks=True, dirs_exist_ok=True)
        made = cls(place)
        made.become("cora", monkeypatch)
        return made

    def become(self, name: str | None, monkeypatch: pytest.MonkeyPatch, state: str = "state") -> None:
        """Another identity from now on, or none; ``state`` names the folder of what the user has seen."""
        monkeypatch.setenv("DSETKIT_STATE", str(self.place / state))
        if name is None:
            monkeypatch.delenv("DSETKIT_IDENTITY", raising=False)
        else:
            monkeypatch.setenv("DSETKIT_IDENTITY", str(self.place / name))

    def put(self, number: int, box: Sequence[float] = (4.0, 4.0, 20.0, 16.0)) -> None:
        """A picture with one box, instead of what was there under the number."""
        name = "cat" if number % 2 else "dog"
        self.bench.source.put(f"{number:02}.jpg", picture_bytes(number), [(name, list(box))])

    def _read_source(self) -> None:
        """What a copy was made with."""
        source = self.bench.source
        for path in sorted((source.folder / "images").glob("*")):
            source.pictures[path.name] = path.read_bytes()
        if (source.folder / "annotations.json").is_file():
            document = json.loads((source.folder / "annotations.json").read_bytes())
            names = {item["id"]: item["file_name"] for item in document["images"]}
            for item in document["annotations"]:
                boxes = source.boxes.setdefault(names[item["image_id"]], [])
                boxes.append((source.categories[item["category_id"] - 1], item["bbox"]))

    @property
    def project(self) -> Project:
        """As the disk has it now."""
        return Project(self.root)

    def identity(self, name: str = "cora") -> Identity:
        return load_identity(self.place / name)

    def keys(self, name: str = "cora") -> ProjectKeys:
        return ProjectKeys(self.root, self.identity(name))

    def protect(self, stages: Sequence[str] = PROJECT_STAGES) -> None:
        """Its first policy, by cora."""
        protection.create_policy(self.root, "cora", self.identity(), stages=stages)

    def act(self, change: Callable[[Wanted], Wanted], rotate: Sequence[str] = ()) -> None:
        """The next version of the policy, by cora."""
        protection.change_policy(
            self.root, self.identity(), lambda wanted, _: change(wanted), "grant", "x", rotate=lambda _: rotate
        )

    def grant(self, name: str, *stages: str) -> None:
        keys = self.identity(name).public

        def change(wanted: Wanted) -> Wanted:
            known = changes.with_keys(wanted, name, age=keys.age, ssh=keys.ssh)
            return changes.granted(known, name, "reader", stages=stages)

        self.act(change)

    def update(self) -> None:
        """Lock what the source is now."""
        self.bench.source.write()
        update_source(self.project, "pets")

    def build(self) -> list[StageResult]:
        """All three snapshots anew."""
        project = self.project
        with open_pool(1) as pool:
            return [ingest(project, "pets", pool=pool), clean(project, pool=pool), augment(project, pool=pool)]

    def open(self, name: str) -> Snapshot:
        return open_snapshot(self.root / "data" / name, keys=self.project.keys)
