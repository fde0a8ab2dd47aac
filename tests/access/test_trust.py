from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dsetkit.access.trust import Trust, known_project, open_trust, remember_place, state_folder
from dsetkit.errors import AccessError, TamperError

PROJECT = "ab" * 16
A, B, C, X = (digit * 64 for digit in "abcd")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DSETKIT_STATE": str(tmp_path / "state")}


def opened(environ: dict[str, str]) -> Trust:
    return Trust(state_folder(environ), PROJECT)


def test_first_sight_pins_and_later_versions_go_on_from_it(environ: dict[str, str]) -> None:
    trust = opened(environ)
    assert trust.first_seen
    assert trust.seen is None
    assert trust.verified([A]) == 0
    trust.remember_policy([A])
    assert not opened(environ).first_seen
    assert opened(environ).verified([A, B, C]) == 1
    opened(environ).remember_policy([A, B, C])
    assert opened(environ).verified([A, B, C, X]) == 3
    opened(environ).remember_policy([A, B, C])
    path = Path(environ["DSETKIT_STATE"]) / "projects" / f"{PROJECT}.json"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for digests, message in (
        ([X, B, C], f"begins otherwise than the policy of this project did when you first saw it \\({A}\\)"),
        ([], "begins otherwise"),
        ([A, B], "ends at version 2, and you have seen version 3: an older one was put back"),
        ([A, X, C], None),
        ([A, B, X], f"has another version 3 than the one you have seen \\({C}\\)"),
        ([A, B, X, C], "has another version 3"),
    ):
        for call in (opened(environ).verified, opened(environ).remember_policy):
            if message is None:  # what leads to a digest is bound by `previous`, which the chain checks
                continue
            with pytest.raises(TamperError, match=message):
                call(digests)


def test_other_versions_are_settled_and_the_rest_is_kept(environ: dict[str, str]) -> None:
    trust = opened(environ)
    trust.remember_policy([A, B])
    trust.remember_snapshot("cleaned", 7, C)
    with pytest.raises(TamperError) as told:
        trust.verified([A, X])
    for folder in ("projects", "audit"):  # one error names all that is to be deleted
        assert f"{environ['DSETKIT_STATE']}/{folder}/{PROJECT}.json" in told.value.hint
    with pytest.raises(TamperError, match="begins otherwise"):
        trust.settle_policy([X, B])
    trust.settle_policy([A, X])
    assert opened(environ).verified([A, X]) == 2
    with pytest.raises(TamperError, match="has another version 2"):
        opened(environ).verified([A, B])
    with pytest.raises(TamperError, match="is another version 7"):
        opened(environ).check_snapshot("cleaned", 7, A)


def test_snapshots_only_go_on(environ: dict[str, str]) -> None:
    trust = opened(environ)
    with pytest.raises(ValueError, match="a policy is verified before any snapshot"):
        trust.remember_snapshot("cleaned", 1, A)
    trust.remember_policy([A])
    trust.remember_snapshot("cleaned", 3, B)
    trust.remember_snapshot("cleaned", 3, B)
    trust.check_snapshot("augmented", 1, A)
    with pytest.raises(TamperError, match="cleaned is version 2, and you have seen version 3: an older one"):
        opened(environ).check_snapshot("cleaned", 2, B)
    with pytest.raises(TamperError, match="cleaned is another version 3 than the one you have seen"):
        opened(environ).remember_snapshot("cleaned", 3, C)
    opened(environ).remember_snapshot("cleaned", 5, C)
    trust.remember_policy([A, B])
    seen = opened(environ).seen
    assert seen is not None
    assert (seen.version, seen.stages["cleaned"].version) == (2, 5)


def test_a_folder_keeps_its_project(environ: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    assert known_project(root, environ) is None
    remember_place(root, PROJECT, environ)
    assert known_project(tmp_path / "link", environ) == PROJECT
    assert open_trust(root, PROJECT, environ).first_seen
    with pytest.raises(TamperError, match=r"is of another project \(cd.* than the one you have seen .* delete /.*json"):
        open_trust(root, "cd" * 16, environ)


def test_a_damaged_memory_is_no_empty_one(environ: dict[str, str]) -> None:
    trust = opened(environ)
    trust.remember_policy([A])
    path = Path(environ["DSETKIT_STATE"]) / "projects" / f"{PROJECT}.json"
    text = path.read_text()
    for bad in ("", text[:-3], text.replace("1", "2"), text.replace("ab" * 16, "cd" * 16), "{}"):
        path.write_text(bad)
        with pytest.raises(TamperError, match="what you have seen of this project, is damaged"):
            opened(environ)
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(TamperError, match="is damaged"):
        opened(environ)


def test_the_folder_is_this_users(environ: dict[str, str], tmp_path: Path) -> None:
    folder = Path(environ["DSETKIT_STATE"])
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(AccessError, match=f"can be written by others. Close it \\(chmod 700 {folder}\\)"):
        opened(environ)
    home = {"HOME": str(tmp_path)}
    assert state_folder(home) == tmp_path / ".local/state/dsetkit"
    assert state_folder({**home, "XDG_STATE_HOME": "/x"}) == Path("/x/dsetkit")
    assert state_folder({**home, "XDG_STATE_HOME": "relative"}) == tmp_path / ".local/state/dsetkit"
    with pytest.raises(AccessError, match="no absolute path"):
        state_folder({"DSETKIT_STATE": "relative"})


def test_many_who_remember_at_once_lose_nothing(environ: dict[str, str]) -> None:
    opened(environ).remember_policy([A])
    stages = [f"raw/s{n}" for n in range(24)]
    threads = [threading.Thread(target=opened(environ).remember_snapshot, args=(stage, 1, B)) for stage in stages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = opened(environ).seen
    assert seen is not None
    assert sorted(seen.stages) == sorted(stages)
