"""The same pictures labelled alike in CVAT and in Label Studio: what their exports say is read as the same.

Each tool's numbers are worked out here, by its own conventions and with its own rounding: CVAT writes pixels to two
decimals and turns a box about its centre; Label Studio writes percent as a browser's doubles and turns a box about its
top-left corner.
"""

from __future__ import annotations

import cmath
import json
import math

import pytest

from dsetkit.formats.reading import read_labels

pytest.importorskip("dsetkit.formats.cvat")

WITHIN_PX = 0.011
"""Half of CVAT's last digit at a shape's place and again in its size, and a turn of half a hundredth of a degree."""
SIZES = {"a.jpg": (640, 480), "b c.jpg": (333, 517)}
BOXES = [("cat", 10.125, 20.25, 100.5, 60.75, 0.0), ("dog", 33.3333333, 44.4444444, 77.7777777, 22.2222222, 0.0)]
TURNED = [("cat", 120.5, 130.25, 80.125, 40.5, 30.0), ("dog", 150.0, 200.0, 61.7, 12.3, 303.4567891)]
RING = [(5.5, 6.25), (205.123456, 7.987654), (150.0, 111.111111), (20.0, 90.0)]
LINE = [(1.0, 2.0), (300.25, 400.123456), (310.0, 20.0)]
POINT = (123.456789, 234.567891)
ELLIPSE = (100.25, 90.5, 40.333333, 20.666666, 15.0)
MASK = (30, 40, ["0110", "1111", "0010"])
"""Left, top, and rows of pixels."""


def cvat():
    """``annotations.xml`` of CVAT for images 1.1."""
    pair = "{:.2f},{:.2f}".format
    lines = []
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        lines.append(f'<image id="{number}" name="{name}" width="{width}" height="{height}">')
        for label, x, y, w, h, _ in BOXES:
            edges = f'xtl="{x:.2f}" ytl="{y:.2f}" xbr="{x + w:.2f}" ybr="{y + h:.2f}"'
            lines.append(f'<box label="{label}" source="manual" occluded="0" {edges} z_order="0"></box>')
        for label, cx, cy, w, h, angle in TURNED:
            edges = f'xtl="{cx - w / 2:.2f}" ytl="{cy - h / 2:.2f}" xbr="{cx + w / 2:.2f}" ybr="{cy + h / 2:.2f}"'
            turn = f'rotation="{angle:.2f}"'
            lines.append(f'<box label="{label}" source="manual" occluded="0" {edges} {turn} z_order="0"></box>')
        for tag, flat in (("polygon", RING), ("polyline", LINE), ("points", [POINT])):
            points = ";".join(pair(x, y) for x, y in flat)
            lines.append(f'<{tag} label="cat" source="manual" occluded="0" points="{points}" z_order="0"></{tag}>')
        cx, cy, rx, ry, angle = ELLIPSE
        round_ = f'cx="{cx:.2f}" cy="{cy:.2f}" rx="{rx:.2f}" ry="{ry:.2f}" rotation="{angle:.2f}"'
        lines.append(f'<ellipse label="dog" source="manual" occluded="0" {round_} z_order="0"></ellipse>')
        left, top, rows = MASK
        runs, last = [], "0"
        for pixel in "".join(rows):
            if pixel != last or not runs:
                runs += [0] if pixel == last or runs else [0, 0]
                last = pixel
            runs[-1] += 1
        place = (
            f'rle="{", ".join(map(str, runs))}" left="{left}" top="{top}" width="{len(rows[0])}" height="{len(rows)}"'
        )
        lines.append(f'<mask label="dog" source="manual" occluded="0" {place} z_order="0"></mask>')
        lines.append('<tag label="dog" source="manual"></tag></image>')
    head = "<version>1.1</version><meta><task><labels>"
    head += "".join(f"<label><name>{name}</name></label>" for name in ("cat", "dog"))
    return f"<annotations>{head}</labels></task></meta>{''.join(lines)}</annotations>"


