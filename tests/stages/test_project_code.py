"""The project's own code is used and left as it is."""

from __future__ import annotations

import sys

import pytest
from support.bench import Bench

from dsetkit.stages.project import load_contract


@pytest.mark.parametrize("before", [False, True])
def test_loading_contracts_leaves_nothing_beside_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", before)
    for name in [name for name in sys.modules if name.partition(".")[0] == "schemas"]:
        monkeypatch.delitem(sys.modules, name)
    kept = sorted(bench.root.rglob("*"))
    assert load_contract("schemas.detection:Label", bench.root).target is not None
    assert sorted(bench.root.rglob("*")) == kept
    assert sys.dont_write_bytecode is before
