"""``access`` and ``sign`` as people and programs see them."""

from __future__ import annotations

import json
import re
import subprocess
import warnings
from pathlib import Path

import pytest
from support.bench import Bench

from dsetkit.access.policy import read_chain
from dsetkit.cli.access_words import differences
from dsetkit.spec.policy import AccessPolicy
from dsetkit.stages.yaml_documents import load_yaml, save_yaml

from .conftest import Run

COMMANDS = (
    "approve",
    "audit",
    "declassify",
    "facet",
    "finish",
    "grant",
    "iam",
    "init",
    "list",
    "protect",
    "revoke",
    "rotate",
    "settings",
    "settle",
    "whoami",
)


@pytest.fixture
def place(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a source and no policy; the folder of its people's identities."""
    bench.add()
    monkeypatch.setenv("DSETKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DSETKIT_IDENTITY", raising=False)
    return tmp_path


@pytest.fixture
def ada(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first admin of the project; her identity is named in the environment."""
    assert run("access", "init", "ada", "--identity", str(place / "ada")).code == 0
    monkeypatch.setenv("DSETKIT_IDENTITY", str(place / "ada"))
    return place


def join(run: Run, place: Path, name: str) -> str:
    """The file with the public keys of somebody who joins."""
    assert run("access", "init", name, "--identity", str(place / name)).code == 0
    told = run("access", "whoami", "--identity", str(place / name), "--public")
    (place / f"{name}.pub").write_text(told.out)
    return str(place / f"{name}.pub")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_fits_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = run("access", *command, "--help")
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= 80
    assert "..." not in re.sub(r"\]\.\.\.|age1\.\.\.|ed25519 \.\.\.|, \.\.\.|\[ARGS\]\.\.\.", "", told.out)


def test_the_first_admin(place: Path, run: Run) -> None:
    told = run("access", "init", "ada", "--identity", str(place / "ada"), "--json")
    found = told.json()
    assert told.code == 0
    assert (found["principal"], found["version"], found["pending"], found["made_identity"]) == ("ada", 1, None, True)
    assert found["rebuild"] == ["raw/pets", "cleaned", "augmented", "report"]
    assert found["files"] == ["access/stages.yaml", "dvc.yaml", "sources.lock.yaml"]
    assert (place / "ada").stat().st_mode & 0o777 == 0o600
    secret = (place / "ada").read_text()
    assert "SECRET" in secret
    assert not any(line in told.out for line in secret.splitlines() if line and not line.startswith("#"))


def test_an_identity_is_made_at_home_where_none_is_named(place: Path, run: Run) -> None:
    told = run("access", "init", "ada")
    path = place / "home/.config/dsetkit/ada.identity"
    assert path.is_file()
    assert f"  export DSETKIT_IDENTITY={path}\n" in told.out
    assert run("access", "whoami").code == 2  # it is named, or not used
    assert "No identity is named" in run("access", "whoami").err


def test_an_identity_never_lies_in_the_project(place: Path, run: Run) -> None:
    told = run("access", "init", "ada", "--identity", "access/ada")
    assert told.code == 2
    assert "lies within the project: it would be committed, or backed up, with what it opens." in told.err
    assert not Path("access").exists()


def test_who_joins_gets_the_line_to_send(ada: Path, run: Run) -> None:
    told = run("access", "init", "bob", "--identity", str(ada / "bob"), "--json").json()
    assert (told["principal"], told["made_identity"]) == (None, True)
    assert told["grant"].startswith("dsetkit access grant bob --stage STAGE --age 'age1")
    done = subprocess.run(
        told["grant"].replace("STAGE", "cleaned"), shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert run("access", "whoami", "--identity", str(ada / "bob"), "--json").json()["reads"] == ["cleaned"]
    again = run("access", "init", "bob", "--identity", str(ada / "bob"))
    assert "The policy knows you as bob: see dsetkit access whoami." in again.out


def test_three_roles(ada: Path, run: Run) -> None:
    trainer = join(run, ada, "tom")
    join(run, ada, "olga")
    done = run(
        "access", "grant", "tom", "--identity-of", trainer, "--stage", "cleaned", "--stage", "augmented", "--json"
    )
    assert done.json()["rebuild"] == ["cleaned", "augmented"]
    for name in ("test-labels", "provenance"):
        assert run("access", "facet", name, "--stage", "cleaned", "--stage", "augmented").code == 0
    told = {
        name: run("access", "whoami", "--identity", str(ada / name), "--json").json() for name in ("ada", "tom", "olga")
    }
    every = ["raw", "cleaned", "augmented", "report"]
    assert [(told[n]["principal"], told[n]["admin"], told[n]["reads"], told[n]["builds"]) for n in told] == [
        ("ada", True, every, every),
        ("tom", False, ["cleaned", "augmented"], []),
        (None, False, [], []),
    ]
    assert (told["ada"]["facets"], told["tom"]["facets"]) == (["provenance", "test-labels"], [])
    listed = run("access", "list", "--json").json()
    assert listed["stages"]["cleaned"]["readers"] == ["ada", "tom"]
    assert listed["stages"]["cleaned"]["facets"] == ["provenance", "test-labels"]
    assert listed["facets"]["test-labels"]["splits"] == ["test"]
    assert listed["domains"]["d1"]["seals"] == ["provenance", "raw", "report", "test-labels"]
    assert listed["signed_by"] == ["ada"]
    table = run("access", "list").out
    assert re.search(r"^tom +– +reads +reads +– +– +–$", table, re.MULTILINE)
    refused = run("access", "grant", "olga", "--stage", "raw", "--identity", str(ada / "tom"))
    assert (refused.code, "tom is no admin, and only admins change the policy." in refused.err) == (2, True)
    gone = run("access", "revoke", "tom", "--all")
    assert gone.code == 0
    assert "What was readable stays readable" in gone.out
    assert run("access", "whoami", "--identity", str(ada / "tom"), "--json").json()["principal"] is None


def test_a_key_that_is_none(ada: Path, run: Run) -> None:
    told = run("access", "grant", "tom", "--age", "foo", "--ssh", "bar", "--stage", "cleaned")
    assert told.code == 2
    assert "A key of tom is none" in told.err


def test_an_act_that_cannot_be_written_down_does_nothing(ada: Path, run: Run) -> None:
    tom = join(run, ada, "tom")
    assert run("access", "grant", "tom", "--identity-of", tom, "--stage", "cleaned").code == 0
    path = Path("access/audit/ada.jsonl")
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    versions = sorted(Path("access/policy").iterdir())
    told = run("access", "revoke", "tom", "--all")
    assert told.code == 1
    assert "If it was you who dropped entries that were never committed" in " ".join(told.err.split())
    assert sorted(Path("access/policy").iterdir()) == versions
    (seen,) = (ada / "state" / "audit").glob("*.json")
    assert str(seen) in told.err.replace("\n", "")
    seen.unlink()
    assert run("access", "revoke", "tom", "--all").code == 0


def test_what_is_told_beside_a_grant_or_a_facet(ada: Path, run: Run) -> None:
    """What an admin may not have thought of."""
    tom = join(run, ada, "tom")
    told = run("access", "grant", "tom", "--identity-of", tom, "--stage", "augmented", "--stage", "report")
    text = " ".join(told.out.split())
    assert "The report counts what is in raw, cleaned, and names fingerprints: tom, who does not read those" in text
    told = run("access", "grant", "tom", "--stage", "raw", "--stage", "cleaned")
    assert "The report" not in told.out
    told = run("access", "facet", "held-out", "--stage", "raw", "--stage", "cleaned", "--column", "annotations")
    assert "no splits" not in told.out
    told = run("access", "facet", "held-out", "--split", "test")
    assert "raw has no splits before clean, so held-out is of all rows there." in " ".join(told.out.split())
    told = run("access", "facet", "held-out", "--stage", "cleaned", "--split", "tset")
    text = " ".join(told.out.split())
    assert "held-out is kept apart in raw no more: --stage names all stages of a facet." in text
    assert "params.yaml has no split 'tset': it has train, val, test." in text
    assert "no splits" not in run("access", "facet", "held-out", "--remove").out


def test_errors_tell_programs_who_could_grant_it(ada: Path, run: Run) -> None:
    join(run, ada, "olga")
    told = run("access", "rotate", "--identity", str(ada / "olga"), "--json")
    error = told.json()["error"]
    assert (told.code, error["kind"], error["subject"], error["grantors"]) == (
        2,
        "AccessError",
        "access/policy",
        ["ada"],
    )


def test_mistakes_say_what_to_do(ada: Path, run: Run) -> None:
    for arguments, said in (
        (("revoke", "ada", "--all"), "ada is the last admin, and without one nobody could change the policy any more."),
        (("revoke", "ada", "--all", "--stage", "raw"), "--all takes everything away."),
        (("grant", "ada"), "It is not said what ada reads."),
        (("rotate", "nothing"), "nothing is no protected stage, no facet, and no domain that seals anything."),
        (("settings",), "It is not said what to set."),
        (("settings", "--threshold", "2"), "2 admins cannot be asked for: there is 1."),
        (("approve",), "No policy waits for signatures."),
        (("iam", "--remote", "cleaned"), "--remote cleaned names no place."),
        (("iam", "--remote", "clean=s3://a/b"), "--remote clean=s3://a/b: a stage is raw, raw/SOURCE"),
        (("grant", "bob", "--identity-of", str(ada / "ada"), "--stage", "raw"), "holds secret keys"),
        (("init", "--open", "--protect", "raw"), "--open protects no stage, --protect some."),
    ):
        told = run("access", *arguments)
        assert (told.code, said in told.err) == (2, True), (arguments, told)


def test_a_project_without_policy(place: Path, run: Run) -> None:
    assert run("access", "list").code == 2
    assert "This project has no access policy" in run("access", "list").err
    run("access", "init", "ada", "--identity", str(place / "ada"), "--open")
    assert run("access", "list", "--json").json()["stages"]["raw"] == {"state": "plain", "declassified": False}


def test_what_was_built_before_stays_readable(ada: Path, bench: Bench, run: Run) -> None:
    document = {"stages": {"clean": {"outs": [{"path": "data/cleaned"}]}}}
    save_yaml(bench.root / "dvc.lock", document)
    join(run, ada, "tom")
    run("access", "grant", "tom", "--identity-of", str(ada / "tom.pub"), "--stage", "cleaned")
    told = run("access", "facet", "test-labels", "--stage", "cleaned", "--json").json()
    assert [(issue["code"], issue["message"]) for issue in told["issues"]] == [
        ("readable-before", "cleaned is readable in older versions: tom can read what test-labels keeps apart there")
    ]


def test_protect_rotate_declassify_settings_finish(ada: Path, bench: Bench, run: Run) -> None:
    assert run("access", "protect", "raw/pets", "--json").json()["rebuild"] == []  # for the same readers: the same keys
    assert run("access", "rotate", "raw/pets", "--json").json()["epochs"] == {"d1": 2}
    assert run("access", "declassify", "report", "--json").json()["rebuild"][-1] == "report"
    assert run("access", "protect", "report").code == 0
    assert run("access", "settings", "--padding", "padme", "--record-openings").code == 0
    again = run("access", "settings", "--padding", "padme", "--json").json()
    assert (again["changed"], again["version"]) == (False, 6)
    (bench.root / "access/stages.yaml").unlink()
    assert run("access", "finish", "--json").json()["files"] == ["access/stages.yaml"]
    assert load_yaml(bench.root / "access/stages.yaml")["cleaned"] == {"domain": "d1", "epoch": 2, "padding": "padme"}


def test_several_admins(ada: Path, run: Run) -> None:
    run("access", "grant", "abel", "--role", "admin", "--identity-of", join(run, ada, "abel"))
    waiting = run("access", "settings", "--threshold", "2", "--json").json()
    assert waiting["pending"] == {"version": 3, "signed_by": ["ada"], "changes": ["threshold: 1 → 2"]}
    assert "signed by ada; must sign as well: abel. Look at it" in run("access", "list").out
    again = run("access", "approve")
    assert (again.code, again.err) == (
        2,
        "error: You have signed version 3 already.\nHave these sign it as well: abel.\n",
    )
    shown = run("access", "approve", "--show", "--json").json()
    assert shown["changes"] == ["threshold: 1 → 2"]
    wrong = run("access", "approve", "--identity", str(ada / "abel"), "--digest", "0" * 64)
    assert (wrong.code, "is not the one you looked at" in wrong.err) == (1, True)
    done = run("access", "approve", "--identity", str(ada / "abel"), "--digest", shown["digest"], "--json").json()
    assert (done["version"], done["pending"]) == (3, None)


def test_what_nobody_signed_is_shown_and_taken_away(ada: Path, bench: Bench, run: Run) -> None:
    planted = bench.root / "access/policy/2.json"
    planted.write_text("{}")
    issue = run("access", "list", "--json").json()["issues"][0]
    assert (issue["code"], issue["file"]) == ("policy-ignored", "access/policy/2.json")
    assert "Version 2 of the policy does not count: access/policy/2.json lacks signatures" in run("access", "list").out
    told = run("access", "approve", "--show")
    assert (told.code, "does not count" in told.err) == (1, True)
    assert run("access", "finish", "--json").json()["issues"][0]["code"] == "policy-ignored"
    assert run("access", "approve", "--withdraw").code == 0
    assert (planted.exists(), run("access", "list", "--json").json()["issues"]) == (False, [])


def test_all_differences_are_told(ada: Path, run: Run) -> None:
    """What no sentence is made for is said by its path, and nothing is left out."""
    run("access", "grant", "abel", "--stage", "cleaned", "--identity-of", join(run, ada, "abel"))
    before = read_chain(Path()).policy
    row = before.model_dump(mode="json")
    row["domains"]["d1"]["readers"] = ["abel", "ada"]
    row["domains"]["d2"]["epochs"] += [{"number": 2, "commitment": "1" * 64}]
    row["domains"]["d3"] = {"readers": ["ada"], "epochs": [{"number": 1, "commitment": "2" * 64}]}
    after = AccessPolicy.model_construct(**{**dict(before), "domains": row["domains"], "project": "ab" * 16})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not whole: domains are no documents
        told = differences(before, after)
    assert told == [
        "domains.d1.readers: + abel",
        "domains: d2 gets epoch 2",
        "domains: d3 gets epoch 1",
        "domains.d3.readers: + ada",
        f"project: {before.project} → {'ab' * 16}",
    ]


def test_the_audit(ada: Path, bench: Bench, run: Run) -> None:
    run("access", "rotate")
    told = run("access", "audit", "--verify", "--json")
    assert (told.code, told.json()["is_whole"], told.json()["heads"]["ada"]["number"]) == (0, True, 2)
    assert [entry["act"] for entry in told.json()["entries"]] == ["init", "rotate"]
    for command in (["git", "init", "-q"], ["git", "add", "access"], ["git", "commit", "-q", "-m", "x"]):
        subprocess.run(command, cwd=bench.root, check=True)
    made = run("access", "audit", "--anchor")
    assert (made.code, "made the tag dsetkit-audit-1; push it" in made.out) == (0, True)
    signers = run("access", "list", "--signers").out
    (ada / "signers").write_text(signers)
    verified = subprocess.run(
        ["git", "-c", f"gpg.ssh.allowedSignersFile={ada / 'signers'}", "verify-tag", "dsetkit-audit-1"],
        cwd=bench.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Good "git" signature for ada' in verified.stderr
    log = bench.root / "access/audit/ada.jsonl"
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    cut = run("access", "audit", "--verify")
    assert (cut.code, "by the tag dsetkit-audit-1, it had 2 entries, and it has 1" in cut.out) == (1, True)
    assert run("access", "audit", "--anchor").code == 1  # what is wrong is not anchored


def test_iam_takes_places_from_dvc(ada: Path, bench: Bench, run: Run) -> None:
    (bench.root / ".dvc").mkdir(exist_ok=True)
    (bench.root / ".dvc/config").write_text(
        "[core]\n    remote = all\n['remote \"all\"']\n    url = s3://lab/all\n"
        "['remote \"close\"']\n    url = s3://lab/close\n"
    )
    document = load_yaml(bench.root / "dvc.yaml")
    document["stages"]["clean"]["outs"] = [{"data/cleaned": {"remote": "close"}}]
    save_yaml(bench.root / "dvc.yaml", document)
    told = run("access", "iam", "--json").json()
    assert told["places"] == {
        "raw": "s3://lab/all",
        "cleaned": "s3://lab/close",
        "augmented": "s3://lab/all",
        "report": "s3://lab/all",
    }
    assert list(told["policies"]) == ["lab"]
    assert told["issues"] == []
    printed = run("access", "iam", "--remote", "cleaned=s3://lab/close", "--account", "123456789012")
    statement = json.loads(printed.out)["Statement"][0]
    assert statement["Principal"] == {"AWS": ["arn:aws:iam::123456789012:user/ada"]}


def test_signing_what_stands(ada: Path, bench: Bench, run: Run) -> None:
    assert "No snapshot stands here" in run("sign").err
    run("access", "declassify", "cleaned")
    run("access", "declassify", "augmented")
    bench.build()
    told = run("sign", "raw/pets", "cleaned", "--json").json()
    assert [(one["stage"], one["version"], one["signer"]) for one in told] == [
        ("raw/pets", 1, "ada"),
        ("cleaned", 1, "ada"),
    ]
    assert (bench.root / "signatures/cleaned.sig").read_text().startswith("-----BEGIN SSH SIGNATURE-----")
    assert "The report is not whole here" in run("sign", "report").err
    acts = [entry["act"] for entry in run("access", "audit", "--json").json()["entries"]]
    assert acts.count("sign") == 2
    stranger = join(run, ada, "olga").removesuffix(".pub")
    assert "Only a builder of cleaned signs it" in run("sign", "cleaned", "--identity", stranger).err


def test_what_follows_for_stages_that_were_not_named(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that inherit: acts tell of them, and so does who approves."""
    assert run("access", "init", "ada", "--identity", str(place / "ada"), "--protect", "raw/pets").code == 0
    monkeypatch.setenv("DSETKIT_IDENTITY", str(place / "ada"))
    run("access", "protect", "raw/others")
    told = run("access", "facet", "labels", "--stage", "raw/pets", "--column", "annotations")
    assert "cleaned, augmented, report cannot be built any more" in " ".join(told.out.split())
    listed = run("access", "list", "--json").json()["stages"]
    assert [listed[name]["state"] for name in ("cleaned", "augmented", "report")] == ["undecided"] * 3
    assert "different facets (raw/others: none; raw/pets: labels)" in listed["cleaned"]["why"]
    assert load_yaml(Path("access/stages.yaml"))["cleaned"] == "undecided"
    told = run("access", "protect", "cleaned", "--json").json()
    assert told["effects"][0] == "augmented follows what it is made from: ada may build it"
    assert run("access", "list", "--json").json()["stages"]["report"]["facets"] == ["labels"]
    told = run("access", "declassify", "cleaned", "--json").json()
    assert told["plain"] == ["cleaned", "augmented", "report"]
    assert told["effects"] == [f"{name} becomes plain too: everybody reads it" for name in ("augmented", "report")]
    assert "everybody reads cleaned, augmented, report, with all" in told["notes"][0]


def test_who_approves_is_told_what_follows_and_who_drew_data_keys(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("access", "init", "ada", "--identity", str(place / "ada"), "--protect", "raw").code == 0
    monkeypatch.setenv("DSETKIT_IDENTITY", str(place / "ada"))
    run("access", "grant", "abel", "--role", "admin", "--identity-of", join(run, place, "abel"))
    run("access", "settings", "--threshold", "2")
    run("access", "approve", "--identity", str(place / "abel"))
    tom, abel = join(run, place, "tom"), ("--identity", str(place / "abel"))
    assert run("access", "grant", "tom", "--stage", "raw", "--identity-of", tom, *abel).code == 2  # hands no key on
    granted = run("access", "grant", "tom", "--stage", "cleaned", "--identity-of", tom, *abel, "--json").json()
    shown = run("access", "approve", "--show", "--json").json()
    said = "the data key of d2 was drawn by abel, who does not read it: whoever drew it can open what it seals"
    for told in (granted, shown):
        assert [(issue["code"], issue["message"]) for issue in told["issues"]] == [("key-drawn-unread", said)]
        assert told["effects"] == [
            f"{name} follows what it is made from: tom may read it" for name in ("augmented", "report")
        ]
    text = " ".join(run("access", "approve", "--show").out.split())
    assert said in text
    assert "report follows what it is made from: tom may read it" in text


def test_a_facet_of_provenance_says_what_keys_tell(ada: Path, run: Run) -> None:
    told = run("access", "facet", "provenance", "--json").json()
    assert told["notes"] == [
        "Keys begin with the name of their source, and hold paths in it: provenance leaves them visible. "
        "With --hide-keys only the name is left."
    ]
    assert run("access", "facet", "provenance", "--hide-keys", "--json").json()["notes"] == []
