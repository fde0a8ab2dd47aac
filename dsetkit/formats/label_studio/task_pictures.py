"""Which pictures a task is about, and what it says of them as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsetkit.errors import PictureError
from dsetkit.formats.inline import check, is_inline, numbered_key
from dsetkit.formats.label_studio.filing import Filing, Origin
from dsetkit.formats.label_studio.own import OwnSample, read_own
from dsetkit.formats.label_studio.pictures import image_key, names_of, texts_of, uri_of
from dsetkit.formats.label_studio.raw import declared_size
from dsetkit.formats.label_studio.sheets import Sheet, Sheets
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.spec.arrow import Row


@dataclass
class Reading:
    """What all tasks of all files are read with, and into."""

    pictures: PictureIndex
    image_keys: Sequence[str]
    """Fields of a task's data that hold pictures, as configurations say."""
    key: str | None = None
    """The field of a task's data that holds the picture, as a user says."""
    is_holding: bool = True
    """Whether pictures that stand in tasks are read from there."""
    sheets: Sheets = field(default_factory=Sheets)
    above: dict[str, str] = field(default_factory=dict)
    """Category → the one above it."""
    keypoint_names: dict[str, dict[str, None]] = field(default_factory=dict)


class TaskPictures:
    """Finds the sheets of one task's pictures; ``number`` is its place in the file."""

    def __init__(self, reading: Reading, task: Row, number: int, notes: FileNotes) -> None:
        self.reading = reading
        self.task = task
        self.number = number
        self.place = f"[{number}]"
        self.notes = notes
        self.own = read_own(task.get("meta"), OwnSample, notes.issues, notes.path, f"{self.place}.meta")

    def find(self) -> list[Sheet]:
        """A sheet a picture, with what the task says of it; none, with an issue, where there is no picture."""
        data: Mapping[str, Any] = self.task["data"]
        field = image_key(data, self.reading.key, self.reading.image_keys)
        texts = texts_of(data[field]) if field is not None else []
        if not texts:
            hint = "Name the field of the data that holds the picture with the option image_key, if there is one."
            said = ", ".join(map(str, data)) or "nothing"
            message = f"its data names no picture ({said[:80]}); the task was left out"
            self.notes.add("task-without-picture", message, f"{self.place}.data", hint, "warning")
            return []
        sheets: list[Sheet] = []
        for number, text in enumerate(texts):
            place = f"{self.place}.data.{field}" + (f"[{number}]" if len(texts) > 1 else "")
            key = self._key(text, place, number if len(texts) > 1 else None)
            if key is not None and len(texts) == 1:
                key = self._apart(key, place)
            if key is None:
                if len(texts) > 1:
                    return []  # results count pictures
                continue
            sheet = self.reading.sheets.get(key) or self.reading.sheets.add(key, self.notes.path)
            sheets.append(sheet)
            self._facts(sheet.row, field, text, number if len(texts) > 1 else None)
        return sheets

    def find_sizes(self, sheets: Sequence[Sheet]) -> None:
        """The size of each picture: what a result of it says, else what was known before, else the picture's own."""
        finder = Filing(sheets, Origin("", "", {}), self.notes)
        found: dict[int, tuple[int, int]] = {}
        for results in self._holders():
            for raw in results:
                size = declared_size(raw)
                at = finder.sheet_of(raw) if size is not None else None
                if size is None or at is None:
                    continue
                first = found.setdefault(at, size)
                if first != size:
                    message = (
                        f"its results say {first[0]}×{first[1]} and {size[0]}×{size[1]} px; each counts for itself"
                    )
                    key = sheets[at].row["key"]
                    hint = "Check that the results are of the same picture."
                    self.notes.add("size-differs", message, self.place, hint, "warning", key)
        for at, sheet in enumerate(sheets):
            row = sheet.row
            known = (row["width_px"], row["height_px"]) if "width_px" in row and "height_px" in row else None
            size = found.get(at)
            if known is not None and size is not None and known != size:
                message = f"it says {size[0]}×{size[1]} px, another task {known[0]}×{known[1]} px"
                self.notes.add(
                    "size-differs",
                    message,
                    self.place,
                    "Check that the tasks are of the same picture.",
                    "warning",
                    row["key"],
                )
            if known is None and size is not None:
                row["width_px"], row["height_px"] = size
            sheet.size = size or known or self.reading.pictures.size(row["key"])

    def _key(self, text: str, place: str, number: int | None) -> str | None:
        pictures, issues = self.reading.pictures, self.notes.issues
        near = self.notes.path.rpartition("/")[0]
        names = names_of(text, self.task.get("file_upload"))
        known = next((name for name in names if len(pictures.candidates(name, near)) == 1), None)
        if known is None and is_inline(text):
            return self._inline_key(text, place, number)
        return pictures.key_of(known or names[0], issues, near=near, file=self.notes.path, place=place)

    def _inline_key(self, text: str, place: str, number: int | None) -> str:
        """The key of a picture that stands in the task; where it is no good the labels are kept all the same."""
        media_type, hint = "", "Put the picture into a file, and name that."
        try:
            media_type = check(text)[1]
        except PictureError as error:
            self.notes.add(error.code, f"the picture in the task is not read: {error.message}", place, hint)
        key = numbered_key(self.notes.path, self.number, media_type, number)
        if (
            media_type
            and self.reading.is_holding
            and self.reading.pictures.tree is not None
            and key not in self.reading.pictures
        ):
            message = "the picture in the task is not read: the file is not UTF-8, or writes it in escapes"
            self.notes.add("picture-embedded", message, place, hint)
        return key

    def _apart(self, key: str, place: str) -> str:
        """The key, or one of the file's own where another file has a picture of that name and another size.

        Nobody can look whether they are the same picture; the files' own words must do.
        """
        known = self.reading.sheets.get(key)
        if known is None or known.file == self.notes.path or key in self.reading.pictures:
            return key
        size = next((size for holder in self._holders() for size in map(declared_size, holder) if size), None)
        if size is None or (known.row.get("width_px", size[0]) == size[0] and known.row.get("height_px") == size[1]):
            return key
        apart = reduce_name(f"{self.notes.path.rpartition('/')[2].rpartition('.')[0]}/{key}") or key
        message = f"{known.file} names a picture of another size so; here it is {apart}"
        self.notes.add("picture-apart", message, place, "Read the files as sources of their own.", "info", apart)
        return apart

    def _holders(self) -> Iterator[list[Any]]:
        """The results of everything in the task."""
        for name in ("annotations", "completions", "predictions", "drafts"):
            given = self.task.get(name)
            for one in given if isinstance(given, list) else ():
                if isinstance(one, dict) and isinstance(one.get("result"), list):
                    yield one["result"]

    def _facts(self, row: Row, field: str | None, text: str, number: int | None) -> None:
        number_of_task = self.task.get("id")
        if isinstance(number_of_task, int | str) and not isinstance(number_of_task, bool):
            row.setdefault("source_id", f"{number_of_task}" if number is None else f"{number_of_task}:{number}")
        if "source_id" in self.own:
            row.pop("source_id", None)
            row |= {"source_id": self.own["source_id"]} if self.own["source_id"] is not None else {}
        uri = uri_of(text)
        provenance = self.own.get("provenance")
        if provenance is None and uri is not None:
            provenance = {"uri": uri}
        row["provenance"] = {**(provenance or {}), **row["provenance"]}
        place = f"{self.place}.data"
        data = {name: value for name, value in self.task["data"].items() if name != field}
        meta = self.task.get("meta")
        rest = {name: value for name, value in meta.items() if name != "dsetkit"} if isinstance(meta, dict) else {}
        facts = {**data, **({"meta": rest} if rest and "meta" not in data else {}), **self.own.get("attributes", {})}
        row["attributes"] = {**self.notes.clean(facts, place), **row["attributes"]}
        for name in ("split_group", "width_px", "height_px"):
            if name in self.own:
                row.setdefault(name, self.own[name])
        for name in ("subsets", "absent_categories", "not_exhaustive_categories"):
            if self.own.get(name):
                row[name] = list(dict.fromkeys([*row.get(name, ()), *self.own[name]]))
