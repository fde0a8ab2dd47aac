"""Facets: what they protect is there for those who read them, and nowhere for others."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from dsetkit.access.seal import DomainSeal
from dsetkit.errors import AccessError, DsetkitError, SnapshotError, TamperError, UsageError
from dsetkit.snapshots import envelope, parquet_out
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.facet_history import READABLE, readable_in_history
from dsetkit.snapshots.facets import Facets, FacetSpec
from dsetkit.snapshots.opening import read_seals, read_snapshot
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify, verify_stored
from dsetkit.snapshots.write import SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.sealed import SealedSnapshot, Seals
from dsetkit.storage.folder import LocalFolder

LABELS = ("absent_categories", "annotations", "attributes", "not_exhaustive_categories", "responses")
DOMAINS = {"test-labels": 11, "provenance": 12, "annotators": 13, "all-labels": 14}


def seal_of(name: str, kit: SimpleNamespace, **fields: Any) -> DomainSeal:
    number = DOMAINS[name]
    return kit.seal_of(number, **{"domain": f"d{number}", **fields})


def specs(names: Iterable[str], kit: SimpleNamespace, *, hides_keys: bool = False, **fields: Any) -> list[FacetSpec]:
    known = {
        "test-labels": (LABELS, ("val",), hides_keys),
        "provenance": (("provenance", "source_id"), (), False),
        "annotators": (("annotations.annotator", "responses"), (), False),
        "all-labels": (("annotations",), (), False),
    }
    return [FacetSpec(name, *known[name], seal_of(name, kit, **fields)) for name in names]


class Keys:
    """The keys of a stage and of some facets."""

    def __init__(self, kit: SimpleNamespace, *facets: str, **fields: Any) -> None:
        self.stage = kit.seal_of(**fields)
        self.facets = {name: seal_of(name, kit, **fields) for name in facets}

    def seal(self, seals: Seals) -> DomainSeal:
        return self.stage

    def facet(self, seals: Seals, name: str) -> DomainSeal | None:
        return self.facets.get(name) if name in seals.facets else None

    def check(self, seals: Seals, document: bytes) -> None:
        pass

    def check_place(self, url: str, seals: Seals | None) -> None:
        pass

    def opened(self, seals: Seals) -> None:
        pass


def rows_of(kit: SimpleNamespace, count: int = 60, *, labels: int = 0) -> list[tuple[Row, bytes | None]]:
    """Rows with all that facets keep apart; ``labels`` other than 0: other labels for the split ``val``."""
    made: list[tuple[Row, bytes | None]] = []
    for number in range(count):
        row = kit.row_of(number)
        draw = labels if row["split"] == "val" else 0
        annotations = [{**item, "annotator": f"anna-{number % 7}"} for item in row["annotations"]]
        annotations += [
            {"id": f"x{i}", "kind": "box", "category": "Secret" if draw else "RBC", "bbox_xywh_px": [0, 0, 1, 1 + draw]}
            for i in range(draw)
        ]
        row |= {
            "annotations": annotations if draw != 2 else [],
            "labelled": "partial" if draw else "yes",
            "attributes": {"scene": f"lab {draw}"},
            "responses": [{"annotator": f"anna-{number % 7}", "seconds": 2.5 + draw}],
            "provenance": {"source": row["key"].split("/")[0], "uri": f"origin/{number:05}.jpg", "author": "Ada"},
            "source_id": f"id-{number}",
            "split_group": f"group-{number}",
        }
        made.append((row, kit.picture_of(number)))
    made[7] = ({**made[7][0], "reason": "picture-corrupt", "message": "cut off in Secretland"}, made[7][1])
    del made[7][0]["split"]
    rejected = {**made[33][0], "what": "annotation", "reason": "box-degenerate", "message": "a Secret box of 0 px"}
    for name in ("digest", "split"):
        del rejected[name]
    return [*made, *([(rejected, None)] * (1 + labels))]


def write(
    build: Path,
    kit: SimpleNamespace,
    names: Sequence[str],
    *,
    rows: Sequence[tuple[Row, bytes | None]] | None = None,
    memory: Sequence[Snapshot] = (),
    hides_keys: bool = False,
    info: Row | None = None,
    seals: dict[str, Any] | None = None,
) -> SnapshotWriter:
    facets = Facets(specs(names, kit, hides_keys=hides_keys, **(seals or {})))
    writer = SnapshotWriter(build, target_bytes=4096, memory=memory, seal=kit.seal_of(**(seals or {})), facets=facets)
    rows = rows_of(kit) if rows is None else rows
    keyed = [({**row, "key": facets.base_key(row["key"], row.get("split"))}, row["key"], data) for row, data in rows]
    for row, key, data in sorted(keyed, key=lambda item: item[0]["key"].encode()):
        own = key if key != row["key"] else None
        picture = None if data is None else kit.picture_bytes(data, key)
        writer.add(row, picture, rejected="reason" in row, original_key=own)
    writer.finish(kit.INFO if info is None else info)
    return writer


def plain(build: Path, kit: SimpleNamespace) -> Snapshot:
    rows = sorted(rows_of(kit), key=lambda item: item[0]["key"].encode())
    writer = SnapshotWriter(build, target_bytes=4096)
    for row, data in rows:
        writer.add(row, None if data is None else kit.picture_bytes(data), rejected="reason" in row)
    writer.finish(kit.INFO)
    return open_snapshot(build)


CASES = [
    ("test-labels",),
    ("provenance",),
    ("annotators",),
    ("annotators", "test-labels"),
    ("annotators", "provenance", "test-labels"),
    ("all-labels", "annotators", "provenance", "test-labels"),
]


@pytest.mark.parametrize("names", CASES, ids=["+".join(case) for case in CASES])
def test_those_who_read_all_see_what_a_plain_one_has(
    names: Sequence[str], tmp_path: Path, kit: SimpleNamespace, small_parts: None
) -> None:
    write(tmp_path / "a", kit, names)
    whole, own = open_snapshot(tmp_path / "a", keys=Keys(kit, *names)), plain(tmp_path / "plain", kit)
    assert (whole.fingerprint, whole.hidden) == (own.fingerprint, ())
    assert whole.info.counts == own.info.counts
    assert len(whole.info.parts) > 2
    place = ["shard", "offset_bytes"]
    assert whole.table.drop_columns(place).to_pylist() == own.table.drop_columns(place).to_pylist()
    assert whole.rejected.drop_columns(place).to_pylist() == own.rejected.drop_columns(place).to_pylist()
    for key in own.table["key"].to_pylist():
        mine, other = whole.row(key), own.row(key)
        assert {n: v for n, v in mine.items() if n not in place} == {n: v for n, v in other.items() if n not in place}
        assert whole.read_bytes(key) == own.read_bytes(key)
    columns = ("annotations.category", "labelled", "annotations.annotator", "provenance.uri", "responses.seconds")
    for column in (*columns, "annotations", "provenance", "row_digest"):
        assert whole.column(column).combine_chunks().equals(own.column(column).combine_chunks()), column
    assert whole.column(columns).to_pylist() == own.column(columns).to_pylist()
    assert whole.where(category="WBC").fingerprint == own.where(category="WBC").fingerprint
    assert whole.take(9).fingerprint == own.take(9).fingerprint
    assert verify(whole) == []
    assert [issue.code for issue in verify(whole.base)] == ["facet-hidden"] * len(names)
    assert {facet.name for facet in whole.base.hidden} == {*names}


def base_bytes(place: Path, kit: SimpleNamespace) -> dict[str, bytes]:
    """All that the keys of the stage open, and how it is called, but for the envelope's words on facets."""
    seals = read_seals(LocalFolder(place))
    assert seals is not None
    opened = read_snapshot(LocalFolder(place), Keys(kit), facets=False)
    found = {
        name: data for name, data in kit.files_of(place).items() if not name.startswith(("facets/", "snapshot.json"))
    }
    found["body"] = envelope.open_body(seals, kit.seal_of(), "")
    found["info"] = opened.info.model_dump_json().encode()
    found["files"] = json.dumps([file.model_dump() for file in seals.files]).encode()
    return found


