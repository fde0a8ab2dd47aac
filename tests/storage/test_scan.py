from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import tarfile
import time
import zipfile
from pathlib import Path

import fsspec
import pytest

from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.storage.scan import StatCache, Tree, scan, tree_digest

FILES = {"b.txt": b"b", "a/x.jpg": b"xx", "a/y.jpg": b"yyy", "a/in/z.jpg": b"", "Ähre/ñ.png": b"n"}
SORTED = ["a/in/z.jpg", "a/x.jpg", "a/y.jpg", "b.txt", "Ähre/ñ.png"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fill(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def found(tree: Tree) -> list[tuple[str, str | None]]:
    return [(issue.code, issue.file) for issue in tree.issues]


class TreeContract:
    """What scans of every kind of place give. A back-end inherits this and gives ``place``, which holds ``FILES``
    with ``.hidden/x`` and ``a/.x`` beside them."""

    def test_entries_are_sorted_with_sizes(self, place: str) -> None:
        tree = scan(place)
        assert list(tree.entries) == SORTED
        assert {path: entry.size_bytes for path, entry in tree.entries.items()} == {
            path: len(data) for path, data in FILES.items()
        }
        assert tree.issues == []

    def test_reading(self, place: str) -> None:
        tree = scan(place)
        assert {path: tree.read(path) for path in tree.entries} == {path: FILES[path] for path in SORTED}
        assert tree.read_head("a/y.jpg", 2) == b"yy"
        assert tree.read_head("a/y.jpg", 20) == b"yyy"
        assert tree.read("a/y.jpg", limit_bytes=3) == b"yyy"
        with pytest.raises(StorageError, match="has 3 bytes, more than the 2 allowed"):
            tree.read("a/y.jpg", limit_bytes=2)

    def test_digests(self, place: str, tmp_path: Path) -> None:
        expected = {path: sha(data) for path, data in FILES.items()}
        tree = scan(place, cache=StatCache(tmp_path / "cache.db"))
        assert tree.digest("b.txt") == sha(b"b")
        assert tree.digests() == expected
        lines = "".join(f"{path}\0{expected[path]}\n" for path in SORTED)
        assert tree_digest(tree, reversed(SORTED)) == sha(lines.encode())
        assert scan(place, cache=StatCache(tmp_path / "cache.db")).digests() == expected

    def test_subtree(self, place: str) -> None:
        tree = scan(place).subtree("a/")
        assert list(tree.entries) == ["in/z.jpg", "x.jpg", "y.jpg"]
        assert tree.read("x.jpg") == b"xx"
        assert tree.digests(["x.jpg"]) == {"x.jpg": sha(b"xx")}
        assert list(tree.subtree("x.jpg").entries) == ["x.jpg"]
        assert list(tree.subtree(".").entries) == list(tree.entries)
        with pytest.raises(NotFoundError, match=r"has no b\.txt"):
            tree.subtree("b.txt")

    def test_what_is_not_there(self, place: str) -> None:
        tree = scan(place)
        with pytest.raises(NotFoundError, match=r"has no c/x\.jpg. There is a/x\.jpg"):
            tree.read("c/x.jpg")
        with pytest.raises(NotFoundError, match=r"There is: b\.txt"):
            tree.digest("bb.txt")

    def test_exclude(self, place: str) -> None:
        assert list(scan(place, exclude=["a/in", "*.txt"]).entries) == ["a/x.jpg", "a/y.jpg", "Ähre/ñ.png"]


class TestLocal(TreeContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(fill(tmp_path / "src", {**FILES, ".hidden/x": b"1", "a/.x": b"1"}))


class TestMemory(TreeContract):
    @pytest.fixture
    def place(self, memory: str) -> str:
        for name, data in {**FILES, ".hidden/x": b"1", "a/.x": b"1"}.items():
            fsspec.filesystem("memory").pipe_file(f"{memory}/{name}", data)
        return memory


class TestHttp(TreeContract):
    @pytest.fixture
    def place(self, web) -> str:  # type: ignore[no-untyped-def]
        fill(web.folder / "my src", {**FILES, ".hidden/x": b"1", "a/.x": b"1"})
        return f"{web.url}/my%20src"


class TestZip(TreeContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        with zipfile.ZipFile(tmp_path / "src.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {**FILES, ".hidden/x": b"1", "a/.x": b"1", "__MACOSX/a": b"1"}.items():
                archive.writestr(name, data)
            archive.writestr("empty/", b"")
        return str(tmp_path / "src.zip")


class TestTar(TreeContract):
    @pytest.fixture(params=["tar", "tar.gz", "tar.xz"])
    def place(self, tmp_path: Path, request: pytest.FixtureRequest) -> str:
        fill(tmp_path / "src", {**FILES, ".hidden/x": b"1", "a/.x": b"1"})
        path = tmp_path / f"src.{request.param}"
        with tarfile.open(path, f"w:{request.param.removeprefix('tar').removeprefix('.')}") as archive:
            archive.add(tmp_path / "src", "./")
        return str(path)


def pack(folder: Path, kind: str) -> bytes:
    """An archive of ``FILES`` and what is to be passed over."""
    fill(folder, {**FILES, ".hidden/x": b"1", "a/.x": b"1"})
    path = folder.with_suffix(f".{kind}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(folder.rglob("*")):
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, f"w:{kind.removeprefix('tar').removeprefix('.')}") as archive:
            archive.add(folder, "./")
    return path.read_bytes()


class TestRemoteArchive(TreeContract):
    @pytest.fixture(params=["zip", "tar", "tar.gz", "tar.bz2"])
    def place(self, tmp_path: Path, memory: str, request: pytest.FixtureRequest) -> str:
        data = pack(tmp_path / "src", request.param)
        fsspec.filesystem("memory").pipe_file(f"{memory}/in/src.{request.param}", data)
        return f"{memory}/in/src.{request.param}"


class TestArchiveOfAServer(TreeContract):
    @pytest.fixture(params=["zip", "tar", "tar.xz", "zip without ranges"])
    def place(self, tmp_path: Path, web, request: pytest.FixtureRequest) -> str:  # type: ignore[no-untyped-def]
        kind, _, less = request.param.partition(" ")
        web.knows_ranges = not less
        fill(web.folder, {f"my files/src.{kind}": pack(tmp_path / "src", kind)})
        return f"{web.url}/my%20files/src.{kind}"


def test_single_files(tmp_path: Path, memory: str, web) -> None:  # type: ignore[no-untyped-def]
    fill(web.folder, {"in/a.json": b"{}"})
    fsspec.filesystem("memory").pipe_file(f"{memory}/a.json", b"{}")
    for url in (web.folder / "in/a.json", f"{memory}/a.json", f"{web.url}/in/a.json"):
        tree = scan(url)
        assert list(tree.entries) == ["a.json"]
        assert tree.read("a.json") == b"{}"
        assert tree.url == str(url)
        assert tree.digest("a.json") == sha(b"{}")


def test_nothing_there(tmp_path: Path, memory: str, web) -> None:  # type: ignore[no-untyped-def]
    fill(tmp_path, {"train/a": b"1"})
    fill(web.folder, {"train/a": b"1"})
    fsspec.filesystem("memory").pipe_file(f"{memory}/train/a", b"1")
    with pytest.raises(NotFoundError, match="there is: train"):
        scan(tmp_path / "trian")
    with pytest.raises(NotFoundError, match="There is: train"):
        scan(f"{memory}/trian")
    with pytest.raises(NotFoundError, match="There is: train"):
        scan(f"{web.url}/trian")
    with pytest.raises(UsageError):
        scan("s4://bucket/x")


def test_names_that_can_be_no_key(tmp_path: Path) -> None:
    fill(tmp_path, {"ok.jpg": b"1", "a\\b": b"1", "new\nline": b"1", "left\u202eright": b"1", "bad\tdir/x": b"1"})
    with open(os.fsencode(tmp_path) + b"/latin-\xe9.jpg", "wb"):
        pass
    tree = scan(tmp_path)
    assert list(tree.entries) == ["ok.jpg"]
    assert found(tree) == [
        ("path-unusable", "a\\b"),
        ("path-unusable", "bad\\tdir"),
        ("path-unusable", "latin-\\xe9.jpg"),
        ("path-unusable", "left\\u202eright"),
        ("path-unusable", "new\\nline"),
    ]
    assert "not valid UTF-8" in tree.issues[2].message


def test_collisions_after_composition(tmp_path: Path) -> None:
    fill(tmp_path, {"e\u0301.jpg": b"first", "\u00e9.jpg": b"second", "A.jpg": b"1", "a.jpg": b"2"})
    tree = scan(tmp_path)
    assert list(tree.entries) == ["A.jpg", "a.jpg", "\u00e9.jpg"]
    assert tree.read("\u00e9.jpg") == b"first"
    assert found(tree) == [("path-collision", "\u00e9.jpg")]


def test_links(tmp_path: Path) -> None:
    root = fill(tmp_path / "src", {"a/x": b"1", ".store/y": b"22"})
    fill(tmp_path, {"secret/s": b"no"})
    (root / "file").symlink_to("a/x")
    (root / "stored").symlink_to(".store/y")
    (root / "folder").symlink_to("a")
    (root / "a/up").symlink_to("..")
    (root / "a/self").symlink_to("self")
    (root / "a/side").symlink_to("../.store")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "out2").symlink_to("../secret/s")
    (root / "gone").symlink_to("nothing")
    (tmp_path / "way").symlink_to(root)
    for place in (root, tmp_path / "way"):
        tree = scan(place)
        assert list(tree.entries) == ["a/side/y", "a/x", "file", "folder/x", "stored"]
        assert tree.read("stored") == b"22"
        assert tree.digests()["folder/x"] == sha(b"1")
        assert found(tree) == [
            ("path-broken", "a/self"),
            ("path-loop", "a/up"),
            ("path-broken", "folder/self"),
            ("path-loop", "folder/side"),
            ("path-loop", "folder/up"),
            ("path-broken", "gone"),
            ("path-outside", "out"),
            ("path-outside", "out2"),
        ]


def test_links_do_not_multiply(tmp_path: Path) -> None:
    for level in range(30):
        fill(tmp_path, {f"{level}/x": b"1"})
        for link in "ab":
            (tmp_path / f"{level}/{link}").symlink_to(f"../{level + 1}" if level < 29 else "../0")
    assert len(scan(tmp_path).entries) == 30 * 3


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        tree = scan(tmp_path)
    assert tree.entries == {}
    assert found(tree) == [("path-special", "pipe"), ("path-special", "socket")]
    with pytest.raises(StorageError, match="neither a file nor a folder"):
        scan(tmp_path / "pipe")


def test_a_deep_tree(tmp_path: Path) -> None:
    name = "/".join("d" * 480) + "/x"
    fill(tmp_path, {name: b"1", "/".join(["e" * 200] * 6) + "/x": b"1"})
    tree = scan(tmp_path)
    assert list(tree.entries) == [name]
    assert [issue.code for issue in tree.issues] == ["path-unusable"]


def test_a_file_that_changed_since_is_not_read(tmp_path: Path) -> None:
    tree = scan(fill(tmp_path, {"a": b"1", "b": b"1", "c": b"1", "d": b"1"}))
    time.sleep(0.01)
    (tmp_path / "a").write_bytes(b"2")
    (tmp_path / "b").unlink()
    (tmp_path / "c").unlink()
    os.mkfifo(tmp_path / "c")
    for path in "abc":
        for method in (tree.read, tree.digest):
            with pytest.raises(StorageError, match=f"{path} has changed since it was scanned"):
                method(path)
    assert tree.read("d") == b"1"


def test_a_remote_file_that_changed_since_is_not_read(memory: str) -> None:
    fsspec.filesystem("memory").pipe_file(f"{memory}/a", b"1")
    tree = scan(memory)
    fsspec.filesystem("memory").pipe_file(f"{memory}/a", b"22")
    with pytest.raises(StorageError, match="has changed since it was listed"):
        tree.read("a")


def test_the_cache_spares_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "src", {f"{number}": str(number).encode() for number in range(200)})
    cache = StatCache(tmp_path / "cache.db")
    before = scan(root, cache=cache).digests()
    assert cache.recall(str(root)) == {}  # just written: not yet trusted
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3_000_000_000)
    assert scan(root, cache=cache).digests() == before
    assert len(cache.recall(str(root))) == 200
    opened: list[str] = []
    real_open = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *args, **options: opened.append(path) or real_open(path, *args, **options)
    )
    assert scan(root, cache=cache).digests() == before
    assert {Path(path).name for path in opened} == {"cache.db", "cache.db.lock"}
    (root / "7").write_bytes(b"8")
    again = scan(root, cache=cache)
    assert again.subtree("").digest("7") == sha(b"8")
    assert [os.path.basename(path) for path in opened if str(path).startswith(str(root))].count("8") == 0


def test_remote_tags_are_remembered_and_weak_ones_are_not(tmp_path: Path, web) -> None:  # type: ignore[no-untyped-def]
    fill(web.folder, {"src/a": b"1", "src/b": b"2"})
    cache = StatCache(tmp_path / "cache.db")
    expected = scan(f"{web.url}/src", cache=cache).digests()
    web.asked.clear()
    assert scan(f"{web.url}/src", cache=cache).digests() == expected
    assert [asked for asked in web.asked if asked[0] == "GET" and asked[1].endswith(("/a", "/b"))] == []


def test_a_failure_keeps_what_was_hashed(tmp_path: Path) -> None:
    root = fill(tmp_path / "src", {f"{number:03}": b"1" for number in range(300)})
    tree = scan(root)
    (root / "299").unlink()
    with pytest.raises(StorageError, match="299 has changed"):
        tree.digests()
    assert len(tree._digests) >= 200


def test_issues_of_a_subtree(tmp_path: Path) -> None:
    fill(tmp_path, {"a/x": b"1", "a/b\\c": b"1", "d\\e": b"1"})
    assert found(scan(tmp_path).subtree("a")) == [("path-unusable", "b\\c")]


def test_hostile_zips(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ok", b"1" * 100)
        archive.writestr("../up", b"1")
        archive.writestr("/etc/passwd", b"1")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    tree = scan(path)
    assert list(tree.entries) == ["ok"]
    assert found(tree) == [("path-unusable", "../up"), ("path-unusable", "/etc/passwd"), ("path-special", "link")]
    data = path.read_bytes()
    path.write_bytes(data.replace(b"1" * 100, b"1" * 99 + b"2"))
    with pytest.raises(StorageError, match=r"ok of .* could not be unpacked"):
        scan(path).read("ok")
    path.write_bytes(data[:50])
    with pytest.raises(StorageError, match="could not be unpacked"):
        scan(path)


def test_hostile_tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("ok", tarfile.REGTYPE),
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("../up", b"0"),
        ):
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "ok"
            archive.addfile(info, io.BytesIO())
        info = tarfile.TarInfo("cut")
        info.size = 5000
        archive.addfile(info, io.BytesIO(b"1" * 5000))
    tree = scan(path)
    assert list(tree.entries) == ["cut", "ok"]
    assert found(tree) == [("path-unusable", "../up"), ("path-special", "hard"), ("path-special", "link")]
    os.truncate(path, 4096)
    with pytest.raises(StorageError, match=r"a\.tar has changed since it was scanned"):
        tree.read("cut")
    with pytest.raises(StorageError, match=r"a\.tar could not be unpacked"):
        scan(path)
    (tmp_path / "b.tar.gz").write_bytes(b"no gzip")
    with pytest.raises(StorageError, match="could not be unpacked"):
        scan(tmp_path / "b.tar.gz")
    monkeypatch.setattr("dsetkit.storage.archive.ALWAYS_BYTES", 1000)
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 3_000_000
        archive.addfile(info, io.BytesIO(bytes(3_000_000)))
    with pytest.raises(StorageError, match="unfolds to more than"):
        scan(tmp_path / "bomb.tgz")
