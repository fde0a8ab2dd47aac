"""A team of three roles on real pictures: who reads what, by every command."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from support.team import Person, Ran, Team, first_key, the_team

pytestmark = pytest.mark.realdata

SECRETS = ("BloodImage", "Platelets", '"RBC"', '"WBC"')


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Team:
    """The team on real pictures. Only to be read."""
    return the_team(tmp_path_factory, "blood", source=shared_data / "bccd")


@pytest.fixture(scope="session")
def made(built: Team, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A copy of this process's own: commands that only look leave in a clone what they remember, or fetched."""
    return built.copied(tmp_path_factory.mktemp("blood") / "team")


@pytest.fixture
def team(built: Team, tmp_path: Path) -> Team:
    """A copy to be changed."""
    return built.copied(tmp_path / "team")


@pytest.fixture(scope="session")
def known(made: Team) -> dict[str, str]:
    """What an outsider may have been told: a key, and a fingerprint."""
    shown = made.cora.dsetkit("show", "data/cleaned", "--json").json()
    return {"KEY": first_key(made.cora), "FINGERPRINT": shown["fingerprint"]}


ASKING = (
    ("show", "data/cleaned"),
    ("show", "data/cleaned", "--json"),
    ("show", "data/raw/blood"),
    ("show", "data/augmented", "KEY"),
    ("show", "data/cleaned", "--rev", "v1"),
    ("show", "data/cleaned", "--png", "out"),
    ("export", "data/cleaned", "out", "--format", "yolo"),
    ("export", "data/augmented", "out", "--format", "coco", "--rev", "v2"),
    ("convert", "data/cleaned", "out", "--to", "coco"),
    ("schema", "infer", "data/cleaned"),
    ("validate", "data/cleaned", "--schema", "schemas.detection:Label"),
    ("diff", "v1", "v3"),
    ("diff", "v1"),
    ("diff", "v2", "v3", "--html", "out"),
    ("diff", "data/cleaned", "data/augmented"),
    ("blame", "KEY"),
    ("why", "KEY"),
    ("exclude", "KEY", "--why", "I say so."),
    ("correct", "KEY", "--split", "test", "--why", "I say so."),
    ("corrections", "check"),
    ("corrections", "from", "team.json"),
    ("ingest", "blood"),
    ("clean",),
    ("augment",),
    ("report",),
    ("sign",),
)
"""Commands that ask for data, or would make some: each is refused, and says who could grant it."""

TELLING = (
    ("log",),
    ("log", "--sizes"),
    ("find", "FINGERPRINT"),
    ("status",),
    ("status", "--json"),
    ("verify",),
    ("verify", "--json"),
    ("verify", "data/cleaned"),
    ("verify", "--rev", "v1"),
    ("verify", "--all"),
    ("rollback", "v1", "--dry-run"),
    ("access", "list"),
    ("access", "whoami"),
    ("access", "audit"),
    ("backup", "verify", "../backup"),
)
"""Commands that have something to say to everybody: of what is sealed they tell nothing."""


def filled(command: tuple[str, ...], known: dict[str, str]) -> tuple[str, ...]:
    return tuple(known.get(word, word) for word in command)


def tells_nothing(ran: Ran, known: dict[str, str]) -> None:
    own = set(filled(ran.command, known))
    assert "Traceback" not in ran.err, ran.err
    for secret in (*SECRETS, *known.values()):
        if secret in own or any(secret in word for word in own):
            continue  # they said it themselves
        assert secret not in ran.told, f"{' '.join(ran.command)} tells {secret}:\n{ran.told}"


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
@pytest.mark.parametrize("who", ["olga", "nobody"])
def test_an_outsider_is_refused(
    made: Team, known: dict[str, str], tmp_path: Path, command: tuple[str, ...], who: str
) -> None:
    """With an identity that nobody granted anything, and with none."""
    out = str(tmp_path / "out")
    words = [out if word == "out" else word for word in filled(command, known)]
    (tmp_path / "team.json").write_text("{}")
    words = [str(tmp_path / word) if word == "team.json" else word for word in words]
    more = {} if who == "olga" else {"DSETKIT_IDENTITY": "", "DSETKIT_STATE": str(tmp_path / "state")}
    ran = made.olga.dsetkit(*words, **more)
    assert ran.code == 2, ran.told
    tells_nothing(ran, known)
    assert "cora" in ran.told, f"it does not say who could grant it: {ran.told}"
    assert not Path(out).exists()


