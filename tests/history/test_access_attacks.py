"""A sealed project of a team, altered by who can write to it: nothing but the true data is ever read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.team import Person, Ran, Team, the_team

import dsetkit
from dsetkit.access import audit
from dsetkit.access.audit_chain import line_of, signed_bytes
from dsetkit.access.identity import load_identity
from dsetkit.access.keyring import FreshKeys, keyring_name, wrap
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.policy import read_chain
from dsetkit.access.rules import digest_of_policy
from dsetkit.access.seal import DomainSeal
from dsetkit.access.statement import signature_name, statement_name
from dsetkit.errors import AccessError, CheckError, SnapshotError, StorageError, TamperError
from dsetkit.snapshots.read import open_snapshot
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.policy import AccessPolicy

ATTACKS = int(os.environ.get("DSETKIT_ATTACKS", "2000"))
"""Alterations in a run with slow tests: 10,000 take twenty minutes of one core."""
PARTS = 10
REFUSED = (AccessError, TamperError, SnapshotError, StorageError, CheckError)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Team:
    """The team on the demo. Only to be read."""
    return the_team(tmp_path_factory, "demo")


@pytest.fixture
def team(made: Team, tmp_path: Path) -> Team:
    """A copy that Cora has looked at, so that she knows the project that lies there."""
    team = made.copied(tmp_path / "team")
    everything(team.cora, "cleaned")
    return team


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What these tests open in this process is opened by who is named, never by who runs them."""
    monkeypatch.setenv("DSETKIT_STATE", str(tmp_path / "nobody"))
    monkeypatch.delenv("DSETKIT_IDENTITY", raising=False)


def keys_of(person: Person, place: Path | None = None) -> ProjectKeys:
    return ProjectKeys(place or person.place, person.identity, environ=person.environ)


def everything(person: Person, stage: str) -> str:
    """One digest of all that somebody reads of a stage: its document, rows and pictures."""
    snapshot = open_snapshot(person.place / "data" / stage, keys=keys_of(person))
    found = hashlib.sha256(snapshot.info.model_dump_json().encode())
    rows = [*snapshot.table.to_pylist(), *snapshot.rejected.to_pylist()]
    for row in rows:
        found.update(repr(row).encode())
        if row["shard"] is not None:
            found.update(snapshot.read_bytes(row))
    return found.hexdigest()


def audited(person: Person) -> str:
    """One digest of the audit. Raises ``TamperError`` where something is wrong with it."""
    chain = read_chain(person.place, person.environ)
    said = audit.verify_chains(person.place, chain, environ=person.environ)
    if said.issues:
        raise TamperError(said.issues[0].message, subject="audit", hint=said.issues[0].hint or "")
    return hashlib.sha256(repr(said.entries).encode()).hexdigest()


class Target(NamedTuple):
    """A file that is attacked, and what reads it."""

    path: Path
    read: Callable[[], str]


def targets(team: Team) -> dict[str, list[Target]]:
    """Kind of file → the files of it, in Cora's clone."""
    cora, place = team.cora, team.project
    found: dict[str, list[Target]] = {}

    def add(kind: str, path: Path, read: Callable[[], str]) -> None:
        found.setdefault(kind, []).append(Target(path, read))

    for stage in team.stages:

        def read(stage: str = stage) -> str:
            return everything(cora, stage)

        folder = place / "data" / stage
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                kind = {"shards": "shard", "samples": "table"}.get(path.parent.name, path.name.partition("-")[0])
                kind = "facet" if "facets" in path.relative_to(folder).parts else kind
                add(kind, path, read)
        add("statement", place / statement_name(stage), read)
        add("signature", place / signature_name(stage), read)
    for path in sorted((place / "access" / "keys").iterdir()):
        stage = next((s for s in team.stages if path.stem in _domains(place, s)), None)
        if stage is None:
            continue  # of a domain that seals nothing now
        add("keyring", path, lambda stage=stage: everything(cora, stage))
    for path in sorted((place / "access" / "policy").iterdir()):
        kind = "policy" if path.suffix == ".json" else "policy-signature"
        add(kind, path, lambda: everything(cora, "cleaned"))
    for path in sorted((place / "access" / "audit").iterdir()):
        add("audit", path, lambda: audited(cora))
    return found


