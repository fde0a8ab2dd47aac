"""Nothing of what is sealed is found in git, DVC's cache and run-cache, remote and backup, or in what commands say."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.team import Person, Team, first_key, the_team

from dsetkit.access.opened import ProjectKeys
from dsetkit.snapshots.read import open_snapshot

pytestmark = pytest.mark.realdata

SOURCE = "bccd"
WINDOW_BYTES = 64
OPEN = ("corrections", "schemas")
"""People's decisions and code are in git, in the open. (The starter contract for boxes has cells as its example.)"""
LOCAL = re.compile(r"\.dvc/tmp/dsetkit/(stat-cache\.sqlite|listings/)")
"""What a source's scan keeps beside the source, in the clone of who has it: names and stamps of its files. Neither git
nor DVC has it."""


class Needles:
    """Many byte strings, looked for at once."""

    def __init__(self) -> None:
        self._found: dict[bytes, list[tuple[bytes, str]]] = {}
        self._first = np.zeros(1 << 24, np.bool_)
        self.count = 0

    def add(self, needle: bytes, what: str) -> None:
        """A string of at least 8 bytes."""
        assert len(needle) >= 8, what
        known = self._found.setdefault(needle[:8], [])
        if all(needle != other for other, _ in known):
            known.append((needle, what))
            self._first[int.from_bytes(needle[:3], "little")] = True
            self.count += 1

    def look(self, data: bytes) -> Iterator[str]:
        """What of them is in the data."""
        for start in range(0, len(data), 1 << 22):
            block = np.frombuffer(data[start : start + (1 << 22) + 2], np.uint8).astype(np.uint32)
            if len(block) < 3:
                continue
            number = block[:-2] | block[1:-1] << 8 | block[2:] << 16
            for at in (start + np.flatnonzero(self._first[number])).tolist():
                for needle, what in self._found.get(data[at : at + 8], ()):
                    if data.startswith(needle, at):
                        yield what


def add_digests(needles: Needles, digest: bytes, what: str) -> None:
    needles.add(digest, f"{what}, raw")
    for text in (digest.hex(), digest.hex().upper()):
        needles.add(text[:24].encode(), f"{what}, hex")
    needles.add(base64.b64encode(digest)[:20], f"{what}, base64")


