"""Backups that somebody has tampered with: refused, with nothing written where it does not belong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.versions import commit, sh

from dsetkit.errors import DsetkitError, StorageError
from dsetkit.history import outputs
from dsetkit.history.backup.create import create_backup
from dsetkit.history.backup.index import StoredVersion, object_name, oid_of, parse_listing
from dsetkit.history.backup.prune import prune_backup
from dsetkit.history.backup.restore import restore_backup
from dsetkit.history.backup.verify import verify_backup
from dsetkit.history.outputs import Outputs
from dsetkit.spec.base import canonical_json

pytestmark = pytest.mark.slow

EVIL = "0" * 32


def rewrite(kept: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The index with another content, and the right name for it."""
    old = next(kept.glob("index/*.json"))
    document = json.loads(old.read_text())
    change(document)
    data = (canonical_json(document) + "\n").encode()
    old.unlink()
    (kept / "index" / f"00000001-{hashlib.sha256(data).hexdigest()}.json").write_bytes(data)


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
def test_an_index_that_lies_is_not_believed(kept: Path, tmp_path: Path, what: str) -> None:
    rewrite(kept, CHANGES[what])
    assert [issue.code for issue in verify_backup(str(kept)).issues] == ["index-damaged"]
    with pytest.raises(StorageError, match="cannot be used"):
        restore_backup(str(kept), tmp_path / "back")
    with pytest.raises(DsetkitError):
        prune_backup(str(kept), keep=1)
    assert not (tmp_path / "back").exists()


def test_refs_and_sizes_that_lie(kept: Path, tmp_path: Path) -> None:
    rewrite(kept, lambda doc: put(doc, "refs", "refs/tags/evil", value="1" * 40))
    assert [issue.code for issue in verify_backup(str(kept)).issues] == ["bundle-damaged"]
    with pytest.raises(StorageError, match="does not have the branches"):
        restore_backup(str(kept), tmp_path / "back")
    rewrite(kept, lambda doc: doc["refs"].pop("refs/tags/evil"))
    oid = next(oid for path in kept.glob("files/md5/*/*") if (oid := oid_of(path.relative_to(kept).as_posix())))

    def lie(document: dict[str, Any]) -> None:
        document["objects"][oid]["size_bytes"] = 10**15

    rewrite(kept, lie)
    assert "object-damaged" in [issue.code for issue in verify_backup(str(kept)).issues]
    assert restore_backup(str(kept), tmp_path / "back").issues != []


def test_an_object_of_the_right_md5_and_another_sha256_is_refused(kept: Path, tmp_path: Path) -> None:
    """MD5 can be forged; the index says SHA-256 as well."""

    def lie(document: dict[str, Any]) -> None:
        for stored in document["objects"].values():
            stored["digest"] = "0" * 64

    rewrite(kept, lie)
    assert {issue.code for issue in verify_backup(str(kept)).issues} == {"object-damaged"}
    back = restore_backup(str(kept), tmp_path / "back")
    assert {issue.code for issue in back.issues} == {"object-damaged"}
    assert back.objects == 0
    assert not list((back.root / ".dvc" / "cache").rglob("*.*"))


