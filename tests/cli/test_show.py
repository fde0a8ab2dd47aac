"""`dsetkit show`: a summary worth reading, and pictures with labels drawn."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from support.bench import Bench, picture_bytes

import dsetkit
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter

Row = dict[str, Any]
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def put(place: Path, rows: Sequence[Row], categories: Sequence[str], size: tuple[int, int] = (64, 48)) -> Path:
    """A snapshot at ``place``; a row with a ``reason`` is rejected, one without ``made_from`` gets a picture."""
    writer = SnapshotWriter(place, target_bytes=1 << 20)
    for number, row in enumerate(rows):
        data = picture_bytes(number, size)
        picture = PictureBytes(hashlib.sha256(data).hexdigest(), len(data), ".jpg", lambda data=data: data)
        facts = {"media_type": "image/jpeg", "mode": "RGB", "width_px": size[0], "height_px": size[1]}
        writer.add({**facts, **row}, picture, rejected="reason" in row)
    names = [{"name": name, "index": index} for index, name in enumerate(categories)]
    writer.finish({"stage": "cleaned", "name": "cleaned", "categories": names})
    return place


def box(number: int, category: str, **fields: Any) -> Row:
    return {"id": str(number), "kind": "box", "category": category, "bbox_xywh_px": [4.0, 4.0, 20.0, 16.0], **fields}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """20 samples of 30 categories (the 7th has most), two turned away, issues on annotations."""
    rows: list[Row] = []
    for number in range(20):
        boxes = [box(at, f"c{(number + at) % 30:02}") for at in range(3)] + [box(3, "c06")]
        if number < 3:
            boxes[0]["issues"] = [{"code": "clipped"}, {"code": "box-tiny"}][: 1 + (number == 0)]
        rows.append(
            {
                "key": f"pets/{number:02}.jpg",
                "split": ("train", "val", None)[number % 3],
                "labelled": "yes" if number else "partial",
                "annotations": boxes,
                "sharpness": 10.0 * (number + 1),
                "brightness": 0.04 * (number + 1),
                "contrast": 0.25,
            }
        )
    rows[4]["reason"] = rows[9]["reason"] = "duplicate"
    rows[9] = {**rows[9], "what": "annotation", "reason": "box-degenerate", "annotations": [box(0, "c00")]}
    return put(tmp_path / "snapshot", rows, [f"c{number:02}" for number in range(30)])


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_every_number_of_the_summary_is_that_of_the_rows(run: Callable, place: Path) -> None:
    out = run("show", str(place), "--all").out
    samples = list(dsetkit.open(place))
    annotations = [item for sample in samples for item in sample.annotations]
    assert out.startswith(f"cleaned  {len(samples)} samples, {len(annotations)} annotations\n  fingerprint ")
    lines = out.splitlines()
    told = {cells(line)[0]: cells(line)[1:] for line in lines if line}
    for split in ("train", "val", "none"):
        mine = [sample for sample in samples if (sample.split or "none") == split]
        assert told[split][:2] == [str(len(mine)), str(sum(len(sample.annotations) for sample in mine))]
    counts = Counter(item.category for item in annotations)
    for category in dsetkit.open(place).categories:
        holders = sum(any(item.category == category.name for item in sample.annotations) for sample in samples)
        assert told[category.name][:2] == [str(counts[category.name]), str(holders)]
    values = sorted(sample.sharpness for sample in samples if sample.sharpness is not None)
    assert told["sharpness"][:3] == [f"{value:.0f}" for value in (values[0], median(values), values[-1])]
    assert told["width, px"] == ["64", "64", "64"]
    assert f"  kinds     box {len(annotations)}" in lines
    assert "  labelled  yes 17, partial 1" in lines
    assert "1  sample      duplicate       pets/04.jpg" in lines
    assert "1  annotation  box-degenerate  pets/09.jpg" in lines
    assert "issues of annotations: 3 × clipped, 1 × box-tiny" in lines


def test_the_largest_categories_come_first_and_the_rest_is_counted(run: Callable, place: Path) -> None:
    out = run("show", str(place)).out
    listed = [line.split()[0] for line in out.splitlines() if re.match(r"c\d\d ", line)]
    assert len(listed) == 20
    assert listed[0] == "c06"
    counts = Counter(item.category for sample in dsetkit.open(place) for item in sample.annotations)
    rest = sum(counts.values()) - sum(counts[name] for name in listed)
    assert f"… and 10 more, with {rest} annotations (all of them: --all)" in out.splitlines()
    assert "more, with" not in run("show", str(place), "--all").out


def test_piped_it_is_plain_text(run: Callable, place: Path) -> None:
    out = run("show", str(place)).out
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


HOSTILE = (
    "a" * 300,
    "漢字" * 90,
    "[red]cat[/red]",
    "\x1b[31mred\x1b]0;title\x07",
    "forged\nerror: all is lost",
    "tab\tbed",
    "‮reversed⁦",
    "<script>alert(1)</script>",
    "e\u0301" * 100,
    "quote'\",;",
)


def test_hostile_names_neither_overflow_nor_drive_a_terminal(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {
            "key": f"s/{'k' * 150}/{number:02}.jpg",
            "split": name,
            "labelled": "yes",
            "annotations": [box(0, name)],
            **({"reason": "x" * 100} if number == 9 else {}),
        }
        for number, name in enumerate(HOSTILE)
    ]
    place = put(tmp_path / "snapshot", rows, HOSTILE)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = run("show", str(place)).out
    assert "\x1b[1m" in out  # it took this for a terminal
    plain = STYLE.sub("", out)
    assert not set(plain) & set("\x1b\x07\x9b‮⁦\t")
    assert [line for line in plain.splitlines() if cell_len(line) > 80] == []
    assert [line for line in plain.splitlines() if line.startswith("error: all is lost")] == []
    assert "[red]cat[/red]" in plain
    assert "aaaa…" in plain
    bars = [line for line in plain.splitlines() if line.endswith("█" * 24)]
    assert len(bars) >= len(HOSTILE) - 1  # no bar is broken or pushed out
    monkeypatch.setenv("NO_COLOR", "1")
    assert set(STYLE.findall(run("show", str(place)).out)) <= {"\x1b[1m", "\x1b[2m", "\x1b[0m"}
    shown = run("show", str(place), "03.jpg").out
    assert not set(STYLE.sub("", shown)) & set("\x1b\x07")


def test_a_snapshot_without_samples(run: Callable, tmp_path: Path) -> None:
    ran = run("show", str(put(tmp_path / "empty", [], [])))
    assert ran.code == 0
    assert re.fullmatch(r"cleaned  0 samples, 0 annotations\n  fingerprint [0-9a-f]{64}\n", ran.out)
    named = run("show", str(put(tmp_path / "named", [], ["cat"])))
    assert "cat                 0        0\n" in named.out
    drawn = run("show", str(tmp_path / "empty"), "--png", str(tmp_path / "x.png"))
    assert (drawn.code, (tmp_path / "x.png").exists()) == (2, False)
    assert drawn.err == "error: the snapshot holds no sample to draw.\nChoose another snapshot.\n"


def test_nothing_but_captions(run: Callable, tmp_path: Path) -> None:
    annotation = {"id": "0", "kind": "caption", "text": "a cat"}
    place = put(tmp_path / "s", [{"key": "a/b.jpg", "labelled": "yes", "annotations": [annotation]}], [])
    out = run("show", str(place)).out
    assert "  kinds     caption 1\n" in out
    assert "split" not in out
    assert "category" not in out


def test_a_terminal_without_unicode(place: Path) -> None:
    """The blocks become signs; what no letter stands for becomes a question mark, and JSON stays JSON."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", "from dsetkit.cli import main; main()", "show", str(place)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"########################" in done.stdout
    assert b"3 x clipped" in done.stdout
    assert done.stderr == b""


