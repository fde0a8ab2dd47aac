"""`dvc push` and `dvc pull` of a project against a real S3 server: whole, broken off and gone on with, refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from support.seaweed import BUCKET, READER, Asked, Proxy, Seaweed, check_whole, start_again, tried
from support.versions import sh

from dsetkit.snapshots.read import open_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.s3]


@pytest.fixture
def store(project: Path) -> str:
    """A remote of the project in a place of the bucket where nothing is yet."""
    url = f"s3://{BUCKET}/{uuid4().hex[:8]}"
    sh(project, "dvc", "remote", "add", "--local", "--default", "store", url)
    return url


def cloned(project: Path, url: str, into: Path) -> Path:
    sh(project.parent, "git", "clone", "-q", str(project), str(into))
    sh(into, "dvc", "remote", "add", "--local", "--default", "store", url)
    return into


def objects_in(project: Path) -> set[str]:
    """The objects of a cache, as they are named in a remote too."""
    folder = project / ".dvc" / "cache" / "files"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def stored(proxy: Proxy, url: str) -> list[str]:
    """The objects that a remote was handed, in order."""
    begin = f"/{url.removeprefix('s3://')}/files/"
    paths = (asked.path.partition("?")[0] for asked in proxy.asked if asked.method == "PUT")
    return [path.removeprefix(begin) for path in paths if path.startswith(begin)]


def test_push_clone_elsewhere_pull_verify(project: Path, s3: Proxy, store: str, tmp_path: Path) -> None:
    sh(project, "dvc", "push", "-q", "--all-commits")
    clone = cloned(project, store, tmp_path / "elsewhere")
    sh(clone, "dvc", "pull", "-q")
    check_whole(clone)
    for stage in ("raw/demo", "cleaned", "augmented"):
        assert open_snapshot(clone / "data" / stage).fingerprint == open_snapshot(project / "data" / stage).fingerprint
    assert "verified" in sh(clone, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    sh(clone, "dvc", "fetch", "-q", "--all-commits")
    assert objects_in(clone) <= objects_in(project)
    s3.asked.clear()
    sh(project, "dvc", "push", "-q", "--all-commits")
    assert stored(s3, store) == []


def test_killed_in_mid_push_then_gone_on_with(
    project: Path, s3: Proxy, server: Seaweed, store: str, tmp_path: Path
) -> None:
    done: list[str] = []

    def kill_after_five(asked: Asked, status: int) -> None:
        if asked.method == "PUT" and status == 200:
            done.append(asked.path)
            if len(done) == 5:
                server.kill()

    s3.seen = kill_after_five
    broken = tried(project, "dvc", "push", "-j", "1", env={"AWS_MAX_ATTEMPTS": "2"})
    s3.seen = lambda *_: None
    assert broken.code != 0
    assert "failed to transfer" in broken.said
    start_again(server)
    s3.asked.clear()
    sh(project, "dvc", "push", "-q")
    again = set(stored(s3, store))
    arrived = {path.partition("?")[0].partition("/files/")[2] for path in done}
    assert arrived & again == set()
    assert arrived
    assert again
    clone = cloned(project, store, tmp_path / "elsewhere")
    sh(clone, "dvc", "pull", "-q")
    check_whole(clone, "cleaned")


def test_killed_in_mid_pull_then_gone_on_with(
    project: Path, s3: Proxy, server: Seaweed, store: str, tmp_path: Path
) -> None:
    sh(project, "dvc", "push", "-q")
    clone = cloned(project, store, tmp_path / "elsewhere")
    done: list[str] = []

    def kill_after_twelve(asked: Asked, status: int) -> None:
        if asked.method == "GET" and "/files/" in asked.path and status in (200, 206):
            done.append(asked.path)
            if len(done) == 12:
                server.kill()

    s3.seen = kill_after_twelve
    broken = tried(clone, "dvc", "pull", "-j", "1", env={"AWS_MAX_ATTEMPTS": "2"})
    s3.seen = lambda *_: None
    assert broken.code != 0
    start_again(server)
    had = objects_in(clone)
    assert 0 < len(had) < len(objects_in(project))
    s3.asked.clear()
    sh(clone, "dvc", "pull", "-q")
    asked = {asked.path for asked in s3.asked if asked.method == "GET"}
    assert not any(path.endswith(one) for path in asked for one in had if not one.endswith(".dir"))
    check_whole(clone)


def test_requests_that_fail_are_made_again(project: Path, s3: Proxy, store: str, tmp_path: Path) -> None:
    failed: set[Asked] = set()

    def each_once(asked: Asked) -> str | None:
        if "/files/" not in asked.path or asked in failed:
            return None
        failed.add(asked)
        return "busy" if len(failed) % 2 else "cut"

    s3.fault = each_once  # type: ignore[assignment]
    sh(project, "dvc", "push", "-q", "clean")
    clone = cloned(project, store, tmp_path / "elsewhere")
    sh(clone, "dvc", "pull", "-q", "clean")
    assert len(failed) > 10
    check_whole(clone, "cleaned")


def test_a_reader_can_pull_and_cannot_push(
    project: Path, s3: Proxy, server: Seaweed, store: str, tmp_path: Path
) -> None:
    reader = {**server.variables(READER), "AWS_ENDPOINT_URL": s3.url}
    refused = tried(project, "dvc", "push", env=reader)
    assert refused.code != 0
    assert "Access Denied" in refused.said or "PermissionError" in refused.said, refused.said
    sh(project, "dvc", "push", "-q")
    clone = cloned(project, store, tmp_path / "elsewhere")
    pulled = tried(clone, "dvc", "pull", "-q", env=reader)
    assert pulled.code == 0, pulled.said
    check_whole(clone, "cleaned")


def test_a_version_is_read_from_s3_through_failures(project: Path, s3: Proxy, store: str) -> None:
    place = project / "data" / "cleaned"
    want = open_snapshot(place)
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    failed: set[Asked] = set()

    def each_once(asked: Asked) -> str | None:
        if asked in failed:
            return None
        failed.add(asked)
        return ("busy", "cut")[len(failed) % 2]

    s3.fault = each_once  # type: ignore[assignment]
    code = (
        "import dsetkit; then = dsetkit.open('data/cleaned', rev='v3'); key = then.row(3)['key'];"
        "print(then.fingerprint, len(then.read_bytes(key)))"
    )
    said = sh(project, "python", "-W", "error", "-c", code)
    assert said.split() == [want.fingerprint, str(len(want.read_bytes(want.row(3)["key"])))]
    assert failed


def test_what_a_lost_server_leads_to(project: Path, s3: Proxy, server: Seaweed, store: str) -> None:
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    server.kill()
    try:
        lost = tried(project, "dsetkit", "show", "data/cleaned", "--rev", "v1")
    finally:
        start_again(server)
    assert lost.code == 2
    assert "the remote did not answer, or the connection was lost" in " ".join(lost.said.split())
    assert "Try again when the network and the server are there" in " ".join(lost.said.split())
    assert "Traceback" not in lost.said
    assert lost.seconds < 90
    assert sh(project, "dsetkit", "show", "data/cleaned", "--rev", "v1")


def test_what_a_wrong_key_leads_to(project: Path, s3: Proxy, store: str) -> None:
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    refused = tried(project, "dsetkit", "show", "data/cleaned", "--rev", "v1", env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert refused.code == 2
    assert "Check its address and your credentials" in " ".join(refused.said.split())
    assert refused.seconds < 20


def test_credentials_from_a_profile(project: Path, s3: Proxy, server: Seaweed, store: str, tmp_path: Path) -> None:
    settings = tmp_path / "aws"
    settings.mkdir()
    known = server.variables()
    (settings / "credentials").write_text(
        "[data]\n"
        f"aws_access_key_id = {known['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {known['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (settings / "config").write_text(f"[profile data]\nregion = us-east-1\nendpoint_url = {s3.url}\n")
    env = {
        "AWS_CONFIG_FILE": str(settings / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(settings / "credentials"),
    }
    unset = ("env", *(word for name in known if name != "AWS_EC2_METADATA_DISABLED" for word in ("-u", name)))
    sh(project, "dvc", "remote", "modify", "--local", "store", "profile", "data")
    pushed = tried(project, *unset, "dvc", "push", "-q", "clean", env=env)
    assert pushed.code == 0, pushed.said
    assert stored(s3, store)
    shutil.rmtree(project / ".dvc" / "cache")
    pulled = tried(project, *unset, "dvc", "fetch", "-q", "clean", env=env)
    assert pulled.code == 0, pulled.said
