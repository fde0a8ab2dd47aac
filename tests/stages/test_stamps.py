"""Locks of sealed sources are keyed, and the sources themselves stay out of git."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once
from support.protected import Protected

from dsetkit.access import changes
from dsetkit.spec.lock import SourceLock
from dsetkit.stages.executor import open_pool
from dsetkit.stages.ingest import ingest
from dsetkit.stages.manage import SourceStatus, source_status
from dsetkit.stages.project import SOURCES_LOCK
from dsetkit.stages.stamps import ignore_sources, stamp_locks
from dsetkit.stages.yaml_documents import load_yaml, save_yaml


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a locked source and no policy."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            Protected.make(folder, pictures=4).become("cora", patch)

    return made_once(tmp_path_factory, "stamps", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def lock_of(project: Protected) -> SourceLock:
    return project.project.lock["pets"]


def status(project: Protected) -> SourceStatus:
    return source_status(project.project, "pets")


def test_locks_are_keyed_once(project: Protected) -> None:
    clear = lock_of(project)
    assert clear.sealed is None
    project.protect()
    keyed = lock_of(project)
    assert keyed.sealed is not None
    assert (keyed.sealed.domain, keyed.sealed.epoch) == ("d1", 1)
    assert keyed.model_copy(update={"digest": clear.digest, "sealed": None}) == clear
    text = (project.root / SOURCES_LOCK).read_bytes()
    assert clear.digest.encode() not in text
    policy = project.keys().policy
    assert stamp_locks(project.root, policy, project.identity()) == ()
    assert (project.root / SOURCES_LOCK).read_bytes() == text


def test_only_builders_of_a_sealed_source_key_its_lock(project: Protected) -> None:
    project.protect(stages=("raw",))
    policy = project.keys().policy
    project.grant("tom", "raw")
    document = load_yaml(project.root / SOURCES_LOCK)
    document["pets"]["digest"] = "0" * 64
    del document["pets"]["sealed"]
    save_yaml(project.root / SOURCES_LOCK, document)
    assert stamp_locks(project.root, policy, None) == ()
    for name in ("tom", "olga"):
        assert stamp_locks(project.root, policy, project.identity(name)) == ()
    assert lock_of(project).digest == "0" * 64
    assert stamp_locks(project.root, policy, project.identity()) == (SOURCES_LOCK,)
    assert lock_of(project).digest != "0" * 64


def test_a_source_that_stays_plain_keeps_its_lock(project: Protected) -> None:
    text = (project.root / SOURCES_LOCK).read_bytes()
    project.protect(stages=("cleaned",))
    assert (project.root / SOURCES_LOCK).read_bytes() == text


def test_a_keyed_lock_stays_valid(project: Protected) -> None:
    project.protect()
    keyed = lock_of(project)
    assert (status(project).state, status(project).detail) == ("locked", ())
    project.update()
    assert lock_of(project) == keyed
    with open_pool(1) as pool:
        assert ingest(project.project, "pets", pool=pool).info.counts.samples == 4
    project.act(lambda wanted: wanted, rotate=("d1",))
    assert status(project).state == "locked"  # by the keys of its own epoch
    project.update()
    again = lock_of(project)
    assert again.sealed is not None
    assert again.sealed.epoch == 2
    assert again.digest != keyed.digest
    assert status(project).state == "locked"


def test_a_source_that_changes_is_told_from_its_keyed_lock(project: Protected) -> None:
    project.protect()
    keyed = lock_of(project)
    images = project.place / "source/images"
    (images / "01.jpg").write_bytes((images / "00.jpg").read_bytes())
    found = status(project)
    assert (found.state, found.detail) == ("changed", ("1 changed: images/01.jpg",))  # the listing is found by the key
    assert lock_of(project) == keyed


def test_others_are_not_told_whether_it_is_the_same(project: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    project.protect()
    project.grant("tom", "cleaned")
    for name in ("tom", "olga", None):
        project.become(name, monkeypatch)
        found = status(project)
        assert found.state == "sealed"
        assert found.detail
        assert found.lock == lock_of(project)
    project.grant("tom", "raw")
    project.become("cora", monkeypatch)
    project.update()  # for those who read it now
    project.become("tom", monkeypatch)
    assert status(project).state == "locked"


def inside(project: Protected, path: str) -> None:
    """The source lies in the project from now on, as ``params.yaml`` says."""
    document = load_yaml(project.root / "params.yaml")
    document["sources"]["pets"]["path"] = path
    save_yaml(project.root / "params.yaml", document)


def test_sources_in_the_project_stay_out_of_git(project: Protected) -> None:
    file = project.root / ".gitignore"
    file.write_text("/mine")  # without an end of line
    inside(project, "data/sources/pets/")
    project.protect()
    policy = project.keys().policy
    assert file.read_text() == "/mine\n/data/sources/pets\n"
    assert ignore_sources(project.root, policy) == ()
    assert file.read_text() == "/mine\n/data/sources/pets\n"
    file.write_text("/data/sources/pets/\n")
    assert ignore_sources(project.root, policy) == ()
    assert file.read_text() == "/data/sources/pets/\n"


def test_sources_elsewhere_and_plain_ones_are_gits_business(project: Protected) -> None:
    file = project.root / ".gitignore"
    before = file.read_bytes() if file.is_file() else None
    project.protect()
    policy = project.keys().policy
    for path in ("../source", str(project.place / "source"), "s3://lab/pets"):
        inside(project, path)
        assert ignore_sources(project.root, policy) == ()
    inside(project, str(project.root / "pets"))
    assert ignore_sources(project.root, policy) == (".gitignore",)
    assert file.read_text().splitlines()[-1] == "/pets"
    file.unlink()
    project.act(lambda wanted: changes.with_settings(wanted, padding="padme"))
    assert "/pets" in file.read_text()
    file.unlink()
    other = Protected.make(project.place / "other", pictures=2)
    inside(other, "pets")
    other.protect(stages=("cleaned",))
    assert not (other.root / ".gitignore").is_file() or "/pets" not in (other.root / ".gitignore").read_text()
    assert before is None or b"/pets" not in before
