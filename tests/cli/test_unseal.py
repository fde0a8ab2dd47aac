"""Sealed reports and snapshots as people see them who may read them, and who may not."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path, PurePosixPath

import pytest
from support.once import made_once
from support.protected import Protected

from dsetkit.report.stage import run_report
from dsetkit.stages.sealed_report import sealed_report

from .conftest import Run


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed project, built, with its report. Tom reads the cleaned snapshot alone."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=6)
            made.become("cora", patch)
            made.protect()
            made.grant("tom", "cleaned")
            made.build()
            run_report(made.project)

    return made_once(tmp_path_factory, "sealed-cli", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    made = Protected.copy(kept, tmp_path, monkeypatch)
    monkeypatch.chdir(made.root)
    return made


def test_unseal(project: Protected, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    told = run("access", "unseal", "reports/report.html", str(out))
    assert told.code == 0, told.err
    assert told.out.startswith(f"wrote {out} (")
    assert "in plain: for your eyes only" in told.out
    assert b"<svg" in out.read_bytes() or b"<h1" in out.read_bytes()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before = os.umask(0)
    try:
        found = run("access", "unseal", str(project.root / "cards/cleaned/README.md"), str(tmp_path / "card"), "--json")
    finally:
        os.umask(before)
    card = (tmp_path / "card").read_bytes()
    assert found.json() == {"file": str(tmp_path / "card"), "size_bytes": len(card), "domain": "d1", "epoch": 1}
    assert card.startswith((b"---\n", b"#"))
    assert stat.S_IMODE((tmp_path / "card").stat().st_mode) == 0o600


def test_unseal_from_below_and_by_another_identity(
    project: Protected, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.become(None, monkeypatch)
    monkeypatch.chdir(project.root / "reports")
    out = tmp_path / "metrics.json"
    assert run("access", "unseal", "metrics.json", str(out)).code == 2  # nobody is named
    assert run("access", "unseal", "metrics.json", str(out), "--identity", str(tmp_path / "cora")).code == 0
    assert json.loads(out.read_bytes())


def test_only_readers_of_the_report_unseal_it(
    project: Protected, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tom", "olga"):
        project.become(name, monkeypatch)
        told = run("access", "unseal", "reports/report.html", str(tmp_path / "page.html"), "--json")
        error = told.json()["error"]
        assert (told.code, error["kind"], error["grantors"]) == (2, "AccessError", ["cora"])
        assert not (tmp_path / "page.html").exists()


def test_who_does_not_read_the_report_forges_none(project: Protected, run: Run, tmp_path: Path) -> None:
    """A reader of any domain can seal what they like in that."""
    keys = project.keys("tom")
    seal = keys.seal_for("cleaned")
    assert seal is not None
    page = PurePosixPath("reports/report.html")
    (project.root / page).write_bytes(sealed_report({page: b"<h1>Forged</h1>"}, seal)[page])
    told = run("access", "unseal", str(page), str(tmp_path / "page.html"), "--json")
    error = told.json()["error"]
    assert (told.code, error["kind"]) == (1, "TamperError")
    assert "reports/report.html is not what cora signed" in error["message"]
    assert not (tmp_path / "page.html").exists()


def test_a_report_of_an_older_epoch_or_domain(project: Protected, run: Run, tmp_path: Path) -> None:
    project.act(lambda wanted: wanted, rotate=("d1",))
    out = tmp_path / "page.html"
    told = run("access", "unseal", "reports/report.html", str(out))
    assert told.code == 0
    assert "reports/report.html is of an older epoch (1; the newest is 2)" in told.err
    project.grant("tom", "report")
    told = run("access", "unseal", "reports/report.html", str(tmp_path / "other"))
    assert (told.code, "build it again: dvc repro" in " ".join(told.err.split())) == (1, True)
    assert not (tmp_path / "other").exists()


def test_unseal_refuses_what_is_no_sealed_report(project: Protected, run: Run, tmp_path: Path) -> None:
    (project.root / "reports/own.md").write_text("# Mine\n")
    (tmp_path / "report.html").write_bytes((project.root / "reports/report.html").read_bytes())
    (project.root / "reports/away.html").symlink_to(tmp_path / "report.html")
    for path, said in (
        ("data/cleaned/snapshot.json", "is no file of a report"),
        ("params.yaml", "is no file of a report"),
        (str(tmp_path / "report.html"), "is no file of a report"),
        ("reports/away.html", "is no file of a report"),
        ("reports/absent.html", "is no file of a report"),
        ("reports", "is no file of a report"),
        ("reports/own.md", "is no sealed file of a report"),
    ):
        told = run("access", "unseal", path, str(tmp_path / "out"))
        assert (told.code, said in told.err) == (2, True), (path, told)
        assert not (tmp_path / "out").exists()


def test_unseal_replaces_nothing(project: Protected, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("mine")
    told = run("access", "unseal", "reports/report.html", str(out))
    assert (told.code, "is there already" in told.err) == (2, True)
    assert out.read_text() == "mine"


def test_unseal_says_that_a_file_was_altered(project: Protected, run: Run, tmp_path: Path) -> None:
    path = project.root / "reports/metrics.json"
    document = json.loads(path.read_bytes())
    body = bytearray(base64.b64decode(document["sealed"]["body"]))
    body[len(body) // 2] ^= 1
    document["sealed"]["body"] = base64.b64encode(bytes(body)).decode()
    path.write_text(json.dumps(document))
    told = run("access", "unseal", "reports/metrics.json", str(tmp_path / "out"), "--json")
    assert (told.code, told.json()["error"]["kind"]) == (1, "TamperError")
    assert not (tmp_path / "out").exists()


def test_who_reads_it_verifies_all_of_it(project: Protected, run: Run) -> None:
    told = run("verify", "--json")
    codes = [issue["code"] for issue in told.json()]
    assert "sealed" not in codes
    assert "card-stale" not in codes
    assert set(codes) <= {"card-incomplete"}
    told = run("verify", "data/cleaned")
    assert "data/cleaned: verified" in told.out


@pytest.mark.parametrize("name", ["olga", None])
def test_an_outsider_verifies_what_lies_there(
    project: Protected, run: Run, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    project.become(name, monkeypatch)
    told = run("verify", "--json")
    assert told.code == 0, told
    assert [(issue["code"], issue["severity"], issue["file"]) for issue in told.json()] == [
        ("sealed", "info", "snapshot.json")
    ] * 3
    shard = next((project.root / "data/cleaned/shards").iterdir())
    shard.chmod(0o644)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    told = run("verify", "--json")
    codes = {issue["code"]: issue for issue in told.json()}
    assert (told.code, set(codes)) == (1, {"sealed", "shard-damaged"})
    assert codes["shard-damaged"]["file"] == f"shards/{shard.name}"
    assert run("verify", "data/augmented").code == 0
    shard.unlink()
    told = run("verify", "data/cleaned", "--json")
    assert (told.code, "file-missing" in {issue["code"] for issue in told.json()}) == (1, True)


def test_a_snapshot_that_nobody_signed_so(project: Protected, run: Run) -> None:
    path = project.root / "data/cleaned/snapshot.json"
    good = path.read_bytes()
    path.chmod(0o644)
    other = (project.root / "data/augmented/snapshot.json").read_bytes().replace(b'"augmented"', b'"cleaned"', 1)
    path.write_bytes(other)
    told = run("verify", "--json")
    found = [issue for issue in told.json() if issue["code"] == "snapshot-tampered"]
    assert (told.code, len(found)) == (1, 1)
    assert "cleaned" in found[0]["message"]
    assert found[0]["hint"]
    path.write_bytes(good)
    assert "data/cleaned: verified" in run("verify", "data/cleaned").out
    (project.root / "signatures/cleaned.sig").unlink()
    told = run("verify", "data/cleaned", "--json")
    assert (told.code, [issue["code"] for issue in told.json()]) == (1, ["snapshot-tampered"])


def test_status_says_what_is_sealed(project: Protected, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def states() -> dict[str, str]:
        found = run("status", "--json").json()
        return {one["name"]: one["state"] for one in found["snapshots"]} | {
            f"source {one['name']}": one["state"] for one in found["sources"]
        }

    assert states() == {"raw/pets": "built", "cleaned": "built", "augmented": "built", "source pets": "locked"}
    project.become("olga", monkeypatch)
    assert states() == {"raw/pets": "sealed", "cleaned": "sealed", "augmented": "sealed", "source pets": "sealed"}
    assert "sealed" in run("status").out
    project.become("tom", monkeypatch)
    found = states()
    assert (found["raw/pets"], found["augmented"]) == ("sealed", "sealed")
    assert found["cleaned"] != "sealed"


def test_a_correction_of_what_is_sealed_says_that_it_is_in_the_clear(project: Protected, run: Run) -> None:
    told = run("exclude", "pets/images/00.jpg", "--why", "It shows nothing.")
    assert told.code == 0
    assert "corrections/ lies in git in the clear" in " ".join(told.out.split())
    told = run("correct", "pets/images/01.jpg", "--split", "test", "--why", "It is hard.", "--json")
    assert [(issue["code"], issue["severity"]) for issue in told.json()["issues"]] == [("correction-plain", "warning")]
    assert run("correct", "pets/images/01.jpg", "--split", "test", "--why", "Again.", "--json").json()["issues"] == []


def test_a_signature_is_checked_without_keys(project: Protected, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    project.become("olga", monkeypatch, "state-olga")
    told = run("verify", "data/cleaned", "--json")
    assert told.code == 0
    (issue,) = told.json()
    assert issue["code"] == "sealed"
    assert "its signature and digests and sizes of its files were checked" in issue["message"]
    statement = project.root / "signatures/cleaned.json"
    statement.write_bytes(statement.read_bytes().replace(b'"version": 1', b'"version": 2'))
    told = run("verify", "data/cleaned", "--json")
    assert (told.code, [issue["code"] for issue in told.json()]) == (1, ["snapshot-tampered"])
