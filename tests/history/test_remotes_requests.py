"""How many requests a push to S3 takes: 5,000 pictures of 10 KB in shards, and as a folder that DVC tracks."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.seaweed import BUCKET, proxied, server_in, tried
from support.versions import sh

from dsetkit.snapshots.read import open_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.s3]

PICTURES = 5_000
SIZE_BYTES = 10_000


def write_pictures(folder: Path) -> None:
    """JPEGs of 10,000 bytes, no two alike: one picture, with a comment of random bytes of its own (ITU T.81, COM)."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    plain = buffer.getvalue()
    length = SIZE_BYTES - len(plain) - 2
    random = np.random.default_rng(1)
    for number in range(PICTURES):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plain[:2] + b"\xff\xfe" + length.to_bytes(2, "big") + random.bytes(length - 2) + plain[2:])
    (folder / "annotations.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": number + 1, "file_name": f"{number // 1000:03}/{number:06}.jpg", "width": 64, "height": 48}
                    for number in range(PICTURES)
                ],
                "annotations": [],
                "categories": [{"id": 1, "name": "thing"}],
            }
        )
    )


def test_shards_need_fewer_than_one_request_in_200(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos")
    ours, folder = tmp_path / "ours", tmp_path / "folder"
    ours.mkdir()
    sh(ours, "git", "init", "-q")
    sh(ours, "dsetkit", "init", ".")
    sh(ours, "dsetkit", "add", "photos", str(tmp_path / "photos"), "--labels", "coco:annotations.json")
    sh(ours, "dvc", "repro", "-q", "ingest@photos")
    assert len(open_snapshot(ours / "data" / "raw" / "photos")) == PICTURES
    folder.mkdir()
    sh(folder, "git", "init", "-q")
    sh(folder, "dvc", "init", "-q")
    sh(folder, "dvc", "config", "cache.type", "hardlink,copy")
    (tmp_path / "photos").rename(folder / "photos")
    sh(folder, "dvc", "add", "-q", "photos")
    counts: dict[str, Counter[str]] = {}
    with server_in(tmp_path / "seaweed") as server, proxied(server) as proxy:
        env = {**server.variables(), "AWS_ENDPOINT_URL": proxy.url}
        for project in (ours, folder):
            sh(project, "dvc", "remote", "add", "--local", "-d", "store", f"s3://{BUCKET}/{project.name}")
            proxy.asked.clear()
            pushed = tried(project, "dvc", "push", "-q", env=env, within_s=1800)
            assert pushed.code == 0, pushed.said
            counts[project.name] = Counter(asked.method for asked in proxy.asked)
            print(project.name, dict(counts[project.name]), f"{pushed.seconds:.1f} s")
    assert counts["folder"]["PUT"] > PICTURES
    assert counts["ours"].total() * 200 < counts["folder"].total(), counts
