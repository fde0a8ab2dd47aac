from __future__ import annotations

from pathlib import Path

import pytest

from dsetkit.errors import MissingExtraError, StorageError, UsageError
from dsetkit.storage.url import Remote, is_local, local_place, nearest, redact, to_local


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("s3://bucket/a b", "s3://bucket/a b"),
        ("https://u:p@host/x", "https://***@host/x"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://u:p@ss@host/x", "https://***@host/x"),
        ("https://u:se/cret@host/x", "https://***@host/x"),
        ("see https://h/x?sig=1&b=2 url='https://h/y?c=3'", "see https://h/x?*** url='https://h/y?***'"),
        ("s3://bucket/user@home", "s3://bucket/user@home"),
        ("http://host:8080/user@home", "http://host:8080/user@home"),
        ("zip://x::sftp://u:p@host/x", "zip://x::sftp://***@host/x"),
    ],
)
def test_redact(text: str, safe: str) -> None:
    assert redact(text) == safe


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("a/b", Path("a/b")),
        ("file:///a/b", Path("/a/b")),
        ("s3://b/a", None),
        ("zip://::a.zip", None),
        ("a:b", Path("a:b")),
    ],
)
def test_local(url: str, path: Path | None) -> None:
    assert to_local(url) == path
    assert is_local(url) is (path is not None)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("a/b", Path("a/b")),
        (Path("a/b"), Path("a/b")),
        ("file:///a/b", Path("/a/b")),
        ("asynclocal:///a/b", Path("/a/b")),
        ("simplecache::file:///a/b", Path("/a/b")),
        ("simplecache::filecache::local:///a/b", Path("/a/b")),
        ("filecache::/a/b", Path("/a/b")),
        ("dir://b/c::file:///a", Path("/a/b/c")),
        ("dir:///c::dir://b::simplecache::file:///a", Path("/a/b/c")),
        ("dir::file:///a/b", Path("/a/b")),
        ("zip://b/c::file:///a.zip", Path("/a.zip")),
        ("simplecache::s3://b/a", None),
        ("dir://a::s3://b", None),
        ("s3://b/a", None),
    ],
)
def test_where_bytes_lie_in_the_end(url: str | Path, path: Path | None) -> None:
    assert local_place(url) == path


@pytest.mark.parametrize("name", ["s3", "gs", "az", "sftp"])
def test_a_driver_that_is_not_installed_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install it")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'dsetkit\["):
        Remote(f"{name}://user:pw@place/x")


def test_a_driver_without_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install smbprotocol")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(StorageError, match="Install smbprotocol") as caught:
        Remote("smb://user:pw@place/x")
    assert "pw" not in str(caught.value)


def test_an_unknown_protocol() -> None:
    with pytest.raises(UsageError, match=r"htpp:// is no kind of storage known here. Did you mean: http"):
        Remote("htpp://user:pw@host/x")


def test_nearest() -> None:
    assert nearest("trian", ["train", "val"]) == "There is: train."
    assert nearest("x", ["train", "val"]) == ""
