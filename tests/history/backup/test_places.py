"""Where backups go: servers that hang, break off and come back; two at once; places that cannot be one."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from support.seaweed import BUCKET, Proxy
from support.sftp import PASSWORD, USER, SftpServer, sftp_server
from support.versions import commit, sh

from dsetkit.errors import StorageError, UsageError
from dsetkit.history.backup.create import create_backup
from dsetkit.history.backup.index import object_name, oid_of
from dsetkit.history.backup.prune import prune_backup
from dsetkit.history.backup.restore import restore_backup
from dsetkit.history.backup.verify import verify_backup
from dsetkit.storage import retry, writable

pytestmark = pytest.mark.slow


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path / "server") as server:
        yield server


def address(server: SftpServer) -> str:
    return f"sftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/kept"


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("at_once", [True, False])
def test_over_sftp_through_lost_connections(
    plain: Path, sftp: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(writable, "_AT_ONCE_BYTES", 1)
    heard = 0

    def once(what: str) -> bool:
        nonlocal heard
        heard += 1
        return heard == 3

    url = address(sftp)
    sftp.told = once
    done = create_backup(plain, url)
    assert (done.issues, done.sent) == ([], done.objects)
    assert PASSWORD not in done.url
    again = create_backup(plain, url)
    assert (again.is_new, again.sent) == (False, 0)
    heard = 0
    assert verify_backup(url, sample=None).issues == []
    heard = 0
    assert restore_backup(url, tmp_path / "back").issues == []
    assert (tmp_path / "back" / "data" / "things" / "a.txt").read_text() == "a\n"

    oid = next(oid for name in files_in(sftp.folder / "kept") if (oid := oid_of(name)) and not oid.endswith(".dir"))
    place = sftp.folder / "kept" / object_name(oid)
    place.write_bytes(b"other bytes")  # a damaged one is replaced, by one rename
    assert create_backup(plain, url, check=True).sent == 1
    prune_backup(url)
    assert verify_backup(url, sample=None).issues == []
    assert not [name for name in files_in(sftp.folder / "kept") if name.endswith(".dsetkit-tmp")]


def test_a_server_that_is_lost_over_sftp_for_good(plain: Path, sftp: SftpServer) -> None:
    url = address(sftp)
    sftp.told = lambda what: what == "write"
    with pytest.raises(StorageError, match="could not be reached") as caught:
        create_backup(plain, url)
    assert PASSWORD not in str(caught.value)
    assert not [name for name in files_in(sftp.folder) if name.startswith(("kept/index/", "kept/files/md5/0"))]
    sftp.told = lambda _: False
    assert create_backup(plain, url).issues == []
    assert verify_backup(url, sample=None).issues == []


@pytest.mark.s3
def test_a_server_that_never_answers(plain: Path, s3: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ANSWER_S", 1.0)
    monkeypatch.setattr(retry, "LISTING_S", 1.0)
    monkeypatch.setattr(retry, "GIVE_UP_S", 0.5)
    url = f"s3://{BUCKET}/{uuid4().hex[:8]}"

    def silent(method: str) -> None:
        s3.fault = lambda asked: "hang" if asked.method == method and "/files/" in asked.path else None

    def ended(work: object) -> float:
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"could not be reached .*Timeout"):
            work()  # type: ignore[operator]
        return time.monotonic() - began

    silent("PUT")
    assert ended(lambda: create_backup(plain, url)) < 20
    s3.fault = lambda _: "hang"
    assert ended(lambda: verify_backup(url)) < 20
    s3.fault = lambda _: None
    monkeypatch.setattr(retry, "ANSWER_S", 60.0)
    monkeypatch.setattr(retry, "LISTING_S", 60.0)
    create_backup(plain, url)
    monkeypatch.setattr(retry, "ANSWER_S", 1.0)
    silent("GET")
    checked = verify_backup(url, sample=None)  # each object that cannot be read is named
    assert checked.issues
    assert not checked.is_whole
    s3.fault = lambda _: None
    monkeypatch.setattr(retry, "ANSWER_S", 60.0)
    assert restore_backup(url, tmp_path / "back").issues == []


def test_two_at_once(plain: Path, tmp_path: Path) -> None:
    for number in range(60):
        (plain / "data" / "things" / f"{number}.txt").write_text(f"{number}\n")
    sh(plain, "dvc", "add", "-q", "data/things")
    commit(plain, "more", "v2")
    place = tmp_path / "backup"
    command = ["dsetkit", "backup", "create", str(place)]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, cwd=plain, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    checked = verify_backup(str(place), sample=None)
    assert (checked.issues, checked.surplus) == ([], 0)
    assert restore_backup(str(place), tmp_path / "back").issues == []
    assert create_backup(plain, str(place)).is_new is False
    prune_backup(str(place), keep=1)
    assert verify_backup(str(place), sample=None).issues == []


def test_a_place_inside_the_project_is_refused(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(plain / "data")
    for place in (plain, plain / "backup", plain / ".dvc" / "backup", tmp_path / "link" / "backup"):
        with pytest.raises(UsageError, match="lies inside the project"):
            create_backup(plain, str(place))
    with pytest.raises(UsageError, match="lies inside the project"):
        create_backup(plain, f"file://{plain}/backup")
    assert sh(plain, "git", "status", "--porcelain") == ""
    create_backup(plain, str(tmp_path / "backup"))
    with pytest.raises(UsageError, match="lies inside the backup"):
        restore_backup(str(tmp_path / "backup"), tmp_path / "backup" / "back")


def test_tags_of_anything(plain: Path, tmp_path: Path) -> None:
    sh(plain, "git", "tag", "-a", "-m", "With a message", "annotated")
    blob = sh(plain, "git", "hash-object", "-w", "data/.gitignore")
    sh(plain, "git", "tag", "a-file", blob)
    sh(plain, "git", "tag", "a-tree", "HEAD^{tree}")
    place = str(tmp_path / "backup")
    assert create_backup(plain, place).issues == []
    assert verify_backup(place, sample=None).issues == []
    shutil.rmtree(plain)
    back = restore_backup(place, tmp_path / "back", rev="annotated")
    assert back.issues == []
    assert sh(tmp_path / "back", "git", "cat-file", "-t", "a-file") == "blob"
    assert sh(tmp_path / "back", "git", "cat-file", "-t", "annotated") == "tag"


def test_an_object_that_is_nowhere_is_named_and_comes_later(plain: Path, tmp_path: Path) -> None:
    gone = next(path for path in (plain / ".dvc" / "cache" / "files" / "md5").glob("*/*") if path.suffix != ".dir")
    kept = gone.read_bytes()
    gone.chmod(0o644)
    gone.unlink()
    (plain / "data" / "things").rename(tmp_path / "aside")
    place = str(tmp_path / "backup")
    first = create_backup(plain, place)
    assert [issue.code for issue in first.issues] == ["object-missing"]
    assert "v1" in first.issues[0].message
    assert first.sent == first.objects > 0
    gone.write_bytes(kept)
    second = create_backup(plain, place)
    assert (second.issues, second.sent, second.generation) == ([], 1, 2)
    assert verify_backup(place, sample=None, generation=2).issues == []