def _domains(place: Path, stage: str) -> list[str]:
    """What seals a stage, and then its facets."""
    sealed = json.loads((place / "data" / stage / "snapshot.json").read_text())["sealed"]
    return [sealed["domain"], *(facet["domain"] for facet in sealed.get("facets", {}).values())]


def put(path: Path, data: bytes) -> None:
    """Not through a hard link: it would change DVC's cache, too."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def altered(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """Bits flipped; something cut off, cut out, doubled, or moved; pieces of another such file; the other file."""
    way = dice.randrange(9)
    at, to = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    unit = dice.choice((1, 16, 512, 4096))
    if way <= 2:
        changed = bytearray(data)
        for _ in range(dice.choice((1, 1, 1, 3))):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        return bytes(changed)
    if way == 3:
        return data[:at]
    if way == 4:
        return data[:at] + data[min(to, at + unit) :]
    if way == 5:
        return data[:to] + data[max(at, to - unit) :]
    if way == 6:  # blocks, or lines, in another order
        pieces = data.splitlines(keepends=True) if dice.random() < 0.5 else _blocks(data, unit)
        if len(pieces) > 1:
            one, two = dice.sample(range(len(pieces)), 2)
            pieces[one], pieces[two] = pieces[two], pieces[one]
        return b"".join(pieces)
    if way == 7:
        return data[:at] + other[at : at + unit] + data[at + unit :]
    return other


def _blocks(data: bytes, unit: int) -> list[bytes]:
    return [data[start : start + unit] for start in range(0, len(data), unit)]


def attack(team: Team, count: int, seed: str) -> None:
    """Alters a file, reads all that depends on it, puts it back; ``count`` times."""
    found = targets(team)
    kinds = {"shard", "table", "rejected", "facet", "snapshot.json", "statement", "signature"}
    assert set(found) == kinds | {"keyring", "policy", "policy-signature", "audit"}
    truth = {target.path: target.read() for group in found.values() for target in group}
    dice = random.Random(seed)
    accepted: list[str] = []
    refused = 0
    for number in range(count):
        kind = sorted(found)[number % len(found)]
        target = dice.choice(found[kind])
        data = target.path.read_bytes()
        bad = altered(data, dice.choice(found[kind]).path.read_bytes(), dice)
        put(target.path, bad)
        try:
            if target.read() != truth[target.path]:
                accepted.append(f"{seed} {number}: {kind} {target.path.name}")
        except REFUSED as error:
            refused += 1 if error.hint else -count
        finally:
            put(target.path, data)
    assert accepted == []
    assert refused > count * 0.6  # else nothing was tried: a few changes change nothing
    for path, read in ((target.path, target.read) for group in found.values() for target in group):
        assert read() == truth[path], "what was refused was remembered all the same"


def test_altered_files(team: Team) -> None:
    attack(team, 220, "fast")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_many_altered_files(team: Team, part: int) -> None:
    attack(team, ATTACKS // PARTS, f"slow {part}")


# Old valid files put back.


def at(team: Team, rev: str, name: str) -> bytes:
    """A file of a revision."""
    done = team.cora.run("git", "show", f"{rev}:{name}")
    assert done.code == 0
    return done.out.encode()


def refused(person: Person, stage: str = "cleaned") -> str:
    """The message that somebody gets who opens a stage. Fails where it opens."""
    with pytest.raises(REFUSED) as caught:
        everything(person, stage)
    return str(caught.value)


def back_to(team: Team, rev: str) -> None:
    """The snapshots of an older version and their signatures, valid ones, as a committer can put them back."""
    team.cora.must("git", "checkout", rev, "--", "dvc.lock", "signatures")
    team.cora.must("dvc", "checkout", "--quiet", "--force")


@pytest.mark.parametrize("rev", ["v1", "v2"])
def test_an_old_snapshot_with_its_signature(team: Team, rev: str) -> None:
    assert everything(team.cora, "cleaned")  # the new one was seen
    back_to(team, rev)
    assert "older" in refused(team.cora)
    ran = team.cora.dsetkit("show", "data/cleaned")
    assert ran.code == 1
    assert "older" in ran.err


def test_an_old_snapshot_under_the_new_signature(team: Team) -> None:
    team.cora.must("git", "checkout", "v2", "--", "dvc.lock")
    team.cora.must("dvc", "checkout", "--quiet", "--force")
    assert "cleaned" in refused(team.cora)


@pytest.mark.parametrize("stage", ["cleaned", "augmented"])
def test_a_missing_signature(team: Team, stage: str) -> None:
    (team.project / signature_name(stage)).unlink()
    assert "is there without" in refused(team.cora, stage)
    (team.project / statement_name(stage)).unlink()
    assert "sign" in refused(team.cora, stage)


def test_an_old_policy(team: Team) -> None:
    newest = read_chain(team.project, team.cora.environ).policy.version
    for path in (team.project / "access" / "policy").glob(f"{newest}.*"):
        path.unlink()
    assert f"version {newest}" in refused(team.cora)
    assert f"version {newest}" in team.cora.dsetkit("access", "list").told


def test_an_old_keyring(team: Team) -> None:
    """After a rotation the old keyring has not the key of the new epoch."""
    name = keyring_name(_domains(team.project, "cleaned")[0])
    old = (team.project / name).read_bytes()
    team.cora.must("dsetkit", "access", "rotate", "cleaned")
    put(team.project / name, old)
    refused(team.cora)


def test_an_older_audit_chain(team: Team) -> None:
    assert team.cora.dsetkit("access", "audit", "--verify").code == 0
    path = team.project / "access/audit/cora.jsonl"
    put(path, at(team, "v1", "access/audit/cora.jsonl"))
    ran = team.cora.dsetkit("access", "audit", "--verify", "--json")
    assert ran.code == 1
    assert "audit-cut" in ran.out
    stranger = team.tom.dsetkit("access", "audit", "--verify", cwd=team.project)  # who has seen nothing: by the tag
    assert stranger.code == 1
    assert "dsetkit-audit-1" in stranger.told


# Written by a committer without rights: Tom, who reads cleaned and augmented.


def sign_by(person: Person, data: bytes, use: str, project: str) -> bytes:
    return load_identity(person.identity, person.environ).sign(data, f"{use}@{project}").encode()


def policy_text(team: Team, number: int) -> tuple[Path, dict[str, Any]]:
    path = team.project / "access" / "policy" / f"{number}.json"
    return path, json.loads(path.read_text())


def test_a_policy_by_who_is_no_admin(team: Team) -> None:
    policy = read_chain(team.project, team.cora.environ).policy
    _, fields = policy_text(team, policy.version)
    newest = policy.version + 1
    fields |= {"version": newest, "previous": digest_of_policy(policy)}
    fields["admins"] = ["cora", "tom"]
    ours = team.project / "access" / "policy"
    text = _written_like(team, fields)
    AccessPolicy.model_validate_json(text)
    put(ours / f"{newest}.json", text)
    put(ours / f"{newest}.tom.sig", sign_by(team.tom, text, "dsetkit-policy", policy.project))
    for person in (team.cora, team.tom):
        shown = ProjectKeys(team.project, person.identity, environ=person.environ)
        assert shown.policy.admins == ("cora",), "it waits for signatures at most"
        assert shown.policy == policy
    put(ours / f"{newest}.cora.sig", sign_by(team.tom, text, "dsetkit-policy", policy.project))  # under her name
    chain = read_chain(team.project, team.cora.environ)
    assert (chain.policy, chain.pending) == (policy, None)
    assert f"{newest}.cora.sig was not made with a key of cora" in team.cora.must("dsetkit", "access", "list").out
    assert team.cora.dsetkit("access", "approve").code != 0


def _written_like(team: Team, fields: dict[str, Any]) -> bytes:
    """A policy as dsetkit writes it, whatever it says."""
    from dsetkit.access.files import document_text

    return document_text(AccessPolicy.model_validate(fields))


def test_a_policy_replaced_and_signed_again(team: Team) -> None:
    newest = read_chain(team.project, team.cora.environ).policy.version
    path, fields = policy_text(team, newest)
    fields["admins"] = ["tom"]
    text = _written_like(team, fields)
    put(path, text)
    project = fields["project"]
    for name in ("cora", "tom"):
        put(path.parent / f"{newest}.{name}.sig", sign_by(team.tom, text, "dsetkit-policy", project))
    refused(team.cora)
    refused(Person("tom", team.tom.home, team.project))


def test_a_chain_of_ones_own(team: Team) -> None:
    """The whole of access/ written anew by Tom, with the project's id, he the only admin."""
    own = team.root / "own"
    tom = Person("tom", team.tom.home, own)
    tom.must("dsetkit", "init", "own", cwd=team.root)
    tom.must("dsetkit", "access", "init", "tom")
    for what, people in (("with its id", True), ("as it is", False)):
        shutil.rmtree(team.project / "access")
        shutil.copytree(own / "access", team.project / "access")
        if people:
            path, fields = policy_text(team, 1)
            fields["project"] = json.loads(at(team, "v3", "access/policy/1.json"))["project"]
            text = _written_like(team, fields)
            put(path, text)
            put(path.parent / "1.tom.sig", sign_by(team.tom, text, "dsetkit-policy", fields["project"]))
        assert refused(team.cora), what
        for command in (("show", "data/cleaned"), ("clean",), ("access", "list"), ("status",)):
            assert team.cora.dsetkit(*command).code != 0, (what, command)


