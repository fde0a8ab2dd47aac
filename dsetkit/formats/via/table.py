"""VIA's exported tables (CSV)."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, deepest_fault
from dsetkit.formats.notes import shown
from dsetkit.formats.text import decode
from dsetkit.formats.via.document import RawRegion
from dsetkit.formats.via.parsed import Parsed, Picture, fault

CSV_COLUMNS = (
    *("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes"),
    "region_attributes",
)


def parse_csv(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    """An exported table; None for one with other columns. A record that is wrong is an issue.

    Raises ``FormatError`` for what is no text, or no CSV.
    """
    reader = csv.reader(io.StringIO(decode(data, file), newline=""), strict=True)
    pictures: dict[tuple[str, str], Picture] = {}
    places: list[int] = []
    line = 1
    try:
        for cells in reader:
            if not places:
                places = csv_places(cells)
                if not places:
                    return None
            elif cells:
                _record([cells[at] if at < len(cells) else "" for at in places], pictures, file, line, issues)
            line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(
            f"{file} is no proper CSV from line {line} on ({error})",
            file=file,
            place=f"line {line}",
            hint="Look for a quote that is not closed there.",
        ) from None
    return Parsed(list(pictures.values()), {}, "")


def csv_places(header: list[str]) -> list[int]:
    """The place of each of ``CSV_COLUMNS``; empty where one is not there. Version 1 begins the line with ``#``."""
    names = [name.strip().lstrip("#").strip() for name in header]
    return [names.index(name) for name in CSV_COLUMNS] if set(names) >= set(CSV_COLUMNS) else []


def _record(
    cells: list[str], pictures: dict[tuple[str, str], Picture], file: str, line: int, issues: IssueList
) -> None:
    name, size, about, _, number, shape, said = cells
    place = f"line {line}"
    if not name:
        fault(issues, "picture-invalid", "it names no file, so it was left out", file, place)
        return
    uri = re.split(r"[?#]", name)[0] if re.match(r"https?://", name) else None
    known = pictures.get((name, size))
    if known is None:
        attributes = _object(about, "file_attributes", file, place, issues)
        size_bytes = int(size) if size.isascii() and size.isdigit() and 0 < len(size) < 16 and int(size) else None
        known = pictures[name, size] = Picture(name, size_bytes, attributes or {}, [], True, uri, place)
    drawn = _object(shape, "region_shape_attributes", file, place, issues)
    if drawn == {}:
        return
    attributes = _object(said, "region_attributes", file, place, issues)
    try:
        if drawn is None:
            raise ValueError
        region = adapter(RawRegion).validate_python({"shape_attributes": drawn, "region_attributes": attributes})
    except ValidationError as error:
        said_of, value, _ = deepest_fault(error)
        message = f"{said_of}, not {shown(value)}; the region was left out"
        fault(issues, "region-invalid", message, file, place)
        pictures[name, size] = known._replace(complete=False)
    except ValueError:
        pictures[name, size] = known._replace(complete=False)
    else:
        known.regions.append((f"{place} (region {number[:10]})" if number else place, region))


def _object(cell: str, column: str, file: str, place: str, issues: IssueList) -> dict[str, Any] | None:
    """The JSON object in a cell; None, with an issue, where there is none."""
    if not cell.strip():
        return {}
    try:
        value = from_json(cell)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        fault(issues, "row-malformed", f"its {column} are no JSON object; they were left out", file, place)
        return None
    return value
