from __future__ import annotations

import hashlib
import json
import pickle
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dsetkit.access.files import document_text
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.policy import read_chain
from dsetkit.access.provenance import MAX_VERSION, Statement
from dsetkit.access.signing import namespace_of
from dsetkit.access.statement import (
    check_statement,
    make_statement,
    read_statement,
    reader_of,
    signature_name,
    standing_statement,
    statement_name,
    subject_of,
    write_statement,
)
from dsetkit.access.trust import MAX_STEP, SeenStage, open_trust
from dsetkit.access.wanted import Wanted, WantedFacet, WantedStage
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.sealed import SealedFacet, SealedSnapshot, Seals

if TYPE_CHECKING:
    from conftest import Team


class Shop:
    """A team with cleaned sealed: ada and bob build, cy reads, only ada reads its facet of test labels."""

    def __init__(self, team: Team) -> None:
        self.team = team
        people = {name: team.people[name].public for name in ("ada", "bob", "cy")}
        rule = WantedStage(frozenset(people), frozenset({"ada", "bob"}))
        labels = WantedFacet(("cleaned",), ("annotations",), frozenset({"ada", "bob"}), ("test",))
        team.change(
            Wanted(principals=people, admins=frozenset({"ada"}), stages={"cleaned": rule}, facets={"labels": labels})
        )
        self.seals, self.document = self.snapshot()

    def snapshot(self, body: str = "AAAA", **changes: Any) -> tuple[Seals, bytes]:
        policy = self.team.chain.policy
        rule, facet = policy.stages["cleaned"], policy.facets["labels"]
        row = {
            "project": policy.project,
            "stage": "cleaned",
            "domain": rule.domain,
            "epoch": len(policy.domains[rule.domain].epochs),
            "body": body,
            "facets": {
                "labels": SealedFacet(domain=facet.domain, epoch=len(policy.domains[facet.domain].epochs), body="BBBB")
            },
        }
        seals = Seals.model_validate({**row, **changes})
        return seals, document_text(SealedSnapshot(sealed=seals))

    def keys(self, name: str = "cy", state: str | None = None, **more: Any) -> ProjectKeys:
        environ = self.team.environ if state is None else self.team.elsewhere(state)
        return ProjectKeys(self.team.root, self.team.people[name], environ=environ, **more)

    def sign(
        self,
        name: str = "ada",
        document: bytes | None = None,
        before: Statement | None = None,
        seen: SeenStage | None = None,
    ) -> Statement:
        document = self.document if document is None else document
        seals = SealedSnapshot.model_validate_json(document).sealed
        statement = make_statement(
            self.team.chain,
            self.team.people[name],
            "cleaned",
            subject_of("cleaned", document),
            before=before,
            seen=seen,
            sealed=(seals.domain, seals.epoch),
            inputs={"raw/blood": "a" * 64},
            params="b" * 64,
            tools={"pillow": "11.1"},
        )
        write_statement(self.team.root, statement, self.team.people[name])
        return statement

    def forge(self, name: str, row: dict[str, Any]) -> None:
        """A statement signed by ``name``, whatever it says."""
        text = (json.dumps(row, indent=2, sort_keys=True) + "\n").encode()
        self.text.write_bytes(text)
        space = namespace_of("snapshot", self.team.chain.policy.project)
        self.signature.write_text(self.team.people[name].sign(text, space))

    @property
    def text(self) -> Path:
        return self.team.root / statement_name("cleaned")

    @property
    def signature(self) -> Path:
        return self.team.root / signature_name("cleaned")

    def refused(self, message: str, **more: Any) -> None:
        with pytest.raises(TamperError, match=message):
            self.keys(**more).check(self.seals, self.document)


@pytest.fixture
def shop(team: Team) -> Shop:
    return Shop(team)