def test_a_keyring_with_other_keys(team: Team) -> None:
    """Keys that Tom drew, wrapped for all readers: what Cora would seal with them, Tom (or anybody) could open."""
    chain = read_chain(team.project, team.cora.environ)
    policy = chain.policy
    fresh = FreshKeys(policy.project)
    domain = policy.domains["d1"]
    epochs = tuple(epoch.model_copy(update={"commitment": fresh("d1", epoch.number)}) for epoch in domain.epochs)
    lying = policy.model_copy(
        update={"domains": {**policy.domains, "d1": domain.model_copy(update={"epochs": epochs})}}
    )
    put(team.project / keyring_name("d1"), wrap(lying, "d1", fresh.keys["d1"]))
    assert "d1" in refused(team.cora, team.stages[0])
    ran = team.cora.dsetkit("ingest", team.source)
    assert ran.code == 1
    assert "d1.age holds another data key" in ran.err


def test_a_keyring_of_another_domain(team: Team) -> None:
    keys = team.project / "access" / "keys"
    put(keys / "d1.age", (keys / "d2.age").read_bytes())
    refused(team.cora, team.stages[0])


def test_the_signature_of_a_reader(team: Team) -> None:
    """Tom has the keys of cleaned, so he can seal what he likes; but he is no builder."""
    stage = "cleaned"
    place = team.project / "data" / stage
    keys = keys_of(team.tom, team.project)
    sealed = json.loads((place / "snapshot.json").read_text())["sealed"]
    seal = keys.seal_in(sealed["domain"], sealed["epoch"], stage)
    assert isinstance(seal, DomainSeal)
    chain = keys.chain
    snapshot = open_snapshot(place, keys=keys)
    rows = [({**row, "annotations": ()}, snapshot.read_bytes(row)) for row in list(snapshot.rows(0, len(snapshot)))[:5]]
    info = snapshot.info
    shutil.rmtree(place)
    _write_like(place, rows, info, seal)
    document = (place / "snapshot.json").read_bytes()
    for name in ("tom", "cora"):
        statement = json.loads(at(team, "v3", statement_name(stage)))
        statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(document).hexdigest()
        statement["predicate"]["buildDefinition"]["externalParameters"]["version"] += 1
        text = json.dumps(statement)
        text = text.replace("urn:dsetkit:principal:cora", f"urn:dsetkit:principal:{name}")
        from dsetkit.access.files import document_text
        from dsetkit.access.provenance import Statement

        data = document_text(Statement.model_validate_json(text))
        put(team.project / statement_name(stage), data)
        put(team.project / signature_name(stage), sign_by(team.tom, data, "dsetkit-snapshot", chain.policy.project))
        told = refused(team.cora)
        assert "sign" in told or "builder" in told
        refused(Person("tom", team.tom.home, team.project))


