"""Labels read from a sealed snapshot: by who may, as from a plain one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once
from support.protected import Protected

import dsetkit
from dsetkit.errors import AccessError
from dsetkit.formats import reading


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=4)
            made.become("cora", patch)
            made.build()
            dsetkit.convert(made.root / "data/cleaned", folder / "plain", to="coco")
            made.protect()
            made.build()

    return made_once(tmp_path_factory, "sealed-labels", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sealed_snapshot_is_converted_like_a_plain_one(project: Protected, tmp_path: Path) -> None:
    place = project.root / "data/cleaned"
    labels, report = dsetkit.convert(place, tmp_path / "out", to="coco")
    assert labels.issues == ()
    assert report.refusals == ()
    plain = files(project.place / "plain")
    assert files(tmp_path / "out") == plain
    assert sum(name.endswith((".jpg", ".png")) for name in plain) == 4
    assert dsetkit.read_labels(place, "dsetkit").table == labels.table


def test_others_are_told_who_could_grant_it(
    project: Protected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("olga", None):
        project.become(name, monkeypatch, "others")
        for read in (
            lambda: dsetkit.read_labels(project.root / "data/cleaned"),
            lambda: dsetkit.convert(project.root / "data/cleaned", tmp_path / "out", to="voc"),
        ):
            with pytest.raises(AccessError) as caught:
                read()
            assert caught.value.grantors == ("cora",)
    assert not (tmp_path / "out").exists()


def test_without_keys_nothing_is_opened(project: Protected) -> None:
    """As where it is a source of another project."""
    with pytest.raises(AccessError, match="is sealed"):
        reading.read_labels(project.root / "data/cleaned")
