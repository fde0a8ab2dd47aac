"""How a project meets its policy: what opens what is read, what may be built of what, who signed it."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
from support.once import made_once
from support.protected import Protected

import dsetkit
from dsetkit.access import changes
from dsetkit.access.audit import verify_chains
from dsetkit.access.policy import read_chain
from dsetkit.access.statement import read_statement, reader_of, signature_name, statement_name, subject_name
from dsetkit.errors import AccessError, TamperError, UsageError
from dsetkit.snapshots.opening import read_seals
from dsetkit.stages.augment import augment
from dsetkit.stages.executor import open_pool
from dsetkit.stages.sealed import Sealing, has_policy, is_protected, keys_near, keys_of, sign_files
from dsetkit.stages.sign import sign_stage
from dsetkit.stages.yaml_documents import load_yaml, save_yaml
from dsetkit.storage.folder import LocalFolder


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data twice: ``plain`` without a policy, ``sealed`` with one that seals all stages."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            plain = Protected.make(folder / "plain")
            plain.become("cora", patch)
            plain.build()
            sealed = Protected.copy(folder / "plain", folder / "sealed", patch)
            sealed.protect()
            sealed.build()

    return made_once(tmp_path_factory, "sealed-stages", build)


@pytest.fixture
def plain(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept / "plain", tmp_path / "plain", monkeypatch)


@pytest.fixture
def sealed(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept / "sealed", tmp_path, monkeypatch)


def swap_plain(project: Protected, kept: Path, stage: str) -> Path:
    """A plain snapshot in the place of what stands there."""
    place = project.root / "data" / stage
    shutil.rmtree(place)
    shutil.copytree(kept / "plain/project/data" / stage, place)
    return place


def want_signed(project: Protected) -> None:
    path = project.root / "params.yaml"
    document = load_yaml(path)
    document["access"] = {"signed_inputs": True}
    save_yaml(path, document)


def openings(project: Protected) -> list[tuple[str, dict[str, object]]]:
    """What the audit says was opened."""
    found = verify_chains(project.root, read_chain(project.root))
    assert [issue.code for issue in found.issues if issue.severity == "error"] == []
    return [(one.entry.subject, dict(one.entry.details)) for one in found.entries if one.entry.act == "open"]


def test_no_policy_no_keys(plain: Protected, tmp_path: Path) -> None:
    assert not has_policy(plain.root)
    assert keys_of(plain.root) is None
    assert keys_near(plain.root / "data/cleaned") is None
    assert not is_protected(plain.root, plain.root / "data/cleaned")
    assert keys_near(tmp_path / "nowhere") is None
    assert dsetkit.open(plain.root / "data/cleaned").seals is None


def test_the_project_that_a_path_lies_in(
    sealed: Protected, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (sealed.root / "data/cleaned", sealed.root, "project/data/raw/pets", "project/data/not/there"):
        found = keys_near(path)
        assert found is not None
        assert found.policy.project == sealed.keys().policy.project
    assert keys_near(tmp_path / "source") is None
    assert keys_near("s3://bucket/cleaned") is None
    for url in (f"simplecache::file://{sealed.root}/data/cleaned", f"dir://data/cleaned::file://{sealed.root}"):
        assert keys_near(url) is not None
    monkeypatch.chdir(sealed.root / "data")
    assert keys_near("s3://bucket/cleaned") is not None  # of a URL, the working folder says whose it is
    inner = sealed.root / "inner"
    shutil.copytree(kept / "plain/project", inner)
    assert keys_near(inner / "data/cleaned") is None  # the nearest project counts


@pytest.mark.parametrize("trap", ["data/dvc.yaml", "data/cleaned/dvc.yaml", "data/access/policy/", "policy"])
def test_no_project_within_data_switches_the_policy_off(sealed: Protected, kept: Path, trap: str) -> None:
    """All that a committer needs for it is a file."""
    place = sealed.root / "data/cleaned"
    assert dsetkit.open(place).seals is not None
    shutil.rmtree(place)
    shutil.copytree(kept / "plain/project/data/cleaned", place)
    if trap == "policy":  # another project's, sealed for the one who is to be misled
        shutil.copytree(kept / "sealed/project/access", sealed.root / "data/access")
    elif trap.endswith("/"):
        (sealed.root / trap).mkdir(parents=True)
    else:
        (sealed.root / trap).write_text("stages: {}\n")
    for _ in range(2):
        with pytest.raises(TamperError, match="is plain, and the policy seals it"):
            dsetkit.open(place)
    shutil.rmtree(sealed.root / "access")  # which this user has seen here
    with pytest.raises(TamperError):
        dsetkit.open(place)


def test_what_the_policy_seals(sealed: Protected) -> None:
    assert is_protected(sealed.root, sealed.root / "data/raw/pets")
    assert is_protected(sealed.root, sealed.root / "data/cleaned")
    sealed.act(lambda wanted: changes.declassified(wanted, "cleaned"))
    assert not is_protected(sealed.root, sealed.root / "data/cleaned")


def test_a_link_to_elsewhere_is_the_projects(sealed: Protected, kept: Path, tmp_path: Path) -> None:
    place, outside = sealed.root / "data/cleaned", tmp_path / "large-disk"
    shutil.move(place, outside)
    place.symlink_to(outside)
    assert dsetkit.open(place).seals is not None
    with pytest.raises(AccessError):  # of no project, so with no keys
        dsetkit.open(outside)
    shutil.rmtree(outside)
    shutil.copytree(kept / "plain/project/data/cleaned", outside)
    with pytest.raises(TamperError, match="is plain, and the policy seals it"):
        dsetkit.open(place)
    assert dsetkit.open(outside).seals is None


def test_a_link_from_elsewhere_is_opened_with_the_keys_behind_it(sealed: Protected, tmp_path: Path) -> None:
    link = tmp_path / "short"
    link.symlink_to(sealed.root / "data/cleaned")
    assert dsetkit.open(link).fingerprint == sealed.open("cleaned").fingerprint


def test_a_plain_snapshot_in_place_of_a_sealed_one(sealed: Protected, kept: Path) -> None:
    places = [swap_plain(sealed, kept, stage) for stage in ("raw/pets", "cleaned")]
    for place in places:
        with pytest.raises(TamperError, match="is plain, and the policy seals it"):
            dsetkit.open(place)
        with pytest.raises(TamperError, match="is plain, and the policy seals it"):
            dsetkit.open(f"simplecache::file://{place}")
    sealed.act(lambda wanted: changes.declassified(wanted, "cleaned"))
    assert dsetkit.open(places[1]).seals is None
    with pytest.raises(TamperError):
        dsetkit.open(places[0])


def test_a_policy_that_is_gone_is_missed(sealed: Protected, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed.open("cleaned")
    place = swap_plain(sealed, kept, "cleaned")
    shutil.rmtree(sealed.root / "access")
    assert has_policy(sealed.root)
    with pytest.raises((TamperError, AccessError)):
        dsetkit.open(place)
    sealed.become("cora", monkeypatch, "another-user")
    assert not has_policy(sealed.root)
    assert dsetkit.open(place).seals is None


def test_nothing_plain_is_made_of_what_is_sealed(plain: Protected, sealed: Protected, tmp_path: Path) -> None:
    cleaned = sealed.root / "data/cleaned"
    with pytest.raises(AccessError, match="cleaned is sealed, and this project has no access policy, so augmented"):
        Sealing(plain.root, "augmented", None).check_inputs({"cleaned": cleaned})
    Sealing(sealed.root, "augmented", sealed.keys()).check_inputs({"cleaned": cleaned})  # sealed as well
    other = Protected.make(tmp_path / "other")
    other.protect(stages=())
    with pytest.raises(AccessError, match="augmented is made from cleaned, which is sealed, and would be plain"):
        Sealing(other.root, "augmented", other.keys()).check_inputs({"cleaned": cleaned})
    Sealing(other.root, "augmented", other.keys()).check_inputs({"cleaned": tmp_path / "absent"})
    sealed.act(lambda wanted: changes.declassified(wanted, "augmented"))
    Sealing(sealed.root, "augmented", sealed.keys()).check_inputs({"cleaned": cleaned})


def test_declassified_it_is_built_plain(sealed: Protected) -> None:
    sealed.act(lambda wanted: changes.declassified(wanted, "augmented"))
    with open_pool(1) as pool:
        augment(sealed.project, pool=pool)
    assert read_seals(LocalFolder(sealed.root / "data/augmented")) is None
    assert sealed.open("augmented").seals is None


def test_signed_inputs_are_signed_with_their_tables(plain: Protected) -> None:
    """The document is signed; a table that another took the place of is not in it."""
    plain.protect(stages=["report"])
    sign_stage(plain.project, plain.keys(), "raw/pets")
    want_signed(plain)
    place = plain.root / "data/raw/pets"
    plain.bench.clean()
    (part,) = plain.open("raw/pets").info.parts
    path = place / part.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(TamperError, match=r"samples/.* of .*raw/pets is not the file that snapshot\.json names"):
        plain.bench.clean()
    with pytest.raises(TamperError, match=r"is not the file that snapshot\.json names"):
        sign_stage(plain.project, plain.keys(), "raw/pets")


def test_signed_inputs(plain: Protected) -> None:
    want_signed(plain)

    def build() -> None:
        with open_pool(1) as pool:
            augment(plain.project, pool=pool)

    with pytest.raises(AccessError, match=r"wants signed inputs \(access.signed_inputs\), and this project has no"):
        build()
    plain.protect(stages=())
    with pytest.raises(TamperError, match="cleaned is not signed"):
        build()
    before = (plain.root / "data/augmented/snapshot.json").stat().st_ino
    sign_stage(plain.project, plain.keys(), "cleaned")
    build()
    assert (plain.root / "data/augmented/snapshot.json").stat().st_ino != before
    document = plain.root / "data/cleaned/snapshot.json"
    document.write_bytes(document.read_bytes() + b"\n")
    with pytest.raises(TamperError, match="cleaned is not what cora signed"):
        build()


def test_keys_are_sent_to_no_other_machine(plain: Protected, sealed: Protected) -> None:
    sealing = Sealing(sealed.root, "cleaned", sealed.keys())
    sealing.check_pool(is_local=True)
    with pytest.raises(UsageError, match="cleaned is sealed, and keys are sent to no other machine"):
        sealing.check_pool(is_local=False)
    sealed.act(lambda wanted: changes.declassified(wanted, "cleaned"))
    Sealing(sealed.root, "cleaned", sealed.keys()).check_pool(is_local=False)
    Sealing(plain.root, "cleaned", None).check_pool(is_local=False)


def test_openings_are_recorded_where_the_policy_wants_it(sealed: Protected) -> None:
    dsetkit.open(sealed.root / "data/cleaned")
    assert openings(sealed) == []
    sealed.act(lambda wanted: changes.with_settings(wanted, records_openings=True))
    for stage in ("cleaned", "raw/pets"):
        dsetkit.open(sealed.root / "data" / stage)
    assert openings(sealed) == [(stage, {"domain": "d1", "epoch": 1}) for stage in ("cleaned", "raw/pets")]


def test_who_cannot_record_an_opening_reads_all_the_same(sealed: Protected) -> None:
    sealed.act(lambda wanted: changes.with_settings(wanted, records_openings=True))
    log = sealed.root / "access/audit/cora.jsonl"
    cut = b"".join(log.read_bytes().splitlines(keepends=True)[:1])
    log.write_bytes(cut)  # shorter than what was seen: nothing is added to it
    assert len(dsetkit.open(sealed.root / "data/cleaned")) == 8
    assert log.read_bytes() == cut


def test_first_sight_is_said_once(
    sealed: Protected, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sealed.become("cora", monkeypatch, "another-user")
    with caplog.at_level(logging.WARNING):
        dsetkit.open(sealed.root / "data/cleaned")
        dsetkit.open(sealed.root / "data/cleaned")
        dsetkit.open(sealed.root / "data/augmented")
    said = [record.getMessage() for record in caplog.records if record.name.startswith("dsetkit")]
    assert len(said) == 1
    assert said[0].startswith(f"First sight of the project in {sealed.root}. Its policy is pinned: ")
    assert read_chain(sealed.root).pin in said[0]


def test_versions_count_from_what_was_seen(sealed: Protected) -> None:
    def version() -> int:
        found = read_statement(reader_of(sealed.root), "cleaned")
        assert found is not None
        return found.statement.parameters.version

    def sign(document: bytes) -> None:
        files = {subject_name("cleaned"): document}
        sign_files(sealed.keys(), sealed.root, "cleaned", files, {}, params="0" * 64, tools={})

    files = {name: (sealed.root / name).read_bytes() for name in (statement_name("cleaned"), signature_name("cleaned"))}
    assert version() == 1
    sign(b"second")
    assert version() == 2
    sign(b"second")  # the same again
    assert version() == 2
    for name, data in files.items():
        (sealed.root / name).write_bytes(data)
    assert version() == 1
    sign(b"third")
    assert version() == 3
    (sealed.root / signature_name("cleaned")).unlink()  # half of a statement is replaced
    sign(b"fourth")
    assert version() == 4
    seen = sealed.keys().seen("cleaned")
    assert seen is not None
    assert seen.version == 4


def test_a_build_says_what_it_was_made_from(sealed: Protected) -> None:
    statement = json.loads((sealed.root / statement_name("cleaned")).read_bytes())
    (named,) = statement["subject"]
    assert named["name"] == "data/cleaned/snapshot.json"
    made_from = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert "data/raw/pets/snapshot.json" in {item.get("name") for item in made_from}
