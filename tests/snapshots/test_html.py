"""What a notebook shows of a snapshot, a sample and a diff."""

from __future__ import annotations

import base64
import copy
import gc
import io
import pickle
import re
import weakref
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dsetkit
from dsetkit.snapshots.html import LARGE_PX, SHOWN_CHANGES, SHOWN_SAMPLES, SMALL_PX
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.html import pictures_of
from dsetkit.spec.sample import Sample

EVIL = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Tags, texts and sources of pictures; refuses what does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> list[Image.Image]:
        found = [value for name, value in self.attributes if name == "src"]
        return [Image.open(io.BytesIO(base64.b64decode((value or "").split(",", 1)[1]))) for value in found]


def page_of(thing: Any) -> Page:
    """What is shown, checked for what must never be in it."""
    page = Page(thing._repr_html_())
    assert not {"script", "link", "style", "iframe", "object", "form"} & set(page.tags)
    for name, value in page.attributes:
        assert name in ("style", "src", "alt", "width", "height")
        assert name != "src" or (value or "").startswith("data:image/jpeg;base64,")
        assert "url(" not in (value or "")
    assert not re.search(r"(?<![-\w])color:#|background:(?!#)", thing._repr_html_())  # the notebook's own colours
    return page


def png(color: str, size: tuple[int, int] = (640, 480)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def row(kit: Any, number: int, data: bytes, **fields: Any) -> tuple[Any, bytes]:
    made = kit.row_of(number, **fields)
    return {**made, "digest": kit.picture_bytes(data).digest, "media_type": "image/png"}, data


@pytest.fixture
def make(kit: Any, tmp_path: Path) -> Any:
    def written(rows: Any, **info: Any) -> Snapshot:
        place = tmp_path / f"snapshot-{len(list(tmp_path.iterdir()))}"
        kit.write_snapshot(place, rows, info={**kit.INFO, **info})
        return open_snapshot(place)

    return written


@pytest.fixture
def shown(kit: Any, make: Any) -> Snapshot:
    """Twelve samples with pictures."""
    return make([row(kit, number, png("white" if number else "navy")) for number in range(12)])


def test_a_snapshot_shows_counts_splits_and_its_first_samples(shown: Snapshot) -> None:
    page = page_of(shown)
    assert "12 samples · 16 annotations" in page.text
    assert "train 9 · val 3" in page.text
    assert "RBC 6 · WBC 6" in page.text
    assert "and 4 more samples" in page.text
    assert [sample.key in page.text for sample in shown] == [True] * SHOWN_SAMPLES + [False] * 4
    assert [max(picture.size) for picture in page.pictures] == [SMALL_PX] * SHOWN_SAMPLES
    assert "640 × 480" in page.text


def test_labels_are_drawn(shown: Snapshot) -> None:
    (sample,) = (s for s in shown if s.key.endswith("00002.jpg"))
    (picture,) = page_of(sample).pictures
    assert max(picture.size) == LARGE_PX
    colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20) or ()}
    assert any(max(color) - min(color) > 60 for color in colors)  # the picture itself is white
    assert "box" in page_of(sample).text


def test_a_selection_counts_its_own(shown: Snapshot) -> None:
    page = page_of(shown.where(split="val"))
    assert "3 samples · 4 annotations" in page.text
    assert "val 3" in page.text
    assert "train" not in page.text


def test_nothing_at_all(make: Any) -> None:
    page = page_of(make([]))
    assert "0 samples · 0 annotations" in page.text
    assert "table" not in page.tags


def test_everything_from_data_is_escaped(kit: Any, make: Any) -> None:
    label = {"id": EVIL, "kind": "caption", "text": EVIL, "attributes": {EVIL: EVIL}, "issues": [{"code": EVIL}]}
    boxes = [{"id": "1", "kind": "box", "category": EVIL, "bbox_xywh_px": [1.0, 1.0, 50.0, 50.0]}, label]
    data = row(kit, 1, png("white"), key=f"s/{EVIL}", split=EVIL, media_type=EVIL, annotations=boxes)
    info = {"name": EVIL, "categories": [{"name": EVIL, "index": 0, "color": "url(x)"}]}
    snapshot = make([data], **info)
    empty = make([({**data[0], "annotations": [], "split": None}, data[1])], **info)
    for thing in (snapshot, snapshot[0], Sample.model_validate(data[0]), dsetkit.diff(snapshot, empty)):
        page = page_of(thing)
        assert f"s/{EVIL}" in page.text or EVIL in page.text
        assert "onerror" not in page.text


def test_what_cannot_be_shown_is_said(kit: Any, make: Any) -> None:
    rows = [row(kit, 1, b"no picture"), row(kit, 2, png("red")[:200]), (kit.row_of(3), None)]
    rows.append(row(kit, 4, png("white")))
    snapshot = make(rows)
    page = page_of(snapshot)
    assert len(page.pictures) == 1
    assert "It is not a picture of a known format" in page.text
    assert page.text.count("no picture bytes") == 1
    assert all(sample.key in page.text for sample in snapshot)
    for sample in snapshot:
        page_of(sample)
    page_of(dsetkit.diff(snapshot, make([])))


