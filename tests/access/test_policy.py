from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dsetkit.access import policy as module
from dsetkit.access import policy_files
from dsetkit.access.files import document_text
from dsetkit.access.keyring import needs_wrapping
from dsetkit.access.policy import approve, check_follows, read_chain, read_chain_of, withdraw, write_next
from dsetkit.access.rules import (
    digest_of_policy,
    domains_in_use,
    facets_of,
    must_start_epoch,
    principal_of,
    rule_of,
    ruling_stages,
    seal_wanted,
)
from dsetkit.access.signing import namespace_of
from dsetkit.access.statement import builders_of
from dsetkit.access.wanted import Wanted, WantedFacet, WantedStage
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.policy import AccessPolicy

if TYPE_CHECKING:
    from conftest import Team


def following(policy: AccessPolicy, **changes: Any) -> AccessPolicy:
    row = {"version": policy.version + 1, "previous": digest_of_policy(policy), **changes}
    return AccessPolicy.model_validate({**policy.model_dump(), **row})


def with_people(team: Team, *names: str, **changes: Any) -> AccessPolicy:
    policy = team.chain.policy
    people = {**policy.principals, **{name: team.people[name].public for name in names}}
    return following(policy, principals=people, **changes)


def plant(team: Team, policy: AccessPolicy, *signers: str, text: bytes | None = None) -> None:
    """What anybody who can write to the repository can do."""
    text = document_text(policy) if text is None else text
    folder = team.root / policy_files.FOLDER
    (folder / f"{policy.version}.json").write_bytes(text)
    for signer in signers:
        signature = team.people[signer].sign(text, namespace_of("policy", policy.project))
        (folder / f"{policy.version}.{signer}.sig").write_text(signature)


def refused(team: Team, message: str, environ: dict[str, str] | None = None) -> None:
    with pytest.raises(TamperError, match=message):
        read_chain(team.root, team.environ if environ is None else environ)


def ignored(team: Team, message: str) -> None:
    """The version that counts stays, and it is said why the next one does not count."""
    policy, chain = (
        read_chain(team.root, team.environ).policy,
        read_chain(team.root, team.elsewhere("new"), is_whole=True),
    )
    assert (chain.policy, chain.pending, chain.signers) == (policy, None, ())
    assert [issue.code for issue in chain.issues] == ["policy-ignored"]
    assert re.search(message, chain.issues[0].message)
    with pytest.raises(TamperError, match="does not count"):
        approve(team.root, team.people["ada"], team.environ, digest="0" * 64)


@pytest.fixture
def two(team: Team) -> Team:
    """Version 2: ada and bob are admins, both must sign."""
    plant(team, with_people(team, "bob", "cy", admins=("ada", "bob"), threshold=2), "ada", "bob")
    return team


def test_the_first_sight_is_said_and_pins(team: Team) -> None:
    fresh = team.elsewhere("other")
    chain = read_chain(team.root, fresh)
    assert chain.is_first_sight
    assert not read_chain(team.root, fresh).is_first_sight
    text = (team.root / "access/policy/1.json").read_bytes()
    assert chain.pin == chain.digest == hashlib.sha256(text).hexdigest()
    assert (chain.policy.version, chain.past, chain.pending) == (1, (), None)
    assert chain.at(1, chain.pin) == chain.policy
    assert chain.at(1, "0" * 64) is chain.at(2, chain.pin) is chain.at(0, chain.pin) is None


def test_no_policy_says_so(tmp_path: Path) -> None:
    with pytest.raises(AccessError) as found:
        read_chain(tmp_path, {"DSETKIT_STATE": str(tmp_path / "s")})
    assert str(found.value) == "This project has no access policy. `dsetkit access init` makes one."


