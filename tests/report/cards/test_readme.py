"""Cards: what is counted agrees with the Parquet files, what is not stated reads so, what is stale is found."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from huggingface_hub import DatasetCard as HubCard
from markdown_it import MarkdownIt
from support.bench import picture_bytes
from support.recount import Recount, binned, count_changes, recount

from dsetkit.report.cards.files import build_card
from dsetkit.report.cards.header import size_category
from dsetkit.report.cards.licenses import hugging_face_id, license_url
from dsetkit.report.facts.collect import SnapshotFacts, collect
from dsetkit.report.facts.histograms import PIXEL_EDGES
from dsetkit.report.words import number, size
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.card import CardLicense, DatasetCard
from dsetkit.stages.demo_card import demo_card

PLACE = PurePosixPath("../../data/cleaned")
ODD = ["<script>alert(1)</script>", "a|b, \"c\"\n'd'", "\u202etfel", "-", "no", "`x` **y** [z](w)", "\N{GRINNING FACE}"]


def write_odd(folder: Path, rows: Sequence[Row], categories: Sequence[str] = ()) -> Snapshot:
    """A snapshot of rows; each row without a digest of its own gets a picture."""
    writer = SnapshotWriter(folder, target_bytes=4096, memory=[])
    for place, row in enumerate(sorted(rows, key=lambda row: row["key"].encode())):
        data = picture_bytes(place)
        digest = hashlib.sha256(data).hexdigest()
        facts: Row = {"digest": digest, "media_type": "image/jpeg", "width_px": 64, "height_px": 48, "mode": "RGB"}
        writer.add({**facts, **row}, PictureBytes(digest, len(data), ".jpg", lambda data=data: data), rejected=False)
    writer.finish(
        {
            "stage": "cleaned",
            "name": "cleaned",
            "categories": [{"name": name, "index": index} for index, name in enumerate(categories)],
        }
    )
    return open_snapshot(folder)


def make(snapshot: Snapshot, card: DatasetCard | None = None) -> dict[str, bytes]:
    return build_card(card or DatasetCard(), snapshot, collect(snapshot), place=PLACE)


def tables(page: str) -> list[list[list[str]]]:
    """Cells of each table of a Markdown page, as a reader sees them."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    found: list[list[list[str]]] = []
    for token in parser.parse(page.partition("\n---\n")[2]):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append("")
        elif token.type == "inline" and found and found[-1] and token.level > 3:
            found[-1][-1][-1] = "".join(child.content for child in token.children or ())
    return found


def check_numbers(page: str, other: Recount) -> None:
    """Every number of the composition is what a second count of the Parquet files says."""
    totals, *rest = tables(page)
    expected = {
        "samples": number(other.samples),
        "samples labelled": number(other.labelled["yes"]),
        "samples labelled in part": number(other.labelled["partial"]),
        "samples not labelled": number(other.labelled["no"]),
        "annotations": number(other.annotations),
        "categories": number(len(other.categories)),
        "size of all pictures": size(other.picture_bytes),
    }
    shown = dict(row for row in totals if row[0])
    assert {name: shown[name] for name in expected} == expected
    kinds = {name: text for name, text in shown.items() if name.startswith("annotations: ")}
    assert sorted(kinds.values()) == sorted(map(number, other.kinds.values()))
    by_head = {tuple(table[0][:2]): table[1:] for table in rest}
    assert {row[0]: (row[1], row[3]) for row in by_head["split", "samples"]} == {
        name: (number(count), number(other.annotations_per_split[name]))
        for name, count in other.samples_per_split.items()
    }
    splits = [row[0] for row in by_head["split", "samples"]]
    assert by_head["category", "annotations"] == [
        [
            name,
            number(other.of_category(other.category_annotations, name)),
            number(other.of_category(other.category_samples, name)),
            *(number(other.category_annotations[name, split]) for split in splits),
        ]
        for name in other.categories
    ]
    reasons = [(row[0], row[1], row[2]) for row in by_head.get(("reason", "what"), [])]
    assert reasons == [
        *((reason, "samples", number(count)) for reason, count in sorted(other.rejected_samples.items())),
        *((reason, "annotations", number(count)) for reason, count in sorted(other.rejected_annotations.items())),
    ]
    pictures = [row for table in rest for row in table if row[0] in ("media type", "mode")]
    assert sorted((row[1], row[2]) for row in pictures) == sorted(
        (name, number(count)) for counts in (other.media_types, other.modes) for name, count in counts.items()
    )
    sides = [row[2] for table in rest for row in table if row[0] == "shorter side, px"]
    expected_sides = binned(PIXEL_EDGES, other.values["short_side_px"])
    assert sides == [number(count) for count in expected_sides if count]
    over_all = next(row for table in rest for row in table if row[0] == "all samples")
    assert other.channel_mean is not None
    assert other.channel_std is not None
    assert over_all[1:] == [f"{value:.4f}" for value in (*other.channel_mean, *other.channel_std)]


