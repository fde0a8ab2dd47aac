"""Snapshots whose digests all fit and whose files are bombs: small on the disk, beyond any memory once opened."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.footers import INT64, chunks_of, footer_of, with_footer

from dsetkit.errors import SnapshotError
from dsetkit.snapshots import parquet
from dsetkit.snapshots.pages import Place, unfolded
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.parquet_out import store_table
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.snapshot import MAX_JSON_VALUES
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.tar import END_BYTES, Member, header

ROWS = 2000


def rows_of_texts(texts: pa.Array, model: type[Sample] = Sample) -> pa.Table:
    """Rows with these for attributes, which may be a dictionary."""
    one = {"row_digest": "0" * 64, **({"reason": "x"} if model is Rejected else {})}
    table = table_from_rows([{"key": f"s/{n:05}", **one} for n in range(len(texts))], model)
    at = table.column_names.index("attributes")
    return table.set_column(at, table.schema.field(at).with_type(texts.type), texts)


def written(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    # Without its own schema the file does not say that it was a dictionary.
    pq.write_table(table, out, **{"store_schema": False, "compression": "zstd", **options})
    return out.getvalue()


def repeated(model: type[Sample] = Sample) -> bytes:
    """One text of 1 MB that 2,000 rows have."""
    one = pa.array(['{"a":"' + "x" * 1_000_000 + '"}'])
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int8()), one)
    return written(rows_of_texts(texts, model), dictionary_pagesize_limit=10_000_000)


def unfolding(codec: str, lies: bool) -> bytes:
    """Pages of 40 MB."""
    texts = pa.array(['{"a":"' + "x" * 4_000_000 + f'{n}"}}' for n in range(10)])
    data = written(rows_of_texts(texts), compression=codec, use_dictionary=False)
    if lies:
        footer = footer_of(data)
        for chunk in chunks_of(footer, "attributes"):
            chunk[3][1][6] = (INT64, 100)
        data = with_footer(data, footer)
    return data


def planted(place: Path, data: bytes, rows: int, kit: SimpleNamespace, name: str = "parts") -> None:
    """The file in place of the first part, or of what was turned away, so that everything fits."""
    document = place / "snapshot.json"
    info = json.loads(document.read_text(encoding="utf-8"))
    part = info["rejected"] if name == "rejected" else info["parts"][0]
    part["rows"] = rows
    if name == "parts":
        part.update(first_key="s/00000", last_key=f"s/{rows - 1:05}", shards=[])
        info["parts"] = [part]
        info["counts"]["samples"] = rows
    document.write_text(json.dumps(info), encoding="utf-8")
    kit.change_file(place, part["name"], lambda path: (path.unlink(), path.write_bytes(data)))


def refused(place: Path, said: str) -> None:
    """By all that reads rows, before any memory is taken for them; ``verify`` says it."""
    before = pa.default_memory_pool().max_memory()
    reads: Iterator[Any] = iter(
        (
            lambda snapshot: snapshot.table,
            lambda snapshot: next(iter(snapshot)),
            lambda snapshot: snapshot.row(0),
            lambda snapshot: snapshot.rows_at([1]),
            lambda snapshot: snapshot.column("attributes"),
            lambda snapshot: snapshot.take(2).table,
        )
    )
    for read in reads:
        with pytest.raises(SnapshotError, match=said) as caught:
            read(open_snapshot(place))
        assert caught.value.hint
    found = [issue for issue in verify(open_snapshot(place, check=False)) if issue.code == "part-damaged"]
    assert len(found) == 1
    assert pa.default_memory_pool().max_memory() - before < 100_000_000


@pytest.fixture
def place(snapshot: Snapshot, tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


def test_one_text_that_many_rows_have(place: Path, kit: SimpleNamespace) -> None:
    data = repeated()
    assert len(data) < 200_000
    planted(place, data, ROWS, kit)
    refused(place, r"its texts have 2,000,\d+,000 bytes, more than 268,435,456")
    assert open_snapshot(place).column("key").num_rows == ROWS  # what else is in the file can be read


def test_one_text_that_many_rejected_rows_have(place: Path, kit: SimpleNamespace) -> None:
    planted(place, repeated(Rejected), ROWS, kit, "rejected")
    for read in (lambda snapshot: snapshot.rejected, lambda snapshot: snapshot.read_rejected(["attributes"])):
        with pytest.raises(SnapshotError, match="its texts have"):
            read(open_snapshot(place))
    assert "rejected-damaged" in {issue.code for issue in verify(open_snapshot(place))}


def test_sealed_it_is_refused_alike(kit: SimpleNamespace, tmp_path: Path) -> None:
    """By a builder who has the keys."""
    data = repeated()
    part = store_table(tmp_path, "samples", lambda file: file.write(data) and ROWS, kit.seal_of())
    file = TableFile(LocalFolder(tmp_path), part, Sample, kit.seal_of())
    for read in (file.read, lambda: file.read_group_of(0), lambda: file.read_telling_of(0)):
        with pytest.raises(SnapshotError, match="its texts have"):
            read()
    assert file.read(["key"]).num_rows == ROWS


@pytest.mark.parametrize(("codec", "lies"), [("zstd", False), ("zstd", True), ("brotli", True), ("gzip", True)])
def test_pages_that_unfold(
    place: Path, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, codec: str, lies: bool
) -> None:
    assert parquet.ALWAYS_BYTES == 256 * 1024**2
    monkeypatch.setattr(parquet, "ALWAYS_BYTES", 20_000_000)
    data = unfolding(codec, lies)
    assert len(data) < 100_000
    planted(place, data, 10, kit)
    with pytest.raises(SnapshotError, match="the column attributes unfolds to more than 20,000,000 bytes"):
        open_snapshot(place).row(0)
    assert "part-damaged" in {issue.code for issue in verify(open_snapshot(place))}


def test_rows_of_nothing(place: Path, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has a hundred columns, and where all say nothing a million take no place in a file."""
    assert parquet.ALWAYS_CELLS * 8 == 1024**3
    monkeypatch.setattr(parquet, "ALWAYS_CELLS", 1_000_000)
    table = table_from_rows([{"key": "s/00000", "row_digest": "0" * 64}] * 90_000, Sample)
    data = written(table)
    assert len(data) < 45_000
    planted(place, data, 90_000, kit)
    refused(place, r"its columns have [\d,]+ values, more than [\d,]+")


