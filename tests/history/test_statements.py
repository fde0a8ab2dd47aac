"""Sealed snapshots of a project with a history: which signature counts, and what a build may remember."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from support.once import made_once
from support.protected import Protected
from support.versions import commit, sh

import dsetkit
from dsetkit.access import changes
from dsetkit.access.statement import signature_name, statement_name
from dsetkit.errors import TamperError
from dsetkit.history.log import change_line, versions
from dsetkit.history.memory import last_output
from dsetkit.history.objects import Objects
from dsetkit.history.recorded import recorded_outputs
from dsetkit.history.statements import file_at, keys_at, met_at, policies_at
from dsetkit.history.verify import verify_versions
from dsetkit.snapshots.read import Snapshot
from dsetkit.stages import protection
from dsetkit.stages.augment import augment
from dsetkit.stages.executor import open_pool
from dsetkit.stages.sealed import keys_of

SIGNED = (statement_name("cleaned"), signature_name("cleaned"))


def recorded(project: Protected, name: str) -> None:
    """What stands becomes a version with this name."""
    sh(project.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment")
    commit(project.root, name, name)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``v0`` is plain; ``v1`` and ``v2`` are sealed, with another box each; ``mixed`` has data of v1, signed as v2."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=4)
            made.become("cora", patch)
            sh(made.root, "git", "init", "-q")
            sh(made.root, "dvc", "init", "-q")
            made.build()
            recorded(made, "v0")
            made.protect()
            for name, width in (("v1", 18.0), ("v2", 22.0)):
                made.put(0, (4.0, 4.0, width, 16.0))
                made.update()
                made.build()
                recorded(made, name)
            sh(made.root, "git", "checkout", "-q", "-b", "forged", "v1")
            sh(made.root, "git", "checkout", "-q", "v2", "--", *SIGNED)
            commit(made.root, "mixed", "mixed")
            sh(made.root, "git", "checkout", "-q", "-")

    return made_once(tmp_path_factory, "sealed-history", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def test_a_revision_is_opened_by_its_own_signature(project: Protected) -> None:
    place = project.root / "data/cleaned"
    now = dsetkit.open(place)
    then = dsetkit.open(place, rev="v1")  # older than what was seen, and asked for by name
    assert then.seals is not None
    assert then.fingerprint != now.fingerprint
    assert len(then.column("key")) == 4
    assert dsetkit.open(place, rev="v2").fingerprint == now.fingerprint
    with pytest.raises(TamperError, match="cleaned is not what cora signed"):
        dsetkit.open(place, rev="mixed")
    assert dsetkit.open(place, rev="v0").seals is None  # of the past anything may be plain


def test_signatures_of_the_workspace_do_not_count_for_a_revision(project: Protected) -> None:
    place = project.root / "data/cleaned"
    for name in SIGNED:
        (project.root / name).unlink()
    with pytest.raises(TamperError, match="cleaned is not signed"):
        dsetkit.open(place)
    assert dsetkit.open(place, rev="v1").seals is not None
    keys = keys_at(project.root, "v1", "data/cleaned")
    assert keys is not None
    document = (place / "snapshot.json").read_bytes()
    seals = dsetkit.open(place, rev="v1").seals
    assert seals is not None
    with pytest.raises(TamperError, match="cleaned is not what cora signed"):
        keys.check(seals, document)


def test_an_old_version_in_the_workspace_is_not_taken_for_new(project: Protected) -> None:
    place = project.root / "data/cleaned"
    dsetkit.open(place)
    sh(project.root, "git", "checkout", "-q", "v1", "--", "dvc.lock", *SIGNED)
    sh(project.root, "dvc", "checkout", "-q", "-f", "data/cleaned")
    with pytest.raises(TamperError, match="you have seen version 2: an older one was put back"):
        dsetkit.open(place)


def test_a_snapshot_of_another_stage_is_refused_by_its_own_signature(project: Protected) -> None:
    """All that a committer needs is ``cp``, or a line of ``dvc.lock``: keys, signature and stage fit each other."""
    cleaned, augmented = project.root / "data/cleaned", project.root / "data/augmented"
    lock = project.root / "dvc.lock"
    text = lock.read_text()
    oids = {path: oid for path, oid in recorded_outputs(text).items() if path.startswith("data/")}
    lock.write_text(text.replace(oids["data/cleaned"], oids["data/augmented"]))
    commit(project.root, "swapped", "swapped")
    with pytest.raises(TamperError, match=r"cleaned is the sealed snapshot of another stage \(augmented\)"):
        dsetkit.open(cleaned, rev="swapped")
    found = next(versions(project.root, Objects(project.root)))
    assert isinstance(found.stages["cleaned"], TamperError)
    assert isinstance(found.stages["augmented"], Snapshot)
    assert "cannot be compared here" in change_line(found, found)
    assert dsetkit.open(augmented, rev="swapped").info.stage == "augmented"
    shutil.rmtree(cleaned)
    shutil.copytree(augmented, cleaned)
    for place in (cleaned, project.place / "link"):
        if place != cleaned:
            place.symlink_to(cleaned)
        with pytest.raises(TamperError, match=r"another stage \(augmented\), put in its place"):
            dsetkit.open(place)
    with pytest.raises(TamperError, match="another stage"), open_pool(1) as pool:
        augment(project.project, pool=pool)
    shutil.copytree(augmented, project.root / "copy")  # where no stage belongs any may lie
    assert dsetkit.open(project.root / "copy").info.stage == "augmented"


@pytest.mark.parametrize("who", ["cora", "olga"])
def test_every_version_is_held_against_its_signature(
    project: Protected, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """By anybody: it takes no key."""
    project.become(who, monkeypatch, f"state-{who}")
    lock = project.root / "dvc.lock"
    text = lock.read_text()
    oids = {path: oid for path, oid in recorded_outputs(text).items() if path.startswith("data/")}
    lock.write_text(text.replace(oids["data/cleaned"], oids["data/augmented"]))
    commit(project.root, "swapped", "swapped")
    objects = Objects(project.root)
    done = verify_versions(project.root, objects)
    objects.close()
    assert done.sealed == (0 if who == "cora" else 6)
    assert [(issue.code, issue.message) for issue in done.issues] == [
        (
            "snapshot-tampered",
            "data/cleaned at swapped: cleaned is the sealed snapshot of another stage (augmented), put in its place",
        )
    ]


def test_a_revoked_key_signs_nothing_for_a_revision(project: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what it signed before, if somebody brings it after the revocation; what was there before opens."""
    place, new = project.root / "data/cleaned", project.identity("olga").public
    both = tuple((*getattr(project.identity().public, kind), *getattr(new, kind)) for kind in ("age", "ssh"))
    project.act(lambda wanted: changes.with_keys(wanted, "cora", age=both[0], ssh=both[1]))
    project.become("olga", monkeypatch)
    protection.change_policy(
        project.root,
        project.identity("olga"),
        lambda wanted, _: changes.with_keys(wanted, "cora", age=new.age, ssh=new.ssh),
        "grant",
        "x",
    )
    commit(project.root, "revoked", "revoked")
    sh(project.root, "git", "checkout", "-q", "v1", "--", "dvc.lock", *SIGNED)
    commit(project.root, "brought back", "late")
    sh(project.root, "git", "checkout", "-q", "-b", "side", "v2")
    commit(project.root, "nothing")
    sh(project.root, "git", "merge", "-q", "-s", "ours", "late")
    sh(project.root, "git", "checkout", "-q", "revoked", "--", "access")
    commit(project.root, "merged, with what the side has", "merged")
    for state in ("state", "state-new"):
        project.become("olga", monkeypatch, state)
        then = {rev: len(dsetkit.open(place, rev=rev)) for rev in ("v1", "v2", "revoked")}
        assert then == dict.fromkeys(then, 4)
        with pytest.raises(TamperError, match="is signed by cora, and came when version 3 of the policy was there"):
            dsetkit.open(place, rev="late")
    with pytest.raises(TamperError, match="and came when version 3"):
        dsetkit.open(place, rev="merged")


