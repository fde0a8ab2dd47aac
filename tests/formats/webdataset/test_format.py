from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import tarfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.export_names import named
from dsetkit.formats.loss import Ledger
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import (
    FormatContract,
    MemoryExport,
    ReadContract,
    check_labels,
    files_of,
    png,
)
from dsetkit.formats.webdataset.files import split_name
from dsetkit.formats.webdataset.format import WebDataset
from dsetkit.formats.webdataset.tar import TarError, TarWalk
from dsetkit.formats.writing import write_labels
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License
from dsetkit.storage.scan import scan


def tar(members: dict[str, Any] | list[tuple[str, Any]], form: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as opened:
        for name, content in members.items() if isinstance(members, dict) else members:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return out.getvalue()


def put(folder: Path, **shards: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, members in shards.items():
        (folder / f"{name.replace('_', '-')}.tar").write_bytes(members if isinstance(members, bytes) else tar(members))
    return folder


class TestWritten(FormatContract):
    format = WebDataset()

    def test_pictures_come_back_byte_for_byte(self, tmp_path: Path) -> None:
        """Pictures lie in shards."""
        export = self.plain()
        tree = open_labels(self.written(tmp_path / "out", export), self.format).tree
        ledger = Ledger(self.format.name)
        prepared = self.format.prepare(export, {}, ledger)
        for row in export.rows():
            assert tree.read(self.format.carry(row, prepared, ledger)["key"]) == export.picture(row)

    def test_pictures_are_named_by_a_template_where_names_are_free(self, tmp_path: Path) -> None:
        """Folders, too."""
        export = named(self.plain(), self.format, "{split}/{category}/{index:03d}.{ext}")
        opened = open_labels(self.written(tmp_path / "out", export), self.format)
        assert [row["key"] for row in opened.labels.rows] == [row["key"] for row in export.rows()]
        assert all(opened.tree.read(row["key"]) == export.picture(row) for row in export.rows())


class TestShards(ReadContract):
    format = WebDataset()

    def example(self, folder: Path) -> None:
        put(
            folder / "train",
            s_000000={"a.jpg": png(8, 8), "a.cls": b"1", "b.jpg": png(8, 8, 1), "b.cls": b"0", "b.txt": b"a cat"},
            s_000001={"a.jpg": png(8, 8, 2), "a.json": {"label": "dog", "caption": "x", "n": 1.5}},
        )


class TestPacked(ReadContract):
    format = WebDataset()

    def example(self, folder: Path) -> None:
        (folder / "s.tar.gz").write_bytes(gzip.compress(tar({"a.png": png(8, 8), "a.cls": b"cat"}), mtime=0))


class TestLoose(ReadContract):
    format = WebDataset()

    def example(self, folder: Path) -> None:
        for name, data in {"a.png": png(8, 8), "a.cls": b"3", "b.png": png(8, 8), "b.cls": b"1", "b.txt": b"x"}.items():
            (folder / name).write_bytes(data)


def read(folder: Path, members: Any) -> Any:
    return read_labels(put(folder, train_0=members), "webdataset")


def test_names_of_members_are_split_as_webdataset_does() -> None:
    from webdataset.tariterators import base_plus_ext

    for path in ("a/b.c/0001.Left.JPG", "0001.jpg", "a.tar.gz", "x/y", "x..y", "a.b/c"):
        stem, field = base_plus_ext(path)
        assert split_name(path) == (None if stem is None else (stem, field.lower()))
    assert [split_name(path) for path in ("__meta__/a.jpg", ".hidden", "a/.b", "a/b.")] == [None] * 4


def test_fields(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "1.jpg": png(8, 8),
            "1.cls": b"2\n",
            "2.PNG": png(8, 8),
            "2.cls": b"great dane",
            "2.txt": "ein Höhlenbär\n".encode(),
            "3.jpg": png(8, 8),
            "3.json": {"label": 0, "caption": "x", "url": "https://example.org", "nested": {"a": [1, None]}},
            "4.jpg": png(8, 8),
            "4.json": {"width": 3},
            "5.jpg": png(8, 8),
            "sub/6.jpg": png(8, 8),
            "sub/6.label": b"great dane",
            "sub/6.meta.json": [1, 2],
        },
    )
    rows = {row["key"]: row for row in found.rows}
    assert list(rows) == [f"train-0/{name}" for name in ("1.jpg", "2.PNG", "3.jpg", "4.jpg", "5.jpg", "sub/6.jpg")]
    assert rows["train-0/1.jpg"]["annotations"] == [{"id": "0", "kind": "image_label", "category": "2"}]
    assert rows["train-0/2.PNG"]["annotations"] == [
        {"id": "0", "kind": "image_label", "category": "great dane"},
        {"id": "1", "kind": "caption", "text": "ein Höhlenbär"},
    ]
    assert rows["train-0/3.jpg"]["attributes"]["nested"] == {"a": [1, None]}
    assert [item.get("category", item.get("text")) for item in rows["train-0/3.jpg"]["annotations"]] == ["0", "x"]
    assert rows["train-0/4.jpg"] == {"key": "train-0/4.jpg", "subsets": ("train",), "attributes": {"width": 3}}
    assert "labelled" not in rows["train-0/5.jpg"]
    assert rows["train-0/sub/6.jpg"]["attributes"] == {"meta": [1, 2]}
    assert [(item.name, item.source_ids) for item in found.categories] == [
        ("0", ("0",)),
        ("1", ("1",)),
        ("2", ("2",)),
        ("great dane", ()),
    ]
    assert found.issues == ()


def test_numbers_are_called_as_the_list_says(tmp_path: Path) -> None:
    put(tmp_path / "test", x_0={"1.webp": png(8, 8), "1.cls": b"1", "2.webp": png(8, 8), "2.cls": b"7"})
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    found = read_labels(tmp_path)
    assert [row["annotations"][0]["category"] for row in found.rows] == ["dog", "7"]
    assert [(item.name, item.source_ids) for item in found.categories] == [("cat", ("0",)), ("dog", ("1",)), ("7", ())]
    assert {row["subsets"] for row in found.rows} == {("test",)}


@pytest.mark.parametrize(
    ("path", "subset"),
    [
        ("imagenet-train-000017.tar", "train"),
        ("val/000.tar", "val"),
        ("train2017_0.tar", "train"),
        ("cc12m/0.tar", None),
        ("testing/latest.tar", "testing"),
    ],
)
def test_subsets_by_the_shards_path(tmp_path: Path, path: str, subset: str | None) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(tar({"1.jpg": png(8, 8), "1.cls": b"1"}))
    (row,) = read_labels(tmp_path).rows
    assert row.get("subsets") == (None if subset is None else (subset,))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_all_kinds(tmp_path: Path, form: int) -> None:
    long = f"{'x' * 90}/{'y' * 120}" if form != tarfile.USTAR_FORMAT else f"{'x' * 90}/{'y' * 60}"
    name = "straße" if form != tarfile.USTAR_FORMAT else "strasse"
    data = tar({f"{long}.jpg": png(8, 8), f"{long}.cls": b"0", f"{name}.jpg": png(4, 4)}, form)
    opened = open_labels(put(tmp_path, s=data), "webdataset")
    assert [row["key"] for row in opened.labels.rows] == [f"s/{name}.jpg", f"s/{long}.jpg"]
    assert opened.tree.read(f"s/{long}.jpg") == png(8, 8)
    assert opened.labels.rows[1]["labelled"] == "yes"


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("tar", bytes),
        ("tar.gz", gzip.compress),
        ("tgz", gzip.compress),
        ("tar.bz2", bz2.compress),
        ("txz", lzma.compress),
    ],
)
def test_packed_shards_and_readers_in_other_processes(tmp_path: Path, suffix: str, pack: Any) -> None:
    data = tar({"1.png": png(8, 8), "1.cls": b"0", "2.png": png(9, 9), "2.cls": b"1"})
    (tmp_path / f"a.{suffix}").write_bytes(pack(data))
    opened = open_labels(tmp_path)
    assert opened.found[0].confidence == 0.92
    assert [row["key"] for row in opened.labels.rows] == ["a/1.png", "a/2.png"]
    again = pickle.loads(pickle.dumps(opened.tree.reader("a/2.png")))
    assert again() == png(9, 9)