def test_readers_open_what_builders_seal(shop: Shop) -> None:
    built = shop.keys("bob").seal_of("cleaned")
    assert built is not None
    digest = hashlib.sha256(b"picture").hexdigest()
    member = built.seal_member(digest, b"picture")
    assert shop.keys("cy").seal(shop.seals).open_member(digest, member) == b"picture"
    assert shop.keys("bob").seal_of("augmented").domain == built.domain  # type: ignore[union-attr]
    assert shop.keys("bob").seal_of("raw/blood") is None
    facet = shop.keys("bob").facet(shop.seals, "labels")
    assert facet is not None
    assert facet.domain == shop.keys("bob").facet_seal_of("labels").domain != built.domain
    assert shop.keys("cy").facet(shop.seals, "labels") is None
    assert shop.keys("cy").facet(shop.seals, "other") is None


def test_others_are_told_who_could_grant_it(shop: Shop) -> None:
    for call, message in (
        (lambda: shop.keys("cy").seal_of("cleaned"), "cy may not build cleaned (who may: ada, bob)"),
        (lambda: shop.keys("cy").facet_seal_of("labels"), "cy may not read labels"),
        (
            lambda: shop.keys("mallory").seal(shop.seals),
            "This identity, which is no principal here, may not read cleaned",
        ),
    ):
        with pytest.raises(AccessError) as found:
            call()
        more = " To read what they built, fetch it, and build nothing: dvc pull." if "(who may: " in message else ""
        assert str(found.value) == f"{message}. An admin could grant it: ada.{more}"
        assert found.value.grantors == ("ada",)
    with pytest.raises(AccessError, match=r"There is no such facet\. There are: labels"):
        shop.keys("ada").facet_seal_of("other")
    with pytest.raises(AccessError, match="No identity is named"):
        ProjectKeys(shop.team.root, environ=shop.team.environ).seal(shop.seals)


def test_seals_of_other_places_are_refused(shop: Shop) -> None:
    for changes, message in (
        ({"project": "cd" * 16}, "cleaned is sealed in another project"),
        ({"domain": "d9"}, "cleaned is sealed in epoch 1 of the domain d9, which the policy does not have"),
        ({"epoch": 7}, "cleaned is sealed in epoch 7 of the domain"),
    ):
        seals, _ = shop.snapshot(**changes)
        with pytest.raises(TamperError, match=message):
            shop.keys("ada").seal(seals)


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    keys = ProjectKeys(tmp_path / "none", tmp_path / "no identity", environ={})
    assert repr(keys) == "<ProjectKeys>"
    with pytest.raises(TypeError, match="keys are not pickled"):
        pickle.dumps(keys)


def test_openings_are_told_where_the_policy_wants_it(shop: Shop) -> None:
    told: list[Seals] = []
    shop.keys(record=told.append).opened(shop.seals)
    assert told == []
    wanted = shop.team.wanted()
    shop.team.change(Wanted(**{**vars(wanted), "records_openings": True}))
    shop.keys(record=told.append).opened(shop.seals)
    assert told == [shop.seals]


def test_a_statement_is_in_toto_with_slsa_provenance(shop: Shop) -> None:
    shop.sign()
    row = json.loads(shop.text.read_text())
    assert row["_type"] == "https://in-toto.io/Statement/v1"
    assert row["predicateType"] == "https://slsa.dev/provenance/v1"
    digest = hashlib.sha256(shop.document).hexdigest()
    assert row["subject"] == [{"digest": {"sha256": digest}, "name": "data/cleaned/snapshot.json"}]
    build = row["predicate"]["buildDefinition"]
    chain = shop.team.chain
    assert build["externalParameters"] == {
        "domain": shop.seals.domain,
        "epoch": 1,
        "policy": {"digest": chain.digest, "version": 2},
        "project": chain.policy.project,
        "stage": "cleaned",
        "version": 1,
    }
    assert [entry["name"] for entry in build["resolvedDependencies"]] == ["data/raw/blood/snapshot.json", "params.yaml"]
    assert row["predicate"]["runDetails"]["builder"] == {
        "id": "urn:dsetkit:principal:ada",
        "version": {"pillow": "11.1"},
    }
    assert (statement_name("raw/blood"), signature_name("raw/blood")) == (
        "signatures/raw__blood.json",
        "signatures/raw__blood.sig",
    )


