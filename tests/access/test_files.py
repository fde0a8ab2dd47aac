from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsetkit.access.files import document_text, names_below, parse_document, read_below, shown, write_below
from dsetkit.errors import TamperError
from dsetkit.spec.policy import AccessPolicy, Principal

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB/dPryNHHSmqjPuwNvfGtq6LGTmIWBPW8HqxuK1jKv8"
POLICY = AccessPolicy(
    project="ab" * 16, version=1, admins=("ada",), principals={"ada": Principal(age=(KEY,), ssh=(KEY,))}
)


def test_files_are_read_within_limits_and_through_no_link(tmp_path: Path) -> None:
    write_below(tmp_path, "a/b/c", b"12345")
    assert read_below(tmp_path, "a/b/c", 5) == b"12345"
    assert read_below(tmp_path, "a/b/d", 5) is None
    assert read_below(tmp_path, "x/b/c", 5) is None
    assert read_below(tmp_path / "none", "x", 5) is None
    assert names_below(tmp_path, "a/b", 1) == ["c"]
    assert names_below(tmp_path, "a/x", 1) == []
    with pytest.raises(TamperError, match="a/b/c has more than 4 bytes"):
        read_below(tmp_path, "a/b/c", 4)
    with pytest.raises(TamperError, match="a/b has more than 0 files"):
        names_below(tmp_path, "a/b", 0)
    (tmp_path / "a/b/link").symlink_to("c")
    (tmp_path / "l").symlink_to("a")
    os.mkfifo(tmp_path / "a/pipe")
    for name in ("a/b/link", "l/b/c", "a/b/c/d"):
        with pytest.raises(TamperError, match="is a link, or lies behind one"):
            read_below(tmp_path, name, 5)
    with pytest.raises(TamperError, match="is a link, or lies behind one"):
        names_below(tmp_path, "l/b", 5)
    with pytest.raises(TamperError, match="is a link, or lies behind one"):
        write_below(tmp_path, "l/b/new", b"")
    for name in ("a/pipe", "a/b"):
        with pytest.raises(TamperError, match="is no regular file"):
            read_below(tmp_path, name, 5)
    for name in ("../x/y", "a//b", "./a/b"):
        with pytest.raises(ValueError, match="is no path below a root"):
            read_below(tmp_path, name, 5)
    assert not (tmp_path / "a/b/new").exists()


def test_a_link_that_is_written_to_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "file").symlink_to("target")
    write_below(tmp_path, "file", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert read_below(tmp_path, "file", 5) == b"new"


def test_a_document_has_one_text() -> None:
    text = document_text(POLICY)
    assert text.startswith(b'{\n  "admins": [\n    "ada"\n  ],\n  "format": 1,\n  "principals": {\n')
    assert text.endswith(b'"version": 1\n}\n')
    assert parse_document(AccessPolicy, text, "x") == POLICY
    for other in (
        text + b"\n",
        text[:-1],
        text.replace(b"  ", b" "),
        text.replace(b'"version": 1', b'"threshold": 1,\n  "version": 1'),
        text.replace(b'"version": 1', b'"version": 1,\n  "version": 1'),
        text.replace(b'"version": 1', b'"version": "1"'),
        text.replace(b'"version": 1', b'"version": 1.0'),
        text.replace(b'"ada"', b'"\\u0061da"'),
    ):
        with pytest.raises(TamperError, match="x is not in the form that is signed"):
            parse_document(AccessPolicy, other, "x")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b'{"version": %s}' % (b"9" * 5000),
        b'{"version": %s}' % (b"9" * 4300),
        b"[]",
        b"\xff",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 5000,
        b"9" * 100_000,
        b'{"\x1b[31m": 1}',
    ],
)
def test_what_is_no_document_is_refused_briefly(text: bytes) -> None:
    with pytest.raises(TamperError, match="x is not what it must be") as found:
        parse_document(AccessPolicy, text, "x")
    assert len(str(found.value)) < 700
    assert str(found.value).isprintable()


def test_text_of_others_is_shown_without_its_tricks() -> None:
    assert shown("a\x1b[31m\n\u202eb\u00e4\ud800") == r"a\x1b[31m\n\u202eb\xe4\ud800"
    assert len(shown("a" * 1000)) == 200