def _write_like(place: Path, rows: list[Any], info: Any, seal: DomainSeal | None) -> None:
    """A snapshot of the rows, with what the document of a true one says besides."""
    computed = ("fingerprint", "shard_target_bytes", "counts", "parts", "shards", "rejected", "facets")
    writer = SnapshotWriter(place, target_bytes=info.shard_target_bytes, seal=seal)
    for row, data in rows:
        kept = {key: value for key, value in row.items() if key not in ("shard", "offset_bytes", "row_digest")}
        writer.add(kept, PictureBytes(hashlib.sha256(data).hexdigest(), len(data), ".jpg", lambda data=data: data))
    writer.finish({key: value for key, value in info.model_dump().items() if key not in computed})


# Sealed files moved.


def test_a_shard_of_another_stage_or_version(team: Team) -> None:
    older = Person("cora", team.cora.home, team.root / "older")
    team.cora.must("git", "clone", "--quiet", "--branch", "v1", str(team.project), str(older.place))
    shutil.copytree(team.project / ".dvc" / "cache", older.place / ".dvc" / "cache")
    older.must("dvc", "checkout", "--quiet", "clean")
    cleaned = team.project / "data" / "cleaned" / "shards"
    victim = sorted(cleaned.iterdir())[0]
    true = victim.read_bytes()
    others: list[Path] = [
        *sorted((team.project / "data" / team.stages[0] / "shards").iterdir()),
        *sorted((team.project / "data" / "augmented" / "shards").iterdir()),
        *sorted((older.place / "data" / "cleaned" / "shards").iterdir()),
    ]
    tried = 0
    for path in others:
        data = path.read_bytes()
        if data == true:
            continue  # what has the same readers shares shards: it is the same file
        tried += 1
        for same_size in (False, True):
            put(victim, (data * (1 + len(true) // len(data)))[: len(true)] if same_size else data)
            refused(team.cora)
    assert tried >= 3
    put(victim, true)
    assert everything(team.cora, "cleaned")


def test_a_snapshot_of_another_stage(team: Team) -> None:
    for stage, other in (("cleaned", "augmented"), ("cleaned", team.stages[0]), ("augmented", "cleaned")):
        place = team.project / "data" / stage
        kept = team.root / "kept"
        place.rename(kept)
        shutil.copytree(team.project / "data" / other, place)
        refused(team.cora, stage)
        for name in (statement_name, signature_name):  # with its signature
            put(team.project / name(stage), at(team, "v3", name(other)))
        told = team.cora.dsetkit("show", f"data/{stage}")
        assert told.code != 0, told.told
        team.cora.must("git", "checkout", "--", "signatures")
        shutil.rmtree(place)
        kept.rename(place)


def test_a_shard_and_a_snapshot_of_another_project(team: Team) -> None:
    """Tom's own project, in which he may all: a shard of it, then its snapshot and signature."""
    tom = Person("tom", team.tom.home, team.root / "own")
    tom.must("dsetkit", "init", "own", "--demo", cwd=team.root)
    tom.must("dsetkit", "access", "init", "tom")
    tom.must("dvc", "repro", "--quiet", "clean")
    victim = sorted((team.project / "data" / "cleaned" / "shards").iterdir())[0]
    true = victim.read_bytes()
    for path in sorted((tom.place / "data" / "cleaned" / "shards").iterdir()):
        put(victim, path.read_bytes())
        refused(team.cora)
        put(victim, path.read_bytes()[: len(true)].ljust(len(true), b"\0"))
        refused(team.cora)
    put(victim, true)
    assert everything(team.cora, "cleaned")
    shutil.rmtree(team.project / "data" / "cleaned")
    shutil.copytree(tom.place / "data" / "cleaned", team.project / "data" / "cleaned")
    for name in (statement_name("cleaned"), signature_name("cleaned")):
        put(team.project / name, (tom.place / name).read_bytes())
    assert "another project" in refused(team.cora)


# A plain snapshot where the policy wants a sealed one.


def plant_plain(team: Team, stage: str) -> None:
    """What anybody can write who can commit, as no key is needed for it."""
    place = team.project / "data" / stage
    snapshot = open_snapshot(place, keys=keys_of(team.cora))
    rows = [
        ({**row, "annotations": ()}, snapshot.read_bytes(row))
        for row in snapshot.rows(0, len(snapshot))
        if not row.get("derived_from")
    ][:6]
    info = snapshot.info
    shutil.rmtree(place)
    _write_like(place, rows, info, None)


PLAIN = {
    "show": ("show", "data/cleaned"),
    "export": ("export", "data/cleaned", "out", "--format", "yolo"),
    "augment": ("augment",),
    "verify": ("verify", "data/cleaned"),
    "diff": ("diff", "HEAD", "--stage", "cleaned"),
    "sign": ("sign", "cleaned"),
    "report": ("report",),
}


@pytest.mark.parametrize("command", list(PLAIN))
def test_a_plain_snapshot_in_place_of_a_sealed_one(team: Team, command: str) -> None:
    plant_plain(team, "cleaned")
    ran = team.cora.dsetkit(*PLAIN[command])
    assert ran.code != 0, ran.told
    assert "Traceback" not in ran.err
    assert "plain" in ran.told or "sealed" in ran.told


def test_a_plain_raw_snapshot_is_not_cleaned(team: Team) -> None:
    plant_plain(team, team.stages[0])
    ran = team.cora.dsetkit("clean")
    assert ran.code == 1, ran.told
    assert "raw/demo is plain, and the policy seals it" in ran.err


def test_the_library_opens_no_plain_snapshot_where_a_sealed_one_is_due(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_plain(team, "cleaned")
    for name in ("DSETKIT_STATE", "DSETKIT_IDENTITY"):
        monkeypatch.setenv(name, team.cora.environ[name])
    monkeypatch.chdir(team.project)
    for place in ("data/cleaned", team.project / "data" / "cleaned"):
        with pytest.raises(REFUSED):
            dsetkit.open(place)


# access/ is gone, or the memory of it.


COMMANDS = (
    ("show", "data/cleaned"),
    ("clean",),
    ("ingest", "demo"),
    ("export", "data/cleaned", "out", "--format", "yolo"),
    ("access", "init", "cora"),
)


@pytest.mark.parametrize("what", ["access", "access/policy", "access/keys", "signatures"])
def test_what_was_seen_and_is_gone(team: Team, what: str) -> None:
    """Nothing is built plain, nothing is opened, and no new policy is begun in silence."""
    shutil.rmtree(team.project / what)
    refused(team.cora)
    before = {path: path.read_bytes() for path in (team.project / "data").rglob("snapshot.json")}
    for command in COMMANDS:
        if (what == "signatures" and command[0] in ("ingest", "access")) or (what, command[0]) == (
            "access/keys",
            "access",
        ):
            continue  # they need none
        ran = team.cora.dsetkit(*command)
        assert "Traceback" not in ran.err, ran.err
        assert ran.code != 0, (command, ran.told)
    assert before == {path: path.read_bytes() for path in (team.project / "data").rglob("snapshot.json")}
    assert not (team.project / "out").exists()


def test_a_clone_of_somebody_who_has_seen_it(team: Team) -> None:
    """In a fresh clone, too, where the folder is new: what was seen of the project counts."""
    clone = team.root / "fresh"
    team.cora.must("git", "clone", "--quiet", str(team.project), str(clone))
    shutil.copytree(team.project / ".dvc" / "cache", clone / ".dvc" / "cache")
    cora = Person("cora", team.cora.home, clone)
    cora.must("git", "checkout", "--quiet", "v2")
    cora.must("dvc", "checkout", "--quiet")
    ran = cora.dsetkit("show", "data/cleaned")
    assert ran.code == 1
    assert "older" in ran.err
    cora.must("git", "checkout", "--quiet", "v3")
    cora.must("dvc", "checkout", "--quiet")
    assert cora.dsetkit("show", "data/cleaned").code == 0


def test_a_memory_that_was_altered(team: Team) -> None:
    """It is this user's own, but a disk can fail: never taken for an empty one."""
    dice = random.Random("memory")
    files = sorted(path for path in (team.cora.home / "state").rglob("*.json") if "places" not in path.parts)
    assert files
    truth = everything(team.cora, "cleaned")
    for _ in range(60):
        path = dice.choice(files)
        data = path.read_bytes()
        put(path, data[: dice.randrange(len(data))])
        with contextlib.suppress(*REFUSED):
            assert everything(team.cora, "cleaned") == truth
        put(path, data)


# The log, written anew.


def test_the_whole_log_rewritten(team: Team) -> None:
    path = team.project / "access/audit/cora.jsonl"
    true = path.read_bytes()
    lines = true.splitlines(keepends=True)
    project = read_chain(team.project, team.cora.environ).policy.project
    rewritten: list[bytes] = []
    previous: str | None = None
    for line in lines[:-1]:  # all of it again, one entry fewer, by Tom's key
        fields = json.loads(line)
        entry = {key: value for key, value in fields.items() if key != "signature"}
        entry = entry.get("entry", entry)
        entry["previous"] = previous
        data = signed_bytes(entry)
        signature = sign_by(team.tom, data, "dsetkit-audit", project).decode()
        rewritten.append(line_of(entry, signature))
        previous = hashlib.sha256(rewritten[-1].rstrip(b"\n")).hexdigest()
    for data in (b"".join(rewritten), b"", b"".join(lines[::-1]), b"".join(lines[1:]), b"".join(lines[:-3]), None):
        if data is None:
            path.unlink()
        else:
            put(path, data)
        ran = team.cora.dsetkit("access", "audit", "--verify")
        assert ran.code in (1, 2), ran.told
        assert "Traceback" not in ran.err
        put(path, true)
    assert team.cora.dsetkit("access", "audit", "--verify").code == 0


def test_an_anchor_by_who_is_no_admin(team: Team) -> None:
    """A tag of that name, unsigned, or signed by an outsider."""
    team.cora.must("git", "tag", "--delete", "dsetkit-audit-1")
    team.cora.must("git", "tag", "--annotate", "--message", "dsetkit audit anchor", "dsetkit-audit-1")
    ran = team.cora.dsetkit("access", "audit", "--verify")
    assert ran.code == 1, ran.told


def test_a_statement_of_another_project_or_stage_is_no_signature_here(team: Team) -> None:
    """Each field that a statement binds, changed, with the true signature beside it."""
    path = team.project / statement_name("cleaned")
    text = path.read_text()
    fields = json.loads(text)["predicate"]["buildDefinition"]["externalParameters"]
    for before, after in (
        (f'"stage": "{fields["stage"]}"', '"stage": "augmented"'),
        (fields["project"], "0" * 32),
        (f'"version": {fields["version"]}', f'"version": {fields["version"] + 7}'),
        (fields["policy"]["digest"], "0" * 64),
    ):
        assert before in text
        put(path, text.replace(before, after).encode())
        refused(team.cora)
    put(path, text.encode())
    assert everything(team.cora, "cleaned")


# A builder who means harm: all is sealed and signed as it should be, and says what no picture should.

RAW = "raw/demo"
HOSTILE = {
    "a terminal escape": "demo/\x1b[31mred\x1b]0;owned\x07.jpg",
    "a new line": "demo/a\nerror: all is well.jpg",
    "text that turns round": "demo/\u202egpj.exe.jpg",
    "a way out": "demo/../../../escaped.jpg",
    "an absolute path": "/escaped.jpg",
    "HTML": "demo/<img src=x onerror=alert(1)>.jpg",
    "a null byte": "demo/a\x00.jpg",
    "a device of Windows": "demo/CON.jpg",
}


def planted(team: Team, keys: list[str], category: str | None = None) -> Ran:
    """A sealed snapshot of Cora's, with pictures under these keys; what `dsetkit sign` says to it."""
    keys_here = keys_of(team.cora)
    place = team.project / "data" / RAW
    snapshot = open_snapshot(place, keys=keys_here)
    info, seal = snapshot.info, keys_here.seal_of(RAW)
    kept = snapshot.rows(0, len(keys))
    rows = [
        ({**row, "key": key, "annotations": (), "split": "train"}, snapshot.read_bytes(row))
        for row, key in zip(kept, sorted(keys, key=lambda key: key.encode()), strict=True)
    ]
    if category is not None:
        renamed = info.categories[0].model_copy(update={"name": category})
        info = info.model_copy(update={"categories": (renamed, *info.categories[1:])})
    shutil.rmtree(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsetkit.snapshots.write.check_key", lambda key: key)  # theirs does not look
        _write_like(place, rows, info, seal)
    return team.cora.dsetkit("sign", RAW)


def harmless(team: Team, ran: Ran, before: set[Path]) -> None:
    assert "Traceback" not in ran.err, ran.err
    for character in ("\x1b", "\x07", "\x00", "\u202e"):
        assert character not in ran.told, repr(ran.told)
    assert "\nerror: all is well" not in ran.told
    exported = [path for path in team.root.rglob("*escaped*") if path not in before]
    assert all(path.relative_to(team.root).parts[0].startswith("out-") for path in exported), exported


@pytest.mark.parametrize("what", list(HOSTILE))
def test_hostile_keys_within_a_sealed_snapshot(team: Team, what: str) -> None:
    before = set(team.root.rglob("*escaped*"))
    harmless(team, planted(team, ["!/first.jpg", HOSTILE[what], "demo/other.jpg", "~/last.jpg"]), before)
    for number, command in enumerate(
        (
            ("show", f"data/{RAW}"),
            ("show", f"data/{RAW}", "other.jpg"),
            ("show", f"data/{RAW}", "jpg", "--json"),
            ("diff", "v3", "--stage", RAW),
            ("export", f"data/{RAW}", "OUT", "--format", "coco"),
            ("export", f"data/{RAW}", "OUT", "--format", "voc"),
            ("verify", f"data/{RAW}"),
        )
    ):
        out = team.root / f"out-{number}"
        ran = team.cora.dsetkit(*(str(out) if word == "OUT" else word for word in command))
        harmless(team, ran, before)
        inside = [path for path in out.rglob("*") if not path.resolve().is_relative_to(out)] if out.exists() else []
        assert inside == []
    page = team.root / "page.html"
    ran = team.cora.dsetkit("diff", "v3", "--stage", RAW, "--html", str(page))
    harmless(team, ran, before)
    if page.exists():
        assert "<img src=x onerror" not in page.read_text()


def test_keys_that_collide_on_export(team: Team) -> None:
    """On a disk that minds no case, or no composition of letters, one would write over the other."""
    planted(team, ["demo/a.jpg", "demo/A.jpg", "demo/ſ.jpg", "demo/s.jpg"])
    for name in ("voc", "yolo", "coco"):
        out = team.root / name
        ran = team.cora.dsetkit("export", f"data/{RAW}", str(out), "--format", name)
        assert "Traceback" not in ran.err, ran.err
        if ran.code == 0:
            names = [str(path.relative_to(out)).casefold() for path in out.rglob("*") if path.is_file()]
            assert len(names) == len(set(names)), names
            assert sum(name.endswith(".jpg") for name in names) == 4


@pytest.mark.parametrize("name", ["\x1b[2J", "<script>alert(1)</script>", "\u202etac", "a\nb"])
def test_hostile_categories_within_a_sealed_snapshot(team: Team, name: str) -> None:
    before: set[Path] = set()
    harmless(team, planted(team, ["demo/a.jpg"], name), before)
    for command in (("show", f"data/{RAW}", "--all"), ("clean",), ("report",), ("schema", "infer", f"data/{RAW}")):
        harmless(team, team.cora.dsetkit(*command), before)
    page = team.project / "reports" / "report.html"
    assert b"<script>alert(1)" not in page.read_bytes()
