"""Backup: everything is there, only what is new is sent, and a project can be lost and had back."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from support.once import made_once
from support.seaweed import BUCKET, Proxy
from support.versions import commit, relabel, sh

import dsetkit
from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.history.backup.create import create_backup
from dsetkit.history.backup.index import object_name
from dsetkit.history.backup.prune import list_generations, prune_backup
from dsetkit.history.backup.restore import restore_backup
from dsetkit.history.backup.verify import verify_backup
from dsetkit.history.objects import Objects
from dsetkit.history.revisions import snapshots_at

pytestmark = pytest.mark.slow

TAGS = ("v1", "v2", "v3")
STAGES = ("raw/demo", "cleaned", "augmented")


@pytest.fixture
def memory() -> Iterator[str]:
    """An address in fsspec's memory, empty."""
    name = uuid4().hex
    yield f"memory://{name}"
    fs = fsspec.filesystem("memory")
    if fs.exists(name):
        fs.rm(name, recursive=True)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """File → inode and time: a file that was written again has others."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def fingerprints(project: Path) -> dict[str, dict[str, str]]:
    """Of every snapshot of every tag, each verified."""
    found: dict[str, dict[str, str]] = {}
    for tag in TAGS:
        for stage in STAGES:
            snapshot = dsetkit.open(project / "data" / stage, rev=tag)
            assert dsetkit.verify(snapshot) == []
            found.setdefault(tag, {})[stage] = snapshot.fingerprint
    return found


def check_restored(back: Path, expected: dict[str, dict[str, str]]) -> None:
    assert fingerprints(back) == expected
    assert sh(back, "git", "status", "--porcelain") == ""
    assert sh(back, "git", "branch", "--show-current") != ""
    for stage in STAGES:
        assert dsetkit.verify(dsetkit.open(back / "data" / stage)) == []
        assert dsetkit.open(back / "data" / stage).fingerprint == expected["v3"][stage]
    assert not list(back.parent.glob(".*dsetkit*"))


def fetched(work: Path) -> int:
    """Objects that a restore has brought; counted while it works."""
    return sum(len(files) for folder, _, files in os.walk(work) if "/files/md5/" in folder)


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_project_that_was_lost_is_had_back(project: Path, tmp_path: Path, memory: str, kind: str) -> None:
    url = memory if kind == "memory" else str(tmp_path / "backup")
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    expected, status = fingerprints(project), sh(project, "dvc", "status")
    done = create_backup(project, url)
    assert (done.generation, done.is_new, done.issues, done.sent) == (1, True, [], done.objects)
    shutil.rmtree(project)
    shutil.rmtree(tmp_path / "remote")

    checked = verify_backup(url, sample=None)
    assert (checked.issues, checked.read, checked.surplus) == ([], done.objects, 0)
    back = restore_backup(url, tmp_path / "back")
    assert (back.issues, back.objects, back.is_whole) == ([], done.objects, True)
    check_restored(tmp_path / "back", expected)
    assert sh(tmp_path / "back", "dvc", "status") == status
    (tmp_path / "empty").mkdir()
    assert restore_backup(url, tmp_path / "empty").issues == []  # an empty folder is fine, a second time too


def test_only_what_is_new_is_sent(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    first = create_backup(project, str(place))
    before = stamps(place)
    again = create_backup(project, str(place))
    assert (again.is_new, again.generation, again.sent) == (False, 1, 0)
    assert stamps(place) == before

    relabel(project, 1)
    commit(project, "fourth", "v4")
    third = create_backup(project, str(place))
    after = stamps(place)
    assert {name: after[name] for name in before} == before
    new = {name for name in set(after) - set(before) if name.startswith("files/")}
    assert third.generation == 2
    assert 0 < len(new) == third.sent < first.sent / 4

    sh(project, "git", "tag", "v4-again")  # another name alone: no object, but a generation
    fourth = create_backup(project, str(place))
    assert (fourth.generation, fourth.sent) == (3, 0)


@pytest.mark.s3
def test_against_s3_requests_are_counted(project: Path, tmp_path: Path, s3: Proxy) -> None:
    url = f"s3://{BUCKET}/{uuid4().hex[:8]}"
    expected = fingerprints(project)

    def puts() -> list[str]:
        found = [asked.path.partition("?")[0] for asked in s3.asked if asked.method in ("PUT", "POST")]
        s3.asked.clear()
        return found

    puts()
    done = create_backup(project, url)
    written = puts()
    assert len([path for path in written if "/files/md5/" in path]) == done.objects == len({*written}) - 3
    assert "/index/" in written[-1]  # names everything, and is last
    assert create_backup(project, url).sent == 0
    assert puts() == []
    sh(project, "git", "tag", "later")
    assert create_backup(project, url).sent == 0
    assert len(puts()) == 2  # bundle and index

    shutil.rmtree(project)
    assert verify_backup(url, sample=3).issues == []
    assert restore_backup(url, tmp_path / "back").issues == []
    check_restored(tmp_path / "back", expected)
    assert prune_backup(url, keep=1).generations == [1]
    assert verify_backup(url, sample=None).issues == []


@pytest.mark.s3
def test_a_server_that_goes_away_loses_nothing(project: Path, s3: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # the driver's own, within each of ours
    url = f"s3://{BUCKET}/{uuid4().hex[:8]}"
    sent = 0

    def cut(asked: object) -> str | None:
        nonlocal sent
        if getattr(asked, "method", "") == "PUT":
            sent += 1
        return "cut" if sent > 12 else None

    s3.fault = cut  # type: ignore[assignment]
    with pytest.raises(StorageError):
        create_backup(project, url)
    s3.fault = lambda _: None
    with pytest.raises(NotFoundError, match="never finished"):
        verify_backup(url)
    done = create_backup(project, url)
    assert 0 < done.objects - done.sent <= 12
    assert verify_backup(url, sample=None).issues == []


def test_killed_at_any_moment_it_goes_on(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, temporary = tmp_path / "backup", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    draw = random.Random("kill a backup")
    count = 0
    for _ in range(8):
        wanted = count + draw.randint(0, 12)
        process = subprocess.Popen(
            ["dsetkit", "backup", "create", str(place)],
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(list(place.glob("files/md5/*/[0-9a-f]*"))) < wanted:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = {name: stamp for name, stamp in stamps(place).items() if "/." not in name} if place.is_dir() else {}
        count = len([name for name in before if name.startswith("files/")])
    done = create_backup(project, str(place))
    after = stamps(place)
    assert {name: after[name] for name in before} == before
    assert done.sent == done.objects - count
    assert verify_backup(str(place), sample=None).issues == []
    prune_backup(str(place))
    assert not list(place.rglob(".*"))
    assert not list(temporary.glob("*dsetkit*"))


def test_a_restore_that_was_killed_goes_on(project: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "backup")
    expected = fingerprints(project)
    create_backup(project, url)
    work = tmp_path / ".back.dsetkit-restoring"
    draw = random.Random("kill a restore")
    for _ in range(6):
        wanted = draw.randint(1, 60)
        command = ["dsetkit", "backup", "restore", url, str(tmp_path / "back")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and fetched(work) < wanted:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "back").exists():
            break
    if not (tmp_path / "back").exists():
        restore_backup(url, tmp_path / "back")
    check_restored(tmp_path / "back", expected)


def test_git_and_dvc_alone_can_restore_it(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    create_backup(project, str(place))
    bundle = next(place.glob("git/*.bundle"))
    back = tmp_path / "back"
    sh(tmp_path, "git", "clone", "-q", str(bundle), str(back))
    sh(back, "dvc", "remote", "add", "--local", "-d", "backup", str(place))
    sh(back, "dvc", "pull", "-q")
    assert dsetkit.verify(dsetkit.open(back / "data" / "cleaned")) == []
    assert dsetkit.verify(dsetkit.open(back / "data" / "cleaned", rev="v1")) == []


def test_one_revision_alone(project: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "backup")
    whole = create_backup(project, url)
    done = restore_backup(url, tmp_path / "back", rev="v1")
    assert (done.is_whole, done.issues) == (False, [])
    assert 0 < done.objects < whole.objects
    back = dsetkit.open(tmp_path / "back" / "data" / "cleaned")
    assert back.fingerprint == dsetkit.open(project / "data" / "cleaned", rev="v1").fingerprint
    with pytest.raises(NotFoundError, match="no revision 'v9'"):
        restore_backup(url, tmp_path / "other", rev="v9")


def test_a_project_within_a_repository_off_its_branch(built_demo: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    shutil.copytree(built_demo, top / "sub" / "demo", symlinks=True)
    shutil.rmtree(top / "sub" / "demo" / ".git")
    sh(top, "git", "init", "-q")
    sh(top / "sub" / "demo", "dvc", "config", "core.no_scm", "false")
    commit(top, "first", "v1")
    sh(top, "git", "checkout", "-q", "--detach")
    sh(top, "git", "commit", "-q", "--allow-empty", "-m", "on no branch")
    project = top / "sub" / "demo"
    expected = dsetkit.open(project / "data" / "cleaned").fingerprint
    url = str(tmp_path / "backup")
    assert create_backup(project, url).issues == []
    assert verify_backup(url, sample=None).issues == []
    done = restore_backup(url, tmp_path / "back")
    assert done.root == tmp_path / "back" / "sub" / "demo"
    assert dsetkit.open(done.root / "data" / "cleaned").fingerprint == expected
    assert sh(tmp_path / "back", "git", "log", "-1", "--format=%s") == "on no branch"


def test_objects_come_from_the_remote_and_damaged_ones_do_not_come(project: Path, tmp_path: Path) -> None:
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q", "--all-commits")
    objects = Objects(project)
    oids = sorted(path.parent.name + path.name for path in (project / ".dvc/cache/files/md5").glob("*/*"))
    shards = [oid for oid in oids if not oid.endswith(".dir")]
    gone, bad, lost = (objects.path(oid) for oid in shards[:3])
    gone.unlink()
    spoil(bad)
    lost.unlink()
    (tmp_path / "remote" / object_name(shards[2])).unlink()
    objects.close()
    done = create_backup(project, str(tmp_path / "backup"))
    assert [(issue.code, issue.file) for issue in done.issues] == [("object-missing", object_name(shards[2]))]
    assert any(tag in done.issues[0].message for tag in TAGS)
    assert "data/" in done.issues[0].message or "report" in done.issues[0].message
    checked = verify_backup(str(tmp_path / "backup"), sample=None)
    assert checked.is_whole
    assert [issue.code for issue in checked.issues] == ["version-incomplete"]
    command = ["dsetkit", "backup", "create", str(tmp_path / "backup")]
    assert subprocess.run(command, cwd=project, capture_output=True, check=False).returncode == 1
    assert subprocess.run([*command, "--allow-missing"], cwd=project, capture_output=True, check=False).returncode == 0


def test_what_only_the_backup_still_has_stays_in_it(project: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "backup")
    first = create_backup(project, url)
    shutil.rmtree(project / ".dvc" / "cache")
    sh(project, "git", "tag", "later")
    done = create_backup(project, url)
    assert (done.issues, done.sent, done.objects) == ([], 0, first.objects)


def spoil(path: Path) -> None:
    """Flip a byte, as a dying disk does: size and time stay."""
    found = path.stat()
    os.chmod(path, 0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture(scope="session")
def made(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of three versions. Only to be read."""
    return made_once(tmp_path_factory, "backup", lambda to: create_backup(versions, str(to / "backup"))) / "backup"


