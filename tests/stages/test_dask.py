"""A Dask cluster in place of threads: the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.storage.atomic import remove_tree

# In a process of its own: a cluster leaves threads, sockets and warnings behind that no other test should see.
RUN = """
import subprocess, sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        import os
        os.environ["DSETKIT_DASK"] = cluster.scheduler_address
        for command in (["ingest", "pets"], ["clean"], ["augment"]):
            subprocess.run([sys.executable, "-c", "from dsetkit.cli import main; main()", *command], check=True)
"""


@pytest.mark.slow
def test_a_cluster_gives_the_bytes_that_threads_give(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask's distributed is not installed: pip install dsetkit[dask]")
    bench.params(
        shards={"target_bytes": 4096},
        clean={"pixels.max_side_px": 40},
        augment={"recipes": {"flip": {"operations": [{"op": "flip"}]}}},
    )
    bench.source.put("broken.jpg", picture_bytes(3)[:400])
    bench.add()
    bench.build()
    expected = tree_bytes(bench.root / "data")
    remove_tree(bench.root / "data")
    script = tmp_path / "run.py"
    script.write_text(RUN)
    done = subprocess.run([sys.executable, str(script)], cwd=bench.root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree_bytes(bench.root / "data") == expected
