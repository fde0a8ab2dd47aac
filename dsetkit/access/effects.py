"""What a change of the policy does to stages that it does not name: those that inherit their rule."""

from __future__ import annotations

from dataclasses import dataclass

from dsetkit.access.rules import facets_of, rule_of
from dsetkit.errors import AccessError
from dsetkit.spec.policy import PROJECT_STAGES, AccessPolicy


@dataclass(frozen=True)
class _State:
    """How a stage is protected; one that is undecided has nobody, and why that is so."""

    is_plain: bool = False
    readers: frozenset[str] = frozenset()
    builders: frozenset[str] = frozenset()
    facets: frozenset[str] = frozenset()
    undecided: str = ""


def effects(before: AccessPolicy, after: AccessPolicy) -> list[str]:
    """What opens stages without a rule of their own wider, a line a stage, and which can be built no more.

    Such a stage becomes plain, loses a facet, gets readers or builders, or is undecided. What becomes stricter is not
    told.
    """
    lines = []
    undecided: dict[str, list[str]] = {}
    for stage in PROJECT_STAGES:
        if stage in after.stages or stage in after.declassified:
            continue
        old, new = _state(before, stage), _state(after, stage)
        if new.undecided:
            if not old.undecided:
                undecided.setdefault(new.undecided, []).append(stage)
        elif new.is_plain:
            if not old.is_plain:
                lines.append(f"{stage} becomes plain too: everybody reads it")
        elif not old.is_plain:
            told = []
            if lost := old.facets - new.facets:
                told.append(f"{_listed(lost)} kept apart in it no more")
            if builders := new.builders - old.builders:
                told.append(f"{_listed(builders)} may build it")
            if readers := new.readers - old.readers - builders:
                told.append(f"{_listed(readers)} may read it")
            if told:
                lines.append(f"{stage} follows what it is made from: {'; '.join(told)}")
    return [*lines, *(f"{', '.join(stages)} cannot be built any more: {why}" for why, stages in undecided.items())]


def become_plain(before: AccessPolicy, after: AccessPolicy) -> list[str]:
    """The stages that everybody reads after a change, and did not before."""
    return [stage for stage in PROJECT_STAGES if _state(after, stage).is_plain and not _state(before, stage).is_plain]


def _state(policy: AccessPolicy, stage: str) -> _State:
    try:
        rule = rule_of(policy, stage)
        if rule is None:
            return _State(is_plain=True)
        facets = frozenset(facets_of(policy, stage))
    except AccessError as error:
        return _State(undecided=str(error))
    return _State(readers=frozenset(rule.readers), builders=frozenset(rule.builders), facets=facets)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
