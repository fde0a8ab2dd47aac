from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.access.domains import assign
from dsetkit.access.keyring import needs_wrapping
from dsetkit.access.policy import check_follows
from dsetkit.access.rules import digest_of_policy, facets_of, rule_of
from dsetkit.access.wanted import Wanted, WantedFacet, WantedStage
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy, Principal

Commit = Callable[[str, int], str]
Rules = dict[str, WantedStage]
PEOPLE = ("a", "b", "c", "d")
STAGES = ("raw", "raw/x", "cleaned", "augmented", "report")
COLUMNS = ("annotations", "provenance")


def person(number: int) -> Principal:
    key = f"{number:02d}"
    return Principal(age=("age1" + key * 29,), ssh=(f"ssh-ed25519 AAAA{key}",))


def first() -> AccessPolicy:
    people = {name: person(number) for number, name in enumerate(PEOPLE)}
    return AccessPolicy(project="ab" * 16, version=1, admins=("a",), principals=people)


def commits() -> Commit:
    numbers = count(1)
    return lambda domain, epoch: f"{next(numbers):064x}"


def who(readers: str, builders: str = "") -> WantedStage:
    return WantedStage(frozenset(readers), frozenset(builders))


def grow(
    policies: list[AccessPolicy], wanted: Wanted, commit: Callable[[str, int], str], **more: tuple[str, ...]
) -> None:
    policies.append(assign(policies[-1], wanted, past=policies[:-1], commit=commit, **more))


def chain(
    *stages: dict[str, WantedStage], facets: dict[int, dict[str, WantedFacet]] | None = None
) -> list[AccessPolicy]:
    policies, commit = [first()], commits()
    for number, wanted in enumerate(stages):
        row = replace(Wanted.of(policies[-1]), stages=wanted, facets=(facets or {}).get(number, {}))
        grow(policies, row, commit)
    return policies


def test_a_domain_persists_when_all_it_seals_changes_alike() -> None:
    policies = chain(
        {"cleaned": who("ab", "a"), "augmented": who("ab")},
        {"cleaned": who("abc", "a"), "augmented": who("abc")},
        {"cleaned": who("ac", "a"), "augmented": who("ac")},
    )
    told = [
        (p.stages["cleaned"].domain, p.stages["augmented"].domain, len(p.domains["d1"].epochs)) for p in policies[1:]
    ]
    assert told == [("d1", "d1", 1), ("d1", "d1", 1), ("d1", "d1", 2)]
    assert policies[-1].domains["d1"].readers == ("a", "c")
    assert policies[-1].stages["cleaned"].builders == ("a",)


def test_what_differs_moves_and_the_rest_stays() -> None:
    policies = chain(
        {"cleaned": who("ab"), "augmented": who("ab"), "report": who("a")},
        {"cleaned": who("ab"), "augmented": who("a"), "report": who("a")},
        {"cleaned": who("ab"), "augmented": who("ac"), "report": who("a")},
    )
    assert [{s: r.domain for s, r in p.stages.items()} for p in policies[1:]] == [
        {"cleaned": "d1", "augmented": "d1", "report": "d2"},
        {"cleaned": "d1", "augmented": "d2", "report": "d2"},
        {"cleaned": "d1", "augmented": "d3", "report": "d2"},
    ]


def test_nobody_joins_a_domain_that_once_sealed_what_is_not_for_them() -> None:
    policies = chain(
        {"cleaned": who("ab"), "augmented": who("ab")},
        {"cleaned": who("ab"), "augmented": who("a")},  # d1 still has the key of old versions of augmented
        {"cleaned": who("abc"), "augmented": who("a")},
    )
    assert policies[-1].stages["cleaned"].domain == "d3"
    assert policies[-1].domains["d1"].readers == ("a", "b")


def test_nobody_joins_a_domain_from_before_a_facet_was_kept_apart() -> None:
    labels = WantedFacet(("cleaned",), ("annotations",), frozenset("a"), ("test",))
    stage = {"cleaned": who("a", "a")}
    before = chain(stage, {"cleaned": who("ac", "a")}, facets={1: {"labels": labels}})
    assert before[-1].stages["cleaned"].domain == "d2"  # d1 seals versions with the labels in their rows
    after = chain(stage, stage, {"cleaned": who("ac", "a")}, facets={1: {"labels": labels}, 2: {"labels": labels}})
    assert after[-1].stages["cleaned"].domain == "d2"
    reads = replace(labels, readers=frozenset("ac"))
    allowed = chain(stage, {"cleaned": who("ac", "a")}, facets={1: {"labels": reads}})
    assert allowed[-1].stages["cleaned"].domain == "d1"