@pytest.mark.parametrize("command", TELLING, ids=" ".join)
def test_what_everybody_is_told_tells_nothing(made: Team, known: dict[str, str], command: tuple[str, ...]) -> None:
    ran = made.olga.dsetkit(*filled(command, known))
    tells_nothing(ran, known)
    if command[0] == "find":  # it cannot look, and does not say that there is none
        assert ran.code == 2
        assert "cora" in ran.told
    if command[0] == "log":
        assert "cannot be compared here" in ran.told
        assert "the same snapshots" not in ran.told
    if command[:2] in (("verify", "data/cleaned"), ("verify", "--rev")):
        assert ran.code == 0
        told = " ".join(ran.told.split())
        assert "An admin could grant it: cora" in told
        assert "its signature and digests and sizes of its files were checked" in told


def test_errors_tell_programs_who_could_grant_it(made: Team) -> None:
    ran = made.olga.dsetkit("show", "data/cleaned", "--json")
    error = json.loads(ran.out or ran.err)["error"]
    assert error["kind"] == "AccessError"
    assert error["grantors"] == ["cora"]


def test_the_library_tells_an_outsider_nothing(made: Team) -> None:
    code = (
        "import dsetkit, dsetkit.errors\ntry:\n    dsetkit.open('data/cleaned')\n"
        "except dsetkit.errors.AccessError as e:\n    print(e.grantors)"
    )
    assert made.olga.must("python", "-c", code).out.strip() == "('cora',)"


