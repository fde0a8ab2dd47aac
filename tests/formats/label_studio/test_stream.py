"""Large files: read a piece at a time, rows kept as columns."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.formats import json_stream
from dsetkit.formats.label_studio import read as read_module
from dsetkit.formats.label_studio.format import LabelStudio
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.testing import check_labels, normal
from dsetkit.storage.scan import Tree, scan

W, H = 200, 100


def result(name: str, kind: str = "rectanglelabels", label: str = "cat", **more: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, kind: [label]}
    sides = {"original_width": W, "original_height": H}
    return {"id": name, "type": kind, "from_name": "tag", "to_name": "image", **sides, "value": value, **more}


def task(number: int, picture: int, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": number, "completed_by": number % 3, "result": list(results), "lead_time": 1.5}
    data = {"image": f"/p/{picture:03}.jpg", "note": f'a "quoted" {{brace}} \\ é {number}'}
    return {"id": number, "data": data, "annotations": [annotation], **more}


def some_tasks() -> list[Any]:
    """Several of the same picture, far apart; keypoints, relations, predictions, choices, and what is wrong."""
    made: list[Any] = []
    for number in range(24):
        prediction = {"id": number, "model_version": "m", "score": 0.5, "result": [result(f"r{number % 5}")]}
        made.append(
            task(
                number,
                (number * 7) % 10,
                result(f"r{number % 5}", label=f"c{23 - number}", origin="prediction"),
                result("k", "keypointlabels", "nose", parentID=f"r{number % 5}"),
                {"type": "relation", "from_id": "k", "to_id": f"r{number % 5}", "direction": "bi"},
                {"id": "q", "type": "choices", "from_name": "mood", "value": {"choices": ["good", f"m{number % 3}"]}},
                {"id": "n", "type": "rating", "from_name": "rating", "value": {"rating": number % 2}},
                predictions=[prediction] if number % 2 else [],
            )
        )
    made[5] = 7
    made[9]["annotations"][0]["result"].append({"type": "paragraphs"})
    del made[11]["annotations"][0]["result"][0]["original_width"]
    return made


def read(tree: Tree) -> LabelSet:
    return LabelStudio().read(tree, PictureIndex(None), {})


def said(labels: LabelSet) -> tuple[Any, ...]:
    return [normal(row) for row in labels.rows], labels.categories, labels.issues


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    folder: Path = tmp_path_factory.mktemp("tasks")
    (folder / "a.json").write_text(json.dumps(some_tasks(), indent=1))
    (folder / "b.json").write_text(json.dumps(some_tasks()[:8], ensure_ascii=False), encoding="utf-8")
    return scan(str(folder))


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 5000), piece_bytes=st.integers(1, 5000), open_bytes=st.integers(1, 20_000))
def test_the_result_is_the_same_for_every_boundary(tree: Tree, size: int, piece_bytes: int, open_bytes: int) -> None:
    expected = said(read(tree))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "PIECE_BYTES", piece_bytes)
        patch.setattr(read_module, "OPEN_BYTES", open_bytes)
        whole = Tree.chunks

        def chunks(self: Tree, path: str) -> Any:
            data = b"".join(whole(self, path))
            return (data[at : at + size] for at in range(0, len(data), size))

        patch.setattr(Tree, "chunks", chunks)
        labels = read(tree)
    check_labels(labels)
    assert said(labels) == expected


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Of four times the text it takes little more than what the columns take more."""
    peaks = []
    for count in (3000, 12_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        results = [result(f"r{at}", x=1.0) for at in range(10)]
        (folder / "x.json").write_text(json.dumps([task(number, number, *results) for number in range(count)]))
        tree = scan(str(folder))
        size = tree.entries["x.json"].size_bytes
        tracemalloc.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_module, "OPEN_BYTES", 256 * 1024)
            labels = read(tree)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert labels.is_table
        assert len(labels) == count
    assert peaks[1] < 1.5 * peaks[0] + 3000 * 1000  # Python's: some hundred bytes a picture
    assert peaks[1] < size


def test_a_file_that_is_wrong_in_its_last_byte_is_told_of_as_ever(tmp_path: Path) -> None:
    text = json.dumps([task(number, number) for number in range(3000)])
    (tmp_path / "x.json").write_text(text[:-1])
    with pytest.raises(Exception, match=r"x\.json is no JSON: EOF while parsing a list \(line 1 column \d+\)"):
        read(scan(str(tmp_path)))