def test_bytes_that_are_gone_or_changed_are_said(shown: Snapshot) -> None:
    sample = shown[0]
    shards = list(Path(shown.folder.url).glob("shards/*.tar"))
    for shard in shards:
        data = bytearray(shard.read_bytes())
        for at in range(512, len(data), 512):
            data[at] ^= 0xFF
        shard.write_bytes(data)
    assert "is not the one that was packed" in page_of(shown).text
    for shard in shards:
        shard.unlink()
    assert page_of(sample).pictures == []
    assert page_of(sample).text.count(sample.key) >= 1
    for part in Path(shown.folder.url).glob("samples/*"):
        part.unlink()
    assert "is not there" in page_of(open_snapshot(shown.folder.url, check=False)).text


def test_broken_labels_do_not_hide_the_picture(kit: Any, make: Any) -> None:
    labels = [
        {"id": "0", "kind": "mask", "category": "RBC", "mask": {"size": [480, 640], "counts": "~~~"}},
        {"id": "1", "kind": "box", "category": "none of them", "bbox_xywh_px": [1e300, -1e300, 1e300, 0.0]},
        {"id": "2", "kind": "polygon", "polygons": [[[1.0, 2.0]], []]},
    ]
    snapshot = make([row(kit, 1, png("white"), annotations=labels)])
    assert len(page_of(snapshot).pictures) == len(page_of(snapshot[0]).pictures) == 1


def test_a_sample_made_by_hand_has_the_table_alone() -> None:
    annotations = [{"id": str(n), "kind": "image_label", "category": "cat", "score": 0.5} for n in range(60)]
    page = page_of(Sample.model_validate({"key": "s/a.jpg", "annotations": annotations}))
    assert page.pictures == []
    assert page.text.count("score 0.5") == 50
    assert "and 10 more annotations" in page.text
    assert "no annotations" in page_of(Sample(key="s/a.jpg")).text


def test_the_link_to_its_picture_is_no_part_of_a_sample(shown: Snapshot) -> None:
    read, made = shown[0], Sample.model_validate(shown.row(0))
    assert pictures_of(read)
    assert pictures_of(made) == ""
    assert read == made
    assert made == read
    assert repr(read) == repr(made)
    assert read.model_dump() == made.model_dump()
    assert read.model_dump_json() == made.model_dump_json()
    assert read.to_row() == made.to_row()
    assert pickle.dumps(read) == pickle.dumps(made)
    assert read.model_fields_set == made.model_fields_set
    for copied in (pickle.loads(pickle.dumps(read)), copy.copy(read), copy.deepcopy(read), read.model_copy()):
        assert copied == read
        assert pictures_of(copied) == ""
        page_of(copied)
    assert "_pictures" not in str(Sample.model_json_schema())
    assert Sample.__private_attributes__ == {}
    simple = Sample(key="s/a.jpg", provenance=None)
    with pytest.raises(TypeError):  # attributes are a dict: as before, a sample cannot be hashed
        hash(simple)


def test_a_sample_that_is_kept_keeps_no_tables_alive(shown: Snapshot) -> None:
    sample = shown[0]
    snapshot = open_snapshot(shown.folder.url)
    kept = snapshot[0]
    tables = weakref.ref(snapshot._store)
    del snapshot
    gc.collect()
    assert tables() is None
    assert len(page_of(kept).pictures) == 1
    assert kept == sample


def test_a_diff_shows_old_beside_new(kit: Any, make: Any) -> None:
    rows = [row(kit, number, png(f"#fffff{number:x}")) for number in range(10)]
    after = [({**made, "annotations": [dict(item) for item in made["annotations"]]}, data) for made, data in rows]
    after[1][0]["annotations"][0]["bbox_xywh_px"] = [60.0, 2.0, 3.5, 30.0]
    after[2][0]["annotations"][0]["category"] = "WBC"
    after[3][0]["annotations"].pop()
    del after[4]
    after.append(row(kit, 50, png("grey")))
    found = dsetkit.diff(make(rows), make(after))
    page = page_of(found)
    assert "re-categorised: #0 RBC → WBC" in page.text
    assert "removed: #1 (no category) caption" in page.text
    assert "moved: #0 WBC IoU 0.00" in page.text
    assert page.text.count("not there") == 2
    assert len(page.pictures) == 8
    assert page_of(dsetkit.diff(make(rows), make(rows))).pictures == []


def test_a_diff_draws_just_the_annotations_that_changed(kit: Any, make: Any) -> None:
    boxes = [
        {"id": str(n), "kind": "box", "category": "RBC", "bbox_xywh_px": [100.0 + 300 * n, 100.0, 200.0, 200.0]}
        for n in range(2)
    ]
    old = make([row(kit, 1, png("white"), annotations=boxes)])
    new = make([row(kit, 1, png("white"), annotations=boxes[:1])])
    before, after = page_of(dsetkit.diff(old, new)).pictures
    assert len(after.convert("L").getcolors() or ()) == 1  # nothing is drawn: what is there did not change
    assert before.convert("L").crop((0, 0, 110, 180)).getextrema()[0] > 200
    assert before.convert("L").getextrema()[0] < 60


def test_a_diff_of_much_is_limited(kit: Any, make: Any) -> None:
    rows = [row(kit, number, png("white")) for number in range(20)]
    page = page_of(dsetkit.diff(make(rows), make([])))
    assert len(page.pictures) == SHOWN_CHANGES
    assert "samplesremoved20" in page.text
