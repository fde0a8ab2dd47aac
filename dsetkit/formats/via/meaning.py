"""Which of VIA's free attributes says what a region, or a picture, is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.via.parsed import Picture
from dsetkit.spec.category import AttributeDefinition

USUAL = ("label", "labels", "class", "classname", "category", "categoryname", "name", "type", "object", "objectname")
"""What people call the attribute that is the category, compared in lower case with letters alone; earlier ones win."""
OF_PICTURES = ("label", "labels", "class", "category", "tags")
CAPTION = "caption"
MAX_NAME = 1000


class Meaning:
    """What the attributes of all files are taken for."""

    def __init__(self, defined: Iterable[Mapping[str, Any]], pictures: Iterable[Picture]) -> None:
        given = list(defined)
        self.region = _merged(one.get("region") for one in given)
        self.file = _merged(one.get("file") for one in given)
        self._of_regions: dict[str, None] = {}
        self._of_pictures: dict[str, None] = {}
        for picture in pictures:
            self._of_pictures.update(dict.fromkeys(picture.attributes))
            for _, region in picture.regions:
                self._of_regions.update(dict.fromkeys(region.get("region_attributes") or ()))

    def category(self, wanted: str | None, issues: IssueList) -> str | None:
        """The attribute of regions that is the category: ``wanted``, else one of a usual name, else the only one, else
        the first that is chosen from a list. None, with an issue, where several could be it."""
        names = list(dict.fromkeys((*self.region, *self._of_regions)))
        if wanted is not None:
            return wanted
        if (usual := _usual(names, USUAL)) is not None:
            return usual
        if len(names) == 1:
            return names[0]
        chosen = [name for name in names if _kind(self.region.get(name)) in ("dropdown", "radio")]
        if chosen:
            return chosen[0]
        if names:
            message = f"regions have the attributes {', '.join(names[:8])}; none of them says that it is the category"
            issues.add("category-unclear", message, severity="warning", hint="Name it by the option category.")
        return None

    def label(self, wanted: str | None) -> str | None:
        """The attribute of pictures that is a label of the whole picture: ``wanted``, else one of a usual name."""
        return wanted if wanted is not None else _usual([*self.file, *self._of_pictures], OF_PICTURES)

    def ids(self, category: str | None, label: str | None) -> dict[str, str]:
        """What the options of these two attributes are called → their ids, as version 3 has them."""
        given = (self.file.get(label or ""), self.region.get(category or ""))
        return {name: oid for one in given if isinstance(one, dict) for name, oid in one.get("ids", {}).items()}

    def definitions(self, category: str | None) -> tuple[AttributeDefinition, ...]:
        """The other attributes of regions, as a project defines them."""
        words = {"dropdown": "select", "checkbox": "checkbox", "radio": "radio"}
        return tuple(
            AttributeDefinition(name=name, type=words.get(_kind(given), "text"), values=tuple(options_of(given)))
            for name, given in self.region.items()
            if name != category and name
        )


def options_of(given: Any) -> dict[str, str]:
    """A defined attribute's options and what they are called: a number by its description, others by themselves."""
    options = given.get("options") if isinstance(given, dict) else None
    found: dict[str, str] = {}
    for name, said in options.items() if isinstance(options, dict) else ():
        called = said.strip() if isinstance(said, str) and name.isdecimal() else ""
        if name and len(called or name) <= MAX_NAME:
            found[name] = called or name
    return found


def values_of(value: Any, options: Mapping[str, str]) -> list[str]:
    """What an attribute says, by name: one value, or each that is ticked."""
    if isinstance(value, dict):
        said = [name for name, ticked in value.items() if ticked is True or ticked == 1]
    elif isinstance(value, list):
        said = [item for item in value if isinstance(item, str)]
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        said = [str(value)]
    else:
        said = []
    return list(dict.fromkeys(options.get(name, name) for name in said if name.strip() and len(name) <= MAX_NAME))


def _usual(names: Iterable[str], known: tuple[str, ...]) -> str | None:
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault("".join(letter for letter in name.lower() if letter.isalpha()), name)
    return next((plain[word] for word in known if word in plain), None)


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else None
    return kind if isinstance(kind, str) else "text"


def _merged(parts: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        for name, given in part.items() if isinstance(part, dict) else ():
            found.setdefault(str(name), given)
    return found
