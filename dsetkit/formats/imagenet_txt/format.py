"""ImageNet: lists of pictures and classes, and folders of synsets.

Lists: ``train.txt``, ``val.txt``, ... with ``<path> <class> [<class> ...]`` a line, a class being its number from 0 in
``synsets.txt`` (one name a line, or ``<synset> <words>``), or its name: as Caffe's ``convert_imageset`` takes them
(https://caffe.berkeleyvision.org/gathered/examples/imagenet.html), OpenMMLab's tools, and Datumaro, which puts paths
with white space in quotes and pictures into ``images/``. A path ends with its extension. Without a list of classes a
class is called by its number. Lists whose numbers are those of their lines (ImageNet's ``ImageSets``), or that have
none, give subsets only.

Folders: ``<synset>/<synset>_<number>.JPEG`` (``n01440764/n01440764_10026.JPEG``), below folders named after subsets or
not, with the words of synsets from ``LOC_synset_mapping.txt``, ``synset_words.txt`` or the devkit's ``words.txt`` and
``map_clsloc.txt``. The class is the folder's, or what a picture's name begins with, if some folder is called so (then
also outside of folders). A tree of folders that has neither synsets nor pictures outside of folders that are called
like them is as well an ``image_folder``, which is told the surer. The devkit's
``ILSVRC2012_validation_ground_truth.txt`` gives the classes of pictures called ``ILSVRC2012_val_00000001``.

Labels are of whole pictures, so there is no frame. Ids are numbers from 0 in each sample. Two classes of one name are
told apart by their synsets (``crane (n03126707)``). Written: lists, ``synsets.txt``, pictures in ``images/``; a sample
without a split in ``default.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.carry import carry_categories, carry_row, split_of
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.imagenet_txt.lists import DELIMITERS, NO_SPLIT, ListFile, list_files, subset_of, truth_files
from dsetkit.formats.imagenet_txt.lists import parse_line as read_line
from dsetkit.formats.imagenet_txt.names import (
    MAX_NAME,
    SYNSET,
    WORDS,
    is_name_file,
    name_files,
    parse_line,
    synsets_of,
)
from dsetkit.formats.imagenet_txt.read import ImagenetReader, class_folders, class_of, find_lists
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_FORMS = ("auto", "lists", "folders")
_LIST = "synsets.txt"


class ImagenetTxt(Format):
    """Classes of whole pictures."""

    name = "imagenet_txt"
    title = "ImageNet"
    extensions: ClassVar[frozenset[str]] = frozenset({".txt", ".lst"})
    looks_for = "text files with lines 'picture class', or folders named after synsets (n01440764)"
    capabilities = Capabilities(
        kinds=frozenset({"image_label"}),
        category_fields=frozenset({"source_ids"}),
        categories="used",  # all, but where a line cannot say a name as it is
        subsets="one",
        tells_unlabelled=False,
        names="free",
    )
    options: ClassVar[Mapping[str, str]] = {
        "form": "auto (lists, where there are any), lists or folders",
        "labels": "reading: the path of the list of classes; without it, the usual names are looked for",
        "names": "reading: what classes with a synset are called: words, first (of the words) or synset",
        "delimiter": "reading: what stands between path and classes: space, tab, comma or semicolon; found without it",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Lists with numbers and their list of classes are sure, folders of synsets likely; others are no more than
        lists and folders."""
        lists, names = list_files(tree), name_files(tree)
        pictures = super().pictures(tree)
        best = max(
            (self._of_list(file, names) for file in lists if file.says_classes),
            key=lambda found: found[0],
            default=None,
        )
        folders = self._of_folders(names, pictures)
        found = max((item for item in (best, folders) if item is not None), key=lambda item: item[0], default=None)
        return None if found is None else Detection(self.name, *found)

    @staticmethod
    def _of_list(file: ListFile, names: list[str]) -> tuple[float, str]:
        beside = f" and classes in {names[0]}" if names else ""
        why = f"found {file.path} with lines 'picture class'{beside}"
        single = all(len(line.classes) <= 1 for line in file.lines)
        if file.is_numbered:
            return (0.9 if names else 0.6 if single else 0.3), why
        tokens = {item for line in file.lines for item in line.classes}
        if names and not any("," in item for item in tokens):
            return 0.5, why
        return 0.31 if len(tokens) * 3 <= len(file.lines) else 0.15, why

    @staticmethod
    def _of_folders(names: list[str], pictures: list[str]) -> tuple[float, str] | None:
        classes = class_folders(pictures, {})
        if not classes:
            return None
        synsets = [name for name in classes if SYNSET.fullmatch(name)]
        if len(synsets) == len(classes):
            beside = f" and their words in {names[0]}" if names else ""
            return (0.9 if names else 0.5), f"found folders of {len(synsets)} synsets ({min(synsets)}, ...){beside}"
        named = [path for path in pictures if class_of(path.rpartition("/")[2], classes) is not None]
        if len(named) < len(pictures):
            return None
        outside = next((path for path in named if not set(path.split("/")[:-1]) & classes), None)
        if outside is None:
            return 0.2, f"found pictures whose names begin with their folders' ({min(classes)}, ...)"
        return 0.4, f"found {outside} and folders that names of pictures begin with ({min(classes)}, ...)"

    def label_files(self, tree: Tree) -> list[str]:
        """Lists, and names of classes."""
        return sorted({*find_lists(tree), *truth_files(tree), *self.side_files(tree)}, key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Names of classes."""
        return name_files(tree)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """Lists where there are any, else folders."""
        form = choose(options, "form", _FORMS, "auto")
        delimiter = choose(options, "delimiter", tuple(DELIMITERS), "space") if "delimiter" in options else None
        given = options.get("labels")
        words = choose(options, "names", WORDS, "words")
        reader = ImagenetReader(labels, pictures, words=words, labels=None if given is None else str(given))
        aside = {given, *name_files(labels), *truth_files(labels)}
        lists = [path for path in find_lists(labels) if path not in aside]
        texts = [path for path in labels.entries if path.lower().endswith((".txt", ".lst")) and path not in aside]
        if not lists and (delimiter is not None or form == "lists" or len(texts) == 1):
            lists = texts
        if form == "folders":
            lists = []
        with collector_paused():
            reader.read_lists(lists, delimiter)
        if form != "lists" and not lists:
            reader.read_truth()
            reader.read_folders()
        made = reader.label_set()
        if not len(made) and (texts or not made.categories):
            raise self.no_labels(labels)
        return made

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Places of pictures, names of lists and lines of classes."""
        categories = carry_categories(export, replace(self.capabilities, categories="all"), ledger)
        places = Places()
        lists = _lists(export.rows())
        synsets = synsets_of(categories)
        return _Plan(
            places={row["key"]: places.take(f"images/{safe_path(row['key'])}") for row in export.rows()},
            lists=lists,
            lines=_lines(categories, synsets, ledger),
            numbers={category.name: category.index for category in categories},
        )

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """Image labels with their classes, each once."""
        plan: _Plan = prepared
        out = carry_row(row, self._keeping_ids(), ledger)
        out["key"] = plan.places[row["key"]]
        if out.get("subsets"):
            split = out["subsets"][0]
            read_as = plan.lists[split][1]
            if read_as != split:
                ledger.add("split-renamed", f"the split {split!r} is read as {read_as!r}", row["key"], severity="info")
            out["subsets"] = (read_as,)
        kept: dict[str, Row] = {}
        for item in out.pop("annotations", ()):
            name = plan.lines[item["category"]][1]
            if name in kept:
                message = "imagenet_txt has each class of a picture once; others are left out"
                ledger.add("label-repeated", message, f"{row['key']}#{item['id']}", severity="info")
                continue
            number = str(len(kept))
            if number != item["id"]:
                message = "imagenet_txt has no annotation ids; they are numbered anew from 0 in each sample"
                ledger.add("id-renumbered", message, f"{row['key']}#{item['id']}", severity="info")
            kept[name] = {**item, "id": number, "category": name}
        if kept:
            out["annotations"] = list(kept.values())
        return out

    def _keeping_ids(self) -> Capabilities:
        return replace(self.capabilities, annotation_fields=frozenset({"id"}))

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """``synsets.txt``, a list a split, and the pictures."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        lists: dict[str, list[str]] = {}
        for row in export.rows():
            picture = export.picture(row)
            if picture is not None:
                sink.write(plan.places[row["key"]], picture)
            carried = carry_row(row, self._keeping_ids(), ledger)
            path = plan.places[row["key"]].removeprefix("images/")
            numbers = [plan.numbers[item["category"]] for item in carried.get("annotations", ())]
            cells = [f'"{path}"' if " " in path or not _ends(path) else path, *map(str, dict.fromkeys(numbers))]
            lists.setdefault(plan.lists[split_of(row)][0], []).append(" ".join(cells) + "\n")
        sink.write(_LIST, "".join(f"{line}\n" for line, _ in plan.lines.values()).encode())
        for name, lines in sorted((lists or {f"{NO_SPLIT}.txt": []}).items()):
            sink.write(name, "".join(lines).encode())


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    places: Mapping[str, str]
    lists: Mapping[str | None, tuple[str, str | None]]
    """Split → name of its list, and what it is when read back."""
    lines: Mapping[str, tuple[str, str]]
    """Category → its line in the list of classes, and its name when read back; in order."""
    numbers: Mapping[str, int]


def _ends(path: str) -> bool:
    """Whether a reader finds the end of a path that stands without quotes."""
    line = read_line(f"{path} 0", 1)
    return line is not None and line.path == path and line.classes == ("0",)


def _lists(rows: Iterable[Row]) -> dict[str | None, tuple[str, str | None]]:
    places = Places()
    for reserved in (_LIST, f"{NO_SPLIT}.txt"):
        places.take(reserved)
    found: dict[str | None, tuple[str, str | None]] = {None: (f"{NO_SPLIT}.txt", None)}
    for split in sorted({split for row in rows if (split := split_of(row)) is not None}, key=str.encode):
        name = f"{safe_part(split)}.txt"
        if subset_of(name) is None or is_name_file(name):
            name = f"split_{name}"
        name = places.take(name)
        found[split] = (name, subset_of(name))
    return found


def _lines(categories: Iterable[Category], synsets: Mapping[str, str], ledger: Ledger) -> dict[str, tuple[str, str]]:
    """The line of each category. What a line cannot say becomes ``_``; no two are read as one name."""
    found: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for category in categories:
        name = "".join(letter if letter.isprintable() else "_" for letter in category.name).strip()[:MAX_NAME] or "_"
        synset = synsets.get(category.name)
        while name in taken or (synset is None and parse_line(name)[0] is not None):
            name = f"_{name}"
        taken.add(name)
        if name != category.name:
            message = f"{category.name!r} cannot stand in a line as it is; it becomes {name!r}"
            ledger.add("category-renamed", message, category.name)
        found[category.name] = (f"{synset} {name}" if synset is not None and synset != name else name, name)
        if category.source_ids and category.source_ids != ((synset,) if synset is not None else ()):
            message = "imagenet_txt has one id of a category, a synset (n01440764); others are left out"
            ledger.add("category-field-dropped", message, category.name, severity="info")
    return found