def test_one_tar_and_an_unpacked_one_are_read_alike(tmp_path: Path) -> None:
    put(tmp_path, one={"1.jpg": png(8, 8), "1.cls": b"4", "s/2.jpg": png(8, 8), "s/2.cls": b"5", "s/2.txt": b"hm"})
    from_tar = read_labels(tmp_path / "one.tar")
    shutil.unpack_archive(tmp_path / "one.tar", tmp_path / "loose", filter="data")
    from_folder = read_labels(tmp_path / "loose")
    assert from_tar.rows == from_folder.rows
    assert [row["key"] for row in from_tar.rows] == ["1.jpg", "s/2.jpg"]
    assert [item["kind"] for item in from_tar.rows[1]["annotations"]] == ["image_label", "caption"]
    assert Counter(item.name for item in from_tar.categories) == Counter("012345")


def test_several_pictures_of_a_sample(tmp_path: Path) -> None:
    found = read(tmp_path, {"1.left.png": png(8, 8), "1.png": png(8, 8), "1.right.png": png(8, 8), "1.cls": b"a"})
    assert [(row["key"], row.get("labelled")) for row in found.rows] == [
        ("train-0/1.left.png", None),
        ("train-0/1.png", "yes"),
        ("train-0/1.right.png", None),
    ]
    (issue,) = found.issues
    assert issue.describe() == (
        "train-0.tar: 1: it has 3 pictures; its labels are taken for train-0/1.png. The others count as not labelled. "
        "[pictures-several]"
    )


