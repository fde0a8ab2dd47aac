"""Names of pictures by a template."""

from __future__ import annotations

import pytest

from dsetkit.errors import UsageError
from dsetkit.formats.export_names import NamedExport, NameTemplate
from dsetkit.formats.testing import MemoryExport

KEYS = [
    {"key": "src/a/1.jpg", "split": "train", "annotations": ({"id": "0", "kind": "image_label", "category": "c/t"},)},
    {"key": "src/a/2.JPG", "subsets": ("val",), "annotations": ({"id": "0", "kind": "box"},)},
    {"key": "src/b/1.jpg", "labelled": "no"},
    {"key": "src/noext", "labelled": "no"},
    {"key": "top.png"},
]


def names(template: str) -> list[str]:
    return [row["key"] for row in NamedExport(MemoryExport(KEYS), NameTemplate(template)).rows()]


def test_fields() -> None:
    assert names("{split}/{category}/{index:06d}.{ext}") == [
        "train/c_t/000000.jpg",
        "val/none/000001.JPG",
        "none/none/000002.jpg",
        "none/none/000003",
        "none/none/000004.png",
    ]
    assert names("{folder}/{stem}.{ext}") == ["src/a/1.jpg", "src/a/2.JPG", "src/b/1.jpg", "src/noext", "top.png"]
    assert names("{key}") == ["src/a/1.jpg", "src/a/2.JPG", "src/b/1.jpg", "src/noext", "top.png"]  # extension added
    assert names("{{{index}}}") == ["{0}.jpg", "{1}.JPG", "{2}.jpg", "{3}", "{4}.png"]


def test_names_twice_get_a_number() -> None:
    assert names("{split}") == ["train.jpg", "val.JPG", "none.jpg", "none", "none.png"]
    assert names("x/{stem}.jpg") == ["x/1.jpg", "x/2.jpg.JPG", "x/1-2.jpg", "x/noext.jpg", "x/top.jpg.png"]
    assert names("Same.{ext}") == ["Same.jpg", "Same-2.JPG", "Same-3.jpg", "Same", "Same.png"]


def test_pictures_are_found_under_their_new_names() -> None:
    pictures = {row["key"]: row["key"].encode() for row in KEYS}
    export = NamedExport(MemoryExport(KEYS, pictures=pictures), NameTemplate("{index}.{ext}"))
    assert [export.picture(row) for row in export.rows()] == [row["key"].encode() for row in KEYS]


def test_what_comes_from_data_leads_nowhere() -> None:
    rows = [
        {"key": "a.jpg", "split": "../../etc", "annotations": ({"id": "0", "kind": "box", "category": "/etc/passwd"},)},
        {"key": "b.jpg", "split": "..", "annotations": ({"id": "0", "kind": "box", "category": "C:\\x\n"},)},
        {"key": "c.jpg", "split": ".git", "annotations": ({"id": "0", "kind": "box", "category": "{index}" * 99},)},
    ]
    made = NamedExport(MemoryExport(rows), NameTemplate("{split}/{category}.{ext}"))
    found = [row["key"] for row in made.rows()]
    assert all(".." not in name.split("/") and not name.startswith("/") and name.count("/") == 1 for name in found)
    assert found[0].endswith("/_etc_passwd.jpg")
    assert found[2].startswith("_git/{index}")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{splt}.{ext}", "has a field {splt}, which there is not. Did you mean {split}?"),
        ("{nothing_like}", "has a field {nothing_like}, which there is not. Its fields are: {split},"),
        ("{split.__class__}", "{split.__class__} is no plain field"),
        ("{split[0]}", "{split[0]} is no plain field"),
        ("{0}", "has a field {0}"),
        ("{}", "has a field {}"),
        ("{split!r}", "{split!r} is no plain field"),
        ("{split:>10}", "{split:>10} is no way to write it"),
        ("{index:999999999d}", "is no way to write it"),
        ("{index:{ext}}", "is no way to write it"),
        ("{index", "expected '}' before end of string"),
        ("/abs/{index}", "names are relative"),
        ("C:/x/{index}", "names are relative"),
        ("a\\{index}", "names are relative"),
        ("../{index}", "a folder without a name, . or .. names none"),
        ("a/../{index}", "a folder without a name"),
        ("a//{index}", "a folder without a name"),
        ("a/", "a folder without a name"),
        ("", "it is empty or longer"),
        ("x" * 501, "it is empty or longer"),
    ],
)
def test_templates_that_cannot_be(template: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        NameTemplate(template)
    assert said in str(caught.value)
