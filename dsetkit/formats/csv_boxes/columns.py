"""What the columns of a label table mean, by the names people give them."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.base import Options

# For each meaning the names in use, compared in lower case with letters and digits only; earlier names win.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "filename": (
        *("filename", "imagefilename", "imagepath", "imgpath", "filepath", "path", "imagefile", "imagename", "imgname"),
        *("image", "img", "file", "picture", "imageid", "imgid"),
    ),
    "category": (
        *("class", "classname", "category", "categoryname", "label", "labelname", "celltype", "classlabel", "species"),
        *("object", "objectname", "name"),
    ),
    "xmin": ("xmin", "x1", "x0", "left", "bboxxmin", "bboxx1", "minx"),
    "ymin": ("ymin", "y1", "y0", "top", "bboxymin", "bboxy1", "miny"),
    "xmax": ("xmax", "x2", "right", "bboxxmax", "bboxx2", "maxx"),
    "ymax": ("ymax", "y2", "bottom", "bboxymax", "bboxy2", "maxy"),
    "x": ("x", "bboxx", "boxx", "left", "xmin", "x1"),
    "y": ("y", "bboxy", "boxy", "top", "ymin", "y1"),
    "w": ("w", "bboxwidth", "boxwidth", "bboxw", "boxw", "width"),
    "h": ("h", "bboxheight", "boxheight", "bboxh", "boxh", "height"),
    "width": ("imagewidth", "imgwidth", "imgw", "imagew", "width"),
    "height": ("imageheight", "imgheight", "imgh", "imageh", "height"),
    "split": ("split", "set", "subset", "partition", "usage"),
    "score": ("score", "confidence", "conf", "probability"),
    "text": ("text", "caption", "transcription", "transcript", "description"),
}
MEANINGS = tuple(_NAMES)
"""What a column can be: also the names of the options that say so."""
DELIMITERS = (",", ";", "\t", "|")


class Columns(NamedTuple):
    """Which column says what, by its place in the header."""

    places: Mapping[str, int]
    """Meaning → index."""
    width: int
    """How many columns there are."""
    delimiter: str
    spaced: bool
    """Whether a space follows each delimiter."""

    @property
    def has_corners(self) -> bool:
        """Whether boxes are given as two corners (else, if at all, as corner and size)."""
        return {"xmin", "ymin", "xmax", "ymax"} <= self.places.keys()

    @property
    def has_boxes(self) -> bool:
        """Whether there are boxes at all."""
        return self.has_corners or {"x", "y", "w", "h"} <= self.places.keys()


def find_columns(header: str, file: str, options: Options) -> Columns | None:
    """What the columns of a header line mean; None if no column names a picture.

    Columns that ``options`` name win. Raises ``UsageError`` for an option that names a column that is not there,
    ``FormatError`` for a column needed that is there twice.
    """
    wanted = options.get("delimiter")
    if wanted is not None and wanted not in DELIMITERS:
        raise UsageError(f"the option delimiter is {wanted!r}", hint="It is one of: ',', ';', '|' or a tab.")
    best: Columns | None = None
    for delimiter in DELIMITERS if wanted is None else (str(wanted),):
        columns = _with_delimiter(header, delimiter, file, options)
        if columns is not None and (best is None or len(columns.places) > len(best.places)):
            best = columns
    return best


def _with_delimiter(header: str, delimiter: str, file: str, options: Options) -> Columns | None:
    spaced = bool(re.search(re.escape(delimiter) + r" +\S", header)) and delimiter != "\t"
    try:
        names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=spaced), [])
    except csv.Error:  # the end of a line within the first one, a field as large as a file: no header
        return None
    if len(names) < 2:
        return None
    plain = [re.sub(r"[\W_]", "", name).lower() for name in names]
    places: dict[str, int] = {}
    for meaning in MEANINGS:
        if meaning in options:
            places[meaning] = _named(str(options[meaning]), meaning, names, file)
            continue
        for known in _NAMES[meaning]:
            if known in plain:
                if plain.count(known) > 1:
                    raise FormatError(
                        f"{file} has two columns {names[plain.index(known)]!r}",
                        file=file,
                        place="line 1",
                        hint=f"Rename one, or say which column is the {meaning} by the option {meaning}.",
                    )
                places[meaning] = plain.index(known)
                break
    if "filename" not in places:
        return None
    if places.get("category") == places["filename"]:
        del places["category"]
    _settle_sizes(places)
    return Columns(places, len(names), delimiter, spaced)


def _settle_sizes(places: dict[str, int]) -> None:
    """``width`` is the box's beside a lone corner (left, top, width, height), the picture's beside two corners."""
    if {"xmin", "ymin", "xmax", "ymax"} <= places.keys():
        for name in ("x", "y", "w", "h"):
            places.pop(name, None)
        return
    for name in ("xmin", "ymin", "xmax", "ymax"):
        places.pop(name, None)
    if {"x", "y", "w", "h"} <= places.keys():
        for size, own in (("width", "w"), ("height", "h")):
            if places.get(size) == places[own]:
                del places[size]
    else:
        for name in ("x", "y", "w", "h"):
            places.pop(name, None)


def _named(name: str, meaning: str, names: Sequence[str], file: str) -> int:
    stripped = [other.strip() for other in names]
    if name in stripped:
        return stripped.index(name)
    near = difflib.get_close_matches(name, stripped, n=1, cutoff=0.5)
    known = f"Its columns are: {', '.join(stripped)}."
    raise UsageError(
        f"the option {meaning} names a column {name!r} that {file} does not have",
        hint=f"Did you mean {near[0]!r}? {known}" if near else known,
    )


def records(text: str, columns: Columns, file: str) -> Iterator[tuple[int, list[str]]]:
    """The records below the header, each with the line (from 1) it starts at. Empty lines are skipped.

    Raises ``FormatError`` for text that is no CSV (a quote that is not closed, a field above 131,072 characters).
    """
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=columns.delimiter, skipinitialspace=columns.spaced, strict=True
    )
    start = 1
    try:
        for cells in reader:
            if start > 1 and cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(
            f"{file} is no proper CSV from line {start} on ({error})",
            file=file,
            place=f"line {start}",
            hint="Look for a quote that is not closed there.",
        ) from None


def header_line(text: str) -> str:
    """The first line."""
    return text.split("\n", 1)[0].rstrip("\r")