def test_what_versions_need_must_be_named(kept: Path, tmp_path: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["objects"] = {oid: stored for oid, stored in document["objects"].items() if oid.endswith(".dir")}

    rewrite(kept, forget)
    issues = verify_backup(str(kept)).issues
    assert {issue.code for issue in issues} == {"object-unnamed"}
    assert all("v1" in issue.message and "data/things" in issue.message for issue in issues)
    assert [issue.code for issue in restore_backup(str(kept), tmp_path / "back").issues] == ["object-missing"] * 2


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


def rebuilt(plain: Path, kept: Path) -> None:
    """The backup of a repository that somebody has changed."""
    shutil.rmtree(kept)
    create_backup(plain, str(kept))


def test_a_project_that_leads_outside_is_refused(plain: Path, kept: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "things").mkdir(parents=True)
    (outside / "things" / "mine").write_text("mine\n")
    shutil.move(plain / "data" / "things.dvc", plain / "things.dvc")
    text = (plain / "things.dvc").read_text().replace("path: things", "path: data/things")
    (plain / "things.dvc").write_text(text)
    shutil.rmtree(plain / "data")
    os.symlink(outside, plain / "data")
    commit(plain, "evil")
    rebuilt(plain, kept)
    with pytest.raises(StorageError, match="leads out of the project"):
        restore_backup(str(kept), tmp_path / "back")
    assert (outside / "things" / "mine").read_text() == "mine\n"
    assert not (tmp_path / "back").exists()


def test_a_cache_that_leads_outside_is_refused(plain: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    shutil.rmtree(plain / ".dvc" / "cache")
    os.symlink(tmp_path / "outside", plain / ".dvc" / "cache")
    sh(plain, "git", "add", "--force", ".dvc/cache")
    sh(plain, "git", "commit", "-q", "-m", "evil")
    sh(plain, "git", "reset", "-q", "--hard")
    create_backup(plain, str(kept))
    with pytest.raises(StorageError, match=r"\.dvc leads elsewhere"):
        restore_backup(str(kept), tmp_path / "back")
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


def test_what_no_backup_wrote_is_never_deleted(kept: Path) -> None:
    strange = ["files/md5/zz/x", "index/evil.json", "git/x.bundle", "notes.txt", f"files/md5/00/{'0' * 29}"]
    for name in strange:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text("x")
    (kept / object_name(EVIL)).parent.mkdir(parents=True, exist_ok=True)
    (kept / object_name(EVIL)).write_text("x")
    done = prune_backup(str(kept))
    assert (done.objects, sorted(done.unknown)) == (1, sorted(strange))
    assert all((kept / name).exists() for name in strange)
    assert verify_backup(str(kept), sample=None).issues == []


LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'lol'}]\n" for n in range(12))
DOCUMENTS = {
    "a part that holds itself": (
        "dvc.yaml",
        "stages: &a\n  x: *a\n  outs:\n    - data/things:\n        cache: false\n",
    ),
    "parts that repeat parts": ("dvc.yaml", LAUGHS),
    "lists in lists": ("dvc.lock", "[\n" * 3000),
    "a date that is none": ("dvc.lock", "stages: 2001-99-99\n"),
    "a list as a key": ("dvc.lock", "? [a]\n: b\n"),
    "no text": ("dvc.lock", "\udcff\udcfe"),
    "outputs that are none": (
        "dvc.lock",
        f"stages: {{a: {{outs: [1, {{md5: [], path: a}}, {{md5: {EVIL}, path: ../../x}},"
        f" {{md5: {EVIL}, path: /etc/x}}, {{md5: {EVIL}, path: '..'}}, {{md5: '../x', path: b}}]}}, b: 7}}\n",
    ),
}


@pytest.mark.parametrize("what", DOCUMENTS)
def test_documents_of_dvc_that_are_made_to_hurt(plain: Path, tmp_path: Path, what: str) -> None:
    name, text = DOCUMENTS[what]
    (plain / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    if name == "dvc.yaml":
        (plain / "dvc.lock").write_text("stages: {}\n")
    sh(plain, "git", "add", "--force", name, *(["dvc.lock"] if name == "dvc.yaml" else []))
    sh(plain, "git", "commit", "-q", "-m", "evil")
    place = str(tmp_path / "evil")
    began = time.monotonic()
    done = create_backup(plain, place)
    assert (done.issues, done.objects) == ([], 3)
    assert verify_backup(place, sample=None).issues == []
    assert time.monotonic() - began < 60
    assert Outputs(plain).at("HEAD").keys() == {"data/things"}


def test_a_document_that_is_too_large_is_not_read(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Outputs(plain).at("HEAD")
    monkeypatch.setattr(outputs, "MAX_DOCUMENT_BYTES", 10)
    assert Outputs(plain).at("HEAD") == {}


@pytest.mark.parametrize("bomb", [b"[" + b"[]," * 100_000 + b"[]]", b'{"objects":[' + b"1," * 100_000 + b"1]}"])
def test_documents_of_too_many_values(kept: Path, tmp_path: Path, bomb: bytes) -> None:
    with pytest.raises(StorageError, match="is damaged"):
        parse_listing(bomb, f"{hashlib.md5(bomb).hexdigest()}.dir", "data/things")
    next(kept.glob("index/*.json")).unlink()
    (kept / "index" / f"00000002-{hashlib.sha256(bomb).hexdigest()}.json").write_bytes(bomb)
    checked = verify_backup(str(kept))
    assert [issue.code for issue in checked.issues] == ["index-damaged"]
    assert "too many values" in checked.issues[0].message
    (kept / "dsetkit-backup.json").write_bytes(bomb)
    assert {issue.code for issue in verify_backup(str(kept)).issues} == {"index-damaged", "marker-damaged"}


def test_a_listing_of_many_files_with_odd_names_is_read() -> None:
    names = [f"{number},[{{,[,{{,.jpg" for number in range(5000)]
    data = json.dumps([{"md5": EVIL, "relpath": name} for name in names], separators=(",", ":")).encode()
    assert list(parse_listing(data, f"{hashlib.md5(data).hexdigest()}.dir", "data/things")) == names
