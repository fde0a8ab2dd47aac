"""COCO read in columns is COCO read as rows: the same rows, issues, categories, in the same order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.errors import FormatError
from dsetkit.formats.coco import format as coco
from dsetkit.formats.coco.columns import CocoColumnsReader
from dsetkit.formats.coco.files import find_files, only_file
from dsetkit.formats.coco.format import _read
from dsetkit.formats.coco.read import CocoReader
from dsetkit.formats.coco.stream import CocoStream, NotInPieces
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.reading import read_labels
from dsetkit.storage.scan import scan

NUMBERS = st.one_of(
    st.integers(-3, 700),
    st.floats(-5, 700, allow_nan=False).map(lambda value: round(value, 2)),
    st.sampled_from([0.0, -0.0, 1e9, 1e9 + 1, -2e9, 1e300, 2**70, 0.1 + 0.2]),
)
WILD = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=3), st.just([]), st.just({}), st.just([[]]))
RINGS = st.lists(NUMBERS, min_size=6, max_size=10)
BOXES = st.lists(NUMBERS, min_size=4, max_size=4)
SHAPES = st.one_of(
    st.lists(RINGS, min_size=1, max_size=3),
    st.just({"size": [10, 20], "counts": [0, 20, 180]}),
    st.just({"size": [10, 20], "counts": "0d0d5"}),
    st.just({"size": [10, 20], "counts": [5]}),
    st.lists(st.lists(NUMBERS, max_size=7), max_size=2),
    RINGS,
    st.none(),
)


@st.composite
def annotations(draw: Any, *, wild: bool) -> dict[str, Any]:
    shape = draw(SHAPES)
    one = {"id": 0, "image_id": draw(st.integers(1, 4)), "category_id": draw(st.integers(1, 3)), "segmentation": shape}
    if isinstance(shape, list) and shape and isinstance(shape[0], list) and shape[0] and draw(st.booleans()):
        flat = [value for ring in shape for value in ring]
        xs, ys = flat[0::2], flat[1::2] or [0]
        one["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        if draw(st.booleans()):
            one["bbox"][draw(st.integers(0, 3))] += draw(st.sampled_from([0.25, 0.5, 0.6, -1]))
    else:
        one["bbox"] = draw(st.one_of(BOXES, st.none(), st.just([]), st.lists(NUMBERS, max_size=5)))
    extra = st.fixed_dictionaries(
        {},
        optional={
            "iscrowd": st.sampled_from([0, 1, 1.0, True, None]),
            "ignore": st.sampled_from([0, 1]),
            "score": st.one_of(st.none(), st.floats(0, 1)),
            "area": NUMBERS,
            "caption": st.sampled_from([None, "", "a cat"]),
            "keypoints": st.sampled_from([None, [], [1, 2, 2], [0, 0, 0], [1, 2, 2, 3, 4, 1], [1] * 9, [1, 2]]),
            "attributes": st.sampled_from([{}, None, {"occluded": True}, {"n": [1.0, {"b": 1e9}]}]),
            "tool": st.sampled_from(["x", 1, [1, 2], {"a": None}]),
        },
    )
    one.update(draw(extra))
    if wild and draw(st.integers(0, 3)) == 0:
        one[draw(st.sampled_from(["id", "image_id", "category_id", "bbox", "segmentation", "score", "caption"]))] = (
            draw(WILD)
        )
    return one


@st.composite
def documents(draw: Any, *, wild: bool = False) -> dict[str, Any]:
    found = draw(st.lists(annotations(wild=wild), min_size=1, max_size=12))
    for number, one in enumerate(found, 1):
        if one["id"] == 0:
            one["id"] = number if not wild else draw(st.sampled_from([number, number, str(number), 1.0, 1]))
    categories = [
        {"id": 1, "name": "cat", "supercategory": "animal"},
        {"id": 2, "name": "person", "keypoints": ["nose", "tail"]},
    ]
    images = [
        {"id": 1, "file_name": "z.jpg", "width": 640, "height": 480},
        {"id": 2, "file_name": "b/ä.jpg", "flickr_url": "x"},
        {"id": 3, "file_name": "a.jpg", "license": 1, "date_captured": "2013"},
    ]
    parts = {"images": images, "annotations": found, "categories": categories, "info": {"year": 2017}}
    names = draw(st.permutations(list(parts)))
    return {name: parts[name] for name in names}


def read(kind: type[CocoReader], folder: Path) -> LabelSet:
    tree = scan(str(folder))
    files = list(find_files(tree)) or [only_file(path) for path in tree.entries]
    return _read(kind, tree, files, PictureIndex(tree, []), {})


def put(folder: Path, *texts: str | bytes) -> Path:
    for number, text in enumerate(texts):
        (folder / f"{number}.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def same(folder: Path) -> bool:
    """Whether columns could read it; asserts that what they read is what rows are."""
    try:
        by_columns = read(CocoColumnsReader, folder)
    except NotInPieces:
        return False
    by_rows = read(CocoReader, folder)
    assert by_columns.table.schema.equals(by_rows.table.schema)
    assert by_columns.table.equals(by_rows.table)
    assert str(by_columns.table.to_pylist()) == str(by_rows.table.to_pylist())  # tells -0.0 from 0.0
    assert by_columns.issues == by_rows.issues
    assert by_columns.categories == by_rows.categories
    assert by_columns.info == by_rows.info
    assert by_columns.licenses == by_rows.licenses
    by_columns.table.validate(full=True)
    return True


@given(documents(), st.sampled_from([None, 2]), st.sampled_from([1, 300, 10**6]))
def test_columns_are_rows(tmp_path_factory: Any, document: dict[str, Any], indent: int | None, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsetkit.formats.coco.stream.PIECE_BYTES", piece)
        same(put(tmp_path_factory.mktemp("x"), json.dumps(document, indent=indent)))


@given(documents(wild=True))
def test_what_is_wrong_is_told_alike(tmp_path_factory: Any, document: dict[str, Any]) -> None:
    same(put(tmp_path_factory.mktemp("x"), json.dumps(document)))


def big(count: int = 400, **more: Any) -> dict[str, Any]:
    """Many outlines of 40 pictures in no order, every kind of oddity among them."""
    dice = random.Random(3)
    found: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        ring = [round(dice.uniform(0, 600), 2) for _ in range(2 * dice.randint(3, 20))]
        box = [min(ring[0::2]), min(ring[1::2]), max(ring[0::2]) - min(ring[0::2]), max(ring[1::2]) - min(ring[1::2])]
        one = {"id": number, "image_id": dice.randint(1, 40), "category_id": dice.randint(1, 3), "iscrowd": 0}
        found.append({**one, "segmentation": [ring], "bbox": box, "area": 1.5})
    found[10]["segmentation"] = {"size": [10, 20], "counts": [0, 20, 180]}
    found[20]["bbox"] = [0, 0, 1, 1]
    found[30]["image_id"] = 77
    found[40]["category_id"] = 9
    found[50]["attributes"] = {"occluded": True}
    found[60]["segmentation"] = []
    images = [{"id": number, "file_name": f"{(number * 7) % 41}.jpg"} for number in range(1, 41)]
    categories = [{"id": number, "name": name} for number, name in enumerate(("cat", "dog", "person"), 1)]
    return {"images": images, "annotations": found, "categories": categories, **more}


def test_oddities_of_a_big_file_do_not_make_it_rows(tmp_path: Path) -> None:
    assert same(put(tmp_path, json.dumps(big())))
    labels = read(CocoColumnsReader, tmp_path)
    assert [issue.code for issue in labels.issues] == ["image-missing", "category-missing"]
    assert len(labels) == 40
    assert sum(len(row.get("annotations", ())) for row in labels.rows) == 399


def test_a_big_file_is_read_in_columns(tmp_path: Path, monkeypatch: Any) -> None:
    path = put(tmp_path, json.dumps(big())) / "0.json"
    monkeypatch.setattr(coco, "COLUMNS_FROM_BYTES", 1)
    used = []
    monkeypatch.setattr(coco, "_read", lambda kind, *rest: used.append(kind) or _read(kind, *rest))
    by_columns = read_labels(path, "coco")
    assert used == [CocoColumnsReader]
    monkeypatch.setattr(coco, "COLUMNS_FROM_BYTES", 10**9)
    assert by_columns.table.equals(read_labels(path, "coco").table)
    assert used == [CocoColumnsReader, CocoReader]


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " : "), (",\r\n\t", ": ")])
@pytest.mark.parametrize("order", [("annotations", "images", "categories"), ("categories", "annotations", "images")])
def test_the_layout_of_the_text_does_not_matter(tmp_path: Path, separators: Any, order: Any) -> None:
    document = big()
    text = json.dumps({name: document[name] for name in order}, separators=separators)
    assert same(put(tmp_path, b"\xef\xbb\xbf" + text.encode()))


def test_several_files_of_other_pictures(tmp_path: Path) -> None:
    other = big(70)
    for image in other["images"]:
        image["file_name"] = f"more/{image['file_name']}"
    empty = {"images": [{"id": 5, "file_name": "nobody.jpg"}, {"id": 1, "file_name": "1.jpg"}], "categories": []}
    assert same(put(tmp_path, json.dumps(big()), json.dumps(other), json.dumps(empty)))


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found[7].update(id=found[7]["id"] + 1, image_id=found[8]["image_id"]),  # an id twice on a picture
        lambda found: found[7].pop("id"),
        lambda found: found[7].update(bbox=[1, 2, "three", 4]),
        lambda found: found[7].update(keypoints=[1, 2, 2]),
        lambda found: found.append(7),
    ],
)
def test_what_columns_cannot_say_is_left_to_rows(tmp_path: Path, monkeypatch: Any, change: Any) -> None:
    document = big()
    change(document["annotations"])
    put(tmp_path, json.dumps(document))
    with pytest.raises(NotInPieces):
        read(CocoColumnsReader, tmp_path)
    monkeypatch.setattr(coco, "COLUMNS_FROM_BYTES", 1)
    rows = read(CocoReader, tmp_path)
    labels = read_labels(tmp_path / "0.json", "coco")
    assert labels.table.equals(rows.table)
    assert labels.issues == rows.issues
    assert labels.issues


def test_the_same_pictures_in_two_files_are_left_to_rows(tmp_path: Path) -> None:
    assert not same(put(tmp_path, json.dumps(big()), json.dumps(big())))


A, B = (
    '{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4]}',
    '{"id":2,"image_id":1,"category_id":1,"bbox":[1,2,3,4]}',
)
IMAGES, CATEGORIES = '"images":[{"id":1,"file_name":"a.jpg"}]', '"categories":[{"id":1,"name":"cat"}]'


@pytest.mark.parametrize(
    "text",
    [
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B}]}} x',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},,{B}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A}\x0c,{{}}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B}],}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A}],[{B}]}}',
        f'{{{IMAGES},"annotations":[],{CATEGORIES}}}',
        f'{{{IMAGES},"annotations":[{A}],"annotations":[{B}],{CATEGORIES}}}',
        f'{{{IMAGES},"annotations":[1],"annotations":[{B}],{CATEGORIES}}}',
        f'{{"x":{{"annotations":[{A}],"images":1}},{IMAGES},"annotations":[{B}],{CATEGORIES}}}',
        f'{{"x":"\\"annotations\\":[","annotations":[{A}],{IMAGES},{CATEGORIES}}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B[:-1]},"deep":{"[" * 198}{"]" * 198}}}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B[:-1]},"deep":{"[" * 5000}{"]" * 5000}}}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B[:-1]},"list":[{A},{B}],"images":2}}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B[:-1]},"score":NaN}}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B[:-1]},"score":1e999}}]}}',
        f'{{{IMAGES},{CATEGORIES},"annotations":[{A},{B[:-1]},"id":3}}]}}',
        f"[{A}]",
        f'{{"annotations":[{A}]}}',
    ],
)
@pytest.mark.parametrize("piece", [1, 10**6])
def test_hostile_text(tmp_path: Path, monkeypatch: Any, text: str, piece: int) -> None:
    monkeypatch.setattr("dsetkit.formats.coco.stream.PIECE_BYTES", piece)
    monkeypatch.setattr(coco, "COLUMNS_FROM_BYTES", 1)
    path = put(tmp_path, text) / "0.json"

    def outcome(smallest: int) -> Any:
        monkeypatch.setattr(coco, "COLUMNS_FROM_BYTES", smallest)
        try:
            labels = read_labels(path, "coco")
        except FormatError as error:
            return type(error), error.message, error.hint
        return labels.table.to_pylist(), labels.issues, labels.categories, labels.info

    assert outcome(1) == outcome(10**9)


def test_invalid_utf8_is_left_to_rows(tmp_path: Path) -> None:
    text = json.dumps(big()).encode().replace(b'"iscrowd"', b'"iscrowd\xff"', 1)
    put(tmp_path, text)
    with pytest.raises(NotInPieces):
        read(CocoColumnsReader, tmp_path)
    with pytest.raises(FormatError, match="no JSON"):
        read(CocoReader, tmp_path)


def test_pieces_are_all_there_is() -> None:
    document = big(100)
    stream = CocoStream(json.dumps(document).encode(), piece_bytes=500)
    pieces = list(stream.pieces())
    assert len(pieces) > 20
    assert [one["id"] for piece in pieces for one in piece] == list(range(1, 101))
    assert stream.head["images"] == document["images"]
