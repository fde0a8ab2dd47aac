"""Snapshots, and the pictures of samples and diffs, as notebooks show them. See ``dsetkit.spec.html``."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import DsetkitError
from dsetkit.imaging.decode import open_picture
from dsetkit.imaging.draw import draw_annotations
from dsetkit.imaging.encode import encode
from dsetkit.imaging.palette import category_colors, color_of_name
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import outside_mask
from dsetkit.spec.diff_text import WORDS, about
from dsetkit.spec.html import frame, note, table, text, title

if TYPE_CHECKING:
    from dsetkit.snapshots.read import Snapshot
    from dsetkit.snapshots.store import Store
    from dsetkit.spec.arrow import Row
    from dsetkit.spec.category import Category
    from dsetkit.spec.diff import Diff
    from dsetkit.spec.sample import Sample
    from dsetkit.spec.snapshot import SealedColumns

SHOWN_SAMPLES = 8
"""Samples of a snapshot that are shown."""
SHOWN_CHANGES = 6
"""Changed samples of a diff that are shown."""
SMALL_PX, MEDIUM_PX, LARGE_PX = 160, 240, 480
"""The longer side of a picture in a table, of one beside another, and of one that stands alone."""

_SHOWN_CATEGORIES = 12
_SHOWN_ENTRIES = 6
_QUALITY = 80
_NAMES_FROM_PX = 320  # category names on smaller pictures would hide them


def snapshot_html(snapshot: Snapshot) -> str:
    """A snapshot or selection: name, counts, splits, categories, and a table of its first samples with pictures.

    What cannot be read is said instead of raised: a cell that fails would hide the notebook's own output.
    """
    info = snapshot.info
    head = f"{text(info.name)} {note(f'{info.stage} · {snapshot.fingerprint[:12]} · {text(snapshot.folder.url)}')}"
    try:
        annotations, splits, categories = _counts(snapshot)
        rows = snapshot.rows(0, SHOWN_SAMPLES)
    except DsetkitError as error:
        return frame((title(head), _problem(error)))
    counts = [f"{len(snapshot):,} sample{'' if len(snapshot) == 1 else 's'}", f"{annotations:,} annotations"]
    counts += [f"{info.counts.rejected_samples:,} rejected"] if info.counts.rejected_samples else []
    shown = [name for name, _ in categories.most_common(_SHOWN_CATEGORIES)]
    legend = [f"{_swatch(name, info.categories)}{text(name)} {categories[name]:,}" for name in shown]
    legend += [f"and {len(categories) - len(shown)} more"] if len(categories) > len(shown) else []
    more = len(snapshot) - len(rows)
    cells = [_sample_cells(snapshot.read_bytes, row, info.categories) for row in rows]
    return frame(
        (
            title(head),
            " · ".join(counts),
            " · ".join(f"{text(name)} {count:,}" for name, count in sorted(splits.items())),
            " · ".join(legend),
            table(("", "key", "size in px", "split", "labels"), cells) if cells else "",
            note(f"and {more:,} more samples") if more else "",
            *(note(text(hidden_text(facet))) for facet in snapshot.hidden),
        )
    )


def hidden_text(facet: SealedColumns) -> str:
    """What is not shown of a snapshot because a facet is not read, in words."""
    rows = f" of the split{'s' * (len(facet.splits) > 1)} {', '.join(facet.splits)}" if facet.splits else ""
    keys = "; keys of these rows are pseudonyms" if facet.hides_keys else ""
    return f"sealed apart in the facet {facet.name}, and not shown: {', '.join(facet.columns)}{rows}{keys}"


class SamplePicture:
    """Shows the picture of a sample that came from a snapshot, with its labels; called with the sample."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, sample: Sample) -> str:
        """HTML; where the picture cannot be shown, why."""
        row = {name: getattr(sample, name) for name in ("key", "digest", "shard", "offset_bytes", "size_bytes")}
        row["annotations"] = [item.to_row() for item in sample.annotations]
        return _picture(self._store.read_bytes, row, self._store.info.categories, LARGE_PX)