def check_what_was_done(files: dict[str, bytes], stage: str, root: Path) -> None:
    """What is taken from ``snapshot.json``: what was changed, and the channels of the split that is trained on."""
    listed = tables(files["README.md"].decode())
    cleaned = recount(root / "data/cleaned")
    _, mean, std = cleaned.channels_per_split["train"]
    (trained,) = (row for table in listed for row in table if row[0].startswith("split train"))
    assert trained[0] == ("split train" if stage == "cleaned" else "split train, without variants")
    assert trained[1:] == [f"{value:.4f}" for value in (*mean, *std)]
    raw = [folder for folder in (root / "data/raw").iterdir() if folder.is_dir()]
    changes = count_changes(raw, root / "data/cleaned") if stage == "cleaned" else {}
    found = next((table[1:] for table in listed if table[0] == ["", "how many"]), [])
    assert found == [[name, number(count)] for name, count in changes.items()]
    document = json.loads(files["croissant.json"])
    said = [text for text in document.get("rai:dataPreprocessingProtocol", []) if " changed: " in text]
    assert said == [f"{count} changed: {name}" for name, count in changes.items()]


@pytest.mark.parametrize("stage", ["cleaned", "augmented"])
def test_numbers_are_those_of_the_parquet_files(counted: Any, stage: str) -> None:
    snapshot = open_snapshot(counted.root / "data" / stage)
    facts: SnapshotFacts = getattr(counted.facts, stage)
    files = build_card(DatasetCard(), snapshot, facts, place=PLACE)
    page = files["README.md"].decode()
    check_numbers(page, recount(counted.root / "data" / stage))
    check_what_was_done(files, stage, counted.root)
    assert snapshot.fingerprint in page
    assert all(parent.fingerprint in page for parent in snapshot.info.parents)
    assert files == build_card(DatasetCard(), snapshot, collect(snapshot), place=PLACE)


def test_the_header_is_taken_by_hugging_face(counted: Any, tmp_path: Path) -> None:
    card = DatasetCard.model_validate({**demo_card(), "languages": ["en", "no"]})
    snapshot = open_snapshot(counted.root / "data" / "cleaned")
    (tmp_path / "README.md").write_bytes(make(snapshot, card)["README.md"])
    loaded = HubCard.load(tmp_path / "README.md")
    other = recount(counted.root / "data" / "cleaned")
    data = loaded.data.to_dict()
    files = [other.info["rejected"], *other.info["parts"], *other.info["shards"]]
    assert data.pop("dataset_info") == {
        "splits": [
            {"name": name, "num_examples": other.samples_per_split[name]}
            for name in ("train", "val", "test")
            if name in other.samples_per_split
        ],
        "download_size": sum(part["size_bytes"] for part in files),
    }
    tasks = {"box": "object-detection", "polygon": "image-segmentation", "mask": "image-segmentation"}
    tasks["keypoints"] = "keypoint-detection"
    assert data.pop("task_categories") == sorted({tasks[kind] for kind in other.kinds})
    assert data.pop("size_categories") == [size_category(other.samples)]
    assert data == {
        "pretty_name": "Yards that never were",
        "license": "cc0-1.0",
        "language": ["en", "no"],
        "annotations_creators": ["machine-generated"],
        "tags": ["synthetic", "demo", "object detection", "image", "dsetkit"],
    }
    assert loaded.text.lstrip().startswith("<!-- Made by dsetkit report.")


def test_a_card_without_a_word_says_so(tmp_path: Path) -> None:
    page = make(write_odd(tmp_path / "s", [{"key": "a/1"}]))["README.md"].decode()
    (line,) = [line for line in page.splitlines() if line.startswith("> ")]
    assert line == (
        "> This card is not complete. It does not say: title, summary, purpose, licence, creators, contacts, "
        "collection, annotation, consent, personal information, limits, uses."
    )
    assert page.count("Not stated.") >= 15
    header = page.split("---\n")[1]
    assert re.findall(r"^(\w+):", header, re.M) == ["pretty_name", "size_categories", "tags", "dataset_info"]
    full = DatasetCard.model_validate(demo_card())
    assert "not complete" not in make(open_snapshot(tmp_path / "s"), full)["README.md"].decode()