def test_nobody_joins_a_domain_that_sealed_a_source_which_has_its_own_rule_now() -> None:
    policies = chain({"raw": who("a")}, {"raw": who("ab"), "raw/x": who("a")})
    assert policies[-1].stages["raw"].domain != policies[-2].stages["raw"].domain
    rest = {name: who("d") for name in ("cleaned", "augmented", "report")}
    apart = {**rest, "raw": who("ab"), "raw/x": who("a")}
    policies = chain({**rest, "raw": who("ab")}, apart, {**apart, "raw": who("abc")})
    assert [policy.stages["raw"].domain for policy in policies[1:]] == ["d2", "d2", "d4"]


def test_nobody_joins_a_facet_that_once_was_of_other_columns() -> None:
    stage = {"cleaned": who("abcd")}
    labels = WantedFacet(("cleaned",), ("annotations",), frozenset("ab"))
    sources = replace(labels, columns=("provenance",))
    facets = {0: {"f": labels}, 1: {"f": sources}, 2: {"f": replace(sources, readers=frozenset("abc"))}}
    policies = chain(stage, stage, stage, facets=facets)
    assert [policy.facets["f"].domain for policy in policies[1:]] == ["d2", "d2", "d3"]
    same = chain(stage, stage, facets={0: facets[1], 1: facets[2]})
    assert [policy.facets["f"].domain for policy in same[1:]] == ["d2", "d2"]


def test_nobody_joins_a_domain_that_sealed_what_inherited_it() -> None:
    policies = chain({"cleaned": who("a")}, {"cleaned": who("ab"), "augmented": who("a")})
    assert policies[-1].stages["cleaned"].domain == "d2"
    assert chain({"cleaned": who("a")}, {"cleaned": who("ab")})[-1].stages["cleaned"].domain == "d1"
    apart = {"cleaned": who("ab"), "augmented": who("a")}
    policies = chain({"cleaned": who("ab")}, apart, {**apart, "cleaned": who("abc")})
    assert [policy.stages["cleaned"].domain for policy in policies[1:]] == ["d1", "d1", "d3"]


def test_a_lost_key_starts_an_epoch_and_a_new_one_does_not() -> None:
    policies, commit = chain({"cleaned": who("ab")}), commits()
    wanted = Wanted.of(policies[-1])
    more = wanted.principals["b"].model_copy(update={"age": (*wanted.principals["b"].age, person(9).age[0])})
    grow(policies, replace(wanted, principals={**wanted.principals, "b": more}), commit)
    assert len(policies[-1].domains["d1"].epochs) == 1
    assert needs_wrapping(policies[-2], policies[-1]) == ("d1",)
    grow(policies, replace(wanted, principals={**wanted.principals, "b": person(9)}), commit)
    assert len(policies[-1].domains["d1"].epochs) == 2


def test_rotating_starts_an_epoch() -> None:
    policies, commit = chain({"cleaned": who("ab"), "report": who("a")}), commits()
    grow(policies, Wanted.of(policies[-1]), commit, rotate=("d1",))
    assert [len(policies[-1].domains[name].epochs) for name in ("d1", "d2")] == [2, 1]


def test_what_cannot_be_says_so() -> None:
    policy = first()
    wanted = Wanted.of(policy)

    def message(wanted: Wanted) -> str:
        with pytest.raises(AccessError) as found:
            assign(policy, wanted, past=(), commit=commits())
        return str(found.value)

    assert message(wanted.without_reader("cleaned", "a")) == (
        "Nobody would read the stage cleaned. Grant it to somebody first, or take its rule away."
    )
    assert message(wanted.with_reader("cleaned", "zoe")) == (
        "The policy would not be valid: the readers of cleaned include 'zoe', who is no principal. "
        "Say what else is to change."
    )
    assert "a builder of cleaned does not read it" in message(replace(wanted, stages={"cleaned": who("a", "b")}))
    with pytest.raises(AccessError, match=r"There is no facet labels\. There are: none"):
        wanted.with_facet_reader("labels", "a")


def test_grants_and_revocations() -> None:
    labels = WantedFacet(("cleaned",), ("annotations",), frozenset("ab"))
    stages = {"cleaned": who("ab", "a")}
    wanted = replace(Wanted.of(first()), stages=stages, facets={"labels": labels})
    more = wanted.with_reader("augmented", "c", builds=True)
    assert more.stages["augmented"] == who("abc", "ac")
    assert more.facets["labels"].stages == ("cleaned", "augmented")  # what it inherited stays kept apart
    assert more.stages["cleaned"] == stages["cleaned"]
    less = more.without_reader("cleaned", "b")
    assert (less.stages["cleaned"], less.facets["labels"].readers) == (who("a", "a"), frozenset("a"))
    gone = more.without_principal("c")
    assert "c" not in gone.principals
    assert gone.stages["augmented"] == who("ab", "a")
    assert more.with_facet_reader("labels", "c").without_facet_reader("labels", "b").facets["labels"].readers == {*"ac"}
    apart = replace(wanted, stages={**stages, "augmented": who("bc", "b")}, facets={})
    assert apart.with_rule("report").stages["report"] == who("b", "")


