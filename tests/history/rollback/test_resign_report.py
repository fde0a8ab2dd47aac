"""The sealed report in versions: whether it is what was signed then, and signed as the newest when it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once
from support.protected import Protected
from support.versions import commit, sh

from dsetkit.access.statement import read_statement, reader_of, signature_name, statement_name
from dsetkit.errors import TamperError
from dsetkit.history.recorded_report import sealed_report_at
from dsetkit.history.rollback.resign import sign_again, to_sign
from dsetkit.history.rollback.run import open_rollback
from dsetkit.history.statements import keys_at
from dsetkit.report.stage import run_report
from dsetkit.stages.sealed_report import PAGE, check_report, report_issues, standing_report

pytestmark = pytest.mark.slow

CARD = "cards/cleaned/croissant.json"
SIGNED = (statement_name("report"), signature_name("report"))


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``v0`` is plain; ``v1`` and ``v2`` are sealed in the same epoch, with another box each, and reports on them."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=4)
            made.become("cora", patch)
            sh(made.root, "git", "init", "-q")
            sh(made.root, "dvc", "init", "-q")
            for name, width in (("v0", 14.0), ("v1", 18.0), ("v2", 22.0)):
                if name == "v1":
                    made.protect()
                made.put(0, (4.0, 4.0, width, 16.0))
                made.update()
                made.build()
                run_report(made.project)
                sh(made.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment", "report")
                commit(made.root, name, name)

    return made_once(tmp_path_factory, "sealed-report-rollback", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def believed(project: Protected) -> int:
    """The version of the report that stands, as it is believed."""
    return check_report(project.keys(), standing_report(project.root)).parameters.version


def test_a_report_that_comes_back_is_signed_as_the_newest(project: Protected) -> None:
    assert believed(project) == 2
    now = standing_report(project.root)
    with open_rollback(project.root, "v1") as rolling:
        done = rolling.run(commit=True)
    assert standing_report(project.root) == sealed_report_at(project.root, "v1") != now
    assert believed(project) == 3
    said = "signed again as the newest: augmented, cleaned, raw/pets, report, in the same commit"
    assert said in done.notes
    assert sh(project.root, "git", "status", "--porcelain") == ""
    keys = keys_at(project.root, "HEAD", "report")
    assert keys is not None
    assert report_issues(keys, sealed_report_at(project.root, "HEAD")) == []


def test_who_builds_it_not_is_told(project: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    project.become("olga", monkeypatch)
    with open_rollback(project.root, "v1") as rolling:
        notes = rolling.run().notes
    (told,) = [note for note in notes if note.startswith("report as it stands is not signed: ")]
    assert "report" in told
    with pytest.raises(TamperError, match="is not what cora signed"):
        believed(project)


def test_what_was_not_believed_then_is_not_signed(project: Protected) -> None:
    for name in SIGNED:
        (project.root / name).unlink()
    signed, (note,) = sign_again(project.root, ["report"], "v1")  # what stands is of v2
    assert signed == []
    assert "is not what cora signed" in note
    assert sign_again(project.root, ["report"], "v2") == (["report"], [])
    assert sign_again(project.root, ["report"], "v2") == ([], [])  # it is believed as it stands
    (project.root / "cards/link").symlink_to(project.root / "params.yaml")
    _, (note,) = sign_again(project.root, ["report"], "v2")
    assert "cards/link is a link" in note


def test_a_plain_report_that_comes_back_is_not_signed(project: Protected) -> None:
    with open_rollback(project.root, "v0") as rolling:
        notes = rolling.run().notes
    assert not any("report" in note for note in notes)
    assert sealed_report_at(project.root, "v0") == {}


def test_any_file_of_the_report_has_it_signed() -> None:
    snapshots = ["data/cleaned", "data/raw/pets"]
    assert to_sign([*snapshots, "params.yaml", "reports/own.md", "cardsharp/x"]) == snapshots
    for path in ("reports/report.html", "reports/metrics.json", "reports/plots/splits.json", "cards/cleaned/README.md"):
        assert to_sign([path, *snapshots]) == [*snapshots, "report"]


def test_a_report_of_a_revision_is_held_against_its_signature(project: Protected) -> None:
    def issues(rev: str) -> list[tuple[str, str]]:
        keys = keys_at(project.root, rev, "report")
        assert keys is not None
        return [(one.code, one.message) for one in report_issues(keys, sealed_report_at(project.root, rev))]

    assert PAGE in sealed_report_at(project.root, "v1")
    assert issues("v1") == issues("v2") == []
    assert "report at v1: verified" in sh(project.root, "dsetkit", "verify", "--rev", "v1")
    assert "report" not in sh(project.root, "dsetkit", "verify", "--rev", "v0")
    sh(project.root, "git", "checkout", "-q", "v1", "--", CARD)
    commit(project.root, "mixed", "mixed")
    assert issues("mixed") == [
        (
            "report-tampered",
            f"{CARD} is not what cora signed: it is of another version than its signature, or was altered",
        )
    ]
    with pytest.raises(AssertionError, match=rf"report at mixed: 1 issue\n[^\n]*{CARD} is not what cora signed"):
        sh(project.root, "dsetkit", "verify", "--rev", "mixed")
    sh(project.root, "git", "checkout", "-q", "v2", "--", CARD)
    sh(project.root, "git", "rm", "-q", "--cached", *SIGNED)
    sh(project.root, "git", "commit", "-q", "-m", "unsigned")
    assert issues("HEAD") == [("report-tampered", "report is not signed")]
    found = read_statement(reader_of(project.root), "report")
    assert found is not None
    assert found.statement.parameters.version == 2