def test_a_page_is_believed_of_nothing() -> None:
    data = written(pa.table({"z": [1, 2, 3]}))
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    start = min(chunk.data_page_offset, chunk.dictionary_page_offset)

    def look(values: int = 3, packed: int = chunk.total_compressed_size, at: int = start) -> Any:
        place = Place("z", values, packed, at)
        return unfolded(place, len(data), lambda n, m: data[n : n + m], max_values=5, max_bytes=10_000)

    assert look().size_bytes < 1000
    for lying in ({"values": 6}, {"values": 2}, {"packed": -1}, {"packed": 10**9}, {"at": -1}, {"at": start + 1}):
        with pytest.raises(ValueError, match=r"column z|a page"):
            look(**lying)


@pytest.mark.parametrize("which", ["parts", "shards", "categories", "issues", "versions", "info"])
def test_documents_of_many_values(place: Path, which: str) -> None:
    """Each takes far more memory than its three bytes, and each that is none a mistake to tell of."""
    document = place / "snapshot.json"
    info = json.loads(document.read_text(encoding="utf-8"))
    info.pop(which, None)

    def said(count: int) -> str:
        items = ",".join(f'"{n}":0' for n in range(count)) if which == "versions" else "{}," * (count - 1) + "{}"
        value = {"versions": f"{{{items}}}", "info": f'{{"x":[{items}]}}'}.get(which, f"[{items}]")
        document.write_text(json.dumps(info)[:-1] + f', "{which}": {value}}}', encoding="utf-8")
        with pytest.raises(SnapshotError) as caught:
            open_snapshot(place)
        assert caught.value.hint
        return caught.value.message

    assert f"values, more than {MAX_JSON_VALUES:,}" in said(MAX_JSON_VALUES)
    if which == "versions":
        assert "it has 20,000 mistakes" in said(20_000)
    elif which != "info":
        assert f"cannot be believed: {which}.0." in said(20_000)


HEADERS = {
    "a symbolic link": (b"2", b"/etc/passwd"),
    "a hard link": (b"1", b"/etc/passwd"),
    "a device": (b"3", b""),
    "a pipe": (b"6", b""),
    "a pax header": (b"x", b""),
    "a long name of GNU": (b"L", b""),
    "a sparse file": (b"S", b""),
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_in_shards_lead_nowhere(kit: SimpleNamespace, tmp_path: Path, what: str) -> None:
    """Pictures are read by the places in rows, so that a header leads nobody; ``verify`` takes no such shard."""
    place = tmp_path / "one"
    data = kit.picture_of(0)
    kit.write_snapshot(place, [(kit.row_of(0), data)])
    info = json.loads((place / "snapshot.json").read_text(encoding="utf-8"))
    (shard,) = info["shards"]
    path = place / shard["name"]
    kind, link = HEADERS[what]
    block = bytearray(header(Member(f"{hashlib.sha256(data).hexdigest()}.jpg", len(data))))
    block[156:157], block[157 : 157 + len(link)] = kind, link
    whole = path.read_bytes()
    path.write_bytes(bytes(block) + whole[512:])
    snapshot = open_snapshot(place)
    assert snapshot.read_bytes(snapshot.row(0)) == data
    issue = next(issue for issue in verify(snapshot) if issue.code == "shard-damaged")
    assert "at byte 0 stands something else than the header of a plain file" in issue.message
    assert len(whole) > END_BYTES