@pytest.mark.parametrize("hides_keys", [False, True])
@pytest.mark.parametrize("names", [("test-labels",), ("annotators", "provenance", "test-labels")])
def test_base_files_depend_on_nothing_that_is_protected(
    names: Sequence[str], hides_keys: bool, tmp_path: Path, kit: SimpleNamespace, small_parts: None
) -> None:
    """No guess can be tried: other labels of the split give the same bytes of all that others can open."""
    for number in (0, 1, 2, 3):
        fields = {
            "info": {"said": number},
            "parents": [{"name": "raw/blood", "fingerprint": f"{number:064}"}],
            "issues": [{"code": "x", "message": f"{number}"}],
            "counts": {"samples_in": 60, "annotations_in": 100 + number, "per_change": {"clipped": number}},
        }
        write(
            tmp_path / str(number),
            kit,
            names,
            rows=rows_of(kit, labels=number),
            hides_keys=hides_keys,
            info={**kit.INFO, **fields},
        )
    first = base_bytes(tmp_path / "0", kit)
    assert len(first) > 10
    prints = set()
    for number in (1, 2, 3):
        assert base_bytes(tmp_path / str(number), kit) == first
        whole = open_snapshot(tmp_path / str(number), keys=Keys(kit, *names))
        assert whole.base.fingerprint == open_snapshot(tmp_path / "0", keys=Keys(kit)).fingerprint
        prints.add(whole.fingerprint)
        assert whole.info.info == {"said": number}
        assert verify(whole) == []
    assert len(prints) == 3


