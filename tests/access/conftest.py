from __future__ import annotations

from pathlib import Path

import pytest

from dsetkit.access.domains import assign
from dsetkit.access.identity import Identity, make_identity
from dsetkit.access.keyring import FreshKeys, needs_wrapping, write_keyring
from dsetkit.access.keys import DataKey
from dsetkit.access.policy import Chain, read_chain, write_next
from dsetkit.access.wanted import Wanted
from dsetkit.spec.policy import AccessPolicy

PROJECT = "0123456789abcdef" * 2
NAMES = ("ada", "bob", "cy", "mallory")


class Team:
    """A project with a real chain of policies and keyrings, and its people. ``ada`` is its first admin."""

    def __init__(self, root: Path, state: Path, people: dict[str, Identity]) -> None:
        self.root = root
        self.environ = {"DSETKIT_STATE": str(state)}
        self.people = people
        self.keys: dict[str, dict[int, DataKey]] = {}
        first = AccessPolicy(project=PROJECT, version=1, admins=("ada",), principals={"ada": people["ada"].public})
        write_next(root, first, people["ada"], self.environ)

    @property
    def chain(self) -> Chain:
        return read_chain(self.root, self.environ)

    def elsewhere(self, name: str) -> dict[str, str]:
        """The environment of a user who has seen nothing yet."""
        return {"DSETKIT_STATE": str(Path(self.environ["DSETKIT_STATE"]).with_name(name))}

    def wanted(self) -> Wanted:
        return Wanted.of(self.chain.policy)

    def draft(self, wanted: Wanted, rotate: tuple[str, ...] = ()) -> AccessPolicy:
        chain, fresh = self.chain, FreshKeys(PROJECT)
        policy = assign(chain.policy, wanted, past=chain.past, commit=fresh, rotate=rotate)
        for domain, keys in fresh.keys.items():
            self.keys.setdefault(domain, {}).update(keys)
        return policy

    def change(self, wanted: Wanted, rotate: tuple[str, ...] = ()) -> Chain:
        """The next version, signed by ada, and its keyrings."""
        before, policy = self.chain.policy, self.draft(wanted, rotate)
        chain = write_next(self.root, policy, self.people["ada"], self.environ)
        for domain in needs_wrapping(before, policy):
            write_keyring(self.root, policy, domain, self.keys[domain])
        return chain


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder = tmp_path_factory.mktemp("identities")
    return {name: make_identity(folder / name, name=name) for name in NAMES}


@pytest.fixture
def team(tmp_path: Path, people: dict[str, Identity]) -> Team:
    root = tmp_path / "project"
    root.mkdir()
    return Team(root, tmp_path / "state", people)
