"""Facets through the pipeline: who trains reads pictures and training labels, and learns nothing of the test's."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.access import changes
from dsetkit.access.identity import Identity, make_identity
from dsetkit.access.wanted import Wanted
from dsetkit.errors import AccessError, LossError, NotFoundError
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.sample import Sample
from dsetkit.stages import facets as stage_facets
from dsetkit.stages import protection, why
from dsetkit.stages.augment import augment
from dsetkit.stages.build import StageResult
from dsetkit.stages.clean import clean
from dsetkit.stages.corrections import Who, Workbench, add_corrections, exclude
from dsetkit.stages.executor import open_pool
from dsetkit.stages.export import export_snapshot
from dsetkit.stages.facets import reordered
from dsetkit.stages.ingest import ingest
from dsetkit.stages.keyed_export import export_keys
from dsetkit.stages.labels import read_labels
from dsetkit.stages.project import Project
from dsetkit.stages.returned import compare_returned
from dsetkit.stages.why import trace

NAMES = ("cora", "tom")
WHO = Who("Ann <ann@example.org>", "2026-01-02T03:04:05Z", "seen under the microscope")


class Pets:
    """A project of 30 pictures with boxes, as somebody has it."""

    def __init__(self, root: Path, people: dict[str, Identity]) -> None:
        self.bench = Bench(root / "project")
        self.root, self.people = self.bench.root, people
        for number in range(30):
            boxes = [("cat" if number % 2 else "dog", [1.0 + n, 2.0, 10.0, 12.0]) for n in range(1 + number % 3)]
            self.bench.source.put(f"cats_{number:02}.jpg", picture_bytes(number), boxes)

    def build(self) -> list[StageResult]:
        project = Project(self.root)

        def before(place: Path) -> Snapshot | None:
            return open_snapshot(place, keys=project.keys) if (place / "snapshot.json").is_file() else None

        with open_pool(1) as pool:
            return [
                ingest(project, "pets", pool=pool, memory=before(project.raw("pets"))),
                clean(project, pool=pool, memory=before(project.cleaned)),
                augment(project, pool=pool, memory=before(project.augmented)),
            ]

    def open(self, name: str) -> Snapshot:
        return open_snapshot(self.root / "data" / name, keys=Project(self.root).keys)


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pets:
    monkeypatch.setenv("DSETKIT_STATE", str(tmp_path / "state"))
    people = {name: make_identity(tmp_path / name, name=name) for name in NAMES}
    monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / "cora"))
    made = Pets(tmp_path, people)
    protection.create_policy(made.root, "cora", people["cora"])
    made.bench.add()
    return made


def protect(pets: Pets, *names: str) -> None:
    def change(wanted: changes.Wanted) -> changes.Wanted:
        keys = pets.people["tom"].public
        wanted = changes.with_keys(wanted, "tom", age=keys.age, ssh=keys.ssh)
        wanted = changes.granted(wanted, "tom", "reader", stages=["cleaned", "augmented"])
        for name in names:
            wanted = changes.with_facet(wanted, name, stages=["cleaned", "augmented"])
        return wanted

    protection.change_policy(
        pets.root, pets.people["cora"], lambda wanted, _: change(wanted), "grant", "x", rotate=lambda _: ()
    )


def rows(snapshot: Snapshot) -> list[Row]:
    return list(iter_rows(snapshot.iter_tables(), Sample))


def test_three_stages(pets: Pets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_facets, "_BUCKET_ROWS", 7)
    plain = [pets.build()[1].info.counts, pets.build()[2].info.counts]
    before = {row["source_id"]: row for row in rows(pets.open("cleaned"))}
    protect(pets, "annotators", "provenance", "test-labels")
    results = pets.build()
    assert [results[1].info.counts, results[2].info.counts] == plain
    for name in ("cleaned", "augmented"):
        whole = pets.open(name)
        assert (whole.hidden, verify(whole)) == ((), [])
    cleaned = pets.open("cleaned")
    test = cleaned.where(split="test")
    assert 0 < len(test) < 15
    for row in rows(cleaned):
        own = before[row["source_id"]]
        assert cleaned.original_key(row["key"]) == own["key"]
        assert (row["key"] == own["key"]) == (row["split"] != "test")
        assert row["annotations"] == own["annotations"]
    augmented = pets.open("augmented")
    names = set(cleaned.column("key")["key"].to_pylist())
    assert {parent for row in rows(augmented) for parent in row.get("derived_from", ())} <= names
    assert augmented.original_keys() == cleaned.original_keys()
    first = tree_bytes(pets.root / "data")
    again = pets.build()
    assert tree_bytes(pets.root / "data") == first
    assert [result.shards_packed for result in again] == [0, 0, 0]
    assert [result.decoded for result in again] == [0, 0, 0]
    shutil.rmtree(pets.root / "data")
    pets.build()
    assert tree_bytes(pets.root / "data") == first

    monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / "tom"))
    seen = pets.open("cleaned")
    assert {facet.name for facet in seen.hidden} == {"annotators", "provenance", "test-labels"}
    for row in rows(seen):
        assert "provenance" not in row
        assert ("annotations" in row) == (row["split"] != "test")
    with pytest.raises(AccessError):
        pets.open("raw/pets")
    with pytest.raises(AccessError), open_pool(1) as pool:
        augment(Project(pets.root), pool=pool)
    report = export_snapshot(seen, tmp_path / "out", format="coco")
    (loss,) = report.refusals
    assert (loss.code, loss.count) == ("labels-sealed", len(test))
    assert {loss.code for loss in report.losses} >= {"columns-sealed"}
    with pytest.raises(LossError, match="test-labels"):
        export_snapshot(seen, tmp_path / "strict", format="coco", strict=True)
    assert not (tmp_path / "strict").exists()
    export_snapshot(seen.where(split="train"), tmp_path / "train", format="coco", strict=True)
    written = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.json"))
    for row in rows(seen.where(split="test")):
        assert row["key"].partition("/")[2] in written


def test_other_test_labels_give_the_trainer_the_same_bytes(pets: Pets, tmp_path: Path) -> None:
    """The pipeline from source to shards: what a trainer can open does not tell which test labels there are."""
    protect(pets, "test-labels")
    pets.build()
    cleaned = pets.open("cleaned")
    hidden = [cleaned.original_key(sample.key).rpartition("/")[2] for sample in cleaned.where(split="test")]
    base = {name: pets.open(name).base for name in ("cleaned", "augmented")}
    before = {name: (snapshot.info, snapshot.fingerprint) for name, snapshot in base.items()}
    prints = {name: pets.open(name).fingerprint for name in base}
    for name, box in ((hidden[0], [3.0, 3.0, 0.0, 9.0]), (hidden[1], [5.0, 4.0, 9.0, 9.0])):
        number = int(name[5:7])  # as many boxes: COCO numbers them through, so others would have other ids
        pets.bench.source.put(name, picture_bytes(number), [("cat", box)] * (1 + number % 3))
    pets.bench.params(clean={"max_invalid": 1.0})
    pets.bench.update()
    pets.build()
    for name in base:
        whole = pets.open(name)
        assert whole.fingerprint != prints[name]
        if name == "cleaned":
            assert whole.info.counts.rejected_annotations > 0
            assert whole.base.rejected.num_rows == 0
        after = whole.base.info
        assert after == before[name][0]


def test_raw_under_pseudonyms(pets: Pets) -> None:
    """Cleaning goes by the own keys, whatever raw calls its samples."""
    pets.build()
    before = rows(pets.open("cleaned"))

    def change(wanted: changes.Wanted) -> changes.Wanted:
        return changes.with_facet(wanted, "names", stages=["raw"], columns=["provenance"], hides_keys=True)

    protection.change_policy(
        pets.root, pets.people["cora"], lambda wanted, _: change(wanted), "grant", "x", rotate=lambda _: ()
    )
    pets.build()
    raw = pets.open("raw/pets")
    assert len(raw.original_keys()) == 30
    assert all("cats" not in key for key in raw.column("key")["key"].to_pylist())
    assert verify(raw) == []
    assert [row["row_digest"] for row in rows(pets.open("cleaned"))] == [row["row_digest"] for row in before]

    bench = Workbench(Project(pets.root))  # corrections name own keys, and find samples by them
    key = bench.find("cats_03.jpg")
    assert key == raw.original_key(raw.find_key("cats_03.jpg")) != raw.find_key("cats_03.jpg")
    assert bench.has(key)
    add_corrections(Project(pets.root), [exclude(bench.row(key), WHO)])
    assert bench.issues() == Workbench(Project(pets.root)).issues() == []
    pets.build()
    cleaned = pets.open("cleaned")
    assert len(cleaned) == 29
    assert key not in cleaned
    assert [stage.outcome for stage in trace(Project(pets.root), key).stages][:2] == ["kept", "rejected"]


def test_own_keys_find_samples_under_pseudonyms(pets: Pets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who reads the facet, in every command; labels that a trainer edited come back as corrections."""
    protect(pets, "test-labels")
    pets.build()
    cleaned, project = pets.open("cleaned"), Project(pets.root)
    own = cleaned.original_keys()
    shown, key = next(iter(own.items()))
    assert (cleaned.find_key(key), cleaned.find_key(key.rpartition("/")[2]), cleaned[key].key) == (shown,) * 3
    assert (cleaned.shown_key(key), cleaned.shown_key("no/such.jpg")) == (shown, "no/such.jpg")
    with pytest.raises(NotFoundError):
        cleaned.where(split="train").find_key(key)
    for asked in (key, shown):
        story = trace(project, asked)
        assert story.key == key
        assert [stage.outcome for stage in story.stages] == ["kept"] * 3
        assert {stage.split for stage in story.stages[1:]} == {"test"}
    export_keys(cleaned, list(own), tmp_path / "out", format="coco")
    for path in (tmp_path / "out").rglob("*.json"):
        document = json.loads(path.read_text())
        for item in document["annotations"]:
            item["bbox"][2] += 7
        path.write_text(json.dumps(document))
    found = compare_returned(Workbench(project), cleaned, tmp_path / "out", WHO, format="coco")
    assert found.issues == []
    assert {item.key for item in found.corrections} == set(own.values())
    assert {item.action for item in found.corrections} == {"set"}

    monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / "tom"))
    labels, project = read_labels(pets.root / "data/cleaned"), Project(pets.root)
    assert [(issue.code, issue.severity) for issue in labels.issues] == [("labels-sealed", "warning")]
    story = trace(project, shown)
    assert [stage.outcome for stage in story.stages] == ["sealed", "kept", "kept"]
    with pytest.raises(NotFoundError, match="no snapshot knows") as caught:
        trace(project, key)
    assert "raw/pets, which is sealed to you" in caught.value.hint
    assert trace(project, rows(pets.open("cleaned").where(split="train"))[0]["key"]).stages[0].outcome == "sealed"


