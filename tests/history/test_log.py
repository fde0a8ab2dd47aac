"""Whose view of a snapshot a fingerprint is of; ``find`` itself is tried in ``test_revisions``."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes

from dsetkit.access import changes
from dsetkit.access.identity import make_identity
from dsetkit.history import log
from dsetkit.history.compare import Compared, under_own_keys
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.stages import protection
from dsetkit.stages.clean import clean
from dsetkit.stages.executor import open_pool
from dsetkit.stages.ingest import ingest
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import Unsigned


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose test labels Tom lacks; Olga, who is gone, lacked provenance, too."""
    monkeypatch.setenv("DSETKIT_STATE", str(tmp_path / "state"))
    people = {name: make_identity(tmp_path / name, name=name) for name in ("cora", "tom", "olga")}
    monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / "cora"))
    bench = Bench(tmp_path / "project")
    for number in range(16):
        box = ("cat" if number % 2 else "dog", [1.0, 2.0, 10.0, 12.0])
        bench.source.put(f"cats_{number:02}.jpg", picture_bytes(number), [box])
    protection.create_policy(bench.root, "cora", people["cora"])
    bench.add()

    def change(wanted: changes.Wanted) -> changes.Wanted:
        for name in ("provenance", "test-labels"):
            wanted = changes.with_facet(wanted, name, stages=["cleaned"])
        for name in ("tom", "olga"):
            keys = people[name].public
            wanted = changes.with_keys(wanted, name, age=keys.age, ssh=keys.ssh)
            wanted = changes.granted(wanted, name, "reader", stages=["cleaned"])
        return changes.granted(wanted, "tom", "reader", facets=["provenance"])

    def change_policy(change: object) -> None:
        protection.change_policy(bench.root, people["cora"], change, "grant", "x", rotate=lambda _: ())  # type: ignore[arg-type]

    with open_pool(1) as pool:
        ingest(Project(bench.root), "pets", pool=pool)
        clean(Project(bench.root), pool=pool)
        (bench.root / "data/cleaned").rename(tmp_path / "before")
        change_policy(lambda wanted, _: change(wanted))
        clean(Project(bench.root), pool=pool)
    return bench.root


def found(root: Path, wanted: str, **draw: int) -> list[log._Match]:
    snapshot = open_snapshot(root / "data/cleaned", keys=Project(root).keys)
    views = log._views(snapshot, log._Policies(root))
    return log._find_in(views, wanted, draw.get("take"), draw.get("seed", 0))


def test_views_of_all_readers(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = open_snapshot(root / "data/cleaned", keys=Project(root).keys)
    assert found(root, own.fingerprint) == [(own.fingerprint, {}, ())]
    prints: dict[str, Snapshot] = {}
    for name, lacked in (("tom", ("test-labels",)), ("olga", ("provenance", "test-labels"))):
        monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / name))
        prints[name] = open_snapshot(root / "data/cleaned", keys=Project(root).keys)
        assert tuple(facet.name for facet in prints[name].hidden) == lacked
        assert found(root, prints[name].fingerprint)[0].without == lacked
        assert found(root, own.fingerprint) == []
    monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / "cora"))
    for seen in prints.values():
        for selection in ({}, {"split": "train"}, {"category": "cat"}, {"split": "test"}):
            part = seen.where(**selection) if selection else seen
            matches = found(root, part.fingerprint[:12])
            assert (
                part.fingerprint,
                selection,
                ("test-labels",),
            ) in matches  # what both see alike is said of the first
        draw = seen.take(5, seed=3)
        assert found(root, draw.fingerprint, take=5, seed=3)[0][1:] == ({"take": 5, "seed": 3}, ("test-labels",))
    assert found(root, "0" * 12) == []


def test_no_facets_no_views(tmp_path: Path, root: Path) -> None:
    raw = open_snapshot(root / "data/raw/pets", keys=Project(root).keys)
    assert log._views(raw, log._Policies(tmp_path)) == [raw], "policies are not even read"


def test_at_most_so_many_views(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_VIEWS", 2)
    own = open_snapshot(root / "data/cleaned", keys=Project(root).keys)
    assert [len(view.hidden) for view in log._views(own, log._Policies(root))] == [0, 2]


def test_a_pseudonym_makes_no_other_sample(root: Path, tmp_path: Path) -> None:
    """To who reads its own key; a diff's own words name it by that."""
    keys = Project(root).keys
    assert keys is not None
    new = open_snapshot(root / "data/cleaned", keys=keys)
    old = open_snapshot(tmp_path / "before", keys=Unsigned(keys))  # signed is what stands now
    compared = Compared(diff(old, new), old, new)
    assert len(compared.diff.samples.renamed) == len(new.original_keys()) > 0
    told = under_own_keys(compared)
    assert told.samples.renamed == ()
    assert not any(name in str(told.summary(100)) for name in new.original_keys())
    assert under_own_keys(Compared(diff(old, old), old, old)) == diff(old, old)
