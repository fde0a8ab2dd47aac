"""Image folder: the folder is the class (``cat/1.jpg``), as torchvision, Keras and Hugging Face read it.

Layout read: ``<class>/…/<picture>``, or ``<subset>/<class>/…/<picture>`` where *all* first-level folders are names of
subsets (``train``, ``val``, ``valid``, ``test``, ...) and no picture lies beside them; so a class may be called
``train`` too. One single first-level folder with a general name (``images``, ``data``, ...) is looked through. Pictures
with no class folder are not labelled. Every file that is not hidden and not a text or table counts as a picture,
whatever its extension: what is none is found out when it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dsetkit.formats.base import SUBSET_NAMES, Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.carry import carry_row, split_of
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_part
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_CONTAINERS = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "data"})
_NO_PICTURE = frozenset(
    {".txt", ".md", ".rst", ".html", ".htm", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml"}
    | {".yaml", ".yml", ".toml", ".ini", ".cfg", ".db", ".py", ".ipynb", ".sh", ".log", ".parquet", ".npy", ".npz"}
    | {".pkl", ".mat", ".zip", ".tar", ".gz", ".tgz", ".7z", ".cache", ".dvc", ".lnk"}
)
_BESIDE = frozenset({".xml", ".json", ".txt"})


@dataclass(frozen=True)
class _Layout:
    """How folders are to be taken."""

    depth: int
    """Folders above the class's: 0, or 1 where the first is a subset or looked through."""
    has_subsets: bool

    def parse(self, path: str) -> tuple[str | None, str | None]:
        """Subset and class of a picture."""
        folders = path.split("/")[:-1]
        subset = folders[0] if self.has_subsets and folders else None
        return subset, folders[self.depth] if len(folders) > self.depth else None


def _layout(paths: Iterable[str], subsets: str = "auto") -> _Layout:
    first: set[str] = set()
    at_root = False
    for path in paths:
        head, slash, _ = path.partition("/")
        if slash:
            first.add(head)
        else:
            at_root = True
    all_subsets = bool(first) and not at_root and all(name.casefold() in SUBSET_NAMES for name in first)
    if subsets == "yes" or (subsets == "auto" and all_subsets):
        return _Layout(1, has_subsets=True)
    if len(first) == 1 and not at_root and next(iter(first)).casefold() in _CONTAINERS:
        return _Layout(1, has_subsets=False)
    return _Layout(0, has_subsets=False)


