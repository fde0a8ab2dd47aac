"""Labels converted from one format into another, pictures along."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest
from support.bench import Source, picture_bytes

from dsetkit.formats.testing import files_of
from dsetkit.stages.export import convert

DECOMPOSED = unicodedata.normalize("NFD", "é.jpg")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    made = Source(tmp_path / "source")
    made.put("a.jpg", picture_bytes(1), [("cat", [1.0, 1.0, 9.0, 9.0])])
    made.put(DECOMPOSED, picture_bytes(2), [("dog", [1.0, 1.0, 9.0, 9.0])])
    return made.write()


def test_pictures_come_along_whatever_form_their_names_have(source: Source, tmp_path: Path) -> None:
    labels, report = convert(source.folder, tmp_path / "out", to="coco")
    assert (len(labels), report.is_lossless) == (2, True)
    written = files_of(tmp_path / "out")
    assert [len(data) for name, data in sorted(written.items()) if name.endswith(".jpg")] == [
        len(source.pictures["a.jpg"]),
        len(source.pictures[DECOMPOSED]),
    ]


def test_pictures_come_along_out_of_an_archive(source: Source, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", source.folder)
    convert(source.folder, tmp_path / "one", to="yolo")
    convert(archive, tmp_path / "two", to="yolo")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
