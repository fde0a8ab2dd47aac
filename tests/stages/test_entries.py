"""``access/stages.yaml`` and ``dvc.yaml`` as anybody may have written them: refused, or edited, and soon done with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsetkit.access.identity import make_identity
from dsetkit.errors import TamperError, UsageError
from dsetkit.spec.policy import PROJECT_STAGES, AccessPolicy
from dsetkit.stages.entries import built, built_plain, check_entry, write_entries
from dsetkit.stages.yaml_documents import load_yaml

STAGES = "access/stages.yaml"


def bomb(name: str = "a") -> str:
    """A YAML of a few hundred bytes with 10^8 values, the last of them as ``h``."""
    lines = [f"a: &{name} [x, x, x, x, x, x, x, x, x, x]\n"]
    for before, this in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{this}: &{this} [{', '.join([f'*{before}'] * 10)}]\n")
    return "".join(lines)


@pytest.fixture
def policy(tmp_path: Path) -> AccessPolicy:
    """Of a project, at ``tmp_path``, that protects nothing."""
    (tmp_path / "access").mkdir()
    ada = make_identity(tmp_path / "ada", name="ada").public
    return AccessPolicy(project="0" * 32, version=1, admins=("ada",), principals={"ada": ada})


BAD = {
    "aliases that unfold": bomb(),
    "an anchor": "cleaned: &a plain\n",
    "an alias of itself": "cleaned: &a [*a]\n",
    "a tag": "cleaned: !!binary cGxhaW4=\n",
    "an old YAML": "%YAML 1.1\n---\ncleaned: plain\n",
    "deep": f"cleaned: {'[' * 100_000}\n",
    "a name twice": "cleaned: plain\ncleaned: plain\n",
    "no YAML": "cleaned: [\n",
    "no text": "\udcff",
    "no mapping": "- cleaned\n",
    "two documents": "cleaned: plain\n---\ncleaned: plain\n",
    "a huge number": f"cleaned: {'9' * 5000}\n",
    "too long": "#" * (1024 * 1024 + 1),
}


@pytest.mark.parametrize("name", BAD)
def test_what_dsetkit_cannot_have_written_is_refused_and_written_anew(
    tmp_path: Path, policy: AccessPolicy, name: str
) -> None:
    (tmp_path / STAGES).write_text(BAD[name], errors="surrogateescape")
    with pytest.raises(TamperError) as refused:
        check_entry(tmp_path, policy, "cleaned")
    assert refused.value.hint == "Write it anew: dsetkit access finish; then dvc repro."
    assert built_plain(tmp_path) == []
    assert write_entries(tmp_path, policy) == ((), (STAGES,))
    check_entry(tmp_path, policy, "cleaned")
    assert dict(load_yaml(tmp_path / STAGES)) == dict.fromkeys(PROJECT_STAGES[1:], "plain")
    assert write_entries(tmp_path, policy) == ((), ())


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_not_followed(tmp_path: Path, policy: AccessPolicy, kind: str) -> None:
    path, other = tmp_path / STAGES, tmp_path / "other.yaml"
    other.write_text("cleaned: plain\n")
    if kind == "link":
        path.symlink_to(other)
    else:
        os.mkfifo(path)
    with pytest.raises(TamperError, match="Write it anew"):
        check_entry(tmp_path, policy, "cleaned")
    write_entries(tmp_path, policy)
    assert path.is_file()
    assert not path.is_symlink()
    assert other.read_text() == "cleaned: plain\n"
    check_entry(tmp_path, policy, "cleaned")


def test_aliases_of_people_in_dvc_yaml_stay_and_are_not_unfolded(tmp_path: Path, policy: AccessPolicy) -> None:
    stages = "  clean:\n    cmd: dsetkit clean\n    params: [*h, {access/stages.yaml: *h}]\n    outs: [*h, 1, null]\n"
    (tmp_path / "dvc.yaml").write_text(f"{bomb()}stages:\n{stages}")
    assert write_entries(tmp_path, policy)[1] == (STAGES, "dvc.yaml")
    text = (tmp_path / "dvc.yaml").read_text()
    assert len(text) < 1000
    assert text.count("*h") == 2
    body = load_yaml(tmp_path / "dvc.yaml")["stages"]["clean"]
    assert body["params"][1] == {STAGES: ["cleaned"]}
    assert "access/built/cleaned" in body["outs"][0]
    assert write_entries(tmp_path, policy) == ((), ())


def test_aliases_in_dvc_yaml_that_go_too_deep_are_refused(tmp_path: Path, policy: AccessPolicy) -> None:
    chain = "".join(f"a{number}: &a{number} [*a{number - 1}]\n" for number in range(1, 2000))
    stages = "stages:\n  clean:\n    cmd: dsetkit clean\n    params: [*a1999]\n    x: y\n"
    (tmp_path / "dvc.yaml").write_text(f"a0: &a0 [x]\n{chain}{stages}")
    with pytest.raises(UsageError, match="aliases within aliases, too deep"):
        write_entries(tmp_path, policy)


def test_a_dvc_lock_is_not_unfolded(tmp_path: Path, policy: AccessPolicy) -> None:
    outs = "{outs: [{path: *h}, *h, 1, {path: data/cleaned}]}"
    (tmp_path / "dvc.lock").write_text(f"{bomb()}stages: {{a: *h, b: {{outs: *h}}, c: {{outs: 1}}, d: {outs}}}\n")
    assert built(tmp_path) == ["cleaned"]
    assert built_plain(tmp_path) == ["cleaned"]