def test_both_sides_must_sign(team: Team) -> None:
    people = team.people
    policy = with_people(team, "bob", "cy", admins=("bob", "cy"), threshold=2)
    for early in ("bob", "cy"):
        with pytest.raises(AccessError, match="No policy waits for signatures"):
            approve(team.root, people[early], team.environ, digest=digest_of_policy(policy))
    chain = write_next(team.root, policy, people["ada"], team.environ)
    assert (chain.policy.version, chain.pending, chain.signers) == (1, policy, ("ada",))
    digest = digest_of_policy(policy)
    with pytest.raises(AccessError, match=r"Version 2 of the policy waits for signatures\. Approve or withdraw"):
        write_next(team.root, policy, people["ada"], team.environ)
    with pytest.raises(AccessError, match=r"Only admins change the policy: ada\. Ask one of them"):
        approve(team.root, people["mallory"], team.environ, digest=digest)
    with pytest.raises(TamperError, match=r"2\.json is not the one you looked at"):
        approve(team.root, people["bob"], team.environ, digest="0" * 64)
    assert approve(team.root, people["bob"], team.environ, digest=digest).signers == ("ada", "bob")
    chain = approve(team.root, people["cy"], team.environ, digest=digest)
    assert (chain.policy, chain.pending, chain.signers) == (policy, None, ())
    plant(team, following(policy, padding="padme"), "bob")
    assert team.chain.pending is not None
    withdraw(team.root, team.environ)
    assert sorted(path.name for path in (team.root / "access/policy").iterdir()) == [
        *("1.ada.sig", "1.json", "2.ada.sig", "2.bob.sig", "2.cy.sig", "2.json")
    ]
    with pytest.raises(AccessError, match="No policy waits"):
        withdraw(team.root, team.environ)


def test_who_is_no_admin_changes_nothing(two: Team) -> None:
    with pytest.raises(AccessError, match="Only admins change the policy: ada, bob"):
        write_next(two.root, following(two.chain.policy), two.people["cy"], two.environ)
    policy = two.chain.policy
    evil = following(policy, admins=("mallory",), threshold=1, principals={"mallory": two.people["mallory"].public})
    plant(two, evil, "mallory")
    ignored(two, "3.json lacks signatures: signed by 0 of 2 admins of version 2")  # its own admins are not enough
    plant(two, following(evil), "mallory")
    refused(two, "3.json lacks signatures: signed by 0 of 2 admins of version 2")
    (two.root / "access/policy/4.json").unlink()
    (two.root / "access/policy/4.mallory.sig").unlink()
    plant(two, evil, "cy")
    ignored(two, "3.json lacks signatures: signed by 0 of 2 admins of version 2")
    plant(two, following(policy, padding="padme"), "ada", "bob", "cy")
    refused(two, "3.cy.sig is of nobody who is an admin")  # it would count


def test_a_next_version_that_no_admin_signed_is_ignored(team: Team) -> None:
    """Whoever may write to the repository can put one there: it binds nobody, and keeps nobody from reading."""
    domain = {"readers": ["ada"], "epochs": [{"number": 1, "commitment": "0" * 64}]}
    rule = {"domain": "d1", "readers": ["ada"], "builders": ["ada"]}
    evil = with_people(team, "mallory", domains={"d1": domain}, stages={"cleaned": rule})  # a data key of their choice
    plant(team, evil)
    ignored(team, "Version 2 of the policy does not count: access/policy/2.json lacks signatures")
    plant(team, evil, "mallory")
    ignored(team, "lacks signatures: signed by 0 of 1 admins of version 1")
    forged = team.people["mallory"].sign(document_text(evil), namespace_of("policy", evil.project))
    (team.root / "access/policy/2.ada.sig").write_text(forged)
    ignored(team, r"2\.ada\.sig was not made with a key of ada")
    plant(team, evil, text=b"{" * 900_000)
    ignored(team, r"2\.ada\.sig was not made with a key of ada")
    assert withdraw(team.root, team.environ) == 2
    assert (team.chain.issues, sorted(path.name for path in (team.root / "access/policy").iterdir())) == (
        (),
        ["1.ada.sig", "1.json"],
    )
    plant(team, evil)
    chain = write_next(team.root, following(team.chain.policy, padding="padme"), team.people["ada"], team.environ)
    assert (chain.policy.version, chain.policy.padding, chain.issues) == (2, "padme", ())


def test_what_only_a_new_admin_signed_is_not_written(two: Team) -> None:
    policy = with_people(two, "mallory", admins=("ada", "bob", "mallory"))
    with pytest.raises(AccessError, match="Only admins change the policy: ada, bob"):
        write_next(two.root, policy, two.people["mallory"], two.environ)


def test_a_wrong_signature_takes_no_pending_version_away(two: Team) -> None:
    policy = following(two.chain.policy, padding="padme")
    plant(two, policy, "ada", "mallory")
    chain = two.chain
    assert (chain.pending, chain.signers, chain.ignored) == (policy, ("ada",), None)
    assert [issue.file for issue in chain.issues] == ["access/policy/3.mallory.sig"]


