"""What versions cost, and a collection of what no version needs that keeps every tag and branch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.once import made_once
from support.versions import commit, relabel, sh

from dsetkit.errors import StorageError
from dsetkit.history.objects import Objects
from dsetkit.history.recorded import lock_at, recorded_outputs
from dsetkit.history.sizes import costs

pytestmark = pytest.mark.slow


def named_at(project: Path, rev: str) -> dict[str, int]:
    """Object id → size of all that a revision names and DVC keeps, found another way: by DVC itself."""
    from dvc.repo import Repo

    with Repo(str(project), rev=rev) as repo:
        used = {one.value for ids in repo.used_objs().values() for one in ids}
        path = repo.cache.local.oid_to_path
        return {oid: Path(path(oid)).stat().st_size for oid in used if Path(path(oid)).exists()}


def test_each_version_costs_what_dvc_says(project: Path) -> None:
    found = costs(project, Objects(project))
    known = {rev: named_at(project, rev) for rev in found.versions}
    newest, second, first = found.versions
    assert [found.versions[rev].size_bytes for rev in found.versions] == [sum(known[rev].values()) for rev in known]
    assert found.versions[first].added_bytes == found.versions[first].size_bytes
    added = {oid: size for oid, size in known[newest].items() if oid not in known[second] and oid not in known[first]}
    assert found.versions[newest].added_bytes == sum(added.values()) == found.versions[newest].only_here_bytes
    assert found.versions[newest].added_objects == len(added)
    assert 0 < found.versions[newest].added_bytes < found.versions[newest].size_bytes / 2
    every = {oid: size for one in known.values() for oid, size in one.items()}
    assert (found.together.size_bytes, found.together.objects) == (sum(every.values()), len(every))
    assert sum(cost.added_bytes for cost in found.versions.values()) == found.together.size_bytes
    assert {cost.unknown_objects for cost in found.versions.values()} == {0}


def test_sizes_come_from_the_remote_where_the_cache_has_nothing(project: Path, tmp_path: Path) -> None:
    before = costs(project, Objects(project))
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    assert costs(project, Objects(project)) == before
    gone = next(path for path in (tmp_path / "remote").rglob("*") if path.is_file() and path.suffix != ".dir")
    gone.unlink()
    after = costs(project, Objects(project))
    assert after.together.unknown_objects == 1
    assert after.together.objects == before.together.objects


def test_the_log_says_what_versions_cost(project: Path) -> None:
    text = sh(project, "dsetkit", "log", "--sizes")
    found = costs(project, Objects(project))
    assert text.count(" in no other version") == 3
    assert f"in {found.together.objects:,} objects" in text
    listed = json.loads(sh(project, "dsetkit", "log", "--sizes", "--json"))
    assert {item["rev"]: item["sizes"] for item in listed} == {
        rev: cost.facts() for rev, cost in found.versions.items()
    }
    assert "sizes" not in json.loads(sh(project, "dsetkit", "log", "--json"))[0]
    newest = sh(project, "dsetkit", "log", "--sizes", "-n", "1")  # older ones count though they are not shown
    assert f"({found.versions[listed[0]['rev']].added_objects:,} of" in newest


def test_an_object_of_other_bytes_is_said_to_be_damaged(project: Path, tmp_path: Path) -> None:
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    lists = list((project / ".dvc" / "cache").rglob("*.dir"))
    for path in lists:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"snapshot.json", b"snapshop.json"))
    with pytest.raises(StorageError, match=r"is damaged in DVC's cache \([0-9a-f]{32}\.dir\)"):
        costs(project, Objects(project))
    shutil.rmtree(project / ".dvc" / "cache")
    for path in (tmp_path / "remote").rglob("*.dir"):
        path.chmod(0o644)
        path.write_bytes(b"[]")
    with pytest.raises(StorageError, match=r"is damaged in the remote"):
        costs(project, Objects(project))


@pytest.fixture(scope="session")
def branches(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read: see ``branched``."""

    def build(folder: Path) -> None:
        project = Path(shutil.copytree(versions, folder / "demo", symlinks=True))
        main = sh(project, "git", "branch", "--show-current")
        sh(project, "git", "switch", "-qc", "side", "v1")
        sh(project, "dvc", "checkout", "-q")
        relabel(project, 5)
        commit(project, "on a branch")
        sh(project, "git", "switch", "-q", "--detach")
        relabel(project, 6)
        commit(project, "under a tag", "kept")
        relabel(project, 7)
        lost = commit(project, "of nobody")
        outputs = recorded_outputs(lock_at(project, lost) or "")
        (project / "lost").write_text("\n".join(oid for place, oid in outputs.items() if place.startswith("data/")))
        sh(project, "git", "switch", "-q", main)
        sh(project, "dvc", "checkout", "-q")

    return made_once(tmp_path_factory, "branches", build) / "demo"


@pytest.fixture
def branched(branches: Path, tmp_path: Path) -> Path:
    """The project with versions on a branch, under a tag that no branch reaches, and of a branch that is no more."""
    project = Path(shutil.copytree(branches, tmp_path / "demo", symlinks=True))
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    return project


def test_collecting_keeps_every_tag_and_branch(branched: Path, tmp_path: Path) -> None:
    kept = {rev: named_at(branched, rev) for rev in ("HEAD", "side", "v1", "v2", "v3", "kept")}
    sh(branched, "dvc", "push", "-q", "--all-branches", "--all-tags")
    objects = Objects(branched)
    lost = set((branched / "lost").read_text().split())
    theirs = lost - {oid for one in kept.values() for oid in one}
    assert theirs
    assert all(objects.path(oid).exists() for oid in theirs)
    sh(branched, "dvc", "gc", "--all-branches", "--all-tags", "--dry")
    assert all(objects.path(oid).exists() for oid in theirs)
    sh(branched, "dvc", "gc", "-q", "--all-branches", "--all-tags", "--force")
    assert not any(objects.path(oid).exists() for oid in theirs)
    assert {rev: named_at(branched, rev) for rev in kept} == kept
    for rev in kept:
        assert "verified" in sh(branched, "dsetkit", "verify", "data/cleaned", "--rev", rev)


def test_collecting_in_the_remote_keeps_what_only_other_clones_have_as_branches(branched: Path, tmp_path: Path) -> None:
    sh(branched, "dvc", "push", "-q", "--all-commits")
    clone = tmp_path / "keeper"
    sh(tmp_path, "git", "clone", "-q", str(branched), str(clone))
    sh(clone, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    kept = {rev: named_at(branched, rev) for rev in ("HEAD", "side", "v1", "v2", "v3", "kept")}
    sh(clone, "git", "fetch", "-q", "--all", "--tags")
    sh(clone, "dvc", "gc", "-q", "--all-commits", "--cloud", "--force")
    left = {path.parent.name + path.name for path in (tmp_path / "remote").rglob("*") if path.is_file()}
    for rev, oids in kept.items():
        assert set(oids) <= left, rev
