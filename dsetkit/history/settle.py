"""Where two branches met, each with a next version of the policy: the chain goes on from one, the other is dropped.

Policies do not merge: each version names the one before. What stays is what the other side of the merge has, as it was
published; what is dropped are versions that this user made or saw. To drop is to forget what was seen, so it is shown
first, and needs more than a yes where it could be an attack: somebody whom a version revoked can sign another one in
its place. So ``Plan.needs_digest`` is set unless this identity signed all that is dropped, and none was published.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dsetkit.access import signing
from dsetkit.access.audit_chain import MAX_CHAIN_BYTES, Entry, chain_name
from dsetkit.access.audit_claims import unknown_entries
from dsetkit.access.files import names_below, parse_document, read_below, refuse
from dsetkit.access.identity import Identity
from dsetkit.access.policy import Chain, read_chain_of
from dsetkit.access.policy_files import FOLDER, MAX_POLICY_BYTES
from dsetkit.access.provenance import PolicyOfBuild
from dsetkit.access.rules import digest_of_policy, principal_of
from dsetkit.access.seen_audit import seen_heads
from dsetkit.access.trust import open_trust
from dsetkit.errors import AccessError, StorageError, TamperError, UsageError
from dsetkit.history.statements import is_shallow_clone
from dsetkit.spec.policy import AccessPolicy
from dsetkit.stages.protection import SETTLED, Change, settle_policy

_MAX_BYTES = 256 * 1024 * 1024
_MOST = 1000
"""So many versions are dropped at most."""
_FIRST = ("access/audit/", "dvc.yaml", "params.yaml", "sources.lock.yaml", ".gitignore")
"""What must have been merged before: it is read, or written, when a policy is settled."""


class Dropped(NamedTuple):
    """A version that is to count no more."""

    version: int
    digest: str
    policy: AccessPolicy | None
    """None where git does not have it any more."""
    is_own: bool
    """Whether this identity signed it."""
    was_published: bool
    """Whether the other side, or any remote as this clone saw it, has ever had it."""


@dataclass(frozen=True)
class Plan:
    """What settling would do."""

    name: str
    """Of the side that is kept: MERGE_HEAD, origin/main."""
    chain: Chain
    """Which it has; verified, and beginning as this user has pinned."""
    seen: int
    """How many of its versions this user has verified before; 0 where they saw others."""
    dropped: tuple[Dropped, ...]
    acts: tuple[Entry, ...]
    """Of this identity, under dropped versions: what must be done again."""
    told: tuple[PolicyOfBuild, ...]
    """Policies that the audit is to call dropped."""
    files: Mapping[str, bytes]
    """What is written."""
    gone: tuple[str, ...]
    """What is deleted."""
    signed: tuple[str, ...]
    """Statements of what was built under dropped versions, below the project's root."""

    @property
    def needs_digest(self) -> bool:
        """Whether a yes is not enough. It is for what this user would not believe anyway: they saw the other one."""
        return any((not one.is_own or one.was_published) and one.version > self.seen for one in self.dropped)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to settle."""
        return not (self.dropped or self.told or self.files or self.gone)


def plan_settle(
    root: Path, rev: str | None, identity: Identity | None, environ: Mapping[str, str] = os.environ
) -> Plan:
    """What it means to go on from the policy of ``rev``: by default of the other side of the merge, else of upstream.

    Changes nothing. Raises ``UsageError`` where there is no such side, ``TamperError`` where its policy is none to
    believe, or begins otherwise than what this user has pinned.
    """
    name, commit = _side(root, rev)
    _check_merged(root)
    theirs = _files_at(root, commit)
    below = {path.removeprefix(f"{FOLDER}/"): data for path, data in theirs.items() if path.startswith(f"{FOLDER}/")}
    chain, left_out = read_chain_of(below)
    theirs = {path: data for path, data in theirs.items() if path.removeprefix(f"{FOLDER}/") not in left_out}
    trust = open_trust(root, chain.policy.project, environ)
    if trust.seen is not None and trust.seen.first != chain.pin:
        refuse(f"begins otherwise in {name} than when you first saw it ({trust.seen.first})", FOLDER)
    seen = None if trust.seen is None else (trust.seen.version, trust.seen.digest)
    dropped = tuple(_dropped(root, commit, chain, seen, identity))
    me = None if identity is None else principal_of(chain.policy, identity)
    restored = {} if me is None else _own_entries(root, chain, me, environ)
    present = _present(root)
    files = {path: data for path, data in theirs.items() if present.get(path) != data}
    gone = tuple(sorted(set(present) - set(theirs)))
    lost = {(one.version, one.digest): PolicyOfBuild(version=one.version, digest=one.digest) for one in dropped}
    acts: list[Entry] = []
    if me is not None:
        text = restored.get(chain_name(me))
        for entry in unknown_entries(root, chain, me, text):
            lost[entry.policy.version, entry.policy.digest] = entry.policy
            acts.append(entry)
    is_told = bool(acts or dropped) and me is not None
    told = tuple(lost[pair] for pair in sorted(lost)) if is_told else ()
    signed = tuple(_signed_under(root, [digest for _, digest in lost]))
    known = seen[0] if seen is not None and chain.at(*seen) is not None else 0
    return Plan(name, chain, known, dropped, tuple(acts), told, {**files, **restored}, gone, signed)


def settle(
    root: Path, plan: Plan, identity: Identity | None, environ: Mapping[str, str] = os.environ, *, digest: str | None
) -> Change:
    """Does what was planned, and stages it for git: the merge can be committed then.

    Raises ``AccessError`` unless ``digest`` is of the policy that is kept, where the plan needs it.
    """
    if digest not in ((plan.chain.digest,) if plan.needs_digest else (plan.chain.digest, None)):
        raise AccessError(
            "What is to be dropped is not yours alone, or was published",
            subject=FOLDER,
            hint="Ask the other admins, by another way than the repository, whether the version kept is theirs: "
            f"sha256sum {FOLDER}/{plan.chain.policy.version}.json. If they say so: --digest and what they gave you.",
        )
    done = settle_policy(root, plan.chain, plan.files, plan.gone, plan.told, identity, environ)
    _git(root, "add", "--all", "--", "access")
    return done


def _side(root: Path, rev: str | None) -> tuple[str, str]:
    """Name and commit of the side to keep."""
    if rev is None:
        rebasing = any(_path(root, name).is_dir() for name in ("rebase-merge", "rebase-apply"))
        rev = "MERGE_HEAD" if _commit(root, "MERGE_HEAD") else "HEAD" if rebasing else "@{upstream}"
    commit = _commit(root, rev)
    if commit is None:
        raise UsageError(
            f"There is no {rev}",
            hint="Say which side to keep: --with origin/main; --with HEAD for your own, where that was published.",
        )
    if rev == "@{upstream}":
        rev = (_git(root, "rev-parse", "--abbrev-ref", "@{upstream}") or rev.encode()).decode().strip()
    return rev, commit


def _check_merged(root: Path) -> None:
    told = (_git(root, "ls-files", "--unmerged", "-z") or b"").decode("utf-8", "replace").split("\0")
    open_ = sorted({line.partition("\t")[2] for line in told if line.partition("\t")[2].startswith(_FIRST)})
    if open_:
        raise UsageError(
            f"These are not merged yet: {', '.join(open_)}",
            hint="Merge them first (edit, then git add); of an audit chain keep the longer one, if it holds the other.",
        )


def _files_at(root: Path, commit: str) -> dict[str, bytes]:
    """The files of policy and keyrings that a commit has, by path in the project."""
    listed = _git(root, "ls-tree", "-r", "-l", "-z", commit, "--", *(f"{folder}/" for folder in SETTLED)) or b""
    found: dict[str, bytes] = {}
    left = _MAX_BYTES
    for row in listed.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        facts, _, path = row.partition("\t")
        mode, kind, oid, size = facts.split()
        if kind != "blob" or mode not in ("100644", "100755"):
            refuse("is no regular file there", path)
        left -= int(size)
        if left < 0:
            refuse(f"has more than {_MAX_BYTES:,} bytes there", path)
        found[path] = _git(root, "cat-file", "blob", oid) or b""
    return found


def _present(root: Path) -> dict[str, bytes]:
    """The same files as they stand in the workspace; those of killed writers are left."""
    found: dict[str, bytes] = {}
    for folder in SETTLED:
        for name in names_below(root, folder, 100_000):
            inner = f"{folder}/{name}"
            names = (
                [f"{inner}/{one}" for one in names_below(root, inner, 100_000)] if (root / inner).is_dir() else [inner]
            )
            for path in names:
                if not path.rpartition("/")[2].startswith("."):
                    found[path] = read_below(root, path, _MAX_BYTES) or b""
    return found


def _dropped(
    root: Path, commit: str, chain: Chain, seen: tuple[int, str] | None, identity: Identity | None
) -> Iterator[Dropped]:
    """What this user has seen, or has in the workspace or on this side of the merge, and ``chain`` has not."""
    todo = [] if seen is None else [seen]
    for side in ("HEAD", "MERGE_HEAD", None):
        for number in range(1, len(chain.versions) + _MOST):
            text = _text(root, side, f"{FOLDER}/{number}.json")
            if text is None:
                break
            digest = hashlib.sha256(text).hexdigest()
            if chain.at(number, digest) is None and _policy(text, number, chain) is not None:
                todo.append((number, digest))
    pushed = _Published(root, commit)
    found: dict[tuple[int, str], Dropped] = {}
    while todo and len(found) < _MOST:
        pair = version, digest = todo.pop()
        if pair in found or chain.at(version, digest) is not None or _is_pending(chain, digest):
            continue
        name = f"{FOLDER}/{version}.json"
        known = [(oid, data) for oid, data in _every(root, name) if hashlib.sha256(data).hexdigest() == digest]
        said = known[0][1] if known else b""
        policy = _policy(said, version, chain)
        if policy is not None and policy.previous is not None:
            todo.append((version - 1, policy.previous))
        is_own = policy is not None and identity is not None and _signed(root, policy, said, identity)
        found[pair] = Dropped(version, digest, policy, is_own, pushed.has(name, {oid for oid, _ in known}))
    yield from (found[pair] for pair in sorted(found))


def _is_pending(chain: Chain, digest: str) -> bool:
    return chain.pending is not None and digest == digest_of_policy(chain.pending)


def _policy(text: bytes, number: int, chain: Chain) -> AccessPolicy | None:
    """The policy that a text is; None for what is none of this project: what a merge left, what anybody put there."""
    try:
        policy = parse_document(AccessPolicy, text, FOLDER)
    except TamperError:
        return None
    return policy if (policy.version, policy.project) == (number, chain.policy.project) else None


def _signed(root: Path, policy: AccessPolicy, text: bytes, identity: Identity) -> bool:
    """Whether ``identity`` signed this version, by any signature that git or the workspace has of it."""
    for name, principal in policy.principals.items():
        keys = [key for key in principal.ssh if key in identity.public.ssh]
        for _, signature in _every(root, f"{FOLDER}/{policy.version}.{name}.sig") if keys else ():
            try:
                signing.verify_here(
                    text,
                    signature,
                    namespace=signing.namespace_of("policy", policy.project),
                    principal=name,
                    keys=keys,
                )
            except TamperError:
                continue
            return True
    return False


def _own_entries(root: Path, chain: Chain, me: str, environ: Mapping[str, str]) -> dict[str, bytes]:
    """The audit chain of ``me``, where a reset took entries away that this user has seen and git still has."""
    name, head = chain_name(me), seen_heads(root, chain.policy.project, environ).get(me)
    text = read_below(root, name, MAX_CHAIN_BYTES) or b""
    if head is None or text.count(b"\n") >= head.number:
        return {}
    for _, data in _every(root, name):
        lines = data.splitlines(keepends=True)[: head.number]
        is_it = len(lines) == head.number and hashlib.sha256(lines[-1]).hexdigest() == head.digest
        if is_it and data.startswith(text):
            return {name: b"".join(lines)}
    return {}


def _signed_under(root: Path, digests: list[str]) -> Iterator[str]:
    """Statements that name one of these policies: nobody believes them any more."""
    for path in sorted((root / "signatures").rglob("*.json")):
        name = path.relative_to(root).as_posix()
        if any(digest.encode() in (read_below(root, name, MAX_POLICY_BYTES) or b"") for digest in digests):
            yield name


def _every(root: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Object id and bytes of each content that a file has had, as far as this clone knows."""
    told: dict[str, None] = {}
    text = _text(root, None, name)
    if text is not None:
        yield (_git(root, "hash-object", "--no-filters", "--", name) or b"").decode().strip(), text
    for stage in ("0", "2", "3"):
        told[(_git(root, "rev-parse", "--verify", "--quiet", f":{stage}:./{name}") or b"").decode().strip()] = None
    told.update(dict.fromkeys(_contents(root, name, "--all", "--reflog", "HEAD")))
    for oid in filter(None, told):
        data = _git(root, "cat-file", "blob", oid)
        if data is not None:
            yield oid, data


