"""The report stage: all outputs or none, of one state of the project; alone, by DVC, and between versions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.errors import ChangedError, SnapshotError, UsageError
from dsetkit.report import stage
from dsetkit.report.stage import run_report
from dsetkit.stages.build import Build


@pytest.fixture
def built(bench: Bench) -> Bench:
    """Cleaned, not augmented."""
    bench.add()
    bench.ingest()
    bench.clean()
    return bench


def outputs(root: Path) -> dict[str, str]:
    folders = {folder: tree_bytes(root / folder) for folder in ("reports", "cards")}
    return {f"{folder}/{name}": digest for folder, files in folders.items() for name, digest in files.items()}


def test_everything_is_there_and_the_same_every_time(built: Bench) -> None:
    result = run_report(built.project)
    made = outputs(built.root)
    plots = {name for name in made if name.startswith("reports/plots/")}
    assert len(plots) == 13
    assert set(made) - plots == {
        "reports/metrics.json",
        "reports/report.html",
        "cards/cleaned/README.md",
        "cards/cleaned/croissant.json",
    }
    assert json.loads((built.root / "reports/metrics.json").read_text("utf-8")) == result.metrics
    assert result.metrics["cleaned.samples"] == 6
    assert not any(name.startswith("augmented.") for name in result.metrics)
    assert result.page_bytes == result.page.stat().st_size
    assert result.to_json()["change"] is None
    run_report(built.project)
    assert outputs(built.root) == made
    built.augment()
    run_report(built.project)
    assert {"cards/augmented/README.md"} < set(outputs(built.root))


def test_what_is_no_longer_made_goes(built: Bench) -> None:
    for name in ("reports/plots/old.json", "cards/old/README.md"):
        (built.root / name).parent.mkdir(parents=True)
        (built.root / name).write_text("old")
    (built.root / "reports/mine.txt").write_text("mine")
    run_report(built.project)
    made = outputs(built.root)
    assert not [name for name in made if "old" in name]
    assert "reports/mine.txt" in made


@pytest.mark.parametrize("name", ["params.yaml", "data/cleaned/snapshot.json", "schemas/detection.py"])
def test_a_change_while_it_runs_leaves_the_old_report(built: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    run_report(built.project)
    before = outputs(built.root)
    made_page = stage.build_page

    def edit(*args: Any) -> bytes:
        page = made_page(*args)
        path = built.root / name
        text = path.read_text("utf-8")
        path.write_text(text.replace("max_invalid: 0.02", "max_invalid: 0.03") + ("" if ".yaml" in name else "\n"))
        return page

    monkeypatch.setattr(stage, "build_page", edit)
    with pytest.raises(ChangedError, match=r"changed while the stage ran: .*; reports was not replaced"):
        run_report(built.project)
    assert outputs(built.root) == before


def test_a_failure_leaves_the_old_report(built: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run_report(built.project)
    before = outputs(built.root)
    monkeypatch.setattr(stage, "build_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_report(built.project)
    assert outputs(built.root) == before
    monkeypatch.undo()
    run_report(built.project)
    assert outputs(built.root) == before


def test_two_runs_at_once(built: Bench) -> None:
    with (
        Build(built.project, built.root / "reports", dict, stage="report"),
        pytest.raises(UsageError, match="another run is building reports right now"),
    ):
        run_report(built.project)
    run_report(built.project)


def test_only_sources_of_the_params_count(built: Bench) -> None:
    shutil.copytree(built.root / "data/raw/pets", built.root / "data/raw/left-over")
    assert run_report(built.project).metrics["raw.samples"] == 6
    shutil.rmtree(built.root / "data/raw/pets")
    with pytest.raises(SnapshotError, match="data/raw/pets holds no snapshot"):
        run_report(built.project)


def test_nothing_kept_at_all(bench: Bench) -> None:
    bench.params(clean={"quality.min_side_px": 1000})
    bench.add()
    bench.build()
    metrics = run_report(bench.project).metrics
    assert (metrics["raw.samples"], metrics["cleaned.samples"]) == (6, 0)
    assert metrics["cleaned.rejected.sample.picture-small"] == 6
    assert "cleaned.imbalance" not in metrics


def test_hostile_categories(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "project")
    bench.source.categories = ["<script>alert(1)</script>", "a.annotations", 'x, "y"\nz', "\u202eabc"]
    for number, name in enumerate(bench.source.categories):
        bench.source.put(f"{number}.jpg", picture_bytes(number), [(name, [4.0, 4.0, 20.0, 16.0])])
    bench.add()
    bench.build()
    metrics = run_report(bench.project).metrics
    assert metrics["cleaned.category.%3Cscript>alert(1)%3C/script>.annotations"] == 1
    assert sum(name.startswith("cleaned.category.") for name in metrics) == 8


def sh(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def commit(folder: Path, tag: str) -> None:
    sh(folder, "git", "add", "-A")
    sh(folder, "git", "commit", "-qm", tag)
    sh(folder, "git", "tag", tag)


@pytest.mark.slow
def test_metrics_and_plots_say_what_a_change_did(demo_copy: Path, tmp_path: Path) -> None:
    first = json.loads((demo_copy / "reports/metrics.json").read_text("utf-8"))
    commit(demo_copy, "v1")
    path = demo_copy / "params.yaml"
    path.write_text(re.sub(r"min_sharpness: [\d.]+", "min_sharpness: 420.0", path.read_text("utf-8")))
    text = sh(demo_copy, "dvc", "repro")
    assert "since v1, " in text
    second = json.loads((demo_copy / "reports/metrics.json").read_text("utf-8"))
    blurred = "cleaned.rejected.sample.picture-blurred"
    assert second[blurred] > first[blurred]
    assert second["cleaned.samples"] < first["cleaned.samples"]

    differing = json.loads(sh(demo_copy, "dvc", "metrics", "diff", "v1", "--json"))["reports/metrics.json"]
    names = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert set(differing) == names
    assert differing[blurred] == {
        "old": first[blurred],
        "new": second[blurred],
        "diff": second[blurred] - first[blurred],
    }
    sh(demo_copy, "dvc", "plots", "diff", "v1", "-o", str(tmp_path / "page"))
    specs = plots_of(tmp_path / "page" / "index.html")
    assert len(specs) == 13
    rejected = specs["Turned away, per stage and reason"]
    bar = {row["rev"]: row["rejected"] for row in rejected if row["reason"] == "cleaned · sample · picture-blurred"}
    assert bar == {"v1": first[blurred], "workspace": second[blurred]}
    total = {"v1": 0, "workspace": 0}
    for row in specs["Sharpness, squared grey levels"]:
        total[row["rev"]] += row["samples"]
    assert total == {"v1": first["cleaned.samples"], "workspace": second["cleaned.samples"]}

    commit(demo_copy, "v2")
    assert "Running stage" not in sh(demo_copy, "dvc", "repro")
    document = json.loads(sh(demo_copy, "dsetkit", "report", "--json"))
    assert document["metrics"] == second
    assert document["change"]["previous"]["tags"] == ["v1"]
    removed = first["cleaned.samples"] - second["cleaned.samples"]
    assert document["change"]["differing"]["samples.removed"] == removed

    clone = tmp_path / "clone"  # without DVC's cache
    sh(tmp_path, "git", "clone", "-q", str(demo_copy), str(clone))
    assert (clone / "cards/cleaned/README.md").is_file()
    assert not (clone / "reports/report.html").exists()
    between = json.loads(sh(clone, "dvc", "metrics", "diff", "v1", "v2", "--json"))["reports/metrics.json"]
    assert between == differing
    sh(clone, "dvc", "plots", "diff", "v1", "v2", "-o", str(tmp_path / "other"))
    assert len(plots_of(tmp_path / "other" / "index.html")) == 13


def plots_of(page: Path) -> dict[str, list[dict[str, Any]]]:
    """Title → rows of each plot on a page that DVC made."""
    specs = [json.loads(text) for text in re.findall(r"var spec = (\{.*\});", page.read_text("utf-8"))]
    return {spec["title"]["text"]: spec["data"]["values"] for spec in specs}


def test_the_command_says_where_and_how_much(demo_copy: Path) -> None:
    text = sh(demo_copy, "dsetkit", "report")
    metrics = json.loads((demo_copy / "reports/metrics.json").read_text("utf-8"))
    assert text.startswith("report: reports/report.html (")
    assert f"  cleaned: {metrics['cleaned.samples']} samples, {metrics['cleaned.annotations']} annotations\n" in text
    assert "no earlier version to compare with" in text
