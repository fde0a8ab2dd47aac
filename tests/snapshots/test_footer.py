"""Footers of Parquet files: what they say, and those that end a process that asks pyarrow about them."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.footers import BINARY, INT64, STRUCT, Struct, chunks_of, footer_of, forge, statistics_of, with_footer

from dsetkit.errors import SnapshotError
from dsetkit.snapshots.footer import EncryptedError, footer_size, read_footer
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify

encryption = pytest.importorskip("pyarrow.parquet.encryption")

LABEL = "annotations.list.element.category"


def footer_bytes(data: bytes) -> bytes:
    return data[-8 - footer_size(data[-8:]) : -8]


@pytest.fixture(scope="module")
def part(built: Path) -> Path:
    return built / open_snapshot(built).info.parts[0].name


def test_it_says_what_pyarrow_says(part: Path, tmp_path: Path) -> None:
    several = tmp_path / "several.parquet"
    pq.write_table(pq.read_table(part), several, row_group_size=5)
    for path in (part, several):
        theirs = pq.read_metadata(path)
        ours = read_footer(footer_bytes(path.read_bytes()))
        assert [group.rows for group in ours] == [theirs.row_group(n).num_rows for n in range(theirs.num_row_groups)]
        for number, group in enumerate(ours):
            assert len(group.chunks) == theirs.num_columns
            for place, chunk in enumerate(group.chunks):
                column = theirs.row_group(number).column(place)
                assert chunk[:4] == (
                    column.path_in_schema,
                    column.num_values,
                    column.total_uncompressed_size,
                    column.statistics.null_count,
                )
                assert (chunk.low is not None) == column.statistics.has_min_max
                if chunk.low is not None and chunk.high is not None and isinstance(column.statistics.min, str):
                    assert (chunk.low.decode(), chunk.high.decode()) == (column.statistics.min, column.statistics.max)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**20), st.integers(0, 255), st.booleans())
@example(0, 0, False)
def test_damage_is_a_value_error_or_another_footer(part: Path, at: int, byte: int, cut: bool) -> None:
    footer = footer_bytes(part.read_bytes())
    at %= len(footer)
    broken = footer[:at] if cut else footer[:at] + bytes([byte]) + footer[at + 1 :]
    try:
        assert isinstance(read_footer(broken), tuple)
    except ValueError as error:
        assert cut is False or str(error) == "its footer is cut off or none of Parquet's"  # noqa: PT017


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
@example(b"\x49\xf7" + b"\xff" * 8 + b"\x7f" + b"\x00")  # a list of 2^62 doubles
@example(b"\x49\xfc\xff\xff\xff\xff\x0f")
@example(b"\x4c" * 60)  # structs in structs
@example(b"\x49\x19" + b"\x19" * 58)  # lists in lists
@example(b"\x26\x02\xf6\x02\x00")  # the same field twice
def test_what_is_no_footer(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(read_footer(data), tuple)


def test_the_end_of_the_file() -> None:
    assert footer_size(b"\x05\0\0\0PAR1") == 5
    with pytest.raises(EncryptedError):
        footer_size(b"\x05\0\0\0PARE")
    for ending in (b"", b"PAR1", b"\x05\0\0\0PAR2"):
        with pytest.raises(ValueError, match="does not end as Parquet does"):
            footer_size(ending)
    with pytest.raises(ValueError, match="its footer has 4,294,967,295 bytes, more than 67,108,864"):
        footer_size(b"\xff\xff\xff\xffPAR1")


def cut_statistics(footer: Struct) -> None:
    for statistics in statistics_of(footer, "width_px"):
        statistics.update(dict.fromkeys((5, 6), (BINARY, b"\x01")))


def no_statistics_type(footer: Struct) -> None:
    for chunk in chunks_of(footer, "width_px"):
        chunk[3][1][1] = (5, 99)


def column_key(footer: Struct) -> None:
    """As where a column has a key of its own, without anything that the file says of itself as a whole."""
    for chunk in chunks_of(footer, LABEL):
        chunk[8] = (STRUCT, {2: (STRUCT, {1: (9, (BINARY, [b"category"]))})})


def fewer_columns(footer: Struct) -> None:
    footer[4][1][1][0][1][1][1].pop()


def no_facts(footer: Struct) -> None:
    del chunks_of(footer, LABEL)[0][3]


def below_zero(footer: Struct) -> None:
    chunks_of(footer, LABEL)[0][3][1][5] = (INT64, -1)


ASKING = (
    "import sys, pyarrow.parquet as pq\n"
    "footer = pq.read_metadata(sys.argv[1])\n"
    "group = footer.row_group(0)\n"
    "print([getattr(group.column(n).statistics, 'null_count', 0) for n in range(footer.num_columns)])\n"
)


def asked_of_pyarrow(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ASKING, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def readers() -> Iterator[Callable[[Snapshot], Any]]:
    """Everything that opens the first part, or what was turned away."""
    yield lambda snapshot: snapshot.table
    yield lambda snapshot: list(snapshot)
    yield lambda snapshot: snapshot.row(0)
    yield lambda snapshot: snapshot.rows(0, 3)
    yield lambda snapshot: snapshot.rows_at([0])
    yield lambda snapshot: snapshot[snapshot.info.parts[0].first_key]
    yield lambda snapshot: snapshot.column("key")
    yield lambda snapshot: snapshot.column("annotations.category")
    yield lambda snapshot: snapshot.read_bytes(snapshot.info.parts[0].first_key)
    yield lambda snapshot: snapshot.where(split="train")
    yield lambda snapshot: snapshot.take(3)
    yield lambda snapshot: list(snapshot.iter_shard_members())
    yield lambda snapshot: list(snapshot.iter_shard_rows())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (cut_statistics, None),
        (no_statistics_type, None),
        (column_key, "columns of it are encrypted"),
        (fewer_columns, "its row groups do not have all columns"),
        (no_facts, "its footer is cut off or none of Parquet's"),
        (below_zero, "its footer is cut off or none of Parquet's"),
    ],
)
def test_a_footer_that_ends_pyarrow_does_not_end_us(
    snapshot: Snapshot, tmp_path: Path, kit: SimpleNamespace, change: Callable[[Struct], None], what: str | None
) -> None:
    place = tmp_path / "snapshot"
    name = kit.change_file(place, snapshot.info.parts[0].name, lambda path: forge(path, change))
    if change in (cut_statistics, no_statistics_type, column_key):
        done = asked_of_pyarrow(place / name)
        assert done.returncode != 0  # pyarrow 26: an abort
    for read in readers():
        opened = open_snapshot(place)
        if what is None:  # it shows where the column is read
            try:
                read(opened)
            except SnapshotError as error:
                assert name in str(error)  # noqa: PT017
            continue
        with pytest.raises(SnapshotError, match=what) as caught:
            read(opened)
        assert name in str(caught.value)
    issue = next(issue for issue in verify(open_snapshot(place, check=False)) if issue.code == "part-damaged")
    assert issue.file == name
    assert name in issue.message


class Kms(encryption.KmsClient):  # type: ignore[misc]
    """Keeps every key beside the file, which is enough for a test."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return base64.b64decode(wrapped_key)


