"""`dvc push` and `dvc pull` of a project with a folder and over SFTP (a real server in this process)."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.seaweed import check_whole, tried
from support.sftp import PASSWORD, USER, SftpServer, sftp_server
from support.versions import sh

import dsetkit
from dsetkit.snapshots.read import open_snapshot

pytestmark = pytest.mark.slow


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed (pip install 'dsetkit[ssh]')")
    with sftp_server(tmp_path / "server") as server:
        yield server


def over_sftp(project: Path, server: SftpServer) -> None:
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", f"ssh://{USER}@127.0.0.1:{server.port}/dataset")
    sh(project, "dvc", "remote", "modify", "--local", "store", "password", PASSWORD)


def cloned(project: Path, into: Path) -> Path:
    sh(project.parent, "git", "clone", "-q", str(project), str(into))
    return into


def check_pulled(project: Path, clone: Path) -> None:
    check_whole(clone)
    for stage in ("raw/demo", "cleaned", "augmented"):
        assert open_snapshot(clone / "data" / stage).fingerprint == open_snapshot(project / "data" / stage).fingerprint


def test_a_folder(project: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "remote")
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", url)
    sh(project, "dvc", "push", "-q", "--all-commits")
    clone = cloned(project, tmp_path / "elsewhere")
    sh(clone, "dvc", "remote", "add", "--local", "-d", "store", url)
    sh(clone, "dvc", "pull", "-q")
    check_pulled(project, clone)
    assert "verified" in sh(clone, "dsetkit", "verify", "data/cleaned", "--rev", "v1")


def test_a_remote_in_the_committed_settings_misses_older_versions(project: Path, tmp_path: Path) -> None:
    """Why the documents say ``--local``."""
    sh(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    sh(project, "git", "commit", "-qam", "a remote")
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    assert tried(project, "dsetkit", "verify", "data/cleaned", "--rev", "v3").code == 0
    lost = tried(project, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    assert lost.code == 1
    assert "neither in DVC's cache nor in the remote" in " ".join(lost.said.split())


def test_over_sftp(project: Path, sftp: SftpServer, tmp_path: Path) -> None:
    over_sftp(project, sftp)
    sh(project, "dvc", "push", "-q", "--all-commits")
    clone = cloned(project, tmp_path / "elsewhere")
    over_sftp(clone, sftp)
    sh(clone, "dvc", "pull", "-q")
    check_pulled(project, clone)
    assert "verified" in sh(clone, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    assert tried(clone, "dvc", "push", "-q", "-r", "store").code == 0  # nothing to send


def after(count: int, what: str) -> Callable[[str], bool]:
    """Break the connections off, once, when so many pieces were read or written."""
    heard = 0

    def told(found: str) -> bool:
        nonlocal heard
        heard += found == what
        return found == what and heard == count

    return told


def stored(server: SftpServer) -> dict[str, str]:
    """What the server's folder has under the names of objects: name → MD5."""
    files = (server.folder / "dataset").glob("files/md5/??/*")
    return {
        f"{path.parent.name}{path.name}": hashlib.md5(path.read_bytes()).hexdigest()
        for path in files
        if len(path.name.removesuffix(".dir")) == 30
    }


def test_sftp_broken_off_in_mid_push_and_in_mid_pull(project: Path, sftp: SftpServer, tmp_path: Path) -> None:
    over_sftp(project, sftp)
    sftp.told = after(12, "write")
    broken = tried(project, "dvc", "push", "-j", "1")
    assert broken.code != 0, broken.said
    assert "failed to transfer" in broken.said
    assert broken.seconds < 90
    arrived = stored(sftp)
    assert arrived
    assert all(oid.removesuffix(".dir") == md5 for oid, md5 in arrived.items())  # no half ones
    sftp.told = lambda _: False
    sh(project, "dvc", "push", "-q")

    clone = cloned(project, tmp_path / "elsewhere")
    over_sftp(clone, sftp)
    sftp.told = after(12, "read")
    broken = tried(clone, "dvc", "pull", "-j", "1")
    assert broken.code != 0, broken.said
    sftp.told = lambda _: False
    sh(clone, "dvc", "pull", "-q")
    check_pulled(project, clone)


def test_a_version_is_read_over_sftp_through_a_lost_connection(project: Path, sftp: SftpServer) -> None:
    over_sftp(project, sftp)
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    then = dsetkit.open(project / "data" / "cleaned", rev="v1")
    row = then.row(3)  # it says where its picture is
    sftp.sent_bytes = 0
    assert len(then.read_bytes(row)) == sftp.sent_bytes  # its range alone, not the shard
    sftp.told = after(3, "read")
    assert "verified" in sh(project, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    sftp.told = lambda _: True
    lost = tried(project, "dsetkit", "show", "data/cleaned", "--rev", "v1")
    assert lost.code == 2, lost.said
    assert "the remote did not answer, or the connection was lost" in " ".join(lost.said.split())
    assert "Traceback" not in lost.said
    assert lost.seconds < 90