def test_why_tells_of_what_was_turned_away(pets: Pets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads all facets is told by own keys and by pseudonyms; who lacks one, that it cannot be told."""
    protect(pets, "test-labels")
    project = Project(pets.root)
    pets.build()
    bench = Workbench(project)
    key = bench.find("cats_03.jpg")
    add_corrections(project, [exclude(bench.row(key), WHO)])
    pets.build()
    cleaned = pets.open("cleaned")
    shown = cleaned.shown_key(key)
    assert shown != key
    for asked in (key, "cats_03.jpg", shown, shown.partition("/")[2]):
        story = trace(project, asked)
        assert (story.key, [stage.outcome for stage in story.stages][:2]) == (key, ["kept", "rejected"])
    assert story.stages[1].reason == "excluded"
    hidden, own = next(iter(cleaned.original_keys().items()))
    assert Workbench(project).find(hidden) == Workbench(project).find(hidden.partition("/")[2]) == own
    assert Workbench(project).find(shown) == key

    monkeypatch.setenv("DSETKIT_IDENTITY", str(tmp_path / "tom"))
    project = Project(pets.root)
    with pytest.raises(NotFoundError) as caught:
        trace(project, "cats_03.jpg")
    assert "kept apart by the facet test-labels" in caught.value.hint
    story = trace(project, hidden)
    assert (story.stages[1].labelled, story.stages[1].labels_apart) == (None, ("test-labels",))
    train = rows(pets.open("cleaned").where(split="train"))[0]["key"]
    assert (trace(project, train).stages[1].labelled, trace(project, train).stages[1].labels_apart) == ("yes", ())
    for pretended in (shown, key):  # what another stage has, and this one may have turned away
        told = why._tell("cleaned", pets.open("cleaned"), pretended, [])
        assert (told.outcome, told.message) == ("hidden", "cannot be told: kept apart by the facet test-labels")


def test_reordered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_facets, "_BUCKET_ROWS", 4)
    given = [{"key": f"a/{number:02}", "source_id": str(number)} for number in range(15)]
    keys = [f"a/{number * 7 % 15:02}x" for number in range(15)]
    found = list(reordered(given, keys, tmp_path / "aside", None))
    assert [row["key"] for row, _ in found] == sorted(keys)
    for row, own in found:
        number = int(row["source_id"])
        assert (row["key"], own) == (keys[number], f"a/{number:02}")
    assert list(tmp_path.iterdir()) == []
    assert list(reordered([], [], tmp_path / "aside", None)) == []


def test_what_nobody_could_read_who_may_not_is_no_warning(pets: Pets, tmp_path: Path) -> None:
    def act(change: Callable[[Wanted], Wanted]) -> None:
        protection.change_policy(pets.root, pets.people["cora"], lambda wanted, _: change(wanted), "grant", "x")

    def kept(name: str) -> Snapshot:
        shutil.copytree(pets.root / "data/cleaned", tmp_path / "older" / name)
        return open_snapshot(tmp_path / "older" / name, keys=Project(pets.root).keys)

    def told(older: Snapshot) -> list[str]:
        return [issue.code for issue in stage_facets.readable_before(Project(pets.root), "cleaned", older)]

    def granted(wanted: Wanted) -> Wanted:
        keys = pets.people["tom"].public
        wanted = changes.with_keys(wanted, "tom", age=keys.age, ssh=keys.ssh)
        return changes.granted(wanted, "tom", "reader", stages=["cleaned"])

    def faceted(wanted: Wanted) -> Wanted:
        return changes.with_facet(wanted, "provenance", stages=["cleaned"], hides_keys=True)

    pets.build()
    cora_alone = kept("cora-alone")
    act(faceted)
    act(granted)
    assert told(cora_alone) == []
    pets.build()
    keys = pets.open("cleaned").column("key")["key"].to_pylist()
    assert [key for key in keys if not re.fullmatch("pets/[0-9a-f]{32}", key)] == []
    act(lambda wanted: changes.without_facet(wanted, "provenance"))
    pets.build()
    for_tom = kept("for-tom")
    act(faceted)
    assert told(for_tom) == ["facet-readable-in-history"]
    assert told(cora_alone) == []
    act(lambda wanted: changes.expelled(wanted, "tom"))
    assert told(for_tom) == ["facet-readable-in-history"]  # he keeps what he could read
    act(lambda wanted: changes.declassified(wanted, "cleaned"))
    pets.build()
    plain = kept("plain")
    act(lambda wanted: changes.protected(wanted, "cleaned", "cora"))
    act(faceted)
    assert told(plain) == ["facet-readable-in-history"]
