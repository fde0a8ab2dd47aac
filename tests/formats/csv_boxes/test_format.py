from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.csv_boxes.columns import find_columns
from dsetkit.formats.csv_boxes.format import CsvBoxes
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, files_of, plain_export
from dsetkit.formats.writing import write_labels
from dsetkit.storage.scan import scan

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


class TestCsv(FormatContract):
    format = CsvBoxes()


class TestOneBasedCsv(FormatContract):
    format = CsvBoxes()
    write_options: ClassVar = {"pixels": "one_based"}
    read_options: ClassVar = {"pixels": "one_based"}
    examples = 20


def put(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def boxes(labels) -> list[tuple[str, str | None, tuple[float, ...] | None]]:
    return [
        (row["key"], one.get("category"), one.get("bbox_xywh_px"))
        for row in labels.rows
        for one in row.get("annotations", ())
    ]


@pytest.mark.parametrize(
    "text",
    [
        "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,4,6\n",
        "filename,cell_type,xmin,xmax,ymin,ymax\na.jpg,cat,1,4,2,6\n",  # as bccd/test.csv orders them
        "image;label;x;y;w;h\na.jpg;cat;1;2;3;4\n",
        "image\tlabel\tx1\ty1\tx2\ty2\na.jpg\tcat\t1\t2\t4\t6\n",
        "Image_Path, Class Name, left, top, width, height\na.jpg, cat, 1, 2, 3, 4\n",
        "x,y,width,height,image_width,image_height,file_name,category\n1,2,3,4,100,100,a.jpg,cat\n",
        '"path","class","XMin","YMin","XMax","YMax"\r\n"a.jpg","cat","1.0","2.0","4.0","6.0"\r\n',
        "image;label;x;y;w;h\na.jpg;cat;1,0;2,0;3,0;4,0\n",  # decimal commas
        "id,image_id,label,left,top,right,bottom\n7,a.jpg,cat,1,2,4,6\n",
    ],
)
def test_columns_by_any_name_in_any_order(tmp_path, text):
    labels = read_labels(put(tmp_path, text), "csv")
    assert boxes(labels) == [("a.jpg", "cat", (1.0, 2.0, 3.0, 4.0))]
    assert labels.issues == ()


def test_columns_by_option(tmp_path):
    text = "bild,art,a,b,c,d,class\nx.jpg,cat,1,2,4,6,wrong\n"
    options = {"filename": "bild", "category": "art", "xmin": "a", "ymin": "b", "xmax": "c", "ymax": "d"}
    assert boxes(read_labels(put(tmp_path, text), "csv", options=options)) == [("x.jpg", "cat", (1.0, 2.0, 3.0, 4.0))]
    with pytest.raises(UsageError) as caught:
        read_labels(tmp_path / "labels.csv", "csv", options={"filename": "bildd"})
    assert str(caught.value) == (
        "the option filename names a column 'bildd' that labels.csv does not have. "
        "Did you mean 'bild'? Its columns are: bild, art, a, b, c, d, class."
    )


def test_pixels(tmp_path):
    path = put(tmp_path, HEADER + "a.jpg,10,10,cat,1,1,10,10\n")
    assert boxes(read_labels(path, "csv")) == [("a.jpg", "cat", (1.0, 1.0, 9.0, 9.0))]
    assert boxes(read_labels(path, "csv", options={"pixels": "one_based"})) == [
        ("a.jpg", "cat", (0.0, 0.0, 10.0, 10.0))
    ]
    with pytest.raises(UsageError, match="It is one of: zero_based, one_based"):
        read_labels(path, "csv", options={"pixels": "both"})


def test_rows_without_a_box_or_a_class(tmp_path):
    text = "filename,class,xmin,ymin,xmax,ymax,score,split,caption\n"
    text += "a.jpg,,,,,,,train,\nb.jpg,cat,,,,,0.5,val,\nc.jpg,,1,1,2,2,,,\nd.jpg,,,,,,,,a dog\n"
    labels = read_labels(put(tmp_path, text), "csv")
    assert labels.rows == (
        {"key": "a.jpg", "labelled": "yes", "subsets": ["train"]},
        {
            "key": "b.jpg",
            "labelled": "yes",
            "subsets": ["val"],
            "annotations": [{"id": "0", "kind": "image_label", "category": "cat", "score": 0.5}],
        },
        {
            "key": "c.jpg",
            "labelled": "yes",
            "annotations": [{"id": "0", "kind": "box", "bbox_xywh_px": (1.0, 1.0, 1.0, 1.0)}],
        },
        {"key": "d.jpg", "labelled": "yes", "annotations": [{"id": "0", "kind": "caption", "text": "a dog"}]},
    )


def test_what_is_wrong_with_a_row_is_an_issue_with_its_line(tmp_path):
    rows = [
        'a.jpg,100,50,"two\nlines",1,1,9,9',
        "a.jpg,100,50,cat,1,x,9,9",
        "a.jpg,100,50,cat,nan,1,9,9",
        "a.jpg,100,50,cat,1,1,9,",
        "a.jpg,100,50,cat,1,1,1e400,9",
        ",100,50,cat,1,1,9,9",
        "a, b.jpg,100,50,cat,1,1,9,9",
        "a.jpg,99,50,cat,1,1,9,9",
        "../..,100,50,cat,1,1,9,9",
        "b.jpg,,,cat,1,1,9,9",
    ]
    labels = read_labels(put(tmp_path, HEADER + "\n".join(rows) + "\n"), "csv")
    assert [issue.describe() for issue in labels.issues] == [
        "labels.csv: line 4: a.jpg: ymin is 'x', which is no finite number. "
        "Correct the cell; the row was left out. [row-malformed]",
        "labels.csv: line 5: a.jpg: xmin is 'nan', which is no finite number. "
        "Correct the cell; the row was left out. [row-malformed]",
        "labels.csv: line 6: a.jpg: its box has no ymax. Correct the cell; the row was left out. [row-malformed]",
        "labels.csv: line 7: a.jpg: xmax is '1e400', which is no finite number. "
        "Correct the cell; the row was left out. [row-malformed]",
        "labels.csv: line 8: it names no picture. Name the picture, or take the row out. [row-malformed]",
        "labels.csv: line 9: it has 9 cells, the header 8. Put cells that hold a delimiter in quotes. [row-malformed]",
        "labels.csv: line 10: a.jpg: it gives 99×50 px, a row above 100×50 px. "
        "Check which of them is right; the first counts. [size-differs]",
        "labels.csv: line 11: no picture can be named '../..'. "
        "Name the picture by its path relative to the source. [picture-name-unusable]",
    ]
    assert boxes(labels) == [
        ("a.jpg", "two\nlines", (1.0, 1.0, 8.0, 8.0)),
        ("a.jpg", "cat", (1.0, 1.0, 8.0, 8.0)),
        ("b.jpg", "cat", (1.0, 1.0, 8.0, 8.0)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,xmin\ncat,1\n", "labels.csv has no column that names pictures. "
         "Put a header line on top, or say which column it is by the option filename."),
        ("a.jpg,cat,1,2,3,4\n", "labels.csv has no column that names pictures. "
         "Put a header line on top, or say which column it is by the option filename."),
        ("filename,label,Label\na.jpg,cat,dog\n", "labels.csv has two columns 'label'. "
         "Rename one, or say which column is the category by the option category."),
        ('filename,class\na.jpg,"cat\nb.jpg,dog\n', "labels.csv is no proper CSV from line 2 on "
         "(unexpected end of data). Look for a quote that is not closed there."),
        ("filename,class\na.jpg," + "x" * 140_000, "labels.csv is no proper CSV from line 2 on "
         "(field larger than field limit (131072)). Look for a quote that is not closed there."),
        ("", "labels.csv is empty. Restore the file, or exclude it from the source."),
    ],
)  # fmt: skip
def test_files_that_are_no_label_table(tmp_path, text, message):
    with pytest.raises(FormatError) as caught:
        read_labels(put(tmp_path, text), "csv")
    assert str(caught.value) == message


