from __future__ import annotations

from typing import Any

from dsetkit.access import changes
from dsetkit.access.domains import assign
from dsetkit.access.effects import become_plain, effects
from dsetkit.access.wanted import Wanted, WantedStage
from dsetkit.spec.policy import AccessPolicy, Principal


def person(number: int) -> Principal:
    return Principal(age=(f"age1{str(number) * 58}",), ssh=(f"ssh-ed25519 {'A' * 8}{number}",))


PEOPLE = {"cora": person(1), "tom": person(2)}
BOTH, ONE = frozenset(PEOPLE), frozenset({"cora"})


def commit(domain: str, epoch: int) -> str:
    return f"{int(domain[1:]):032x}{epoch:032x}"


def first(**stages: WantedStage) -> AccessPolicy:
    empty = changes.first_policy("ab" * 16, "cora", person(1), stages=(), commit=commit)
    rules = {name.replace("_", "/"): rule for name, rule in stages.items()}
    return assign(empty, Wanted(PEOPLE, ONE, stages=rules), past=(), commit=commit)


def after(before: AccessPolicy, wanted: Wanted) -> AccessPolicy:
    return assign(before, wanted, past=(), commit=commit)


def told(before: AccessPolicy, act: Any, *arguments: Any, **options: Any) -> list[str]:
    return effects(before, after(before, act(Wanted.of(before), *arguments, **options)))


def test_what_follows_for_stages_that_were_not_named() -> None:
    before = first(raw=WantedStage(ONE, ONE))
    assert effects(before, before) == []
    lines = told(before, changes.granted, "tom", "reader", stages=["raw"])
    assert lines == [
        f"{name} follows what it is made from: tom may read it" for name in ("cleaned", "augmented", "report")
    ]
    lines = told(before, changes.granted, "tom", "builder", stages=["cleaned"])
    assert lines == [
        "augmented follows what it is made from: tom may build it",
        "report follows what it is made from: tom may build it",
    ]
    faceted = after(before, changes.with_facet(Wanted.of(before), "labels", stages=["raw"], columns=["annotations"]))
    assert effects(before, faceted) == []  # stricter
    assert told(faceted, changes.without_facet, "labels")[0] == (
        "cleaned follows what it is made from: labels kept apart in it no more"
    )


def test_what_becomes_undecided_is_told() -> None:
    before = first(raw_alfa=WantedStage(BOTH, ONE), raw_zeta=WantedStage(BOTH, ONE))
    (line,) = told(before, changes.with_facet, "labels", stages=["raw/zeta"], columns=["annotations"])
    assert line.startswith(
        "cleaned, augmented, report cannot be built any more: cleaned is made from raw/alfa and raw/zeta, which have "
        "different facets (raw/alfa: none; raw/zeta: labels). Have an admin give it a rule of its own: "
        "dsetkit access protect cleaned."
    )
    undecided = after(
        before, changes.with_facet(Wanted.of(before), "labels", stages=["raw/zeta"], columns=["annotations"])
    )
    assert told(undecided, changes.protected, "cleaned", "cora") == [
        "augmented follows what it is made from: cora may build it; tom may read it",
        "report follows what it is made from: cora may build it; tom may read it",
    ]


def test_what_becomes_plain_is_told() -> None:
    before = first(raw=WantedStage(ONE, ONE), report=WantedStage(ONE, ONE))
    wanted = changes.declassified(Wanted.of(before), "cleaned")
    assert effects(before, after(before, wanted)) == ["augmented becomes plain too: everybody reads it"]
    assert become_plain(before, after(before, wanted)) == ["cleaned", "augmented"]
