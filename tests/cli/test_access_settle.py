"""Two admins change the policy on two branches: one command, and all of the team goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.team import Person, Team, the_team

BOTH = ("--stage", "cleaned", "--stage", "augmented")
ALL = (*BOTH, "--stage", "raw", "--stage", "report")


def public(person: Person, root: Path) -> str:
    """The file with somebody's public keys."""
    person.must("dsetkit", "access", "init", person.name)
    file = root / f"{person.name}.pub"
    file.write_text(person.must("dsetkit", "access", "whoami", "--public").out)
    return str(file)


def send(person: Person, message: str) -> None:
    person.commit(message)
    person.must("git", "push", "--quiet")


class Hub:
    """Two admins, ada and cora, each with a clone of a bare repository, and a policy that protects nothing yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cora = Person("cora", root / "cora", root / "coras")
        self.ada = Person("ada", root / "ada", root / "adas")
        self.cora.must("dsetkit", "init", "coras", cwd=root)
        self.cora.must("dsetkit", "access", "init", "cora", "--open")
        keys = public(Person("ada", root / "ada", root / "coras"), root)
        self.cora.must("dsetkit", "access", "grant", "ada", "--role", "admin", "--identity-of", keys)
        self.cora.commit("a project of two admins")
        self.cora.must("git", "clone", "--quiet", "--bare", str(root / "coras"), str(root / "hub"))
        self.cora.must("git", "remote", "add", "origin", str(root / "hub"))
        self.cora.must("git", "fetch", "--quiet")
        branch = self.cora.must("git", "branch", "--show-current").out.strip()
        self.cora.must("git", "branch", "--quiet", f"--set-upstream-to=origin/{branch}")
        self.ada.must("git", "clone", "--quiet", str(root / "hub"), str(root / "adas"), cwd=root)
        self.ada.must("dsetkit", "access", "list")

    def met(self) -> None:
        """Ada's version 3 is pushed, cora's is committed."""
        self.ada.must("dsetkit", "access", "settings", "--padding", "padme")
        send(self.ada, "padding")
        self.cora.must("dsetkit", "access", "settings", "--record-openings")
        self.cora.commit("openings")


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


def told(person: Person, *more: str) -> dict[str, object]:
    ran = person.dsetkit("access", "settle", "--json", *more)
    assert ran.code in (0, 1), ran.told
    found: dict[str, object] = ran.json()
    return found


def sound(person: Person) -> str:
    """What an audit that verifies says."""
    ran = person.dsetkit("access", "audit", "--verify")
    assert ran.code == 0, ran.told
    return ran.told


@pytest.mark.slow
def test_a_merge_is_settled(hub: Hub) -> None:
    hub.met()
    cora = hub.cora
    assert cora.run("git", "pull", "--no-rebase", "--quiet").code != 0
    for command in ("list", "finish"):
        ran = cora.dsetkit("access", command)
        assert ran.code == 1
        assert "conflict markers" in ran.err
        assert "dsetkit access settle" in ran.err
    before = cora.must("git", "status", "--porcelain").out
    asked = cora.dsetkit("access", "settle")
    assert asked.code == 1
    assert "to drop: version 3 (yours, never pushed)" in asked.out
    assert "to do again, if it is still wanted: access settings records_openings" in asked.out
    assert cora.must("git", "status", "--porcelain").out == before
    cora.must("dsetkit", "access", "settle", "--yes")
    cora.must("git", "commit", "--quiet", "--no-edit")
    assert "[audit-dropped]" in sound(cora)
    cora.must("dsetkit", "access", "settings", "--record-openings")
    send(cora, "openings, again")
    hub.ada.must("git", "pull", "--quiet")
    policy = hub.ada.dsetkit("access", "list", "--json").json()
    assert (policy["version"], policy["padding"], policy["records_openings"]) == (4, "padme", True)
    assert "[audit-dropped]" in sound(hub.ada)
    hub.ada.must("dsetkit", "access", "settings", "--no-record-openings")
    assert told(cora)["done"] is False  # nothing is left to settle
    hub.ada.must("dsetkit", "access", "audit", "--anchor")


@pytest.mark.slow
def test_a_reset_and_a_rebase_are_settled(hub: Hub) -> None:
    hub.met()
    cora = hub.cora
    cora.must("git", "fetch", "--quiet")
    shutil.copytree(hub.root / "coras", hub.root / "other", symlinks=True)
    shutil.copytree(cora.home, hub.root / "other-cora", symlinks=True)
    cora.must("git", "reset", "--quiet", "--hard", "@{upstream}")
    ran = cora.dsetkit("access", "list")
    assert ran.code == 1
    assert "dsetkit access settle" in ran.err
    state = cora.home / "state"
    for folder in ("projects", "audit"):
        (file,) = (state / folder).glob("*.json")
        assert str(file) in " ".join(ran.err.split())
    cora.must("dsetkit", "access", "settle", "--yes")
    assert "[audit-dropped]" in sound(cora)  # the entry that the reset took away is back
    cora.must("dsetkit", "access", "settings", "--record-openings")
    other = Person("cora", hub.root / "other-cora", hub.root / "other")
    assert other.run("git", "rebase", "--quiet", "@{upstream}").code != 0
    other.must("dsetkit", "access", "settle", "--yes")
    other.must("git", "-c", "core.editor=true", "rebase", "--continue")
    assert "[audit-dropped]" in sound(other)


@pytest.mark.slow
def test_what_was_left_of_a_merge_by_hand_is_settled(hub: Hub) -> None:
    hub.met()
    cora = hub.cora
    assert cora.run("git", "pull", "--no-rebase", "--quiet").code != 0
    cora.must("git", "checkout", "--theirs", "access/policy/3.json")
    send(cora, "merged by hand")
    hub.ada.must("git", "pull", "--quiet")
    ran = hub.ada.dsetkit("access", "list")
    assert ran.code == 1
    assert "access/policy/3.cora.sig" in ran.err
    assert "dsetkit access settle" in ran.err
    hub.ada.must("dsetkit", "access", "settle")  # she has seen nothing that is dropped
    hub.ada.must("dsetkit", "access", "list")
    assert not (hub.ada.place / "access/policy/3.cora.sig").exists()
    ran = cora.dsetkit("access", "settle", "--yes")
    assert ran.code == 2  # it was pushed with the merge
    digest = told(cora)["kept"]["digest"]  # type: ignore[index]
    cora.must("dsetkit", "access", "settle", "--digest", digest)
    send(cora, "settled")
    hub.ada.must("git", "checkout", "--quiet", ".")
    hub.ada.must("git", "pull", "--quiet")
    assert "[audit-dropped]" in sound(hub.ada)


@pytest.mark.slow
def test_a_yes_does_not_undo_a_revocation(hub: Hub) -> None:
    """Ada, who was revoked, signs another version in the place of that: cora is not led to drop what she published."""
    shutil.copytree(hub.ada.place, hub.root / "before", symlinks=True)
    shutil.copytree(hub.ada.home, hub.root / "before-ada", symlinks=True)
    hub.cora.must("dsetkit", "access", "revoke", "ada", "--all")
    send(hub.cora, "ada is gone")
    ada = Person("ada", hub.root / "before-ada", hub.root / "before")
    ada.must("dsetkit", "access", "settings", "--padding", "padme")
    ada.commit("a fork")
    ada.must("git", "push", "--quiet", "--force")
    (hub.cora.place / "note").write_text("work")
    hub.cora.commit("work")
    assert hub.cora.run("git", "pull", "--no-rebase", "--quiet").code != 0
    plan = told(hub.cora)
    assert plan["needs_digest"] is True
    refused = hub.cora.dsetkit("access", "settle", "--yes")
    assert refused.code == 2
    assert "Ask the other admins" in refused.err
    assert hub.cora.dsetkit("access", "settle", "--digest", "0" * 64).code == 2
    hub.cora.must("dsetkit", "access", "settle", "--with", "HEAD", "--yes")
    assert list(hub.cora.dsetkit("access", "list", "--json").json()["principals"]) == ["cora"]


@pytest.mark.slow
def test_all_of_a_team_goes_on(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """As in docs/access.md: two grants, a merge, and everybody pulls, opens, verifies, builds and grants."""
    team: Team = the_team(tmp_path_factory, "demo").copied(tmp_path / "team")
    cora, tom, olga = team.people
    cora.must("git", "clone", "--quiet", "--bare", str(team.project), str(team.root / "hub"))
    cora.must("git", "remote", "add", "origin", str(team.root / "hub"))
    cora.must("git", "fetch", "--quiet")
    branch = cora.must("git", "branch", "--show-current").out.strip()
    cora.must("git", "branch", "--quiet", f"--set-upstream-to=origin/{branch}")
    for person in (tom, olga):
        person.must("git", "remote", "set-url", "origin", str(team.root / "hub"))
    cora.must("dsetkit", "access", "grant", "olga", "--role", "admin", "--identity-of", public(olga, team.root), *ALL)
    cora.must("dvc", "repro", "--quiet")
    cora.must("dvc", "push", "--quiet")
    send(cora, "olga is an admin")
    olga.must("git", "pull", "--quiet")
    keys = {name: public(Person(name, team.root / name, olga.place), team.root) for name in ("bob", "dan")}
    olga.must("dsetkit", "access", "grant", "bob", "--identity-of", keys["bob"], *BOTH)
    send(olga, "bob reads")
    cora.must("dsetkit", "access", "grant", "dan", "--identity-of", keys["dan"], *BOTH)
    cora.commit("dan reads")
    assert cora.run("git", "pull", "--no-rebase", "--quiet").code != 0
    cora.must("dsetkit", "access", "settle", "--yes")
    cora.must("git", "commit", "--quiet", "--no-edit")
    cora.must("dsetkit", "access", "grant", "dan", "--identity-of", keys["dan"], *BOTH)
    cora.must("dvc", "repro", "--quiet")
    cora.must("dvc", "push", "--quiet")
    send(cora, "dan reads, too")
    for person in (tom, olga):
        person.must("git", "pull", "--quiet")
        person.must("dvc", "pull", "--quiet", "clean", "augment")
        person.must("dsetkit", "show", "data/cleaned")
        sound(person)
    readers = olga.dsetkit("access", "list", "--json").json()["stages"]["cleaned"]["readers"]
    assert {"bob", "dan", "tom"} <= set(readers)
    olga.must("dvc", "pull", "--quiet")
    olga.must("dvc", "repro", "--quiet")
    olga.must("dsetkit", "access", "revoke", "bob", "--all")
    for name in ("bob", "dan"):
        reader = Person(name, team.root / name, cora.place)
        assert reader.dsetkit("show", "data/cleaned").code == 0
    json.dumps(told(cora))