def test_what_a_builder_signed_is_believed_by_all(shop: Shop) -> None:
    first = shop.sign("bob")
    for name in ("ada", "cy", "mallory"):
        shop.keys(name).check(shop.seals, shop.document)
    assert shop.sign("ada", before=first).parameters.version == 1  # signed again: nothing else
    shop.keys().check(shop.seals, shop.document)
    _, other = shop.snapshot("CCCC")
    assert shop.sign("ada", other, before=first).parameters.version == 2


def test_each_reason_not_to_believe_has_its_own_words(shop: Shop) -> None:
    shop.refused("cleaned is not signed. Have a builder sign it: dsetkit sign")
    shop.sign()
    signature, text = shop.signature.read_bytes(), shop.text.read_bytes()
    shop.signature.unlink()
    shop.refused("signatures/cleaned.json is there without signatures/cleaned.sig")
    shop.signature.write_bytes(signature)
    shop.text.write_bytes(text.replace(b'"version": 1\n', b'"version": 3\n'))
    shop.refused("signatures/cleaned.sig by ada is of other content|names a policy, version 3")
    shop.text.write_bytes(text.replace(b"principal:ada", b"principal:bob"))
    shop.refused("signatures/cleaned.sig was not made with a key of bob")
    shop.text.write_bytes(text.replace(b"principal:ada", b"principal:cy"))
    shop.refused("is signed by cy, who was no builder of cleaned")
    shop.text.write_bytes(text + b"\n")
    shop.refused("signatures/cleaned.json is not in the form that is signed")
    shop.text.write_bytes(text)
    shop.keys().check(shop.seals, shop.document)
    with pytest.raises(TamperError, match="cleaned is not what ada signed: it is of another version than"):
        shop.keys().check(shop.seals, shop.document + b" ")


def test_statements_that_lie_are_refused_though_a_builder_signed_them(shop: Shop) -> None:
    shop.sign()
    good = json.loads(shop.text.read_text())

    def lie(**changes: Any) -> None:
        row = json.loads(json.dumps(good))
        row["predicate"]["buildDefinition"]["externalParameters"].update(changes)
        shop.forge("ada", row)

    lie(project="cd" * 16)
    shop.refused("is about another project or stage")
    lie(stage="augmented")
    shop.refused("is about another project or stage")
    lie(policy={"version": 9, "digest": "0" * 64})
    shop.refused("names a policy, version 9, that this project does not have")
    lie(policy={"version": 1, "digest": "0" * 64})
    shop.refused("names a policy, version 1, that this project does not have")
    lie(policy={"version": 1, "digest": shop.team.chain.pin})
    shop.refused("cleaned is not sealed in the domain and epoch of the policy that it was signed under")
    lie(epoch=2)
    shop.refused("cleaned is not sealed in the domain and epoch of the policy")
    row = json.loads(json.dumps(good))
    row["subject"][0]["name"] = "data/augmented/snapshot.json"
    shop.forge("ada", row)
    shop.refused("is about another file")


def test_a_reader_cannot_sign(shop: Shop) -> None:
    with pytest.raises(AccessError) as found:
        shop.sign("cy")
    assert str(found.value) == (
        "Only a builder of cleaned signs it: ada, bob. Ask one of them, or an admin to make you one: ada."
    )


def test_facets_are_sealed_as_the_policy_says(shop: Shop) -> None:
    for facets, message in (
        ({"labels": {"domain": shop.seals.domain, "epoch": 1, "body": ""}}, "has the facet labels sealed in another"),
        ({"more": {"domain": shop.seals.domain, "epoch": 1, "body": ""}}, "has a facet more that the policy"),
    ):
        shop.seals, shop.document = shop.snapshot(facets=facets)
        shop.sign()
        shop.refused(message)


