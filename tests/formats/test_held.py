"""Pictures that lie inside label files."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.boxed import OPENED, Boxed

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.formats.base import HeldPicture
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract, png
from dsetkit.storage import held as storage_held
from dsetkit.storage.held import holding, picked
from dsetkit.storage.scan import StatCache, Tree, scan


def item(name: str, category: str = "cat", data: bytes | str | None = None, **more: Any) -> dict[str, Any]:
    data = png(8, 8, len(name)) if data is None else data
    text = data if isinstance(data, str) else base64.b64encode(data).decode()
    return {"name": name, "category": category, "data": text, **more}


def put(path: Path, *items: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pictures": list(items)}))
    return path


class TestBoxed(ReadContract):
    format = Boxed()

    def example(self, folder: Path) -> None:
        put(folder / "one.boxed.json", item("a.png"), item("in/b.png", "dog"))
        put(folder / "two.boxed.json", item("c.png"))


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    storage_held._kept.clear()
    OPENED.clear()
    yield
    storage_held._kept.clear()


def test_they_are_entries_of_the_tree(tmp_path: Path) -> None:
    put(tmp_path / "one.boxed.json", item("a.png"), item("in/b.png", size=1234))
    (tmp_path / "lonely.png").write_bytes(png(4, 4))
    opened = open_labels(tmp_path, Boxed())
    tree = opened.tree
    assert list(tree.entries) == ["a.png", "in/b.png", "lonely.png", "one.boxed.json"]
    assert [row["key"] for row in opened.labels.rows] == ["a.png", "in/b.png", "lonely.png"]
    assert opened.labels.issues == ()
    assert tree.read("a.png") == png(8, 8, 5)
    assert tree.read_head("a.png", 4) == b"\x89PNG"
    assert tree.read_range("a.png", 1, 3) == b"PNG"
    assert b"".join(tree.chunks("a.png")) == png(8, 8, 5)
    assert tree.entries["in/b.png"].size_bytes == 1234
    assert 0 < tree.entries["a.png"].size_bytes < 1000  # about
    assert tree.digest("a.png") == hashlib.sha256(png(8, 8, 5)).hexdigest()
    assert list(tree.subtree("in").entries) == ["b.png"]
    assert tree.subtree("in").read("b.png") == png(8, 8, 8)
    with pytest.raises(StorageError, match="bytes, not"):
        tree.read_range("a.png", 1, 10**12)


def test_readers_go_into_other_processes_and_open_a_container_once(tmp_path: Path) -> None:
    put(tmp_path / "one.boxed.json", *(item(f"{number}.png") for number in range(50)))
    tree = open_labels(tmp_path, Boxed()).tree
    readers = [pickle.loads(pickle.dumps(tree.reader(f"{number}.png"))) for number in range(50)]
    assert len(pickle.dumps(tree.reader("0.png"))) < 1500
    assert readers[7]() == png(8, 8, 5)
    assert {reader() for reader in readers} == {png(8, 8, 5), png(8, 8, 6)}
    assert len(OPENED) == 1


def test_a_container_that_changed_is_not_read(tmp_path: Path) -> None:
    path = put(tmp_path / "one.boxed.json", item("a.png"))
    tree = open_labels(tmp_path, Boxed()).tree
    time.sleep(0.01)
    put(path, item("a.png", data=b"other"))
    with pytest.raises(StorageError, match="has changed since it was scanned"):
        tree.read("a.png")


def test_what_cannot_be_had_counts_as_empty(tmp_path: Path) -> None:
    put(tmp_path / "one.boxed.json", item("a.png", data="$"))
    assert open_labels(tmp_path, Boxed()).tree.read("a.png") == b""


def test_names_that_cannot_be_and_names_twice(tmp_path: Path) -> None:
    put(tmp_path / "one.boxed.json", item("../a.png"), item("b.png", data=b"held"), item("c.png", data=b"first"))
    put(tmp_path / "two.boxed.json", item("c.png", data=b"second"), item("d.png", size=10**13))
    (tmp_path / "b.png").write_bytes(b"file")
    tree = scan(tmp_path)
    whole, there = holding(tree, Boxed().held(tree, {}), containers=tree, version="1")
    assert there == {"c.png"}
    assert (whole.read("b.png"), whole.read("c.png")) == (b"file", b"first")
    assert [(issue.code, issue.file) for issue in whole.issues] == [
        ("path-unusable", "../a.png"),
        ("path-collision", "two.boxed.json//c.png"),
        ("picture-too-large", "d.png"),
    ]
    with pytest.raises(NotFoundError):
        holding(tree, [HeldPicture("x.png", "gone.json", bytes)], containers=tree, version="1")


def test_digests_are_remembered_by_container_and_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "src" / "one.boxed.json", item("a.png"), item("b.png", data=b"b"))
    cache = StatCache(tmp_path / "cache.db")
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3_000_000_000)

    def digests(version: str) -> dict[str, str]:
        storage_held._kept.clear()
        OPENED.clear()
        tree = scan(path.parent, cache=cache)
        whole, _ = holding(tree, Boxed().held(tree, {}), containers=tree, version=version)
        return whole.digests()

    first = digests("1")
    assert first["b.png"] == hashlib.sha256(b"b").hexdigest()
    assert len(OPENED) == 1
    assert digests("1") == first
    assert OPENED == []
    assert digests("2") == first
    assert len(OPENED) == 1
    time.sleep(0.01)
    put(path, item("a.png"), item("b.png", data=b"c"))
    assert digests("2")["b.png"] == hashlib.sha256(b"c").hexdigest()


def test_very_many_of_them_need_no_bytes(tmp_path: Path) -> None:
    """A hundred thousand pictures of 10 MB each are an entry each and no more."""
    (tmp_path / "array.bin").write_bytes(bytes(1000))
    tree = scan(tmp_path)

    def pictures(tree: Tree) -> Iterator[HeldPicture]:
        for number in range(100_000):
            yield HeldPicture(f"{number}.png", "array.bin", tree.range_reader("array.bin", 0, 1), 10_000_000)

    whole, there = holding(tree, pictures(tree), containers=tree, version="1")
    assert len(there) == 100_000
    assert whole.read("99999.png") == b"\0"
    assert sys.getsizeof(pickle.dumps(whole.reader("5.png"))) < 1500


def test_few_containers_are_kept(tmp_path: Path) -> None:
    for number in range(10):
        put(tmp_path / f"{number}.boxed.json", item(f"{number}.png"))
    tree = open_labels(tmp_path, Boxed()).tree
    assert {tree.read(f"{number}.png") for number in range(10)} == {png(8, 8, 5)}
    assert len(storage_held._kept) == storage_held.KEPT
    single = picked(scan(tmp_path), "0.boxed.json", len, lambda size: b"%d" % size)
    assert int(single()) == (tmp_path / "0.boxed.json").stat().st_size


def test_an_archive_of_containers(tmp_path: Path) -> None:
    import shutil

    put(tmp_path / "src" / "one.boxed.json", item("a.png"), item("b.png"))
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "src")
    opened = open_labels(packed, Boxed())
    assert opened.tree.read("b.png") == png(8, 8, 5)
    assert pickle.loads(pickle.dumps(opened.tree.reader("a.png")))() == png(8, 8, 5)
    assert len(read_labels(packed, Boxed())) == 2
