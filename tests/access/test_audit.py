from __future__ import annotations

import hashlib
import json
import random
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.access import audit
from dsetkit.access.audit_anchor import anchor_text
from dsetkit.access.audit_chain import Act, Entry, chain_name, parse_chain
from dsetkit.access.audit_claims import unknown_entries
from dsetkit.access.domains import assign
from dsetkit.access.identity import Identity
from dsetkit.access.policy import read_chain, write_next
from dsetkit.access.wanted import Wanted, WantedStage
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.base import canonical_json

AT = "2030-01-02T03:04:05Z"


class Log:
    """A team with entries of ada (5) and bob (2)."""

    def __init__(self, team: object) -> None:
        self.team = team  # of conftest: a real chain of policies
        self.root: Path = team.root  # type: ignore[attr-defined]
        self.environ: dict[str, str] = team.environ  # type: ignore[attr-defined]
        self.people: dict[str, Identity] = team.people  # type: ignore[attr-defined]
        wanted = team.wanted()  # type: ignore[attr-defined]
        everyone = {**wanted.principals, "bob": self.people["bob"].public}
        stage = WantedStage(frozenset({"ada", "bob"}), frozenset({"ada"}))
        self.add("ada", "init")
        team.change(replace(wanted, principals=everyone, stages={"cleaned": stage}))  # type: ignore[attr-defined]
        for _ in range(4):
            self.add("ada", "grant")
        for _ in range(2):
            self.add("bob", "open")

    def add(self, who: str, act: Act, environ: dict[str, str] | None = None) -> Entry | None:
        chain = self.team.chain  # type: ignore[attr-defined]
        return audit.append(
            self.root, chain, self.people[who], act, "cleaned", {"n": 1}, environ or self.environ, at=AT
        )

    def file(self, who: str) -> Path:
        return self.root / chain_name(who)

    def codes(self, *, as_other: bool = False, anchors: list[tuple[str, bytes, bytes]] | None = None) -> list[str]:
        environ = self.team.elsewhere("other") if as_other else self.environ  # type: ignore[attr-defined]
        chain = self.team.chain  # type: ignore[attr-defined]
        return [issue.code for issue in audit.verify_chains(self.root, chain, anchors or (), environ).issues]


@pytest.fixture
def log(team: object) -> Log:
    return Log(team)


def test_entries_are_numbered_linked_and_signed(log: Log) -> None:
    found = audit.verify_chains(log.root, log.team.chain, (), log.environ)  # type: ignore[attr-defined]
    assert found.issues == ()
    assert {name: head.number for name, head in found.heads.items()} == {"ada": 5, "bob": 2}
    by_ada = [one.entry for one in found.entries if one.entry.principal == "ada"]
    assert sorted((entry.number, entry.policy.version) for entry in by_ada) == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2)]
    line = json.loads(log.file("ada").read_text().splitlines()[0])
    assert line["entry"] == {
        "act": "init",
        "at": AT,
        "details": {"n": 1},
        "number": 1,
        "policy": line["entry"]["policy"],
        "principal": "ada",
        "subject": "cleaned",
    }


def test_who_is_nobody_leaves_no_entry(log: Log) -> None:
    assert log.add("mallory", "open") is None
    assert not log.file("mallory").exists()


def lines(log: Log, who: str = "ada") -> list[bytes]:
    return log.file(who).read_bytes().splitlines(keepends=True)


def rewrite(log: Log, parts: list[bytes], who: str = "ada") -> None:
    log.file(who).write_bytes(b"".join(parts))


def rewritten_by(log: Log, who: str, count: int) -> None:
    """The whole chain of ada, written anew by somebody else."""
    log.file("ada").unlink()
    identity = log.people[who]
    namespace = f"dsetkit-audit@{log.team.chain.policy.project}"  # type: ignore[attr-defined]
    digest, text = None, b""
    for number in range(1, count + 1):
        chain = log.team.chain  # type: ignore[attr-defined]
        row = {
            "act": "grant",
            "at": AT,
            "number": number,
            "policy": {"version": chain.policy.version, "digest": chain.digest},
            "principal": "ada",
            "subject": "cleaned",
            **({"previous": digest} if digest else {}),
        }
        line = canonical_json({"entry": row, "signature": identity.sign(canonical_json(row).encode(), namespace)})
        text += f"{line}\n".encode()
        digest = hashlib.sha256(f"{line}\n".encode()).hexdigest()
    log.file("ada").write_bytes(text)