def test_older_snapshots_are_refused_but_for_who_asks_for_the_past(shop: Shop, tmp_path: Path) -> None:
    first = shop.sign()
    shutil.copytree(shop.text.parent, tmp_path / "old")
    old = (shop.seals, shop.document)
    shop.keys().check(*old)
    shop.seals, shop.document = shop.snapshot("CCCC")
    shop.sign(before=first)
    shop.keys().check(shop.seals, shop.document)
    shutil.copytree(tmp_path / "old", shop.text.parent, dirs_exist_ok=True)
    with pytest.raises(TamperError, match="cleaned is version 1, and you have seen version 2: an older one"):
        shop.keys().check(*old)
    shop.keys(is_past=True).check(*old)
    shop.keys(state="who saw nothing").check(*old)
    statements = reader_of(tmp_path)
    shop.keys(is_past=True, statements=lambda name, limit: statements(name.replace("signatures", "old"), limit)).check(
        *old
    )
    shop.sign()  # another snapshot, again with version 1; then a fork: another of version 2
    shop.seals, shop.document = shop.snapshot("DDDD")
    shop.sign(before=first)
    shop.refused("cleaned is another version 2 than the one you have seen")


def test_who_builds_no_more_signs_nothing_new(shop: Shop) -> None:
    first = shop.sign("bob")
    good = json.loads(shop.text.read_text())
    shop.keys().check(shop.seals, shop.document)
    rule = shop.team.wanted().stages["cleaned"]
    wanted = shop.team.wanted()
    stages = {"cleaned": WantedStage(rule.readers, frozenset({"ada"}))}
    shop.team.change(Wanted(**{**vars(wanted), "stages": stages}))
    shop.keys().check(shop.seals, shop.document)  # believed before, and the very same
    told = "is signed by bob, who is a builder of cleaned no more, or not with that key. Have a builder look at it"
    shop.refused(told, state="who saw nothing")
    with pytest.raises(AccessError, match="Only a builder of cleaned signs it: ada"):
        shop.sign("bob")
    old = shop.seals, shop.document
    shop.seals, shop.document = shop.snapshot("EEEE")
    good["predicate"]["buildDefinition"]["externalParameters"]["version"] = 2
    good["subject"][0]["digest"]["sha256"] = hashlib.sha256(shop.document).hexdigest()
    shop.forge("bob", good)  # a new one that names the policy under which he was a builder
    shop.refused(told)
    shop.seals, shop.document = old
    shop.sign("ada", before=first)
    shop.keys(state="who saw nothing").check(shop.seals, shop.document)


def test_who_builds_no_more_signs_nothing_for_the_past(shop: Shop) -> None:
    shop.sign("bob")
    wanted = shop.team.wanted()
    stages = {"cleaned": WantedStage(wanted.stages["cleaned"].readers, frozenset({"ada"}))}
    shop.team.change(Wanted(**{**vars(wanted), "stages": stages}))
    shop.team.change(Wanted(**{**vars(shop.team.wanted()), "records_openings": True}))
    files = {
        name: (shop.team.root / name).read_bytes() for name in (statement_name("cleaned"), signature_name("cleaned"))
    }
    policies = {
        f"access/policy/{n}.json": (shop.team.root / f"access/policy/{n}.json").read_bytes() for n in (1, 2, 3, 4)
    }

    def check(*versions: int, **more: Any) -> None:
        met = {name: policies[name] for name in (f"access/policy/{number}.json" for number in versions)}
        there = {**files, **met, **more.pop("other", {})}
        keys = shop.keys(is_past=True, statements=lambda name, limit: there.get(name), **more)
        keys.check(shop.seals, shop.document)

    check(1, 2, state="new")
    came = "is signed by bob, and came when version 3 of the policy was there, by which they build no more, or not with"
    for versions in ((1, 2, 3), (1, 2, 3, 4)):
        with pytest.raises(TamperError, match=came):
            check(*versions, state="new")
    with pytest.raises(TamperError, match=came):  # in whatever form
        check(1, 2, state="new", other={"access/policy/3.json": b""})
    for other in ({}, {"access/policy/2.json": policies["access/policy/1.json"]}):
        with pytest.raises(TamperError, match="signed by bob, who builds no more, and came before the policy that it"):
            check(1, state="new", other=other)
    shop.sign("ada")  # who is a builder still is believed of any time
    files = {name: (shop.team.root / name).read_bytes() for name in files}
    check(state="new")


