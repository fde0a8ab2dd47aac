"""Which domain seals what: the next version of a policy, from what is wanted. Pure; draws no key itself.

A domain is one exact set of readers, and its keyring holds the data keys of *all* its epochs, wrapped for the present
readers. So two things must never happen: that somebody who is no reader has the data key that seals what is built now,
and that a new reader finds, in the keyring, a data key that once sealed something that is not for them. Hence:

- A domain persists while all that it seals keeps one set of readers. Who leaves it, or loses a key, starts an epoch.
- What gets readers that its neighbours do not get moves to a domain with just those readers: one that seals already,
  else a new one, whose name was never used.
- Somebody joins a domain only if they may read all that it ever sealed, as the policy is now: stages that have moved
  away since, and columns and rows that have become facets since, count. Otherwise what they are to read moves to a
  domain without that past; they then read what is built from now on.
- A domain that seals nothing any more never seals again, and nobody joins it: not even who was expelled and is known
  by the same name again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from dsetkit.access.files import shown
from dsetkit.access.rules import digest_of_policy, must_start_epoch
from dsetkit.access.wanted import Kind, Wanted
from dsetkit.errors import AccessError
from dsetkit.spec.policy import PROJECT_STAGES, AccessPolicy

_Thing = tuple[Kind, str]
_DOMAIN = re.compile(r"d([1-9][0-9]*)\Z")


def assign(
    policy: AccessPolicy,
    wanted: Wanted,
    *,
    past: Sequence[AccessPolicy],
    commit: Callable[[str, int], str],
    rotate: Collection[str] = (),
) -> AccessPolicy:
    """The version after ``policy`` that gives what is wanted; ``policy`` itself where nothing differs.

    ``past`` are all versions before ``policy`` (``Chain.past``). ``commit(domain, epoch)`` draws a data key and gives
    its commitment (``keyring.FreshKeys``); called once for each new epoch, last. Each domain in ``rotate`` that still
    seals something starts an epoch in any case.

    Raises ``AccessError`` where what is wanted is no valid policy: a stage without readers, a builder who is no reader,
    a name that is no principal's.
    """
    for kind, names in (("stage", wanted.stages), ("facet", wanted.facets)):
        for name in names:
            if not wanted.readers("stage" if kind == "stage" else "facet", name):
                raise AccessError(
                    f"Nobody would read the {kind} {shown(name)}",
                    subject=name,
                    hint="Grant it to somebody first, or take its rule away.",
                )
    homes, readers = _settle(policy, wanted, [*past, policy])
    row = _row(policy, wanted, homes, readers)
    draft = _checked(row, policy)
    renewed = {*rotate, *must_start_epoch(policy, draft)}
    for name in sorted(set(homes.values()), key=_number):
        known = policy.domains.get(name)
        if known is None or name in renewed:
            epoch = len(known.epochs) + 1 if known is not None else 1
            before = row["domains"][name]["epochs"] if known is not None else []
            row["domains"][name]["epochs"] = [*before, {"number": epoch, "commitment": commit(name, epoch)}]
    made = _checked(row, policy)
    same = made.model_copy(update={"version": policy.version, "previous": policy.previous})
    return policy if same == policy else made


def _settle(
    policy: AccessPolicy, wanted: Wanted, history: Sequence[AccessPolicy]
) -> tuple[dict[_Thing, str], dict[str, frozenset[str]]]:
    """The domain of each stage and facet, and the readers of each domain that seals."""
    things: list[_Thing] = [("stage", name) for name in sorted(wanted.stages)]
    things += [("facet", name) for name in sorted(wanted.facets)]
    groups: dict[str, list[_Thing]] = {}
    then = Wanted.of(policy)
    for kind, name in things:
        if kind == "facet":
            before = policy.facets[name].domain if name in policy.facets else None
        else:
            ruling = then.ruling(name)  # what inherited its rule and has its own now need not be sealed anew
            before = None if ruling is None else policy.stages[ruling].domain
        if before is not None:
            groups.setdefault(before, []).append((kind, name))
    homes: dict[_Thing, str] = {}
    readers: dict[str, frozenset[str]] = {}
    for domain, group in groups.items():
        present = frozenset(policy.domains[domain].readers)
        sets = {wanted.readers(*thing) for thing in group}
        one = next(iter(sets)) if len(sets) == 1 else present
        if _may_join(one - present, domain, wanted, history):
            for thing in group:
                if wanted.readers(*thing) == one:
                    homes[thing], readers[domain] = domain, one
    last = max((_number(name) for name in policy.domains), default=0)
    for thing in things:
        if thing not in homes:
            exact = wanted.readers(*thing)
            fitting = sorted((name for name, names in readers.items() if names == exact), key=_number)
            if not fitting:
                last += 1
                fitting = [f"d{last}"]
            homes[thing], readers[fitting[0]] = fitting[0], exact
    return homes, readers


def _may_join(names: Iterable[str], domain: str, wanted: Wanted, history: Sequence[AccessPolicy]) -> bool:
    """Whether these, who join a domain, may read all that it ever sealed."""
    names = tuple(names)
    return all(
        _may_read(name, domain, wanted, Wanted.of(before), before)
        for before in (history if names else ())
        for name in names
    )


def _may_read(name: str, domain: str, wanted: Wanted, then: Wanted, before: AccessPolicy) -> bool:
    """Whether ``name`` may now read all that the domain sealed under an earlier policy."""
    sealed = set()
    for stage in {*before.stages, *PROJECT_STAGES}:
        ruling = then.ruling(stage)
        if ruling is not None and before.stages[ruling].domain == domain:
            sealed.add((stage, ruling))
    for stage, ruling in sealed:
        # The rule for raw sealed each source that had none of its own: those that have one by now were in it.
        split_off = {s for s in wanted.stages if stage == "raw" and s.startswith("raw/") and s not in then.stages}
        if not all(_reads_now(name, other, wanted, then, ruling) for other in {stage, *split_off}):
            return False
    for facet, old in before.facets.items():
        if old.domain == domain:
            now = wanted.facets.get(facet)
            if now is None or name not in now.readers or now.content != then.facets[facet].content:
                return False
            if not all(_reads_now(name, stage, wanted, then, stage) for stage in now.stages):
                return False
    return True


def _reads_now(name: str, stage: str, wanted: Wanted, then: Wanted, ruling_then: str) -> bool:
    """Whether ``name`` reads the stage, and each of its facets that was not kept apart then."""
    if stage in wanted.declassified and stage not in wanted.stages:
        return True
    ruling = wanted.ruling(stage)
    if ruling is None:
        return False  # nobody's now, or of readers who cannot be said
    if name not in wanted.stages[ruling].readers:
        return False
    apart = [facet for facet in then.facets.values() if ruling_then in facet.stages]
    return all(
        name in facet.readers or any(old.covers(facet) for old in apart)
        for facet in wanted.facets.values()
        if ruling in facet.stages
    )


def _row(
    policy: AccessPolicy, wanted: Wanted, homes: Mapping[_Thing, str], readers: Mapping[str, frozenset[str]]
) -> dict[str, Any]:
    domains = {name: domain.model_dump() for name, domain in policy.domains.items()}
    for name, domain in policy.domains.items():
        # Who comes back under the name of somebody expelled must not find themselves a reader of what seals no more.
        stay = [reader for reader in domain.readers if reader in policy.principals and reader in wanted.principals]
        domains[name]["readers"] = stay or domain.readers
    for name, names in readers.items():
        # A place holder, so that the draft is whole: the epochs that must be drawn are drawn once it was checked.
        epochs = domains[name]["epochs"] if name in domains else [{"number": 1, "commitment": "0" * 64}]
        domains[name] = {"readers": sorted(names), "epochs": epochs}
    return {
        "project": policy.project,
        "version": policy.version + 1,
        "previous": digest_of_policy(policy),
        "threshold": wanted.threshold,
        "admins": sorted(wanted.admins),
        "principals": dict(wanted.principals),
        "stages": {
            name: {
                "domain": homes["stage", name],
                "readers": sorted(rule.readers),
                "builders": sorted(rule.builders),
            }
            for name, rule in wanted.stages.items()
        },
        "facets": {
            name: {
                "stages": rule.stages,
                "columns": rule.columns,
                "splits": rule.splits,
                "hides_keys": rule.hides_keys,
                "domain": homes["facet", name],
                "readers": sorted(rule.readers),
            }
            for name, rule in wanted.facets.items()
        },
        "domains": domains,
        "declassified": wanted.declassified,
        "padding": wanted.padding,
        "records_openings": wanted.records_openings,
    }


def _checked(row: dict[str, Any], policy: AccessPolicy) -> AccessPolicy:
    try:
        return AccessPolicy.model_validate(row)
    except ValidationError as error:
        why = shown(error.errors(include_url=False)[0]["msg"].removeprefix("Value error, "))
        raise AccessError(
            f"The policy would not be valid: {why}",
            subject=f"version {policy.version + 1}",
            hint="Say what else is to change.",
        ) from None


def _number(name: str) -> int:
    found = _DOMAIN.match(name)
    return int(found[1]) if found else 0