def test_several_tables_are_put_together(tmp_path):
    row = "a.jpg,10,10,cat,1,1,5,5\n"
    put(tmp_path, HEADER + row + row + "b.jpg,10,10,dog,1,1,5,5\n", "all.csv")
    put(tmp_path, HEADER + row, "train_labels.csv")
    put(tmp_path, HEADER + "b.jpg,10,10,dog,1,1,5,5\nb.jpg,10,10,dog,2,2,5,5\n", "test_labels.csv")
    put(tmp_path, "name,age\nx,1\n", "people.csv")
    labels = read_labels(tmp_path, "csv")
    # Twice in one table is twice; the same again in another table is not.
    assert [(row["key"], len(row["annotations"]), row["subsets"]) for row in labels.rows] == [
        ("a.jpg", 2, ["train"]),
        ("b.jpg", 2, ["test"]),
    ]


def test_one_table_called_test_says_nothing_of_splits(tmp_path):
    assert "subsets" not in read_labels(put(tmp_path, HEADER + "a.jpg,9,9,cat,1,1,2,2\n", "test.csv"), "csv").rows[0]


def test_names_are_matched_with_pictures(tmp_path):
    put(tmp_path, "image_id,label\na,cat\nC:\\x\\b.jpg,cat\n/abs/c.jpg,dog\n../../etc/passwd,cat\n")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"x")
    labels = read_labels(tmp_path, "csv")
    assert [row["key"] for row in labels.rows] == ["etc/passwd", "images/a.jpg", "images/b.jpg", "images/c.jpg"]
    assert [(issue.code, issue.key) for issue in labels.issues] == [("picture-missing", "etc/passwd")]


