"""What is taken from a ``dvc.lock`` that anybody may have written."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.versions import commit, sh

from dsetkit.errors import StorageError
from dsetkit.history import recorded
from dsetkit.history.recorded import lock_at, parse_lock, recorded_outputs
from dsetkit.history.revisions import snapshots_at
from dsetkit.history.rollback.plan import Version

OID = "0" * 32 + ".dir"


def bomb(levels: int) -> str:
    lines = ["x0: &x0 [a, a]", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, levels))]
    return "\n".join(lines) + "\n"


GOOD = f"schema: '2.0'\nstages:\n  clean:\n    outs:\n    - path: data/cleaned\n      md5: {OID}\n"
BAD = {
    "aliases that unfold": bomb(10) + GOOD.replace(OID, "*x9"),
    "keys that unfold": "x0: &x0 {a: 1}\n"
    + "".join(f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 10)}]}}\n" for n in range(1, 10))
    + GOOD,
    "an alias of itself": "x: &x [*x]\n" + GOOD,
    "too deep": "stages: " + "[" * 3000 + "]" * 3000 + "\n",
    "a date that is none": "x: 2001-99-99\n" + GOOD,
    "a number that is none": "x: !!int ''\n" + GOOD,
    "a number that is too long": f"x: {'9' * 5000}\n" + GOOD,
    "no YAML": "a: b: c\n",
    "a list": "- a\n",
    "nothing": "",
}
ODD = {
    "a list as an id": "[a, b]",
    "a date as an id": "2001-01-01",
    "a mapping as an id": "{a: b}",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_dvc_never_writes_records_nothing(tmp_path: Path, text: str) -> None:
    assert parse_lock(text) is None
    assert recorded_outputs(text) == {}
    sh(tmp_path, "git", "init", "-q")
    (tmp_path / "dvc.lock").write_text(text)
    rev = commit(tmp_path, "bad")
    with pytest.raises(StorageError, match=rf"dvc\.lock of {rev} cannot be read"):
        snapshots_at(tmp_path, rev)
    with pytest.raises(StorageError, match=rf"dvc\.lock of {rev} cannot be read"):
        _ = Version(tmp_path, rev, rev).stages


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_what_is_no_text_is_no_object(value: str) -> None:
    assert recorded_outputs(GOOD.replace(OID, value)) == {}
    assert recorded_outputs(GOOD.replace("data/cleaned", value)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "stages: 5\n",
        "stages:\n  clean: 5\n",
        "stages:\n  clean:\n    outs: 5\n    deps: 5\n    params: 5\n    wdir: [5]\n",
    ],
)
def test_a_rollback_reads_odd_documents(tmp_path: Path, text: str) -> None:
    sh(tmp_path, "git", "init", "-q")
    (tmp_path / "dvc.lock").write_text(text)
    (tmp_path / "dvc.yaml").write_text(text + "  more:\n    do: 5\n" if text.count("\n") > 1 else text)
    version = Version(tmp_path, commit(tmp_path, "odd"), "it")
    assert not any(stage.outs or stage.deps or stage.params for stage in version.stages.values())
    assert version.uncached == set()


def test_aliases_that_stay_small_are_read() -> None:
    """DVC writes them for params that are one list in ``params.yaml``."""
    text = "x: &x [1, 2]\ny: *x\n" + GOOD
    assert recorded_outputs(text) == {"data/cleaned": OID}
    assert (parse_lock(text) or {})["y"] == [1, 2]


def test_a_lock_that_is_too_large_records_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sh(tmp_path, "git", "init", "-q")
    (tmp_path / "dvc.lock").write_text(GOOD)
    rev = commit(tmp_path, "good")
    assert snapshots_at(tmp_path, rev) == {"data/cleaned": OID}
    monkeypatch.setattr(recorded, "MAX_DOCUMENT_BYTES", 10)
    assert lock_at(tmp_path, rev) == ""
    assert lock_at(tmp_path, "nowhere") is None