def test_what_is_wrong_with_members(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [
            ("1.jpg", png(8, 8)),
            ("1.cls", b"\xff\xfe\xfa"),
            ("1.json", b"{"),
            ("2.jpg", png(8, 8)),
            ("2.cls", b"a"),
            ("2.CLS", b"b"),
            ("2.npy", b"x"),
            ("2.pyd", pickle.dumps(1)),
            ("1.txt", b"late"),
            ("../2.jpg", png(8, 8)),
            ("3.json", b'{"x": NaN, "label": "c"}'),
            ("noext", b""),
            ("4.cls", b"nobody"),
        ],
    )
    assert [(issue.code, issue.place) for issue in found.issues] == [
        ("member-twice", "2.CLS"),
        ("member-twice", "../2.jpg"),
        ("sample-scattered", None),
        ("member-unread", None),
        ("member-unread", None),
        ("member-unreadable", "1.json"),
        ("member-unreadable", "1.cls"),
        ("number-not-finite", "3.json.x"),
        ("picture-missing", None),
        ("picture-missing", None),
    ]
    assert found.issues[3].describe() == (
        "train-0.tar: 1 members .npy are not read. Only pictures, classes, texts and JSON are. [member-unread]"
    )
    rows = {row["key"]: row for row in found.rows}
    assert rows["train-0/1.jpg"]["annotations"] == [{"id": "0", "kind": "caption", "text": "late"}]
    assert rows["train-0/2.jpg"]["annotations"][0]["category"] == "a"
    assert rows["train-0/3"]["attributes"] == {"x": None, "label": "c"}


def test_a_shard_that_is_cut_off_gives_what_stands_before(tmp_path: Path) -> None:
    whole = tar(
        {f"{number}.{ext}": png(8, 8) if ext == "jpg" else b"1" for number in range(9) for ext in ("jpg", "cls")}
    )
    put(tmp_path, a=whole, b=whole[:3000], c=b"\0" * 512 + whole)
    (tmp_path / "d.tgz").write_bytes(gzip.compress(whole)[:150])
    opened = open_labels(tmp_path, "webdataset")
    assert Counter(row["key"][0] for row in opened.labels.rows) == {"a": 9, "b": 2}
    assert opened.tree.read("b/1.jpg") == png(8, 8)
    assert [issue.describe() for issue in opened.labels.issues] == [
        "b.tar: it ends at byte 3,000 without the zeros that end a tar. Fetch the shard again; what stands before is "
        "read. [shard-damaged]"
    ]


def walked(data: bytes) -> tuple[list[str], str]:
    names = []
    try:
        for member in TarWalk(lambda start, length: data[start : start + length], len(data)).members():
            names.append(member.name)
    except TarError as error:
        return names, str(error)
    return names, ""


def header(name: bytes = b"a.jpg", size: bytes = b"00000000000", kind: bytes = b"0") -> bytes:
    block = name.ljust(100, b"\0") + bytes(24) + size.ljust(12, b"\0") + bytes(12) + b" " * 8 + kind + bytes(100)
    block += b"ustar\x0000" + bytes(247)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


@pytest.mark.parametrize(
    ("data", "names", "message"),
    [
        (header(size=b"\xff" * 12), [], "at byte 0 stands a header without a size"),
        (header(size=b"\x80" + b"\x7f" * 11), [], "it ends at byte 512, within 'a.jpg'"),
        (header(size=b"99999999999"), [], "at byte 0 stands a header without a size"),
        (header(kind=b"x", size=b"77777777777"), [], "at byte 0 stands a name of 8,589,934,591 bytes"),
        (header(kind=b"L") * 5000, [], "it ends at byte 2,560,000 without the zeros"),
        (header(kind=b"x") * 5000 + header() + bytes(512), ["a.jpg"], ""),
        (header(kind=b"x", size=b"00000000012") + b"99 path=".ljust(512, b"\0"), [], "an extended header of it is"),
        (header(kind=b"x", size=b"00000000014") + b"12 size=-1\n\n".ljust(512, b"\0"), [], "an extended header of it"),
        (header() + b"\1" * 512, ["a.jpg"], "at byte 512 stands no header of a tar"),
        (header(kind=b"2") + header(b"b.jpg") + bytes(1024), ["b.jpg"], ""),
        (header() + bytes(1024), ["a.jpg"], ""),
        (b"", [], "it ends at byte 0 without the zeros"),
    ],
)
def test_tars_that_would_trap_a_reader(data: bytes, names: list[str], message: str) -> None:
    found = walked(data)
    assert found[0] == names
    assert found[1].startswith(message)
    assert bool(found[1]) == bool(message)


