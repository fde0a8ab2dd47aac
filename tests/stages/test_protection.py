"""Acts on the policy of a real project: three roles, several admins, and commands that are killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.bench import Bench

from dsetkit.access import changes
from dsetkit.access.files import document_text
from dsetkit.access.identity import Identity, make_identity
from dsetkit.access.keyring import FreshKeys, wrap
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.policy import read_chain
from dsetkit.access.rules import digest_of_policy, domains_in_use
from dsetkit.access.wanted import Wanted
from dsetkit.errors import AccessError, TamperError, UsageError
from dsetkit.spec.policy import AccessPolicy
from dsetkit.stages import protection
from dsetkit.stages.entries import check_entry, entry_of, refresh_entries
from dsetkit.stages.next_keyrings import drawn_unread
from dsetkit.stages.protection import Change
from dsetkit.stages.yaml_documents import load_yaml, save_yaml

NAMES = ("cora", "tom", "olga", "abel")
"""Curator and first admin, trainer, outsider, a second admin."""


class Killed(BaseException):
    """Stands for a process that ended there and then."""


class Team:
    """A project with a policy, at ``root``; the state of one user for all, unless told otherwise."""

    def __init__(self, root: Path, people: dict[str, Identity], state: Path) -> None:
        self.root, self.people = root, people
        self.environ = {"DSETKIT_STATE": str(state)}

    @property
    def policy(self) -> AccessPolicy:
        return read_chain(self.root, self.environ).policy

    def act(self, change: Callable[[Wanted], Wanted], who: str = "cora", rotate: Sequence[str] = ()) -> Change:
        return protection.change_policy(
            self.root,
            self.people[who],
            lambda wanted, _: change(wanted),
            "grant",
            "x",
            rotate=lambda _: rotate,
            environ=self.environ,
        )

    def grant(self, name: str, *stages: str, role: changes.Role = "reader", by: str = "cora") -> Change:
        keys = self.people[name].public

        def change(wanted: Wanted) -> Wanted:
            known = changes.with_keys(wanted, name, age=keys.age, ssh=keys.ssh)
            return changes.granted(known, name, role, stages=stages)

        return self.act(change, by)

    def opens(self, name: str, stage: str) -> bool:
        """Whether the data key that seals a stage now is to be had."""
        keys = ProjectKeys(self.root, self.people[name], environ=self.environ)
        entry = entry_of(self.policy, stage)
        try:
            return entry["epoch"] in keys.data_keys(entry["domain"])
        except TamperError:
            raise
        except AccessError:
            return False


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder = tmp_path_factory.mktemp("identities")
    return {name: make_identity(folder / name, name=name) for name in NAMES}


@pytest.fixture
def team(tmp_path: Path, people: dict[str, Identity]) -> Team:
    bench = Bench(tmp_path / "project")
    document = load_yaml(bench.root / "params.yaml")
    document["sources"] = {"blood": {"path": "../source"}}
    save_yaml(bench.root / "params.yaml", document)
    made = Team(bench.root, people, tmp_path / "state")
    protection.create_policy(made.root, "cora", people["cora"], environ=made.environ)
    return made


def test_three_roles(team: Team) -> None:
    team.grant("tom", "cleaned", "augmented")
    team.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["augmented", "cleaned"]))
    may = {name: [s for s in ("raw", "cleaned", "augmented", "report") if team.opens(name, s)] for name in NAMES}
    assert may == {
        "cora": ["raw", "cleaned", "augmented", "report"],
        "tom": ["cleaned", "augmented"],
        "olga": [],
        "abel": [],
    }
    facet = team.policy.facets["test-labels"]
    keys = {name: ProjectKeys(team.root, team.people[name], environ=team.environ) for name in NAMES}
    assert keys["cora"].data_keys(facet.domain)
    for name in ("tom", "olga"):
        with pytest.raises(AccessError, match="may not read"):
            keys[name].data_keys(facet.domain)


def test_entries_say_what_dvc_must_know_and_no_more(team: Team) -> None:
    first = load_yaml(team.root / "access/stages.yaml")
    assert dict(first) == {
        stage: {"domain": "d1", "epoch": 1} for stage in ("raw/blood", "cleaned", "augmented", "report")
    }
    done = team.grant("tom", "cleaned")
    assert done.stages == ("cleaned",)  # a domain of its own now
    assert team.grant("olga", "cleaned").stages == ()  # the same data key, wrapped for one more
    assert team.act(lambda wanted: changes.revoked(wanted, "olga", stages=["cleaned"])).stages == ("cleaned",)
    done = team.act(lambda wanted: changes.with_facet(wanted, "provenance", stages=["cleaned"]))
    assert done.stages == ("cleaned",)
    assert load_yaml(team.root / "access/stages.yaml")["cleaned"] == {
        "domain": "d2",
        "epoch": 2,
        "facets": {"provenance": {"domain": "d1", "epoch": 1, "columns": ["provenance", "source_id"]}},
    }
    assert team.act(lambda wanted: changes.declassified(wanted, "report")).stages == ("report",)
    assert load_yaml(team.root / "access/stages.yaml")["report"] == "plain"
    stages = load_yaml(team.root / "dvc.yaml")["stages"]
    assert stages["ingest"]["do"]["params"][0] == {"access/stages.yaml": ["raw/${key}"]}
    assert [stages[name]["params"][0] for name in ("clean", "augment", "report")] == [
        {"access/stages.yaml": [stage]} for stage in ("cleaned", "augmented", "report")
    ]
    assert team.act(lambda wanted: wanted).files == ()


def test_a_stage_is_not_built_where_dvc_goes_by_something_else(team: Team) -> None:
    for stage in ("raw/blood", "cleaned", "augmented", "report"):
        check_entry(team.root, team.policy, stage)
    path = team.root / "access/stages.yaml"
    path.write_text(path.read_text().replace("epoch: 1", "epoch: 2", 1))
    with pytest.raises(AccessError) as refused:
        check_entry(team.root, team.policy, "raw/blood")
    assert str(refused.value) == (
        "access/stages.yaml does not say of raw/blood what the policy says. "
        "Write it anew: dsetkit access finish; then dvc repro."
    )
    protection.finish(team.root, None, team.environ)
    check_entry(team.root, team.policy, "raw/blood")
    path.unlink()
    with pytest.raises(AccessError, match="does not say of cleaned"):
        check_entry(team.root, team.policy, "cleaned")


def test_a_source_that_comes_gets_an_entry(team: Team) -> None:
    document = load_yaml(team.root / "params.yaml")
    document["sources"]["ships"] = {"path": "../ships"}
    save_yaml(team.root / "params.yaml", document)
    with pytest.raises(AccessError, match="does not say of raw/ships"):
        check_entry(team.root, team.policy, "raw/ships")
    refresh_entries(team.root, team.environ)
    check_entry(team.root, team.policy, "raw/ships")
    team.act(lambda wanted: changes.protected(wanted, "raw/ships", "cora"))
    team.grant("tom", "raw/ships")
    entries = load_yaml(team.root / "access/stages.yaml")
    assert (entries["raw/blood"]["domain"], entries["raw/ships"]["domain"]) == ("d1", "d2")


def test_only_admins_change_the_policy(team: Team) -> None:
    team.grant("tom", "cleaned", role="builder")
    for name, said in (("tom", "tom is no admin"), ("olga", "This identity is no principal here")):
        with pytest.raises(AccessError, match=f"{said}, and only admins change the policy. Ask one of them: cora"):
            team.grant("olga", "cleaned", by=name)


def test_an_admin_who_does_not_read_cannot_hand_keys_on(team: Team) -> None:
    team.grant("abel", role="admin")
    before = team.policy.version
    with pytest.raises(AccessError, match="abel does not read the domain d1, so cannot hand its data keys on"):
        team.act(lambda wanted: wanted, "abel", rotate=("d1",))
    assert team.policy.version == before


def test_a_data_key_is_known_to_who_drew_it(team: Team) -> None:
    """An admin who does not read a domain that their grant makes can keep its data key: the act says so."""
    assert team.grant("abel", role="admin").issues == ()
    done = team.grant("tom", "cleaned", by="abel")
    assert [(issue.code, issue.severity, issue.message) for issue in done.issues] == [
        (
            "key-drawn-unread",
            "warning",
            "the data key of d2 was drawn by abel, who does not read it: whoever drew it can open what it seals",
        )
    ]
    assert "dsetkit access rotate d2" in done.issues[0].hint
    assert team.act(lambda wanted: wanted, rotate=("d2",)).issues == ()
    before, after = read_chain(team.root, team.environ).versions[1:3]
    assert drawn_unread(before, after, ("cora", "tom")) == []
    (issue,) = drawn_unread(before, after, ("abel", "cora"))
    assert "drawn by one of abel, cora, of whom abel do not read it" in issue.message
    # Who leaves a domain draws the key of the epoch that shuts them out.
    team.grant("abel", "cleaned", role="builder")
    left = team.act(lambda wanted: changes.revoked(wanted, "abel", stages=["cleaned"]), "abel")
    assert [issue.code for issue in left.issues] == ["key-drawn-unread"]


def test_two_admins_must_sign(team: Team, tmp_path: Path) -> None:
    team.grant("abel", "cleaned", role="admin")
    team.grant("tom", "cleaned")
    done = team.act(lambda wanted: changes.with_settings(wanted, threshold=2))
    assert done.is_pending  # the version itself asks for two
    with pytest.raises(AccessError, match="waits for signatures, and only one can"):
        team.grant("olga", "cleaned")
    digest = protection.pending_digest(done.chain)
    with pytest.raises(AccessError, match="Only admins change the policy"):
        protection.approve_policy(team.root, team.people["tom"], digest, team.environ)
    with pytest.raises(TamperError, match="is not the one you looked at"):
        protection.approve_policy(team.root, team.people["abel"], "0" * 64, team.environ)
    assert not protection.approve_policy(team.root, team.people["abel"], digest, team.environ).is_pending

    done = team.grant("olga", "cleaned")
    assert done.is_pending
    assert not any(team.opens("olga", stage) for stage in ("raw", "cleaned"))
    held = sorted(path.relative_to(team.root).as_posix() for path in (team.root / "access/next").rglob("*.age"))
    assert held == ["access/next/5/d2.held.age"]
    with pytest.raises(AccessError, match="not encrypted for this identity"):
        team.people["olga"].unwrap((team.root / held[0]).read_bytes())
    done = protection.approve_policy(
        team.root, team.people["abel"], protection.pending_digest(done.chain), team.environ
    )
    assert (done.keyrings, done.waiting) == (("d2",), {})
    assert team.opens("olga", "cleaned")
    assert not (team.root / "access/next").exists()

    done = team.act(lambda wanted: changes.revoked(wanted, "olga", stages=["cleaned"]))
    assert done.is_pending
    assert team.opens("olga", "cleaned")  # until it counts
    protection.approve_policy(team.root, team.people["abel"], protection.pending_digest(done.chain), team.environ)
    assert not team.opens("olga", "cleaned")
    assert team.opens("tom", "cleaned")

    done = team.act(lambda wanted: changes.revoked(wanted, "tom", stages=["cleaned"]))
    protection.withdraw_policy(team.root, team.people["cora"], team.environ)
    assert not (team.root / "access/next").exists()
    assert team.opens("tom", "cleaned")


def test_an_approver_who_does_not_read_leaves_the_keyring_to_a_reader(team: Team) -> None:
    team.grant("abel", role="admin")
    team.grant("tom", "cleaned")
    digest = protection.pending_digest(team.act(lambda wanted: changes.with_settings(wanted, threshold=2)).chain)
    protection.approve_policy(team.root, team.people["abel"], digest, team.environ)
    done = team.grant("olga", "cleaned")
    done = protection.approve_policy(
        team.root, team.people["abel"], protection.pending_digest(done.chain), team.environ
    )
    assert done.waiting == {"d2": ("cora", "tom")}
    assert not team.opens("olga", "cleaned")
    with pytest.raises(AccessError, match="waits for one of its readers"):
        team.act(lambda wanted: changes.revoked(wanted, "tom", stages=["cleaned"]), "abel")
    assert protection.finish(team.root, team.people["tom"], team.environ).keyrings == ("d2",)
    assert team.opens("olga", "cleaned")


def kill_at(monkeypatch: pytest.MonkeyPatch, count: int) -> Callable[[], int]:
    """From now on the process ends before it puts the file with this number (1, 2, ...) into its place."""
    seen = 0
    real = os.replace

    def replace(*arguments: object, **more: object) -> None:
        nonlocal seen
        seen += 1
        if seen >= count:
            raise Killed
        real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("os.replace", replace)
    return lambda: seen


def test_killed_between_any_two_writes_it_can_be_done_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revocation: new data key, keyring, version, entries, audit."""
    team.grant("tom", "cleaned")
    team.grant("olga", "cleaned")
    state = Path(team.environ["DSETKIT_STATE"])
    kept = team.root.with_name("kept")
    shutil.copytree(team.root, kept)
    shutil.copytree(state, kept / "state")

    def revoke() -> Change:
        return team.act(lambda wanted: changes.revoked(wanted, "olga", stages=["cleaned"]))

    version, count, killed = team.policy.version, 0, True
    outcomes = set()
    while killed:
        count += 1
        for place, source in ((team.root, kept), (state, kept / "state")):
            shutil.rmtree(place)
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("state"))
        with monkeypatch.context() as patch:
            kill_at(patch, count)
            try:
                revoke()
                killed = False
            except Killed:
                pass
        protection.finish(team.root, None, team.environ)  # by anybody, who replaces no keyring
        protection.finish(team.root, team.people["tom"], team.environ)
        outcomes.add(team.policy.version - version)
        check_entry(team.root, team.policy, "cleaned")
        is_done = team.policy.version > version
        assert (team.opens("cora", "cleaned"), team.opens("tom", "cleaned")) == (True, True)
        assert team.opens("olga", "cleaned") is not is_done
        assert not list((team.root / "access").rglob("next/*/*"))
        if not is_done:
            revoke()
            assert not team.opens("olga", "cleaned")
            assert team.opens("tom", "cleaned")
    assert outcomes == {0, 1}
    assert count > 6