def test_what_was_believed_once_is_of_the_past_too(shop: Shop) -> None:
    shop.sign("bob")
    shop.keys().check(shop.seals, shop.document)
    wanted = shop.team.wanted()
    stages = {"cleaned": WantedStage(wanted.stages["cleaned"].readers, frozenset({"ada"}))}
    shop.team.change(Wanted(**{**vars(wanted), "stages": stages}))
    shop.keys(is_past=True).check(shop.seals, shop.document)
    with pytest.raises(TamperError, match="came when version 3"):
        shop.keys(is_past=True, state="who saw nothing").check(shop.seals, shop.document)


def test_only_what_a_builder_signed_is_counted_on(shop: Shop) -> None:
    def standing(stage: str = "cleaned") -> Statement | None:
        return standing_statement(shop.team.chain, reader_of(shop.team.root), stage)

    assert standing() is None
    first = shop.sign("bob")
    assert standing() == first
    good = json.loads(shop.text.read_text())
    good["predicate"]["buildDefinition"]["externalParameters"]["version"] = MAX_VERSION
    for name in ("cy", "mallory"):
        shop.forge(name, good)
        assert standing() is None
    shop.signature.write_bytes(b"rubbish")
    assert standing() is None
    shop.sign("bob")
    for path in (shop.text, shop.signature):
        path.rename(path.with_name(path.name.replace("cleaned", "augmented")))
    assert standing("augmented") is None
    first = shop.sign("bob")
    wanted = shop.team.wanted()
    stages = {"cleaned": WantedStage(wanted.stages["cleaned"].readers, frozenset({"ada"}))}
    shop.team.change(Wanted(**{**vars(wanted), "stages": stages}))
    assert standing() == first  # they were a builder when they signed it


def test_versions_end(shop: Shop) -> None:
    shop.sign()
    good = json.loads(shop.text.read_text())
    parameters = good["predicate"]["buildDefinition"]["externalParameters"]
    for version in (MAX_VERSION + 1, 10**4299):
        for changes in (
            {"version": version},
            {"policy": {**parameters["policy"], "version": version}},
            {"epoch": version},
        ):
            row = json.loads(json.dumps(good))
            row["predicate"]["buildDefinition"]["externalParameters"].update(changes)
            shop.forge("ada", row)
            shop.refused("is not what it must be .*less than or equal to 9007199254740992")
    shop.text.write_bytes(shop.text.read_bytes().replace(str(10**4299).encode(), b"9" * 5000))
    shop.refused("is not what it must be")


def test_a_builder_who_signs_the_highest_number_does_not_end_the_stage(shop: Shop) -> None:
    first = shop.sign("bob")
    shop.keys().check(shop.seals, shop.document)
    good = json.loads(shop.text.read_text())
    seen = SeenStage(version=1, digest=first.digest)
    shop.seals, shop.document = shop.snapshot("CCCC")
    for version in (MAX_STEP + 2, MAX_VERSION):
        good["predicate"]["buildDefinition"]["externalParameters"]["version"] = version
        good["subject"][0]["digest"]["sha256"] = hashlib.sha256(shop.document).hexdigest()
        shop.forge("bob", good)
        shop.refused(f"cleaned is version {version}, and you have seen version 1: nobody builds so many in between")
    top = standing_statement(shop.team.chain, reader_of(shop.team.root), "cleaned")
    assert top is not None
    shop.keys(state="who saw nothing").check(shop.seals, shop.document)
    _, other = shop.snapshot("DDDD")
    with pytest.raises(TamperError, match="cleaned is version 9007199254740992 already, and there is none above"):
        shop.sign(document=other, before=top)
    assert shop.sign(before=top).parameters.version == MAX_VERSION
    assert shop.sign(before=top, seen=seen).parameters.version == 2  # by whoever saw the right one
    shop.keys().check(shop.seals, shop.document)


