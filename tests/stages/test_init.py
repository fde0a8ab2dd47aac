"""A new project where another one was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.protected import Protected

from dsetkit.access.trust import known_project
from dsetkit.errors import TamperError
from dsetkit.stages.init import write_project


def test_where_a_project_with_a_policy_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever empties the folder may begin anew; a policy that alone is gone was taken away."""
    made = Protected.make(tmp_path, pictures=1)
    made.become("cora", monkeypatch)
    made.protect()
    assert known_project(made.root) is not None
    shutil.rmtree(made.root / "access")
    for name in ("params.yaml", "dvc.yaml"):
        (made.root / name).unlink()
    with pytest.raises(TamperError, match="held when you last looked, a project with an access policy"):
        write_project(made.root)
    assert not (made.root / "params.yaml").exists()
    shutil.rmtree(made.root)
    write_project(made.root)
    assert known_project(made.root) is None
    assert (made.root / "params.yaml").is_file()
