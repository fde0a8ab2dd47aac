"""Names of pictures that are written, by a template that a user gives: ``{split}/{category}/{index:06d}.{ext}``."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsetkit.errors import UsageError
from dsetkit.formats.base import Export, Format
from dsetkit.formats.carry import split_of
from dsetkit.formats.matching import extension_of_path, without_extension
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License

FIELDS: Mapping[str, str] = {
    "split": "the sample's split (or first subset), or none",
    "category": "the category of its first annotation that has one (and is in the frame), or none",
    "index": "its number in key order, from 0; with zeros in front as {index:06d}",
    "stem": "its file's name without extension",
    "folder": "the folders of its key, empty where there are none",
    "key": "its key without extension",
    "ext": "the extension of its picture, without the dot",
}
"""What a template can hold."""

NONE = "none"
_NUMBER = re.compile(r"(?:0?[0-9]{1,2})?d?\Z")
_LONGEST = 500


class NameTemplate:
    """A template that was checked.

    >>> NameTemplate("{split}/{index:03d}.{ext}").fill({"split": "train", "index": 7, "ext": "jpg"})
    'train/007.jpg'
    """

    def __init__(self, text: str) -> None:
        """Raises ``UsageError`` for a field that is not there, anything but plain fields, or a name that leads out."""
        self.text = text
        self._parts: list[tuple[str, str | None, str]] = []
        if not text.strip() or len(text) > _LONGEST:
            raise _wrong(text, f"it is empty or longer than {_LONGEST} letters")
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError as error:
            raise _wrong(text, str(error)) from None
        for literal, field, form, conversion in parsed:
            if field is not None and field not in FIELDS:
                raise _unknown(text, field)
            if conversion:
                raise _wrong(text, f"{{{field}!{conversion}}} is no plain field")
            if form and (field != "index" or not _NUMBER.match(form)):
                raise _wrong(text, f"{{{field}:{form}}} is no way to write it; only {{index:06d}} is")
            self._parts.append((literal, field, form or ""))
        literals = "".join(f"{literal}{'x' if field else ''}" for literal, field, _ in self._parts)
        if literals.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", literals) or "\\" in literals:
            raise _wrong(text, "names are relative to the folder that is written, with / between folders")
        if any(part in ("", ".", "..") for part in literals.split("/")):
            raise _wrong(text, "a folder without a name, . or .. names none")

    @property
    def has_folders(self) -> bool:
        """Whether its names have folders in them."""
        return any("/" in literal or field in ("folder", "key") for literal, field, _ in self._parts)

    def fill(self, values: Mapping[str, Any]) -> str:
        """A path with these values in it, safe on every system."""
        path = "".join(
            literal + ("" if field is None else format(values[field], form)) for literal, field, form in self._parts
        )
        return "/".join(safe_part(part) for part in path.split("/") if part) or "_"


class NamedExport:
    """An export whose pictures are named by a template; where two names would be the same, a number follows.

    Rows come in the order of the export that is named, so numbers are the same each time.
    """

    def __init__(self, export: Export, template: NameTemplate) -> None:
        self._export = export
        places = Places()
        self._names: dict[str, str] = {}
        for index, row in enumerate(export.rows()):
            self._names[row["key"]] = places.take(_name(row, index, template))
        self._keys = {name: key for key, name in self._names.items()}

    @property
    def categories(self) -> Sequence[Category]:
        """See ``Export``."""
        return self._export.categories

    @property
    def info(self) -> Mapping[str, Any]:
        """See ``Export``."""
        return self._export.info

    @property
    def licenses(self) -> Sequence[License]:
        """See ``Export``."""
        return self._export.licenses

    def rows(self) -> Iterator[Row]:
        """The rows, under their new names."""
        return ({**row, "key": self._names[row["key"]]} for row in self._export.rows())

    def picture(self, row: Row) -> bytes | None:
        """See ``Export``."""
        return self._export.picture({**row, "key": self._keys[row["key"]]})


def named(export: Export, label_format: Format, names: str | None) -> Export:
    """The export, its pictures named by the template ``names`` if there is one.

    Raises ``UsageError`` for a template that cannot be, or one whose names the format cannot write.
    """
    if names is None:
        return export
    template = NameTemplate(names)
    room = label_format.capabilities.names
    if room == "fixed":
        raise UsageError(
            f"{label_format.title} fixes the names of what is written, so there is nothing to name by {names!r}",
            hint="Leave --names out, or write another format.",
        )
    if room == "flat" and template.has_folders:
        raise UsageError(
            f"{label_format.title} fixes the folder that a picture lies in, so {names!r} can name the file only",
            hint="Leave folders out of --names, for example {split}_{category}_{index:06d}.{ext}.",
        )
    return NamedExport(export, template)


def _seen(row: Row) -> Iterator[Row]:
    return (item for item in row.get("annotations", ()) if not is_outside(item))


def _name(row: Row, index: int, template: NameTemplate) -> str:
    key: str = row["key"]
    extension = extension_of_path(key)
    is_picture = extension in PICTURE_EXTENSIONS
    bare = without_extension(key) if is_picture else key
    ext = key.rpartition(".")[2] if is_picture else ""
    folder, _, stem = bare.rpartition("/")
    category = next((seen["category"] for seen in _seen(row) if seen.get("category")), NONE)
    name = template.fill(
        {
            "split": safe_part(split_of(row) or NONE),
            "category": safe_part(category),
            "index": index,
            "stem": safe_part(stem),
            "folder": safe_path(folder) if folder else "",
            "key": safe_path(bare),
            "ext": ext,
        }
    )
    if not ext:
        return name.rstrip("._") or "_"
    return name if name.endswith(f".{ext}") else f"{name}.{ext}"


def _wrong(text: str, reason: str) -> UsageError:
    return UsageError(f"{text[:80]!r} is no template of names: {reason}", hint=_known())


def _unknown(text: str, field: str) -> UsageError:
    base = re.split(r"[.\[]", field)[0]
    if base != field and base in FIELDS:
        return _wrong(text, f"{{{field}}} is no plain field")
    near = difflib.get_close_matches(base, FIELDS, n=1, cutoff=0.5)
    hint = f"Did you mean {{{near[0]}}}? {_known()}" if near else _known()
    return UsageError(f"{text[:80]!r} has a field {{{field}}}, which there is not", hint=hint)


def _known() -> str:
    return f"Its fields are: {', '.join(f'{{{name}}}' for name in FIELDS)}."