readers = st.frozensets(st.sampled_from(PEOPLE), min_size=1)


Wish = Callable[[AccessPolicy, int], Wanted]


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    stages = draw(st.dictionaries(st.sampled_from(STAGES), readers, max_size=4))
    facet = draw(st.none() | st.tuples(readers, st.sampled_from(COLUMNS), st.sampled_from(((), ("test",)))))
    covered = draw(st.sets(st.sampled_from(STAGES)))
    changed = draw(st.none() | st.sampled_from(PEOPLE))
    declassified = draw(st.sets(st.sampled_from(("augmented", "report"))))

    def make(policy: AccessPolicy, turn: int) -> Wanted:
        people = dict(policy.principals)
        if changed is not None:
            people[changed] = person(10 + turn)
        wanted = Wanted(
            principals=people,
            admins=frozenset("a"),
            stages={name: WantedStage(names) for name, names in stages.items()},
            declassified=tuple(sorted(declassified)),
        )
        within = tuple(sorted(covered & set(stages)))
        if facet is not None and within:
            allowed = facet[0].intersection(*(stages[name] for name in within))
            if allowed:
                wanted = replace(wanted, facets={"f": WantedFacet(within, (facet[1],), allowed, facet[2])})
        return wanted

    return make


def content(policy: AccessPolicy) -> list[tuple[str, str, str, str, frozenset[str]]]:
    """What is built now: (domain, stage, column, rows, who may read it), one line for each column, test rows apart."""
    told = []
    for stage in (*STAGES, "raw/y"):
        try:
            rule = rule_of(policy, stage)
        except AccessError:
            continue
        if rule is None:
            continue
        facets = facets_of(policy, stage)
        for column in ("digest", *COLUMNS):
            for rows in ("train", "test"):
                apart = [f for f in facets.values() if column in f.columns and (not f.splits or rows in f.splits)]
                domain, names = (apart[0].domain, apart[0].readers) if apart else (rule.domain, rule.readers)
                told.append((domain, stage, column, rows, frozenset(names)))
    return told


@settings(max_examples=150, deadline=None)
@given(st.lists(wishes(), min_size=1, max_size=6))
def test_no_data_key_ever_reaches_who_may_not_read_what_it_seals(
    turns: list[Callable[[AccessPolicy, int], Wanted]],
) -> None:
    policies, commit = [first()], commits()
    holders: dict[tuple[str, int], set[tuple[str, str]]] = {}
    """Who ever had a data key, with which key of theirs."""
    sealed: dict[tuple[str, int], set[tuple[str, str, str]]] = {}
    """What was ever sealed with it: stage, column, rows."""
    for turn, wish in enumerate(turns):
        before, wanted = policies[-1], wish(policies[-1], turn)
        policy = assign(before, wanted, past=policies[:-1], commit=commit)
        again = assign(policy, wanted, past=policies, commit=commit)
        assert again is policy  # applying the same twice changes nothing
        assert assign(policy, Wanted.of(policy), past=policies, commit=commit) is policy
        if policy is before:
            continue
        policies.append(policy)
        AccessPolicy.model_validate(policy.model_dump())
        check_follows(before, digest_of_policy(before), policy)
        assert Wanted.of(policy) == wanted
        now = content(policy)
        may = {(stage, column, rows): names for _, stage, column, rows, names in now}
        for name in needs_wrapping(before, policy):
            domain = policy.domains[name]
            for epoch in domain.epochs:
                had = {reader for reader, _ in holders.get((name, epoch.number), ())}
                for reader in domain.readers:
                    if reader in policy.principals:
                        holders.setdefault((name, epoch.number), set()).update(
                            (reader, key) for key in policy.principals[reader].age
                        )
                    if reader not in had:  # a new holder finds nothing old that is not for them
                        for what in sealed.get((name, epoch.number), ()):
                            if what[0] not in wanted.declassified or what[0] in wanted.stages:
                                assert reader in may.get(what, ()), (reader, name, epoch.number, what)
        for domain_name, stage, column, rows, names in now:
            domain = policy.domains[domain_name]
            number = len(domain.epochs)
            keys = {(reader, key) for reader in names for key in policy.principals[reader].age}
            assert holders[domain_name, number] == keys, (
                "who ever had the key that seals now are just the readers of now"
            )
            sealed.setdefault((domain_name, number), set()).add((stage, column, rows))
        for stage, rule in policy.stages.items():
            old = before.stages.get(stage)
            if old is not None and not set(old.readers) <= set(rule.readers):
                then = (old.domain, len(before.domains[old.domain].epochs))
                assert then != (rule.domain, len(policy.domains[rule.domain].epochs))
    names = [name for policy in policies for name in policy.domains]
    for name in names:
        versions = [policy.domains[name] for policy in policies if name in policy.domains]
        assert all(a.epochs == b.epochs[: len(a.epochs)] for a, b in pairwise(versions))
