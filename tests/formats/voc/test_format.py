from __future__ import annotations

import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger, LossReport
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract
from dsetkit.formats.voc.format import Voc
from dsetkit.formats.voc.xml import read_document
from dsetkit.formats.writing import write_labels
from dsetkit.formats.xml_text import XmlRefusedError, parse_xml
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + b"\x00" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def xml(*objects: str, filename: str = "", head: str = "") -> str:
    named = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation>{named}{head}{''.join(objects)}</annotation>"


def box(xmin: Any, ymin: Any, xmax: Any, ymax: Any, name: str = "cat", more: str = "") -> str:
    corners = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def read(folder: Path, **options: Any) -> LabelSet:
    return read_labels(folder, "voc", options=options or None)


def one(folder: Path, document: str | bytes, **options: Any) -> Row:
    lay(folder, {"a.xml": document, "a.png": png(20, 10)})
    return read(folder, **options).rows[0]


def described(labels: LabelSet) -> list[str]:
    return [issue.describe() for issue in labels.issues]


class Rows:
    """Rows to be written, all with the same picture."""

    def __init__(self, rows: Sequence[Row], categories: Sequence[str], picture: bytes | None = None) -> None:
        self._rows = rows
        self.categories = [Category(name=name, index=index) for index, name in enumerate(categories)]
        self.info: Mapping[str, Any] = {}
        self.licenses = ()
        self._picture = picture

    def rows(self) -> Iterator[Row]:
        return iter(self._rows)

    def picture(self, row: Row) -> bytes | None:
        return self._picture


def write(rows: Sequence[Row], folder: Path, **options: Any) -> LossReport:
    return write_labels(Rows(rows, ["cat", "head"], png(20, 10)), str(folder), "voc", options=options or None)


def round_trip(rows: Sequence[Row], folder: Path, **options: Any) -> tuple[LossReport, list[Row]]:
    """The losses and the rows read back, which must be what ``carry`` promised."""
    export = Rows(rows, ["cat", "head"], png(20, 10))
    report = write_labels(export, str(folder), "voc", options=options or None)
    back = read_labels(folder, "voc", options={"pixels": options["pixels"]} if "pixels" in options else None)
    voc, ledger = Voc(), Ledger("voc")
    plan = voc.prepare(export, options, ledger)
    promised = sorted((voc.carry(row, plan, ledger) for row in rows), key=lambda row: row["key"].encode())
    assert [plain(row) for row in back.rows] == [plain(row) for row in promised]
    return report, list(back.rows)


