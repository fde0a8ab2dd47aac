"""The signatures of a policy: who must sign a version, who has, and what a version is that lacks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from dsetkit.access import signing
from dsetkit.access.files import refuse, shown, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.policy_files import FOLDER, LEFT
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import AccessPolicy


class Signed(NamedTuple):
    """What the signatures of a version say."""

    signers: list[str]
    """Whose signature is right, sorted."""
    missing: str
    """In words, or nothing."""
    wrong: list[TamperError]
    to_confirm: list[Callable[[], None]]
    """What ``ssh-keygen`` has still to say."""


def check_signatures(
    number: int, sides: Sequence[AccessPolicy], text: bytes, signatures: Mapping[str, bytes], *, is_early: bool = False
) -> Signed:
    """Checks the signatures of the version with this number, by admins of ``sides``: the one before, and itself.

    ``is_early``: only the one before is known yet, so those of others may be right all the same.
    """
    namespace = signing.namespace_of("policy", sides[0].project)
    counts = [0 for _ in sides]
    done = Signed([], "", [], [])
    for name, signature in signatures.items():
        subject = f"{FOLDER}/{number}.{name}.sig"
        keys = [_admin_keys(side, name) for side in sides]
        if is_early and not any(keys):
            continue
        every = sorted({key for some in keys for key in some})
        about = {"namespace": namespace, "principal": name, "subject": subject}
        try:
            if not every:
                refuse("is of nobody who is an admin", subject)
            key = signing.verify_here(text, signature, keys=every, **about)
        except TamperError as error:
            done.wrong.append(error)
            continue
        done.signers.append(name)
        done.to_confirm.append(partial(signing.confirm, text, signature, key=key, **about))
        for index, some in enumerate(keys):
            counts[index] += key in some
    missing = [
        f"{count} of {side.threshold} admins of version {side.version}"
        for side, count in zip(sides, counts, strict=True)
        if count < side.threshold
    ]
    return done._replace(missing=f"signed by {' and '.join(missing)}" if missing else "")


def refuse_lacking(number: int, signed: Signed) -> NoReturn:
    """For a version that does not count: what is wrong with its signatures, else what is missing."""
    if signed.wrong:
        error = signed.wrong[0]
        if not signed.missing:  # it is in the way, and nothing else is
            raise TamperError(error.message, subject=error.subject or FOLDER, hint=LEFT) from None
        raise error
    refuse(f"lacks signatures: {signed.missing}", f"{FOLDER}/{number}.json")


def ignored_for(number: int, error: TamperError) -> Issue:
    """That a next version, or a signature of it, is as if it were not there."""
    return Issue(
        code="policy-ignored",
        severity="warning",
        message=f"Version {number} of the policy does not count: {error.message}",
        file=error.subject,
        hint="Ask who put it there (git log), then delete it; dsetkit access approve --withdraw deletes the version.",
    )


def _admin_keys(policy: AccessPolicy, name: str) -> tuple[str, ...]:
    return policy.principals[name].ssh if name in policy.admins else ()


def admin_name(sides: Sequence[AccessPolicy], identity: Identity) -> str:
    """Under which name this identity signs a version, as an admin of these. Raises ``AccessError`` unless it is one."""
    for side in sides:
        for name in side.admins:
            if set(identity.public.ssh) & set(side.principals[name].ssh):
                return name
    admins = sides[0].admins
    raise AccessError(
        f"Only admins change the policy: {shown(', '.join(admins))}",
        subject=FOLDER,
        hint="Ask one of them.",
        grantors=admins,
    )


def write_signature(root: Path, policy: AccessPolicy, text: bytes, identity: Identity, signer: str) -> None:
    """Signs a version as ``signer``, and writes that beside it."""
    signature = identity.sign(text, signing.namespace_of("policy", policy.project))
    write_below(root, f"{FOLDER}/{policy.version}.{signer}.sig", signature.encode("ascii"))
