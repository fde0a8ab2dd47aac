"""Rolling back a sealed project: what comes back is older than what was seen, so it is signed as the newest."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once
from support.protected import Protected
from support.versions import commit, sh

import dsetkit
from dsetkit.access import changes
from dsetkit.access.audit import verify_chains
from dsetkit.access.policy import read_chain
from dsetkit.access.statement import read_statement, reader_of, signature_name, statement_name
from dsetkit.errors import TamperError
from dsetkit.history import log
from dsetkit.history.objects import Objects
from dsetkit.history.rollback.resign import sign_again
from dsetkit.history.rollback.run import open_rollback
from dsetkit.snapshots.read import Snapshot

pytestmark = pytest.mark.slow

STAGES = ("augmented", "cleaned", "raw/pets")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``v1`` and ``v2`` are sealed in the same epoch, with another box each."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=4)
            made.become("cora", patch)
            sh(made.root, "git", "init", "-q")
            sh(made.root, "dvc", "init", "-q")
            made.protect()
            for name, width in (("v1", 18.0), ("v2", 22.0)):
                made.put(0, (4.0, 4.0, width, 16.0))
                made.update()
                made.build()
                sh(made.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment")
                commit(made.root, name, name)

    return made_once(tmp_path_factory, "sealed-rollback", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def roll(project: Protected, rev: str) -> tuple[str, ...]:
    with open_rollback(project.root, rev) as rolling:
        return rolling.run().notes


def versions(project: Protected) -> dict[str, int]:
    found = {stage: read_statement(reader_of(project.root), stage) for stage in STAGES}
    return {stage: signed.statement.parameters.version for stage, signed in found.items() if signed is not None}


def test_what_comes_back_is_signed_as_the_newest(project: Protected) -> None:
    places = {stage: project.root / "data" / stage for stage in STAGES}
    then = {stage: dsetkit.open(place, rev="v1").fingerprint for stage, place in places.items()}
    now = {stage: dsetkit.open(place).fingerprint for stage, place in places.items()}
    assert versions(project) == dict.fromkeys(STAGES, 2)
    notes = roll(project, "v1")
    said = f"signed again as the newest: {', '.join(STAGES)}; commit signatures/ and access/audit/ too"
    assert said in notes
    assert {stage: dsetkit.open(place).fingerprint for stage, place in places.items()} == then
    assert then["cleaned"] != now["cleaned"]
    assert versions(project) == dict.fromkeys(STAGES, 3)
    chain = read_chain(project.root)
    signed = [one.entry for one in verify_chains(project.root, chain).entries if one.entry.act == "sign"]
    assert [entry.subject for entry in signed] == list(STAGES)


def test_of_an_epoch_before_it_is_not_signed(project: Protected) -> None:
    project.act(lambda wanted: wanted, rotate=("d1",))
    project.build()
    sh(project.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment")
    commit(project.root, "rotated", "v3")
    notes = roll(project, "v2")
    for stage in STAGES:
        (told,) = [note for note in notes if note.startswith(f"{stage} as it stands is not signed: ")]
        assert "not sealed as the policy says now" in told
        with pytest.raises(TamperError):
            dsetkit.open(project.root / "data" / stage)
    assert not any("signed again" in note for note in notes)
    assert len(dsetkit.open(project.root / "data/cleaned", rev="v2")) == 4


def test_who_builds_nothing_signs_nothing(project: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions(project)
    project.grant("tom", "cleaned")
    project.become("tom", monkeypatch)
    assert sign_again(project.root, ["data/cleaned", "data/absent"], "HEAD") == ([], [])  # it is signed
    (project.root / signature_name("cleaned")).unlink()
    (project.root / statement_name("cleaned")).unlink()
    signed, (note,) = sign_again(project.root, ["data/cleaned", "data/absent"], "HEAD")
    assert signed == []
    assert note.startswith("cleaned as it stands is not signed: ")
    assert versions(project) == {stage: number for stage, number in before.items() if stage != "cleaned"}


def test_what_was_not_believed_then_is_not_signed(project: Protected) -> None:
    (project.root / signature_name("cleaned")).unlink()
    (project.root / statement_name("cleaned")).unlink()
    signed, (note,) = sign_again(project.root, ["data/cleaned"], "v1")  # what stands is of v2
    assert signed == []
    assert note.startswith("cleaned as it stands is not signed: cleaned is not what cora signed")
    assert "cleaned" not in versions(project)


def test_with_a_commit_signatures_are_committed(project: Protected) -> None:
    """So that a clone of it has them; in the commit of what they sign, so that each version is one to believe."""
    before = sh(project.root, "git", "rev-parse", "HEAD")
    with open_rollback(project.root, "v1") as rolling:
        done = rolling.run(commit=True)
    assert done.commit == sh(project.root, "git", "rev-parse", "HEAD").strip()
    assert sh(project.root, "git", "rev-parse", "HEAD^") == before
    assert sh(project.root, "git", "status", "--porcelain") == ""
    objects = Objects(project.root)
    for version in log.versions(project.root, objects):
        assert {stage for stage, found in version.stages.items() if not isinstance(found, Snapshot)} == set()
    objects.close()
    said = f"signed again as the newest: {', '.join(STAGES)}, in the same commit"
    assert said in done.notes
    for stage in STAGES:
        place = project.root / "data" / stage
        assert dsetkit.open(place, rev="HEAD").fingerprint == dsetkit.open(place).fingerprint
        assert dsetkit.open(place, rev="v1").fingerprint == dsetkit.open(place).fingerprint


def test_without_a_facet_that_the_policy_wants_by_now_nothing_is_signed(project: Protected) -> None:
    project.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["augmented"]))
    project.build()
    sh(project.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment")
    commit(project.root, "facet", "v3")
    notes = roll(project, "v1")
    assert "signed again as the newest: cleaned, raw/pets; commit signatures/ and access/audit/ too" in notes
    (told,) = [note for note in notes if note.startswith("augmented as it stands is not signed: ")]
    assert "not sealed as the policy says now" in told


def test_nothing_is_signed_that_is_plain_or_without_a_policy(
    project: Protected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Protected.make(tmp_path / "plain", pictures=2)
    plain.build()
    paths = ["data/cleaned", "data/raw/pets"]
    assert sign_again(plain.root, paths, "HEAD") == ([], [])
    plain.protect(stages=())
    assert sign_again(plain.root, paths, "HEAD") == ([], [])
    assert not (plain.root / "signatures").exists()
    project.become(None, monkeypatch)
    (project.root / signature_name("cleaned")).unlink()
    (project.root / statement_name("cleaned")).unlink()
    _, (note,) = sign_again(project.root, ["data/cleaned"], "HEAD")  # a rollback is done by then: a note, and no error
    assert "No identity is named" in note