def plain(value: Any) -> Any:
    """Tuples as lists, findings left out."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "issues"}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def labelled(key: str, *annotations: Row, **fields: Any) -> Row:
    row: Row = {"key": key, "labelled": "yes", "width_px": 20, "height_px": 10, **fields}
    return row | ({"annotations": list(annotations)} if annotations else {})


def a_box(number: int | str, *bbox: float, **fields: Any) -> Row:
    return {"id": str(number), "kind": "box", "category": "cat", "bbox_xywh_px": list(bbox), **fields}


class TestContract(FormatContract):
    format = Voc()
    examples = 20


class TestContractZeroBased(FormatContract):
    format = Voc()
    write_options: ClassVar[Mapping[str, Any]] = {"pixels": "zero_based"}
    read_options: ClassVar[Mapping[str, Any]] = {"pixels": "zero_based"}
    examples = 10
    test_hostile_label_files_end_in_an_error_or_an_issue = None  # the numbers' frame makes no difference to it


class TestPixels:
    def test_corners_are_counted_from_one_and_belong_to_the_box(self, tmp_path: Path) -> None:
        row = one(tmp_path, xml(box(1, 2, 20, 10)))
        assert row["annotations"] == [
            {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": [0.0, 1.0, 20.0, 9.0]}
        ]

    def test_zero_based_takes_numbers_as_they_are(self, tmp_path: Path) -> None:
        row = one(tmp_path, xml(box("1.5", 2, 20, "10.25")), pixels="zero_based")
        assert row["annotations"][0]["bbox_xywh_px"] == [1.5, 2.0, 18.5, 8.25]

    def test_unknown_words_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"pixels is 'two_based'. It is one of: one_based, zero_based."):
            one(tmp_path, xml(box(1, 2, 3, 4)), pixels="two_based")
        with pytest.raises(UsageError, match=r"no option 'pixel'. Did you mean 'pixels'\?"):
            one(tmp_path, xml(box(1, 2, 3, 4)), pixel="one_based")

    @pytest.mark.parametrize("corners", [(5, 2, 5, 8), (5, 2, 9, 2), (5, 2, 5, 2)])
    def test_coinciding_corners_stay_as_read_and_are_degenerate(self, tmp_path: Path, corners: tuple[int, ...]) -> None:
        found = one(tmp_path, xml(box(*corners)))["annotations"][0]
        left, top, right, bottom = corners
        assert found["bbox_xywh_px"] == [left - 1.0, top - 1.0, right - left + 1.0, bottom - top + 1.0]
        said = f"xmin {left}, ymin {top}, xmax {right}, ymax {bottom}: its corners coincide"
        assert found["issues"] == [{"code": "box-degenerate", "message": said}]

    def test_exchanged_corners_are_put_right_and_flagged(self, tmp_path: Path) -> None:
        found = one(tmp_path, xml(box(9, 2, 5, 8)))["annotations"][0]
        assert found["bbox_xywh_px"] == [4.0, 1.0, 5.0, 7.0]
        said = "xmin 9, ymin 2, xmax 5, ymax 8: corners exchanged"
        assert found["issues"] == [{"code": "box-inverted", "message": said}]


class TestObject:
    def test_flags_and_pose_are_attributes(self, tmp_path: Path) -> None:
        more = "<pose>Left</pose><truncated>1</truncated><occluded>0</occluded><difficult> TRUE </difficult>"
        found = one(tmp_path, xml(box(1, 2, 3, 4, more=more)))["annotations"][0]
        assert found["attributes"] == {"pose": "Left", "truncated": True, "occluded": False, "difficult": True}

    def test_empty_flags_say_nothing(self, tmp_path: Path) -> None:
        assert "attributes" not in one(tmp_path, xml(box(1, 2, 3, 4, more="<pose/><truncated/>")))["annotations"][0]

    def test_parts_actions_and_the_point(self, tmp_path: Path) -> None:
        part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
        more = f"{part}<actions><jumping>1</jumping><walking>0</walking></actions><point><x>4</x><y>5</y></point>"
        whole, head, point = one(tmp_path, xml(box(1, 2, 8, 9, more=more)))["annotations"]
        assert whole["attributes"] == {"actions": {"jumping": True, "walking": False}}
        part_of = [{"kind": "part_of", "target": "0"}]
        assert (head["id"], head["category"], head["relations"]) == ("1", "head", part_of)
        assert (point["kind"], point["points"], point["relations"]) == ("points", [3.0, 4.0], part_of)
        for annotation in (whole, head, point):
            Annotation.model_validate(annotation)

    def test_a_polygon_is_more_exact_than_its_box(self, tmp_path: Path) -> None:
        corners = "<x1>1</x1><y1>1</y1><x2>5</x2><y2>1</y2><x3>5</x3><y3>4</y3>"
        found = one(tmp_path, xml(box(1, 1, 5, 4, more=f"<polygon>{corners}</polygon>")))["annotations"][0]
        assert (found["kind"], found["polygons"]) == ("polygon", [[[0.0, 0.0, 4.0, 0.0, 4.0, 3.0]]])
        assert found["bbox_xywh_px"] == [0.0, 0.0, 4.0, 3.0]

    def test_a_rotated_box_is_in_radians_clockwise(self, tmp_path: Path) -> None:
        turned = "<robndbox><cx>11</cx><cy>6</cy><w>4</w><h>2</h><angle>1.5707963267948966</angle></robndbox>"
        found = one(tmp_path, xml(f"<object><name>ship</name>{turned}</object>"))["annotations"][0]
        assert found["rotated_box"] == {"cx": 10.0, "cy": 5.0, "w": 4.0, "h": 2.0, "angle": 90.0}
        assert found["bbox_xywh_px"] == [9.0, 3.0, 2.0, 4.0]

    def test_what_has_no_name_or_no_box_is_kept_and_flagged(self, tmp_path: Path) -> None:
        nameless = box(1, 2, 3, 4).replace("<name>cat</name>", "")
        first, second = one(tmp_path, xml(nameless, "<object><name>cat</name></object>"))["annotations"]
        assert (first["kind"], first["issues"][0]["code"], "category" in first) == ("box", "category-missing", False)
        assert (second["kind"], second["issues"][0]["code"]) == ("image_label", "box-missing")

    def test_datumaro_attributes_and_unknown_texts(self, tmp_path: Path) -> None:
        pairs = "".join(
            f"<attribute><name>{name}</name><value>{value}</value></attribute>"
            for name, value in (("age", "3"), ("wild", "true"), ("color", "red"), ("share", "0.5"))
        )
        more = f"<attributes>{pairs}</attributes><track_no>7</track_no>"
        found = one(tmp_path, xml(box(1, 2, 3, 4, more=more)))["annotations"][0]
        assert found["attributes"] == {"age": 3, "wild": True, "color": "red", "share": 0.5}
        assert found["extras"] == {"voc": {"track_no": "7"}}

    @pytest.mark.parametrize(
        ("corners", "message"),
        [
            (("one", 2, 3, 4), "<xmin> of <bndbox> is 'one', not a number"),
            (("nan", 2, 3, 4), "<xmin> of <bndbox> is 'nan', not a number"),
            ((1, "1e400", 3, 4), "<ymin> of <bndbox> is '1e400', not a number"),
            ((1, 2, "1_0", 4), "<xmax> of <bndbox> is '1_0', not a number"),
            ((1, 2, 3, ""), "<ymax> of <bndbox> is '', not a number"),
        ],
    )
    def test_unreadable_numbers_leave_one_object_out(
        self, tmp_path: Path, corners: tuple[Any, ...], message: str
    ) -> None:
        lay(tmp_path, {"a.xml": xml("\n", box(*corners), box(1, 2, 3, 4)), "a.png": png(20, 10)})
        labels = read(tmp_path)
        assert (len(labels.rows[0]["annotations"]), labels.rows[0]["labelled"]) == (1, "partial")
        hint = "Correct the number; the object was left out."
        assert described(labels) == [f"a.xml: line 2: {message}. {hint} [box-unreadable]"]


class TestPicture:
    @pytest.mark.parametrize(
        "document",
        [
            xml(filename="cat.png"),
            xml(filename="cat"),
            xml(filename="CAT.PNG"),
            xml(filename="cat.jpg"),
            xml(filename="C:\\photos\\cat.png"),
            xml(head="<path>/home/me/x/cat.png</path>"),
            xml(head="<folder>shots</folder>", filename="cat.png"),
        ],
    )
    def test_is_found_by_the_name_given(self, tmp_path: Path, document: str) -> None:
        lay(tmp_path, {"labels/1.xml": document, "pics/cat.png": png(4, 4), "pics/dog.png": png(4, 4)})
        rows = read(tmp_path).rows
        assert [(row["key"], row.get("labelled", "no")) for row in rows] == [
            ("pics/cat.png", "yes"),
            ("pics/dog.png", "no"),
        ]

    def test_is_found_by_the_name_of_the_xml(self, tmp_path: Path) -> None:
        lay(tmp_path, {"xml/cat.xml": xml(), "pics/cat.png": png(4, 4), "pics/dog.png": png(4, 4)})
        assert [row.get("labelled") for row in read(tmp_path).rows] == ["yes", None]

    def test_same_names_in_several_folders_go_to_the_nearest(self, tmp_path: Path) -> None:
        files: dict[str, str | bytes] = {}
        for year in ("VOC2007", "VOC2012"):
            files[f"{year}/Annotations/1.xml"] = xml(box(1, 2, 3, 4, name=year), filename="1.png")
            files[f"{year}/JPEGImages/1.png"] = png(4, 4)
            files[f"{year}/ImageSets/Main/{year.lower()}.txt"] = "1\n"
        labels = read(lay(tmp_path, files))
        found = [(row["key"], row["annotations"][0]["category"], row["subsets"]) for row in labels.rows]
        assert found == [
            ("VOC2007/JPEGImages/1.png", "VOC2007", ("voc2007",)),
            ("VOC2012/JPEGImages/1.png", "VOC2012", ("voc2012",)),
        ]

    def test_a_stale_name_that_another_file_claims_gives_way(self, tmp_path: Path) -> None:
        lay(tmp_path, {"1.xml": xml(filename="1.png"), "2.xml": xml(box(1, 1, 2, 2), filename="1.png")})
        labels = read(lay(tmp_path, {"1.png": png(4, 4), "2.png": png(4, 4)}))
        assert [len(row.get("annotations", ())) for row in labels.rows] == [0, 1]
        assert [issue.code for issue in labels.issues] == ["filename-differs"]

    def test_absent_pictures_keep_a_safe_key(self, tmp_path: Path) -> None:
        document = xml(head="<folder>..\\..\\secret</folder>", filename="../../etc/passwd\x85.png")
        labels = read(lay(tmp_path, {"x/1.xml": document}))
        assert [row["key"] for row in labels.rows] == ["secret/etc/passwd_.png"]

    def test_absent_pictures_of_one_name_are_told_apart_by_their_files(self, tmp_path: Path) -> None:
        labels = read(lay(tmp_path, {"1.xml": xml(filename="image.jpg"), "2.xml": xml(filename="image.jpg")}))
        assert [row["key"] for row in labels.rows] == ["2.jpg", "image.jpg"]

    def test_two_files_about_one_picture_are_both_taken(self, tmp_path: Path) -> None:
        files = {"a/1.xml": xml(box(1, 1, 5, 5)), "b/1.xml": xml(box(2, 2, 5, 5)), "1.png": png(9, 9)}
        labels = read(lay(tmp_path, files))
        assert [annotation["id"] for annotation in labels.rows[0]["annotations"]] == ["0", "1:0"]
        said = "it is about a picture that another file labels: a/1.xml is about 1.png too"
        assert described(labels) == [f"b/1.xml: {said}. Both were taken; take one away. [labels-twice]"]

    def test_a_copy_of_a_file_counts_once(self, tmp_path: Path) -> None:
        labels = read(
            lay(tmp_path, {"a/1.xml": xml(box(1, 1, 5, 5)), "b/1.xml": xml(box(1, 1, 5, 5)), "1.png": png(9, 9)})
        )
        assert len(labels.rows[0]["annotations"]) == 1
        assert [(issue.code, issue.severity) for issue in labels.issues] == [("labels-repeated", "info")]

    def test_ambiguous_pictures_are_an_issue(self, tmp_path: Path) -> None:
        files = {"labels/1.xml": xml(filename="1.png"), "x/1.png": png(4, 4), "y/1.png": png(4, 4)}
        labels = read(lay(tmp_path, files))
        said = "it could be about any of 2 pictures (x/1.png, y/1.png)"
        hint = "Give pictures names of their own, or say the folder in <folder>."
        assert described(labels)[0] == f"labels/1.xml: {said}. {hint} [picture-ambiguous]"

    def test_labels_and_pictures_may_be_apart(self, tmp_path: Path) -> None:
        tree = scan(str(lay(tmp_path, {"Annotations/a.xml": xml(box(1, 1, 5, 5)), "JPEGImages/a.png": png(9, 9)})))
        labels = Voc().read(tree.subtree("Annotations"), PictureIndex(tree, Voc().pictures(tree)), {})
        assert [row["key"] for row in labels.rows] == ["JPEGImages/a.png"]

    def test_size_and_origin_are_read(self, tmp_path: Path) -> None:
        head = (
            "<size><width>20</width><height>10</height><depth>3</depth></size><owner><name>Ann</name></owner>"
            "<source><database>Cells</database><annotation>Unknown</annotation></source>"
        )
        row = one(tmp_path, xml(head=head).replace("<annotation>", '<annotation verified="yes">', 1))
        assert (row["width_px"], row["height_px"]) == (20, 10)
        assert (row["attributes"], row["provenance"]) == ({"verified": True, "database": "Cells"}, {"author": "Ann"})

    def test_a_size_of_zero_is_no_size(self, tmp_path: Path) -> None:
        lay(tmp_path, {"a.xml": xml(head="<size><width>0</width><height>0</height></size>"), "a.png": png(4, 4)})
        labels = read(tmp_path)
        assert "width_px" not in labels.rows[0]
        assert described(labels) == ["a.xml: line 1: it says the picture has 0 × 0 pixels. [size-unusable]"]


class TestSubsets:
    FILES: Mapping[str, str | bytes] = {
        "Annotations/1.xml": xml(),
        "JPEGImages/1.png": png(4, 4),
        "JPEGImages/2.png": png(4, 4),
        "SegmentationClass/1.png": png(4, 4),
    }

    def test_lists_give_subsets_and_masks_are_no_pictures(self, tmp_path: Path) -> None:
        lists = {
            "ImageSets/Main/train.txt": "# a comment\n\n1\n",
            "ImageSets/Main/fold_a.txt": "2.png\r\n",
            "ImageSets/Main/cat_train.txt": "1  1\n2 -1\n",
            "ImageSets/Layout/train.txt": "1 1\n1 2\n",
            "ImageSets/Segmentation/val.txt": "2\n3\n",
        }
        labels = read(lay(tmp_path, {**self.FILES, **lists}))
        found = {row["key"]: (row["subsets"], row.get("labelled", "no")) for row in labels.rows}
        assert found == {
            "JPEGImages/1.png": (("train", "Layout/train"), "yes"),
            "JPEGImages/2.png": (("fold_a", "Segmentation/val"), "no"),
        }
        assert described(labels) == [
            "ImageSets/Segmentation/val.txt: line 2: '3' is the name of no picture and no XML file. It was left out. "
            "[list-unmatched]",
            "lists of single classes were not read: ImageSets/Main/cat_train.txt. They repeat what the boxes say. "
            "[voc-class-lists-not-read]",
            "1 mask was not read (SegmentationClass/1.png). Boxes and polygons were. [voc-masks-not-read]",
        ]

    def test_folders_stand_in_where_there_is_no_list(self, tmp_path: Path) -> None:
        files = {"train/1.xml": xml(), "train/1.png": png(4, 4), "valid/2.png": png(4, 4), "more/3.xml": xml()}
        assert [row.get("subsets") for row in read(lay(tmp_path, files)).rows] == [None, ("train",), ("val",)]

    def test_labelmap_gives_categories_in_order_with_colors(self, tmp_path: Path) -> None:
        files = {
            "a.xml": xml(box(1, 2, 3, 4, name="fox")),
            "labelmap.txt": "# label:color\ndog:255,0,1::\na:b:::\nbad\n",
        }
        labels = read(lay(tmp_path, files))
        assert [(item.name, item.color) for item in labels.categories] == [
            ("dog", "#ff0001"),
            ("a:b", None),
            ("fox", None),
        ]
        assert [issue.code for issue in labels.issues] == ["labelmap-malformed"]


LAUGHS = (
    '<!DOCTYPE annotation [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12))
    + "]><annotation><object><name>&m;</name></object></annotation>"
)


PIECES = (
    *("<annotation>", "</annotation>", "<object>", "</object>", "<bndbox>", "</bndbox>", "<part>", "</part>"),
    *("<xmin>", "</xmin>", "<size>", "1", "&amp;", "&x;", "é", "<!--", "-->", "\x00", "<![CDATA["),
)


class TestHostile:
    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (LAUGHS, "a.xml: it declares entities"),
            (
                '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation><filename>&x;</filename></annotation>',
                "a.xml: it declares entities",
            ),
            ("<annotation><object></annotation>", "a.xml: not well-formed XML: Opening and ending tag mismatch"),
            ("", "a.xml: not well-formed XML"),
            (
                "<annotation>" + "<a>" * 300 + "</a>" * 300 + "</annotation>",
                "a.xml: not well-formed XML: Excessive depth",
            ),
            (b"\xff\xfe\x00\x01", "a.xml: not well-formed XML"),
            (
                '<?xml version="1.0" encoding="nonsense"?><annotation/>',
                "a.xml: not well-formed XML: Unsupported encoding",
            ),
        ],
    )
    def test_a_lone_file_is_refused_in_a_moment(self, tmp_path: Path, document: str | bytes, message: str) -> None:
        lay(tmp_path, {"a.xml": document})
        start = time.perf_counter()
        with pytest.raises(FormatError) as caught:
            read(tmp_path)
        assert time.perf_counter() - start < 2.0
        assert str(caught.value).startswith(message)
        assert str(caught.value).endswith(". Restore the file, or exclude it from the source.")

    def test_among_others_it_is_an_issue(self, tmp_path: Path) -> None:
        labels = read(lay(tmp_path, {"a.xml": "<annotation>\n<object>", "b.xml": xml(), "b.png": png(4, 4)}))
        assert [row["key"] for row in labels.rows] == ["b.png"]
        assert [(issue.code, issue.file, issue.place) for issue in labels.issues] == [
            ("xml-malformed", "a.xml", "line 2")
        ]

    def test_too_large_is_not_parsed(self) -> None:
        with pytest.raises(XmlRefusedError, match="more than 16777216"):
            parse_xml(b"<annotation>" + b" " * (16 * 1024 * 1024) + b"</annotation>")

    def test_no_voc_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError) as caught:
            read(lay(tmp_path, {"info.xml": "<root/>"}))
        hint = "Looked for XML files whose root element is <annotation>. Name another format or folder."
        assert str(caught.value) == f"no Pascal VOC labels in {tmp_path}. {hint}"

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.sampled_from(PIECES)))
    def test_any_bytes_are_read_or_refused(self, pieces: list[str]) -> None:
        try:
            root = parse_xml("".join(pieces).encode())
        except XmlRefusedError:
            return
        for annotation in read_document(root, "a.xml", IssueList(), one_based=True).annotations:
            Annotation.model_validate(annotation)


class TestDetect:
    def test_says_why(self, tmp_path: Path) -> None:
        for number in range(20):
            lay(tmp_path, {f"x/{number}.xml": f"<?xml version='1.0'?>\n<!-- <p> -->{xml()}"})
        found = Voc().detect(scan(str(tmp_path)))
        assert found is not None
        assert (found.format, found.confidence) == ("voc", 0.95)
        assert found.why == "found 20 XML files whose root element is <annotation> (7 looked at)"

    def test_utf_16_counts_and_other_xml_does_not(self, tmp_path: Path) -> None:
        document = f'<?xml version="1.0" encoding="utf-16"?>{xml(box(1, 2, 3, 4, name="fußgänger"))}'
        lay(tmp_path, {"a.xml": document.encode("utf-16"), "b.xml": "<annotations/>"})
        found = Voc().detect(scan(str(tmp_path)))
        assert found is not None
        assert found.why == "found 2 XML files, 1 of 2 looked at with the root element <annotation>"
        assert read(tmp_path).rows[0]["annotations"][0]["category"] == "fußgänger"

    def test_labelme_xml_is_not_taken_for_voc_but_can_be_read_as_it(self, tmp_path: Path) -> None:
        corners = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((0, 0), (4, 0), (4, 3)))
        kept = f"<object><name>cat</name><deleted>0</deleted><polygon>{corners}</polygon></object>"
        document = xml(kept, kept.replace(">0</deleted>", ">1</deleted>"), filename="a.png")
        assert Voc().detect(scan(str(lay(tmp_path, {"a.xml": document})))) is None
        (found,) = read(tmp_path, pixels="zero_based").rows[0]["annotations"]
        assert found["polygons"] == [[[0.0, 0.0, 4.0, 0.0, 4.0, 3.0]]]

    def test_nothing_of_the_kind(self, tmp_path: Path) -> None:
        assert Voc().detect(scan(str(lay(tmp_path, {"b.xml": "<annotations/>"})))) is None


class TestWrite:
    ROWS = (
        labelled(
            "s/a.png", a_box(0, 0.0, 1.0, 20.0, 9.0, attributes={"truncated": True, "pose": "Left"}), split="train"
        ),
        labelled("s/b.png", a_box(0, 1.25, 1.5, 3.0, 2.0), split="val"),
        labelled("s/c.png", split="val"),
        {"key": "s/d.png", "split": "train"},
    )

    def test_layout(self, tmp_path: Path) -> None:
        report = write(self.ROWS, tmp_path / "out")
        assert report.losses == ()
        files = sorted(
            str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
        )
        assert files == [
            *("Annotations/a.xml", "Annotations/b.xml", "Annotations/c.xml"),
            *("ImageSets/Main/train.txt", "ImageSets/Main/val.txt"),
            *("JPEGImages/a.png", "JPEGImages/b.png", "JPEGImages/c.png", "JPEGImages/d.png"),
            "labelmap.txt",
        ]
        assert (tmp_path / "out/ImageSets/Main/train.txt").read_text() == "a\nd\n"
        assert (tmp_path / "out/Annotations/a.xml").read_text() == (
            "<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>a.png</filename>\n"
            "\t<source>\n\t\t<database>Unknown</database>\n\t</source>\n"
            "\t<size>\n\t\t<width>20</width>\n\t\t<height>10</height>\n\t\t<depth>3</depth>\n\t</size>\n"
            "\t<segmented>0</segmented>\n"
            "\t<object>\n\t\t<name>cat</name>\n\t\t<pose>Left</pose>\n\t\t<truncated>1</truncated>\n"
            "\t\t<difficult>0</difficult>\n"
            "\t\t<bndbox>\n\t\t\t<xmin>1</xmin>\n\t\t\t<ymin>2</ymin>\n\t\t\t<xmax>20</xmax>\n\t\t\t<ymax>10</ymax>\n"
            "\t\t</bndbox>\n\t\t<unstated>difficult</unstated>\n\t</object>\n</annotation>\n"
        )

    def test_round_trip(self, tmp_path: Path) -> None:
        _, rows = round_trip(self.ROWS, tmp_path / "out")
        assert [row["annotations"][0]["bbox_xywh_px"] for row in rows[:2]] == [
            [0.0, 1.0, 20.0, 9.0],
            [1.25, 1.5, 3.0, 2.0],
        ]
        assert rows[0]["annotations"][0]["attributes"] == {"truncated": True, "pose": "Left"}

    def test_readers_that_want_whole_numbers(self, tmp_path: Path) -> None:
        """As torchvision's users parse it: ElementTree, then ``int(float(text))``; Detectron2 wants the flags."""
        report = write(self.ROWS, tmp_path / "out", coordinates="rounded")
        assert [(loss.code, loss.count, loss.examples) for loss in report.losses] == [
            ("coordinates-rounded", 1, ("s/b.png#0",))
        ]
        root = ElementTree.parse(tmp_path / "out/Annotations/b.xml").getroot()
        texts = [element.text or "" for element in root.findall("object/bndbox/*")]
        assert texts == ["2", "3", "4", "4"]
        assert [int(float(text)) for text in texts] == [2, 3, 4, 4]
        found = root.find("object")
        assert found is not None
        assert [child.tag for child in found][:5] == ["name", "pose", "truncated", "difficult", "bndbox"]
        round_trip(self.ROWS, tmp_path / "again", coordinates="rounded")

    def test_zero_based_both_ways(self, tmp_path: Path) -> None:
        report, _ = round_trip(self.ROWS, tmp_path / "out", pixels="zero_based")
        assert report.losses == ()
        assert "<xmin>1.25</xmin>" in (tmp_path / "out/Annotations/b.xml").read_text()

    def test_a_picture_of_which_nothing_can_be_said_gets_no_file(self, tmp_path: Path) -> None:
        """One without objects would teach that nothing is there; points of their own are left out later than kinds."""
        said = {"id": "0", "kind": "caption", "text": "a cat"}
        points = {"id": "0", "kind": "points", "category": "cat", "points": [1.0, 2.0, 3.0, 4.0]}
        rows = [
            labelled("a.png", said),
            labelled("b.png"),
            labelled("c.png", points),
            labelled("d.png", a_box(0, 1, 1, 5, 5)),
        ]
        _, back = round_trip(rows, tmp_path / "out")
        assert [row.get("labelled") for row in back] == [None, "yes", None, "yes"]
        assert sorted(path.stem for path in (tmp_path / "out" / "Annotations").iterdir()) == ["b", "d"]

    def test_parts_points_polygons_and_what_voc_cannot_say(self, tmp_path: Path) -> None:
        part_of = [{"kind": "part_of", "target": "w"}]
        ring = (1.0, 1.0, 6.5, 1.0, 6.5, 4.0)
        turned = {"cx": 5.0, "cy": 5.0, "w": 4.0, "h": 2.0, "angle": 30.0}
        row = labelled(
            "s/a.png",
            a_box("p", 1.0, 1.0, 2.0, 2.0, relations=part_of),
            {**a_box("d", 3.0, 3.0, 0.0, 0.0), "kind": "points", "points": [3.0, 3.0], "relations": part_of},
            a_box(
                "w",
                0.0,
                0.0,
                8.0,
                8.0,
                attributes={"actions": {"jumping": True}, "age": 3, "id": "7", "deep": {"a": 1}},
            ),
            {
                **a_box("r", 1.0, 1.0, 5.5, 3.0),
                "kind": "polygon",
                "polygons": [[ring], [(0.0, 0.0, 1.0, 0.0, 1.0, 1.0)]],
            },
            {**a_box("t", 2.7, 3.1, 4.5, 3.7), "kind": "rotated_box", "rotated_box": turned},
            a_box("n", 2.0, 2.0, 0.25, 3.0, relations=[{"kind": "near", "target": "w"}]),
            {**a_box("x", 3.0, 3.0, 0.0, 0.0), "kind": "points", "points": [3.0, 3.0]},
            {"id": "c", "kind": "caption", "text": "two cats"},
            a_box("s", 1.0, 1.0, 2.0, 2.0, score=0.5),
            extra_field := a_box("e", 1.0, 1.0, 2.0, 2.0, extras={"voc": {"track_no": "7", "bad name": "x"}}),
        )
        assert extra_field["extras"]
        report, rows = round_trip([row], tmp_path / "out")
        found = [(item["id"], item["kind"], item.get("relations")) for item in rows[0]["annotations"]]
        target = [{"kind": "part_of", "target": "0"}]
        assert found[:5] == [
            ("0", "box", None),
            ("1", "box", target),
            ("2", "points", target),
            ("3", "polygon", None),
            ("4", "rotated_box", None),
        ]
        assert rows[0]["annotations"][0]["attributes"] == {"actions": {"jumping": True}, "age": 3, "id": 7}
        assert rows[0]["annotations"][-1]["extras"] == {"voc": {"track_no": "7"}}
        assert Counter(loss.code for loss in report.losses if loss.severity == "warning") == {
            "attribute-changed": 1,
            "attribute-dropped": 1,
            "box-thin": 1,
            "field-dropped": 1,
            "kind-dropped": 2,
            "polygon-parts": 1,
            "relation-dropped": 1,
        }

    def test_relations_in_a_ring_end(self, tmp_path: Path) -> None:
        first = a_box(0, 1.0, 1.0, 2.0, 2.0, relations=[{"kind": "part_of", "target": "1"}])
        second = a_box(1, 1.0, 1.0, 2.0, 2.0, relations=[{"kind": "part_of", "target": "0"}])
        report, rows = round_trip([labelled("a.png", first, second)], tmp_path / "out")
        assert [loss.code for loss in report.losses] == ["relation-dropped"]
        assert len(rows[0]["annotations"]) == 2

    def test_names_are_flat_and_collide_with_nobody(self, tmp_path: Path) -> None:
        keys = ["a/1.png", "b/1.png", "b/1.PNG.png", "c/A B.png", "d/a_b.png", "e/CON.png", "é/ä?.png"]
        _, rows = round_trip([labelled(key) for key in sorted(keys, key=str.encode)], tmp_path / "out")
        names = [row["key"].removeprefix("JPEGImages/") for row in rows]
        assert sorted(names) == ["1.PNG.png", "1.png", "A_B.png", "_CON.png", "b__1.png", "d__a_b.png", "ä_.png"]

    def test_subsets_stand_in_for_splits_and_odd_names_are_told(self, tmp_path: Path) -> None:
        rows = [
            labelled("a.png", subsets=("trainval", "Layout/train", "fold/1/2")),
            labelled("b.png", subsets=("fold:1",)),
        ]
        report, back = round_trip(rows, tmp_path / "out")
        assert back[0]["subsets"] == ("fold_1_2", "trainval", "Layout/train")
        assert [loss.code for loss in report.losses] == ["split-renamed", "split-renamed"]
        assert (tmp_path / "out/ImageSets/Layout/train.txt").read_text() == "a\n"

    def test_text_that_is_no_xml(self, tmp_path: Path) -> None:
        found = a_box(0, 1.0, 1.0, 2.0, 2.0, category="cat") | {"attributes": {"say": "<&>\"'\n\x01"}}
        report, rows = round_trip([labelled("a&b.png", found)], tmp_path / "out")
        assert rows[0]["annotations"][0]["attributes"] == {"say": "<&>\"'\n_"}
        assert [loss.code for loss in report.losses] == ["attribute-changed"]

    def test_same_rows_same_bytes(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            write(self.ROWS, tmp_path / name)
        for path in (tmp_path / "one").rglob("*.*"):
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.realdata
class TestRealData:
    def test_bccd(self, shared_data: Path) -> None:
        labels = read_labels(shared_data / "bccd")
        rows = labels.rows
        annotations = [annotation for row in rows for annotation in row["annotations"]]
        assert (len(rows), len(annotations), described(labels)) == (364, 4888, [])
        assert Counter(item["category"] for item in annotations) == {"RBC": 4155, "WBC": 372, "Platelets": 361}
        degenerate = [row["key"] for row in rows for item in row["annotations"] if "issues" in item]
        assert degenerate == ["JPEGImages/BloodImage_00338.jpg", "JPEGImages/BloodImage_00343.jpg"]
        subsets = Counter(name for row in rows for name in row["subsets"])
        assert subsets == {"train": 205, "val": 87, "test": 72, "trainval": 292}
        assert {(row["width_px"], row["height_px"], row["labelled"]) for row in rows} == {(640, 480, "yes")}

    def test_bccd_comes_back_from_a_write(self, shared_data: Path, tmp_path: Path) -> None:
        labels = read_labels(shared_data / "bccd", "voc")
        rows = labels.rows[330:350]
        export = Rows(rows, [item.name for item in labels.categories])
        assert write_labels(export, str(tmp_path / "out"), "voc").is_lossless
        back = read_labels(tmp_path / "out", "voc")
        assert [row["annotations"] for row in back.rows] == [row["annotations"] for row in rows]
        assert back.categories == labels.categories

    def test_raccoon(self, shared_data: Path) -> None:
        labels = read_labels(shared_data / "raccoon", "voc")
        assert (len(labels), sum(len(row["annotations"]) for row in labels.rows)) == (200, 217)
        assert labels.issues == ()

    def test_tiny(self, shared_data: Path) -> None:
        folder = shared_data / "formats-tiny" / "voc_dataset"
        first = read_labels(folder / "voc_dataset1")
        assert [(row["key"], row.get("labelled", "no")) for row in first.rows] == [
            ("JPEGImages/2007_000001.jpg", "yes"),
            ("JPEGImages/2007_000002.jpg", "no"),
        ]
        assert [item["category"] for item in first.rows[0]["annotations"]] == ["cat", "person", "head"]
        assert first.rows[1]["subsets"] == ("test", "Action/test", "Layout/test", "Segmentation/test")
        assert [issue.code for issue in first.issues] == ["voc-class-lists-not-read", "voc-masks-not-read"]
        second = read_labels(folder / "voc_dataset2")
        assert [len(row.get("annotations", ())) for row in second.rows] == [0, 1, 1, 1, 1]
        assert {row["subsets"] for row in second.rows} == {("trainval", "Action/trainval", "Layout/trainval")}
        assert (len(second.categories), second.categories[1].color) == (22, "#800000")
        third = read_labels(folder / "voc_dataset3")
        assert third.rows[0]["annotations"][0]["bbox_xywh_px"] == [0.0, 1.0, 3.0, 3.0]

    def test_labelme_writes_empty_flags(self, shared_data: Path) -> None:
        labels = read_labels(shared_data / "labelme" / "bbox_detection" / "data_dataset_voc", "voc")
        assert [len(row["annotations"]) for row in labels.rows] == [2, 4, 3]
        assert not any("attributes" in item for row in labels.rows for item in row["annotations"])