@pytest.fixture
def backup(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "backup"))


def shard_of(project: Path, tag: str, stage: str) -> str:
    """The object of a shard of a snapshot."""
    objects = Objects(project)
    listing = json.loads(objects.read(snapshots_at(project, tag)[f"data/{stage}"], stage))
    objects.close()
    return next(item["md5"] for item in listing if item["relpath"].startswith("shards/"))


DAMAGES = {"flipped byte": "object-damaged", "truncated": "object-damaged", "missing": "object-missing"}


def damage(path: Path, how: str) -> None:
    if how == "flipped byte":
        spoil(path)
    elif how == "truncated":
        os.chmod(path, 0o644)
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("of", ["shard", "list"])
def test_damage_is_found_named_left_out_and_mended(
    backup: Path, versions: Path, tmp_path: Path, how: str, of: str
) -> None:
    oid = shard_of(versions, "v1", "cleaned") if of == "shard" else snapshots_at(versions, "v1")["data/cleaned"]
    damage(backup / object_name(oid), how)
    checked = verify_backup(str(backup), sample=None)
    assert [(issue.code, issue.file) for issue in checked.issues] == [(DAMAGES[how], object_name(oid))]
    message = checked.issues[0].message
    assert "data/cleaned" in message
    assert "v1" in message
    assert ("shards/" in message) == (of == "shard")

    back = restore_backup(str(backup), tmp_path / "back")
    assert [(issue.code, issue.severity) for issue in back.issues] == [(DAMAGES[how], "error")]
    assert not (back.root / ".dvc/cache" / object_name(oid)).exists()
    if of == "list":  # of v1 alone: v3 is whole
        assert dsetkit.verify(dsetkit.open(back.root / "data" / "cleaned")) == []
        assert "v3" not in message

    assert create_backup(versions, str(backup), check=True).sent == 1
    assert verify_backup(str(backup), sample=None).issues == []


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("of", ["index", "git"])
def test_damage_of_index_and_bundle(backup: Path, project: Path, tmp_path: Path, how: str, of: str) -> None:
    sh(project, "git", "tag", "later")  # a second generation
    create_backup(project, str(backup))
    target = sorted((backup / of).iterdir(), key=lambda path: path.stat().st_mtime_ns)[-1]
    damage(target, how)
    if of == "index" and how == "missing":  # nothing says that it was: the generation before is the newest
        assert verify_backup(str(backup)).generations == [1]
        return
    checked = verify_backup(str(backup))
    code = "index-damaged" if of == "index" else "bundle-damaged"
    assert [(issue.code, issue.file) for issue in checked.issues] == [(code, f"{of}/{target.name}")]
    if of == "index":
        assert restore_backup(str(backup), tmp_path / "back").generation == 1
    else:
        assert "v1" in checked.issues[0].message
        with pytest.raises(StorageError, match=r"damaged|not there"):
            restore_backup(str(backup), tmp_path / "back")
        assert restore_backup(str(backup), tmp_path / "back", generation=1).issues == []
    create_backup(project, str(backup), check=True)
    newest = max(verify_backup(str(backup)).generations)
    assert verify_backup(str(backup), generation=newest).issues == []


