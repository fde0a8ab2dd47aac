"""DOTA: oriented boxes as four corners, a text file a picture (aerial pictures).

Coordinates are pixels from the top-left corner of the top-left pixel, as they stand, of the picture as it is shown.
Four corners of a rectangle (within 0.05 px) are a rotated box about their centre, whose own top left is the first;
others are polygons. Facts on top of a file (``imagesource``, ``gsd``) are attributes of the sample, ``difficult`` is
one of the annotation. Annotations are numbered from 0 in each file; categories are sorted by name.

Layout: ``[<split>/]labelTxt/<name>.txt`` and ``[<split>/]images/<name>.png``; any folders are read. Definition:
https://captain-whu.github.io/DOTA/dataset.html. Its results (``Task1_<category>.txt``) are the
format ``dota_results``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Options
from dsetkit.formats.dota.files import find_files, in_label_folder, look, picture_twin, texts
from dsetkit.formats.dota.text import read_text, rows_of_lines
from dsetkit.formats.dota.write import DotaPlan, render
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import subset_of_folders
from dsetkit.formats.per_picture import LabelFile, PerPicture
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.rendered import Rendered, RenderedFormat
from dsetkit.formats.text import decode, read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

MAX_LABEL_BYTES = 64 * 1024 * 1024
_LOOKED_AT = 8


class Dota(RenderedFormat):
    """Oriented boxes of aerial pictures."""

    name = "dota"
    title = "DOTA"
    extensions: ClassVar[frozenset[str]] = frozenset({".txt"})
    looks_for = "text files of lines 'x1 y1 x2 y2 x3 y3 x4 y4 category difficult' (labelTxt/*.txt)"
    capabilities = Capabilities(
        kinds=frozenset({"rotated_box", "polygon"}),  # what else can become four corners has become them before
        annotation_fields=frozenset({"extras"}),
        attributes=frozenset({"difficult"}),
        sample_fields=frozenset({"attributes"}),
        categories="used",
        subsets="one",
    )
    options: ClassVar[Mapping[str, str]] = {}

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of at most 8 text files, evenly spread."""
        paths = texts(tree)
        likely = [path for path in paths if in_label_folder(path)] or paths
        looked = likely[:: -(-len(likely) // _LOOKED_AT)] if likely else []
        seen = [said for path in looked if tree.entries[path].size_bytes and (said := look(tree, path)) is not None]
        if not seen:
            return None
        empty = sum(not tree.entries[path].size_bytes for path in looked)
        share = len(seen) / max(1, len(looked) - empty) if likely is not paths else 1.0
        files = "1 text file" if len(likely) == 1 else f"{len(likely)} text files"
        confidence = (0.95 if likely is not paths or "imagesource and gsd" in seen else 0.85) * (0.5 + 0.5 * share)
        where = f" in {likely[0].rpartition('/')[0]}" if likely is not paths else ""
        return Detection(self.name, confidence, f"found {files}{where} with {seen[0]}")

    def label_files(self, tree: Tree) -> list[str]:
        """Text files of DOTA's lines."""
        return find_files(tree, self.pictures(tree))

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that has a label file or lies in a folder of a subset."""
        paths = find_files(labels, pictures.paths)
        if not paths:
            paths = texts(labels)
            in_images = any("/images/" in f"/{path}" for path in pictures.paths)
            if len(paths) != 1 and not (in_images and not paths):  # pictures alone: of a set that nobody labelled
                raise self.no_labels(labels)
        issues = IssueList()
        files: list[LabelFile] = []
        used: set[str] = set()
        for path in paths:
            data = b"" if not labels.entries[path].size_bytes else labels.read(path)
            if len(data) > MAX_LABEL_BYTES:
                data = read_label_bytes(labels, path, MAX_LABEL_BYTES)  # says so
            row, lines = read_text(decode(data, path), path, issues)
            used.update(line.category for line in lines)
            annotations = rows_of_lines(lines)
            files.append(
                LabelFile(path, row | ({"annotations": annotations} if annotations else {}), (picture_twin(path),))
            )
        names = sorted(used, key=str.encode)
        categories = [Category(name=name, index=index, source_ids=(name,)) for index, name in enumerate(names)]
        found = PerPicture(pictures, issues, field="the file's name").label_set(files, categories)
        keys = {row["key"] for row in found.rows}
        others: list[Row] = []
        for path in pictures.paths:
            subset = subset_of_folders(path)
            if path not in keys and subset is not None:
                others.append({"key": path, "subsets": [subset]})
        return LabelSet.from_rows([*found.rows, *others], found.categories, issues=found.issues)

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> DotaPlan:
        """Names of everything."""
        return DotaPlan(export, self.capabilities, ledger)

    def render(self, row: Row, prepared: DotaPlan, ledger: Ledger) -> Rendered:
        """The row as read back, and its text file; none where nobody labelled it."""
        carried, text = render(row, prepared, ledger)
        path = f"{prepared.folder_of(row)}labelTxt/{prepared.names.stem(row['key'])}.txt"
        return Rendered(carried, [] if text is None else [(path, text.encode)])
