"""What a committed ``.dvc/config`` may not have dsetkit do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsetkit.errors import UsageError
from dsetkit.history.dvc_config import check_remotes, open_repo
from dsetkit.history.objects import Objects
from dsetkit.history.repository import create_repository

REMOTE = "[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n    {option}\n"
S3 = "s3://127.0.0.1/none"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    create_repository(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (S3, "configpath"),
        (S3, "credentialpath"),
        (S3, "ssl_verify"),
        ("ssh://127.0.0.1/none", "keyfile"),
        ("webdav://127.0.0.1/none", "bearer_token_command"),
        ("webdav://127.0.0.1/none", "CERT_PATH"),
    ],
)
def test_a_committed_file_or_program_of_a_remote_is_refused(root: Path, url: str, key: str) -> None:
    (root / ".dvc/config").write_text(REMOTE.format(url=url, option=f"{key} = aws"))
    with pytest.raises(UsageError, match=f"the remote store has {key.lower()} in .dvc/config") as caught:
        check_remotes(root)
    assert f"dvc remote modify --local store {key.lower()} VALUE" in caught.value.hint


def test_no_program_of_a_committed_configuration_runs(root: Path) -> None:
    """AWS' ``credential_process``, of a remote that is asked for an object which the cache lacks."""
    mark = root / "ran"
    (root / ".dvc/aws").write_text(f"[default]\nregion = us-east-1\ncredential_process = touch {mark}\n")
    (root / ".dvc/config").write_text(REMOTE.format(url=S3, option="configpath = aws"))
    objects = Objects(root)
    for ask in (lambda: objects.read("0" * 32, "it"), lambda: objects.sizes_bytes(["0" * 32])):
        with pytest.raises(UsageError, match="configpath"):
            ask()
    objects.close()
    assert not mark.exists()


def test_what_a_machine_says_itself_is_taken(root: Path) -> None:
    (root / ".dvc/config").write_text(REMOTE.format(url=S3, option="ssl_verify = False\n    profile = lab"))
    (root / ".dvc/config.local").write_text(
        f"[core]\n    site_cache_dir = {root / 'site'}\n['remote \"store\"']\n    configpath = aws\n"
    )
    check_remotes(root)
    with open_repo(root) as repo:
        assert repo.config["remote"]["store"]["configpath"] == str(root / ".dvc/aws")


def test_databases_in_a_place_that_is_committed_are_not_opened(root: Path) -> None:
    """They hold pickles."""
    with (root / ".dvc/config").open("a") as file:
        file.write(f"[core]\n    SITE_CACHE_DIR = {root / 'site'}\n")
    with pytest.raises(UsageError, match=r"core\.site_cache_dir"):
        open_repo(root)
    with pytest.raises(UsageError, match=r"core\.site_cache_dir"):
        Objects(root, remote=False).path("0" * 32)
    assert not (root / "site").exists()


def test_a_configuration_that_is_not_there_says_nothing(root: Path) -> None:
    (root / ".dvc/config").unlink()
    check_remotes(root)
