from __future__ import annotations

import gzip
import io
import lzma
import pickle
import struct
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.idx.format import Idx
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract
from dsetkit.storage.scan import scan


def images(pixels: Any, count: int | None = None, magic: int = 0x803) -> bytes:
    array = np.asarray(pixels, np.uint8)
    return struct.pack(">4I", magic, len(array) if count is None else count, *array.shape[1:]) + array.tobytes()


def labels(values: Any, count: int | None = None, magic: int = 0x801) -> bytes:
    return struct.pack(">2I", magic, len(values) if count is None else count) + bytes(values)


def some(count: int, rows: int = 4, columns: int = 6) -> Any:
    return np.arange(count * rows * columns, dtype=np.uint32).reshape(count, rows, columns) % 251


def put(folder: Path, **files: bytes) -> Path:
    """Files by their names with ``_`` for ``-``; ``_gz`` at the end packs it."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, data in files.items():
        if name.endswith("_gz"):
            (folder / f"{name.removesuffix('_gz').replace('_', '-')}.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / name.replace("_", "-")).write_bytes(data)
    return folder


def pair(folder: Path, count: int = 3, values: Any = (0, 2, 1)) -> Path:
    return put(folder, train_images_idx3_ubyte=images(some(count)), train_labels_idx1_ubyte=labels(values))


class TestIdx(ReadContract):
    format = Idx()

    def example(self, folder: Path) -> None:
        put(folder, train_images_idx3_ubyte_gz=images(some(3)), train_labels_idx1_ubyte_gz=labels([1, 0, 1]))
        put(folder, t10k_images_idx3_ubyte=images(some(2)), t10k_labels_idx1_ubyte=labels([2, 1]))


def codes(found: Any) -> list[tuple[str, str | None]]:
    return [(issue.code, issue.file) for issue in found.issues]


def pixels_of(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.asarray(image)


def test_keys_labels_and_subsets(tmp_path: Path) -> None:
    TestIdx().example(tmp_path)
    found = read_labels(tmp_path, "idx")
    said = [(row["key"], row["subsets"], row["annotations"][0]["category"]) for row in found.rows]
    assert said == [
        ("t10k/000000.png", ("test",), "2"),
        ("t10k/000001.png", ("test",), "1"),
        ("train/000000.png", ("train",), "1"),
        ("train/000001.png", ("train",), "0"),
        ("train/000002.png", ("train",), "1"),
    ]
    assert [(category.name, category.source_ids) for category in found.categories] == [
        ("0", ("0",)),
        ("1", ("1",)),
        ("2", ("2",)),
    ]
    assert found.issues == ()


@pytest.mark.parametrize("name", ["train_images_idx3_ubyte", "train_images_idx3_ubyte_gz"])
def test_pictures_have_the_pixels_that_are_stored(tmp_path: Path, name: str) -> None:
    put(tmp_path, **{name: images(some(3)), "train_labels_idx1_ubyte": labels([0, 1, 2])})
    tree = open_labels(tmp_path, "idx").tree
    for number in range(3):
        assert (pixels_of(tree.read(f"train/{number:06d}.png")) == some(3)[number]).all()
    again = pickle.loads(pickle.dumps(tree.reader("train/000001.png")))
    assert again() == tree.read("train/000001.png")
    assert len(pickle.dumps(tree.reader("train/000001.png"))) < 1500


def test_emnist_lies_on_its_side_and_is_turned_back(tmp_path: Path) -> None:
    put(
        tmp_path,
        emnist_letters_train_images_idx3_ubyte=images(some(2)),
        emnist_letters_train_labels_idx1_ubyte=labels([1, 2]),
    )
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n")
    opened = open_labels(tmp_path)
    assert opened.format.name == "idx"
    key = "emnist-letters-train/000001.png"
    assert (pixels_of(opened.tree.read(key)) == some(2)[1].T).all()
    assert [(item.name, item.index, item.source_ids) for item in opened.labels.categories] == [
        ("Aa", 0, ("1",)),
        ("Bb", 1, ("2",)),
    ]
    assert opened.labels.rows[1]["annotations"][0]["category"] == "Bb"
    assert opened.labels.rows[1]["subsets"] == ("train",)
    plain = open_labels(tmp_path, "idx", options={"transposed": "no"}).tree
    assert (pixels_of(plain.read(key)) == some(2)[1]).all()


def test_any_set_can_be_turned(tmp_path: Path) -> None:
    tree = open_labels(pair(tmp_path), "idx", options={"transposed": "yes"}).tree
    assert (pixels_of(tree.read("train/000000.png")) == some(1)[0].T).all()
    with pytest.raises(UsageError, match="the option transposed is 'x'"):
        open_labels(tmp_path, "idx", options={"transposed": "x"})


def test_names_by_option_and_by_a_list(tmp_path: Path) -> None:
    pair(tmp_path)
    for names in (["T-shirt", "Trouser", "Pullover"], "T-shirt, Trouser,Pullover"):
        found = read_labels(tmp_path, "idx", options={"names": names})
        assert [category.name for category in found.categories] == ["T-shirt", "Trouser", "Pullover"]
        assert found.rows[1]["annotations"][0]["category"] == "Pullover"
    (tmp_path / "labels.txt").write_text("zero\none\ntwo\nthree\n")
    found = read_labels(tmp_path)
    assert [category.name for category in found.categories] == ["zero", "one", "two", "three"]
    assert "labels.txt" in Idx().label_files(scan(tmp_path))
    for wrong in ([], ["a", "a"], "a,,b", 7, [1]):
        with pytest.raises(UsageError, match="the option names is"):
            read_labels(tmp_path, "idx", options={"names": wrong})


def test_a_label_beyond_the_list_keeps_its_number(tmp_path: Path) -> None:
    pair(tmp_path)
    found = read_labels(tmp_path, "idx", options={"names": ["2", "x"]})
    assert [category.name for category in found.categories] == ["2", "x", "label 2"]
    assert codes(found) == [("category-unlisted", "train-labels-idx1-ubyte")]


@pytest.mark.parametrize("packed", ["", "_gz"])
def test_a_header_that_says_too_much(tmp_path: Path, packed: str) -> None:
    put(tmp_path, **{f"train_images_idx3_ubyte{packed}": images(some(3), 70_000)})
    put(tmp_path, **{f"train_labels_idx1_ubyte{packed}": labels([1, 2, 3], 2**32 - 1)})
    opened = open_labels(tmp_path, "idx")
    assert len(opened.labels) == 3
    assert [code for code, _ in codes(opened.labels)] == ["file-cut-off", "file-cut-off"]
    assert opened.labels.issues[0].describe() == (
        f"train-images-idx3-ubyte{packed.replace('_', '.')}: its header says 70,000 pictures, and 3 are there. "
        "Fetch it again: its download was cut short, or it was made wrongly. [file-cut-off]"
    )
    assert (pixels_of(opened.tree.read("train/000002.png")) == some(3)[2]).all()


@pytest.mark.parametrize("packed", ["", "_gz"])
def test_a_header_that_says_too_little(tmp_path: Path, packed: str) -> None:
    put(tmp_path, **{f"train_images_idx3_ubyte{packed}": images(some(3), 2)})
    put(tmp_path, **{f"train_labels_idx1_ubyte{packed}": labels([1, 2])})
    found = read_labels(tmp_path, "idx")
    assert len(found) == 2
    assert [code for code, _ in codes(found)] == ["bytes-left-over"]


def test_a_header_that_counts_values(tmp_path: Path) -> None:
    put(tmp_path, train_images_idx3_ubyte=images(some(3), 3 * 24), train_labels_idx1_ubyte=labels([1, 2, 0]))
    found = read_labels(tmp_path, "idx")
    assert len(found) == 3
    assert [code for code, _ in codes(found)] == ["header-counts-values"]


def test_more_pictures_than_labels_and_fewer(tmp_path: Path) -> None:
    found = read_labels(pair(tmp_path / "a", 3, (0, 1)), "idx")
    assert [row.get("labelled", "no") for row in found.rows] == ["yes", "yes", "no"]
    assert found.issues[0].describe() == (
        "train-labels-idx1-ubyte: it has 2 labels, where train-images-idx3-ubyte has 3 pictures. Fetch both again; "
        "pictures without a label count as not labelled. [counts-differ]"
    )
    found = read_labels(pair(tmp_path / "b", 2, (0, 1, 2)), "idx")
    assert len(found) == 2
    assert [issue.code for issue in found.issues] == ["counts-differ"]


def test_one_half_of_a_pair(tmp_path: Path) -> None:
    found = read_labels(put(tmp_path / "a", train_images_idx3_ubyte=images(some(2))), "idx")
    assert [(row["key"], "labelled" in row) for row in found.rows] == [
        ("train/000000.png", False),
        ("train/000001.png", False),
    ]
    assert codes(found) == [("labels-missing", "train-images-idx3-ubyte")]
    found = read_labels(put(tmp_path / "b", train_labels_idx1_ubyte=labels([4, 5])), "idx")
    assert [row["annotations"][0]["category"] for row in found.rows] == ["4", "5"]
    assert codes(found) == [("pictures-missing", "train-labels-idx1-ubyte")]


def test_the_wrong_magic(tmp_path: Path) -> None:
    put(tmp_path, train_images_idx3_ubyte=images(some(2), magic=0xD03), train_labels_idx1_ubyte=labels([0, 1]))
    found = read_labels(tmp_path, "idx")
    assert found.issues[0].describe() == (
        "train-images-idx3-ubyte: byte 2: train-images-idx3-ubyte has elements of the type 0x0d in 3 dimensions, so "
        "neither images nor labels. Only images of one byte a pixel (idx3-ubyte) and their labels (idx1-ubyte, "
        "idx2-int, ...) are read. "
        "[file-unreadable]"
    )
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0")
    with pytest.raises(FormatError, match="train-images-idx3-ubyte has elements of the type 0x0d"):
        read_labels(tmp_path, "idx")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack(">4I", 0x803, 1, 0, 28), "x-images-idx3-ubyte says that its pictures have 28×0 px"),
        (struct.pack(">4I", 0x803, 1, 28, 2**31), "x-images-idx3-ubyte says that its pictures have 2147483648×28 px"),
        (struct.pack(">3I", 0x803, 1, 28), "x-images-idx3-ubyte ends in its header"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 1, 1) + bytes(2_000_001), "x-images-idx3-ubyte has 2,000,001 items in"),
    ],
)
def test_headers_that_cannot_be(tmp_path: Path, data: bytes, message: str) -> None:
    put(tmp_path, x_images_idx3_ubyte=data)
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path, "idx")
    assert caught.value.message.startswith(message)


def test_a_packed_file_that_is_cut_or_unfolds_beyond_measure(tmp_path: Path) -> None:
    pair(tmp_path)
    whole = gzip.compress(labels([1, 2, 3]), mtime=0)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(whole[:-12])
    found = read_labels(tmp_path, "idx")
    assert ("file-unreadable", "train-labels-idx1-ubyte.gz") in codes(found)
    many = gzip.compress(struct.pack(">2I", 0x801, 2**32 - 1) + bytes(50_000_000), 9, mtime=0)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(many)
    found = read_labels(tmp_path, "idx")
    assert found.issues[0].message.startswith("train-labels-idx1-ubyte.gz has 50,000,000 items in 50,000,008 bytes")


def test_packed_and_unpacked_side_by_side_as_torchvision_leaves_them(tmp_path: Path) -> None:
    raw = pair(tmp_path / "MNIST" / "raw")
    put(raw, train_images_idx3_ubyte_gz=images(some(3)), train_labels_idx1_ubyte_gz=labels([0, 2, 1]))
    opened = open_labels(tmp_path)
    assert [row["key"] for row in opened.labels.rows] == [f"MNIST/raw/train/00000{number}.png" for number in range(3)]
    assert codes(opened.labels) == [
        ("file-twice", "MNIST/raw/train-images-idx3-ubyte.gz"),
        ("file-twice", "MNIST/raw/train-labels-idx1-ubyte.gz"),
    ]


def test_names_with_dots_and_an_extension(tmp_path: Path) -> None:
    (tmp_path / "train-images.idx3-ubyte").write_bytes(images(some(1)))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(labels([1]))
    (tmp_path / "images.idx").write_bytes(images(some(1)))
    found = read_labels(tmp_path)
    assert [row["key"] for row in found.rows] == ["pictures/000000.png", "train/000000.png"]


@pytest.mark.parametrize("packed", ["", "_gz"])
def test_sixty_thousand_are_read_by_their_headers(tmp_path: Path, packed: str) -> None:
    values = np.arange(60_000) % 10
    put(tmp_path, **{f"train_images_idx3_ubyte{packed}": images(np.zeros((60_000, 28, 28)))})
    put(tmp_path, **{f"train_labels_idx1_ubyte{packed}": labels(values.astype(np.uint8).tobytes())})
    start = time.process_time()
    opened = open_labels(tmp_path, "idx")
    assert time.process_time() - start < 10  # about 2 s, and no picture was encoded
    assert len(opened.labels) == len(opened.tree.entries) - 2 == 60_000


@pytest.mark.realdata
def test_mnist(shared_data: Path) -> None:
    opened = open_labels(shared_data / "mnist-idx")
    assert opened.format.name == "idx"
    assert len(opened.labels) == 10_000
    counts = Counter(row["annotations"][0]["category"] for row in opened.labels.rows)
    expected = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [counts[category.name] for category in opened.labels.categories] == expected
    assert opened.labels.issues == ()
    assert {row["subsets"] for row in opened.labels.rows} == {("test",)}
    with gzip.open(shared_data / "mnist-idx" / "t10k-images-idx3-ubyte.gz") as file:
        stored = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)
    for number in (0, 4711, 9999):
        assert (pixels_of(opened.tree.read(f"t10k/{number:06d}.png")) == stored[number]).all()


@pytest.mark.realdata
def test_a_tiny_one_whose_headers_count_values(shared_data: Path) -> None:
    found = read_labels(shared_data / "formats-tiny" / "mnist_dataset")
    said = [(row["key"], row["annotations"][0]["category"]) for row in found.rows]
    assert said == [
        ("t10k/000000.png", "0"),
        ("t10k/000001.png", "2"),
        ("t10k/000002.png", "1"),
        ("train/000000.png", "5"),
        ("train/000001.png", "7"),
    ]
    assert [issue.code for issue in found.issues] == ["header-counts-values"] * 2


def test_detection_by_the_name_alone_is_unsure(tmp_path: Path) -> None:
    put(tmp_path, train_images_idx3_ubyte=b"none of it")
    found, _ = registry.detect(scan(tmp_path))
    assert (found.format, found.confidence) == ("idx", 0.4)


def whole(array: Any, code: int) -> bytes:
    array = np.asarray(array)
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_qmnist(tmp_path: Path) -> None:
    """Eight columns: class, series, writer, digit of that writer, NIST's class, digit of all, twice unused."""
    columns = [[7, 4, 2150, 3, 0x37, 61_234, 0, 0], [0, 1, 99, 12, 0x30, 5, 0, 0]]
    data = whole(np.array(columns, ">i4"), 12)
    put(tmp_path, qmnist_test_images_idx3_ubyte_gz=images(some(2)), qmnist_test_labels_idx2_int_gz=data)
    put(tmp_path, qmnist_test_labels_idx1_ubyte_gz=labels([7, 0]))
    found = read_labels(tmp_path)
    first, second = found.rows
    assert (first["key"], first["subsets"]) == ("qmnist-test/000000.png", ("test",))
    assert first["annotations"][0]["category"] == "7"
    assert first["attributes"] == {
        "hsf_series": 4,
        "writer": 2150,
        "writer_digit": 3,
        "nist_class": 0x37,
        "nist_digit": 61_234,
    }
    assert second["annotations"][0]["category"] == "0"
    assert len(found.categories) == 8
    assert codes(found) == [("file-twice", "qmnist-test-labels-idx1-ubyte.gz")]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("idx1-byte", "i1", 9),
        ("idx1-short", ">i2", 11),
        ("idx1-int", ">i4", 12),
        ("idx1-float", ">f4", 13),
        ("idx1-double", ">f8", 14),
    ],
)
def test_labels_of_other_types(tmp_path: Path, name: str, kind: str, code: int) -> None:
    put(tmp_path, train_images_idx3_ubyte=images(some(4)))
    (tmp_path / f"train-labels-{name}").write_bytes(whole(np.array([2, -1, 0, 100]).astype(kind), code))
    found = read_labels(tmp_path)
    assert [[one["category"] for one in row.get("annotations", ())] for row in found.rows] == [
        ["2"],
        [],
        ["0"],
        ["100"],
    ]
    assert found.rows[1].get("labelled", "no") == "no"
    number = "-1.0" if "f" in kind else "-1"
    assert [issue.describe() for issue in found.issues] == [
        f"train-labels-{name}: 1 labels are no category, as number 1: {number}. Their pictures count as not labelled; "
        "correct the file if they are. [label-invalid]"
    ]