def label_studio():
    """A JSON export."""
    tasks = []
    for number, (name, (width, height)) in enumerate(SIZES.items(), 1):
        results = []

        def add(kind, label, *, of=(width, height), into=results, **value):
            sides = {"original_width": of[0], "original_height": of[1], "image_rotation": 0}
            made = {"id": f"r{len(into)}", "type": kind, "from_name": "l", "to_name": "image", "origin": "manual"}
            into.append({**made, **sides, "value": {**value, kind: [label]}})

        def percent(x, y, of=(width, height)):
            return x / of[0] * 100, y / of[1] * 100

        for label, x, y, w, h, angle in BOXES:
            (left, top), (across, down) = percent(x, y), percent(w, h)
            add("rectanglelabels", label, x=left, y=top, width=across, height=down, rotation=angle)
        for label, cx, cy, w, h, angle in TURNED:
            corner = complex(cx, cy) - complex(w, h) / 2 * cmath.exp(1j * math.radians(angle))
            (left, top), (across, down) = percent(corner.real, corner.imag), percent(w, h)
            add("rectanglelabels", label, x=left, y=top, width=across, height=down, rotation=angle)
        add("polygonlabels", "cat", points=[list(percent(x, y)) for x, y in RING], closed=True)
        vertices = [dict(zip("xy", percent(x, y), strict=True)) for x, y in LINE]
        add("vectorlabels", "cat", vertices=vertices, closed=False)
        left, top = percent(*POINT)
        add("keypointlabels", "cat", x=left, y=top, width=0.3)
        (left, top), (across, down) = percent(*ELLIPSE[:2]), percent(*ELLIPSE[2:4])
        add("ellipselabels", "dog", x=left, y=top, radiusX=across, radiusY=down, rotation=ELLIPSE[4])
        add("brushlabels", "dog", format="rle", rle=brush(width, height))
        results.append({"id": "c", "type": "choices", "from_name": "c", "to_name": "image", "origin": "manual",
                        "value": {"choices": ["dog"]}})  # fmt: skip
        annotation = {"id": number, "completed_by": 1, "result": results, "was_cancelled": False}
        tasks.append({"id": number, "annotations": [annotation], "data": {"image": f"/data/upload/1/{name}"}})
    return json.dumps(tasks)


def brush(width, height):
    """The mask as a brush stroke: 8 bits a value, every pixel a code of four values that are all the same."""
    left, top, rows = MASK
    painted = {(left + x, top + y) for y, row in enumerate(rows) for x, pixel in enumerate(row) if pixel == "1"}
    bits = [f"{width * height * 4:032b}", f"{7:05b}", "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))]
    for y in range(height):
        bits += ["100011" + f"{255 if (x, y) in painted else 0:08b}" for x in range(width)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def said(labels):
    """What was labelled, without what only one tool says (ids, people, flags)."""
    fields = ("kind", "category", "bbox_xywh_px", "rotated_box", "polygons", "polyline", "points", "ellipse", "mask")
    rows = {}
    for row in labels.rows:
        found = [{name: one[name] for name in fields if name in one} for one in row["annotations"]]
        rows[row["key"].rpartition("/")[2]] = sorted(found, key=lambda one: one["kind"])  # each in the order drawn
    return rows


def compare(one, other, place=""):
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for name in one:
            compare(one[name], other[name], f"{place}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            compare(a, b, f"{place}[{index}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=WITHIN_PX), place
    else:
        assert one == other, place


def test_the_same_labels_from_two_tools(tmp_path):
    (tmp_path / "cvat").mkdir()
    (tmp_path / "ls").mkdir()
    (tmp_path / "cvat/annotations.xml").write_text(cvat())
    (tmp_path / "ls/export.json").write_text(label_studio())
    first, second = read_labels(tmp_path / "cvat", "cvat"), read_labels(tmp_path / "ls", "label_studio")
    assert first.issues == second.issues == ()
    assert said(first).keys() == said(second).keys() == SIZES.keys()
    compare(said(first), said(second))
    for labels in (first, second):
        assert sorted(category.name for category in labels.categories) == ["cat", "dog"]
        sizes = {row["key"].rpartition("/")[2]: (row["width_px"], row["height_px"]) for row in labels.rows}
        assert sizes == SIZES
        # And both are what was drawn.
        for found in said(labels).values():
            boxes = [one for one in found if one["kind"] == "box"]
            turned = [one["rotated_box"] for one in found if one["kind"] == "rotated_box"]
            compare([tuple(map(float, one["bbox_xywh_px"])) for one in boxes], [box[1:5] for box in BOXES])
            compare([tuple(one[name] for name in ("cx", "cy", "w", "h", "angle")) for one in turned],
                    [box[1:] for box in TURNED])  # fmt: skip
            assert len(found) == len(BOXES) + len(TURNED) + 6
