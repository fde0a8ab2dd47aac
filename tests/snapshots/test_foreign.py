from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsetkit.errors import FormatError
from dsetkit.snapshots import foreign
from dsetkit.snapshots.foreign import ForeignParquet
from dsetkit.snapshots.pages import check_empty_lists

ROWS = 3000


def table() -> pa.Table:
    numbers = range(ROWS)
    return pa.table(
        {
            "image": pa.array([{"bytes": b"%d" % n * 50, "path": f"{n}.jpg"} if n % 7 else None for n in numbers]),
            "text": [f"caption {n % 40}" for n in numbers],
            "large": pa.array([f"{n}" for n in numbers], pa.large_string()),
            "objects": [{"bbox": [[1.0, 2.0, 3.0, n]], "category": ["cat"] * (n % 3)} for n in numbers],
            "list": [[{"bbox": [1.0, 2.0], "name": "x"}] * (n % 3) for n in numbers],
            "number": pa.array([n if n % 5 else None for n in numbers]),
            "flag": [n % 2 == 0 for n in numbers],
            "map": pa.array([[("a", n)] for n in numbers], pa.map_(pa.string(), pa.int64())),
            "empty": pa.nulls(ROWS, pa.string()),
        }
    )


def written(given: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(given, out, **{"row_group_size": 1000, **options})
    return out.getvalue()


def opened(data: bytes) -> ForeignParquet:
    return ForeignParquet(io.BytesIO(data), "x.parquet")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "lz4", "brotli", "none"])
def test_files_of_all_kinds_are_read_whole(version: str, compression: str) -> None:
    given = table()
    file = opened(written(given, compression=compression, data_page_version=version, write_page_index=True))
    assert file.group_rows == (1000, 1000, 1000)
    assert file.schema.equals(given.schema)
    names = [name for name in given.schema.names if name != "image"]
    found = [row for group in range(3) for row in file.read_rows(group, names)]
    assert found == given.drop_columns(["image"]).to_pylist()
    pictures = file.read_group(1, ["image.bytes"])
    cells = pictures.column("image").chunk(0).flatten()[0]
    assert [cells[n].as_py() for n in range(1000)] == [b"%d" % n * 50 if n % 7 else None for n in range(1000, 2000)]


def test_columns_that_say_nothing_and_such_that_are_not_there() -> None:
    file = opened(written(table()))
    assert file.is_null(0, "empty")
    assert not file.is_null(0, "text")
    with pytest.raises(FormatError, match=r"x.parquet cannot be read: it has no column nothing"):
        file.read_group(0, ["nothing"])


def test_one_value_named_very_often_stays_one() -> None:
    keys = pa.array([0] * 200_000, pa.int32())
    one = pa.DictionaryArray.from_arrays(keys, pa.array([b"x" * 1_000_000], pa.binary()))
    data = written(pa.table({"b": one}), row_group_size=200_000, dictionary_pagesize_limit=10_000_000)
    assert len(data) < 100_000
    file = opened(data)
    found = file.read_group(0, ["b"])
    assert found.nbytes < 3_000_000
    with pytest.raises(FormatError) as caught:
        file.read_rows(0, ["b"])
    assert caught.value.message == (
        "x.parquet cannot be read: texts of a row group of it have 200,000,000,000 bytes, more than 268,435,456"
    )


def test_what_unfolds_to_much_is_refused_before_it_does() -> None:
    values = [bytes(1_000_000)] * 100
    data = written(pa.table({"z": values}), compression="zstd", use_dictionary=False)
    assert len(data) < 50_000
    with pytest.raises(FormatError) as caught:
        opened(data).read_group(0, ["z"])
    assert caught.value.message == "x.parquet cannot be read: the column z unfolds to more than 67,108,864 bytes"


def test_a_footer_that_declares_little_is_not_believed() -> None:
    """The pages themselves are asked; the footer's own sizes are set to 1 here."""
    data = bytearray(written(pa.table({"z": [bytes(1_000_000)] * 100}), compression="zstd", use_dictionary=False))
    true_size = varint(2 * pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).total_uncompressed_size)
    start = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    at = data.index(true_size, start)
    data[at : at + len(true_size)] = b"\x82" + b"\x80" * (len(true_size) - 2) + b"\x00"
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).total_uncompressed_size == 1
    with pytest.raises(FormatError, match="unfolds to more than"):
        opened(bytes(data)).read_group(0, ["z"])


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def test_encodings_in_which_few_bytes_stand_for_many_are_refused() -> None:
    given = pa.table({"z": [f"{'x' * 1000}{n}" for n in range(2000)]})
    for encoding, message in (("DELTA_BYTE_ARRAY", "encoding 7, which is not read"), ("DELTA_LENGTH_BYTE_ARRAY", "")):
        file = opened(written(given, use_dictionary=False, column_encoding={"z": encoding}))
        if message:
            with pytest.raises(FormatError, match=message):
                file.read_group(0, ["z"])
        else:
            assert file.read_rows(0, ["z"])[7] == {"z": f"{'x' * 1000}7"}


def test_rows_and_values_beyond_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pa.table({"z": pa.nulls(2_100_000, pa.int64())}), row_group_size=3_000_000)
    assert len(data) < 5_000
    with pytest.raises(FormatError, match=r"it has 2,100,000 rows in 1 row groups, more than 2,000,000"):
        opened(data)
    monkeypatch.setattr(foreign, "MAX_ROWS", 10_000_000)
    monkeypatch.setattr(foreign, "MAX_VALUES", 2_000_000)
    with pytest.raises(FormatError, match="the column z has 2,100,000 values, more than 2,000,000"):
        opened(data).read_group(0, ["z"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it does not end as Parquet does"),
        (b"PAR1" * 10, "its footer has 827,474,256 bytes, more than 67,108,864"),
        (b"PAR1" + struct.pack("<I", 5000) + b"PAR1", "its footer is longer than the file"),
        (b"PAR1" + bytes(100) + struct.pack("<I", 50) + b"PAR1", "Couldn't deserialize thrift"),
        (b"PARE" + struct.pack("<I", 0) + b"PARE", "it is encrypted"),
    ],
)
def test_files_that_are_no_parquet(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        opened(data)
    assert message in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_cut_off_or_flipped_somewhere_never_breaks_the_reader() -> None:
    data = written(table().slice(0, 40), row_group_size=20)
    refused = 0
    for number in range(0, len(data), 7):
        for spoiled in (data[:number], data[:number] + bytes([data[number] ^ 0x41]) + data[number + 1 :]):
            try:
                file = opened(spoiled)
                for group in range(len(file.group_rows)):
                    file.read_rows(group, [name for name in file.schema.names if name != "image"])
                    file.read_group(group, ["image.bytes"])
            except FormatError:
                refused += 1
    assert refused > 100


def test_no_lists_that_begin_behind_their_values_are_refused() -> None:
    """Arrow's own ``validate`` takes them, and flattening them ends the process."""
    inner = pa.list_(pa.float64())
    behind = pa.Array.from_buffers(inner, 0, [None, pa.py_buffer(np.array([2], np.int32))], children=[pa.array([1.0])])
    behind.validate(full=True)
    outer = pa.ListArray.from_arrays(pa.array([0, 0], pa.int32()), behind)
    with pytest.raises(ValueError, match="a list of it leads behind its values"):
        check_empty_lists(pa.StructArray.from_arrays([outer], ["boxes"]))
    for array in (
        pa.array([], inner),
        pa.array([[]], inner),
        pa.array([[1.0]], inner).slice(1),
        pa.array([None], inner),
    ):
        check_empty_lists(array)
