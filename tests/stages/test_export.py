"""Labels converted from one format into another, pictures along."""

from __future__ import annotations

import shutil
import unicodedata
import zipfile
from pathlib import Path

import pytest
from support.bench import Source, picture_bytes

from dsetkit.formats.testing import files_of
from dsetkit.spec.params import LabelsParams, SourceParams
from dsetkit.stages.export import convert
from dsetkit.stages.sources import read_source

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


def test_labels_in_an_archive_of_the_source(source: Source, tmp_path: Path) -> None:
    with zipfile.ZipFile(source.folder / "labels.zip", "w") as packed:
        packed.write(source.folder / "annotations.json", "in/annotations.json")
    (source.folder / "annotations.json").unlink()
    for file in ("labels.zip", str(source.folder / "labels.zip")):
        state = read_source(
            SourceParams(path=str(source.folder), labels=(LabelsParams(file=file),)), str(source.folder)
        )
        assert state.labels[0].format.name == "coco"
        assert (state.lock().pictures, state.lock().labels) == (2, 1)
        assert "labels[0]/in/annotations.json" in state.listing()
        labels = state.read_labels()
        assert [row["key"] for row in labels.rows] == ["images/a.jpg", "images/é.jpg"]
        assert all(row["annotations"] for row in labels.rows)
        assert labels.issues == ()
