from __future__ import annotations

from typing import ClassVar

import pytest

from dsetkit.errors import FormatError, LossError, NotFoundError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Capabilities, Detection, Format, choose
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing_exports import MemoryExport, lossy_export, plain_export, png
from dsetkit.formats.text import decode, read_label_bytes
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.storage.scan import scan


class Lines(Format):
    """A third-party format, as small as one can be."""

    name = "lines"
    title = "Lines"
    extensions = frozenset({".lines"})
    looks_for = "a .lines file"
    capabilities = Capabilities(kinds=frozenset({"image_label"}), writes=False)
    options: ClassVar = {"delimiter": "what stands between name and class"}

    def detect(self, tree):
        files = self.label_files(tree)
        return Detection(self.name, 0.9, f"found {files[0]}") if files else None

    def label_files(self, tree):
        return [path for path in tree.entries if path.endswith(".lines")]

    def read(self, labels, pictures, options):
        files = self.label_files(labels)
        if not files:
            raise self.no_labels(labels)
        words = [line.split(options.get("delimiter", " ")) for line in labels.read(files[0]).decode().splitlines()]
        return LabelSet.from_rows(
            {"key": name, "labelled": "yes", "annotations": [{"id": "0", "kind": "image_label", "category": category}]}
            for name, category in words
        )

    def write(self, export, sink, options):
        raise NotImplementedError


def test_own_formats_are_known():
    assert set(registry.names()) >= {"coco", "csv", "image_folder", "voc", "yolo"}
    for name in registry.names():
        assert registry.get(name).name == name


def test_an_unknown_format_is_named_with_the_nearest():
    with pytest.raises(NotFoundError) as caught:
        registry.get("coko")
    assert str(caught.value) == (
        "there is no format 'coko'. Did you mean 'coco'? Known formats: " + ", ".join(registry.names()) + "."
    )


def test_a_folder_of_no_format_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NotFoundError) as caught:
        read_labels(tmp_path)
    assert caught.value.message == f"no known label format in {tmp_path}"
    assert "coco: JSON files with images, annotations and categories" in caught.value.hint


def test_third_parties_are_found_by_entry_points(monkeypatch, tmp_path):
    class Point:
        name = "lines"

        def load(self):
            return Lines

    registry.names.cache_clear()
    registry.get.cache_clear()
    monkeypatch.setattr(registry, "entry_points", lambda group, name=None: [Point()] if name in (None, "lines") else [])
    try:
        (tmp_path / "a.lines").write_text("a.png cat\n")
        assert "lines" in registry.names()
        labels = read_labels(tmp_path)
        assert labels.rows[0]["annotations"][0]["category"] == "cat"
    finally:
        registry.names.cache_clear()
        registry.get.cache_clear()


def test_reading_joins_pictures_and_scan_issues(tmp_path):
    (tmp_path / "a.lines").write_text("a.png cat\nc.png dog\n")
    (tmp_path / "a.png").write_bytes(png(4, 4))
    (tmp_path / "b.png").write_bytes(png(4, 4))
    (tmp_path / "out.png").symlink_to("/etc/hostname")
    labels = read_labels(tmp_path, Lines())
    assert [(row["key"], row.get("labelled", "no")) for row in labels.rows] == [
        ("a.png", "yes"),
        ("b.png", "no"),
        ("c.png", "yes"),
    ]
    assert [issue.code for issue in labels.issues] == ["path-outside", "picture-missing"]
    alone = read_labels(tmp_path / "a.lines", Lines())
    assert [row["key"] for row in alone.rows] == ["a.png", "c.png"]
    assert alone.issues == ()


def test_options_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_labels(tmp_path, Lines(), options={"delimeter": ";"})
    assert str(caught.value) == (
        "the format lines has no option 'delimeter'. Did you mean 'delimiter'? Its options are: delimiter."
    )
    with pytest.raises(FormatError) as found:
        read_labels(tmp_path, Lines())
    assert str(found.value) == (
        f"no Lines labels in {tmp_path}. Looked for a .lines file. Name another format or folder."
    )
    assert choose({"x": "a"}, "x", ("a", "b"), "b") == "a"
    with pytest.raises(UsageError, match="It is one of: a, b"):
        choose({"x": "c"}, "x", ("a", "b"), "b")


def test_a_format_that_is_only_read_is_not_written(tmp_path):
    with pytest.raises(UsageError, match="Lines is only read, not written"):
        write_labels(plain_export(), tmp_path / "out", Lines())


def test_strict_names_what_would_be_lost(tmp_path):
    with pytest.raises(LossError) as caught:
        write_labels(lossy_export(), tmp_path / "out", "csv", strict=True)
    assert str(caught.value) == (
        "writing csv would lose labels: "
        "csv has no place for the relations of an annotation; not written (1, e.g. src/a.png#0) [field-dropped]; "
        "csv has no place for the status of an annotation; not written (1, e.g. src/a.png#0) [field-dropped]; "
        "csv has no place for the track of an annotation; not written (1, e.g. src/a.png#0) [field-dropped]. "
        "Nothing was written. Choose a format that carries them, or leave --strict out."
    )
    assert not list(tmp_path.iterdir())
    assert check_losses(lossy_export(), "csv").refusals == caught.value.losses


def test_a_failed_write_leaves_nothing(tmp_path):
    class Failing(MemoryExport):
        def picture(self, row):
            raise OSError("disk")

    plain = plain_export()
    with pytest.raises(OSError, match="disk"):
        write_labels(Failing(list(plain.rows()), plain.categories), tmp_path / "out", "csv")
    assert not list(tmp_path.iterdir())


def test_a_destination_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(UsageError):
        write_labels(plain_export(), tmp_path, "csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_read(encoding):
    assert decode("naïve, 🦝".encode(encoding), "x") == "naïve, 🦝"


def test_other_bytes_are_refused_with_their_place(tmp_path):
    with pytest.raises(FormatError) as caught:
        decode("naïve".encode("latin-1"), "x.csv")
    assert str(caught.value) == "x.csv is not UTF-8 text (byte 2). Save it as UTF-8."
    assert caught.value.place == "byte 2"
    with pytest.raises(FormatError, match="zero bytes"):
        decode(b"a\x00b", "x.csv")
    (tmp_path / "a.csv").write_text("abc")
    with pytest.raises(FormatError, match=r"a\.csv has 3 bytes, more than 2"):
        read_label_bytes(scan(str(tmp_path)), "a.csv", 2)


LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4' * 64}\nsize 12345\n"


def test_a_pointer_in_place_of_labels_is_said(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(b"x")
    (tmp_path / "instances.json").write_text(LFS)
    with pytest.raises(NotFoundError) as found:
        read_labels(tmp_path)
    said = f"instances.json in {tmp_path} is a Git LFS pointer, which only says where the data is"
    assert found.value.message == said
    assert found.value.hint == "Fetch the data: git lfs pull. Or name the format."
    with pytest.raises(FormatError) as read:
        read_labels(tmp_path / "instances.json", "datumaro")
    assert read.value.message == "instances.json is a Git LFS pointer, which only says where the labels are"


def test_a_plug_in_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    class Broken:
        name = "broken"
        dist = None

        def load(self):
            raise ImportError("no module named x")

    monkeypatch.setattr(registry, "entry_points", lambda group, name=None: [Broken()])
    registry.names.cache_clear()
    try:
        with pytest.raises(UsageError) as found:
            registry.get("broken")
    finally:
        registry.names.cache_clear()
        registry.get.cache_clear()
    assert found.value.message == "the format 'broken' cannot be loaded: ImportError: no module named x"