def test_retention(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    sh(project, "git", "checkout", "-q", "-b", "side")
    relabel(project, 1)
    commit(project, "aside")
    whole = create_backup(project, str(place))
    sh(project, "git", "checkout", "-q", "-f", "-")
    sh(project, "git", "branch", "-q", "-D", "side")
    less = create_backup(project, str(place), keep=2)
    assert (less.dropped, less.objects < whole.objects) == ([], True)
    sh(project, "git", "tag", "later")
    assert create_backup(project, str(place), keep=2).dropped == [1]
    assert len(list(place.glob("index/*"))) == len(list(place.glob("git/*"))) == 2
    (place / "mine.txt").write_text("not a backup's\n")

    before = stamps(place)
    planned = prune_backup(str(place), dry_run=True)
    assert stamps(place) == before
    done = prune_backup(str(place))
    assert done == planned
    assert (done.objects, done.unknown) == (whole.objects - less.objects, ["mine.txt"])
    assert verify_backup(str(place), sample=None).issues == []
    assert prune_backup(str(place), keep=1).generations == [2]
    assert [item.index.generation for item in list_generations(str(place))] == [3]
    assert verify_backup(str(place), sample=None).issues == []


def test_places_that_are_refused(project: Path, backup: Path, tmp_path: Path) -> None:
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    sh(project, "dvc", "push", "-q")
    with pytest.raises(UsageError, match="not empty, and no backup"):
        create_backup(project, str(tmp_path / "remote"))
    other = tmp_path / "other"
    sh(tmp_path, "git", "init", "-q", str(other))
    with pytest.raises(NotFoundError, match="no commit yet"):
        create_backup(other, str(tmp_path / "new"))
    commit(other, "nothing in common")
    with pytest.raises(UsageError, match="another project"):
        create_backup(other, str(backup))
    with pytest.raises(NotFoundError, match="is no backup"):
        verify_backup(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="not empty"):
        restore_backup(str(backup), project)
    sh(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{project}", "shallow")
    with pytest.raises(StorageError, match="whole history"):
        create_backup(tmp_path / "shallow", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_the_command_line(project: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "backup")
    done = json.loads(sh(project, "dsetkit", "backup", "create", url, "--json"))
    assert (done["generation"], done["issues"]) == (1, [])
    assert "can be restored" in sh(project, "dsetkit", "backup", "verify", url, "--sample", "2")
    assert json.loads(sh(project, "dsetkit", "backup", "list", url, "--json"))[0]["generation"] == 1
    assert "nothing new" in sh(project, "dsetkit", "backup", "create", url, "--keep", "3")
    assert "restored" in sh(tmp_path, "dsetkit", "backup", "restore", url, "back")
    assert "deleted 0 generations" in sh(project, "dsetkit", "backup", "prune", url)
    (next((tmp_path / "backup/files/md5").glob("*/*"))).unlink()
    failed = subprocess.run(["dsetkit", "backup", "verify", url], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "object-missing" in failed.stdout
