"""Projects with versions, and a server for what goes to S3. What takes a while is made once: see support/once.py."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.once import made_once
from support.seaweed import Proxy, Seaweed, proxied, server_in
from support.versions import commit, relabel


@pytest.fixture(scope="session")
def versions(built_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three committed versions of the demo, the last but one on top of a commit of documents. Only to be read."""

    def build(folder: Path) -> None:
        project = folder / "demo"
        shutil.copytree(built_demo, project, symlinks=True)
        commit(project, "first", "v1")
        relabel(project, 2)
        commit(project, "second")
        (project / "notes.md").write_text("Notes.\n")
        commit(project, "documents", "v2", "v2-again")
        relabel(project, 3)
        commit(project, "third", "v3")

    return made_once(tmp_path_factory, "versions", build) / "demo"


@pytest.fixture
def project(versions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(versions, tmp_path / "demo", symlinks=True))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server, shared: each test has its own place in the bucket, and starts it again if it ends it."""
    with server_in(tmp_path_factory.mktemp("s3") / "seaweed") as found:
        yield found


@pytest.fixture
def s3(server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The server behind a proxy; the environment has its address and the owner's credentials."""
    import s3fs

    with proxied(server) as proxy:
        for name, value in {**server.variables(), "AWS_ENDPOINT_URL": proxy.url}.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # drivers of another test speak to another proxy
        yield proxy
        s3fs.S3FileSystem.clear_instance_cache()