def test_plain_data_in_the_place_of_a_sealed_stage(project: Protected) -> None:
    """At a revision whose history has the policy, wherever that lies; from before it, plain is what there was."""
    root, place = project.root, project.root / "data/cleaned"
    oids = [recorded_outputs(sh(root, "git", "show", f"{rev}:dvc.lock"))["data/cleaned"] for rev in ("v2", "v0")]
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text().replace(*oids))
    commit(root, "put there", "put")
    sh(root, "git", "rm", "-q", "-r", "--cached", "access/policy")
    sh(root, "git", "commit", "-q", "-m", "without the policy")
    sh(root, "git", "tag", "without")
    for rev in ("put", "without"):
        with pytest.raises(TamperError, match="cleaned is plain, and the policy of its time seals it"):
            dsetkit.open(place, rev=rev)
    assert dsetkit.open(place, rev="v0").seals is None
    objects = Objects(root)
    done = verify_versions(root, objects)
    objects.close()
    assert [issue.code for issue in done.issues] == ["snapshot-tampered"]  # the same outputs: one version
    assert done.issues[0].message.startswith("data/cleaned at put: cleaned is plain")
    found = next(versions(root, Objects(root)))
    assert isinstance(found.stages["cleaned"], TamperError)


def test_a_shallow_clone_cannot_say_what_was_plain(project: Protected, tmp_path: Path) -> None:
    sh(project.root, "git", "rm", "-q", "-r", "--cached", "access/policy")
    sh(project.root, "git", "commit", "-q", "-m", "without the policy")
    inner = tmp_path / "shallow"
    sh(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{project.root}", str(inner))
    (inner / "access").mkdir(exist_ok=True)
    shutil.copytree(project.root / "access/policy", inner / "access/policy")
    chain = keys_of(inner)
    assert chain is not None
    assert policies_at(inner, "HEAD", chain.chain) == chain.chain.versions
    sh(inner, "git", "fetch", "-q", "--unshallow")
    assert policies_at(inner, "HEAD", chain.chain) == (chain.policy,)
    assert policies_at(inner, sh(project.root, "git", "rev-parse", "v0"), chain.chain) == ()


def put_files(repository: Path, root: Path, message: str, **files: str | None) -> str:
    """The commit of a statement's ``text`` and ``signature``, and a ``policy``, of the project at ``root``.

    None takes a file away.
    """
    for name, text in files.items():
        path = root / {"text": SIGNED[0], "signature": SIGNED[1], "policy": "access/policy/5.json"}[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    commit(repository, message)
    return sh(repository, "git", "rev-parse", "HEAD")


def test_what_a_statement_met(tmp_path: Path) -> None:
    root = tmp_path / "inner" / "project"
    sh(tmp_path, "git", "init", "-q", "-b", "main")

    put = partial(put_files, tmp_path, root)

    def met(rev: str) -> str | None:
        return met_at(root, rev, "cleaned", "access/policy/5.json")

    root.mkdir(parents=True)
    old = put("signed", text="1", signature="1")
    five = put("policy", policy="5")
    both = put("both", policy="5b", text="2", signature="2")
    only = put("only the signature is another", signature="2b")
    gone = put("taken out", policy=None, text="3", signature="3")
    last = put("much later", policy="5")
    back = put("as it was first", text="1", signature="1")
    assert [met(rev) for rev in (old, five, both, only)] == [None, None, both, only]
    assert (met(gone), met(last), met(back)) == (only, last, back)
    sh(tmp_path, "git", "checkout", "-q", "-b", "side", old)
    side = put("signed aside", text="4", signature="4")
    assert met(side) is None
    for first, second in (("main", "side"), ("side", "main")):  # whichever is whose first parent
        sh(tmp_path, "git", "checkout", "-q", "-B", "merged", first)
        sh(tmp_path, "git", "merge", "-q", "--no-commit", "-s", "ours", second)
        sh(tmp_path, "git", "checkout", "-q", "side", "--", *(f"inner/project/{name}" for name in SIGNED))
        merge = put("merged", policy="5")
        assert met(merge) == merge
        later = put("more")
        assert met(later) == later
    sh(tmp_path, "git", "checkout", "-q", "-b", "topic", five)
    sh(tmp_path, "git", "merge", "-q", "-s", "ours", "side")  # of a time without the policy: it changes nothing
    assert met("topic") is None
    assert met("nowhere") is None
    assert met("--all") is None


def test_what_a_statement_met_where_the_project_moved(tmp_path: Path) -> None:
    """Neither a policy nor a statement is another because it lies in another folder."""
    sh(tmp_path, "git", "init", "-q", "-b", "main")

    put = partial(put_files, tmp_path, tmp_path)

    def move(old: str, new: str) -> str:
        (tmp_path / new).mkdir(exist_ok=True)
        for folder in ("access", "signatures"):
            if (tmp_path / old / folder).is_dir():
                sh(tmp_path, "git", "mv", f"{old}/{folder}", f"{new}/{folder}")
        commit(tmp_path, "moved")
        return sh(tmp_path, "git", "rev-parse", "HEAD")

    def met(root: Path, rev: str) -> str | None:
        return met_at(root, rev, "cleaned", "access/policy/5.json")

    inner = tmp_path / "project"
    put("signed", text="1", signature="1")
    put("policy", policy="5")
    moved = move(".", "project")
    assert met(inner, moved) is None  # the statement came before, and moved with it
    put("another, while the policy is away", text="2", signature="2")
    (inner / "access/policy/5.json").unlink()
    shutil.rmtree(inner / "signatures")
    commit(tmp_path, "dropped")
    hidden = move(".", "project")
    assert met(inner, hidden) is not None
    (inner / "access/policy/5.json").write_text("5")
    back = commit(tmp_path, "back, after the statement")
    assert met(inner, back) is not None
    sh(tmp_path, "git", "replace", "--graft", back)  # as if it were the first commit
    assert met(inner, back) is not None
    sh(tmp_path, "git", "mv", "project/access/policy/5.json", "project/notes")
    sh(tmp_path, "git", "mv", "project/signatures/cleaned.json", "project/signatures/old.json")
    (inner / "signatures/cleaned.json").write_text("3")
    assert met(inner, commit(tmp_path, "by its bytes, under another name")) is not None


def test_a_shallow_clone_believes_nobody_who_builds_no_more(project: Protected, tmp_path: Path) -> None:
    inner = tmp_path / "shallow"
    sh(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{project.root}", str(inner))
    keys = keys_at(inner, "HEAD", "data/cleaned")
    assert keys is not None
    with pytest.raises(TamperError, match="this clone is shallow") as caught:
        keys._statements("access/policy/1.json", 1000)
    assert "git fetch --unshallow" in caught.value.hint
    sh(inner, "git", "fetch", "-q", "--unshallow")
    assert keys._statements("access/policy/1.json", 100_000) is not None


def test_no_keys_without_a_policy(tmp_path: Path) -> None:
    assert keys_at(tmp_path, None, "data/cleaned") is None
    assert keys_at(tmp_path, "HEAD", "data/cleaned") is None


def test_a_file_of_a_revision(tmp_path: Path) -> None:
    root = tmp_path / "inner" / "project"
    data = b"\xff\r\nno end \x00"
    (root / "signatures").mkdir(parents=True)
    sh(tmp_path, "git", "init", "-q")
    (root / "signatures/a.json").write_bytes(data)
    (root / "signatures/empty").write_bytes(b"")
    (root / "a").symlink_to("signatures/a.json")
    first = commit(tmp_path, "first")
    (root / "signatures/a.json").write_bytes(b"another")
    second = commit(tmp_path, "second")
    assert file_at(root, first, "signatures/a.json", len(data)) == data
    assert file_at(root, first, "signatures/a.json", len(data) - 1) is None
    assert file_at(root, second, "signatures/a.json", 100) == b"another"
    assert file_at(root, first, "signatures/empty", 0) == b""
    for name in ("signatures/b.json", "signatures", "../signatures/a.json"):
        assert file_at(root, first, name, 1000) is None
    assert file_at(root, "nowhere", "signatures/a.json", 1000) is None
    assert file_at(root, first, "a", 1000) != data  # a link is what it says, not what it leads to


def test_what_is_sealed_learns_of_nothing_plain(project: Protected) -> None:
    place = project.root / "data/cleaned"
    found = last_output(project.root, place)
    assert found is not None
    assert found.seals is not None
    (project.root / "dvc.lock").write_text(sh(project.root, "git", "show", "v0:dvc.lock") + "\n")
    found = last_output(project.root, place)
    assert found is not None
    assert found.seals is not None  # of HEAD; not the plain one that dvc.lock names
    commit(project.root, "the plain one, committed by somebody")
    assert last_output(project.root, place) is None
    (project.root / "dvc.lock").unlink()  # of HEAD alone
    assert last_output(project.root, place) is None
    project.act(lambda wanted: changes.declassified(wanted, "cleaned"))
    assert last_output(project.root, place) is None  # by the policy of HEAD it was put there
    sh(project.root, "git", "checkout", "-q", "HEAD", "--", "dvc.lock")
    commit(project.root, "declassified")
    (project.root / "dvc.lock").unlink()
    found = last_output(project.root, place)
    assert found is not None
    assert found.seals is None
