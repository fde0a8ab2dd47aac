"""Corrections as lines of text: what is taken, what is turned away and how that is said."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.spec.correction import Finding, Placed, in_order, noted_ids, parse_corrections, parse_line

FACTS = {"key": "pets/1.jpg", "author": "Ann <ann@example.org>", "date": "2026-01-02T03:04:05Z", "why": "it is a dog"}
OLD = {"kind": "box", "category": "cat", "bbox_xywh_px": [1, 2, 3, 4]}
SET = {"action": "set", "annotation": "3", "old": OLD, "new": {"category": "dog"}, **FACTS}
LINES = {
    "set": SET,
    "add": {"action": "add", "annotation": "c1", "new": {**OLD, "category": "dog"}, **FACTS},
    "delete": {"action": "delete", "annotation": "3", "old": OLD, **FACTS},
    "exclude": {"action": "exclude", "old": {"digest": "a" * 64}, **FACTS},
    "split": {"action": "split", "old": {"subsets": ["train"]}, "new": {"split": "val"}, **FACTS},
}


def line(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_each_action_is_read_and_written_as_it_was() -> None:
    for name, value in LINES.items():
        found = parse_line(line(value))
        assert not isinstance(found, Finding), found
        assert found.action == name
        text = found.to_line()
        assert text.endswith("\n")
        again = parse_line(text.encode())
        assert again == found
        assert not isinstance(again, Finding)
        assert again.id == found.id


def test_dates_are_kept_in_utc_and_order_by_time() -> None:
    found = parse_line(line({**SET, "date": "2026-01-02T01:00:00+02:00"}))
    assert not isinstance(found, Finding)
    assert found.date == "2026-01-01T23:00:00Z"
    day = parse_line(line({**SET, "date": "2026-01-02"}))
    assert not isinstance(day, Finding)
    assert day.date == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (b"{", "correction-unreadable", "no JSON object"),
        (b"[]", "correction-unreadable", "the line is no JSON object"),
        (b"\xff", "correction-unreadable", "not UTF-8"),
        (b'{"a": NaN}', "correction-unreadable", "NaN is no JSON number"),
        (b'{"a": 1e999}', "correction-unreadable", "too large"),
        (b'{"a": 1, "a": 2}', "correction-unreadable", "twice"),
        (b'{"a": "\\ud800"}', "correction-unreadable", "half a character"),
        (b'{"a":' + b"[" * 100_000, "correction-unreadable", "nested too deeply"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "correction-unreadable", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "correction-unreadable", "no JSON object"),
        (b"{}", "correction-invalid", "action"),
        (line({**SET, "action": "rename"}), "correction-invalid", "'rename'"),
        (line({**SET, "extra": 1}), "correction-invalid", "extra: extra inputs are not permitted"),
        (line({**SET, "key": "../../etc/passwd"}), "correction-invalid", "key: a key is a relative path"),
        (line({**SET, "date": "yesterday"}), "correction-invalid", "date: a date is ISO 8601"),
        (line({**SET, "date": "0001-01-01T00:00:00+14:00"}), "correction-invalid", "date: a date is ISO 8601"),
        (line({**SET, "why": "  "}), "correction-invalid", "why: it is empty"),
        (line({**SET, "author": "a\u001b[2J"}), "correction-invalid", "author: it has control characters"),
        (line({**SET, "new": {}}), "correction-invalid", "new: it sets nothing"),
        (line({**SET, "new": {"text": "x"}}), "correction-invalid", "old: it does not name the value of text"),
        (line({**SET, "new": {"category": "cat"}}), "correction-invalid", "new: it is the same as old"),
        (line({**SET, "old": {"category": "cat"}}), "correction-invalid", "old: it does not name the kind"),
        (line({**SET, "new": {"bbox_xywh_px": [1, 2]}}), "correction-invalid", "new.bbox_xywh_px"),
        (line({**LINES["add"], "new": {"category": "dog"}}), "correction-invalid", "new: it does not name the kind"),
        (line({**LINES["exclude"], "old": {"digest": "x"}}), "correction-invalid", "a digest is 64"),
    ],
)
def test_what_is_no_correction_is_said(text: bytes, code: str, said: str) -> None:
    found = parse_line(text)
    assert isinstance(found, Finding)
    assert found.code == code
    assert said in found.message
    assert found.message.isprintable()


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats(), lambda x: st.lists(x)).map(line))
def test_no_line_raises(data: bytes) -> None:
    parse_line(data)


@given(st.sampled_from(list(LINES.values())), st.data())
def test_no_changed_field_raises(value: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    json_value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
    parse_line(line({**value, name: data.draw(json_value)}))


def test_issues_name_file_and_line_and_a_merge_that_failed() -> None:
    data = b"\xef\xbb\xbf" + line(SET) + b"\r\n\n<<<<<<< HEAD\n" + line(LINES["add"]) + b"\n{"
    placed, issues = parse_corrections(data, "corrections/x.jsonl")
    assert [item.line for item in placed] == [1, 4]
    assert [(issue.file, issue.place) for issue in issues] == [
        ("corrections/x.jsonl", "line 3"),
        ("corrections/x.jsonl", "line 5"),
    ]
    assert "Git could not merge" in issues[0].hint


def test_order_is_that_of_dates_whatever_that_of_lines() -> None:
    found = [parse_line(line({**value, "date": f"2026-01-0{n}"})) for n, value in enumerate(LINES.values(), start=1)]
    placed = [Placed(item, "corrections/a.jsonl", n) for n, item in enumerate(found) if not isinstance(item, Finding)]
    expected = [item.correction.id for item in placed]
    twice = [Placed(item.correction, "corrections/b.jsonl", 1) for item in placed]
    for seed in range(5):
        shuffled = [*placed, *twice]
        random.Random(seed).shuffle(shuffled)
        ordered = in_order(shuffled)
        assert [item.correction.id for item in ordered] == expected
        assert {item.file for item in ordered} == {"corrections/a.jsonl"}


def test_notes_name_the_correction() -> None:
    found = parse_line(line(SET))
    assert not isinstance(found, Finding)
    note = found.note("category 'cat' → 'dog'")
    assert note == f"category 'cat' → 'dog': it is a dog (Ann, 2026-01-02) [correction {found.id}]"
    issues = [{"code": "clipped", "message": note}, {"code": "corrected", "message": note}]
    assert noted_ids(issues) == [found.id]