def test_a_backup_that_an_outsider_restores(made: Team, known: dict[str, str], tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    ran = made.olga.dsetkit("backup", "restore", str(made.backup), str(restored))
    assert ran.code == 0, ran.told  # whole, and as it was: sealed
    tells_nothing(ran, known)
    olga = Person("olga", made.olga.home, restored)
    for command in (("show", "data/cleaned"), ("show", "data/cleaned", "--rev", "v1"), ("report",)):
        refused = olga.dsetkit(*command)
        assert refused.code == 2
        assert "cora" in refused.err
        tells_nothing(refused, known)


def test_an_outsider_rolls_back_without_reading(team: Team, known: dict[str, str]) -> None:
    ran = team.olga.dsetkit("rollback", "v1")
    tells_nothing(ran, known)
    assert "fingerprint checked" not in ran.told  # no fingerprint was
    assert "sealed to you, so what they mean was not checked: data/cleaned, data/augmented" in ran.told
    assert "cleaned: (sealed to you) → (sealed to you)" in ran.told
    assert team.olga.dsetkit("show", "data/cleaned").code == 2


# Tom trains.


def test_the_trainer_trains(made: Team, tmp_path: Path) -> None:
    """All pictures, and the labels of all but the test split, as a trainer wants them."""
    for stage in ("cleaned", "augmented"):
        out, full = tmp_path / stage, tmp_path / f"{stage}-full"
        for person, place in ((made.tom, out), (made.cora, full)):
            person.must("dsetkit", "export", f"data/{stage}", str(place), "--format", "yolo")
        for split in ("train", "val"):
            texts = {path.name: path.read_text() for path in (out / "labels" / split).rglob("*.txt")}
            assert texts == {path.name: path.read_text() for path in (full / "labels" / split).rglob("*.txt")}
            assert sum(map(bool, texts.values())) > 50
        assert sum(1 for _ in out.rglob("*.jpg")) == sum(1 for _ in full.rglob("*.jpg"))
    code = (
        "import dsetkit; s = dsetkit.open('data/augmented').where(split='train');"
        "print(len(s), s.image(s[0].key).size, len(s[0].annotations))"
    )
    count, *_ = made.tom.must("python", "-c", code).out.split()
    assert int(count) > 200


PEEK = """
import dsetkit, json
s = dsetkit.open("data/STAGE")
rows = [r for r in s.table.to_pylist()]
print(json.dumps({
    "test": [[r["key"], r["digest"], len(r["annotations"]), r["labelled"]] for r in rows if r["split"] == "test"],
    "provenance": sum(1 for r in rows if any((r["provenance"] or {}).values())),
    "fingerprint": s.fingerprint,
    "all": repr(rows) + s.info.model_dump_json(),
}))
"""


@pytest.mark.parametrize("stage", ["cleaned", "augmented"])
def test_the_trainer_reads_no_test_labels_and_no_provenance(made: Team, tmp_path: Path, stage: str) -> None:
    toms, coras = (person.must("python", "-c", PEEK.replace("STAGE", stage)).json() for person in (made.tom, made.cora))
    assert len(toms["test"]) == len(coras["test"]) > 50
    assert all(count == 0 and labelled == "no" for _, _, count, labelled in toms["test"])
    assert sum(count for _, _, count, _ in coras["test"]) > 500
    assert toms["provenance"] == 0 < coras["provenance"]
    assert coras["fingerprint"] not in toms["all"]
    assert toms["fingerprint"] != coras["fingerprint"]
    names = re.findall(r"BloodImage_[0-9]{5}", coras["all"])
    kept = set(re.findall(r"BloodImage_[0-9]{5}", toms["all"]))
    assert set(names) - kept, "keys of the test split are hidden"
    for command in (("show", f"data/{stage}"), ("show", f"data/{stage}", "--json"), ("verify", f"data/{stage}")):
        ran = made.tom.dsetkit(*command)
        assert coras["fingerprint"] not in ran.told, command
        assert not set(re.findall(r"BloodImage_[0-9]{5}", ran.told)) - kept
    assert "test-labels" in made.tom.must("dsetkit", "show", f"data/{stage}").told, "it says that there are some"


def test_labels_that_are_kept_apart_are_not_counted_as_missing(made: Team) -> None:
    told = made.tom.must("dsetkit", "show", "data/cleaned", "--json").json()
    tests = told["counts"]["per_split"]["test"]
    assert told["labels_apart"] == {"samples": tests, "facets": ["test-labels"]}
    assert f"kept apart (test-labels) {tests}" in made.tom.must("dsetkit", "show", "data/cleaned").out
    mine = made.cora.must("dsetkit", "show", "data/cleaned", "--json").json()
    assert "labels_apart" not in mine


PARTS: tuple[dict[str, str], ...] = ({}, {"split": "train"})


def test_the_curator_knows_the_trainers_fingerprints(made: Team) -> None:
    """They stand beside what he trained."""
    read = "import dsetkit; s = dsetkit.open('data/cleaned'); print(s.fingerprint, s.where(split='train').fingerprint)"
    for fingerprint, selection in zip(made.tom.must("python", "-c", read).out.split(), PARTS, strict=True):
        for person in (made.tom, made.cora):
            ran = person.dsetkit("find", fingerprint[:12], "--json")
            assert ran.code == 0, ran.told
            found = ran.json()
            assert {tuple(item["without"]) for item in found} == {("provenance", "test-labels")}
            assert selection in [item["selection"] for item in found if item["stage"] == "cleaned"]
    assert "without provenance, test-labels" in made.cora.dsetkit("find", fingerprint).out
    own = made.cora.must("python", "-c", read).out.split()[0]
    assert [item["without"] for item in made.cora.dsetkit("find", own, "--json").json()][:1] == [[]]
    assert made.tom.dsetkit("find", own, "--json").json() == []


def test_pseudonyms_name_samples_to_the_curator(team: Team) -> None:
    """What ``show`` and a trainer call a test sample, all commands know."""
    cora = team.cora
    read = "import dsetkit; print(*next(iter(dsetkit.open('data/cleaned').original_keys().items())))"
    shown, own = cora.must("python", "-c", read).out.split()
    assert cora.must("dsetkit", "show", "data/cleaned", shown).out.startswith(own)
    assert cora.must("dsetkit", "show", "data/cleaned", shown, "--json").json()["original_key"] == own
    for stage in ("cleaned", f"raw/{team.source}"):
        assert cora.must("dsetkit", "blame", shown, "--stage", stage, "--json").json()["key"] == own
    made = cora.must("dsetkit", "exclude", shown, "--why", "x", "--json").json()
    assert [item["key"] for item in made["corrections"]] == [own]
    told = cora.must("dsetkit", "diff", "v1", "v3").out
    assert shown not in told
    assert "renamed" not in told, "a sample that got a pseudonym is the same sample"
    assert shown not in team.tom.dsetkit("exclude", shown, "--why", "x").out


def test_the_trainer_is_told_that_test_labels_are_sealed(made: Team, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = made.tom.dsetkit("export", "data/cleaned", str(out), "--format", "coco", "--split", "test", "--json")
    assert "labels-sealed" in ran.told
    assert "test-labels" in ran.told
    strict = made.tom.dsetkit(
        "export", "data/cleaned", str(tmp_path / "strict"), "--format", "coco", "--split", "test", "--strict"
    )
    assert strict.code != 0, "labels that are missing are a loss"


def test_nothing_that_the_trainer_has_tells_of_the_test_split(team: Team) -> None:
    """Reports, metrics, plots and cards are not for Tom; neither are the versions before him."""
    tom = team.tom
    shutil.copytree(team.project / ".dvc" / "cache", tom.place / ".dvc" / "cache", dirs_exist_ok=True)
    for command in (("show", "data/cleaned", "--rev", "v1"), ("diff", "v1", "v3"), ("diff", "v1")):
        ran = tom.dsetkit(*command)
        assert ran.code == 2, ran.told
        assert "was sealed before tom could read it" in ran.err
    for path in (tom.place / "reports" / "metrics.json", tom.place / "cards" / "cleaned" / "README.md"):
        assert not any(secret in path.read_text() for secret in SECRETS)


def test_the_trainer_reads_no_raw_snapshot(made: Team, tmp_path: Path) -> None:
    tom = made.tom
    tom.must("dvc", "pull", "--quiet", "ingest@blood")
    for command in (("show", "data/raw/blood"), ("export", "data/raw/blood", str(tmp_path / "o"), "--format", "voc")):
        ran = tom.dsetkit(*command)
        assert ran.code == 2
        assert "tom may not read raw/blood. An admin could grant it: cora." in " ".join(ran.err.split())


def test_what_is_written_in_plain_into_the_project_is_said(team: Team) -> None:
    said = "is plain, and lies in the project: git add --all would take it"
    for command in (
        ("export", "data/cleaned", "here", "--format", "coco"),
        ("convert", "data/cleaned", "there", "--to", "coco"),
    ):
        assert said in " ".join(team.tom.must("dsetkit", *command).err.split())
        assert said not in " ".join(
            team.tom.must("dsetkit", command[0], "data/cleaned", f"../{command[2]}", *command[3:]).err.split()
        )


def test_the_trainer_is_not_sent_to_build(team: Team) -> None:
    """What is not here is not his to build: he is told to fetch it, or whose it is."""
    tom = team.tom
    shutil.rmtree(tom.place / "data" / "augmented")
    stages = {item["name"]: item for item in tom.dsetkit("status", "--json").json()["snapshots"]}
    assert (stages["raw/blood"]["state"], stages["raw/blood"]["detail"]) == (
        "sealed",
        "not here, and not for you: cora may read it",
    )
    assert (stages["augmented"]["state"], stages["augmented"]["detail"]) == (
        "absent",
        "fetch it: dvc pull (cora may build it)",
    )
    assert "To read what they built, fetch it, and build nothing: dvc pull." in tom.run("dvc", "repro").err


@pytest.mark.parametrize("command", [("clean",), ("augment",), ("report",), ("ingest", "blood"), ("sign", "cleaned")])
def test_the_trainer_builds_nothing(made: Team, command: tuple[str, ...]) -> None:
    ran = made.tom.dsetkit(*command)
    assert ran.code == 2
    assert "cora" in ran.err


def test_the_trainer_does_not_grant(made: Team) -> None:
    for command in (
        ("grant", "tom", "--stage", "raw"),
        ("revoke", "cora", "--all"),
        ("rotate", "cleaned"),
        ("declassify", "raw"),
        ("settings", "--threshold", "1"),
    ):
        ran = made.tom.dsetkit("access", *command)
        assert ran.code == 2, ran.told
        assert "cora" in ran.err


def test_the_curator_works_as_ever(team: Team, tmp_path: Path) -> None:
    """All commands on sealed snapshots for who may: none needs a plain copy first."""
    cora = team.cora
    key = first_key(cora)
    for command in (
        ("show", "data/cleaned", key),
        ("show", "data/cleaned", "--rev", "v1"),
        ("diff", "v1", "v3"),
        ("blame", key),
        ("why", key),
        ("log",),
        ("status",),
        ("verify",),
        ("verify", "--all"),
        ("verify", "--rev", "v1"),
        ("corrections", "check"),
        ("convert", "data/cleaned", str(tmp_path / "coco"), "--to", "coco"),
        ("schema", "infer", "data/cleaned"),
    ):
        ran = cora.dsetkit(*command)
        if command == ("verify",):  # which finds that nobody has filled in the cards, and nothing else
            assert ran.told.count("verified") == 4  # three snapshots and the report
            assert set(re.findall(r"\[([a-z-]+)\]", ran.told)) == {"card-incomplete"}
            continue
        assert ran.code == 0, f"{' '.join(command)} gave {ran.code}\n{ran.told}"
    fingerprint = cora.dsetkit("show", "data/cleaned", "--rev", "v1", "--json").json()["fingerprint"]
    assert "v1" in cora.must("dsetkit", "find", fingerprint).out


def test_two_builds_are_the_same_bytes_and_nothing_runs_twice(team: Team) -> None:
    cora = team.cora
    assert "Data and pipelines are up to date" in cora.must("dvc", "repro").told
    before = {path: path.read_bytes() for path in (team.project / "data").rglob("*") if path.is_file()}
    for folder in ("raw/blood", "cleaned", "augmented"):
        shutil.rmtree(team.project / "data" / folder)
    cora.must("dvc", "repro", "--quiet", "--force", "augment")
    assert before == {path: path.read_bytes() for path in (team.project / "data").rglob("*") if path.is_file()}


def test_back_and_forth(team: Team) -> None:
    """A rollback to what was sealed for others, and `dvc repro` has nothing to do where the policy is the same."""
    cora = team.cora
    cora.must("dsetkit", "rollback", "v2")
    assert cora.dsetkit("show", "data/cleaned").code == 0
    assert "up to date" in cora.must("dvc", "repro").told
    cora.must("dsetkit", "rollback", "HEAD")
    assert cora.dsetkit("show", "data/cleaned").code == 0


def test_revoked_and_resealed(team: Team) -> None:
    """What is built after a revocation is sealed anew; what Tom had before he has."""
    cora, tom = team.cora, team.tom
    before = (team.project / "data/cleaned/snapshot.json").read_bytes()
    cora.must("dsetkit", "access", "revoke", "tom", "--all")
    cora.must("dvc", "repro", "--quiet", "augment")
    cora.commit("tom is gone")
    assert (team.project / "data/cleaned/snapshot.json").read_bytes() != before
    assert tom.dsetkit("show", "data/cleaned").code == 0  # his clone is as it was
    tom.must("git", "pull", "--quiet")
    cora.must("dvc", "push", "--quiet")
    tom.must("dvc", "pull", "--quiet", "clean")
    ran = tom.dsetkit("show", "data/cleaned")
    assert ran.code == 2
    assert "cora" in ran.err
    shards = {path.name for path in (team.project / "data/cleaned/shards").iterdir()}
    assert not shards & {file["name"].partition("/")[2] for file in json.loads(before)["sealed"]["files"]}