ATTACKS: dict[str, tuple[Callable[[Log], object], str, bool]] = {
    "an entry taken out": (lambda log: rewrite(log, [*lines(log)[:2], *lines(log)[3:]]), "audit-altered", True),
    "two entries swapped": (
        lambda log: rewrite(log, [lines(log)[1], lines(log)[0], *lines(log)[2:]]),
        "audit-altered",
        True,
    ),
    "an entry twice": (lambda log: rewrite(log, [*lines(log), lines(log)[-1]]), "audit-altered", True),
    "an entry altered": (
        lambda log: rewrite(log, [lines(log)[0].replace(b'"init"', b'"open"'), *lines(log)[1:]]),
        "audit-altered",
        True,
    ),
    "cut within an entry": (
        lambda log: log.file("ada").write_bytes(log.file("ada").read_bytes()[:-9]),
        "audit-altered",
        True,
    ),
    "cut after an entry": (lambda log: rewrite(log, lines(log)[:-1]), "audit-cut", False),
    "all entries gone": (lambda log: rewrite(log, []), "audit-cut", False),
    "the file gone": (lambda log: log.file("ada").unlink(), "audit-cut", False),
    "another's chain in its place": (lambda log: shutil.copy(log.file("bob"), log.file("ada")), "audit-altered", True),
    "written anew by another principal": (lambda log: rewritten_by(log, "bob", 6), "audit-altered", True),
    "written anew by a stranger": (lambda log: rewritten_by(log, "mallory", 6), "audit-altered", True),
    "written anew by its owner": (lambda log: rewritten_by(log, "ada", 6), "audit-rewritten", False),
    "a file that is none": (lambda log: (log.root / "access/audit/x.json").write_text("{}"), "audit-altered", True),
    "a chain of nobody": (
        lambda log: (log.root / "access/audit/mallory.jsonl").write_bytes(
            log.file("ada").read_bytes().replace(b'"ada"', b'"mallory"')
        ),
        "audit-altered",
        True,
    ),
    "a link": (
        lambda log: (log.file("ada").unlink(), log.file("ada").symlink_to(log.file("bob"))),
        "audit-altered",
        True,
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_found(log: Log, name: str) -> None:
    attack, code, is_found_by_all = ATTACKS[name]
    assert log.codes() == []
    attack(log)
    assert log.codes() == [code]
    assert (code in log.codes(as_other=True)) is is_found_by_all


def tagged(log: Log, signer: str, principal: str, heads: str | None = None) -> tuple[str, bytes, bytes]:
    """An anchor with the heads that there are, or with others in their place."""
    chain = log.team.chain  # type: ignore[attr-defined]
    text = anchor_text(chain, "ada", audit.verify_chains(log.root, chain, (), log.environ).heads)
    text = text.replace("\nby ada\n", f"\nby {principal}\n")
    if heads is not None:
        text = text[: text.index("head ")] + heads
    data = f"object {'0' * 40}\ntype commit\ntag dsetkit-audit-1\ntagger x <x> 1 +0000\n\n{text}".encode()
    return "dsetkit-audit-1", data, log.people[signer].sign(data, "git").encode()


def test_what_one_user_has_not_seen_an_anchor_tells(log: Log) -> None:
    good = tagged(log, "ada", "ada")
    assert log.codes(as_other=True, anchors=[good]) == []
    assert log.codes(anchors=[tagged(log, "bob", "ada")]) == ["audit-anchor"]
    assert log.codes(anchors=[tagged(log, "mallory", "mallory")]) == ["audit-anchor"]
    assert log.codes(anchors=[("dsetkit-audit-2", *good[1:])]) == ["audit-anchor"]
    assert log.codes(anchors=[(good[0], good[1].replace(b"head ada 5", b"head ada 4"), good[2])]) == ["audit-anchor"]
    assert log.codes(anchors=[(good[0], good[1], b"")]) == ["audit-anchor"]
    rewrite(log, lines(log)[:-1])
    assert log.codes(as_other=True, anchors=[good]) == ["audit-cut"]
    rewritten_by(log, "ada", 6)
    assert log.codes(as_other=True, anchors=[good]) == ["audit-rewritten"]


D = "0" * 64


@pytest.mark.parametrize(
    "heads",
    [
        f"head nobody 0 {D}\n",
        f"head ada -1000000 {D}\n",
        f"head ada {2**63} {D}\n",
        f"head ada {'9' * 5000} {D}\n",
        f"head ada 05 {D}\n",
        f"head ada 5 {'A' * 64}\n",
        f"head ada 5 {D[1:]}\n",
        f"head ../x 5 {D}\n",
        f"head ada 4 {D}\nhead ada 5 {D}\n",
        f"head bob 1 {D}\nhead ada 1 {D}\n",
        f"head ada 1 {D} x\n",
        f"head ada 1 {D}\x0bhead bob 1 {D}\n",
        f"head ada 1 {D}",
        f"head ada 1 {D}\n\n",
        f"by ada\nhead ada 1 {D}\n",
        f"what ada 1 {D}\n",
    ],
    ids=lambda heads: repr(heads[:20]),
)
def test_an_anchor_with_heads_that_cannot_be_is_none(log: Log, heads: str) -> None:
    assert log.codes(anchors=[tagged(log, "ada", "ada", heads)]) == ["audit-anchor"]


def test_only_anchors_of_admins_accuse(log: Log) -> None:
    chain = log.team.chain  # type: ignore[attr-defined]
    framing = f"head ada 999 {D}\n"
    found = audit.verify_chains(log.root, chain, [tagged(log, "bob", "bob", framing)], log.environ)
    assert [(issue.code, issue.severity, issue.file) for issue in found.issues] == [
        ("audit-anchor", "warning", "tag dsetkit-audit-1")
    ]
    assert "was signed by bob, who was no admin then" in found.issues[0].message
    assert (found.anchors, len(found.heads), len(found.entries)) == ((), 2, 7)
    with pytest.raises(AccessError, match="bob is no admin, and only anchors of admins count"):
        anchor_text(chain, "bob", found.heads)
    found = audit.verify_chains(log.root, chain, [tagged(log, "ada", "ada", framing)], log.environ)
    assert [issue.code for issue in found.issues] == ["audit-cut"]
    assert found.issues[0].message == (
        "by the tag dsetkit-audit-1, it had 999 entries, and it has 5; ada signed that tag"
    )


def test_an_admin_of_then_may_have_anchored(log: Log) -> None:
    team, good = log.team, tagged(log, "ada", "ada")
    wanted = team.wanted()  # type: ignore[attr-defined]
    team.change(replace(wanted, admins=frozenset({"ada", "bob"})))  # type: ignore[attr-defined]
    alone = team.draft(replace(wanted, admins=frozenset({"bob"})))  # type: ignore[attr-defined]
    write_next(log.root, alone, log.people["bob"], log.environ)
    assert team.chain.policy.admins == ("bob",)  # type: ignore[attr-defined]
    rewrite(log, lines(log)[:-1])
    assert log.codes(as_other=True, anchors=[good]) == ["audit-cut"]


def test_entries_that_are_added_at_once_follow_on_each_other(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    real = audit.write_below

    def slow(root: Path, name: str, data: bytes) -> None:
        time.sleep(0.02)
        real(root, name, data)

    monkeypatch.setattr(audit, "write_below", slow)
    added: list[Entry | None] = []
    threads = [threading.Thread(target=lambda: added.append(log.add("ada", "open"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.number for entry in added if entry is not None) == [6, 7, 8, 9]
    assert log.codes() == []


def test_a_process_that_read_an_older_policy_spoils_no_chain(log: Log) -> None:
    team = log.team
    stale = team.chain  # type: ignore[attr-defined]
    team.change(replace(team.wanted(), records_openings=True))  # type: ignore[attr-defined]
    log.add("ada", "settings")
    entry = audit.append(log.root, stale, log.people["ada"], "open", "cleaned", {}, log.environ, at=AT)
    assert entry is not None
    assert (entry.number, entry.policy.version) == (7, 3)
    assert log.codes() == []


def test_an_entry_that_nobody_could_read_is_not_added(log: Log) -> None:
    chain = log.team.chain  # type: ignore[attr-defined]
    with pytest.raises(TamperError, match="cannot take an entry of more than 65,536 bytes"):
        audit.append(log.root, chain, log.people["ada"], "open", "cleaned", {"x": "y" * 70_000}, log.environ)
    assert log.codes() == []


def test_a_chain_is_looked_at_before_an_act(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    project = log.team.chain.policy.project  # type: ignore[attr-defined]
    before = log.file("ada").read_bytes()
    for name in ("ada", "bob", "cy"):
        audit.check_appendable(log.root, project, name, log.environ)
    assert (log.file("ada").read_bytes(), log.file("cy").exists()) == (before, False)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "MAX_CHAIN_BYTES", 65_000)
        with pytest.raises(TamperError, match="is full"):
            audit.check_appendable(log.root, project, "ada", log.environ)
    for spoilt, said in ((before[:-1], "ends in the midst"), (b"", "it had 5 entries, and it is gone")):
        log.file("ada").write_bytes(spoilt)
        with pytest.raises(TamperError, match=said):
            audit.check_appendable(log.root, project, "ada", log.environ)


def test_a_chain_is_read_no_further_than_its_first_bad_line() -> None:
    text = b"\n" * (4 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(TamperError, match="line 1 is no entry"):
            parse_chain(text, "ada")
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_nothing_is_added_to_a_chain_that_was_cut(log: Log) -> None:
    rewrite(log, lines(log)[:-1])
    with pytest.raises(TamperError, match="by what you have seen, it had 5 entries, and it has 4"):
        log.add("ada", "grant")


def test_a_version_that_no_entry_tells_of_is_a_warning(log: Log) -> None:
    team = log.team
    team.change(replace(team.wanted(), records_openings=True))  # type: ignore[attr-defined]
    found = audit.verify_chains(log.root, team.chain, (), log.environ)  # type: ignore[attr-defined]
    assert [(issue.code, issue.severity) for issue in found.issues] == [("audit-gap", "warning")]
    assert "version 3 of the policy is signed, and no entry tells of it" in found.issues[0].message


def test_who_was_no_admin_tells_of_no_act_on_the_policy(log: Log) -> None:
    """Such entries of a reader silence no gap, and are told of by owner and line."""
    team = log.team
    team.change(replace(team.wanted(), records_openings=True))  # type: ignore[attr-defined]
    log.add("bob", "approve")
    log.add("bob", "sign")
    found = audit.verify_chains(log.root, team.chain, (), log.environ)  # type: ignore[attr-defined]
    claim, gap = found.issues
    assert (gap.code, gap.file) == ("audit-gap", "access/policy/3.json")
    assert (claim.code, claim.severity, claim.count) == ("audit-claim", "warning", 2)
    assert claim.file == f"{chain_name('bob')}, line 3"
    assert claim.message == "bob tells of approve cleaned, and was no admin then: it counts for nothing"
    log.add("ada", "approve")
    assert log.codes() == ["audit-claim"]


def test_who_takes_themselves_out_tells_of_it(log: Log) -> None:
    """An entry of an admin of the version before counts, and of a builder's signature by the policy it names."""
    team = log.team
    wanted = team.wanted()  # type: ignore[attr-defined]
    team.change(replace(wanted, admins=frozenset({"ada", "bob"})))  # type: ignore[attr-defined]
    log.add("ada", "grant")
    team.change(replace(team.wanted(), admins=frozenset({"ada"})))  # type: ignore[attr-defined]
    log.add("bob", "revoke")
    log.add("ada", "sign")
    assert log.codes() == []


def test_no_flipped_bit_is_accepted(log: Log) -> None:
    whole = log.file("ada").read_bytes()
    chooser = random.Random(7)
    chain = log.team.chain  # type: ignore[attr-defined]
    for _ in range(400):
        spoilt = bytearray(whole)
        spoilt[chooser.randrange(len(whole))] ^= 1 << chooser.randrange(8)
        with pytest.raises(TamperError):
            audit._check_signatures(parse_chain(bytes(spoilt), "ada"), chain, "x")


@given(st.binary(max_size=300))
def test_bytes_that_are_no_chain_are_refused(data: bytes) -> None:
    if data:
        with pytest.raises(TamperError):
            parse_chain(data, "ada")


def forked(log: Log) -> list[dict[str, object]]:
    """Ada's entry 6 tells of a version 3 that was dropped for another one; gives how a ``settle`` entry names it."""
    team, environ = log.team, log.team.elsewhere("fork")  # type: ignore[attr-defined]
    there = log.root.with_name("there")
    shutil.copytree(log.root, there)
    wanted = Wanted.of(read_chain(there, environ).policy)
    policy = assign(
        read_chain(there, environ).policy,
        replace(wanted, padding="padme"),
        past=read_chain(there, environ).past,
        commit=lambda *_: "",
        rotate=(),
    )
    fork = write_next(there, policy, log.people["ada"], environ)
    team.change(replace(team.wanted(), records_openings=True))  # type: ignore[attr-defined]
    audit.append(log.root, fork, log.people["ada"], "settings", "padding", {}, log.environ, at=AT)
    log.add("ada", "settings")
    return [{"version": 3, "digest": fork.digest}]


def test_an_act_under_a_version_that_was_dropped_is_a_warning_once_that_is_said(log: Log) -> None:
    dropped = forked(log)
    chain = log.team.chain  # type: ignore[attr-defined]
    assert log.codes() == ["audit-altered"]
    found = audit.verify_chains(log.root, chain, (), log.environ).issues[0]
    assert "names a policy, version 3, that this project does not have" in found.message
    assert "dsetkit access settle" in found.hint
    assert [entry.number for entry in unknown_entries(log.root, chain, "ada")] == [6]
    audit.append(log.root, chain, log.people["ada"], "settle", "version 3", {"dropped": dropped}, log.environ, at=AT)
    assert log.codes() == ["audit-dropped"]
    assert unknown_entries(log.root, chain, "ada") == []
    rewrite(log, [line.replace(b'"padding"', b'"praying"') for line in lines(log)])
    assert log.codes() == ["audit-altered"]  # it is still to be signed, and in its place


def test_who_is_no_admin_says_of_nobody_else_that_a_version_was_dropped(log: Log) -> None:
    dropped = forked(log)
    chain = log.team.chain  # type: ignore[attr-defined]
    audit.append(log.root, chain, log.people["bob"], "settle", "version 3", {"dropped": dropped}, log.environ, at=AT)
    assert log.codes() == ["audit-altered"]