class ChangedPictures:
    """Shows the first samples of a diff that changed, old beside new; called with the diff."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self._sides = old, new

    def __call__(self, diff: Diff) -> str:
        """HTML. Of a sample in which only annotations changed, just those are drawn."""
        old_keys = {entry.key: entry.old_key for entry in diff.samples.renamed}
        rows = []
        for key, change in islice(_changed_samples(diff).items(), SHOWN_CHANGES):
            own_keys = (old_keys.get(key, key), key)
            cells = [
                self._cell(snapshot, own_key, ids) if there else note("not there")
                for snapshot, own_key, ids, there in zip(self._sides, own_keys, change.ids, change.there, strict=True)
            ]
            said = [note(text(line)) for line in change.said[:_SHOWN_ENTRIES]]
            said += [note(f"and {len(change.said) - len(said)} more")] if len(change.said) > len(said) else []
            rows.append((*cells, "<br>".join((text(key), *said))))
        return table(("old", "new", "key"), rows) if rows else ""

    @staticmethod
    def _cell(snapshot: Snapshot, key: str, ids: set[str] | None) -> str:
        try:
            row = snapshot.row(key)
        except DsetkitError as error:
            return _problem(error)
        annotations = [item for item in row.get("annotations") or () if ids is None or item["id"] in ids]
        return _picture(snapshot.read_bytes, {**row, "annotations": annotations}, snapshot.categories, MEDIUM_PX)


@dataclass
class _Change:
    """What happened to one sample."""

    there: tuple[bool, bool] = (True, True)
    """Whether the old side has it, and the new one."""
    ids: tuple[set[str] | None, set[str] | None] = (None, None)
    """The annotations to draw on each side; None for all."""
    said: list[str] = field(default_factory=list)
    """Each entry as a line."""


def _changed_samples(diff: Diff) -> dict[str, _Change]:
    """Changed samples by key: first those of which annotations changed, by key; then those that came or went."""
    found: dict[str, _Change] = {}
    for name, entries in diff.annotations:
        for entry in entries:
            change = found.setdefault(entry.key, _Change(ids=(set(), set())))
            for side, lacking, own_id in zip(change.ids, ("added", "removed"), _ids(entry), strict=True):
                if side is not None and name != lacking:
                    side.add(own_id)
            change.said.append(f"{WORDS[name]}: {about(entry)}")
    found = dict(sorted(found.items()))
    for name, entries in sorted(diff.samples, key=lambda item: item[0] in ("added", "removed")):
        for entry in entries:
            change = found.setdefault(entry.key, _Change(there=(name != "added", name != "removed")))
            change.ids = (None, None) if name == "reencoded" else change.ids
            change.said.insert(0, f"{WORDS[name]} {about(entry)}")
    return found


def _ids(entry: Any) -> tuple[str, str]:
    return getattr(entry, "old_id", None) or entry.id, entry.id


def _counts(snapshot: Snapshot) -> tuple[int, dict[str, int], Counter[str]]:
    """Annotations, samples per split, annotations per category."""
    counts = snapshot.info.counts
    if len(snapshot) == counts.samples:
        return counts.annotations, counts.per_split, Counter(counts.per_category)
    splits: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    annotations = 0
    for part in snapshot.iter_tables(("split", "annotations.category", "annotations.track.outside")):
        splits.update(split or "none" for split in part["split"].to_pylist())
        items = pc.list_flatten(part["annotations"])
        annotations += len(items)
        flat = pc.struct_field(items, "category").filter(pa.array(~outside_mask(items)))
        for item in pc.value_counts(flat.drop_null()).to_pylist():
            categories[item["values"]] += item["counts"]
    return annotations, dict(splits), categories


def _sample_cells(read: Any, row: Row, categories: Sequence[Category]) -> tuple[str, ...]:
    names: Counter[str | None] = Counter()
    for item in row.get("annotations") or ():
        if not is_outside(item):
            names.update(item.get("categories") or [item.get("category")])
    labels = [
        f"{_swatch(name, categories)}{text(name)}{f' × {count:,}' if count > 1 else ''}"
        for name, count in names.most_common(_SHOWN_CATEGORIES)
        if name is not None
    ]
    labels += [f"{names[None]:,} without a category"] if names[None] else []
    width, height = row.get("width_px"), row.get("height_px")
    return (
        _picture(read, row, categories, SMALL_PX),
        text(row["key"]),
        f"{width} × {height}" if width and height else "",
        text(row["split"]) if row.get("split") else "",
        "<br>".join(labels) or note("none" if row.get("labelled", "no") != "no" else "not labelled"),
    )


def _problem(error: DsetkitError) -> str:
    return note(text(error.message, most=500))


def _swatch(name: str | None, categories: Iterable[Category]) -> str:
    """A square in the colour that the category is drawn in."""
    known = category_colors([category for category in categories if category.name == name])
    red, green, blue = known.get(name or "") or color_of_name(name or "")
    return (
        f'<span style="display:inline-block;width:.7em;height:.7em;margin-right:.35em;background:#'
        f'{red:02x}{green:02x}{blue:02x};border:1px solid rgba(128,128,128,.6)"></span>'
    )


def _picture(read: Any, row: Mapping[str, Any], categories: Sequence[Category], side_px: int) -> str:
    """A picture with its labels drawn, as an ``img`` that holds it; a note where it cannot be shown."""
    if row.get("shard") is None:
        return note("no picture bytes")
    try:
        image = open_picture(read(row))
    except DsetkitError as error:
        return _problem(error)
    drawn = draw_annotations(
        image,
        row.get("annotations") or (),
        categories,
        width=2 if side_px >= _NAMES_FROM_PX else 1,
        max_side_px=side_px,
        with_text=side_px >= _NAMES_FROM_PX,
    )
    drawn.info = {}  # a colour profile can be larger than the picture
    data = base64.b64encode(encode(drawn, format="jpeg", quality=_QUALITY)).decode("ascii")
    width, height = drawn.size
    return (
        f'<img alt="" width="{width}" height="{height}" style="max-width:100%;height:auto;margin:0"'
        f' src="data:image/jpeg;base64,{data}">'
    )
