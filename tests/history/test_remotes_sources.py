"""Sources, snapshots and exports on a real S3 server, through fsspec; servers that fail, answer slowly or get lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.seaweed import BUCKET, READER, Asked, Proxy, Seaweed, start_again, tried
from support.versions import sh

from dsetkit.snapshots.read import open_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.s3]

PUT_ALL = "import s3fs, sys; s3fs.S3FileSystem().put(sys.argv[1], sys.argv[2], recursive=True)"


@pytest.fixture
def source(s3: Proxy, demo_source: Path, tmp_path: Path) -> str:
    """The demo's pictures and labels on S3."""
    url = f"s3://{BUCKET}/{tmp_path.name}-source"
    sh(tmp_path, "python", "-c", PUT_ALL, f"{demo_source}/", f"{url}/")
    return url


def each_once(proxy: Proxy) -> set[Asked]:
    """Let each request fail the first time, one way or another; the set fills with them."""
    failed: set[Asked] = set()

    def fault(asked: Asked) -> str | None:
        if asked in failed:
            return None
        failed.add(asked)
        return ("busy", "cut")[len(failed) % 2]

    proxy.fault = fault  # type: ignore[assignment]
    return failed


def test_a_source_on_s3_gives_what_the_folder_gives(
    s3: Proxy, server: Seaweed, source: str, built_demo: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    sh(tmp_path, "dsetkit", "init", str(project))
    for name, value in server.variables(READER).items():
        if name != "AWS_ENDPOINT_URL":
            assert value
    failed = each_once(s3)
    sh(project, "dsetkit", "add", "demo", source)
    sh(project, "dsetkit", "ingest", "demo")
    assert failed
    here = open_snapshot(project / "data" / "raw" / "demo")
    local = open_snapshot(built_demo / "data" / "raw" / "demo")
    assert {row["key"]: row["digest"] for row in map(here.row, range(len(here)))} == {
        row["key"]: row["digest"] for row in map(local.row, range(len(local)))
    }
    lock = (project / "sources.lock.yaml").read_text()
    assert server.variables()["AWS_SECRET_ACCESS_KEY"] not in lock + (project / "params.yaml").read_text()


def test_a_source_lost_while_it_is_taken_in(s3: Proxy, server: Seaweed, source: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    sh(tmp_path, "dsetkit", "init", str(project))
    sh(project, "dsetkit", "add", "demo", source)
    before = (project / "params.yaml").read_text(), (project / "sources.lock.yaml").read_text()
    served: list[Asked] = []

    def kill_after_five(asked: Asked, status: int) -> None:
        if asked.method == "GET" and asked.path.partition("?")[0].endswith((".jpg", ".png")):
            served.append(asked)
            if len(served) == 5:
                server.kill()

    s3.seen = kill_after_five
    lost = tried(project, "dsetkit", "ingest", "demo", env={"AWS_MAX_ATTEMPTS": "2"})
    s3.seen = lambda *_: None
    start_again(server)
    assert lost.code == 2, lost.said
    assert "Traceback" not in lost.said
    assert "could not be reached" in " ".join(lost.said.split())
    assert lost.seconds < 120
    assert not (project / "data" / "raw" / "demo").exists()
    assert ((project / "params.yaml").read_text(), (project / "sources.lock.yaml").read_text()) == before
    sh(project, "dsetkit", "ingest", "demo")
    assert len(open_snapshot(project / "data" / "raw" / "demo"))


def test_a_snapshot_is_exported_to_s3_and_read_from_there(s3: Proxy, demo_copy: Path, tmp_path: Path) -> None:
    failed = each_once(s3)
    url = f"s3://{BUCKET}/{tmp_path.name}-out"
    sh(demo_copy, "dsetkit", "export", "data/cleaned", url, "--format", "coco")
    sh(demo_copy, "dsetkit", "export", "data/cleaned", str(tmp_path / "out"), "--format", "coco")
    s3.fault = lambda _: None
    assert failed
    get = "import s3fs, sys; s3fs.S3FileSystem().get(sys.argv[1], sys.argv[2], recursive=True)"
    sh(tmp_path, "python", "-c", get, url, str(tmp_path / "back"))
    back = tmp_path / "back"
    back = (
        back
        if any(path.suffix == ".json" for path in back.iterdir()) or not (back / Path(url).name).exists()
        else back / Path(url).name
    )

    def content(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(back) == content(tmp_path / "out")
    snapshot = f"s3://{BUCKET}/{tmp_path.name}-cleaned"
    sh(tmp_path, "python", "-c", PUT_ALL, f"{demo_copy / 'data' / 'cleaned'}/", f"{snapshot}/")
    failed = each_once(s3)
    shown = json.loads(sh(tmp_path, "dsetkit", "show", snapshot, "--json"))
    assert shown["fingerprint"] == open_snapshot(demo_copy / "data" / "cleaned").fingerprint
    assert "verified" in sh(tmp_path, "dsetkit", "verify", snapshot)
    assert failed


def test_an_export_that_loses_its_server(s3: Proxy, server: Seaweed, demo_copy: Path, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/{tmp_path.name}-lost"
    put: list[Asked] = []

    def kill_after_five(asked: Asked, status: int) -> None:
        if asked.method == "PUT":
            put.append(asked)
            if len(put) == 5:
                server.kill()

    s3.seen = kill_after_five
    lost = tried(demo_copy, "dsetkit", "export", "data/cleaned", url, "--format", "coco", env={"AWS_MAX_ATTEMPTS": "2"})
    s3.seen = lambda *_: None
    start_again(server)
    assert lost.code == 2, lost.said
    assert "Traceback" not in lost.said
    assert lost.seconds < 120
    again = tried(demo_copy, "dsetkit", "export", "data/cleaned", f"{url}-2", "--format", "coco")
    assert again.code == 0, again.said


def test_a_reader_cannot_export(s3: Proxy, server: Seaweed, demo_copy: Path, tmp_path: Path) -> None:
    reader = {**server.variables(READER), "AWS_ENDPOINT_URL": s3.url}
    url = f"s3://{BUCKET}/{tmp_path.name}-no"
    refused = tried(demo_copy, "dsetkit", "export", "data/cleaned", url, "--format", "coco", env=reader)
    assert refused.code == 2, refused.said
    assert "may not be read or written" in " ".join(refused.said.split())
    assert refused.seconds < 30


def test_endpoint_and_key_from_fsspecs_own_variables(
    s3: Proxy, server: Seaweed, demo_copy: Path, tmp_path: Path
) -> None:
    url = f"s3://{BUCKET}/{tmp_path.name}-snap"
    sh(tmp_path, "python", "-c", PUT_ALL, f"{demo_copy / 'data' / 'cleaned'}/", f"{url}/")
    known = server.variables()
    unset = ("env", *(word for name in known for word in ("-u", name)))
    env = {
        "FSSPEC_S3_ENDPOINT_URL": s3.url,
        "FSSPEC_S3_KEY": known["AWS_ACCESS_KEY_ID"],
        "FSSPEC_S3_SECRET": known["AWS_SECRET_ACCESS_KEY"],
    }
    shown = tried(tmp_path, *unset, "dsetkit", "show", url, env=env)
    assert shown.code == 0, shown.said
    assert shutil.which("dsetkit")
