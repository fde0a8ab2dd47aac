"""Anchors of the audit: signed git tags that list the heads of all chains at some time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import TypeAdapter

from dsetkit.access import signing
from dsetkit.access.audit_chain import MAX_CHAIN_BYTES
from dsetkit.access.files import refuse, shown
from dsetkit.access.policy import Chain
from dsetkit.access.provenance import PolicyOfBuild
from dsetkit.access.seen_audit import Head
from dsetkit.errors import AccessError
from dsetkit.spec.base import Digest
from dsetkit.spec.policy import PrincipalName

_ANCHOR_HEAD = "dsetkit audit anchor"
_PRINCIPAL: TypeAdapter[str] = TypeAdapter(PrincipalName)
_DIGEST: TypeAdapter[str] = TypeAdapter(Digest)


class Anchor(NamedTuple):
    """The heads of all chains at some time, as one principal has signed them in a git tag."""

    name: str
    principal: str
    policy: PolicyOfBuild
    heads: dict[str, Head]
    is_by_admin: bool
    """By the policy that it names. What others say of chains accuses nobody."""


def anchor_text(chain: Chain, principal: str, heads: Mapping[str, Head]) -> str:
    """The message of an anchor's tag. Raises ``AccessError`` for who is no admin: their anchors count for nobody."""
    if principal not in chain.policy.admins:
        raise AccessError(
            f"{principal} is no admin, and only anchors of admins count",
            subject="audit",
            hint=f"Ask one of them: {', '.join(chain.policy.admins)}.",
            grantors=chain.policy.admins,
        )
    policy = PolicyOfBuild(version=chain.policy.version, digest=chain.digest)
    return _anchor_text(chain.policy.project, policy, principal, heads)


def check_anchor(tag: str, text: bytes, signature: bytes, chain: Chain) -> Anchor:
    """The anchor that a git tag is: ``text`` are the bytes of the tag object before its signature.

    Raises ``TamperError`` unless it is in its one byte form, and a principal of the policy that it names has signed it,
    by that policy's keys.
    """
    subject = f"tag {shown(tag)}"
    head, _, message = text.partition(b"\n\n")
    if f"\ntag {tag}\n".encode() not in head + b"\n" or len(text) > MAX_CHAIN_BYTES:
        refuse("is the tag of another name", subject, hint="Delete it, or fetch it again.")
    policies: list[PolicyOfBuild] = []
    people: list[str] = []
    heads: dict[str, Head] = {}
    try:
        for line in message.decode("ascii").split("\n"):
            kind, *words = line.split(" ")
            if kind == "policy":
                policies.append(PolicyOfBuild(version=int(words[0]), digest=words[1]))
            elif kind == "by":
                people.append(_PRINCIPAL.validate_python(words[0]))
            elif kind == "head":
                heads[_PRINCIPAL.validate_python(words[0])] = _anchored(int(words[1]), words[2])
        if _anchor_text(chain.policy.project, policies[0], people[0], heads).encode() != message:
            raise ValueError
    except (ValueError, IndexError):
        refuse("is no anchor of this project's audit", subject, hint="Delete it, or fetch it again.")
    then = chain.at(policies[0].version, policies[0].digest)
    if then is None or people[0] not in then.principals:
        refuse(
            "names a policy that this project does not have, or somebody whom that does not know",
            subject,
            hint="If it is of a version that was dropped where two branches met, delete it (git tag --delete).",
        )
    anchor = Anchor(tag, people[0], policies[0], heads, people[0] in then.admins)
    signing.verify(
        text,
        signature,
        namespace=signing.GIT_NAMESPACE,
        principal=anchor.principal,
        keys=then.principals[anchor.principal].ssh,
        subject=subject,
    )
    return anchor


def _anchor_text(project: str, policy: PolicyOfBuild, principal: str, heads: Mapping[str, Head]) -> str:
    lines = [
        _ANCHOR_HEAD,
        "",
        f"project {project}",
        f"policy {policy.version} {policy.digest}",
        f"by {principal}",
        *(f"head {name} {head.number} {head.digest}" for name, head in sorted(heads.items())),
    ]
    return "".join(f"{line}\n" for line in lines)


def _anchored(number: int, digest: str) -> Head:
    if not 1 <= number <= MAX_CHAIN_BYTES:  # an entry has more than one byte
        raise ValueError
    return Head(number, _DIGEST.validate_python(digest))
