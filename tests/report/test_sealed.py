"""Files of a report that are sealed: back as they were, and nothing else for them."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
from support.once import made_once
from support.protected import Protected
from support.versions import commit, sh

from dsetkit.access import changes
from dsetkit.access.keys import DataKey
from dsetkit.access.seal import DomainSeal
from dsetkit.errors import TamperError, UsageError
from dsetkit.report.page.change import Change
from dsetkit.report.sealed import is_newest, sealed_for, sealed_report, unsealed
from dsetkit.report.stage import find_change, run_report

SECRET = "crème \u2028 brûlée <script>"
PAGE, METRICS, CARD, PLOT = (
    PurePosixPath(name)
    for name in ("reports/report.html", "reports/metrics.json", "cards/cleaned/README.md", "reports/plots/splits.json")
)
FILES = {
    PAGE: f"<!doctype html>{SECRET}</script>".encode(),
    METRICS: json.dumps({"samples": 4711, "said": SECRET}).encode(),
    CARD: f"# {SECRET} -->\n".encode(),
    PLOT: b'[{"secret": 1}]\n',
    PurePosixPath("cards/cleaned/croissant.json"): b"{}",
    PurePosixPath("cards/augmented/README.md"): b"",
}
SEALED = tuple(path for path in FILES if path != PLOT)


def seal_of(number: int = 0, epoch: int = 3) -> DomainSeal:
    return DomainSeal(
        DataKey(bytes(range(number, number + 32))),
        project="00112233445566778899aabbccddeeff",
        domain="d12",
        epoch=epoch,
    )


@pytest.fixture
def files() -> dict[PurePosixPath, bytes]:
    return sealed_report(FILES, seal_of())


@pytest.mark.parametrize("path", SEALED, ids=str)
def test_back_as_it_was(files: dict[PurePosixPath, bytes], path: PurePosixPath) -> None:
    assert sealed_for(path, files[path]) == ("d12", 3)
    assert unsealed(path, files[path], seal_of()) == FILES[path]


def test_nothing_plain_is_in_them(files: dict[PurePosixPath, bytes]) -> None:
    assert set(files) == set(FILES)
    assert files[PLOT] == b"[]\n"
    whole = b"".join(files.values())
    for secret in (SECRET.encode(), b"4711", b"secret"):
        assert secret not in whole
        assert base64.b64encode(secret)[:-4] not in whole
    assert files == sealed_report(FILES, seal_of())
    assert files[METRICS] != sealed_report(FILES, seal_of(1))[METRICS]


def test_each_kind_stays_what_it_is(files: dict[PurePosixPath, bytes]) -> None:
    assert set(json.loads(files[METRICS])["sealed"]) == {"domain", "epoch", "body"}
    assert files[PAGE].startswith(b"<!doctype html>")
    for path in (PAGE, CARD):
        assert f"dsetkit access unseal {path} OUT".encode() in files[path]


def test_only_the_domain_of_the_report_seals_it() -> None:
    assert is_newest(PAGE, ("d12", 3), ("d12", 3))
    assert not is_newest(PAGE, ("d12", 2), ("d12", 3))
    for wanted, due in ((("d2", 3), "seals the report in d2"), (None, "leaves the report plain")):
        with pytest.raises(TamperError, match=f"is sealed in the domain d12, and the policy {due}.*build it again"):
            is_newest(PAGE, ("d12", 3), wanted)


@pytest.mark.parametrize(
    "said", [{"domain": "d\n1"}, {"domain": ""}, {"domain": 1}, {"epoch": True}, {"epoch": 0}, {"epoch": 10**4000}]
)
def test_what_no_seal_says_is_refused(files: dict[PurePosixPath, bytes], said: dict[str, object]) -> None:
    row = json.loads(files[METRICS])["sealed"]
    with pytest.raises(UsageError, match="is no sealed file of a report"):
        sealed_for(METRICS, json.dumps({"sealed": {**row, **said}}).encode())


@pytest.mark.parametrize("path", SEALED, ids=str)
def test_a_plain_file_is_refused(path: PurePosixPath) -> None:
    for said in (FILES[path], b"", b"\xff\x00", b"[]", b'{"sealed": 1}', b'{"sealed": {"body": 1}}'):
        with pytest.raises(UsageError, match="is no sealed file of a report"):
            sealed_for(path, said)
        with pytest.raises(UsageError, match="is no sealed file of a report"):
            unsealed(path, said, seal_of())


@pytest.mark.parametrize("path", SEALED, ids=str)
def test_a_body_that_was_altered(files: dict[PurePosixPath, bytes], path: PurePosixPath) -> None:
    data = files[path]
    body = base64.b64encode(seal_of().seal_file("report", path.as_posix(), FILES[path]))
    start = data.index(body)
    for place in (0, len(body) // 2, len(body) - 8):
        other = b"B" if data[start + place : start + place + 1] != b"B" else b"C"
        altered = data[: start + place] + other + data[start + place + 1 :]
        with pytest.raises(TamperError):
            unsealed(path, altered, seal_of())
    for short in (b"", body[: len(body) // 8 * 4]):
        with pytest.raises(TamperError):
            unsealed(path, data.replace(body, short), seal_of())


def test_a_file_is_none_in_another_place_or_for_other_keys(files: dict[PurePosixPath, bytes]) -> None:
    other = PurePosixPath("cards/augmented/README.md")
    for path, data, seal in (
        (other, files[CARD], seal_of()),
        (CARD, files[CARD], seal_of(1)),
        (CARD, files[CARD], seal_of(epoch=2)),
    ):
        with pytest.raises(TamperError):
            unsealed(path, data, seal)


@pytest.mark.parametrize("path", [PAGE, METRICS, CARD], ids=str)
def test_damage_is_a_known_error(files: dict[PurePosixPath, bytes], path: PurePosixPath) -> None:
    data = files[path]
    for cut in range(0, len(data), 7):
        for hostile in (data[:cut], data[:cut] + b"\x00" + data[cut + 1 :], data[:cut] + b"=" + data[cut + 1 :]):
            with suppress(UsageError, TamperError):
                assert unsealed(path, hostile, seal_of()) == FILES[path]


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed project whose test labels are kept apart, built, with its report."""

    def build(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            made = Protected.make(folder, pictures=16)
            made.become("cora", patch)
            made.bench.params(clean={"max_invalid": 1.0, "split.ratios": {"train": 0.5, "val": 0.1, "test": 0.4}})
            made.protect()
            made.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["cleaned", "augmented"]))
            made.build()
            run_report(made.project)

    return made_once(tmp_path_factory, "sealed-report", build)