def test_signatures_are_checked_before_anything_is_parsed(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    assert team.chain.policy.version == 1
    policy = team.chain.policy
    plant(team, following(policy, padding="padme"))
    plant(team, following(following(policy, padding="padme")), "mallory")
    parsed = []
    real = module._parse
    monkeypatch.setattr(module, "_parse", lambda text, number: parsed.append(number) or real(text, number))
    refused(team, "2.json lacks signatures: signed by 0 of 1 admins of version 1")
    (team.root / "access/policy/3.json").unlink()
    (team.root / "access/policy/3.mallory.sig").unlink()
    assert team.chain.ignored is not None
    assert parsed == [1, 1]
    monkeypatch.undo()
    (team.root / "access/policy/2.json").write_bytes(b" " * (policy_files.MAX_POLICY_BYTES + 1))
    refused(team, "2.json has more than 1,048,576 bytes")


def test_many_keys_and_domains_take_no_long_time() -> None:
    keys = tuple(f"age1{number:058d}" for number in range(4000))
    domain = {"readers": ("m",), "epochs": [{"number": 1, "commitment": "0" * 64}]}
    facets = {
        f"f{n}": {"stages": ["raw"], "columns": ["recipe"], "domain": f"f{n}", "readers": ["m"]} for n in range(900)
    }
    before = AccessPolicy.model_validate(
        {
            "project": "ab" * 16,
            "version": 1,
            "admins": ["m"],
            "principals": {"m": {"age": keys, "ssh": ["ssh-ed25519 AAAA"]}},
            "stages": {"raw": {"domain": "d1", "readers": ["m"], "builders": ["m"]}},
            "facets": facets,
            "domains": {"d1": domain, **dict.fromkeys(facets, domain)},
        }
    )
    policy = following(before, padding="padme")
    began = time.process_time()
    assert must_start_epoch(before, policy) == set()
    assert time.process_time() - began < 0.5  # each key compared for each domain: seconds
    fewer = following(before, principals={"m": {"age": keys[1:], "ssh": ["ssh-ed25519 AAAA"]}})
    assert must_start_epoch(before, fewer) == {"d1", *facets}


def test_killed_while_it_deletes_a_version_leaves_signatures_alone(two: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(two, following(two.chain.policy, padding="padme"), "ada")
    deleted = []
    monkeypatch.setattr(policy_files, "remove_tree", lambda path: deleted.append(path.name))
    withdraw(two.root, two.environ)
    assert deleted == ["3.json", "3.ada.sig"]


def test_a_principal_with_anothers_key_does_not_count_twice(two: Team) -> None:
    policy = two.chain.policy
    people = {**policy.principals, "bob": policy.principals["ada"]}
    plant(two, following(policy, principals=people), "ada")
    ignored(two, "gives (ada|bob) and (ada|bob) the same key, so that one would count as two")
    plant(two, following(policy, principals=people), "ada", "bob")
    refused(two, "3.json gives (ada|bob) and (ada|bob) the same key, so that one would count as two")


def test_a_signature_under_anothers_name_does_not_count(two: Team) -> None:
    policy = following(two.chain.policy, padding="padme")
    plant(two, policy, "ada")
    folder = two.root / "access/policy"
    shutil.copy(folder / "3.ada.sig", folder / "3.bob.sig")
    for message in ("3.bob.sig was not made with a key of bob", "3.bob.sig by bob is of other content"):
        chain = two.chain
        assert (chain.policy.version, chain.signers) == (2, ("ada",))
        assert message in chain.issues[0].message
        shutil.copy(folder / "2.bob.sig", folder / "3.bob.sig")


def test_an_own_key_is_changed_in_two_steps(team: Team) -> None:
    old, new = team.people["ada"], team.people["cy"]
    both = {"age": new.public.age, "ssh": (old.public.ssh[0], new.public.ssh[0])}
    write_next(team.root, following(team.chain.policy, principals={"ada": both}), old, team.environ)
    alone = following(team.chain.policy, principals={"ada": new.public})
    assert write_next(team.root, alone, new, team.environ).policy.version == 3
    assert principal_of(team.chain.policy, new) == "ada"
    assert principal_of(team.chain.policy, old) is None
    with pytest.raises(AccessError, match="Only admins"):
        write_next(team.root, following(alone), old, team.environ)


def test_older_other_and_missing_chains_are_refused(two: Team, tmp_path: Path) -> None:
    assert two.chain.policy.version == 2
    place = two.root / "access/policy"
    kept = tmp_path / "kept"
    shutil.copytree(place, kept)

    def back() -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(kept, place)

    for name in ("2.json", "2.ada.sig", "2.bob.sig"):
        (place / name).unlink()
    refused(two, "ends at version 1, and you have seen version 2: an older one was put back")
    shutil.rmtree(place)
    refused(two, "access/policy is gone, and you have seen the project")
    back()
    (place / "1.json").unlink()
    refused(two, "has not the versions 1, 2, ... without gaps")
    back()
    first = two.chain.versions[0]
    fork = following(first, padding="padme")
    for name in ("2.ada.sig", "2.bob.sig"):
        (place / name).unlink()
    plant(two, fork, "ada")
    refused(two, "has another version 2 than the one you have seen")
    assert (
        read_chain(two.root, two.elsewhere("new")).policy == fork
    )  # who saw nothing cannot tell; admins of 1 signed it


def test_what_a_merge_leaves_is_told_with_its_cure(two: Team) -> None:
    place = two.root / "access/policy"
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    stray = files["2.ada.sig"]
    (place / "1.bob.sig").write_bytes(stray)
    with pytest.raises(TamperError, match=r"1\.bob\.sig") as told:
        read_chain(two.root, two.elsewhere("new"))
    assert "dsetkit access settle" in told.value.hint
    (place / "1.bob.sig").unlink()
    chain, left_out = read_chain_of({**files, "1.bob.sig": stray, "9.ada.sig": stray})
    assert (chain.digest, left_out) == (two.chain.digest, ("1.bob.sig", "9.ada.sig"))
    with pytest.raises(TamperError, match="lacks signatures"):
        read_chain_of({name: data for name, data in files.items() if name != "1.ada.sig"})
    (place / "2.json").write_bytes(b"<<<<<<< HEAD\n" + files["2.json"])
    with pytest.raises(TamperError, match=r"2\.json has the conflict markers of a merge") as told:
        read_chain(two.root, two.environ)
    assert "dsetkit access settle" in told.value.hint


def test_a_chain_written_anew_is_refused(two: Team) -> None:
    project = two.chain.policy.project
    mallory = two.people["mallory"]
    shutil.rmtree(two.root / "access")
    (two.root / "access/policy").mkdir(parents=True)
    row = {"project": project, "version": 1, "admins": ("mallory",), "principals": {"mallory": mallory.public}}
    for own, message in ((project, "begins otherwise"), ("cd" * 16, "is of another project")):
        plant(two, AccessPolicy.model_validate({**row, "project": own}), "mallory")
        # Whether this user read it before or not: `two` was read by them as version 1 at least.
        refused(two, message)


def test_what_was_verified_is_not_verified_again_but_must_be_the_same(
    two: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **more: calls.append(1) or run(*args, **more))
    fresh = two.elsewhere("new")
    read_chain(two.root, fresh)
    assert len(calls) == 3
    read_chain(two.root, fresh)
    assert len(calls) == 3
    read_chain(two.root, fresh, is_whole=True)
    assert len(calls) == 6
    (two.root / "access/policy/2.bob.sig").write_bytes(b"damaged")
    assert read_chain(two.root, fresh).policy.version == 2
    with pytest.raises(TamperError, match=r"2\.bob\.sig is no SSH signature"):
        read_chain(two.root, fresh, is_whole=True)
    one = two.root / "access/policy/1.json"
    one.write_bytes(one.read_bytes().replace(b'"version": 1', b'"padding": "padme",\n  "version": 1'))
    refused(two, "2.json does not follow on version 1|1.json is not in the form", fresh)


def test_domains_only_go_on(team: Team) -> None:
    wanted = team.wanted()
    people = {name: team.people[name].public for name in ("ada", "bob", "cy")}
    wanted = (
        type(wanted)(principals=people, admins=wanted.admins)
        .with_reader("cleaned", "ada")
        .with_reader("cleaned", "bob")
    )
    team.change(wanted.with_reader("augmented", "ada").without_reader("augmented", "bob"))
    policy = team.chain.policy
    domains, stages = policy.model_dump()["domains"], policy.model_dump()["stages"]
    ada = ("ada",)
    assert (stages["augmented"]["domain"], stages["cleaned"]["domain"]) == ("d1", "d2")
    other = {**domains, "d2": {**domains["d2"], "epochs": [{"number": 1, "commitment": "0" * 64}]}}
    fewer = {**domains, "d2": {**domains["d2"], "readers": ada}}
    less = {**stages, "cleaned": {**stages["cleaned"], "readers": ada}}
    keyless = {**people, "bob": team.people["mallory"].public}
    for changes, message in (
        ({"domains": other}, "has not the data keys of the domain d2 that there were"),
        (
            {"domains": {"d1": domains["d1"]}, "stages": {"augmented": stages["augmented"]}},
            "has not the data keys of the",
        ),
        ({"domains": fewer, "stages": less}, "takes a reader from the domain d2 without a new data key"),
        ({"principals": keyless}, "takes a reader from the domain d2 without a new data key"),
        ({"project": "cd" * 16}, "is of another project"),
        ({"previous": "0" * 64}, "does not follow on version 2"),
        ({"version": 4}, "does not follow on version 2"),
    ):
        bad = following(policy, **changes)
        with pytest.raises(TamperError, match=message):
            write_next(team.root, bad, team.people["ada"], team.environ)
    team.change(team.wanted().without_reader("cleaned", "bob"))
    unused = following(team.chain.policy, stages={"augmented": stages["augmented"]})
    write_next(team.root, unused, team.people["ada"], team.environ)
    again = following(unused, stages=team.chain.versions[-2].model_dump()["stages"])
    with pytest.raises(TamperError, match="uses the domain d2 again, which sealed nothing any more"):
        write_next(team.root, again, team.people["ada"], team.environ)
    plant(team, again, "ada")
    refused(team, "uses the domain d2 again")


@pytest.fixture
def past(team: Team) -> Team:
    """The domain d1 seals nothing any more; ada and bob read it, cy never did."""
    people = {name: team.people[name].public for name in ("ada", "bob", "cy")}
    wanted = type(team.wanted())(principals=people, admins=frozenset({"ada"})).with_reader("cleaned", "ada")
    team.change(wanted.with_reader("cleaned", "bob"))
    # What a facet keeps apart now is in the rows of before, so cy does not join d1.
    labels = WantedFacet(("cleaned",), ("annotations",), frozenset({"ada", "bob"}))
    team.change(replace(team.wanted(), facets={"labels": labels}).with_reader("cleaned", "cy"))
    team.change(replace(team.wanted(), facets={}))
    return team


def test_nobody_joins_a_domain_that_seals_nothing(past: Team) -> None:
    policy = past.chain.policy
    domains = policy.model_dump()["domains"]
    unused = set(domains) - domains_in_use(policy)
    assert "d1" in unused
    old = domains["d1"]
    assert old["readers"] == ("ada", "bob")
    later = {"number": 2, "commitment": "1" * 64}
    for changed, message in (
        ({**old, "readers": ("ada", "bob", "cy")}, "has cy join the domain d1, which seals nothing any more"),
        ({**old, "epochs": (*old["epochs"], later)}, "gives a new data key to the domain d1, which seals nothing"),
        ({**old, "readers": ("ada",)}, "takes bob from the domain d1, which seals nothing any more"),
    ):
        evil = following(policy, domains={**domains, "d1": changed})
        with pytest.raises(TamperError, match=message):
            write_next(past.root, evil, past.people["ada"], past.environ)
    plant(past, following(policy, domains={**domains, "d1": {**old, "readers": ("ada", "cy")}}), "ada")
    refused(past, "has cy join the domain d1")


def test_who_was_expelled_does_not_come_back_to_what_is_past(past: Team) -> None:
    expelled = past.change(past.wanted().without_principal("bob")).policy
    assert expelled.domains["d1"].readers == ("ada",)
    wanted = past.wanted()
    people = {**wanted.principals, "bob": past.people["mallory"].public}  # another, by the same name
    back = past.change(replace(wanted, principals=people)).policy
    assert back.domains["d1"].readers == ("ada",)
    assert "d1" not in needs_wrapping(expelled, back)
    # As a policy might say that was made before this rule: bob was expelled, and d1 names him still.
    named = {**back.model_dump()["domains"], "d1": {**back.model_dump()["domains"]["d1"], "readers": ("ada", "bob")}}
    before = AccessPolicy.model_validate({**expelled.model_dump(), "domains": named})
    evil = following(before, principals=people)
    with pytest.raises(TamperError, match="has bob, who is new, join the domain d1"):
        check_follows(before, digest_of_policy(before), evil)


def test_names_of_files_are_strict(team: Team) -> None:
    folder = team.root / "access/policy"
    for name in (
        "01.json",
        "1.JSON",
        "2.sig",
        "1.Ada.sig",
        "1.a..b.sig",
        "1.json.bak",
        "x",
        "1.*.sig",
        "99999999.json",
    ):
        (folder / name).write_bytes(b"")
        refused(team, "is no policy and no signature of one. Move it away|is a signature of no policy")
        (folder / name).unlink()
    (folder / "7.ada.sig").write_bytes(b"")
    refused(team, "7.ada.sig is a signature of no policy")
    (folder / "7.ada.sig").unlink()
    (folder / ".1.json.dsetkit-tmp").write_bytes(b"half")
    (folder / "2.bob.sig").write_bytes(b"left by who was killed")
    assert team.chain.policy.version == 1
    assert write_next(team.root, following(team.chain.policy), team.people["ada"], team.environ).policy.version == 2


def test_links_are_not_followed(team: Team, tmp_path: Path) -> None:
    place = team.root / "access/policy"
    moved = tmp_path / "moved"
    place.rename(moved)
    place.symlink_to(moved)
    refused(team, "is a link, or lies behind one, and links are not followed here")
    with pytest.raises(TamperError, match="is a link"):
        write_next(team.root, following(read_policy(moved)), team.people["ada"], team.environ)
    place.unlink()
    moved.rename(place)
    (place / "1.json").rename(tmp_path / "one")
    (place / "1.json").symlink_to(tmp_path / "one")
    refused(team, "1.json is a link")


def read_policy(folder: Path) -> AccessPolicy:
    return AccessPolicy.model_validate_json((folder / "1.json").read_bytes())


def test_public_keys_are_keys(team: Team) -> None:
    bob, policy = team.people["bob"].public, team.chain.policy
    for keys in (
        {"age": ("age1" + "q" * 58,), "ssh": bob.ssh},
        {"age": bob.age, "ssh": (bob.ssh[0][:-8],)},
        {"age": ("ssh-ed25519 AAAA",), "ssh": bob.ssh},
    ):
        people = {**policy.principals, "bob": keys}
        plant(team, following(policy, principals=people), "ada")
        refused(team, "2.json gives bob a public key that is none")


@pytest.mark.slow
def test_no_altered_chain_is_accepted(two: Team) -> None:
    """Flips, cuts, swaps and copies of one file into another; by somebody whom this user has never seen."""
    place = two.root / "access/policy"
    good = {path.name: path.read_bytes() for path in place.iterdir()}
    digests = read_chain(two.root, two.elsewhere("good")).digests
    rng = random.Random(3)
    names = sorted(good)
    accepted = 0
    for turn in range(10_000):
        name, other = rng.choice(names), rng.choice(names)
        bad = bytearray(good[name])
        spot = rng.randrange(len(bad))
        match rng.randrange(4):
            case 0:
                bad[spot] ^= 1 << rng.randrange(8)
            case 1:
                del bad[spot : spot + rng.randrange(1, 60)]
            case 2:
                bad = bytearray(good[other])
            case _:
                bad[spot:spot] = good[other][: rng.randrange(1, 60)]
        if bytes(bad) == good[name]:
            continue
        (place / name).write_bytes(bad)
        try:
            chain = read_chain(two.root, two.elsewhere(f"turn{turn}"))
        except TamperError:
            pass
        else:
            accepted += chain.digests == digests
            # A newcomer may be shown fewer versions, as if they were not there; then that is said. None is altered.
            assert chain.digests == digests or (chain.digests == digests[:1] and chain.issues)
        (place / name).write_bytes(good[name])
    assert accepted == 0


def rules(declassified: str = "", facets: dict[str, tuple[str, ...]] | None = None, **people: str) -> Wanted:
    """Rules of stages (``raw_blood``): readers, each a letter, and builders after a ``:``, else all of them."""
    stages = {}
    for name, text in people.items():
        readers, colon, builders = text.partition(":")
        stages[name.replace("_", "/")] = WantedStage(frozenset(readers), frozenset(builders if colon else readers))
    apart = {name: WantedFacet(found, ("annotations",), frozenset("a")) for name, found in (facets or {}).items()}
    return Wanted({}, frozenset(), stages=stages, facets=apart, declassified=tuple(declassified.split()))


def test_whose_rule_is_for_a_stage() -> None:
    def ruling(stage: str, declassified: str = "", **people: str) -> tuple[str, ...]:
        return ruling_stages(rules(declassified, **people), stage)

    assert ruling("cleaned") == ()
    assert ruling("raw/blood", raw="a") == ("raw",)
    assert ruling("raw/blood", raw="a", raw_blood="b") == ("raw/blood",)
    assert ruling("raw/other", raw_blood="b") == ()
    assert ruling("cleaned", raw_blood="b") == ("raw/blood",)
    assert ruling("report", raw="a") == ruling("augmented", raw="a") == ("raw",)
    assert ruling("report", cleaned="a", augmented="a") == ("cleaned", "augmented")
    assert ruling("augmented", "augmented", raw="a") == ()
    assert ruling("augmented", "cleaned", raw="a") == ()
    assert ruling("cleaned", "cleaned", cleaned="a") == ("cleaned",)


UNDECIDED = {
    "readers": ("augmented", rules(raw="a", raw_blood="b"), "cleaned", "raw and raw/blood", "different readers"),
    "readers of the report": ("report", rules(cleaned="a", augmented="ab"), "report", "cleaned and augmented", None),
    "a facet of the first alone": (
        "cleaned",
        rules(raw_alfa="ab", raw_zeta="ab", facets={"labels": ("raw/alfa",)}),
        "cleaned",
        "raw/alfa and raw/zeta",
        r"different facets \(raw/alfa: labels; raw/zeta: none\)",
    ),
    "a facet of the last alone": (
        "augmented",
        rules(raw_alfa="ab", raw_zeta="ab", facets={"labels": ("raw/zeta",)}),
        "cleaned",
        "raw/alfa and raw/zeta",
        r"different facets \(raw/alfa: none; raw/zeta: labels\)",
    ),
    "two facets of the same columns": (
        "cleaned",
        rules(raw_alfa="ab", raw_zeta="ab", facets={"one": ("raw/alfa",), "two": ("raw/zeta",)}),
        "cleaned",
        "raw/alfa and raw/zeta",
        "different facets",
    ),
    "builders": (
        "cleaned",
        rules(raw_alfa="ab:a", raw_zeta="ab:b"),
        "cleaned",
        "raw/alfa and raw/zeta",
        "no builder in common",
    ),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_a_stage_made_from_what_differs_is_undecided(name: str) -> None:
    stage, wanted, undecided, made_from, what = UNDECIDED[name]
    with pytest.raises(AccessError, match=f"^{undecided} is made from {made_from}, which have {what or ''}") as found:
        ruling_stages(wanted, stage)
    assert f"dsetkit access protect {undecided}." in str(found.value)
    assert (wanted.ruling(stage), wanted.rule(stage)) == (None, None)


def test_who_inherits_from_several_is_built_by_who_builds_all(team: Team) -> None:
    people = {name: team.people[name].public for name in ("ada", "bob")}
    both, one = frozenset({"ada", "bob"}), frozenset({"ada"})
    stages = {"raw/alfa": WantedStage(both, both), "raw/zeta": WantedStage(both, one)}
    wanted = Wanted(people, frozenset({"ada"}), stages=stages)
    policy = team.change(wanted, ()).policy
    for stage in ("cleaned", "augmented", "report"):
        rule = rule_of(policy, stage)
        assert rule is not None
        assert (rule.readers, rule.builders) == (("ada", "bob"), ("ada",))
        assert builders_of(policy, stage) == ("ada",)
        assert wanted.rule(stage) == WantedStage(both, one)


def test_what_is_made_of_sealed_stages_is_sealed_alike(team: Team) -> None:
    people = {name: team.people[name].public for name in ("ada", "bob")}
    wanted = type(team.wanted())(principals=people, admins=frozenset({"ada"})).with_reader(
        "cleaned", "ada", builds=True
    )
    policy = team.change(wanted, ()).policy
    assert rule_of(policy, "augmented") == policy.stages["cleaned"]
    assert seal_wanted(policy, "report") == ("d1", 1)
    assert rule_of(policy, "raw/blood") is None
    assert facets_of(policy, "augmented") == {}