def test_members_are_found_as_tarfile_finds_them(tmp_path: Path) -> None:
    members = {f"{'d' * (number % 130)}/{number}.jpg": bytes(number * 37 % 2000) for number in range(1, 300)}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = tar(members, form)
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            expected = [(member.name, member.offset_data, member.size) for member in opened]
        found = TarWalk(lambda start, length, data=data: data[start : start + length], len(data)).members()  # type: ignore[misc]
        assert [tuple(member) for member in found] == expected


def test_a_tar_of_anything_else_is_none(tmp_path: Path) -> None:
    put(tmp_path, code={"src/main.py": b"x", "README": b"y"}, empty={}, noise=bytes(range(256)) * 8)
    assert WebDataset().detect(scan(tmp_path)) is None
    with pytest.raises(FormatError, match="no WebDataset labels in"):
        read_labels(tmp_path, "webdataset")


def test_pictures_in_a_tar_beside_labels_of_another_format_do_not_win(tmp_path: Path) -> None:
    put(tmp_path, images={"a.jpg": png(8, 8)})
    coco = {"images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 8}], "annotations": [], "categories": []}
    (tmp_path / "instances_train.json").write_text(json.dumps(coco))
    found, others = registry.detect(scan(tmp_path))
    assert found.format == "coco"
    assert [(item.format, item.confidence) for item in others if item.format == "webdataset"] == [("webdataset", 0.25)]


def rich() -> MemoryExport:
    categories = [Category(name="cat", index=0, supercategory="animal"), Category(name="dog\nrose", index=1)]
    annotations = (
        {"id": "7", "kind": "box", "category": "cat", "bbox_xywh_px": (1.5, 2.0, 3.0, 4.0), "status": "declined"},
        {"id": "x", "kind": "image_label", "category": "dog\nrose", "track": {"id": "1"}, "annotator": "ann"},
        {"id": "c", "kind": "caption", "text": "a caption"},
    )
    rows: list[dict[str, Any]] = [
        {"key": "s/a.b.JPG", "labelled": "partial", "annotations": annotations, "split": "train", "source_id": "9"},
        {"key": "s/a_b.jpg", "subsets": ("fold 1", "x"), "attributes": {"rain": True}, "labelled": "yes"},
        {"key": "s/c.jpg", "provenance": {"license": "CC0", "uri": "https://example.org"}},
        {"key": "s/d.jpg"},
    ]
    return MemoryExport(rows, categories, info={"year": 2024}, licenses=[License(name="CC0")])


def test_everything_comes_back(tmp_path: Path) -> None:
    report = write_labels(rich(), tmp_path / "out", "webdataset", strict=True)
    assert report.losses == ()
    assert sorted(files_of(tmp_path / "out")) == ["data-000000.tar", "fold_1-000000.tar", "train-000000.tar"]
    found = read_labels(tmp_path / "out")
    assert [row["key"] for row in found.rows] == ["s/a_b-2.jpg", "s/a_b.jpg", "s/c.jpg", "s/d.jpg"]
    second, first, third, _ = found.rows
    assert first["labelled"] == "partial"
    assert first["subsets"] == ("train",)
    assert first["annotations"][0]["status"] == "declined"
    assert first["annotations"][1]["track"] == {"id": "1"}
    assert second["subsets"] == ("fold 1", "x")
    assert third["provenance"] == {"license": "CC0", "uri": "https://example.org"}
    assert [category.to_row() for category in found.categories] == [item.to_row() for item in rich().categories]
    assert found.info == {"year": 2024}
    assert found.licenses == (License(name="CC0"),)


def test_webdataset_reads_what_is_written(tmp_path: Path) -> None:
    import webdataset

    write_labels(rich(), tmp_path / "out", "webdataset")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = webdataset.WebDataset(str(tmp_path / "out" / "train-000000.tar"), shardshuffle=False).decode()
        (sample,) = list(pipeline)
    assert sample["__key__"] == "s/a_b"
    assert sample["cls"] == 1
    assert sample["txt"] == "a caption"
    assert sample["json"]["annotations"][0]["bbox_xywh_px"] == [1.5, 2.0, 3.0, 4.0]
    assert isinstance(sample["jpg"], bytes)
    alone = read_labels(tmp_path / "out" / "train-000000.tar")
    assert alone.rows == (next(row for row in read_labels(tmp_path / "out").rows if row["key"] == "s/a_b.jpg"),)
    assert [category.name for category in alone.categories] == ["cat", "dog\nrose"]


def test_shards_end_at_a_stated_size_and_are_always_the_same(tmp_path: Path) -> None:
    rows = [{"key": f"s/{number:03d}.png", "split": ("train", "val")[number % 3 == 0]} for number in range(60)]
    pictures: dict[str, bytes | None] = {row["key"]: bytes(400) for row in rows}
    export = MemoryExport(rows, pictures=pictures)
    for place in ("one", "two"):
        write_labels(export, tmp_path / place, "webdataset", options={"shard_bytes": 4000})
    files = files_of(tmp_path / "one")
    assert files == files_of(tmp_path / "two")
    assert [name for name in files if name.endswith(".tar")] == [
        *(f"train-{number:06d}.tar" for number in range(4)),
        *(f"val-{number:06d}.tar" for number in range(2)),
    ]
    with tarfile.open(tmp_path / "one" / "train-000000.tar") as opened:
        members = opened.getmembers()
    assert len(members) == 21  # a picture and its JSON each, and the list of categories
    assert {(member.mode, member.mtime, member.uid, member.gid, member.uname) for member in members} == {
        (0o644, 0, 0, 0, "")
    }
    for wrong in (0, -1, "1 GB", 10**12, 1.5, True):
        with pytest.raises(UsageError, match="the option shard_bytes is"):
            write_labels(export, tmp_path / "three", "webdataset", options={"shard_bytes": wrong})


def test_samples_without_pictures_come_back(tmp_path: Path) -> None:
    rows = [{"key": "s/a.png", "labelled": "yes"}, {"key": "s/b.png"}]
    export = MemoryExport(rows, pictures={"s/a.png": None, "s/b.png": None})
    write_labels(export, tmp_path / "out", "webdataset")
    assert list(read_labels(tmp_path / "out", "webdataset").rows) == [
        {"key": "s/a.png", "labelled": "yes"},
        {"key": "s/b.png"},
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"annotations": [{"id": "0", "kind": "blob"}]},
        {"annotations": [{"id": "0", "kind": "box"}, {"id": "0", "kind": "box"}]},
        {"annotations": 7},
        {"labelled": "maybe"},
        {"width_px": 10**12},
        {"provenance": {"frame": 10**30}},
    ],
)
def test_json_of_dsetkit_that_is_not_as_it_writes_it(tmp_path: Path, wrong: dict[str, Any]) -> None:
    found = read(
        tmp_path,
        {
            "1.jpg": png(8, 8),
            "1.json": {"dsetkit": 1, **wrong},
            "2.jpg": png(8, 8),
            "2.json": {"dsetkit": 1, "labelled": "yes"},
        },
    )
    check_labels(found)
    assert found.rows[0] == {"key": "train-0/1.jpg"}
    assert found.rows[1]["labelled"] == "yes"
    (issue,) = found.issues
    assert (issue.code, issue.place) == ("labels-malformed", "1.json")
    assert issue.message.startswith("its JSON is not as dsetkit writes it (")


@pytest.mark.realdata
def test_a_small_one(shared_data: Path) -> None:
    opened = open_labels(shared_data / "webdataset")
    assert opened.format.name == "webdataset"
    assert opened.labels.issues == ()
    assert len(opened.labels) == 90
    counts = Counter(row["annotations"][0]["category"] for row in opened.labels.rows)
    assert [counts[str(number)] for number in range(10)] == [7, 12, 7, 11, 12, 6, 10, 14, 2, 9]
    with tarfile.open(shared_data / "webdataset" / "sample.tgz") as archive:
        for row in opened.labels.rows:
            name = row["key"].removeprefix("sample/")
            file = archive.extractfile(name)
            label = archive.extractfile(name.replace(".png", ".cls"))
            assert file is not None
            assert label is not None
            assert opened.tree.read(row["key"]) == file.read()
            assert label.read().decode() == row["annotations"][0]["category"]
    alone = open_labels(shared_data / "webdataset" / "sample.tgz")
    assert alone.format.name == "webdataset"
    assert [f"sample/{row['key']}" for row in alone.labels.rows] == [row["key"] for row in opened.labels.rows]