def add_file(needles: Needles, data: bytes, what: str) -> None:
    """Pieces of a file, and its digests."""
    add_digests(needles, hashlib.sha256(data).digest(), f"SHA-256 of {what}")
    add_digests(needles, hashlib.md5(data).digest(), f"MD5 of {what}")
    add_digests(needles, hashlib.sha1(f"blob {len(data)}\0".encode() + data).digest(), f"git's id of {what}")
    span = max(1, len(data) - WINDOW_BYTES)
    for at in {0, span // 7, span // 3, span // 2, span * 3 // 4, span - 1}:
        piece = data[at : at + WINDOW_BYTES]
        if len(set(piece)) >= 16 and not (at == 0 and data[:2] == b"\xff\xd8"):  # all JPEGs begin alike
            needles.add(piece, f"bytes of {what}")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Team:
    """The team on real pictures. Only to be read."""
    return the_team(tmp_path_factory, "blood", source=shared_data / SOURCE)


@pytest.fixture(scope="session")
def needles(made: Team, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Needles:
    """All that is protected: pictures, labels, names, keys, digests, fingerprints, categories."""
    found = Needles()
    for path in sorted((shared_data / SOURCE).glob("*/*.*")):
        add_file(found, path.read_bytes(), path.name)
        found.add(path.stem.encode(), f"the name {path.stem}") if len(path.stem) >= 8 else None
    plain = tmp_path_factory.mktemp("plain")
    made.cora.must("dsetkit", "init", "plain", cwd=plain)
    made.cora.must("dsetkit", "add", "blood", str(shared_data / SOURCE), cwd=plain / "plain")
    lock = re.search(r"digest: ([0-9a-f]{64})", (plain / "plain" / "sources.lock.yaml").read_text())
    assert lock is not None
    add_digests(found, bytes.fromhex(lock[1]), "the digest of the source")
    cora = made.cora
    for rev in ("v1", "v2", "v3"):
        for stage in made.stages:
            shown = cora.dsetkit("show", f"data/{stage}", "--rev", rev, "--json").json()
            add_digests(found, bytes.fromhex(shown["fingerprint"]), f"the fingerprint of {stage} at {rev}")
    keys = ProjectKeys(made.project, cora.identity, environ=cora.environ)
    for stage in made.stages:
        snapshot = open_snapshot(made.project / "data" / stage, keys=keys)
        for row in snapshot.table.to_pylist():
            found.add(row["key"].encode(), f"the key {row['key']}")
            for name in ("digest", "made_from", "row_digest"):
                if row[name]:
                    add_digests(found, bytes.fromhex(row[name]), f"{name} of {row['key']}")
            if stage == "augmented" and row["derived_from"]:
                add_file(found, snapshot.read_bytes(row), f"the variant {row['key']}")
    for word in ("Platelets", "<name>RBC<", "<name>WBC<", '"name":"RBC"', '"name": "RBC"', "BloodImage_"):
        found.add(word.encode(), f"the word {word}")
    return found


def git_objects(repository: Path) -> Iterator[tuple[str, bytes]]:
    """All objects of a repository, as git stores them when unpacked, with what it calls them."""
    done = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"],
        cwd=repository,
        capture_output=True,
        check=True,
    )
    stream = io.BytesIO(done.stdout)
    while line := stream.readline():
        name, kind, size = line.split()
        yield f"git {kind.decode()} {name.decode()}", stream.read(int(size))
        stream.read(1)


def unwrapped(data: bytes) -> Iterator[bytes]:
    """The data, and what it is where it is packed: base64 in text, zlib, gzip."""
    yield data
    for found in re.finditer(rb"[A-Za-z0-9+/]{200,}={0,2}", data):
        text = found[0][: len(found[0]) // 4 * 4]
        yield base64.b64decode(text)
    for kind in (15, 31):
        try:
            yield zlib.decompressobj(kind).decompress(data)
        except zlib.error:
            continue


def leaks(needles: Needles, things: Iterator[tuple[str, bytes]]) -> list[str]:
    found: list[str] = []
    count = 0
    for place, data in things:
        count += 1
        for view in unwrapped(data):
            found += [f"{place}: {what}" for what in dict.fromkeys(needles.look(view))][:5]
    assert count > 5, "nothing was looked at"
    return list(dict.fromkeys(found))


def files_below(folder: Path, *leave_out: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and not any(name.startswith(part) for part in leave_out):
            yield name, path.read_bytes()
            yield f"the name {name}", name.encode()


def committed(repository: Path) -> Iterator[tuple[str, bytes]]:
    """Git's objects but what is open on purpose: corrections, which name keys, and code with the starters' examples."""
    open_on_purpose = set()
    listed = subprocess.run(
        ["git", "rev-list", "--objects", "--all", "--", *OPEN],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listed.stdout.splitlines():
        name, _, path = line.partition(" ")
        if path.startswith(OPEN):
            open_on_purpose.add(name)
    for place, data in git_objects(repository):
        if place.split()[-1] not in open_on_purpose:
            yield place, data


def test_the_scan_finds_what_is_there(needles: Needles, shared_data: Path) -> None:
    assert needles.count > 5_000
    picture = sorted((shared_data / SOURCE / "JPEGImages").iterdir())[7]
    data = picture.read_bytes()
    for hidden in (
        b"x" * 100 + data + b"y",
        base64.b64encode(data),
        zlib.compress(data),
        hashlib.sha256(data).hexdigest().encode(),
        b"--" + hashlib.md5(data).digest(),
        json.dumps({"file": picture.name}).encode(),
    ):
        assert [what for view in unwrapped(hidden) for what in needles.look(view)], hidden[:40]


def test_a_source_that_was_added_before_the_policy(tmp_path: Path) -> None:
    """Its lock is keyed with the first policy, so that no commit of a sealed project has the plain digest."""
    cora = Person("cora", tmp_path / "cora", tmp_path / "project")
    cora.must("dsetkit", "init", "project", "--demo", cwd=tmp_path)
    plain = re.findall(r"digest: ([0-9a-f]{64})", (cora.place / "sources.lock.yaml").read_text())
    assert plain
    cora.must("dsetkit", "access", "init", "cora")
    cora.must("dvc", "repro", "--quiet", "ingest@demo")
    for name in ("sources.lock.yaml", "dvc.lock"):
        assert plain[0] not in (cora.place / name).read_text(), name


@pytest.mark.parametrize("who", ["cora", "tom", "olga"])
def test_git(made: Team, needles: Needles, who: str) -> None:
    person = next(person for person in made.people if person.name == who)
    assert leaks(needles, committed(person.place)) == []
    assert leaks(needles, files_below(person.place / ".git", "objects")) == []


def test_the_cache_and_the_run_cache(made: Team, needles: Needles) -> None:
    assert leaks(needles, files_below(made.project / ".dvc" / "cache")) == []


def test_the_remote(made: Team, needles: Needles) -> None:
    assert leaks(needles, files_below(made.store)) == []


def test_the_backup(made: Team, needles: Needles, tmp_path: Path) -> None:
    assert leaks(needles, files_below(made.backup)) == []
    restored = tmp_path / "restored"
    made.olga.must("dsetkit", "backup", "restore", str(made.backup), str(restored))
    assert leaks(needles, committed(restored)) == []
    assert leaks(needles, files_below(restored, ".git", *OPEN)) == []


def test_the_workspace(made: Team, needles: Needles) -> None:
    """Snapshots, signatures, reports, cards, locks; not what the scan of the source keeps beside it."""
    things = files_below(made.project, ".git", ".dvc/cache", *OPEN)
    assert leaks(needles, (item for item in things if LOCAL.search(item[0]) is None)) == []


def test_what_an_outsider_is_left_with(made: Team, needles: Needles) -> None:
    things = files_below(made.olga.place, ".git", ".dvc/cache", *OPEN)
    assert leaks(needles, things) == []


def test_members_of_shards_have_no_names(made: Team) -> None:
    for stage in made.stages:
        for shard in (made.project / "data" / stage / "shards").iterdir():
            with tarfile.open(shard) as tar:
                assert all(re.fullmatch(r"[0-9a-f]{64}", member.name) for member in tar), shard


# While commands run.


class Watch(threading.Thread):
    """Copies every file that appears below some folders, as soon as it is seen, however short it lives."""

    def __init__(self, *folders: Path) -> None:
        super().__init__(daemon=True)
        self.folders = folders
        self.seen: dict[tuple[str, int, int], bytes] = {}
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set():
            self.look()
            time.sleep(0.002)
        self.look()

    def look(self) -> None:
        for folder in self.folders:
            for parent, _, names in os.walk(folder):  # which minds no folder that goes while it looks
                for name in names:
                    self.copy(Path(parent, name))

    def copy(self, path: Path) -> None:
        with contextlib.suppress(OSError):  # it is gone already
            state = path.lstat()
            mark = (str(path), state.st_size, state.st_mtime_ns)
            if stat.S_ISREG(state.st_mode) and mark not in self.seen and state.st_size < 64 * 1024 * 1024:
                self.seen[mark] = path.read_bytes()

    def __enter__(self) -> Watch:
        self.look()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.join()


def test_temporaries_while_building(made: Team, needles: Needles, tmp_path: Path) -> None:
    team = made.copied(tmp_path / "team")
    cora, temporary = team.cora, tmp_path / "temporary"
    temporary.mkdir()
    for stage in team.stages:
        shutil.rmtree(team.project / "data" / stage)
    out = tmp_path / "exported"
    with Watch(temporary, team.project / ".dvc" / "tmp", team.project / "data", team.project / "reports") as watch:
        for command in (
            ("ingest", "blood"),
            ("clean",),
            ("augment",),
            ("report",),
            ("verify", "data/cleaned"),
            ("diff", "v1", "v3"),
            ("show", "data/cleaned", "--rev", "v1"),
            ("export", "data/cleaned", str(out), "--format", "yolo"),
        ):
            ran = cora.dsetkit(*command, TMPDIR=str(temporary))
            assert ran.code == 0 or command[0] == "verify", f"{command}\n{ran.told}"  # cards are not filled in
    assert len(watch.seen) > 20
    things = ((place, data) for (place, _, _), data in watch.seen.items())
    assert leaks(needles, (item for item in things if LOCAL.search(item[0]) is None)) == []


# What commands say.


def secrets_of(team: Team) -> Needles:
    """All secret keys of all people, and all data keys."""
    found = Needles()
    for person in team.people:
        for line in person.identity.read_text().splitlines():
            if line and not line.startswith(("#", "-----")):
                found.add(line.encode()[-40:], f"the identity of {person.name}")
                found.add(line.encode()[:40], f"the identity of {person.name}") if "SECRET" in line else None
    keys = ProjectKeys(team.project, team.cora.identity, environ=team.cora.environ)
    for domain in keys.policy.domains:
        for epoch, key in keys.data_keys(domain).items():
            add_digests(found, key.reveal(), f"the data key of {domain}, epoch {epoch}")
    return found


def test_no_command_tells_a_secret(made: Team, tmp_path: Path) -> None:
    team = made.copied(tmp_path / "team")
    secrets = secrets_of(team)
    key = first_key(team.cora)
    said: list[tuple[str, bytes]] = []
    commands = (
        ("show", "data/cleaned", key),
        ("status",),
        ("verify",),
        ("log",),
        ("diff", "v2", "v3"),
        ("why", key),
        ("access", "list"),
        ("access", "whoami"),
        ("access", "audit"),
        ("access", "init", "cora"),
        ("access", "rotate", "raw"),
        ("access", "grant", "olga", "--stage", "cleaned"),
        ("access", "iam", "--provider", "s3", "--remote", "cleaned=s3://lab/cleaned"),
        ("sign",),
        ("clean",),
        ("nonsense",),
    )
    for person in team.people:
        for number, command in enumerate(commands):
            ran = person.dsetkit(*command, *(["--json"] if number % 2 == (person is team.tom) else []))
            said.append((f"{person.name}: {' '.join(command)}", ran.told.encode()))
            assert "Traceback" not in ran.err, ran.err
    for place, text in said:
        for mark in (b"AGE-SECRET-KEY", b"OPENSSH PRIVATE"):
            assert mark not in text, place
    assert [f"{place}: {what}" for place, text in said for view in unwrapped(text) for what in secrets.look(view)] == []
    things = files_below(team.project, ".dvc/cache")
    assert leaks(secrets, things) == []
    assert leaks(secrets, git_objects(team.project)) == []


def test_damaged_identities_are_not_told(made: Team, tmp_path: Path) -> None:
    """An error about an identity file says nothing of what is in it."""
    text = made.cora.identity.read_text()
    secrets = secrets_of(made)
    spoiled = (
        text[: len(text) // 2],
        text.replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-2"),
        text.replace("\n", "\n\n"),
        text[::-1],
    )
    for number, broken in enumerate(spoiled):
        path = tmp_path / f"identity-{number}"
        path.write_text(broken)
        path.chmod(0o600)
        for command in (("show", "data/cleaned"), ("access", "whoami"), ("access", "whoami", "--json")):
            ran = made.cora.dsetkit(*command, DSETKIT_IDENTITY=str(path), DSETKIT_STATE=str(tmp_path / "state"))
            assert "Traceback" not in ran.err, ran.err
            assert list(secrets.look(ran.told.encode())) == [], ran.told
            assert "AGE-SECRET-KEY-1" not in ran.told
