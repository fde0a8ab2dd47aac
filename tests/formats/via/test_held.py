"""Pictures inside VIA's files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract, png
from dsetkit.formats.via.format import Via
from dsetkit.storage.scan import scan

RECT = {"name": "rect", "x": 2, "y": 3, "width": 10, "height": 8}


def text(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(name: str, inside: str) -> dict[str, Any]:
    regions = {"0": {"shape_attributes": RECT, "region_attributes": {"name": "cat"}}}
    more = {"fileref": "", "file_attributes": {}, "base64_img_data": inside}
    return {"filename": name, "size": 90, **more, "regions": regions}


def version_3(*files: tuple[str, str]) -> dict[str, Any]:
    found = {
        str(at): {"fid": str(at), "fname": name, "type": 2, "loc": 4, "src": src}
        for at, (name, src) in enumerate(files)
    }
    view = {fid: {"fid_list": [fid]} for fid in found}
    metadata = {f"{fid}_a": {"vid": fid, "flg": 0, "z": [], "xy": [2, 2, 3, 10, 8], "av": {}} for fid in found}
    top = {"project": {"pname": "x", "vid_list": list(view)}, "config": {}, "attribute": {}}
    return {**top, "file": found, "metadata": metadata, "view": view}


def put(folder: Path, document: Any, name: str = "via.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return folder


class TestHeld(ReadContract):
    format = Via()

    def example(self, folder: Path) -> None:
        put(folder, {"a": image("a.png", text(png(32, 24))), "b": image("b", text(png(32, 24, 2)))})
        put(folder / "in", version_3(("a.png", text(png(32, 24))), ("", text(png(9, 9)))))


def test_of_all_versions(tmp_path: Path) -> None:
    one, two, three, four = (png(32, 24, number) for number in range(4))
    bare = base64.b64encode(two).decode()
    put(tmp_path / "x", {"a": image("a.png", text(one)), "b": image("b", bare), "c": image("c.png", "")})
    put(tmp_path / "y", version_3(("a.png", text(three)), ("", text(four))))
    opened = open_labels(tmp_path)
    found = {path: opened.tree.read(path) for path in opened.tree.entries if path.endswith(".png")}
    assert found == {"x/a.png": one, "x/b.png": two, "y/a.png": three, "y/via/000001.png": four}
    rows = {row["key"]: len(row.get("annotations", ())) for row in opened.labels.rows}
    assert rows == {"c.png": 1, "x/a.png": 1, "x/b.png": 1, "y/a.png": 1, "y/via/000001.png": 1}
    assert [issue.code for issue in opened.labels.issues] == ["picture-missing"]


def test_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    put(tmp_path, {"a": image("a.png", text(png(32, 24)))})
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(png(40, 20))
    assert [row["key"] for row in read_labels(tmp_path).rows] == ["p/a.png"]
    assert list(Via().held(scan(str(tmp_path)), {})) == []


def test_the_same_in_two_files_counts_once_and_another_is_told_of(tmp_path: Path) -> None:
    for number, data in enumerate((png(32, 24), png(32, 24), png(32, 24, 7))):
        put(tmp_path, {"a": image("a.png", text(data))}, f"{number}.json")
    opened = open_labels(tmp_path)
    assert opened.tree.read("a.png") == png(32, 24)
    assert [issue.code for issue in opened.labels.issues] == ["path-collision", "labels-repeated", "labels-repeated"]


def test_they_need_not_be_read(tmp_path: Path) -> None:
    put(tmp_path, {"a": image("a.png", text(png(32, 24)))})
    assert list(Via().held(scan(str(tmp_path)), {"pictures": "files"})) == []
    labels = read_labels(tmp_path, "via", options={"pictures": "files"})
    assert ([row["key"] for row in labels.rows], labels.issues) == (["a.png"], ())


@pytest.mark.parametrize(
    ("inside", "code", "said"),
    [
        ("data:image/png;base64,$$$", "picture-corrupt", "it is no base64 (only base64 data is allowed)"),
        (text(b"<svg/>", "image/svg+xml"), "picture-unknown", "It is not a picture of a known format"),
        (text(b"x", "text/html"), "picture-unknown", "it says to be 'text/html', not a picture"),
    ],
)
@pytest.mark.parametrize("version", [1, 3])
def test_what_is_no_good_is_told_of_and_its_regions_are_kept(
    tmp_path: Path, version: int, inside: str, code: str, said: str
) -> None:
    put(tmp_path, {"a": image("a.png", inside)} if version == 1 else version_3(("a.png", inside)))
    labels = read_labels(tmp_path)
    hint = "Put the picture into a file beside it, named as it is named here."
    place = "'a'" if version == 1 else "file.0"
    assert [issue.describe() for issue in labels.issues] == [
        f"via.json: {place}: the picture in the file is not read: {said}. {hint} [{code}]"
    ]
    assert [(row["key"], len(row["annotations"])) for row in labels.rows] == [("a.png", 1)]
