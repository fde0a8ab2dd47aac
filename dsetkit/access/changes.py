"""The acts of admins as pure changes of what a policy shall be (``Wanted``); ``domains.assign`` makes a version of it.

Each refuses what cannot be meant with ``UsageError``. Who may act, and what it costs (epochs, new keyrings), is not
decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ValidationError

from dsetkit.access.files import shown
from dsetkit.access.rules import domains_in_use, leaf_rules, rule_of, ruling_stages
from dsetkit.access.wanted import Wanted, WantedFacet
from dsetkit.errors import AccessError, NotFoundError, UsageError
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.policy import FACET_COLUMNS, PROJECT_STAGES, AccessPolicy, Principal, check_stage
from dsetkit.spec.sample import Sample

Role = Literal["reader", "builder", "admin"]

_NEEDED = ("id", "kind")
"""Fields of ``Annotation`` that cannot be missing."""


@dataclass(frozen=True)
class Preset:
    """A facet that many projects want."""

    columns: tuple[str, ...]
    splits: tuple[str, ...] = ()
    hides_keys: bool = False


PRESETS: Mapping[str, Preset] = {
    "annotators": Preset(("annotations.annotator", "responses")),
    "provenance": Preset(("provenance", "source_id")),
    "test-labels": Preset(
        ("absent_categories", "annotations", "attributes", "not_exhaustive_categories", "responses"), ("test",), True
    ),
}
"""By the name of the facet. The labels of a split say themselves in more fields than one, and in keys
(``cats/001.jpg``)."""


def first_policy(
    project: str,
    name: str,
    principal: Principal,
    *,
    stages: Sequence[str] = PROJECT_STAGES,
    commit: Callable[[str, int], str],
    padding: Literal["none", "padme"] = "none",
    records_openings: bool = False,
) -> AccessPolicy:
    """Version 1: ``name`` is the one admin, and reads and builds ``stages``, which one domain seals."""
    wanted = sorted({_stage(stage) for stage in stages})
    rule = {"domain": "d1", "readers": [name], "builders": [name]}
    domain = {"readers": [name], "epochs": [{"number": 1, "commitment": commit("d1", 1)}]} if wanted else None
    return AccessPolicy.model_validate(
        {
            "project": project,
            "version": 1,
            "admins": [name],
            "principals": {name: principal},
            "stages": dict.fromkeys(wanted, rule),
            "domains": {} if domain is None else {"d1": domain},
            "padding": padding,
            "records_openings": records_openings,
        }
    )


def with_keys(wanted: Wanted, name: str, *, age: Sequence[str] = (), ssh: Sequence[str] = ()) -> Wanted:
    """``name`` is known by these public keys: a new principal, or one whose keys of a kind given are replaced."""
    known = wanted.principals.get(name)
    if known is None and not (age and ssh):
        lacking = " and ".join(kind for kind, keys in (("--age", age), ("--ssh", ssh)) if not keys)
        raise UsageError(
            f"{shown(name)} is not known yet, and {lacking} is not given",
            hint=f"`dsetkit access init {shown(name)}`, run by them, prints the line to copy.",
        )
    try:
        principal = Principal(
            age=tuple(dict.fromkeys(age)) or (known.age if known else ()),
            ssh=tuple(dict.fromkeys(ssh)) or (known.ssh if known else ()),
        )
    except ValidationError as error:
        raise UsageError(
            f"A key of {shown(name)} is none: {error.errors(include_url=False)[0]['msg']}",
            hint="--age takes age1..., --ssh takes 'ssh-ed25519 ...': see `dsetkit access whoami --public`.",
        ) from error
    for other, keys in wanted.principals.items():
        if other != name and {*keys.age, *keys.ssh} & {*principal.age, *principal.ssh}:
            raise UsageError(
                f"{other} has the same key: one key is one principal",
                hint=f"Grant it to {other}, or have {shown(name)} make an identity of their own.",
            )
    return replace(wanted, principals={**wanted.principals, name: principal})


def granted(wanted: Wanted, name: str, role: Role, *, stages: Sequence[str] = (), facets: Sequence[str] = ()) -> Wanted:
    """``name`` reads (``builder`` and ``admin``: and builds) the stages, reads the facets; ``admin`` is an admin too.

    A stage that inherits its rule gets one of its own. A builder of a stage reads its facets: what is built holds them.
    """
    _known(wanted, name)
    builds = role != "reader"
    if role == "builder" and not stages:
        raise UsageError(f"It is not said what {name} builds", hint="Name stages: --stage cleaned --stage augmented.")
    if role == "reader" and not stages and not facets:
        raise UsageError(
            f"It is not said what {name} reads", hint="Name stages: --stage cleaned; or facets: --facet test-labels."
        )
    if role == "admin":
        wanted = replace(wanted, admins=wanted.admins | {name})
    for stage in stages:
        if not leaf_rules(wanted, _stage(stage)):
            raise UsageError(
                f"{stage} is not protected: everybody reads it",
                hint=f"Protect it first: dsetkit access protect {stage}.",
            )
        wanted = wanted.with_reader(stage, name, builds=builds)
    for facet in facets:
        wanted = wanted.with_facet_reader(facet, name)
    if builds:
        for facet, rule in wanted.facets.items():
            if set(rule.stages) & set(stages):
                wanted = wanted.with_facet_reader(facet, name)
    for facet, rule in wanted.facets.items():
        unread = [stage for stage in rule.stages if name not in wanted.stages[stage].readers]
        if name in rule.readers and unread:
            why = f"who builds {' and '.join(stages)} reads it, and " if builds else ""
            raise UsageError(
                f"The facet {facet} is also of {', '.join(unread)}, which {name} does not read: {why}"
                "who reads a facet reads all its stages",
                hint=f"Grant these too: {' '.join(f'--stage {stage}' for stage in unread)}.",
            )
    return wanted


def revoked(
    wanted: Wanted, name: str, *, stages: Sequence[str] = (), facets: Sequence[str] = (), role: Role = "reader"
) -> Wanted:
    """``name`` reads the stages and facets no more; ``builder``: builds the stages no more; ``admin``: is none."""
    _known(wanted, name)
    if role == "admin":
        if name not in wanted.admins:
            raise UsageError(f"{name} is no admin", hint="See `dsetkit access list`.")
        wanted = _without_admin(wanted, name)
    elif not stages and not facets:
        raise UsageError(
            f"It is not said what {name} is to lose", hint="Name stages (--stage), facets (--facet), or --all of it."
        )
    for stage in stages:
        found = wanted.rule(_stage(stage))
        known = "builders" if role == "builder" else "readers"
        if found is None or name not in getattr(found, known):
            raise UsageError(f"{name} does not {known.removesuffix('ers')} {stage}", hint="See `dsetkit access list`.")
        if role == "builder":
            wanted = wanted.with_rule(stage)
            rule = replace(wanted.stages[stage], builders=wanted.stages[stage].builders - {name})
            wanted = replace(wanted, stages={**wanted.stages, stage: rule})
        else:
            wanted = wanted.without_reader(stage, name)
    for facet in facets:
        if name not in wanted.without_facet_reader(facet, "").facets[facet].readers:
            raise UsageError(f"{name} does not read the facet {facet}", hint="See `dsetkit access list`.")
        wanted = wanted.without_facet_reader(facet, name)
        for stage in wanted.facets[facet].stages:
            if name in wanted.stages[stage].builders:
                raise UsageError(
                    f"{name} builds {stage}, of which {facet} is a facet: who builds it reads it",
                    hint=f"First: dsetkit access revoke {name} --role builder --stage {stage}.",
                )
    return wanted


def expelled(wanted: Wanted, name: str) -> Wanted:
    """``name`` is known no more."""
    _known(wanted, name)
    return (_without_admin(wanted, name) if name in wanted.admins else wanted).without_principal(name)


def protected(wanted: Wanted, stage: str, name: str) -> Wanted:
    """The stage has a rule of its own, which begins as the one it inherited; ``name`` reads and builds it."""
    if _stage(stage) in wanted.stages:
        raise UsageError(f"{stage} is protected already", hint="See `dsetkit access list`.")
    made = wanted.with_reader(stage, name, builds=True)
    return replace(made, declassified=tuple(other for other in made.declassified if other != stage))


def declassified(wanted: Wanted, stage: str) -> Wanted:
    """The stage stays plain, whatever it is made from: its rule and what its facets kept apart in it are gone."""
    if _stage(stage).startswith("raw"):
        raise UsageError(
            f"{stage} is made from no stage, so it inherits nothing",
            hint="Only cleaned, augmented and report can be declassified.",
        )
    facets = {
        name: replace(facet, stages=tuple(other for other in facet.stages if other != stage))
        for name, facet in wanted.facets.items()
    }
    return replace(
        wanted,
        stages={name: rule for name, rule in wanted.stages.items() if name != stage},
        facets={name: facet for name, facet in facets.items() if facet.stages},
        declassified=tuple(sorted({*wanted.declassified, stage})),
    )


def with_facet(
    wanted: Wanted,
    name: str,
    *,
    stages: Sequence[str] = (),
    columns: Sequence[str] = (),
    splits: Sequence[str] = (),
    hides_keys: bool | None = None,
    readers: Collection[str] = (),
) -> Wanted:
    """The facet ``name`` is kept apart, for ``readers`` and those who build all its stages.

    What is not given is as in the preset of that name, else: all stages that have a rule (but ``report``), all rows.
    One that is there already changes only in what is given.
    """
    before, preset = wanted.facets.get(name), PRESETS.get(name)
    given_stages = tuple(sorted({_stage(stage) for stage in stages}))
    chosen = given_stages or (before.stages if before else tuple(s for s in sorted(wanted.stages) if s != "report"))
    for stage in chosen:
        if stage not in wanted.stages:
            wanted = wanted.with_rule(stage) if ruling_stages(wanted, stage) else wanted
        if stage not in wanted.stages:
            raise UsageError(
                f"{stage} is not protected, so no facet of it can be",
                hint=f"Protect it first: dsetkit access protect {stage}.",
            )
    if not chosen:
        raise UsageError(
            "No stage is protected, so no facet can be", hint="Protect one: dsetkit access protect cleaned."
        )
    found = tuple(columns) or (before.columns if before else preset.columns if preset else ())
    if not found:
        raise UsageError(
            f"It is not said which columns {shown(name)} is of",
            hint=f"Name them: --column annotations; or use a preset as its name: {', '.join(PRESETS)}.",
        )
    everyone = frozenset.intersection(*(wanted.stages[stage].readers for stage in chosen))
    builders = frozenset.union(*(wanted.stages[stage].builders for stage in chosen))
    members = frozenset(readers) | builders | (before.readers if before else frozenset())
    for reader in sorted(members):
        _known(wanted, reader)
        if reader not in everyone:
            unread = [stage for stage in chosen if reader not in wanted.stages[stage].readers]
            raise UsageError(
                f"{reader} does not read {' and '.join(unread)}: who reads or builds a facet reads all its stages",
                hint=f"Name fewer stages, or grant it: dsetkit access grant {reader} "
                + " ".join(f"--stage {stage}" for stage in unread),
            )
    hidden = before.hides_keys if before else bool(preset and preset.hides_keys)
    facet = WantedFacet(
        stages=chosen,
        columns=tuple(sorted({_column(column) for column in found})),
        readers=members,
        splits=tuple(sorted(set(splits))) or (before.splits if before else preset.splits if preset else ()),
        hides_keys=hidden if hides_keys is None else hides_keys,
    )
    return replace(wanted, facets={**wanted.facets, name: facet})


def without_facet(wanted: Wanted, name: str) -> Wanted:
    """What the facet kept apart is again in the rows that all readers of its stages read, from the next build on."""
    if name not in wanted.facets:
        raise NotFoundError(
            f"There is no facet {shown(name)}", name=name, hint=f"There are: {', '.join(wanted.facets) or 'none'}."
        )
    return replace(wanted, facets={other: facet for other, facet in wanted.facets.items() if other != name})


def with_settings(
    wanted: Wanted,
    *,
    threshold: int | None = None,
    padding: Literal["none", "padme"] | None = None,
    records_openings: bool | None = None,
) -> Wanted:
    """How many admins must sign, whether sizes are padded, whether openings are recorded; None: as it is."""
    if threshold is not None and not 1 <= threshold <= len(wanted.admins):
        raise UsageError(
            f"{threshold} admins cannot be asked for: there {'is' if len(wanted.admins) == 1 else 'are'} "
            f"{len(wanted.admins)}",
            hint="Make more admins first: dsetkit access grant NAME --role admin.",
        )
    return replace(
        wanted,
        threshold=wanted.threshold if threshold is None else threshold,
        padding=wanted.padding if padding is None else padding,
        records_openings=wanted.records_openings if records_openings is None else records_openings,
    )


def domains_named(policy: AccessPolicy, names: Sequence[str]) -> tuple[str, ...]:
    """The domains that names of stages, facets or domains mean; without names, all that seal what is built now."""
    in_use = domains_in_use(policy)
    found = []
    for name in names:
        if name in in_use:
            found.append(name)
        elif name in policy.facets:
            found.append(policy.facets[name].domain)
        else:
            try:
                rule = rule_of(policy, check_stage(name))
            except ValueError:
                rule = None
            if rule is None:
                raise NotFoundError(
                    f"{shown(name)} is no protected stage, no facet, and no domain that seals anything",
                    name=name,
                    hint="See `dsetkit access list`.",
                )
            found.append(rule.domain)
    return tuple(dict.fromkeys(found)) if names else tuple(sorted(in_use))


def _without_admin(wanted: Wanted, name: str) -> Wanted:
    left = wanted.admins - {name}
    if not left:
        raise UsageError(
            f"{name} is the last admin, and without one nobody could change the policy any more",
            hint="Make another first: dsetkit access grant NAME --role admin.",
        )
    if len(left) < wanted.threshold:
        raise UsageError(
            f"{wanted.threshold} admins must sign, and without {name} there would be {len(left)}",
            hint="Make another admin first, or ask for fewer: dsetkit access settings --threshold N.",
        )
    return replace(wanted, admins=left)


def _known(wanted: Wanted, name: str) -> None:
    if name not in wanted.principals:
        raise AccessError(
            f"The policy knows nobody called {shown(name)}",
            subject=name,
            hint=f"It knows: {', '.join(sorted(wanted.principals))}.",
        )


def _stage(name: str) -> str:
    try:
        return check_stage(name)
    except ValueError as error:
        text = str(error)
        raise UsageError(f"{text[:1].upper()}{text[1:]}", hint="Name one of these.") from None


def _column(name: str) -> str:
    column, dot, field = name.partition(".")
    if not dot and name in FACET_COLUMNS and name in Sample.model_fields:
        return name
    if column == "annotations" and field in Annotation.model_fields and field not in _NEEDED:
        return name
    raise UsageError(
        f"{shown(name)} is no column that can be kept apart",
        hint=f"These can: {', '.join(FACET_COLUMNS)}; and annotations.FIELD (annotations.annotator).",
    )