class ImageFolder(Format):
    """Pictures in folders named after their class."""

    name = "image_folder"
    title = "image folder"
    extensions: ClassVar[frozenset[str]] = frozenset()
    looks_for = "pictures in folders named after their class"
    capabilities = Capabilities(
        kinds=frozenset({"image_label"}), categories="used", subsets="one", tells_unlabelled=False
    )
    options: ClassVar[Mapping[str, str]] = {
        "subsets": "whether first-level folders are subsets: auto (if all are called train, val, test, ...), yes or no",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Certain of nothing: any folder of pictures is one, so this is the last resort."""
        pictures = super().pictures(tree)
        if not pictures:
            return None
        layout = _layout(pictures)
        classes = sorted({name for path in pictures if (name := layout.parse(path)[1]) is not None})
        beside = sum(_extension(path) in _BESIDE for path in tree.entries)
        unsure = 0.5 if beside * 2 >= len(pictures) else 1.0  # label files of some kind: a folder is likely no class
        if not classes:
            return Detection(self.name, 0.1 * unsure, f"found {len(pictures)} pictures and no class folders")
        shown = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
        confidence = (0.3 if len(classes) > 1 else 0.2) * unsure
        folders = "class folder" if len(classes) == 1 else "class folders"
        return Detection(self.name, confidence, f"found pictures in {len(classes)} {folders} ({shown})")

    def label_files(self, tree: Tree) -> list[str]:
        """None: folders carry the labels."""
        return []

    def pictures(self, tree: Tree) -> list[str]:
        """All files but texts, tables and archives."""
        return [path for path in tree.entries if _may_be_picture(path)]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture of ``labels``; its class is an ``image_label`` with the id ``0``. Categories by name."""
        paths = self.pictures(labels)
        if not paths:
            raise self.no_labels(labels)
        layout = _layout(paths, choose(options, "subsets", ("auto", "yes", "no"), "auto"))
        rows: list[Row] = []
        names: set[str] = set()
        for path in paths:
            subset, category = layout.parse(path)
            row: Row = {"key": path}
            if subset is not None:
                row["subsets"] = (subset,)
            if category is not None:
                names.add(category)
                row["labelled"] = "yes"
                row["annotations"] = ({"id": "0", "kind": "image_label", "category": category},)
            rows.append(row)
        ordered = sorted(names, key=str.encode)
        categories = [Category(name=name, index=index, source_ids=(name,)) for index, name in enumerate(ordered)]
        return LabelSet.from_rows(rows, categories)

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Folder names and places of all pictures."""
        super().prepare(export, options, ledger)
        return _Plan(export, choose(options, "subsets", ("auto", "yes", "no"), "auto"))

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The first image label, as its folder; all else is lost."""
        plan: _Plan = prepared
        out = carry_row(row, self.capabilities, ledger)
        labels = out.get("annotations", [])
        if len(labels) > 1:
            message = "a picture lies in one folder; its first image label is kept, the others are left out"
            ledger.add("label-dropped", message, row["key"], count=len(labels) - 1)
        out.pop("annotations", None)
        if labels:
            name = labels[0]["category"]
            folder = plan.folders[name]
            if folder != name:
                ledger.add("category-renamed", f"{name!r} is no folder name here; it becomes {folder!r}", row["key"])
            out["annotations"] = [{"id": "0", "kind": "image_label", "category": folder}]
        subset = out.pop("subsets", (None,))[0]
        if plan.with_subsets:
            out["subsets"] = (subset,)
        elif subset is not None:
            message = "splits become folders only where every picture has one, of a usual name (train, val, test, ...)"
            ledger.add("split-dropped", f"{message}; they are left out", row["key"])
        out["key"] = plan.places[row["key"]]
        return out

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """``[<split>/]<category>/<key>``; pictures without a class lie in the root (or split folder) itself."""
        plan = self.prepare(export, options, Ledger(self.name))
        for row in export.rows():
            data = export.picture(row)
            if data is not None:
                sink.write(plan.places[row["key"]], data)


class _Plan:
    """Where each picture goes, and what folder stands for each category."""

    def __init__(self, export: Export, subsets: Literal["auto", "yes", "no"] | str) -> None:
        labels: dict[str, tuple[str | None, str | None]] = {}
        for row in export.rows():
            labels[row["key"]] = (split_of(row), _first_label(row))
        splits = {split for split, _ in labels.values()}
        self.with_subsets = (
            subsets != "no" and bool(splits) and all(split is not None and split in SUBSET_NAMES for split in splits)
        )
        used = {category for _, category in labels.values() if category is not None}
        self.folders = _folder_names(used, lambda name: False)
        self.places = self._place(labels)
        if any(self._misread(labels)):
            # "train" alone would be taken for a subset, "images" alone looked through: say the class in other words.
            self.folders = _folder_names(used, lambda name: name.casefold() in SUBSET_NAMES | _CONTAINERS)
            self.places = self._place(labels)

    def _place(self, labels: Mapping[str, tuple[str | None, str | None]]) -> dict[str, str]:
        places = Places()
        out: dict[str, str] = {}
        for key, (split, category) in labels.items():
            top = [split] if self.with_subsets and split is not None else []
            if category is None:  # deeper down, its own folders would be taken for a class
                path = "/".join([*top, safe_part(key.replace("/", "_"))])
            else:
                path = "/".join([*top, self.folders[category], *map(safe_part, key.split("/"))])
            out[key] = places.take(path)
        return out

    def _misread(self, labels: Mapping[str, tuple[str | None, str | None]]) -> Iterable[bool]:
        layout = _layout(self.places.values())
        for key, (split, category) in labels.items():
            folder = None if category is None else self.folders[category]
            yield layout.parse(self.places[key]) != (split if self.with_subsets else None, folder)


def _first_label(row: Row) -> str | None:
    for annotation in row.get("annotations", ()):
        if annotation["kind"] == "image_label" and annotation.get("category") is not None:
            return str(annotation["category"])
    return None


def _folder_names(categories: Iterable[str], reserved: Callable[[str], bool]) -> dict[str, str]:
    """A folder name for each category, all different also where case does not count."""
    taken: set[str] = set()
    names: dict[str, str] = {}
    # Names that can stay as they are come first, so that no other takes their folder.
    for category in sorted(categories, key=lambda name: (safe_part(name) != name or reserved(name), name.encode())):
        folder = safe_part(category)
        if reserved(folder):
            folder += "_"
        base, number = folder, 2
        while folder.casefold() in taken:
            folder = f"{base}-{number}"
            number += 1
        taken.add(folder.casefold())
        names[category] = folder
    return names


def _extension(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return f".{extension.lower()}" if dot and stem else ""


def _may_be_picture(path: str) -> bool:
    return _extension(path) not in _NO_PICTURE
