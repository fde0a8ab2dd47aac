"""Label files that are about one picture each: which picture that is, and all of them as one set."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.join import join
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import ByStem, closest, extension_of_path, stem_of, subset_of_folders, without_extension
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Severity


@dataclass
class LabelFile:
    """One label file and the picture it is taken to be about."""

    path: str
    row: Row
    """What it says, without ``key``. ``subsets`` in it stand, also none; else the folders' names are looked at."""
    names: Sequence[str] = ()
    """What it calls its picture, likeliest first, as paths from its own folder or from anywhere."""
    absent: str = ""
    """The key where the picture is not there; one made of ``names`` where this is empty."""
    key: str = ""
    own: str | None = None
    """The picture that is called like the label file."""


class PerPicture:
    """Matches label files with the pictures of a source.

    ``field`` is where a file names its picture and ``folder`` what tells pictures of one name apart, for hints.
    ``names_may_lack_extension``: a name that is no picture's may be one's without its extension.
    """

    def __init__(
        self,
        pictures: PictureIndex,
        issues: IssueList,
        *,
        field: str,
        folder: str = "paths in the label file",
        names_may_lack_extension: bool = False,
    ) -> None:
        self.pictures = pictures
        self.issues = issues
        self._field = field
        self._folder = folder
        self._finds_stems = names_may_lack_extension
        self._by_stem = ByStem(pictures.paths)

    def label_set(self, files: Sequence[LabelFile], categories: Sequence[Category]) -> LabelSet:
        """``match`` and ``gather``."""
        self.match(files)
        return self.gather(files, categories)

    def match(self, files: Sequence[LabelFile]) -> None:
        """Give each file the key of the picture that it is taken to be about."""
        for file in files:
            self._match(file)
        _settle(files, self.pictures)

    def gather(
        self,
        files: Sequence[LabelFile],
        categories: Sequence[Category],
        *,
        others: Iterable[Row] = (),
        same: Callable[[Row], Any] = lambda row: row,
    ) -> LabelSet:
        """One row a picture. Of several files about one picture all are taken, but those that say the same again.

        ``others`` are rows of pictures that no file is about; ``same`` is what of a file's row has to be equal for it
        to say the same again.
        """
        sets: list[dict[str, Row]] = [{}]
        seen: dict[str, list[LabelFile]] = {}
        for file in files:
            before = seen.setdefault(file.key, [])
            before.append(file)
            if len(before) > 1:
                if any(same(other.row) == same(file.row) for other in before[:-1]):
                    self._note_twice(before, "labels-repeated", "info", "says the same again", "It was left out.")
                    continue
                said = "is about a picture that another file labels"
                self._note_twice(before, "labels-twice", "warning", said, "Both were taken; take one away.")
            place = len(before) - 1
            sets += [{} for _ in range(place + 1 - len(sets))]
            row = {"key": file.key, **file.row, **self._subset(file)}
            sets[place][file.key] = {name: value for name, value in row.items() if value not in ([], ())}
        sets[0].update((row["key"], row) for row in others)
        if len(sets) == 1:
            return LabelSet.from_rows(sets[0].values(), categories, issues=self.issues.all())
        joined = join([(LabelSet.from_rows(rows.values(), categories), None) for rows in sets], sets[0].keys())
        return LabelSet.from_rows(joined.rows, categories, issues=(*self.issues.all(), *joined.issues))

    def _subset(self, file: LabelFile) -> Row:
        if "subsets" in file.row:
            return {}
        subset = subset_of_folders(file.key if file.key in self.pictures else file.path)
        return {} if subset is None else {"subsets": [subset]}

    def _match(self, file: LabelFile) -> None:
        """The picture a file names, else the one called like it, else a key made of the name."""
        near = file.path.rpartition("/")[0]
        own = self._by_stem.find(file.path, file.path)
        named: tuple[str, ...] = ()
        for name in file.names:
            named = closest(self.pictures.candidates(name, near), file.path)
            if not named and self._finds_stems and (reduced := reduce_name(name)):
                named = self._by_stem.find(reduced, file.path)
            if named:
                break
        file.own = own[0] if len(own) == 1 else None
        if len(named) == 1:
            file.key = named[0]
            if file.own is not None and file.own != named[0]:
                message = f"it names {named[0]}, but is called like {file.own}; taken as labels of {named[0]}"
                hint = f"Correct {self._field}, or the file's name."
                self.issues.add("filename-differs", message, severity="warning", file=file.path, hint=hint)
            return
        if file.own is not None:
            file.key = file.own
            return
        if len(named) > 1 or len(own) > 1:
            several = named if len(named) > 1 else own
            shown = ", ".join(several[:3])
            message = f"it could be about any of {len(several)} pictures ({shown})"
            hint = f"Give pictures names of their own, or {self._folder}."
            self.issues.add("picture-ambiguous", message, file=file.path, hint=hint)
        file.key = file.absent or made_key(file.path, file.names)

    def _note_twice(self, files: Sequence[LabelFile], code: str, severity: Severity, said: str, hint: str) -> None:
        message = f"it {said}: {files[0].path} is about {files[0].key} too"
        self.issues.add(code, message, severity=severity, file=files[-1].path, hint=hint)


def _settle(files: Sequence[LabelFile], pictures: PictureIndex) -> None:
    """Of several files that name one picture, those called like another picture get that one.

    Where pictures are absent, so that names cannot be checked, they get a key made of their own path.
    """
    claims: dict[str, list[LabelFile]] = {}
    for file in files:
        claims.setdefault(file.key, []).append(file)
    for key, claiming in claims.items():
        if len(claiming) < 2:
            continue
        fitting = [file for file in claiming if stem_of(file.path).casefold() == stem_of(key).casefold()]
        stays = fitting or claiming[:1]
        for file in claiming:
            if any(file is other for other in stays):
                continue
            if file.own is not None and file.own not in claims:
                file.key = file.own
            elif key not in pictures:
                file.key = f"{without_extension(file.path)}{extension_of_path(key)}"


def made_key(path: str, names: Iterable[str]) -> str:
    """A key for a picture that is not there: the first name, seen from the label file's folder; else the file's own.

    >>> made_key("labels/a.json", ["..\\\\images\\\\a.jpg"]), made_key("x/a.json", ["C:\\\\pictures\\\\a.jpg"])
    ('images/a.jpg', 'pictures/a.jpg')
    """
    for name in names:
        plain = name.replace("\\", "/")
        if plain and not plain.startswith("/") and ":" not in plain:
            seen = posixpath.normpath(posixpath.join(path.rpartition("/")[0], plain))
            if not seen.startswith("..") and (key := reduce_name(seen)):
                return key
        if key := reduce_name(name):
            return key
    return without_extension(path)
