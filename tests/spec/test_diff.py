from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dsetkit.spec.diff import (
    AnnotationChanges,
    AnnotationEntry,
    CategoryChanges,
    CategoryEntry,
    Diff,
    FieldChange,
    FileChange,
    Moved,
    Picture,
    Recategorized,
    Reencoded,
    Renamed,
    SampleChange,
    SampleChanges,
    SampleEntry,
    Side,
    SplitChange,
)
from dsetkit.spec.diff_text import about
from dsetkit.spec.html import pictures_of, set_pictures

SIDES: dict[str, Any] = {
    "old": Side(name="cleaned", fingerprint="0" * 64),
    "new": Side(name="cleaned", fingerprint="1" * 64),
}
PICTURE: dict[str, Any] = {"size_bytes": 9000, "media_type": "image/jpeg", "width_px": 640, "height_px": 480}


def moved(number: int, category: str = "RBC", iou: float = 0.5) -> Moved:
    return Moved(key=f"s/{number}.jpg", id="0", category=category, iou=iou)


def test_json_has_every_list_also_the_empty_ones() -> None:
    assert json.loads(Diff(**SIDES).to_json()) == {
        "old": {"name": "cleaned", "fingerprint": "0" * 64, "rev": None},
        "new": {"name": "cleaned", "fingerprint": "1" * 64, "rev": None},
        "samples": {"added": [], "removed": [], "reencoded": [], "renamed": [], "split_changed": [], "changed": []},
        "annotations": {"added": [], "removed": [], "moved": [], "recategorized": [], "changed": []},
        "categories": {"added": [], "removed": [], "changed": []},
        "params": [],
        "schema": [],
        "files": [],
    }


def test_json_round_trips_and_text_stays_text() -> None:
    change = FieldChange(name="text", old="größer", new={"a": [1, None, True]})
    diff = Diff(**SIDES, params=(change,), schema_=(change,))
    assert "größer" in diff.to_json()
    assert Diff.model_validate_json(diff.to_json()) == diff


def test_len_counts_entries_and_bool_says_whether_there_are_any() -> None:
    assert not Diff(**SIDES)
    assert len(Diff(**SIDES)) == 0
    assert Diff(**SIDES, params=(FieldChange(name="params_digest"),))
    diff = Diff(
        **SIDES,
        samples=SampleChanges(added=(SampleEntry(key="a"), SampleEntry(key="b"))),
        annotations=AnnotationChanges(moved=(moved(1),)),
        categories=CategoryChanges(added=(CategoryEntry(name="RBC", index=0),)),
    )
    assert len(diff) == 4


