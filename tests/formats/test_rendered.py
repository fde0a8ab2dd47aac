from __future__ import annotations

import pytest
from hypothesis import given, settings

from dsetkit.formats import registry
from dsetkit.formats.cityscapes.format import Cityscapes
from dsetkit.formats.loss import Ledger
from dsetkit.formats.rendered import Rendered, RenderedFormat
from dsetkit.formats.testing import MemoryExport, exports, files_of, plain_export
from dsetkit.formats.writing import check_losses, write_labels

FORMATS = [name for name in registry.names() if isinstance(registry.get(name), RenderedFormat)]


def test_formats_with_label_files_of_each_picture_share_their_writing():
    assert {"cityscapes", "dota", "labelme"} <= set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_what_writing_says_is_lost_is_what_was_said_before(name, tmp_path_factory):
    @settings(max_examples=15)
    @given(exports())
    def check(export: MemoryExport) -> None:
        dst = tmp_path_factory.mktemp("out") / name
        assert write_labels(export, dst, name) == check_losses(export, name)

    check()


class Counting(Cityscapes):
    """Counts what it renders, and the files it makes."""

    def __init__(self) -> None:
        self.rendered: list[str] = []
        self.made: list[str] = []

    def render(self, row, prepared, ledger) -> Rendered:
        rendered = super().render(row, prepared, ledger)
        self.rendered.append(row["key"])

        def noting(path, make):
            return lambda: (self.made.append(path), make())[1]

        return Rendered(rendered.row, [(path, noting(path, make)) for path, make in rendered.files])

    def lists(self, prepared):
        return [("about.txt", b"all of them\n")]


def test_each_sample_is_rendered_once_and_files_are_made_only_where_they_are_written(tmp_path):
    counting, export = Counting(), plain_export()
    keys = [row["key"] for row in export.rows()]
    counting.check_losses(export, {})
    assert (counting.rendered, counting.made) == (keys, [])
    counting.rendered.clear()
    write_labels(export, tmp_path / "out", counting)
    files = files_of(tmp_path / "out")
    assert counting.rendered == keys
    assert sorted(counting.made) == sorted(name for name in files if name.endswith(".json"))
    assert files["about.txt"] == b"all of them\n"
    prepared = counting.prepare(export, {}, Ledger("cityscapes"))
    pictures = [counting.carry(row, prepared, Ledger("cityscapes"))["key"] for row in export.rows()]
    assert {*counting.made, *pictures, "about.txt"} == set(files)