@pytest.fixture
def project(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protected:
    return Protected.copy(kept, tmp_path, monkeypatch)


def opened(project: Protected) -> dict[str, bytes]:
    """The files of the report, as those who may read them see them."""
    found = {}
    for folder in ("reports", "cards"):
        for path in sorted((project.root / folder).rglob("*")):
            name = PurePosixPath(path.relative_to(project.root).as_posix())
            if path.is_file() and name.parent.name != "plots" and path.suffix in (".html", ".json", ".md"):
                domain, epoch = sealed_for(name, path.read_bytes())
                seal = project.keys().seal_in(domain, epoch, "report")
                found[str(name)] = unsealed(name, path.read_bytes(), seal)
    return found


def test_a_real_report(project: Protected) -> None:
    found = opened(project)
    assert set(found) == {
        "reports/report.html",
        "reports/metrics.json",
        *(f"cards/{stage}/{name}" for stage in ("cleaned", "augmented") for name in ("README.md", "croissant.json")),
    }
    assert found["reports/report.html"].startswith(b"<!DOCTYPE html>")
    assert json.loads(found["reports/metrics.json"])
    assert json.loads(found["cards/cleaned/croissant.json"])["@type"]
    plots = list((project.root / "reports/plots").iterdir())
    assert plots
    assert {path.read_bytes() for path in plots} == {b"[]\n"}


def without_digests(name: str, data: bytes) -> bytes:
    """Without what says which files it is about: the page names the raw snapshot, a Croissant file a document."""
    if name.endswith((".html", "croissant.json")):
        data = re.sub(rb"\b[0-9a-f]{64}\b", b"DIGEST", data)
        data = re.sub(rb'(snapshot.json",\s*"contentSize": ")[0-9]+ B', rb"\1SIZE", data)
    return data


def test_the_report_does_not_tell_what_a_facet_keeps_apart(project: Protected) -> None:
    before, print_before = opened(project), project.open("cleaned").fingerprint
    cleaned = project.open("cleaned")
    hidden = [cleaned.original_key(sample.key).rpartition("/")[2] for sample in cleaned.where(split="test")]
    assert len(hidden) > 1
    for name, box in ((hidden[0], [30.0, 20.0, 0.0, 9.0]), (hidden[1], [5.0, 4.0, 31.0, 33.0])):
        project.bench.source.put(name, project.bench.source.pictures[name], [("cat", box)])
    project.update()
    project.build()
    run_report(project.project)
    assert project.open("cleaned").fingerprint != print_before
    after = opened(project)
    assert {
        name for name in before if without_digests(name, before[name]) != without_digests(name, after[name])
    } == set()


def test_other_labels_that_are_not_kept_apart_show(project: Protected) -> None:
    """That the test above can fail."""
    before = opened(project)
    cleaned = project.open("cleaned")
    name = cleaned.original_key(next(iter(cleaned.where(split="train"))).key).rpartition("/")[2]
    project.bench.source.put(name, project.bench.source.pictures[name], [("cat", [5.0, 4.0, 31.0, 33.0])] * 2)
    project.update()
    project.build()
    run_report(project.project)
    assert opened(project)["reports/metrics.json"] != before["reports/metrics.json"]


def test_the_version_before_is_compared_if_all_readers_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was readable to the builder alone, or not kept apart then, is no business of who reads the report."""
    made = Protected.make(tmp_path, pictures=12)
    made.become("cora", monkeypatch)
    sh(made.root, "git", "init", "-q")
    sh(made.root, "dvc", "init", "-q")
    made.protect()

    def version(number: int) -> Change | None:
        made.put(0, (4.0, 4.0, 10.0 + number, 16.0))
        made.update()
        made.build()
        found = find_change(made.project)
        sh(made.root, "dvc", "commit", "-q", "-f", "ingest@pets", "clean", "augment")
        commit(made.root, f"v{number}", f"v{number}")
        return found

    assert version(1) is None
    change = version(2)
    assert change is not None
    assert change.previous.tags == ("v1",)
    made.act(lambda wanted: changes.with_facet(wanted, "test-labels", stages=["cleaned", "augmented"]))
    assert version(3) is None  # it would show the labels of before
    change = version(4)
    assert change is not None
    assert change.previous.tags == ("v3",)
    made.grant("tom", "cleaned", "augmented", "report")
    assert version(5) is None  # tom cannot open it
    change = version(6)
    assert change is not None
    assert change.previous.tags == ("v5",)
