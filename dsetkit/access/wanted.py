"""What a policy shall be, without what follows from the rest: what grants and revocations change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dsetkit.access.files import shown
from dsetkit.access.rules import leaf_rules, ruling_stages
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy, Principal

Kind = Literal["stage", "facet"]


@dataclass(frozen=True)
class WantedStage:
    """Who shall read and build a stage."""

    readers: frozenset[str]
    builders: frozenset[str] = frozenset()


@dataclass(frozen=True)
class WantedFacet:
    """What a facet shall be, and who shall read it."""

    stages: tuple[str, ...]
    columns: tuple[str, ...]
    readers: frozenset[str]
    splits: tuple[str, ...] = ()
    hides_keys: bool = False

    @property
    def content(self) -> tuple[object, ...]:
        """What is sealed apart, whoever reads it."""
        return (self.stages, self.columns, self.splits, self.hides_keys)

    def covers(self, other: WantedFacet) -> bool:
        """Whether what ``other`` keeps from readers of a stage, this facet keeps from them as well."""
        rows = not self.splits or (bool(other.splits) and set(other.splits) <= set(self.splits))
        return rows and set(other.columns) <= set(self.columns) and self.hides_keys >= other.hides_keys


@dataclass(frozen=True)
class Wanted:
    """A policy without what follows from the rest: domains, version, the digest of the version before."""

    principals: Mapping[str, Principal]
    admins: frozenset[str]
    threshold: int = 1
    stages: Mapping[str, WantedStage] = field(default_factory=dict)
    facets: Mapping[str, WantedFacet] = field(default_factory=dict)
    declassified: tuple[str, ...] = ()
    padding: Literal["none", "padme"] = "none"
    records_openings: bool = False

    @classmethod
    def of(cls, policy: AccessPolicy) -> Wanted:
        """What a policy says; ``assign`` of it changes nothing."""
        return cls(
            principals=policy.principals,
            admins=frozenset(policy.admins),
            threshold=policy.threshold,
            stages={n: WantedStage(frozenset(r.readers), frozenset(r.builders)) for n, r in policy.stages.items()},
            facets={
                n: WantedFacet(f.stages, f.columns, frozenset(f.readers), f.splits, f.hides_keys)
                for n, f in policy.facets.items()
            },
            declassified=policy.declassified,
            padding=policy.padding,
            records_openings=policy.records_openings,
        )

    def with_reader(self, stage: str, name: str, *, builds: bool = False) -> Wanted:
        """``name`` reads (and builds) the stage, which gets a rule of its own (``with_rule``)."""
        made = self.with_rule(stage)
        rule = made.stages[stage]
        builders = rule.builders | {name} if builds else rule.builders
        return replace(made, stages={**made.stages, stage: WantedStage(rule.readers | {name}, builders)})

    def without_reader(self, stage: str, name: str) -> Wanted:
        """``name`` reads and builds the stage no more, nor reads its facets (``with_rule``)."""
        made = self.with_rule(stage)
        rule = made.stages[stage]
        facets = {n: replace(f, readers=f.readers - {name}) if stage in f.stages else f for n, f in made.facets.items()}
        stages = {**made.stages, stage: WantedStage(rule.readers - {name}, rule.builders - {name})}
        return replace(made, stages=stages, facets=facets)

    def with_rule(self, stage: str) -> Wanted:
        """The stage has a rule of its own, which begins as the one it inherited, facets too.

        One that was undecided begins with those who read, and build, all that it is made from, and all facets of that.
        """
        if stage in self.stages:
            return self
        rulings = {*leaf_rules(self, stage)}
        rules = [self.stages[name] for name in sorted(rulings)]
        rule = WantedStage(
            frozenset.intersection(*(rule.readers for rule in rules)) if rules else frozenset(),
            frozenset.intersection(*(rule.builders for rule in rules)) if rules else frozenset(),
        )
        facets = {
            n: replace(f, stages=(*f.stages, stage), readers=f.readers & rule.readers) if rulings & {*f.stages} else f
            for n, f in self.facets.items()
        }
        return replace(self, stages={**self.stages, stage: rule}, facets=facets)

    def with_facet_reader(self, facet: str, name: str) -> Wanted:
        """``name`` reads the facet. Raises ``AccessError`` where there is none such."""
        known = self._facet(facet)
        return replace(self, facets={**self.facets, facet: replace(known, readers=known.readers | {name})})

    def without_facet_reader(self, facet: str, name: str) -> Wanted:
        """``name`` reads the facet no more. Raises ``AccessError`` where there is none such."""
        known = self._facet(facet)
        return replace(self, facets={**self.facets, facet: replace(known, readers=known.readers - {name})})

    def without_principal(self, name: str) -> Wanted:
        """``name`` is known no more: no admin, reads and builds nothing."""
        return replace(
            self,
            principals={n: p for n, p in self.principals.items() if n != name},
            admins=self.admins - {name},
            stages={n: WantedStage(r.readers - {name}, r.builders - {name}) for n, r in self.stages.items()},
            facets={n: replace(f, readers=f.readers - {name}) for n, f in self.facets.items()},
        )

    def ruling(self, stage: str) -> str | None:
        """A stage with the readers and facets of this one (``ruling_stages``); None where it is plain or undecided."""
        try:
            return next(iter(ruling_stages(self, stage)), None)
        except AccessError:
            return None

    def rule(self, stage: str) -> WantedStage | None:
        """Who reads and builds a stage, as ``rules.rule_of``; None where it is plain or undecided: it is not built."""
        return None if self.ruling(stage) is None else self.with_rule(stage).stages[stage]

    def readers(self, kind: Kind, name: str) -> frozenset[str]:
        """Who reads a stage or facet that has a rule."""
        return self.stages[name].readers if kind == "stage" else self.facets[name].readers

    def _facet(self, name: str) -> WantedFacet:
        if name not in self.facets:
            told = ", ".join(sorted(self.facets)) or "none"
            raise AccessError(f"There is no facet {shown(name)}", subject=name, hint=f"There are: {told}.")
        return self.facets[name]