@pytest.mark.parametrize("rows", [[], [{"key": "a/1"}], [{"key": "a/1", "split": name} for name in ["\u202e|\n"]]])
def test_snapshots_with_little_in_them(tmp_path: Path, rows: list[Row]) -> None:
    snapshot = write_odd(tmp_path / "s", rows)
    page = make(snapshot)["README.md"].decode()
    (tmp_path / "README.md").write_text(page)
    HubCard.load(tmp_path / "README.md")
    assert dict(tables(page)[0][1:])["samples"] == str(len(rows))


def test_names_from_data_and_people_are_shown_and_not_run(tmp_path: Path) -> None:
    names = [*ODD, *(f"class {place}" for place in range(250))]
    annotations = [
        {"id": str(place), "kind": "image_label", "category": name} for place, name in enumerate([*ODD, *ODD])
    ]
    row = {"key": "a/1", "labelled": "yes", "split": ODD[0], "annotations": annotations}
    snapshot = write_odd(tmp_path / "s", [row, {"key": "b/2", "split": "no"}], names)
    strange = dict.fromkeys(("title", "summary", "purpose", "consent", "maintenance", "citation"), ODD[0])
    lists = dict.fromkeys(("keywords", "limits", "biases", "uses", "out_of_scope"), ODD)
    card = DatasetCard.model_validate(
        {
            **strange,
            **lists,
            "license": {"name": ODD[0]},
            "contacts": [{"name": ODD[0]}],
            "citation": "```\n<script>\n---\n",
        }
    )
    page = make(snapshot, card)["README.md"].decode()
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(page.partition("\n---\n")[2])
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
    assert "\u202e" not in page
    categories = next(table for table in tables(page) if table[0][0] == "category")
    assert len(categories) == 1 + 200
    assert [row[:3] for row in categories[1 : 1 + len(ODD)]] == [
        [" ".join(name.split()).replace("\u202e", "\N{REPLACEMENT CHARACTER}"), "2", "1"] for name in ODD
    ]
    assert "The 200 with most annotations, of 257." in page
    (tmp_path / "README.md").write_text(page)
    data = HubCard.load(tmp_path / "README.md").data.to_dict()
    assert data["pretty_name"] == ODD[0]
    assert data["license"] == "other"
    assert data["license_name"] == ODD[0]
    assert {split["name"] for split in data["dataset_info"]["splits"]} == {ODD[0], "no"}


def test_the_code_on_the_card_runs(counted_demo: Any, project_root: Path) -> None:
    snapshot = open_snapshot(counted_demo.root / "data" / "cleaned")
    page = make(snapshot, DatasetCard.model_validate(demo_card()))["README.md"].decode()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert len(blocks) == 3
    blocks.append(f"assert len(samples) == {len(snapshot)} and len(labels) == {counted_demo.cleaned.annotations}")
    blocks.append(f"assert sum(1 for _ in pictures) >= {len(snapshot)}")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=counted_demo.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("license", "hub", "url"),
    [
        (CardLicense(), None, None),
        (CardLicense(id="cc-by-4.0"), "cc-by-4.0", "https://spdx.org/licenses/CC-BY-4.0.html"),
        (CardLicense(id="ODbL-1.0"), "odbl", "https://spdx.org/licenses/ODbL-1.0.html"),
        (CardLicense(id="odbl"), "odbl", "https://spdx.org/licenses/ODbL-1.0.html"),
        (CardLicense(id="GPL-3.0-or-later"), "gpl-3.0", "https://spdx.org/licenses/GPL-3.0.html"),
        (CardLicense(id="MIT", url="https://example.org/mit"), "mit", "https://example.org/mit"),
        (CardLicense(name="Ours"), "other", None),
        (CardLicense(id="Hippocratic-2.1"), "other", None),
        (CardLicense(url="https://example.org/ours"), "other", "https://example.org/ours"),
    ],
)
def test_licences(license: CardLicense, hub: str | None, url: str | None) -> None:
    assert hugging_face_id(license) == hub
    assert license_url(license) == url


@pytest.mark.parametrize(
    ("samples", "name"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**10, "1B<n<10B")]
)
def test_size_categories(samples: int, name: str) -> None:
    assert size_category(samples) == name
