from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.formats.issues import IssueList
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.testing_exports import png
from dsetkit.spec.key import check_key
from dsetkit.storage.scan import scan

PATHS = ("images/train/a.jpg", "images/val/a.jpg", "images/train/b.jpg", "img 1.JPG", "deep/er/Über.png")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("./x//a.jpg", "x/a.jpg"),
        ("/home/pi/x/a.jpg", "home/pi/x/a.jpg"),
        ("..\\..\\a.jpg", "a.jpg"),
        ("C:\\data\\a.jpg", "data/a.jpg"),
        ("\\\\host\\share\\a.jpg", "host/share/a.jpg"),
        ("https://host/x/a%20b.jpg?raw=1", "x/a b.jpg"),
        ("http://[/a.jpg", "[/a.jpg"),
        ("file:///tmp/a.jpg", "tmp/a.jpg"),
        ("a\x00b\n.jpg", "a_b_.jpg"),
        ("U\u0308.jpg", "Ü.jpg"),
        ("..", ""),
        ("", ""),
        ("x" * 2000, ""),
    ],
)
def test_names_are_reduced_to_safe_paths(name, expected):
    assert reduce_name(name) == expected


@given(st.text(max_size=30))
def test_a_reduced_name_is_a_key_or_nothing(name):
    reduced = reduce_name(name)
    assert not reduced or check_key(reduced) == reduced


@pytest.mark.parametrize(
    ("name", "near", "prefer", "found"),
    [
        ("images/train/a.jpg", "", (), "images/train/a.jpg"),  # exact
        ("train/a.jpg", "images", (), "images/train/a.jpg"),  # from the label file's folder
        ("../images/val/a.jpg", "labels", (), "images/val/a.jpg"),
        ("/data/set/train/a.jpg", "", (), "images/train/a.jpg"),  # the one path that ends so
        ("b.jpg", "", (), "images/train/b.jpg"),  # the one of that file name
        ("B.JPG", "", (), "images/train/b.jpg"),  # whatever its case
        ("IMG 1.jpg", "", (), "img 1.JPG"),
        ("a.jpg", "", (), None),  # not clear
        ("a.jpg", "", ("val",), "images/val/a.jpg"),
        ("a.jpg", "", ("test",), None),
        ("c.jpg", "", (), None),
        ("../../../etc/passwd", "", (), None),
        ("C:\\x\\deep\\er\\Über.png", "", (), "deep/er/Über.png"),
        ("", "", (), None),
    ],
)
def test_resolve(name, near, prefer, found):
    assert PictureIndex(None, PATHS).resolve(name, near, prefer) == found


def test_by_stem():
    index = PictureIndex(None, (*PATHS, "labels.v1.png"))
    assert index.by_stem("labels/train/a", prefer=()) == "images/train/a.jpg"
    assert index.by_stem("b") == "images/train/b.jpg"
    assert index.by_stem("a") is None
    assert index.by_stem("a", prefer=("val",)) == "images/val/a.jpg"
    assert index.by_stem("labels.v1") == "labels.v1.png"
    assert index.by_stem("nothing") is None


def test_a_name_that_is_not_clear_is_an_issue_and_keeps_its_name():
    issues = IssueList()
    index = PictureIndex(None, PATHS)
    assert index.key_of("a.jpg", issues, file="x.csv", place="line 2") == "a.jpg"
    assert index.key_of("..", issues, file="x.csv", place="line 3") is None
    assert index.key_of("b.jpg", issues, file="x.csv", place="line 4") == "images/train/b.jpg"
    assert [issue.describe() for issue in issues.all()] == [
        "x.csv: line 2: 'a.jpg' could be any of 2 pictures (images/train/a.jpg, images/val/a.jpg). "
        "Give the path in the label file, or give pictures names of their own. [picture-ambiguous]",
        "x.csv: line 3: no picture can be named '..'. "
        "Name the picture by its path relative to the source. [picture-name-unusable]",
    ]


def test_sizes_come_from_headers(tmp_path):
    (tmp_path / "a.png").write_bytes(png(31, 17))
    (tmp_path / "b.png").write_bytes(b"no picture")
    tree = scan(str(tmp_path))
    index = PictureIndex(tree, tree.entries)
    assert index.size("a.png") == (31, 17)
    assert index.size("b.png") is None
    assert index.size("c.png") is None
    assert PictureIndex(None, ["a.png"]).size("a.png") is None


def test_many_like_issues_are_counted():
    issues = IssueList()
    for line in range(50):
        issues.add("row-malformed", "bad", file="a.csv", place=f"line {line}")
    issues.add("row-malformed", "bad", file="b.csv", place="line 1")
    found = issues.all()
    assert len(issues) == 51
    assert len(found) == 21
    assert [issue.count for issue in found if issue.count > 1] == [31]
