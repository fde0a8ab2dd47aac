"""What a policy says of a stage, a domain, an identity: pure functions, of policies whose chain was verified."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from dsetkit.access.files import document_text
from dsetkit.access.identity import Identity
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy, Facet, StageRule


def digest_of_policy(policy: AccessPolicy) -> str:
    """SHA-256 of the policy's file: what the next version names as ``previous``."""
    return hashlib.sha256(document_text(policy)).hexdigest()


def principal_of(policy: AccessPolicy, identity: Identity) -> str | None:
    """Who of the policy has this identity: both its signing key and its key for decryption; None: nobody."""
    for name, principal in policy.principals.items():
        if set(identity.public.ssh) & set(principal.ssh) and set(identity.public.age) & set(principal.age):
            return name
    return None


def ruling_stage(readers: Mapping[str, Collection[str]], declassified: Collection[str], stage: str) -> str | None:
    """Whose rule is for a stage: its own; for ``raw/blood`` raw's; else that of what it is made from; None: plain.

    ``readers`` are those of each stage with a rule. A stage in ``declassified`` without a rule of its own is plain, and
    so is what is made of it alone. Raises ``AccessError`` where what it is made from has different readers: then the
    policy must have a rule for it.
    """
    if stage in readers:
        return stage
    if stage.startswith("raw"):
        return "raw" if stage != "raw" and "raw" in readers else None
    if stage in declassified:
        return None
    sources: dict[str, tuple[str, ...]] = {"augmented": ("cleaned",), "report": ("cleaned", "augmented")}
    made_from = sources.get(stage) or sorted(name for name in readers if name.startswith("raw"))
    rulings = [ruling_stage(readers, declassified, name) for name in made_from]
    found = [name for name in rulings if name is not None]
    if len({frozenset(readers[name]) for name in found}) > 1:
        raise AccessError(
            f"{stage} is made from {' and '.join(dict.fromkeys(found))}, which have different readers",
            subject=stage,
            hint=f"Have an admin say who reads it: dsetkit access grant NAME {stage}.",
        )
    return found[0] if found else None


def rule_of(policy: AccessPolicy, stage: str) -> StageRule | None:
    """The rule for a stage, inherited where it has none; None where it is plain. Raises like ``ruling_stage``."""
    ruling = ruling_stage({name: rule.readers for name, rule in policy.stages.items()}, policy.declassified, stage)
    return None if ruling is None else policy.stages[ruling]


def facets_of(policy: AccessPolicy, stage: str) -> dict[str, Facet]:
    """The facets of a stage, inherited with its rule, by name. Raises like ``ruling_stage``."""
    ruling = ruling_stage({name: rule.readers for name, rule in policy.stages.items()}, policy.declassified, stage)
    return {name: facet for name, facet in sorted(policy.facets.items()) if ruling in facet.stages}


def seal_wanted(policy: AccessPolicy, stage: str) -> tuple[str, int] | None:
    """The domain and epoch that a stage is sealed in when built now; None where it is plain."""
    rule = rule_of(policy, stage)
    return None if rule is None else (rule.domain, len(policy.domains[rule.domain].epochs))


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
