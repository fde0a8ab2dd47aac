"""Backups that somebody has tampered with: refused, with nothing written where it does not belong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.versions import commit, sh

from dsetkit.errors import DsetkitError, StorageError
from dsetkit.history.backup.create import create_backup
from dsetkit.history.backup.index import StoredVersion, object_name, oid_of, parse_listing
from dsetkit.history.backup.prune import prune_backup
from dsetkit.history.backup.restore import restore_backup
from dsetkit.history.backup.verify import verify_backup
from dsetkit.spec.base import canonical_json

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

EVIL = "0" * 32


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one folder that DVC keeps, quick to make, and its backup. Only to be read."""
    root = tmp_path_factory.mktemp("base") / "plain"
    (root / "data" / "things").mkdir(parents=True)
    (root / "data" / "things" / "a.txt").write_text("a\n")
    (root / "data" / "things" / "b.txt").write_text("b\n")
    sh(root, "git", "init", "-q")
    sh(root, "dvc", "init", "-q")
    sh(root, "dvc", "add", "-q", "data/things")
    commit(root, "first", "v1")
    create_backup(root, str(root.parent / "backup"))
    return root.parent


@pytest.fixture
def plain(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base / "plain", tmp_path / "plain", symlinks=True))


@pytest.fixture
def backup(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base / "backup", tmp_path / "backup"))