def test_json_is_the_document(run: Callable, place: Path) -> None:
    told = run("show", str(place), "--json").json()
    assert dsetkit.SnapshotInfo.model_validate(told) == dsetkit.open(place).info


def test_a_picture_is_enlarged_until_its_labels_can_be_read(run: Callable, place: Path, tmp_path: Path) -> None:
    png = tmp_path / "one.png"
    ran = run("show", str(place), "pets/03.jpg", "--png", str(png))
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == f"Wrote {png}"
    with Image.open(png) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (512, 384))
        pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    assert (pixels == (130, 230, 255)).all(axis=1).sum() > 500  # the colour of the seventh category: box and label


def test_lines_on_a_huge_picture_are_thick(run: Callable, tmp_path: Path) -> None:
    annotations = [{**box(0, "cat"), "bbox_xywh_px": [200.0, 200.0, 1600.0, 1600.0]}]
    rows = [{"key": "a/b.jpg", "labelled": "yes", "annotations": annotations}]
    place = put(tmp_path / "s", rows, ["cat"], size=(2400, 2160))
    run("show", str(place), "b.jpg", "--png", str(tmp_path / "x.png"))
    with Image.open(tmp_path / "x.png") as drawn:
        row = np.asarray(drawn)[1000, 150:250]
    assert (row == (230, 30, 50)).all(axis=1).sum() == 6


def test_pictures_that_cannot_be_written(run: Callable, place: Path, tmp_path: Path) -> None:
    def said(png: str) -> str:
        ran = run("show", str(place), "pets/03.jpg", "--png", png)
        assert (ran.code, ran.out) == (2, "")
        return str(ran.err)

    assert said(f"{tmp_path}/no/x.png") == (
        f"error: there is no folder {tmp_path}/no to write x.png into.\nMake it first: mkdir -p {tmp_path}/no.\n"
    )
    assert said("x.jpg") == "error: --png writes a PNG file, and x.jpg ends in .jpg.\nName it x.png.\n"
    assert said("x") == "error: --png writes a PNG file, and x has no ending.\nName it x.png.\n"
    assert said(str(tmp_path)) == (
        f"error: {tmp_path} is a folder.\nName a file in it: --png {tmp_path}/picture.png.\n"
    )
    before = sorted(place.rglob("*"))
    assert said(f"{place}/shards/x.png") == (
        f"error: {place}/shards/x.png lies in the snapshot, and nothing is ever written into one.\n"
        "Name a file elsewhere.\n"
    )
    assert sorted(place.rglob("*")) == before


def test_a_key_where_a_snapshot_belongs(run: Callable, bench: Bench) -> None:
    for arguments in (("add", "pets", "../source"), ("ingest", "pets")):
        assert run(*arguments).code == 0
    ran = run("show", "pets/images/2.jpg")
    assert ran.code == 2
    assert ran.err == (
        "error: pets/images/2.jpg is a sample, not a snapshot.\n"
        "Name its snapshot first: dsetkit show data/raw/pets pets/images/2.jpg.\n"
    )
    assert run("show", "22.jpg").err == (
        "error: there is no snapshot at 22.jpg.\nFetch it (under DVC: dvc checkout), or check the path.\n"
    )
