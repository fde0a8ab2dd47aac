"""The report of a sealed project: what is in its files, what is not, and that they are signed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path, PurePosixPath

import pytest
from support.once import made_once
from support.protected import Protected
from support.versions import commit, sh

from dsetkit.access import changes
from dsetkit.access.provenance import Statement
from dsetkit.access.statement import read_statement, reader_of, signature_name, statement_name, subject_name
from dsetkit.report.page.change import Change
from dsetkit.report.stage import find_change, run_report
from dsetkit.stages.sealed_report import sealed_for, standing_report, unsealed


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed project whose test labels are kept apart, built, with its report."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=16)
            made.become("cora", patch)
            made.bench.params(clean={"max_invalid": 1.0, "split.ratios": {"train": 0.5, "val": 0.1, "test": 0.4}})
            made.protect()
            made.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["cleaned", "augmented"]))
            made.build()
            run_report(made.project)

    return made_once(tmp_path_factory, "sealed-report", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def opened(project: Protected) -> dict[str, bytes]:
    """The files of the report, as those who may read them see them."""
    found = {}
    for folder in ("reports", "cards"):
        for path in sorted((project.root / folder).rglob("*")):
            name = PurePosixPath(path.relative_to(project.root).as_posix())
            if path.is_file() and name.parent.name != "plots" and path.suffix in (".html", ".json", ".md"):
                domain, epoch = sealed_for(name, path.read_bytes())
                seal = project.keys().seal_in(domain, epoch, "report")
                found[str(name)] = unsealed(name, path.read_bytes(), seal)
    return found


def test_a_real_report(project: Protected) -> None:
    found = opened(project)
    assert set(found) == {
        "reports/report.html",
        "reports/metrics.json",
        *(f"cards/{stage}/{name}" for stage in ("cleaned", "augmented") for name in ("README.md", "croissant.json")),
    }
    assert found["reports/report.html"].startswith(b"<!DOCTYPE html>")
    assert json.loads(found["reports/metrics.json"])
    assert json.loads(found["cards/cleaned/croissant.json"])["@type"]
    plots = list((project.root / "reports/plots").iterdir())
    assert plots
    assert {path.read_bytes() for path in plots} == {b"[]\n"}


def without_digests(name: str, data: bytes) -> bytes:
    """Without what says which files it is about: the page names the raw snapshot, a Croissant file a document."""
    if name.endswith((".html", "croissant.json")):
        data = re.sub(rb"\b[0-9a-f]{64}\b", b"DIGEST", data)
        data = re.sub(rb'(snapshot.json",\s*"contentSize": ")[0-9]+ B', rb"\1SIZE", data)
    return data


def test_the_report_does_not_tell_what_a_facet_keeps_apart(project: Protected) -> None:
    before, print_before = opened(project), project.open("cleaned").fingerprint
    cleaned = project.open("cleaned")
    hidden = [cleaned.original_key(sample.key).rpartition("/")[2] for sample in cleaned.where(split="test")]
    assert len(hidden) > 1
    for name, box in ((hidden[0], [30.0, 20.0, 0.0, 9.0]), (hidden[1], [5.0, 4.0, 31.0, 33.0])):
        project.bench.source.put(name, project.bench.source.pictures[name], [("cat", box)])
    project.update()
    project.build()
    run_report(project.project)
    assert project.open("cleaned").fingerprint != print_before
    after = opened(project)
    assert {
        name for name in before if without_digests(name, before[name]) != without_digests(name, after[name])
    } == set()


def test_other_labels_that_are_not_kept_apart_show(project: Protected) -> None:
    """That the test above can fail."""
    before = opened(project)
    cleaned = project.open("cleaned")
    name = cleaned.original_key(next(iter(cleaned.where(split="train"))).key).rpartition("/")[2]
    project.bench.source.put(name, project.bench.source.pictures[name], [("cat", [5.0, 4.0, 31.0, 33.0])] * 2)
    project.update()
    project.build()
    run_report(project.project)
    assert opened(project)["reports/metrics.json"] != before["reports/metrics.json"]


def test_the_version_before_is_compared_if_all_readers_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was readable to the builder alone, or not kept apart then, is no business of who reads the report."""
    made = Protected.make(tmp_path, pictures=12)
    made.become("cora", monkeypatch)
    sh(made.root, "git", "init", "-q")
    sh(made.root, "dvc", "init", "-q")
    made.protect()

    def version(number: int) -> Change | None:
        made.put(0, (4.0, 4.0, 10.0 + number, 16.0))
        made.update()
        made.build()
        found = find_change(made.project)
        sh(made.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment")
        commit(made.root, f"v{number}", f"v{number}")
        return found

    assert version(1) is None
    change = version(2)
    assert change is not None
    assert change.previous.tags == ("v1",)
    made.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["cleaned", "augmented"]))
    assert version(3) is None  # it would show the labels of before
    change = version(4)
    assert change is not None
    assert change.previous.tags == ("v3",)
    made.grant("tom", "cleaned", "augmented", "report")
    assert version(5) is None  # tom cannot open it
    change = version(6)
    assert change is not None
    assert change.previous.tags == ("v5",)


def statement_of(project: Protected) -> Statement:
    found = read_statement(reader_of(project.root), "report")
    assert found is not None
    return found.statement


def test_a_statement_has_each_file_and_what_it_was_made_of(project: Protected) -> None:
    statement = statement_of(project)
    files = {str(path): hashlib.sha256(data).hexdigest() for path, data in standing_report(project.root).items()}
    assert {path for path in files if path.startswith("reports/plots/")}
    assert [subject.name for subject in statement.subject] == sorted(files)
    assert statement.files == files
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    assert statement.digest == hashlib.sha256(lines.encode()).hexdigest()
    made_of = {one.name: one.digest.sha256 for one in statement.predicate.build_definition.resolved_dependencies}
    assert len(made_of.pop("params.yaml")) == 64
    names = [subject_name(stage) for stage in ("raw/pets", "cleaned", "augmented")]
    assert made_of == {name: hashlib.sha256((project.root / name).read_bytes()).hexdigest() for name in names}
    assert (statement.signer, statement.parameters.stage, statement.parameters.version) == ("cora", "report", 1)
    assert (statement.parameters.domain, statement.parameters.epoch) == ("d1", 1)


def test_built_twice_it_is_the_same_to_the_byte(project: Protected) -> None:
    names = [*map(str, standing_report(project.root)), statement_name("report"), signature_name("report")]
    before = {name: (project.root / name).read_bytes() for name in names}
    run_report(project.project)
    assert {name: (project.root / name).read_bytes() for name in names} == before
    for name in (statement_name("report"), signature_name("report")):  # as after a clone of what nobody signed
        (project.root / name).unlink()
    run_report(project.project)
    assert {name: (project.root / name).read_bytes() for name in names} == before


def test_another_report_is_the_next_version(project: Protected) -> None:
    project.bench.params(report={"pictures": 1})
    run_report(project.project)
    assert statement_of(project).parameters.version == 2


def test_a_plain_report_is_not_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Protected.make(tmp_path, pictures=4)
    made.become("cora", monkeypatch)
    made.protect(stages=())
    made.build()
    run_report(made.project)
    assert not (made.root / "signatures").exists()