def test_fractions_are_noticed(tmp_path):
    labels = read_labels(put(tmp_path, "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,0.1,0.1,0.5,0.5\n"), "csv")
    assert [issue.code for issue in labels.issues] == ["coordinates-normalised"]


def test_what_is_written(tmp_path):
    write_labels(plain_export(), tmp_path / "out", "csv")
    files = files_of(tmp_path / "out")
    assert sorted(files) == [
        "images/src/cat_1.jpg",
        "images/src/dog_1.jpg",
        "images/src/nobody.jpg",
        "labels.csv",
    ]
    assert files["labels.csv"].decode() == (
        "filename,width,height,class,xmin,ymin,xmax,ymax,split\n"
        "images/src/cat_1.jpg,32,24,cat,2,3,12,11,\n"
        "images/src/cat_1.jpg,32,24,cat,,,,,\n"
        "images/src/dog_1.jpg,32,24,dog,3,3,13,11,\n"
        "images/src/dog_1.jpg,32,24,dog,,,,,\n"
    )


def test_tables_of_other_things_are_not_detected(tmp_path):
    put(tmp_path, "name,age\nAlice,22\n")
    put(tmp_path, "image,label\nno picture,cat\n", "b.csv")
    put(tmp_path, "\x00\x00", "c.csv")
    assert CsvBoxes().detect(scan(str(tmp_path))) is None


@pytest.mark.realdata
def test_real_tables(shared_data):
    raccoon = read_labels(shared_data / "raccoon/data/raccoon_labels.csv", "csv")
    assert (len(raccoon), len(boxes(raccoon)), [one.name for one in raccoon.categories]) == (200, 217, ["raccoon"])
    everything = read_labels(shared_data / "raccoon", "csv")
    assert len(boxes(everything)) == 217
    assert sorted({row["subsets"][0] for row in everything.rows}) == ["test", "train"]
    assert everything.issues == ()
    bccd = read_labels(shared_data / "bccd/test.csv", "csv")
    assert (len(bccd), len(boxes(bccd))) == (364, 4888)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["raccoon", "bccd"])
def test_voc_wins_over_a_table_beside_it(shared_data, name):
    found, others = registry.detect(scan(str(shared_data / name)))
    assert found.format == "voc"
    assert "csv" in [other.format for other in others]


def test_a_picture_of_which_a_row_is_malformed_is_labelled_in_part(tmp_path):
    text = "filename,xmin,ymin,xmax,ymax,class\na.jpg,x,2,10,12,c\na.jpg,1,2,10,12,c\nb.jpg,1,2,10,12,c\n"
    (tmp_path / "l.csv").write_text(text)
    rows = read_labels(tmp_path, "csv").rows
    assert [(row["key"], row["labelled"], len(row["annotations"])) for row in rows] == [
        ("a.jpg", "partial", 1),
        ("b.jpg", "yes", 1),
    ]


def test_a_header_with_the_end_of_a_line_in_it_is_none() -> None:
    assert find_columns("filename,xmin\r,ymin,xmax,ymax", "a.csv", {}) is None
    assert find_columns("filename," + "x" * 200_000 + ",xmax", "a.csv", {}) is None