def test_labels_that_are_no_whole_numbers_or_very_large(tmp_path: Path) -> None:
    put(tmp_path, train_images_idx3_ubyte=images(some(5)))
    values = np.array([0.5, np.nan, np.inf, 1e300, 123_456_789], ">f8")
    (tmp_path / "train-labels-idx1-double").write_bytes(whole(values, 14))
    found = read_labels(tmp_path)
    assert [category.name for category in found.categories] == ["123456789"]
    assert [(issue.code, issue.message) for issue in found.issues] == [
        ("label-invalid", "4 labels are no category, as number 0: 0.5")
    ]


@pytest.mark.parametrize(
    ("array", "code", "said"),
    [
        (np.zeros((2, 3), ">i4"), 12, "x-labels-idx2-int has 3 numbers for each of 2 labels"),
        (np.zeros((2, 8), ">i2"), 11, "x-labels-idx2-int has 8 numbers for each of 2 labels"),
        (np.zeros((2, 2, 2), ">f4"), 13,
         "x-labels-idx2-int has elements of the type 0x0d in 3 dimensions, so neither images nor labels"),
        (np.zeros(2, "u1"), 10,
         "x-labels-idx2-int begins with 0x00000a01, where images have 0x00000803 and labels 0x00000801"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_labels(tmp_path: Path, array: Any, code: int, said: str) -> None:
    (tmp_path / "x-labels-idx2-int").write_bytes(whole(array, code))
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path, "idx")
    assert caught.value.message == said
    assert caught.value.hint
    pair(tmp_path)
    assert codes(read_labels(tmp_path, "idx")) == [("file-unreadable", "x-labels-idx2-int")]


def test_files_packed_by_xz(tmp_path: Path) -> None:
    """As QMNIST's of all of NIST are."""
    columns = np.array([[1, 0, 5, 0, 0x31, 0, 0, 0]] * 3, ">i4")
    (tmp_path / "xnist-images-idx3-ubyte.xz").write_bytes(lzma.compress(images(some(3))))
    (tmp_path / "xnist-labels-idx2-int.xz").write_bytes(lzma.compress(whole(columns, 12)))
    opened = open_labels(tmp_path)
    assert [row["attributes"]["writer"] for row in opened.labels.rows] == [5, 5, 5]
    with Image.open(io.BytesIO(opened.tree.read("xnist/000001.png"))) as picture:
        assert np.array_equal(np.asarray(picture), some(3)[1])
    (tmp_path / "xnist-labels-idx2-int.xz").write_bytes(b"\xfd7zXZ\0" + b"x" * 40)
    assert ("file-unreadable", "xnist-labels-idx2-int.xz") in codes(read_labels(tmp_path))