def rewrite(backup: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The index with another content, and the right name for it."""
    old = next(backup.glob("index/*.json"))
    document = json.loads(old.read_text())
    change(document)
    data = (canonical_json(document) + "\n").encode()
    old.unlink()
    (backup / "index" / f"00000001-{hashlib.sha256(data).hexdigest()}.json").write_bytes(data)


def put(document: dict[str, Any], *path: str | int, value: Any) -> None:
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "an id that is a path": lambda doc: put(doc, "objects", "../../../x", value={"size_bytes": 1, "digest": "0" * 64}),
    "a negative size": lambda doc: put(doc, "objects", EVIL, value={"size_bytes": -1, "digest": "0" * 64}),
    "no digest": lambda doc: put(doc, "objects", EVIL, value={"size_bytes": 1, "digest": "x"}),
    "a project elsewhere": lambda doc: put(doc, "project", value="../outside"),
    "an absolute project": lambda doc: put(doc, "project", value="/etc"),
    "an output elsewhere": lambda doc: put(doc, "versions", 0, "outputs", "../../x", value=EVIL),
    "a ref that is an option": lambda doc: put(doc, "head", value="--upload-pack=evil"),
    "a ref outside": lambda doc: put(doc, "refs", "refs/../../x", value="0" * 40),
    "an unknown field": lambda doc: put(doc, "run", value="evil"),
    "another format": lambda doc: put(doc, "format", value=2),
    "another generation": lambda doc: put(doc, "generation", value=7),
    "no commit": lambda doc: put(doc, "head_rev", value="HEAD; evil"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_index_that_lies_is_not_believed(backup: Path, tmp_path: Path, what: str) -> None:
    rewrite(backup, CHANGES[what])
    assert [issue.code for issue in verify_backup(str(backup)).issues] == ["index-damaged"]
    with pytest.raises(StorageError, match="cannot be used"):
        restore_backup(str(backup), tmp_path / "back")
    with pytest.raises(DsetkitError):
        prune_backup(str(backup), keep=1)
    assert not (tmp_path / "back").exists()


def test_refs_and_sizes_that_lie(backup: Path, tmp_path: Path) -> None:
    rewrite(backup, lambda doc: put(doc, "refs", "refs/tags/evil", value="1" * 40))
    assert [issue.code for issue in verify_backup(str(backup)).issues] == ["bundle-damaged"]
    with pytest.raises(StorageError, match="does not have the branches"):
        restore_backup(str(backup), tmp_path / "back")
    rewrite(backup, lambda doc: doc["refs"].pop("refs/tags/evil"))
    oid = next(oid for path in backup.glob("files/md5/*/*") if (oid := oid_of(path.relative_to(backup).as_posix())))

    def lie(document: dict[str, Any]) -> None:
        document["objects"][oid]["size_bytes"] = 10**15

    rewrite(backup, lie)
    assert "object-damaged" in [issue.code for issue in verify_backup(str(backup)).issues]
    assert restore_backup(str(backup), tmp_path / "back").issues != []


def test_an_object_of_the_right_md5_and_another_sha256_is_refused(backup: Path, tmp_path: Path) -> None:
    """MD5 can be forged; the index says SHA-256 as well."""

    def lie(document: dict[str, Any]) -> None:
        for stored in document["objects"].values():
            stored["digest"] = "0" * 64

    rewrite(backup, lie)
    assert {issue.code for issue in verify_backup(str(backup)).issues} == {"object-damaged"}
    back = restore_backup(str(backup), tmp_path / "back")
    assert {issue.code for issue in back.issues} == {"object-damaged"}
    assert back.objects == 0
    assert not list((back.root / ".dvc" / "cache").rglob("*.*"))


def test_what_versions_need_must_be_named(backup: Path, tmp_path: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["objects"] = {oid: stored for oid, stored in document["objects"].items() if oid.endswith(".dir")}

    rewrite(backup, forget)
    issues = verify_backup(str(backup)).issues
    assert {issue.code for issue in issues} == {"object-unnamed"}
    assert all("v1" in issue.message and "data/things" in issue.message for issue in issues)
    assert [issue.code for issue in restore_backup(str(backup), tmp_path / "back").issues] == ["object-missing"] * 2


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\b", "", "a//b"])
def test_names_in_lists_of_files_that_escape(name: str) -> None:
    data = json.dumps([{"md5": EVIL, "relpath": name}]).encode()
    with pytest.raises(StorageError, match="is damaged"):
        parse_listing(data, f"{hashlib.md5(data).hexdigest()}.dir", "data/things")


@pytest.mark.parametrize("oid", ["../x", "0" * 31, "0" * 32 + ".dir", "g" * 32])
def test_ids_in_lists_of_files_that_are_none(oid: str) -> None:
    data = json.dumps([{"md5": oid, "relpath": "a"}]).encode()
    with pytest.raises(StorageError, match="is damaged"):
        parse_listing(data, f"{hashlib.md5(data).hexdigest()}.dir", "data/things")
    with pytest.raises(ValueError, match="id of an object" if oid != "0" * 32 + ".dir" else "path"):
        StoredVersion(rev="0" * 40, outputs={"../x" if oid.endswith(".dir") else "x": oid})


def rebuilt(plain: Path, backup: Path) -> None:
    """The backup of a repository that somebody has changed."""
    shutil.rmtree(backup)
    create_backup(plain, str(backup))


def test_a_project_that_leads_outside_is_refused(plain: Path, backup: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "things").mkdir(parents=True)
    (outside / "things" / "mine").write_text("mine\n")
    shutil.move(plain / "data" / "things.dvc", plain / "things.dvc")
    text = (plain / "things.dvc").read_text().replace("path: things", "path: data/things")
    (plain / "things.dvc").write_text(text)
    shutil.rmtree(plain / "data")
    os.symlink(outside, plain / "data")
    commit(plain, "evil")
    rebuilt(plain, backup)
    with pytest.raises(StorageError, match="leads out of the project"):
        restore_backup(str(backup), tmp_path / "back")
    assert (outside / "things" / "mine").read_text() == "mine\n"
    assert not (tmp_path / "back").exists()


def test_a_cache_that_leads_outside_is_refused(plain: Path, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    shutil.rmtree(plain / ".dvc" / "cache")
    os.symlink(tmp_path / "outside", plain / ".dvc" / "cache")
    sh(plain, "git", "add", "--force", ".dvc/cache")
    sh(plain, "git", "commit", "-q", "-m", "evil")
    sh(plain, "git", "reset", "-q", "--hard")
    create_backup(plain, str(backup))
    with pytest.raises(StorageError, match=r"\.dvc leads elsewhere"):
        restore_backup(str(backup), tmp_path / "back")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_shared_cache_is_not_another_machines(plain: Path, tmp_path: Path) -> None:
    sh(plain, "dvc", "cache", "dir", str(tmp_path / "shared"))
    sh(plain, "dvc", "commit", "-q", "-f")
    shutil.copytree(plain / ".dvc" / "cache", tmp_path / "shared", dirs_exist_ok=True)
    commit(plain, "shared cache", "v2")
    assert create_backup(plain, str(tmp_path / "backup")).issues == []
    shutil.rmtree(tmp_path / "shared")
    assert restore_backup(str(tmp_path / "backup"), tmp_path / "back").issues == []
    assert (tmp_path / "back" / "data" / "things" / "a.txt").read_text() == "a\n"
    assert not (tmp_path / "shared").exists()


def test_what_no_backup_wrote_is_never_deleted(backup: Path) -> None:
    strange = ["files/md5/zz/x", "index/evil.json", "git/x.bundle", "notes.txt", f"files/md5/00/{'0' * 29}"]
    for name in strange:
        (backup / name).parent.mkdir(parents=True, exist_ok=True)
        (backup / name).write_text("x")
    (backup / object_name(EVIL)).parent.mkdir(parents=True, exist_ok=True)
    (backup / object_name(EVIL)).write_text("x")
    done = prune_backup(str(backup))
    assert (done.objects, sorted(done.unknown)) == (1, sorted(strange))
    assert all((backup / name).exists() for name in strange)
    assert verify_backup(str(backup), sample=None).issues == []
