"""A folder of pictures with metadata files, as ``imagefolder`` of Hugging Face's ``datasets`` reads it.

Definition: https://huggingface.co/docs/datasets/image_dataset ("ImageFolder") and
``datasets/packaged_modules/folder_based_builder``: ``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` beside
pictures or above them, each line with ``file_name``, a path from the metadata file's folder.

Read: all three, in any folder. A picture's key is its path. Columns are taken as in the format ``hf_parquet``:
``label`` → ``image_label``, ``text`` or ``caption`` → ``caption``, ``objects`` with ``bbox`` and ``category`` → boxes,
``width`` and ``height`` the picture's size, ``image_id`` → ``source_id``, others attributes of the sample. The column
``split``, else a folder called ``train``, ``validation``, ``test``, ..., gives the subset. Folders are no classes where
there is metadata, as ``datasets`` has it. Annotations are numbered from ``0``: labels, boxes, texts.

Boxes. As in ``hf_parquet``: corner and size or two corners, found from the data or said by the option ``boxes``. Frame:
found from the declared size.

Written: ``<split>/<picture>`` with ``<split>/metadata.jsonl`` in each folder (``data`` for samples without a split),
the same columns in all of them: ``label`` (``labels`` where a picture has several), ``text`` (``captions``),
``objects`` with ``bbox`` (corner and size), ``category`` and ``area``, ``width``, ``height``, ``image_id``; ``split``
where a split is called other than ``datasets`` knows. A picture that nobody labelled has null for ``objects``, not an
empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options
from dsetkit.formats.carry import carry_row, withdraw_labelled
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.hf_columns import OPTIONS, Table, check_boxes
from dsetkit.formats.hf_folder.files import metadata_paths, name_column, open_metadata, typed
from dsetkit.formats.hf_folder.write import LISTS, SPLITS, Plan, line_of, plan, to_jsonl
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.per_picture import made_key
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_ORDER = {"image_label": 0, "box": 1, "caption": 2}


class HfFolder(Format):
    """Pictures and a table of what is on them."""

    name = "hf_folder"
    title = "Hugging Face ImageFolder"
    extensions: ClassVar[frozenset[str]] = frozenset({".csv", ".jsonl", ".parquet"})
    looks_for = "metadata.csv, metadata.jsonl or metadata.parquet with a column file_name"
    capabilities = Capabilities(
        kinds=frozenset({"image_label", "box", "caption"}),
        becomes=dict.fromkeys(("rotated_box", "polygon", "mask", "ellipse", "keypoints"), "box"),
        sample_fields=frozenset({"width_px", "height_px", "source_id"}),
        categories="used",
        subsets="one",
    )
    options: ClassVar[Mapping[str, str]] = OPTIONS

    def detect(self, tree: Tree) -> Detection | None:
        """Metadata files of such names with such a column; surer where there are pictures."""
        paths = metadata_paths(tree)
        if not paths:
            return None
        confidence = 0.93 if self.pictures(tree) else 0.6
        return Detection(self.name, confidence, f"found {paths[0]} with a column of file names")

    def label_files(self, tree: Tree) -> list[str]:
        """Metadata files."""
        return metadata_paths(tree)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that a line names."""
        form = check_boxes(options)
        paths = metadata_paths(labels)
        if not paths:
            raise self.no_labels(labels)
        issues = IssueList()
        table = Table(issues, self.name)
        rows: dict[str, Row] = {}
        refused: list[FormatError] = []
        for path in paths:
            try:
                with collector_paused():
                    _read_file(labels, path, table, pictures, issues, rows)
            except FormatError as error:
                refused.append(error)
                issues.add("file-unreadable", error.message, file=path, place=error.place, hint=error.hint)
            table.boxes.settle(form, pictures.size, issues, path)
        if len(refused) == len(paths):
            raise refused[0]
        return LabelSet.from_rows(rows.values(), table.categories, issues=issues.all())

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> Plan:
        """Folders, file names and columns."""
        check_boxes(options)
        super().prepare(export, options, ledger)
        settled = self._plan(export)
        for column in sorted(settled.columns & LISTS.keys()):
            for folder, kinds in settled.kinds.items():
                if len(settled.kinds) > 1 and LISTS[column] not in kinds:
                    message = f"a split without any {column} shows no type for them; datasets loads it apart only"
                    ledger.add("type-unknown", message, folder, severity="info")
        return settled

    def _plan(self, export: Export) -> Plan:
        unheard = Ledger(self.name)
        return plan(export, (self._carried(row, unheard) for row in export.rows()))

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """Labels, boxes, texts, in this order."""
        settled: Plan = prepared
        out = self._carried(row, ledger)
        if "width" not in settled.columns:
            out.pop("width_px", None)
            out.pop("height_px", None)
        return {**out, "key": settled.path(row)}

    def _carried(self, row: Row, ledger: Ledger) -> Row:
        out = carry_row(row, self.capabilities, ledger)
        kept: list[Row] = []
        for item in sorted(out.pop("annotations", ()), key=lambda item: _ORDER[item["kind"]]):
            name = "text" if item["kind"] == "caption" else "category"
            if not (item.get(name) or "").strip():
                message = "a class or text of blanks alone is read as none; such annotations are left out"
                ledger.add("text-blank", message, row["key"])
            else:
                kept.append({**item, "id": str(len(kept))})
                if item["kind"] == "caption" and kept[-1].pop("category", None) is not None:
                    message = f"{self.name} has no place for the category of a caption; not written"
                    ledger.add("field-dropped", message, row["key"])
        if kept:
            out["annotations"] = kept
        withdraw_labelled(row, out, ledger)
        if "subsets" in out and not out["subsets"][0].strip():
            ledger.add("split-dropped", "a split of blanks alone is read as none", row["key"])
            del out["subsets"]
        if not out.get("source_id", "x"):
            del out["source_id"]
        return out

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Pictures as rows come, then the metadata of each folder."""
        ledger = Ledger(self.name)
        settled = self._plan(export)
        lines: dict[str, list[dict[str, Any]]] = {}
        for row in export.rows():
            data = export.picture(row)
            path = settled.path(row)
            if data is not None:
                sink.write(path, data)
            folder, _, name = path.partition("/")
            carried = self.carry(row, settled, ledger)
            split = carried.get("subsets", (None,))[0]
            lines.setdefault(folder, []).append(line_of(carried, name, split, settled.columns))
        for folder, items in sorted(lines.items()):
            sink.write(f"{folder}/metadata.jsonl", to_jsonl(items))


def _read_file(
    tree: Tree, path: str, table: Table, pictures: PictureIndex, issues: IssueList, rows: dict[str, Row]
) -> None:
    metadata = open_metadata(tree, path)
    column = name_column(metadata.columns)
    others = [name for name in metadata.columns if name != column]
    table.begin(others, metadata.features, (), path)
    near = path.rpartition("/")[0]
    for line in metadata.lines:
        if line.values is None:
            hint = "Correct the line; it was left out."
            issues.add("line-malformed", line.fault, file=path, place=line.place, hint=hint)
            continue
        names = line.values.get(column or "")
        name = names[0] if isinstance(names, list) and names else names
        if not isinstance(name, str) or not name.strip():
            hint = "Name the picture, or take the line out."
            issues.add("line-malformed", "it names no picture", file=path, place=line.place, hint=hint)
            continue
        if isinstance(names, list) and len(names) > 1:
            message, hint = f"it names {len(names)} pictures; it is taken to be about the first", "Give each a line."
            issues.add("pictures-several", message, severity="warning", file=path, place=line.place, hint=hint)
        key = _key(pictures, name, near, path, line.place, issues)
        if key is None:
            continue
        if key in rows:
            message, hint = f"{key} has a line already; the first counts", "Take one of the two out."
            issues.add("picture-twice", message, file=path, place=line.place, key=key, hint=hint)
            continue
        values: Mapping[str, Any] = line.values
        if metadata.is_text:
            texts = table.texts
            values = {name: text if name in texts else typed(text) for name, text in line.values.items()}
        row = table.row(key, values, line.place)
        subset = _subset(key)
        if subset is not None:
            row.setdefault("subsets", (subset,))
        rows[key] = row


def _key(pictures: PictureIndex, name: str, near: str, path: str, place: str, issues: IssueList) -> str | None:
    joined = made_key(path, [name])
    if joined in pictures:
        return joined
    if pictures.candidates(name, near):
        return pictures.key_of(name, issues, near=near, file=path, place=place)
    return pictures.key_of(joined, issues, file=path, place=place)


def _subset(key: str) -> str | None:
    """The deepest folder that is called as a split, as it is called."""
    return next((part for part in reversed(key.split("/")[:-1]) if part.lower() in SPLITS), None)