def test_the_first_policy_killed_between_any_two_writes(
    team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root, cora, killed, count = tmp_path / "other", team.people["cora"], True, 0
    while killed:
        count += 1
        environ = {"DSETKIT_STATE": str(tmp_path / f"state-{count}")}
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(team.root / name, root / name)
        with monkeypatch.context() as patch:
            kill_at(patch, count)
            try:
                protection.create_policy(root, "cora", cora, environ=environ)
                killed = False
            except Killed:
                pass
        if not (root / "access/policy/1.json").exists():
            protection.create_policy(root, "cora", cora, environ=environ)
        protection.finish(root, None, environ)
        check_entry(root, read_chain(root, environ).policy, "cleaned")
        assert ProjectKeys(root, cora, environ=environ).data_keys("d1")
    assert count > 5


def test_a_keyring_for_the_next_version_with_other_keys_is_refused(team: Team) -> None:
    """What a committer without rights puts there is no worse than what they could put in place of a keyring."""
    folder = team.root / "access/next/1"
    folder.mkdir(parents=True)
    damaged = (team.root / "access/keys/d1.age").read_bytes()[:-1]
    (folder / "d1.held.age").write_bytes(damaged)
    assert "d1" in protection.finish(team.root, team.people["olga"], team.environ).waiting
    done = protection.finish(team.root, team.people["cora"], team.environ)  # who has the data keys without it
    assert (done.keyrings, done.waiting) == (("d1",), {})
    assert team.opens("cora", "raw/blood")
    folder.mkdir(parents=True)
    (folder / "x.txt").write_bytes(b"")
    with pytest.raises(TamperError, match="is no keyring of the next policy"):
        protection.finish(team.root, team.people["cora"], team.environ)


def test_rubbish_never_replaces_a_keyring(team: Team) -> None:
    """It may be the only copy of a data key, and anybody may put a file among the next ones."""
    team.act(lambda wanted: wanted, rotate=("d1",))
    ring, planted = team.root / "access/keys/d1.age", team.root / "access/next/2/d1.age"
    good = ring.read_bytes()
    policy = team.policy
    other = FreshKeys(policy.project)
    epochs = [{"number": n, "commitment": other("d1", n)} for n in (1, 2)]
    row = policy.model_dump()
    row["domains"]["d1"]["epochs"] = epochs
    chosen = wrap(AccessPolicy.model_validate(row), "d1", other.keys["d1"])
    planted.parent.mkdir(parents=True)
    for data, message in (
        (b"rubbish", "2/d1.age is damaged, or not access/keys/d1.age: you read d1, and cannot open it. Delete it"),
        (chosen, "2/d1.age cannot be the next keyring of d1: .* another data key of epoch 1"),
    ):
        planted.write_bytes(data)
        for who in (None, team.people["tom"]):
            assert protection.finish(team.root, who, team.environ).waiting == {"d1": ("cora",)}
        with pytest.raises(TamperError, match=message):
            protection.finish(team.root, team.people["cora"], team.environ)
        assert ring.read_bytes() == good
        assert team.opens("cora", "raw/blood")
    planted.write_bytes(good)
    assert protection.finish(team.root, None, team.environ).waiting == {}
    assert (ring.read_bytes(), planted.exists()) == (good, False)


def test_only_domains_that_the_step_concerns_are_wrapped(team: Team) -> None:
    team.grant("tom", "cleaned")  # d2: nothing changes of d1
    ring = team.root / "access/keys/d1.age"
    good, version = ring.read_bytes(), team.policy.version
    for name, data in (("d1.held.age", good), ("d1.age", b"rubbish")):
        planted = team.root / f"access/next/{version}" / name
        planted.parent.mkdir(parents=True)
        planted.write_bytes(data)
        assert protection.finish(team.root, team.people["cora"], team.environ).keyrings == ()
        assert (ring.read_bytes(), planted.exists()) == (good, False)


def test_a_version_that_nobody_signed_is_not_adopted(team: Team) -> None:
    """By a committer: Tom, whom it has join the domain of all that was built before."""
    team.grant("tom", "cleaned")
    for stage in ("raw", "augmented", "report"):
        team.act(lambda wanted, stage=stage: changes.granted(known(team, wanted), "olga", "reader", stages=[stage]))
    before = team.policy
    past = min(set(before.domains) - domains_in_use(before))
    assert (past, before.domains[past].readers) == ("d1", ("cora",))
    row = {**before.model_dump(mode="json"), "version": before.version + 1, "previous": digest_of_policy(before)}
    row["domains"][past]["readers"] = ["cora", "tom"]
    evil = AccessPolicy.model_validate({**row, "records_openings": True})
    (team.root / f"access/policy/{evil.version}.json").write_bytes(document_text(evil))
    held = team.root / f"access/next/{evil.version}/{past}.held.age"
    held.parent.mkdir(parents=True)
    held.write_bytes((team.root / f"access/keys/{past}.age").read_bytes())

    with pytest.raises(TamperError, match=r"does not count: .* lacks signatures: signed by 0 of 1 admins"):
        protection.approve_policy(team.root, team.people["cora"], digest_of_policy(evil), team.environ)
    done = protection.finish(team.root, team.people["cora"], team.environ)
    assert ([issue.code for issue in done.issues], held.exists()) == (["policy-ignored"], True)
    done = team.act(lambda wanted: changes.with_settings(wanted, padding="padme"))  # replaces it, and says so
    assert [issue.code for issue in done.issues] == ["policy-ignored"]
    assert (team.policy.version, team.policy.records_openings, held.exists()) == (evil.version, False, False)
    assert team.policy.domains[past] == before.domains[past]


def test_an_admin_who_reads_a_stage_no_more_finishes_all_the_same(team: Team) -> None:
    team.grant("tom", "cleaned")
    done = team.act(lambda wanted: changes.revoked(wanted, "cora", stages=["cleaned"]))
    assert (done.waiting, team.opens("tom", "cleaned"), team.opens("cora", "cleaned")) == ({}, True, False)


def known(team: Team, wanted: Wanted) -> Wanted:
    keys = team.people["olga"].public
    return changes.with_keys(wanted, "olga", age=keys.age, ssh=keys.ssh)


def test_two_at_once_are_refused(team: Team) -> None:
    with (
        protection._locked(team.root),
        pytest.raises(UsageError, match="Another command changes the policy of project right now"),
    ):
        team.grant("tom", "cleaned")