def test_a_guess_of_keys_is_not_confirmed_by_order(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> None:
    """Pseudonyms and their order follow from the facet's keys alone; other names of the same pictures move nothing
    of the rest."""
    write(tmp_path / "a", kit, ["test-labels"], hides_keys=True)
    snapshot = open_snapshot(tmp_path / "a", keys=Keys(kit))
    hidden = snapshot.where(split="val")
    assert len(hidden) == 12
    seal = seal_of("test-labels", kit)
    for sample in hidden:
        _, _, name = sample.key.partition("/")
        assert len(name) == 32
        assert int(name, 16) >= 0
        assert (sample.labelled, sample.annotations, sample.provenance, sample.source_id) == (
            "no",
            (),
            sample.provenance,
            None,
        )
        assert sample.provenance is not None
        assert (sample.provenance.uri, sample.provenance.author, sample.split_group) == (None, "Ada", None)
        with pytest.raises(AccessError, match="sealed in test-labels"):
            snapshot.original_key(sample.key)
    whole = open_snapshot(tmp_path / "a", keys=Keys(kit, "test-labels"))
    own = whole.original_keys()
    assert len(own) == 12
    for sample in whole.where(split="val"):
        key = whole.original_key(sample.key)
        assert sample.provenance is not None
        assert key == own[sample.key]
        assert sample.key == f"{key.partition('/')[0]}/{seal.row_id(key)[:32]}"
        assert key.partition(".")[0][-5:] == (sample.provenance.uri or "")[-9:-4]
    train = whole.where(split="train")[0].key
    assert (whole.original_key(train), snapshot.original_key(train)) == (train, train)
    assert verify(whole) == []


def test_own_keys_of_what_was_turned_away(tmp_path: Path, kit: SimpleNamespace) -> None:
    """They are for who reads all facets; others do not even see that columns are there for them."""
    write(tmp_path / "a", kit, ["provenance", "test-labels"], hides_keys=True)
    whole = open_snapshot(tmp_path / "a", keys=Keys(kit, "provenance", "test-labels"))
    known, turned_away = whole.rejected_keys(), set(whole.rejected["key"].to_pylist())
    assert set(known) == turned_away
    plain_keys = {row["key"] for row, _ in rows_of(kit) if "reason" in row}
    assert set(known.values()) == plain_keys
    for shown, own in known.items():
        assert (whole.shown_key(own), whole.original_key(shown), whole.own_key(shown)) == (shown, own, own)
        assert whole.own_keys()[shown] == own
    assert whole.rejected.column_names == whole.base.rejected.column_names
    for names in ((), ("provenance",), ("test-labels",)):
        other = open_snapshot(tmp_path / "a", keys=Keys(kit, *names))
        assert other.rejected_keys() == whole.without({"provenance", "test-labels"} - {*names}).rejected_keys() == {}


def test_views_of_those_who_lack_some(tmp_path: Path, kit: SimpleNamespace) -> None:
    write(tmp_path / "a", kit, ["annotators", "provenance", "test-labels"], hides_keys=True)
    whole = open_snapshot(tmp_path / "a", keys=Keys(kit, "annotators", "provenance", "test-labels"))
    for lacked in ({"test-labels"}, {"annotators", "provenance"}, {"annotators", "provenance", "test-labels"}):
        view = whole.without(lacked)
        theirs = open_snapshot(tmp_path / "a", keys=Keys(kit, *({"annotators", "provenance", "test-labels"} - lacked)))
        assert view.table.equals(theirs.table)
        assert {facet.name for facet in view.hidden} == lacked
        assert view.fingerprint == theirs.fingerprint == whole.base.fingerprint
        for selection in ({"split": "train"}, {"category": "RBC"}, {"split": "val", "category": "RBC"}):
            assert view.where(**selection).fingerprint == theirs.where(**selection).fingerprint
        assert view.without(["annotators"]).original_keys().keys() <= view.original_keys().keys()
        is_apart = "test-labels" in lacked
        assert (view.labels_apart("val"), view.labels_apart("train")) == (("test-labels",) * is_apart, ())
        assert view.labels_apart(None) == ("test-labels",) * is_apart
        key = view.where(split="val").row(0)["key"]
        assert bool(view.key_apart(key)) == (view.own_key(key) == key) == is_apart
    assert whole.without(["no-such"]) is whole


SECRETS = [b"Secret", b"anna-", b"lab 0", b"lab 1", b"box-degenerate", b"2.5", b"partial"]


def opened_texts(place: Path, keys: Keys) -> list[tuple[str, bytes]]:
    """Everything that these keys of a stage open, tables as texts."""
    seals = read_seals(LocalFolder(place))
    assert seals is not None
    found = [("names", " ".join(LocalFolder(place).names()).encode())]
    found.append(("body", envelope.open_body(seals, keys.stage, "")))
    found.append(("envelope", (place / "snapshot.json").read_bytes()))
    for file in seals.files:
        data = (place / file.name).read_bytes()
        kind = "samples" if file.name.startswith("samples") else "rejected"
        if not file.name.startswith("shards/"):
            name = file.name.rpartition("/")[2].removeprefix("rejected-").partition(".")[0]
            data = keys.stage.open_file(kind, name, data)
            table = pq.read_table(__import__("io").BytesIO(data))
            found.append((f"{file.name} rows", repr(table.to_pylist()).encode()))
        found.append((file.name, data))
    for path in (place / "facets").rglob("*.sealed"):
        found.append((path.name, path.read_bytes()))
        for kind in ("facet-rows", "facet", "samples"):
            with pytest.raises(TamperError):
                keys.stage.open_file(kind, path.name.partition(".")[0], path.read_bytes())
    return found


def test_nothing_protected_is_among_what_others_open(tmp_path: Path, kit: SimpleNamespace) -> None:
    rows = [({**row, "split": "val"} if "split" in row else row, data) for row, data in rows_of(kit, labels=0)]
    rows = [(row, data) for row, data in rows if data is None or row.get("split") == "val" or "reason" in row]
    rows = [
        ({**row, "annotations": [{**item, "category": "Secret"} for item in row["annotations"]]}, data)
        for row, data in rows
    ]
    names = ["annotators", "provenance", "test-labels"]
    write(tmp_path / "a", kit, names, rows=rows, hides_keys=True)
    whole = open_snapshot(tmp_path / "a", keys=Keys(kit, *names))
    secrets = [*SECRETS, b"picture_000", b"origin/", b"Ada", b"id-1", b"group-", whole.fingerprint.encode()]
    secrets += [row["row_digest"].encode() for row in whole.table.to_pylist()]
    for name, data in opened_texts(tmp_path / "a", Keys(kit)):
        for secret in secrets:
            if secret != b"2.5" or name.endswith("rows"):
                assert secret not in data, (name, secret)
    base = whole.base
    assert base.info.counts.annotations == 0
    assert base.info.counts.per_category == {}
    assert base.info.counts.per_reason == {"picture-corrupt": 1}
    assert (base.info.counts.samples_in, len(base)) == (60, 59)
    shown = f"{base!r} {base._repr_html_()} {base.info!r} {base.seals!r} {base.facets!r} {base[0]!r}"
    for secret in secrets:
        if secret != b"2.5":
            assert secret.decode() not in shown
    for name in ("annotators", "test-labels"):
        assert name in base._repr_html_()
    assert "sealed apart" not in whole._repr_html_()


def test_facets_one_by_one(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> None:
    """Who reads some sees just these; what two protect takes both."""
    names = ["annotators", "provenance", "test-labels"]
    write(tmp_path / "a", kit, names)
    own = plain(tmp_path / "plain", kit)

    def seen(*held: str) -> Snapshot:
        return open_snapshot(tmp_path / "a", keys=Keys(kit, *held))

    base = seen()
    for held in ((), ("annotators",), ("provenance",), ("test-labels",), ("annotators", "provenance")):
        snapshot = seen(*held)
        assert {facet.name for facet in snapshot.hidden} == {*names} - {*held}
        assert (snapshot.fingerprint, snapshot.info) == (base.fingerprint, base.info)
        assert {issue.code for issue in verify(snapshot)} == {"facet-hidden"}
        for key in own.table["key"].to_pylist():
            mine, other = snapshot.row(key), own.row(key)
            is_test = other["split"] == "val"
            has_labels = not is_test or "test-labels" in held
            has_names = "annotators" in held and has_labels
            assert mine.get("provenance") == (other["provenance"] if "provenance" in held else None)
            assert ("labelled" in mine, "attributes" in mine) == (has_labels, has_labels)
            assert ("responses" in mine) == has_names
            annotations = (
                other["annotations"]
                if has_names
                else [
                    {name: value for name, value in item.items() if name != "annotator"}
                    for item in other["annotations"]
                ]
            )
            assert mine.get("annotations", []) == (annotations if has_labels else [])
        read = snapshot.column("annotations.annotator")["annotations"].to_pylist()
        whole = snapshot.table["annotations"].to_pylist()
        assert read == [[{"annotator": item["annotator"]} for item in row] for row in whole]


def test_differences_are_of_what_is_seen(tmp_path: Path, kit: SimpleNamespace) -> None:
    names = ["annotators", "provenance", "test-labels"]
    write(tmp_path / "a", kit, names)
    write(tmp_path / "b", kit, names, rows=rows_of(kit, labels=2))
    for held, changed in ((), 0), (("provenance",), 0), (("annotators",), 0), (("test-labels",), 12), (names, 12):
        sides = [open_snapshot(tmp_path / side, keys=Keys(kit, *held)) for side in "ab"]
        found = diff(*sides)
        assert bool(found) == bool(changed), held
        assert len(found.annotations.removed) >= changed


def test_reading_base_columns_opens_no_facet(
    tmp_path: Path, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, small_parts: None
) -> None:
    names = ["annotators", "test-labels"]
    write(tmp_path / "a", kit, names)
    snapshot = open_snapshot(tmp_path / "a", keys=Keys(kit, *names))
    read: list[str] = []
    true = LocalFolder.read_range

    def spy(self: LocalFolder, name: str, start: int, length: int) -> bytes:
        read.append(name)
        return true(self, name, start, length)

    monkeypatch.setattr(LocalFolder, "read_range", spy)
    snapshot.column(("key", "split", "provenance", "digest", "source_id"))
    snapshot.read_bytes(snapshot.column("key")["key"][3].as_py())
    assert not [name for name in read if name.startswith("facets/")]
    snapshot.column("annotations.category")
    assert {name.split("/")[1] for name in read if name.startswith("facets/")} == {"test-labels"}


def test_it_comes_out_the_same(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> None:
    names = ["annotators", "provenance", "test-labels"]
    write(tmp_path / "a", kit, names, hides_keys=True)
    first = kit.files_of(tmp_path / "a")
    write(tmp_path / "b", kit, names, hides_keys=True)
    assert kit.files_of(tmp_path / "b") == first
    before = open_snapshot(tmp_path / "a", keys=Keys(kit, *names))
    writer = write(tmp_path / "c", kit, names, hides_keys=True, memory=[before])
    assert kit.files_of(tmp_path / "c") == first
    assert writer.statistics["shards_packed"] == 0
    linked = [path for path in (tmp_path / "c" / "facets").rglob("*.sealed") if path.stat().st_nlink > 1]
    assert len(linked) == len([name for name in first if name.startswith("facets/")]) - 1  # all but those turned away
    writer = SnapshotWriter(tmp_path / "d", target_bytes=4096, seal=kit.seal_of())
    assert not writer.carry(before)
    assert not writer.carry(before.base)
    writer = SnapshotWriter(tmp_path / "e", target_bytes=4096, seal=kit.seal_of(), facets=Facets(specs(names, kit)))
    assert not writer.carry(before)


def test_keys_of_facets_change_what_they_seal(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> None:
    """A new epoch of one facet alone leaves base files as they are, but for pseudonyms."""
    rows = sorted(rows_of(kit), key=lambda item: item[0]["key"].encode())

    def build(name: str, epoch: int) -> dict[str, bytes]:
        (facet,) = specs(["test-labels"], kit, epoch=epoch)
        writer = SnapshotWriter(tmp_path / name, target_bytes=4096, seal=kit.seal_of(), facets=Facets([facet]))
        for row, data in rows:
            writer.add(row, None if data is None else kit.picture_bytes(data), rejected="reason" in row)
        writer.finish(kit.INFO)
        return kit.files_of(tmp_path / name)

    one, two = build("a", 1), build("b", 2)
    same = {name for name in one if two.get(name) == one[name]}
    assert same == {name for name in one if not name.startswith(("facets/", "snapshot.json"))}


def change(place: Path, **fields: Any) -> None:
    document = json.loads((place / "snapshot.json").read_bytes())
    document["sealed"].update(fields)
    sealed = SealedSnapshot.model_validate(document)
    (place / "snapshot.json").write_bytes(envelope.to_json(sealed))


def sealed_of(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "snapshot.json").read_bytes())["sealed"]
    return found


def test_facets_that_were_swapped_or_dropped(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> None:
    names = ["annotators", "test-labels"]
    for name, options in {
        "a": {},
        "labels": {"rows": rows_of(kit, labels=1)},
        "other": {"rows": rows_of(kit, 50)},
        "epoch": {"seals": {"epoch": 2}},
        "project": {"seals": {"project": "00" * 16}},
        "one": {"info": {**kit.INFO, "issues": [{"code": "x", "message": "y"}]}},
    }.items():
        write(tmp_path / name, kit, names, **options)  # type: ignore[arg-type]
    right = sealed_of(tmp_path / "a")

    def refused(**fields: Any) -> None:
        shutil.rmtree(tmp_path / "x", ignore_errors=True)
        shutil.copytree(tmp_path / "a", tmp_path / "x")
        for other in ("labels", "other", "epoch", "project"):
            shutil.copytree(tmp_path / other / "facets", tmp_path / "x" / "facets", dirs_exist_ok=True)
        change(tmp_path / "x", **fields)
        for keys in (Keys(kit), Keys(kit, *names), Keys(kit, "annotators")):
            with pytest.raises((TamperError, SnapshotError)):
                open_snapshot(tmp_path / "x", keys=keys, check=False)

    refused(facets={})
    for name in names:
        refused(facets={other: facet for other, facet in right["facets"].items() if other != name})
        refused(facets={**right["facets"], name: {**right["facets"][name], "files": []}})
        for other in ("labels", "other", "epoch", "project", "one"):
            facet = sealed_of(tmp_path / other)["facets"][name]
            if other == "one" and name == "test-labels":  # what it means whole is in the first facet's document
                continue
            assert facet != right["facets"][name]
            refused(facets={**right["facets"], name: facet})
            refused(facets=sealed_of(tmp_path / other)["facets"])
            refused(facets={**right["facets"], name: {**right["facets"][name], "body": facet["body"]}})
    refused(body=sealed_of(tmp_path / "labels")["body"])
    swapped = {
        name: {**right["facets"][name], "body": right["facets"][other]["body"]}
        for name, other in zip(names, reversed(names), strict=True)
    }
    refused(facets=swapped)


def test_an_old_facet_under_a_forged_body(tmp_path: Path, kit: SimpleNamespace) -> None:
    """A reader of the stage can seal a body for whatever envelope, but cannot make a facet that belongs to another."""
    write(tmp_path / "a", kit, ["test-labels"])
    write(tmp_path / "b", kit, ["test-labels"], rows=rows_of(kit, 50))
    seals = read_seals(LocalFolder(tmp_path / "b"))
    opened = read_snapshot(LocalFolder(tmp_path / "a"), Keys(kit), facets=False)
    assert seals is not None
    document = envelope.seal_document(opened.info, kit.seal_of(), seals.facets)
    (tmp_path / "a" / "snapshot.json").write_bytes(document)
    with pytest.raises(TamperError, match="that of another snapshot"):
        open_snapshot(tmp_path / "a", keys=Keys(kit, "test-labels"), check=False)


def test_tables_that_were_altered(tmp_path: Path, kit: SimpleNamespace, small_parts: None) -> None:
    names = ["annotators", "test-labels"]
    write(tmp_path / "a", kit, names)
    right = open_snapshot(tmp_path / "a", keys=Keys(kit, *names)).table.to_pylist()
    drawn = random.Random(5)
    files = sorted((tmp_path / "a" / "facets").rglob("*.sealed"))
    assert {path.parent.name for path in files} == {"annotators", "test-labels", "annotators+test-labels"}
    for number in range(60):
        path = files[number % len(files)]
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
        other = files[(number + 1) % len(files)].read_bytes()
        for changed in (bytes(flipped), other, data[:-1]):
            path.write_bytes(changed)
            snapshot = open_snapshot(tmp_path / "a", keys=Keys(kit, *names), check=False)
            try:
                assert snapshot.table.to_pylist() == right
                _ = snapshot.rejected
            except DsetkitError:
                pass
            if number < len(files):
                found = {(issue.code, issue.file) for issue in verify(snapshot)}
                assert ("facet-damaged", path.relative_to(tmp_path / "a").as_posix()) in found
        path.write_bytes(data)
    files[0].unlink()
    gone = files[0].relative_to(tmp_path / "a").as_posix()
    with pytest.raises(SnapshotError, match="is not whole"):
        open_snapshot(tmp_path / "a", keys=Keys(kit, *names))
    base = open_snapshot(tmp_path / "a", keys=Keys(kit))
    assert len(base.table) == 59
    assert ("file-missing", gone) in {(issue.code, issue.file) for issue in verify(base)}
    seals = read_seals(LocalFolder(tmp_path / "a"))
    assert seals is not None
    assert ("file-missing", gone) in {
        (issue.code, issue.file) for issue in verify_stored(LocalFolder(tmp_path / "a"), seals)
    }


def test_what_cannot_be(tmp_path: Path, kit: SimpleNamespace) -> None:
    seal = kit.seal_of(11)
    for column in (
        "key",
        "split",
        "annotations.id",
        "annotations.kind",
        "shard",
        "annotations.nothing",
        "provenance.uri",
    ):
        with pytest.raises(UsageError, match="no column that can be kept apart"):
            Facets([FacetSpec("a", (column,), (), False, seal)])
    with pytest.raises(UsageError):
        Facets([FacetSpec("a", ("annotations",), (), False, seal)] * 2)
    facets = Facets(specs(["test-labels"], kit, hides_keys=True))
    with pytest.raises(UsageError, match="what is plain"):
        SnapshotWriter(tmp_path / "a", target_bytes=4096, facets=facets)
    writer = SnapshotWriter(tmp_path / "a", target_bytes=4096, seal=kit.seal_of(), facets=facets)
    with pytest.raises(UsageError, match="is to be hidden"):
        writer.add(kit.row_of(0), kit.picture_bytes(kit.picture_of(0)))


def test_rows_without_a_split_are_protected(tmp_path: Path, kit: SimpleNamespace) -> None:
    rows = [({**row, "split": None}, data) for row, data in kit.numbered(range(12))]
    write(tmp_path / "a", kit, ["test-labels"], rows=rows)
    base = open_snapshot(tmp_path / "a", keys=Keys(kit))
    assert base.column("labelled")["labelled"].to_pylist() == ["no"] * 12


def test_empty_and_unlabelled_snapshots(tmp_path: Path, kit: SimpleNamespace) -> None:
    for name, rows in {"none": [], "train": kit.numbered([1, 2, 3, 4])}.items():
        write(tmp_path / name, kit, ["annotators", "test-labels"], rows=rows)
        whole = open_snapshot(tmp_path / name, keys=Keys(kit, "annotators", "test-labels"))
        assert verify(whole) == []
        assert len(whole) == len(rows)


def test_padding(tmp_path: Path, kit: SimpleNamespace) -> None:
    seals = {"padding": "padme"}
    write(tmp_path / "a", kit, ["annotators", "test-labels"], seals=seals)
    whole = open_snapshot(tmp_path / "a", keys=Keys(kit, "annotators", "test-labels", **seals))
    assert verify(whole) == []


def test_nothing_protected_comes_to_the_disk_under_the_keys_of_the_stage(
    tmp_path: Path, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scratch of a run that was killed: rows of shards are base rows, those turned away are sealed by all facets."""
    from dsetkit.snapshots import rejects

    monkeypatch.setattr(rejects, "HELD_ROWS", 4)
    facets = Facets(specs(["test-labels"], kit))
    writer = SnapshotWriter(tmp_path / "a", target_bytes=4096, seal=kit.seal_of(), facets=facets)
    for row, data in sorted(rows_of(kit, labels=5), key=lambda item: item[0]["key"].encode()):
        writer.add(row, None if data is None else kit.picture_bytes(data), rejected="reason" in row)
    seen = 0
    for path in (tmp_path / "a" / "work").iterdir():
        name = path.name.removeprefix("rejected-").partition(".")[0]
        try:
            data = kit.seal_of().open_file("scratch", name, path.read_bytes())
        except TamperError:
            assert path.name.startswith("rejected-whole")
            continue
        seen += 1
        assert b"Secret" not in data
    assert seen > 3


def test_labels_readable_in_history(tmp_path: Path, kit: SimpleNamespace) -> None:
    older = plain(tmp_path / "plain", kit)
    facets = specs(["provenance", "test-labels"], kit)
    found = readable_in_history(older, facets)
    assert {(issue.code, issue.severity, issue.count) for issue in found} == {(READABLE, "warning", 1)}
    told = "what the facet provenance protects stands unprotected in 59 rows of an older cleaned"
    assert f"{told} ({older.fingerprint[:12]})" in found[0].describe()
    assert "test-labels protects stands unprotected in 12 rows" in found[1].message
    write(tmp_path / "a", kit, ["provenance", "test-labels"])
    sealed = open_snapshot(tmp_path / "a", keys=Keys(kit))
    assert readable_in_history(sealed, facets) == []
    whole = open_snapshot(tmp_path / "a", keys=Keys(kit, "provenance", "test-labels"))
    assert readable_in_history(whole, facets) == []
    write(tmp_path / "b", kit, ["provenance"])
    partly = open_snapshot(tmp_path / "b", keys=Keys(kit, "provenance"))
    assert ["in 12 rows" in issue.message for issue in readable_in_history(partly, facets)] == [True]


def test_the_names_of_layers_say_no_more_than_the_policy(tmp_path: Path, kit: SimpleNamespace) -> None:
    write(tmp_path / "a", kit, ["annotators", "test-labels"])
    document = sealed_of(tmp_path / "a")
    assert set(document["facets"]) == {"annotators", "test-labels"}
    for facet in document["facets"].values():
        assert set(facet) == {"body", "domain", "epoch", "files"}
        stored = base64.b64decode(facet["body"])
        assert b"annotations" not in stored
        for file in facet["files"]:
            data = (tmp_path / "a" / file["name"]).read_bytes()
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (file["digest"], file["size_bytes"])
    assert parquet_out.GROUP_ROWS == 4096
