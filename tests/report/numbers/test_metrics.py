"""Every metric is counted again by DuckDB; names hold against hostile data."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recount import Recount

from dsetkit.report.facts.collect import CategoryFacts, ProjectFacts
from dsetkit.report.numbers.metrics import build_metrics, metrics_bytes
from dsetkit.report.numbers.names import plain_name

HOSTILE = (
    "<script>alert(1)</script>",
    "a.annotations",
    "a",
    "a%2Eannotations",
    "samples",
    "x\ny",
    "[bold]|pipe|",
    "\u202eright to left",
    'comma, "quote"',
    "1e5",
    " ",
)


def of_stage(stage: str, other: Recount) -> dict[str, Any]:
    found: dict[str, Any] = {
        "samples": other.samples,
        "annotations": other.annotations,
        "picture_bytes": other.picture_bytes,
        "imbalance": other.imbalance,
        "rejected_samples": sum(other.rejected_samples.values()),
        "rejected_annotations": sum(other.rejected_annotations.values()),
    }
    found |= {f"labelled.{state}": number for state, number in other.labelled.items()}
    found |= {f"split.{split}.samples": number for split, number in other.samples_per_split.items()}
    found |= {f"split.{split}.annotations": number for split, number in other.annotations_per_split.items()}
    for name in other.categories:
        found[f"category.{name}.annotations"] = other.of_category(other.category_annotations, name)
        found[f"category.{name}.samples"] = other.of_category(other.category_samples, name)
    found |= {f"kind.{kind}": number for kind, number in other.kinds.items()}
    found |= {f"issue.{code}": number for code, number in other.issues.items()}
    found |= {f"rejected.sample.{reason}": number for reason, number in other.rejected_samples.items()}
    found |= {f"rejected.annotation.{reason}": number for reason, number in other.rejected_annotations.items()}
    for what, values in (("mean", other.channel_mean), ("std", other.channel_std)):
        found |= {f"channel.{what}.{name}": value for name, value in zip("rgb", values or (), strict=False)}
    return {f"{stage}.{name}": value for name, value in found.items() if value is not None}


def test_every_metric_is_what_the_parquet_files_say(counted: Any) -> None:
    raws: dict[str, Recount] = counted.raw
    samples = sum((Counter(raw.rejected_samples) for raw in raws.values()), Counter())
    annotations = sum((Counter(raw.rejected_annotations) for raw in raws.values()), Counter())
    expected: dict[str, Any] = {
        "raw.samples": sum(raw.samples for raw in raws.values()),
        "raw.annotations": sum(raw.annotations for raw in raws.values()),
        "raw.rejected_samples": samples.total(),
        "raw.rejected_annotations": annotations.total(),
        "duplicates.exact": counted.cleaned.rejected_samples.get("duplicate", 0),
        "duplicates.near": counted.cleaned.rejected_samples.get("duplicate-near", 0),
        "duplicates.conflicts": counted.cleaned.rejected_samples.get("duplicate-labels-differ", 0),
        **{f"raw.rejected.sample.{reason}": number for reason, number in samples.items()},
        **{f"raw.rejected.annotation.{reason}": number for reason, number in annotations.items()},
        **of_stage("cleaned", counted.cleaned),
        **of_stage("augmented", counted.augmented),
    }
    for name, raw in raws.items():
        expected[f"raw.source.{name}.samples"] = raw.samples
        expected[f"raw.source.{name}.annotations"] = raw.annotations
        expected[f"raw.source.{name}.rejected_samples"] = sum(raw.rejected_samples.values())
        expected[f"raw.source.{name}.rejected_annotations"] = sum(raw.rejected_annotations.values())
    found = build_metrics(counted.facts)
    assert list(found) == sorted(expected)
    for name, value in expected.items():
        assert type(found[name]) is type(value), name
        assert found[name] == pytest.approx(value, rel=1e-5) if isinstance(value, float) else found[name] == value


def test_the_document_is_flat_sorted_and_a_line_a_number(counted_demo: Any) -> None:
    data = metrics_bytes(counted_demo.facts)
    document = json.loads(data)
    assert document == build_metrics(counted_demo.facts)
    assert all(type(value) in (int, float) for value in document.values())
    assert len(data.splitlines()) == len(document) + 2
    assert metrics_bytes(counted_demo.facts) == data
    assert document["cleaned.category.crate.annotations"] > 0


def documented(text: str) -> re.Pattern[str]:
    """What the tables of docs/metrics.md name; words in capitals stand for any step, a leading … for the same steps."""
    names: list[str] = []
    for line in text.splitlines():
        for name in re.findall(r"`([^`]+)`", line.split("|")[1]) if line.startswith("|") else ():
            names.append(name if name[0] != "…" else names[-1].rpartition(".")[0] + name[1:])
    steps = [re.sub(r"[A-Z]+", "[^.]+", re.escape(name).replace("STAGE", "(cleaned|augmented)")) for name in names]
    return re.compile("|".join(steps))


def test_every_metric_is_documented(counted_demo: Any, project_root: Path) -> None:
    known = documented((project_root / "docs/metrics.md").read_text("utf-8"))
    assert [name for name in build_metrics(counted_demo.facts) if not known.fullmatch(name)] == []
    assert not known.fullmatch("cleaned.sample")


def renamed(facts: ProjectFacts, names: tuple[str, ...]) -> ProjectFacts:
    """The same facts with other categories, the n-th with n + 1 annotations, and with splits of the same names."""
    categories = tuple(CategoryFacts(name, place + 1, 1, Counter(), Counter()) for place, name in enumerate(names))
    splits = {name: place + 1 for place, name in enumerate(names)}
    cleaned = dataclasses.replace(
        facts.cleaned,
        categories=categories,
        samples_per_split=splits,
        annotations_per_split=splits,
        rejected_samples=splits,
        rejected_annotations=splits,
        kinds=splits,
        issues=splits,
    )
    return dataclasses.replace(facts, cleaned=cleaned)


def check_names(facts: ProjectFacts, names: tuple[str, ...]) -> None:
    metrics = build_metrics(renamed(facts, names))
    plain = build_metrics(renamed(facts, ()))
    for place, name in enumerate(names):
        step = plain_name(name, reserved=".")
        for metric in (
            f"category.{step}.annotations",
            f"split.{step}.samples",
            f"rejected.sample.{step}",
            f"rejected.annotation.{step}",
            f"kind.{step}",
            f"issue.{step}",
        ):
            assert metrics[f"cleaned.{metric}"] == place + 1
    assert len(metrics) == len(plain) + 8 * len(names) + bool(names)  # and imbalance
    steps = {name: name.split(".") for name in metrics}
    assert not any(
        one is not other and steps[one] == steps[other][: len(steps[one])] for one in metrics for other in metrics
    )


def test_hostile_names_stay_apart(counted_demo: Any) -> None:
    check_names(counted_demo.facts, HOSTILE)


@given(names=st.lists(st.text(min_size=1), unique=True, max_size=6).map(tuple))
def test_any_names_stay_apart(counted_demo: Any, names: tuple[str, ...]) -> None:
    check_names(counted_demo.facts, names)


@given(name=st.text(), other=st.text(), reserved=st.sampled_from(["", ".", "·"]))
def test_a_plain_name_gives_the_name_back(name: str, other: str, reserved: str) -> None:
    shown = plain_name(name, reserved=reserved)
    assert unquote(shown) == name
    assert shown.isprintable()
    assert not set(shown) & set(f"<|{reserved}")
    assert (shown == plain_name(other, reserved=reserved)) == (name == other)


def test_plain_names_are_left_alone() -> None:
    for name in ("RBC", "traffic light", "Größe", "赤血球", "a-b_c/d"):
        assert plain_name(name, reserved=".") == name


@pytest.mark.slow
def test_dvc_shows_and_compares_hostile_names(counted_demo: Any, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        run(*command)
    (tmp_path / "dvc.yaml").write_text("metrics: [metrics.json]\n")
    (tmp_path / "metrics.json").write_bytes(metrics_bytes(renamed(counted_demo.facts, ())))
    run("git", "add", "-A")
    run("git", "commit", "-qm", "one")
    (tmp_path / "metrics.json").write_bytes(metrics_bytes(renamed(counted_demo.facts, HOSTILE)))
    shown = json.loads(run("dvc", "metrics", "show", "--json"))[""]["data"]["metrics.json"]["data"]
    assert shown == build_metrics(renamed(counted_demo.facts, HOSTILE))
    differing = json.loads(run("dvc", "metrics", "diff", "--json"))["metrics.json"]
    lines = run("dvc", "metrics", "diff").splitlines()
    table = run("dvc", "metrics", "diff", "--md").splitlines()
    for place, name in enumerate(HOSTILE):
        metric = f"cleaned.category.{plain_name(name, reserved='.')}.annotations"
        assert differing[metric]["new"] == place + 1
        assert sum(f" {metric} " in line for line in lines) == 1
        assert sum(f" {metric} " in line and line.count("|") == 6 for line in table) == 1