def _contents(root: Path, name: str, *revisions: str) -> Iterator[str]:
    """Object ids that a file has had in the history of these."""
    what = ("--format=", "--raw", "--no-abbrev", "--no-renames", "-m", "--full-history", "--ignore-missing")
    listed = _git(root, "log", *what, *revisions, "--", name)
    if listed is None:  # not to be taken for a file without a past
        raise StorageError("git log failed", url=str(root), hint="See git fsck.")
    for row in listed.decode("utf-8", "replace").splitlines():
        words = row.split()
        if row.startswith(":") and len(words) > 4:
            yield from (oid for oid in words[2:4] if oid.strip("0"))


class _Published:
    """The contents that a file has had on the other side, or on any remote when this clone looked."""

    def __init__(self, root: Path, commit: str) -> None:
        self._root, self._known = root, dict[str, frozenset[str]]()
        refs = (_git(root, "for-each-ref", "--format=%(refname)", "refs/remotes") or b"").decode().split()
        looked = [(_git(root, "log", "--walk-reflogs", "--format=%H", ref) or b"").decode().split() for ref in refs]
        self._is_shallow = is_shallow_clone(root)
        self._commits = list(dict.fromkeys([commit, *refs, *(one for some in looked for one in some)]))

    def has(self, name: str, oids: set[str]) -> bool:
        """Whether one of these is among them. Yes where nobody can tell: a shallow clone lacks history."""
        if name not in self._known:
            self._known[name] = frozenset(_contents(self._root, name, *self._commits))
        return self._is_shallow or not self._known[name].isdisjoint(oids)


def _text(root: Path, side: str | None, name: str) -> bytes | None:
    """A file as a commit has it, or the workspace."""
    return (
        read_below(root, name, MAX_POLICY_BYTES) if side is None else _git(root, "cat-file", "blob", f"{side}:./{name}")
    )


def _commit(root: Path, rev: str) -> str | None:
    told = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    return told.decode().strip() if told else None


def _path(root: Path, name: str) -> Path:
    return root / (_git(root, "rev-parse", "--git-path", name) or b"?").decode().strip()


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git says, byte for byte; None where it fails."""
    command = ["git", "-C", str(root), *arguments]
    environ = {**os.environ, "GIT_NO_REPLACE_OBJECTS": "1"}  # what was published is not for others to redefine
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, env=environ)
    except FileNotFoundError:
        raise StorageError("git is not installed", url=str(root), hint="Install git.") from None
    return done.stdout if done.returncode == 0 else None
