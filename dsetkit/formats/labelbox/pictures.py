"""Which picture a data row of Labelbox is, and its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsetkit.formats.issues import IssueList
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.arrow import Row


class DataRows:
    """The rows of data rows. A row has empty lists where nothing was said, and notes of the reader's own."""

    def __init__(self, pictures: PictureIndex, issues: IssueList) -> None:
        self._pictures = pictures
        self._issues = issues
        self._by_id: dict[str, Row] = {}
        self._by_key: dict[str, Row] = {}

    def rows(self) -> Iterator[Row]:
        """The rows, without notes; labelled is what somebody labelled, not what was skipped or only predicted."""
        for row in self._by_key.values():
            seen, partial = row.get("seen", False), row.get("partial", False)
            out = {name: value for name, value in row.items() if name not in ("seen", "partial", "ids")}
            out["labelled"] = "partial" if partial and seen else "yes" if seen else "no"
            yield {name: value for name, value in out.items() if value != {}}

    def row(self, number: str, names: Sequence[str], url: str, file: str, place: str) -> Row | None:
        """The row of the data row ``number``, made where it is new; None, with an issue, where nothing names it.

        ``names`` are its external id and its global key; a name among them that is a picture's counts first, then
        the URL's file name, then the id.
        """
        known = self._by_id.get(number or names[0])
        if known is not None:
            return known
        key = self._key(number, [name for name in names if name], url, file, place)
        if key is None:
            return None
        other = self._by_key.get(key)
        if other is None or key in self._pictures:  # the same picture in several data rows
            row = other if other is not None else self._new(key)
        else:
            row = self._new(self._apart(key, number, url))
        if number:
            row.setdefault("source_id", number)
        self._by_id[number or names[0]] = row
        return row

    def _new(self, key: str) -> Row:
        made: Row = {"key": key, "annotations": [], "subsets": [], "responses": [], "attributes": {}}
        return self._by_key.setdefault(key, made)

    def _key(self, number: str, names: list[str], url: str, file: str, place: str) -> str | None:
        for name in (*names, url):
            if not name:
                continue
            found = self._pictures.candidates(name, file.rpartition("/")[0])
            if len(found) == 1:
                return found[0]
        last = reduce_name(url).rpartition("/")[2]
        given = [reduced for name in names if (reduced := reduce_name(name))]
        named = [name for name in (*given, last) if extension_of_path(name) in PICTURE_EXTENSIONS]
        for name in (*named, *given, last, reduce_name(number)):
            if name:
                return self._pictures.key_of(name, self._issues, file=file, place=place)
        message = "a data row without external id, global key, URL and id was left out"
        self._issues.add("picture-name-unusable", message, file=file, place=place or None, hint="Export it again.")
        return None

    def _apart(self, key: str, number: str, url: str) -> str:
        """Another key for another data row of the same name: the URL's whole path, or the id in front."""
        for name in (reduce_name(url), reduce_name(f"{number}/{key}")):
            if name and name not in self._by_key:
                return name
        return key
