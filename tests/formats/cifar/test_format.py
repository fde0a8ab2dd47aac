from __future__ import annotations

import collections
import io
import os
import pickle
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError
from dsetkit.formats.cifar.format import Cifar
from dsetkit.formats.cifar.pickled import PickledData
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract

NAMES = ("airplane", "automobile", "bird")


def pixels(count: int) -> Any:
    """[count, 3072] as CIFAR stores them."""
    return (np.arange(count * 3072, dtype=np.uint32).reshape(count, 3072) * 7 % 253).astype(np.uint8)


def picture(count: int, number: int) -> Any:
    """What the picture looks like: [32, 32, 3]."""
    planes = pixels(count)[number]
    red, green, blue = planes[:1024], planes[1024:2048], planes[2048:]
    return np.dstack([plane.reshape(32, 32) for plane in (red, green, blue)])


def binary(labels: list[int], coarse: list[int] | None = None) -> bytes:
    heads = [bytes([low]) for low in labels]
    if coarse is not None:
        heads = [bytes([high, low]) for high, low in zip(coarse, labels, strict=True)]
    return b"".join(head + row.tobytes() for head, row in zip(heads, pixels(len(labels)), strict=True))


def put(folder: Path, **files: Any) -> Path:
    """Files by name, ``__`` for a dot; what is not bytes is pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else pickle.dumps(content, protocol=4)
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def batch(labels: list[int], /, **more: Any) -> dict[str, Any]:
    return {"batch_label": "x", "labels": labels, "data": pixels(len(labels))} | more


def as_python_2_wrote_it(labels: list[int]) -> bytes:
    """The opcodes of the published ``data_batch_1``: texts as SHORT_BINSTRING, pixels as one BINSTRING."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    count = len(labels)
    raw = pixels(count).tobytes()
    out = b"\x80\x02}q\x01(" + text("batch_label") + b"q\x02" + text("training batch 1 of 5") + b"q\x03"
    out += text("labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    out += text("data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85"
    out += text("b") + b"\x87Rq\x09(K\x01M" + struct.pack("<H", count) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x0a"
    out += text("u1") + b"K\x00K\x01\x87Rq\x0b(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    out += b"T" + struct.pack("<I", len(raw)) + raw + b"tb" + text("filenames") + b"q\x0c]q\x0d("
    return out + b"".join(text(f"auto_s_{number:06d}.png") for number in range(count)) + b"eu."


class TestBinary(ReadContract):
    format = Cifar()

    def example(self, folder: Path) -> None:
        put(folder, data_batch_1__bin=binary([0, 2]), test_batch__bin=binary([1]))
        (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")


class TestPython(ReadContract):
    format = Cifar()

    def example(self, folder: Path) -> None:
        put(folder, data_batch_1=as_python_2_wrote_it([0, 2]), test_batch=batch([1]), batches__meta=meta())


class TestFine(ReadContract):
    format = Cifar()

    def example(self, folder: Path) -> None:
        put(folder, train=hundred([0, 1], [1, 0]), test=hundred([1], [0]), meta=meta_100())


def meta() -> dict[str, Any]:
    return {"label_names": list(NAMES), "num_cases_per_batch": 10_000, "num_vis": 3072}


def meta_100() -> dict[bytes, Any]:
    return {b"fine_label_names": [b"apple", b"trout"], b"coarse_label_names": [b"fish", b"fruit"]}


def hundred(fine: list[int], coarse: list[int]) -> dict[bytes, Any]:
    names = [f"{number}.png".encode() for number in range(len(fine))]
    out: dict[bytes, Any] = {b"filenames": names, b"batch_label": b"x", b"fine_labels": fine, b"coarse_labels": coarse}
    return {**out, b"data": pixels(len(fine))}


def pixels_of(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def said(folder: Path) -> list[tuple[str, str, str]]:
    rows = read_labels(folder).rows
    return [(row["key"], row["subsets"][0], row["annotations"][0]["category"]) for row in rows]


def test_binary_batches(tmp_path: Path) -> None:
    TestBinary().example(tmp_path)
    assert said(tmp_path) == [
        ("data_batch_1/00000.png", "train", "airplane"),
        ("data_batch_1/00001.png", "train", "bird"),
        ("test_batch/00000.png", "test", "automobile"),
    ]
    opened = open_labels(tmp_path)
    assert [category.name for category in opened.labels.categories] == list(NAMES)
    assert opened.labels.issues == ()
    assert (pixels_of(opened.tree.read("data_batch_1/00001.png")) == picture(2, 1)).all()


@pytest.mark.parametrize(
    "data",
    [
        as_python_2_wrote_it([0, 2]),
        *(pickle.dumps(batch([0, 2], filenames=["a.png", "b.png"]), protocol=number) for number in (2, 3, 4, 5)),
        pickle.dumps({key.encode(): value for key, value in batch([0, 2]).items()}, protocol=4),
        pickle.dumps(batch([0, 2], data=np.array(list(pixels(2)), dtype=object)), protocol=4),
        pickle.dumps(batch([0, 2], data=list(pixels(2))), protocol=4),
        pickle.dumps(batch([np.int64(0), np.uint8(2)]), protocol=4),
        as_python_2_wrote_it([0, 2]).replace(b"numpy.core.multiarray", b"numpy._core.multiarray"),
    ],
)
def test_pickles_of_all_ages(tmp_path: Path, data: bytes) -> None:
    opened = open_labels(put(tmp_path, data_batch_1=data, batches__meta=meta()))
    assert [row["annotations"][0]["category"] for row in opened.labels.rows] == ["airplane", "bird"]
    assert opened.labels.issues == ()
    for number, row in enumerate(opened.labels.rows):
        assert (pixels_of(opened.tree.read(row["key"])) == picture(2, number)).all()


def test_keys_are_the_names_of_files_each_once(tmp_path: Path) -> None:
    names = ["a_s_1.png", "a_s_1.png", "../x/b.jpg", "", "c"]
    found = read_labels(put(tmp_path, test_batch=batch([0, 1, 2, 3, 4], filenames=names)))
    assert [row["key"] for row in found.rows] == [
        "test_batch/00003.png",
        "test_batch/a_s_1-2.png",
        "test_batch/a_s_1.png",
        "test_batch/b.png",
        "test_batch/c.png",
    ]
    assert [category.name for category in found.categories] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("form", ["python", "binary"])
def test_cifar_100_has_supercategories(tmp_path: Path, form: str) -> None:
    if form == "python":
        TestFine().example(tmp_path)
    else:
        put(tmp_path, train__bin=binary([0, 1], [1, 0]), test__bin=binary([1], [0]))
        (tmp_path / "fine_label_names.txt").write_text("apple\ntrout\n")
        (tmp_path / "coarse_label_names.txt").write_text("fish\nfruit\n")
    found = read_labels(tmp_path)
    assert [(category.name, category.supercategory) for category in found.categories] == [
        ("apple", "fruit"),
        ("trout", "fish"),
    ]
    assert Counter((row["subsets"], row["annotations"][0]["category"]) for row in found.rows) == {
        (("train",), "apple"): 1,
        (("train",), "trout"): 1,
        (("test",), "trout"): 1,
    }
    assert found.issues == ()


def test_a_coarse_label_that_is_another_is_a_finding(tmp_path: Path) -> None:
    put(tmp_path, train=hundred([0, 0, 0], [1, 1, 0]), meta=meta_100())
    third = read_labels(tmp_path).rows[2]["annotations"][0]
    assert third["extras"] == {"cifar": {"coarse_label": "fish"}}
    (finding,) = third["issues"]
    assert finding["code"] == "coarse-label-differs"
    assert finding["message"] == "its coarse label is 'fish', where most of 'apple' have 'fruit'"


class Runs:
    """Unpickled, it would make a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


class Exits:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("what", "name"), [(Runs(), "mkdir"), (Exits(), "exec"), (collections.OrderedDict(), "collections.OrderedDict")]
)
def test_a_pickle_that_would_run_code_is_an_error_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, what: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = put(tmp_path / "src", data_batch_1=pickle.dumps(batch([0, 1], labels=what), protocol=protocol))
    with pytest.raises(FormatError) as caught:
        read_labels(folder)
    assert name in caught.value.message
    assert caught.value.message.startswith("the pickle data_batch_1 names ")
    assert caught.value.message.endswith(", which is no data and is not run")
    assert (
        caught.value.hint == "Only batches as CIFAR's authors publish them are read; nothing in a pickle is ever run."
    )
    assert not (tmp_path / "ran").exists()
    put(folder, test_batch=batch([0]))
    assert [issue.code for issue in read_labels(folder).issues] == ["file-unreadable"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02}q\x00i", "has the opcode 0x69, which data has no need of"),  # INST
        (b"\x80\x02o", "has the opcode 0x6f, which data has no need of"),  # OBJ
        (b"\x80\x02\x81.", "has the opcode 0x81, which data has no need of"),  # NEWOBJ
        (b"\x80\x02\x82\x01.", "has the opcode 0x82, which data has no need of"),  # EXT1
        (b"\x80\x02Pabc\n.", "has the opcode 0x50, which data has no need of"),  # PERSID
        (b"\x80\x05\x97.", "has the opcode 0x97, which data has no need of"),  # NEXT_BUFFER
        (b"\x80\x02cos\nsystem\n.", "names os.system, which is no data and is not run"),
        (b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.", "names numpy.load, which is no data and is not run"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "cannot be followed any further; it is cut off or damaged"),
        (b"\x80\x02]", "cannot be followed any further; it is cut off or damaged"),
        (b"\x80\x02].", "is no dict"),
        (b"\x80\x02}}.", "is no dict"),
        (b"\x80\x02R.", "cannot be followed any further; it is cut off or damaged"),
        (b"\x80\x02h\x07.", "cannot be followed any further; it is cut off or damaged"),
        (b"\x80\x06}.", "cannot be followed any further; it is cut off or damaged"),
        (b"\x80\x02B\xff\xff\xff\xffx.", "cannot be followed any further; it is cut off or damaged"),
        (b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"\x93.", "cannot be followed any further"),
        (b"\x80\x02}q\x00" + b"(" + b"]" * 3_100_000 + b"t.", "has more than 3,000,000 objects"),
    ],
)
def test_pickles_of_anything_else(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        PickledData(data, "x").read()
    assert caught.value.message.startswith(f"the pickle x {message}")
    assert caught.value.place is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"label_names": ["a"]}, "the pickle data_batch_1 is no batch: it has neither data nor labels"),
        (batch([0], labels="x"), "labels in the pickle data_batch_1 is no list of whole numbers"),
        (batch([0], labels=[0.5]), "the pickle data_batch_1 has the opcode 0x47, which data has no need of"),
        (batch([0], labels=[True]), "labels in the pickle data_batch_1 is no list of whole numbers"),
        (batch([0], data=7), "data in the pickle data_batch_1 is no array of pictures"),
        (batch([0], data=[[256]]), "data in the pickle data_batch_1 holds something else than pictures of bytes"),
        (batch([0], data=np.zeros((1, 3072))), "the pickle data_batch_1 has an array of 'f8', where pixels"),
        (batch([0], data=np.asfortranarray(pixels(2))), "the pickle data_batch_1 has an array whose values stand"),
        (batch([0], filenames=[1]), "filenames in the pickle data_batch_1 is no list of texts"),
        (batch([0], image_sizes=[(0, 1)]), "image_sizes in the pickle data_batch_1 is no list of heights and widths"),
        (batch([0], image_sizes=[]) | {"image_sizes": [(1, 1)] * 2}, "image_sizes in the pickle data_batch_1 is about"),
    ],
)
def test_batches_that_are_none(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_labels(put(tmp_path, data_batch_1=content))
    assert caught.value.message.startswith(message)


def test_pictures_of_other_sizes_and_such_that_do_not_fit(tmp_path: Path) -> None:
    small = np.array([1, 4, 1, 4, 2, 5, 2, 5, 3, 6, 3, 6], np.uint8)
    data = np.empty(3, object)
    data[:] = [pixels(1)[0], small, small]
    put(tmp_path, data_batch_1=batch([0, 1, 2], data=data, image_sizes=[(32, 32), (2, 2), (2, 3)]))
    opened = open_labels(tmp_path)
    assert pixels_of(opened.tree.read("data_batch_1/00001.png")).tolist() == [[[1, 2, 3], [4, 5, 6]]] * 2
    assert opened.tree.read("data_batch_1/00002.png") == b""
    (issue,) = opened.labels.issues
    assert (issue.code, issue.place) == ("pixels-differ", "data[2]")


def test_counts_that_differ(tmp_path: Path) -> None:
    put(tmp_path, data_batch_1=batch([0, 1, 2], labels=[0, 1], filenames=["a.png"]))
    found = read_labels(tmp_path)
    assert [row.get("labelled", "no") for row in found.rows] == ["yes", "yes", "no"]
    assert found.issues[0].describe() == (
        "data_batch_1: it has 3 pictures, 2 labels, 1 file names. Fetch the file again. Pictures without a label count "
        "as not labelled. [counts-differ]"
    )


def test_a_binary_file_that_is_cut_off(tmp_path: Path) -> None:
    put(tmp_path, data_batch_1__bin=binary([0, 2])[:-100])
    found = read_labels(tmp_path)
    assert len(found) == 1
    assert found.issues[0].describe() == (
        "data_batch_1.bin: 2,973 bytes are left over behind its 1 pictures. Fetch the file again. [bytes-left-over]"
    )
    put(tmp_path, data_batch_1__bin=bytes(range(100)))
    with pytest.raises(FormatError, match=r"data_batch_1.bin has 100 bytes, where records of 3,073 are expected"):
        read_labels(tmp_path)


def test_labels_without_a_name_and_names_twice(tmp_path: Path) -> None:
    put(tmp_path, data_batch_1__bin=binary([0, 4, 1]))
    (tmp_path / "batches.meta.txt").write_text("cat\ncat\n")
    found = read_labels(tmp_path)
    assert [category.name for category in found.categories] == ["cat", "cat (1)", "2", "3", "4"]
    assert [issue.code for issue in found.issues] == ["category-unlisted"]


def test_other_files_are_not_taken(tmp_path: Path) -> None:
    put(tmp_path, train=b"\x80\x04]\x94.", meta=b"notes", weights__bin=bytes(3073), model=pickle.dumps([1]))
    assert Cifar().detect(open_tree(tmp_path)) is None


def open_tree(folder: Path) -> Any:
    from dsetkit.storage.scan import scan

    return scan(folder)


@pytest.mark.realdata
def test_a_tiny_one(shared_data: Path) -> None:
    folder = shared_data / "formats-tiny" / "cifar10_dataset"
    assert said(folder) == [
        ("data_batch_1/image_1.png", "train", "airplane"),
        ("test_batch/image_2.png", "test", "automobile"),
        ("test_batch/image_3.png", "test", "cat"),
        ("test_batch/image_4.png", "test", "bird"),
        ("test_batch/image_5.png", "test", "cat"),
    ]
    opened = open_labels(folder)
    assert opened.labels.issues == ()
    assert [category.name for category in opened.labels.categories] == ["airplane", "automobile", "bird", "cat"]
    assert (pixels_of(opened.tree.read("data_batch_1/image_1.png")) == np.ones((32, 32, 3))).all()
    assert pixels_of(opened.tree.read("test_batch/image_5.png")).tolist() == [[[1, 2, 3], [4, 5, 6]]] * 2
