"""Pictures that stand in tasks as ``data:`` URLs."""

from __future__ import annotations

import base64
import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from dsetkit.formats import inline
from dsetkit.formats.label_studio.format import LabelStudio
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract, png
from dsetkit.storage.scan import scan


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def task(image: Any, **more: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}
    made = {"id": "r", "type": "rectanglelabels", "from_name": "t", "to_name": "image", "value": value, "item_index": 0}
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 1, "result": [made]}], **more}


def put(folder: Path, *tasks: Any, name: str = "x.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(list(tasks)))
    return folder


class TestHeld(ReadContract):
    format = LabelStudio()

    def example(self, folder: Path) -> None:
        put(folder, task(url(png(40, 20))), task(url(png(8, 6), "image/jpeg")), task([url(png(5, 5)), url(png(6, 6))]))
        put(folder / "in", task(url(png(40, 20))))


def test_they_are_read_as_files_are(tmp_path: Path) -> None:
    pictures = [png(40, 20, number) for number in range(4)]
    put(tmp_path, task(url(pictures[0])), task("no.png"), task(url(pictures[1])), task([url(one) for one in pictures]))
    opened = open_labels(tmp_path, "label_studio")
    assert [row["key"] for row in opened.labels.rows] == [
        *("no.png", "x/000000.png", "x/000002.png"),
        *(f"x/000003-{number}.png" for number in range(4)),
    ]
    assert [issue.code for issue in opened.labels.issues] == ["size-unknown", "picture-missing"]
    assert opened.tree.read("x/000002.png") == pictures[1]
    assert opened.tree.read("x/000003-3.png") == pictures[3]
    box = opened.labels.rows[1]["annotations"][0]["bbox_xywh_px"]
    assert box == (4.0, 4.0, 12.0, 8.0)  # percent of the picture in the task
    reader = opened.tree.reader("x/000000.png")
    assert pickle.loads(pickle.dumps(reader))() == pictures[0]


def test_slashes_may_be_escaped_and_a_mark_may_stand_in_front(tmp_path: Path) -> None:
    picture = png(64, 64, 3)
    text = json.dumps([task(url(picture), note=url(b"x"))]).replace("/", "\\/")
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert open_labels(tmp_path, "label_studio").tree.read("x/000000.png") == picture
    (tmp_path / "x.json").write_text(json.dumps(task(url(picture), note="é"), ensure_ascii=False, indent=3))
    assert open_labels(tmp_path, "label_studio").tree.read("x/000000.png") == picture


def test_of_a_file_that_is_not_utf_8_none_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(json.dumps([task(url(png(4, 4)))]).encode("utf-16"))
    labels = read_labels(tmp_path, "label_studio")
    assert [issue.describe() for issue in labels.issues if issue.code == "picture-embedded"] == [
        "x.json: [0].data.image: the picture in the task is not read: the file is not UTF-8, or writes it in escapes. "
        "Put the picture into a file, and name that. [picture-embedded]"
    ]


def test_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    put(tmp_path, task(url(png(4, 4)), file_upload="0a1b2c3d-cat.png"))
    (tmp_path / "cat.png").write_bytes(png(40, 20))
    labels = read_labels(tmp_path, "label_studio")
    assert [(row["key"], len(row["annotations"])) for row in labels.rows] == [("cat.png", 1)]


def test_they_need_not_be_read(tmp_path: Path) -> None:
    put(tmp_path, task(url(png(4, 4))))
    assert list(LabelStudio().held(scan(str(tmp_path)), {"pictures": "files"})) == []
    assert read_labels(tmp_path, "label_studio", options={"pictures": "files"}).rows[0]["key"] == "x/000000.png"


def bomb() -> bytes:
    """A small PNG that declares 60,000×60,000 px."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = [b"IHDR" + head, b"IDAT" + zlib.compress(b""), b"IEND"]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("data:image/png;base64,$$$", "picture-corrupt", "it is no base64 (only base64 data is allowed)"),
        ("data:image/png;base64,AAA", "picture-corrupt", "it is no base64 (incorrect padding)"),
        ("data:image/png;base64,ÄÄÄÄ", "picture-corrupt",
         "it is no base64 (string argument should contain only ascii characters)"),
        ("data:image/png,abc", "picture-corrupt", "it is no base64"),
        ("data:image/png;base64", "picture-corrupt", "it is no base64"),
        ("data:image/png;base64,", "picture-empty", "The file is empty"),
        ("data:text/html;base64,AAAA", "picture-unknown", "it says to be 'text/html', not a picture"),
        (url(b"<svg/>", "image/svg+xml"), "picture-unknown", "It is not a picture of a known format"),
        (url(b"MZ" * 50), "picture-unknown", "It is not a picture of a known format"),
        (url(bomb()), "picture-bomb", "it declares 60000×60000 px, more than 89,478,485 pixels"),
    ],
)  # fmt: skip
def test_what_is_no_good_is_told_of_and_its_labels_are_kept(tmp_path: Path, text: str, code: str, said: str) -> None:
    good = png(40, 20)
    put(tmp_path, task(text, data={"image": text}), task(url(good)))
    opened = open_labels(tmp_path, "label_studio", options={"image_key": "image"})
    found = [issue for issue in opened.labels.issues if issue.place == "[0].data.image"]
    hint = "Put the picture into a file, and name that."
    assert [issue.describe() for issue in found] == [
        f"x.json: [0].data.image: the picture in the task is not read: {said}. {hint} [{code}]"
    ]
    assert [row["key"].partition(".")[0] for row in opened.labels.rows] == ["x/000000", "x/000001"]
    assert [path for path in opened.tree.entries if path.endswith(".png")] == ["x/000001.png"]


def test_one_that_is_huge_is_not_even_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "MAX_BYTES", 1000)
    put(tmp_path, task(url(png(64, 64, 5) + b"\0" * 2000)))
    opened = open_labels(tmp_path, "label_studio")
    assert "picture-too-large" in [issue.code for issue in opened.labels.issues]
    assert list(opened.tree.entries) == ["x.json"]