def test_what_was_sealed_before_a_revocation_is_not_signed_as_new(shop: Shop) -> None:
    shop.sign()
    shop.keys().check(shop.seals, shop.document)
    shop.team.change(shop.team.wanted().without_principal("cy"))
    shop.keys("bob").check(shop.seals, shop.document)  # until it is built again
    assert shop.keys("bob").seal(shop.seals).epoch == 1
    assert shop.keys("bob").seal_of("cleaned").epoch == 2  # type: ignore[union-attr]
    with pytest.raises(AccessError, match="This identity, which is no principal here, may not read cleaned"):
        shop.keys("cy").seal(shop.seals)
    with pytest.raises(AccessError, match=r"cleaned is not sealed as the policy says now\. Build it again: dvc repro"):
        shop.sign()
    shop.seals, shop.document = shop.snapshot("FFFF")
    shop.sign()


def test_plain_stages_are_signed_by_admins(shop: Shop) -> None:
    team = shop.team
    files = subject_of("raw/blood", b"{}\n")
    statement = make_statement(
        team.chain,
        team.people["ada"],
        "raw/blood",
        files,
        before=None,
        sealed=None,
        inputs={},
        params="b" * 64,
        tools={},
    )
    write_statement(team.root, statement, team.people["ada"])
    trust = open_trust(team.root, team.chain.policy.project, team.environ)
    read = reader_of(team.root)
    assert check_statement(team.chain, trust, "raw/blood", files, read, sealed=None) == statement
    found = read_statement(read, "raw/blood")
    assert found is not None
    assert found.statement.signer == "ada"
    with pytest.raises(TamperError, match="raw/blood is not what ada signed"):
        check_statement(team.chain, trust, "raw/blood", subject_of("raw/blood", b"{}"), read, sealed=None)


def test_no_key_is_in_any_error(shop: Shop) -> None:
    secrets = [key.reveal() for keys in shop.team.keys.values() for key in keys.values()]
    place = shop.team.root / "access/keys" / f"{shop.seals.domain}.age"
    for data in (b"", place.read_bytes()[:-1], place.read_bytes() + b"x"):
        place.write_bytes(data)
        with pytest.raises(AccessError) as found:
            shop.keys().seal(shop.seals)
        assert not any(secret.hex() in repr(found.value) for secret in secrets)


def test_the_chain_is_read_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("dsetkit.access.opened.read_chain", lambda *args: calls.append(1) or read_chain(*args))
    shop.sign()
    keys = shop.keys()
    keys.check(shop.seals, shop.document)
    keys.seal(shop.seals)
    keys.seal(shop.seals)
    assert calls == [1]


def test_no_altered_statement_or_signature_is_accepted(shop: Shop) -> None:
    shop.sign()
    good = {path: path.read_bytes() for path in (shop.text, shop.signature)}
    rng = random.Random(4)
    keys = shop.keys()
    for _ in range(1500):
        path = rng.choice(list(good))
        bad = bytearray(good[path])
        spot = rng.randrange(len(bad))
        match rng.randrange(3):
            case 0:
                bad[spot] ^= 1 << rng.randrange(8)
            case 1:
                del bad[spot : spot + rng.randrange(1, 60)]
            case _:
                other = rng.randrange(len(bad))
                bad[spot : spot + 9], bad[other : other + 9] = bad[other : other + 9], bad[spot : spot + 9]
        if bytes(bad) != good[path]:
            path.write_bytes(bad)
            with pytest.raises(TamperError):
                keys.check(shop.seals, shop.document)
            path.write_bytes(good[path])
    keys.check(shop.seals, shop.document)