WAYS: dict[str, dict[str, Any]] = {
    "columns, plain footer": {"plaintext_footer": True, "column_keys": {"k": [LABEL, "split"]}},
    "columns, encrypted footer": {"plaintext_footer": False, "column_keys": {"k": [LABEL, "split"]}},
    "all of it": {"plaintext_footer": False, "uniform_encryption": True},
}


def encrypt(path: Path, way: str) -> None:
    table = pq.read_table(path)
    path.unlink()
    configuration = encryption.EncryptionConfiguration(footer_key="f", **WAYS[way])
    factory = encryption.CryptoFactory(Kms)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    pq.write_table(table, path, encryption_properties=properties)


@pytest.mark.parametrize("way", list(WAYS))
def test_an_encrypted_part_is_refused_by_name(
    snapshot: Snapshot, tmp_path: Path, kit: SimpleNamespace, way: str
) -> None:
    place = tmp_path / "snapshot"
    name = kit.change_file(place, snapshot.info.parts[0].name, lambda path: encrypt(path, way))
    done = asked_of_pyarrow(place / name)
    assert done.returncode != 0  # pyarrow 26: an abort for the plain footer, an OSError else
    for read in readers():
        with pytest.raises(SnapshotError, match="encrypted") as caught:
            read(open_snapshot(place))
        assert name in str(caught.value)
        assert "decrypt it with what encrypted it" in str(caught.value)
    (issue,) = (issue for issue in verify(open_snapshot(place, check=False)) if issue.file == name)
    assert issue.code == "part-damaged"
    assert "encrypted" in issue.message


@pytest.mark.parametrize("way", list(WAYS))
def test_encrypted_rejects_are_refused(snapshot: Snapshot, tmp_path: Path, kit: SimpleNamespace, way: str) -> None:
    place = tmp_path / "snapshot"
    kit.change_file(place, "rejected.parquet", lambda path: encrypt(path, way))
    with pytest.raises(SnapshotError, match=r"rejected\.parquet of .* cannot be read: .*encrypted"):
        assert open_snapshot(place).rejected
    (issue,) = verify(open_snapshot(place, check=False))[:1]
    assert (issue.code, issue.file) == ("rejected-damaged", "rejected.parquet")


def test_a_footer_put_together_again_is_the_same(part: Path) -> None:
    data = part.read_bytes()
    assert with_footer(data, footer_of(data)) == data


def test_a_long_footer_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    pq.write_table(pa.table({f"column {number}": range(40) for number in range(60)}), path, row_group_size=2)
    data = path.read_bytes()
    assert footer_size(data[-8:]) > 64 * 1024
    groups = read_footer(footer_bytes(data))
    assert [group.rows for group in groups] == [2] * 20