def test_summary_counts_limits_and_goes_by_category() -> None:
    diff = Diff(
        **SIDES,
        samples=SampleChanges(
            added=tuple(SampleEntry(key=f"s/{n}.jpg", split="val", annotations=1) for n in range(1200)),
            renamed=(Renamed(old_key="s/a.jpg", key="s/b.jpg", digest="0" * 64),),
            split_changed=(SplitChange(key="s/c.jpg", old_split="train"),),
        ),
        annotations=AnnotationChanges(
            removed=(AnnotationEntry(key="s/d.jpg", id="7", kind="caption"),),
            moved=(moved(1, iou=0.25), moved(2, iou=0.75), moved(3, "WBC", iou=1.0)),
            recategorized=(Recategorized(key="s/e.jpg", id="1", old_category="RBC", category="WBC"),),
        ),
        schema_=(FieldChange(name="reference", old="schemas:A", new=None),),
    )
    assert diff.summary(limit=2) == [
        "cleaned (000000000000) → cleaned (111111111111)",
        "samples: 1,200 added, 1 renamed, 1 in another split",
        "annotations: 1 removed, 3 moved, 1 re-categorised",
        "  moved: IoU 0.25 to 1.00, median 0.75",
        "  (no category): 1 removed",
        "  RBC: 2 moved",
        "  WBC: 1 moved",
        "  RBC → WBC: 1",
        "schema: 1 changed",
        "1,200 samples added:",
        "  s/0.jpg (val, 1 annotation)",
        "  s/1.jpg (val, 1 annotation)",
        "  … and 1,198 more",
        "1 sample renamed:",
        "  s/b.jpg from s/a.jpg",
        "1 sample in another split:",
        "  s/c.jpg train → none",
        "1 annotation removed:",
        "  s/d.jpg #7 (no category) caption",
        "3 annotations moved:",
        "  s/1.jpg #0 RBC IoU 0.25",
        "  s/2.jpg #0 RBC IoU 0.75",
        "  … and 1 more",
        "1 annotation re-categorised:",
        "  s/e.jpg #1 RBC → WBC",
        "1 fact of the contract changed:",
        "  reference schemas:A → none",
    ]
    assert diff.summary(limit=0)[1:4] == [
        "samples: 1,200 added, 1 renamed, 1 in another split",
        "annotations: 1 removed, 3 moved, 1 re-categorised",
        "  moved: IoU 0.25 to 1.00, median 0.75",
    ]
    assert not any("s/" in line for line in diff.summary(limit=0))
    assert Diff(**SIDES).summary()[1:] == ["nothing differs"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Moved(key="k", id="3", category="RBC", iou=0.5), "#3 RBC IoU 0.50"),
        (
            Moved(key="k", id="3", iou=0.5, old_bbox_xywh_px=(10, 10, 20, 20), bbox_xywh_px=(14.5, 8.0, 20.04, 19)),
            "#3 (no category) IoU 0.50, 4.5 right, 2 up, 1 shorter (px)",
        ),
        (
            Recategorized(
                key="k", id="0", old_category="a", category="b", old_categories=("a", "c"), categories=("b",)
            ),
            "#0 a, c → b",
        ),
        (Reencoded(key="k", old=Picture(**PICTURE), new=Picture(**PICTURE)), "(9.0 kB, other bytes)"),
        (
            Reencoded(
                key="k", old=Picture(**PICTURE), new=Picture(**{**PICTURE, "size_bytes": 12_345_678, "width_px": 320})
            ),
            "(640×480 px → 320×480 px, 9.0 kB → 12,345.7 kB)",
        ),
        (Reencoded(key="k", old=Picture(), new=Picture(media_type="image/png")), "(? → png)"),
        (FieldChange(name="clean.max_invalid", old=0.02, new={"a": [True, None]}), '0.02 → {"a": [true, null]}'),
        (
            SampleChange(
                key="k", fields=(FieldChange(name="p", old={"a": 1, "b": 2, "c": None}, new={"a": 1, "b": 3}),)
            ),
            "p.b 2 → 3",
        ),
        (FieldChange(name="x", old="y" * 99, new="\x1b[2J"), f"{'y' * 59}… → \\x1b[2J"),
        (
            FileChange(path="corrections/a.jsonl", change="changed", lines_added=3, lines_removed=0),
            "changed (+3 -0 lines)",
        ),
        (FileChange(path="schemas/a.bin", change="removed"), "removed"),
    ],
)
def test_what_an_entry_says(entry: Any, said: str) -> None:
    assert about(entry) == said


def test_summary_cannot_steer_a_terminal() -> None:
    evil = "\x1b]0;owned\x07\u202eelif"
    diff = Diff(
        **SIDES,
        annotations=AnnotationChanges(
            moved=(moved(1, evil),),
            recategorized=(Recategorized(key=evil, id=evil, old_category=evil, category="a\nb"),),
        ),
        categories=CategoryChanges(added=(CategoryEntry(name=evil, index=0),)),
        params=(FieldChange(name=evil, old=[evil], new=evil),),
    )
    assert all(line.isprintable() for line in diff.summary())
    assert "  \\x1b]0;owned\\x07\\u202eelif: 1 moved" in diff.summary()


def test_html_escapes_and_holds_no_script() -> None:
    evil = "<script>alert(1)</script>"
    diff = Diff(**{**SIDES, "old": Side(name=evil, fingerprint=evil)}, params=(FieldChange(name="x"),))
    shown = diff._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "nothing differs" in Diff(**SIDES)._repr_html_()


def test_an_iou_is_a_fraction() -> None:
    with pytest.raises(ValidationError):
        moved(1, iou=1.5)
    with pytest.raises(ValidationError):
        moved(1, iou=float("nan"))


def test_what_shows_pictures_is_no_part_of_it(tmp_path: Path) -> None:
    one, other = Diff(**SIDES), Diff(**SIDES)
    set_pictures(one, lambda diff: f"<b>{len(diff)}</b>")
    assert "<b>0</b>" in one._repr_html_()
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)
    assert one.to_json() == other.to_json()
    assert pickle.dumps(one) == pickle.dumps(other)
    assert pictures_of(pickle.loads(pickle.dumps(one))) == pictures_of(one.model_copy()) == ""
