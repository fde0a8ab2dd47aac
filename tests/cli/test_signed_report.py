"""A sealed report is believed if a builder of it signed it: its readers, who could seal another, forge none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from support.once import made_once
from support.protected import Protected

from dsetkit.access import changes
from dsetkit.access.statement import read_statement, reader_of, signature_name, statement_name
from dsetkit.access.wanted import Wanted
from dsetkit.report.stage import run_report
from dsetkit.stages.sealed_report import CARDS, FOLDERS, METRICS, PAGE, sealed_report, standing_report
from dsetkit.stages.sign import sign_stage

from .conftest import Ran, Run

SIGNED = (statement_name("report"), signature_name("report"))
CARD = CARDS / "cleaned/README.md"
ALL = ("raw", "cleaned", "augmented", "report")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed project, built, with its report. Tom reads and builds all of it, too; cora built it."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=4)
            made.become("cora", patch)
            made.protect()
            keys = made.identity("tom").public

            def with_tom(wanted: Wanted) -> Wanted:
                known = changes.with_keys(wanted, "tom", age=keys.age, ssh=keys.ssh)
                return changes.granted(known, "tom", "builder", stages=ALL)

            made.act(with_tom)
            made.build()
            run_report(made.project)

    return made_once(tmp_path_factory, "signed-report", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    made = Protected.copy(kept, tmp_path, monkeypatch)
    monkeypatch.chdir(made.root)
    return made


def unseal(run: Run, project: Protected, path: PurePosixPath) -> Ran:
    out = project.place / "opened"
    out.unlink(missing_ok=True)
    told = run("access", "unseal", str(path), str(out), "--json")
    assert out.exists() == (told.code == 0)
    return told


def refused(run: Run, project: Protected, path: PurePosixPath, said: str) -> str:
    """Why, and what to do about it, of what ``unseal`` refuses."""
    told = unseal(run, project, path)
    error = told.json()["error"]
    assert (told.code, error["kind"]) == (1, "TamperError")
    assert said in error["message"], error
    return str(error["hint"])


def forge(project: Protected, path: PurePosixPath, data: bytes = b'{"forged": 1}') -> None:
    """As any reader of the report can."""
    seal = project.keys().seal_for("report")
    assert seal is not None
    (project.root / path).write_bytes(sealed_report({path: data}, seal)[path])


def stored(project: Protected) -> dict[str, bytes]:
    names = (*map(str, standing_report(project.root)), *SIGNED)
    return {name: (project.root / name).read_bytes() for name in names}


def put(project: Protected, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (project.root / name).write_bytes(data)


def another(project: Protected) -> None:
    project.bench.params(report={"pictures": 1})
    run_report(project.project)


def codes(told: Ran) -> list[str]:
    """But of what cards lack in this project."""
    return [issue["code"] for issue in told.json() if not issue["code"].startswith("card-")]


def test_only_the_file_that_is_asked_for_need_be_there(project: Protected, run: Run) -> None:
    for path in standing_report(project.root):
        if path != CARD:
            (project.root / path).unlink()
    assert unseal(run, project, CARD).code == 0


@pytest.mark.parametrize("path", [PAGE, METRICS, CARD], ids=str)
def test_what_a_reader_forges_is_refused(project: Protected, run: Run, path: PurePosixPath) -> None:
    forge(project, path)
    refused(run, project, path, f"{path} is not what cora signed")
    told = run("verify", "--json")
    assert (told.code, "report-tampered" in codes(told)) == (1, True)
    assert unseal(run, project, METRICS if path != METRICS else CARD).code == 0


def test_a_file_that_nobody_signed_is_refused(project: Protected, run: Run) -> None:
    path = CARDS / "cleaned/more.md"
    forge(project, path)
    refused(run, project, path, f"{path} is none of the files that cora signed")
    assert codes(run("verify", "--json")) == ["report-tampered"]


def test_cards_in_each_others_places_are_refused(project: Protected, run: Run) -> None:
    other = CARDS / "augmented/README.md"
    first, second = ((project.root / path).read_bytes() for path in (CARD, other))
    put(project, {str(CARD): second, str(other): first})
    for path in (CARD, other):
        refused(run, project, path, f"{path} is not what cora signed")


def test_an_older_report_is_refused(project: Protected, run: Run) -> None:
    older = stored(project)
    another(project)
    assert unseal(run, project, PAGE).code == 0
    put(project, {name: data for name, data in older.items() if name not in SIGNED})
    refused(run, project, PAGE, f"{PAGE} is not what cora signed")
    put(project, older)
    refused(run, project, PAGE, "report is version 1, and you have seen version 2: an older one was put back")
    assert codes(run("verify", "--json")) == ["report-tampered"]
    assert run("sign", "report").code == 0  # a builder says that it counts
    assert unseal(run, project, PAGE).code == 0


def test_the_signature_of_another_stage_is_none_of_the_report(project: Protected, run: Run) -> None:
    for own, other in zip(SIGNED, (statement_name("cleaned"), signature_name("cleaned")), strict=True):
        (project.root / own).write_bytes((project.root / other).read_bytes())
    refused(run, project, PAGE, "signatures/report.json is about another project or stage")


def test_a_report_that_is_not_signed(project: Protected, run: Run) -> None:
    """As one that an earlier dsetkit made."""
    for name in SIGNED:
        (project.root / name).unlink()
    said = refused(run, project, PAGE, "report is not signed")
    assert "Build it again (dsetkit report), or have a builder look at it and sign it: dsetkit sign report" in said
    assert codes(run("verify", "--json")) == ["report-tampered"]
    told = run("sign", "report", "--json")
    assert [(one["stage"], one["version"], one["signer"], one["files"]) for one in told.json()] == [
        ("report", 1, "cora", list(SIGNED))
    ]
    assert unseal(run, project, PAGE).code == 0


def test_who_builds_the_report_no_more_signs_none(
    project: Protected, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.become("tom", monkeypatch, "state-tom")
    for name in SIGNED:
        (project.root / name).unlink()
    sign_stage(project.project, project.keys("tom"), "report")
    project.become("cora", monkeypatch, "state-new")
    project.act(lambda wanted: changes.revoked(wanted, "tom", stages=["report"], role="builder"))
    refused(run, project, PAGE, "signatures/report.json is signed by tom, who is a builder of report no more")
    assert run("sign").code == 0
    assert unseal(run, project, PAGE).code == 0
    for forger in ("tom", "olga"):
        project.become(forger, monkeypatch, f"state-{forger}")
        told = run("sign", "report", "--json")
        assert (told.code, told.json()["error"]["kind"]) == (2, "AccessError")


def test_all_that_stands_is_signed(project: Protected, run: Run) -> None:
    found = [(one["stage"], one["version"]) for one in run("sign", "--json").json()]
    assert found == [("raw/pets", 1), ("cleaned", 1), ("augmented", 1), ("report", 1)]
    (project.root / PAGE).unlink()
    assert [one["stage"] for one in run("sign", "--json").json()] == ["raw/pets", "cleaned", "augmented"]
    told = run("sign", "report", "--json")
    assert "The report is not whole here, without reports/report.html" in told.json()["error"]["message"]


def _plain(project: Protected) -> None:
    (project.root / METRICS).write_bytes(b"{}\n")


def _shell(project: Protected) -> None:
    path = project.root / PAGE
    path.write_bytes(path.read_bytes().replace(b"</p>", b"</p><script>1</script>", 1))


def _moved(project: Protected) -> None:
    (project.root / CARD).write_bytes((project.root / CARDS / "augmented/README.md").read_bytes())


def _rotated(project: Protected) -> None:
    project.act(lambda wanted: wanted, rotate=("d1",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_plain, "reports/metrics.json is plain"),
        (_shell, "reports/report.html is not what dsetkit makes of what is sealed in it"),
        (_moved, "cards/cleaned/README.md"),
        (_rotated, "report is not sealed as the policy says now"),
    ],
)
def test_only_what_is_sealed_as_it_must_be_is_signed(
    project: Protected, run: Run, change: Callable[[Protected], None], said: str
) -> None:
    change(project)
    before = {name: (project.root / name).read_bytes() for name in SIGNED}
    told = run("sign", "report", "--json")
    assert told.code in (1, 2)
    assert said in told.json()["error"]["message"]
    assert {name: (project.root / name).read_bytes() for name in SIGNED} == before


def test_a_report_on_what_shows_too_much_by_now_is_not_signed(project: Protected, run: Run) -> None:
    project.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["cleaned"]))
    told = run("sign", "report", "--json")
    assert told.json()["error"]["message"].startswith("cleaned is not sealed as the policy says now")


def test_a_plain_report_is_not_signed(project: Protected, run: Run) -> None:
    project.act(lambda wanted: changes.declassified(wanted, "report"))
    run_report(project.project)
    told = run("sign", "report", "--json")
    assert (told.code, told.json()["error"]["kind"]) == (2, "UsageError")
    assert told.json()["error"]["message"].startswith("The report is plain, and only a sealed one is signed")
    assert [one["stage"] for one in run("sign", "--json").json()] == ["raw/pets", "cleaned", "augmented"]
    assert codes(run("verify", "--json")) == []


@pytest.mark.parametrize("who", ["cora", "olga", None])
def test_anybody_verifies_the_report(
    project: Protected, run: Run, monkeypatch: pytest.MonkeyPatch, who: str | None
) -> None:
    project.become(who, monkeypatch)
    told = run("verify")
    assert told.code == 0 or who == "cora"  # who may read the card is told what it lacks
    assert "report: verified" in told.out
    (project.root / PAGE).unlink()  # as in a clone, before dvc pull
    assert "report: verified" in run("verify").out
    (project.root / FOLDERS[0] / "splits.json").unlink()
    found = [issue for issue in run("verify", "--json").json() if issue["code"] == "file-missing"]
    assert [issue["file"] for issue in found] == ["reports/plots/splits.json"]
    link = project.root / CARDS / "link"
    link.symlink_to(project.root / "params.yaml")
    (found,) = [issue for issue in run("verify", "--json").json() if issue["code"] == "report-tampered"]
    assert found["message"].startswith("cards/link is a link")
    link.unlink()
    _plain(project)
    (found,) = [issue for issue in run("verify", "--json").json() if issue["code"] == "report-tampered"]
    assert found["message"].startswith("reports/metrics.json is plain")
    assert found["hint"]
    assert "report: " not in run("verify", "data/cleaned").out


def test_a_statement_names_each_file_once_and_sorted(project: Protected, run: Run) -> None:
    """A builder may write what they like; it is held to one form."""
    signed = read_statement(reader_of(project.root), "report")
    assert signed is not None
    good = json.loads(signed.text)
    one = good["subject"][0]
    for subject in ([one, one], good["subject"][::-1], [{**one, "name": "data/cleaned/snapshot.json"}]):
        text = (json.dumps({**good, "subject": subject}, indent=2, sort_keys=True) + "\n").encode()
        (project.root / SIGNED[0]).write_bytes(text)
        namespace = f"dsetkit-snapshot@{signed.statement.parameters.project}"
        (project.root / SIGNED[1]).write_text(project.identity().sign(text, namespace))
        refused(run, project, PAGE, "signatures/report.json is about another file")
