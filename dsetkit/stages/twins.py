"""Samples of the same bytes: what is corrected of one is corrected of those that say the same.

Else ``clean`` would find samples of the same bytes with other labels, and turn all of them away.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsetkit.curation.comparison import labels_equal
from dsetkit.curation.corrected import same_value
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import AddAnnotation, Correction, DeleteAnnotation, SetAnnotation
from dsetkit.stages.corrections import Who, Workbench, add_annotation, delete_annotation, set_annotation


class Twins:
    """Which samples of all raw snapshots have the same bytes."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        keys_of: dict[str, list[str]] = {}
        for snapshot in bench.inputs.values():
            table = snapshot.column(("key", "digest"))
            for key, digest in zip(table["key"].to_pylist(), table["digest"].to_pylist(), strict=True):
                if digest is not None:
                    keys_of.setdefault(digest, []).append(key)
        self._same = {key: keys for keys in keys_of.values() if len(keys) > 1 for key in keys}

    def of(self, key: str) -> list[str]:
        """The other samples of the same bytes that are not excluded, by key."""
        same = self._same.get(key, ())
        return sorted(name for name in same if name != key and self.bench.exclusion(name) is None)

    def spread(self, made: Sequence[Correction], who: Who) -> list[Correction]:
        """What has to be corrected beside ``made``: the same of each twin whose labels are the same until now."""
        named = {item.key for item in made}
        out: list[Correction] = []
        for key in dict.fromkeys(item.key for item in made if isinstance(item, _OF_LABELS)):
            twins = [name for name in self.of(key) if name not in named]
            row = self.bench.row(key) if twins else {}
            for name in twins:
                named.add(name)
                other = self.bench.row(name)
                if labels_equal(row, other):
                    out += _same_again([item for item in made if item.key == key], other, who)
        return out


_OF_LABELS = (SetAnnotation, AddAnnotation, DeleteAnnotation)


def _same_again(made: Sequence[Correction], row: Row, who: Who) -> list[Correction]:
    out: list[Correction] = []
    left = list(row.get("annotations", ()))
    taken = [item["id"] for item in left]
    for correction in made:
        if isinstance(correction, AddAnnotation):
            new = add_annotation(row["key"], correction.new.said, taken, who)
            taken.append(new.annotation)
            out.append(new)
        elif isinstance(correction, SetAnnotation | DeleteAnnotation):
            old = correction.old.said
            meant = (item for item in left if all(same_value(name, item.get(name), old[name]) for name in old))
            found = next(meant, None)
            if found is None:
                continue
            left.remove(found)
            again: Correction | None = (
                delete_annotation(row["key"], found, who)
                if isinstance(correction, DeleteAnnotation)
                else set_annotation(row["key"], found, correction.new.said, who)
            )
            out += [again] if again is not None else []
    return out
