"""Files of a report that are sealed: back as they were, and nothing else for them; and which of them stand."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from dsetkit.access.keys import DataKey
from dsetkit.access.seal import DomainSeal
from dsetkit.errors import TamperError, UsageError
from dsetkit.stages.sealed_report import (
    check_sealing,
    is_newest,
    is_sealed_report,
    sealed_as,
    sealed_for,
    sealed_report,
    standing_report,
    unsealed,
)

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


def test_they_are_sealed_alike(files: dict[PurePosixPath, bytes]) -> None:
    assert sealed_as(files) == ("d12", 3)
    assert sealed_as({CARD: files[CARD]}) == ("d12", 3)
    for path, data in (*FILES.items(), (PLOT, b"[1]\n"), (PLOT, b"")):
        with pytest.raises(TamperError, match=f"^{path} is plain, or no file of a report, and the policy seals"):
            sealed_as({**files, path: data})
    older = sealed_report(FILES, seal_of(epoch=2))
    for mixed in ({**files, CARD: older[CARD]}, {PLOT: files[PLOT]}):
        with pytest.raises(TamperError, match="report is not sealed in one domain and epoch"):
            sealed_as(mixed)


def test_a_shell_is_just_what_sealing_gives(files: dict[PurePosixPath, bytes]) -> None:
    check_sealing(files, seal_of())
    for path in (PAGE, METRICS, CARD):  # what is sealed in it opens all the same
        with pytest.raises(TamperError, match=f"^{path} is not what dsetkit makes of what is sealed in it"):
            check_sealing({**files, path: files[path] + b"\n"}, seal_of())
    with pytest.raises(TamperError):
        check_sealing(files, seal_of(1))


def test_what_stands(files: dict[PurePosixPath, bytes], tmp_path: Path) -> None:
    assert standing_report(tmp_path) == {}
    assert not is_sealed_report({})
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "reports/own.md").write_text("mine")
    assert standing_report(tmp_path) == files
    assert is_sealed_report(files)
    assert is_sealed_report({METRICS: files[METRICS], PAGE: FILES[PAGE]})
    assert not is_sealed_report(FILES)
    (tmp_path / "cards/link").symlink_to(tmp_path / "reports/own.md")
    with pytest.raises(TamperError, match="cards/link is a link"):
        standing_report(tmp_path)
