"""What a policy says of a stage, a domain, an identity: pure functions, of policies whose chain was verified."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from dsetkit.access.files import document_text
from dsetkit.access.identity import Identity
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy, Facet, StageRule
from dsetkit.spec.sealed import Seals


class Rule(Protocol):
    """Who reads and builds a stage."""

    @property
    def readers(self) -> Collection[str]:
        """Names of principals."""

    @property
    def builders(self) -> Collection[str]:
        """Names of principals."""


class Apart(Protocol):
    """What is kept apart in stages."""

    @property
    def stages(self) -> Collection[str]:
        """Names of stages."""


class Rules(Protocol):
    """What inheritance goes by: a policy, or one that is only wanted."""

    @property
    def stages(self) -> Mapping[str, Rule]:
        """Those with a rule."""

    @property
    def facets(self) -> Mapping[str, Apart]:
        """By name."""

    @property
    def declassified(self) -> Collection[str]:
        """Stages that stay plain."""


def digest_of_policy(policy: AccessPolicy) -> str:
    """SHA-256 of the policy's file: what the next version names as ``previous``."""
    return hashlib.sha256(document_text(policy)).hexdigest()


def principal_of(policy: AccessPolicy, identity: Identity) -> str | None:
    """Who of the policy has this identity: both its signing key and its key for decryption; None: nobody."""
    for name, principal in policy.principals.items():
        if set(identity.public.ssh) & set(principal.ssh) and set(identity.public.age) & set(principal.age):
            return name
    return None


def leaf_rules(policy: Rules, stage: str) -> tuple[str, ...]:
    """The stages whose rules come down to one: itself; for ``raw/blood`` raw; else those of all that it is made from.

    Empty where it is plain: a stage in ``declassified`` without a rule of its own, and what is made of such alone.
    """
    if stage in policy.stages:
        return (stage,)
    if stage.startswith("raw"):
        return ("raw",) if "raw" in policy.stages else ()
    if stage in policy.declassified:
        return ()
    return tuple(dict.fromkeys(leaf for name in _made_from(policy, stage) for leaf in leaf_rules(policy, name)))


def ruling_stages(policy: Rules, stage: str) -> tuple[str, ...]:
    """``leaf_rules``, where these agree: all have the same readers and the same facets, and somebody builds them all.

    Raises ``AccessError`` where they do not: to follow one of them would show what another one keeps from somebody, so
    the policy must have a rule for the stage. Until then it is *undecided*, and not built.
    """
    found = leaf_rules(policy, stage)
    if len(found) < 2:
        return found
    for name in _made_from(policy, stage):
        ruling_stages(policy, name)
    apart = {name: sorted(facet for facet, rule in policy.facets.items() if name in rule.stages) for name in found}
    builders = [frozenset(policy.stages[name].builders) for name in found]
    differing = []
    if len({frozenset(policy.stages[name].readers) for name in found}) > 1:
        differing.append("different readers")
    if len({tuple(facets) for facets in apart.values()}) > 1:
        told = "; ".join(f"{name}: {', '.join(facets) or 'none'}" for name, facets in apart.items())
        differing.append(f"different facets ({told})")
    if any(builders) and not frozenset.intersection(*builders):
        differing.append("no builder in common")
    if differing:
        raise AccessError(
            f"{stage} is made from {' and '.join(found)}, which have {' and '.join(differing)}",
            subject=stage,
            hint=f"Have an admin give it a rule of its own: dsetkit access protect {stage}. It begins with who reads "
            "all of these, and with the facets of each.",
        )
    return found


def rule_of(policy: AccessPolicy, stage: str) -> StageRule | None:
    """The rule for a stage; None where it is plain. Raises like ``ruling_stages``.

    Where it inherits from several, only who builds all of them builds it: it holds what each of them signed for.
    """
    found = ruling_stages(policy, stage)
    if not found:
        return None
    rule = policy.stages[found[0]]
    builders = frozenset.intersection(*(frozenset(policy.stages[name].builders) for name in found))
    if builders == frozenset(rule.builders):
        return rule
    return rule.model_copy(update={"builders": tuple(sorted(builders))})


def facets_of(policy: AccessPolicy, stage: str) -> dict[str, Facet]:
    """The facets of a stage, inherited with its rule, by name. Raises like ``ruling_stages``."""
    found = ruling_stages(policy, stage)
    return {name: facet for name, facet in sorted(policy.facets.items()) if {*found} & {*facet.stages}}


def readers_ever(versions: Iterable[AccessPolicy], domain: str, epoch: int) -> set[str]:
    """All who ever had the data key of an epoch: who read the domain when it had that epoch or a later one.

    ``versions`` are all policies that counted (``Chain.versions``): a keyring holds the data keys of all epochs.
    """
    found = [policy.domains[domain] for policy in versions if domain in policy.domains]
    return {name for known in found if len(known.epochs) >= epoch for name in known.readers}


def seal_wanted(policy: AccessPolicy, stage: str) -> tuple[str, int] | None:
    """The domain and epoch that a stage is sealed in when built now; None where it is plain."""
    rule = rule_of(policy, stage)
    return None if rule is None else (rule.domain, len(policy.domains[rule.domain].epochs))


def facets_lacked(policies: Iterable[AccessPolicy], seals: Seals) -> set[frozenset[str]]:
    """The facets of a sealed snapshot that somebody who reads it, or once did by these policies, lacks together."""
    found = set()
    for policy in policies:
        readers = {name: {*domain.readers} for name, domain in policy.domains.items()}
        for person in readers.get(seals.domain, ()):
            lacked = {name for name, facet in seals.facets.items() if person not in readers.get(facet.domain, ())}
            found.add(frozenset(lacked))
    return found


def domains_in_use(policy: AccessPolicy) -> set[str]:
    """The domains that seal what is built now."""
    return {rule.domain for rule in policy.stages.values()} | {facet.domain for facet in policy.facets.values()}


def must_start_epoch(before: AccessPolicy, policy: AccessPolicy) -> set[str]:
    """The domains of which somebody has the data keys, or a key that opens them, and is to have them no more.

    The keys of each principal are compared once, however many domains they read: anybody may have written ``policy``.
    """
    known = policy.principals
    less = {
        name for name, old in before.principals.items() if name not in known or not {*old.age} <= {*known[name].age}
    }
    return {
        name
        for name, domain in before.domains.items()
        if name in policy.domains and (less & {*domain.readers} or {*domain.readers} - {*policy.domains[name].readers})
    }


def _made_from(policy: Rules, stage: str) -> tuple[str, ...]:
    """What a stage is made from, as far as the policy knows: of the sources those that have rules."""
    known: dict[str, tuple[str, ...]] = {"augmented": ("cleaned",), "report": ("cleaned", "augmented")}
    if stage.startswith("raw"):
        return ()
    return known.get(stage) or tuple(sorted(name for name in policy.stages if name.startswith("raw")))
