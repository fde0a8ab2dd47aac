from __future__ import annotations

import pytest

from dsetkit.access.iam import Place, bucket_policies, escaped, overlaps, parse_place
from dsetkit.errors import UsageError
from dsetkit.spec.policy import AccessPolicy, Principal


def policy(**more: object) -> AccessPolicy:
    def keys(number: int) -> Principal:
        return Principal(age=(f"age1{str(number) * 58}",), ssh=(f"ssh-ed25519 {'A' * number}",))

    epochs = [{"number": 1, "commitment": "0" * 64}]
    row = {
        "project": "ab" * 16,
        "version": 1,
        "admins": ["ada"],
        "principals": {"ada": keys(1), "ben": keys(2), "rita": keys(3)},
        "stages": {
            "cleaned": {"domain": "d1", "readers": ["ben", "rita"], "builders": ["ben"]},
            "report": {"domain": "d2", "readers": ["ben"], "builders": ["ben"]},
        },
        "domains": {
            "d1": {"readers": ["ben", "rita"], "epochs": epochs},
            "d2": {"readers": ["ben"], "epochs": epochs},
        },
    }
    return AccessPolicy.model_validate({**row, **more})


def users(*names: str) -> dict[str, list[str]]:
    return {"AWS": [f"arn:aws:iam::123456789012:user/{name}" for name in names]}


def test_readers_builders_and_admins_get_just_their_verbs() -> None:
    made = bucket_policies(policy(), {"cleaned": Place("lab", "sets/cleaned")}, account="123456789012")
    objects = "arn:aws:s3:::lab/sets/cleaned/*"
    everyone = users("ada", "ben", "rita")
    assert made == {
        "lab": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Place1Read",
                    "Effect": "Allow",
                    "Principal": everyone,
                    "Action": ["s3:GetObject"],
                    "Resource": [objects],
                },
                {
                    "Sid": "Place1List",
                    "Effect": "Allow",
                    "Principal": everyone,
                    "Action": ["s3:ListBucket"],
                    "Resource": ["arn:aws:s3:::lab"],
                    "Condition": {"StringLike": {"s3:prefix": ["sets/cleaned/*", "sets/cleaned/"]}},
                },
                {
                    "Sid": "Place1Build",
                    "Effect": "Allow",
                    "Principal": users("ada", "ben"),
                    "Action": ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"],
                    "Resource": [objects],
                },
                {
                    "Sid": "Place1Admin",
                    "Effect": "Allow",
                    "Principal": users("ada"),
                    "Action": ["s3:DeleteObject"],
                    "Resource": [objects],
                },
                {
                    "Sid": "AdminsSetPolicy",
                    "Effect": "Allow",
                    "Principal": users("ada"),
                    "Action": ["s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"],
                    "Resource": ["arn:aws:s3:::lab"],
                },
            ],
        }
    }


def test_wildcards_in_names_mean_themselves() -> None:
    assert escaped("a*b?c$d") == "a${*}b${?}c${$}d"
    made = bucket_policies(policy(), {"cleaned": parse_place("s3://lab/a*/b?")}, account="123456789012")
    first, second = made["lab"]["Statement"][:2]
    assert first["Resource"] == ["arn:aws:s3:::lab/a${*}/b${?}/*"]
    assert second["Condition"]["StringLike"]["s3:prefix"] == ["a${*}/b${?}/*", "a${*}/b${?}/"]


def test_stages_that_share_a_place_are_told() -> None:
    places = {"cleaned": Place("lab", "all"), "report": Place("lab", "all/report"), "raw": Place("lab", "all-more")}
    assert overlaps(policy(), places) == [("cleaned", "report")]
    same = {"cleaned": Place("lab", "all"), "augmented": Place("lab", "all")}
    assert overlaps(policy(), same) == []
    made = bucket_policies(policy(), {"cleaned": Place("lab", "x"), "report": Place("lab", "x")}, account="1" * 12)
    assert [statement["Sid"] for statement in made["lab"]["Statement"]][0::4] == ["Place1Read", "AdminsSetPolicy"]


@pytest.mark.parametrize(
    "url",
    ["https://lab/x", "s3://", "s3:///x", "s3://Lab/x", "s3://lab/a//b", "s3://lab/../x", "s3://lab/a\nb", "lab/x"],
)
def test_places_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="is no place in S3"):
        parse_place(url)


def test_an_account_is_12_digits() -> None:
    with pytest.raises(UsageError, match=r"\* is no account"):
        bucket_policies(policy(), {"cleaned": Place("lab", "x")}, account="*")
