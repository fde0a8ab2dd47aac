"""Bucket policies for S3, made from an access policy: who may fetch, send and delete the objects of each stage.

Keys decide who *reads*; this withholds the sealed bytes too, and keeps readers from writing. The language is that of
AWS ("IAM JSON policy elements"; "Actions, resources, and condition keys for Amazon S3"). Everything not named is
refused by the service. Pure: nothing is sent anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dsetkit.access.files import shown
from dsetkit.access.rules import rule_of
from dsetkit.errors import AccessError, UsageError
from dsetkit.spec.policy import AccessPolicy

READ_OBJECTS = ("s3:GetObject",)
BUILD_OBJECTS = ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject")
ADMIN_OBJECTS = ("s3:DeleteObject",)
LIST = ("s3:ListBucket",)
ADMIN_BUCKET = ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_MAX_BYTES = 20 * 1024
"""Of a bucket policy, at AWS."""


@dataclass(frozen=True)
class Place:
    """Where objects of a stage are: all keys in a bucket that begin with ``prefix`` and ``/``."""

    bucket: str
    prefix: str
    """Without ``/`` at its ends; empty: the whole bucket."""


def parse_place(url: str) -> Place:
    """The place that ``s3://BUCKET/PREFIX`` names. Raises ``UsageError``."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    odd = any(part in ("", ".", "..") for part in prefix.split("/")) if prefix else False
    if scheme != "s3" or not _BUCKET.match(bucket) or odd or not prefix.isprintable():
        raise UsageError(f"{shown(url)} is no place in S3", hint="Write it as s3://BUCKET/PREFIX.")
    return Place(bucket, prefix)


def bucket_policies(policy: AccessPolicy, places: Mapping[str, Place], *, account: str) -> dict[str, dict[str, Any]]:
    """The policy of each bucket, by its name.

    ``places``: stage (``raw``, ``raw/blood``, ``cleaned``, ``augmented``, ``report``) → where its objects are; stages
    may share a place, which then is for all their readers. ``account`` (12 digits) has a user for each principal. A
    stage that is plain is read by all principals and built by admins. Raises ``UsageError``.
    """
    if not _ACCOUNT.match(account):
        raise UsageError(f"{shown(account)} is no account", hint="Give its 12 digits: --account 123456789012.")
    rights: dict[Place, tuple[set[str], set[str]]] = {}
    for stage, place in places.items():
        readers, builders = _rights(policy, stage)
        known = rights.setdefault(place, (set(), set()))
        known[0].update(readers)
        known[1].update(builders)
    made: dict[str, dict[str, Any]] = {}
    for bucket in sorted({place.bucket for place in rights}):
        statements: list[dict[str, Any]] = []
        inside = sorted((place.prefix, *rights[place]) for place in rights if place.bucket == bucket)
        for number, (prefix, readers, builders) in enumerate(inside, 1):
            statements += _statements(f"Place{number}", bucket, prefix, readers, builders, set(policy.admins), account)
        statements.append(_allow("AdminsSetPolicy", policy.admins, account, ADMIN_BUCKET, f"arn:aws:s3:::{bucket}"))
        made[bucket] = {"Version": "2012-10-17", "Statement": statements}
    return made


def overlaps(policy: AccessPolicy, places: Mapping[str, Place]) -> list[tuple[str, str]]:
    """Pairs of stages with different readers, one of which lies in the other's place: the keys alone part them."""
    found = []
    stages = sorted(places)
    for first in stages:
        for second in stages:
            one, other = places[first], places[second]
            is_shared = first < second and (_contains(one, other) or _contains(other, one))
            if is_shared and _rights(policy, first)[0] != _rights(policy, second)[0]:
                found.append((first, second))
    return found


def escaped(text: str) -> str:
    """A name as it stands in a policy, where ``*``, ``?`` and ``$`` mean something: as policy variables."""
    return "".join(f"${{{sign}}}" if sign in "*?$" else sign for sign in text)


def _contains(outer: Place, inner: Place) -> bool:
    return outer.bucket == inner.bucket and f"{inner.prefix}/".startswith(f"{outer.prefix}/" if outer.prefix else "")


def _rights(policy: AccessPolicy, stage: str) -> tuple[set[str], set[str]]:
    """Who reads and who builds a stage; of one that nobody can build as the policy is, nobody."""
    try:
        rule = rule_of(policy, stage)
    except AccessError:
        return set(), set()
    if rule is None:
        return set(policy.principals), set(policy.admins)
    readers, builders = set(rule.readers), set(rule.builders)
    if stage == "raw":  # the place may hold sources with rules of their own
        for name, other in policy.stages.items():
            if name.startswith("raw/"):
                readers, builders = readers | set(other.readers), builders | set(other.builders)
    return readers, builders


def _statements(
    name: str, bucket: str, prefix: str, readers: set[str], builders: set[str], admins: set[str], account: str
) -> Iterable[dict[str, Any]]:
    where = f"{escaped(prefix)}/" if prefix else ""
    objects = f"arn:aws:s3:::{bucket}/{where}*"
    everyone = readers | builders | admins
    yield _allow(f"{name}Read", everyone, account, READ_OBJECTS, objects)
    condition = {"StringLike": {"s3:prefix": [f"{where}*", where]}} if prefix else None
    yield _allow(f"{name}List", everyone, account, LIST, f"arn:aws:s3:::{bucket}", condition)
    if builders | admins:
        yield _allow(f"{name}Build", builders | admins, account, BUILD_OBJECTS, objects)
    yield _allow(f"{name}Admin", admins, account, ADMIN_OBJECTS, objects)


def _allow(
    name: str,
    principals: Iterable[str],
    account: str,
    actions: Iterable[str],
    resource: str,
    condition: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "Sid": name,
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{account}:user/{who}" for who in sorted(principals)]},
        "Action": list(actions),
        "Resource": [resource],
        **({"Condition": condition} if condition else {}),
    }
