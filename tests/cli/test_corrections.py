"""``exclude``, ``correct``, ``corrections``, ``export --keys``, as typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.bench import Bench, picture_bytes

WHY = ("--why", "a reason")


@pytest.fixture
def built(bench: Bench) -> Bench:
    bench.params(clean={"duplicates.near": "keep"})
    bench.source.put("shape.jpg", picture_bytes(50), [("cat", [4.0, 4.0, 20.0, 16.0]), ("dog", [30.0, 20.0, 9.0, 9.0])])
    bench.add()
    bench.ingest()
    bench.clean()
    return bench


def lines(bench: Bench) -> list[dict[str, Any]]:
    files = sorted((bench.root / "corrections").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_exclude_writes_who_when_and_why(built: Bench, run: Any) -> None:
    done = run("exclude", "0.jpg", "pets/images/1.jpg", "--why", "  out of\n focus ")
    assert done.code == 0, done.err
    assert "Wrote 2 corrections to corrections/20" in done.out
    written = lines(built)
    assert [item["key"] for item in written] == ["pets/images/0.jpg", "pets/images/1.jpg"]
    assert {item["author"] for item in written} == {"Tester <tester@example.org>"}
    assert {item["why"] for item in written} == {"out of focus"}
    assert {len(item["old"]["digest"]) for item in written} == {64}
    again = run("exclude", "0.jpg", *WHY)
    assert again.code == 0
    assert "pets/images/0.jpg is excluded already" in again.out
    assert len(lines(built)) == 2
    assert run("correct", "0.jpg", "--split", "val", *WHY).code == 2
    assert built.clean().info.counts.per_reason == {"excluded": 2}


def test_correct_one_thing_at_a_time(built: Bench, run: Any) -> None:
    for number, arguments in enumerate(
        [
            ("0.jpg", "--annotation", "1", "--category", "dog"),
            ("0.jpg", "--annotation", "1", "--bbox", "5,4,20,16"),
            ("1.jpg", "--annotation", "2", "--delete"),
            ("2.jpg", "--add", "--category", "dog", "--bbox", "1,1,7.5,8"),
            ("3.jpg", "--add", "--category", "dog"),
            ("3.jpg", "--split", "val"),
            ("3.jpg", "--split", "test"),
        ],
        start=1,
    ):
        done = run("correct", *arguments, *WHY, "--json")
        assert done.code == 0, done.out
        assert len(done.json()["corrections"]) == 1
        assert len(lines(built)) == number
    same = run("correct", "0.jpg", "--annotation", "1", "--category", "dog", *WHY)
    assert (same.code, "It is so already" in same.out) == (0, True)
    info = built.clean().info
    assert info.issues == ()
    cleaned = built.open("cleaned")
    first = cleaned["0.jpg"].annotations[0]
    assert (first.category, first.bbox_xywh_px) == ("dog", (5.0, 4.0, 20.0, 16.0))
    assert cleaned["1.jpg"].annotations == ()
    assert [item.category for item in cleaned["2.jpg"].annotations] == ["cat", "dog"]
    assert [item.kind for item in cleaned["3.jpg"].annotations] == ["box", "image_label"]
    assert cleaned["3.jpg"].split == "test"
    done = run("corrections", "check")
    assert done.code == 0
    assert done.out.startswith("7 corrections: 0 issues")
    assert "corrected: category 'cat' → 'dog'" in run("why", "0.jpg").out


def test_a_box_is_typed_as_it_is_seen(built: Bench, run: Any) -> None:
    built.params(clean={"pixels.max_side_px": 32})
    built.clean()
    assert run("correct", "0.jpg", "--annotation", "1", "--bbox", "3,2,10,8", *WHY).code == 0
    assert lines(built)[0]["new"] == {"bbox_xywh_px": [6.0, 4.0, 20.0, 16.0]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("0.jpg",), "say what to correct"),
        (("0.jpg", "--add"), "do not go together"),
        (("0.jpg", "--annotation", "1"), "says nothing new"),
        (("0.jpg", "--annotation", "1", "--delete", "--category", "dog"), "do not go together"),
        (("0.jpg", "--annotation", "1", "--split", "val"), "say what to correct"),
        (("0.jpg", "--annotation", "9", "--delete"), "no annotation '9'. Its annotations are: 1."),
        (("0.jpg", "--annotation", "1", "--category", "dgo"), "no category 'dgo'"),
        (("0.jpg", "--annotation", "1", "--bbox", "1,2,3"), "is no box"),
        (("0.jpg", "--annotation", "1", "--bbox", "1,2,nan,4"), "is no box"),
        (("0.jpg", "--split", "vall"), "no split 'vall'; the nearest is 'val'"),
        (("nothing.jpg", "--split", "val"), "no sample 'nothing.jpg'"),
        (("0.jpg", "--split", "val", "--why", " "), "it is empty"),
    ],
)
def test_what_cannot_mean_anything_is_refused(built: Bench, run: Any, arguments: tuple[str, ...], said: str) -> None:
    done = run("correct", *arguments, *(() if "--why" in arguments else WHY))
    assert done.code == 2
    assert said in " ".join(done.err.split()).replace(" .", ".")
    assert lines(built) == []


def test_without_a_name_it_says_what_to_do(built: Bench, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_AUTHOR_{name}", raising=False)
        monkeypatch.delenv(f"GIT_COMMITTER_{name}", raising=False)
    done = run("exclude", "0.jpg", *WHY)
    assert done.code == 2
    assert "git config --global user.name" in done.err
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    for number, (name, value) in enumerate((("user.name", "Åsa"), ("user.email", "a@example.org"))):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    assert run("exclude", "0.jpg", *WHY).code == 0
    assert lines(built)[0]["author"] == "Åsa <a@example.org>"


def test_stale_ones_are_found_without_a_build(built: Bench, run: Any) -> None:
    assert run("correct", "0.jpg", "--annotation", "1", "--category", "dog", *WHY).code == 0
    built.source.boxes["0.jpg"] = [("cat", [1.0, 1.0, 5.0, 5.0])]
    built.update()
    built.ingest()
    done = run("corrections", "check", "--json")
    assert done.code == 1
    assert [issue["code"] for issue in done.json()["issues"]] == ["correction-stale"]


def test_a_merge_that_failed_is_said(built: Bench, run: Any) -> None:
    (built.root / "corrections" / "x.jsonl").write_text("<<<<<<< ours\n")
    done = run("corrections", "check")
    assert done.code == 1
    assert "corrections/x.jsonl: line 1" in done.err
    assert "Git could not merge" in done.err


def test_to_a_label_tool_and_back(built: Bench, run: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("# to look at\n0.jpg\n\npets/images/shape.jpg\n")
    out = tmp_path / "out"
    done = run("export", "data/cleaned", str(out), "--format", "coco", "--keys", str(keys))
    assert done.code == 0, done.err
    assert sorted(path.name for path in (out / "images").iterdir()) == [
        "pets__images__0.jpg",
        "pets__images__shape.jpg",
    ]
    for path in (out / "annotations").glob("*.json"):
        document = json.loads(path.read_text())
        dog = next(item["id"] for item in document["categories"] if item["name"] == "dog")
        for item in document["annotations"]:
            item["category_id"] = dog
        path.write_text(json.dumps(document))
    said = run("corrections", "from", str(out), "--dry-run", "--json")
    assert said.code == 0, said.out
    assert (len(said.json()["corrections"]), said.json()["written"]) == (2, [])
    assert {item["why"] for item in said.json()["corrections"]} == {"Taken from out"}
    assert lines(built) == []
    done = run("corrections", "from", str(out), "--format", "coco", *WHY)
    assert done.code == 0, done.out + done.err
    assert done.out.startswith("2 samples compared: 2 differences")
    built.clean()
    assert built.open("cleaned").info.counts.per_category == {"cat": 3, "dog": 3}
    again = run("corrections", "from", str(out), "--format", "coco", *WHY)
    assert again.out.startswith("2 samples compared: 0 differences")
    assert len(lines(built)) == 2


def test_samples_of_the_same_bytes_and_labels_are_corrected_alike(built: Bench, run: Any) -> None:
    for name in ("same-a.jpg", "same-b.jpg"):
        built.source.put(name, built.source.pictures["0.jpg"], built.source.boxes["0.jpg"])
    built.source.put("other.jpg", built.source.pictures["1.jpg"], [("dog", [1.0, 1.0, 5.0, 5.0])])
    built.update()
    built.ingest()
    done = run("correct", "images/0.jpg", "--annotation", "1", "--category", "dog", *WHY, "--json")
    assert done.code == 0, done.out
    names = ["0.jpg", "same-a.jpg", "same-b.jpg"]
    assert sorted(item["key"] for item in lines(built)) == [f"pets/images/{name}" for name in names]
    assert run("correct", "images/0.jpg", "--add", "--category", "cat", "--bbox", "1,1,4,4", *WHY).code == 0
    assert run("correct", "images/1.jpg", "--add", "--category", "cat", "--bbox", "1,1,4,4", *WHY).code == 0
    assert len(lines(built)) == 7
    info = built.clean().info
    assert info.counts.per_reason == {"duplicate": 2, "duplicate-labels-differ": 2}
    assert [item.category for item in built.open("cleaned")["images/0.jpg"].annotations] == ["dog", "cat"]
    done = run("exclude", "images/0.jpg", *WHY)
    assert "of the same bytes (--same-bytes): pets/images/same-a.jpg, pets/images/same-b.jpg" in done.out
    assert run("exclude", "images/0.jpg", "--same-bytes", *WHY).code == 0
    assert built.clean().info.counts.per_reason == {"duplicate-labels-differ": 2, "excluded": 3}


@pytest.mark.parametrize(
    ("text", "said"), [("nothing.jpg\n", "no sample 'nothing.jpg'"), ("# none\n", "no key is named")]
)
def test_keys_that_lead_nowhere(built: Bench, run: Any, tmp_path: Path, text: str, said: str) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(text)
    done = run("export", "data/cleaned", str(tmp_path / "out"), "--format", "coco", "--keys", str(keys))
    assert done.code == 2
    assert said in done.err
    missing = run("export", "data/cleaned", str(tmp_path / "out"), "--format", "coco", "--keys", str(tmp_path / "no"))
    assert (missing.code, "cannot be read" in missing.err) == (2, True)
