"""Where annotations made of results go: into the sheets of a task's pictures, under ids of their own.

A region gets its own id; where its picture has one of that id already, the id of what it stands in goes in front
(``12:Dx_aB``), and ``#2``, ``#3``, ... behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.label_studio.sheets import Sheet
from dsetkit.formats.notes import FileNotes
from dsetkit.spec.arrow import Row

_ORIGINS = {"manual": "human", "prediction": "model", "prediction-changed": "corrected"}
_INDEX = re.compile(r"[_\-](\d{1,6})\Z")
_COPIED = (
    *("annotator", "model", "origin", "status", "based_on", "probabilities", "is_crowd", "is_ignored"),
    *("instance_group", "track"),
)


@dataclass
class Origin:
    """Where results stand, and what follows from it for each of them."""

    place: str
    prefix: str
    """What goes before an id that is taken."""
    fields: Row
    """``annotator``, ``model``, ``origin``, ``status`` of what says nothing of its own."""
    score: float | None = None
    extras: Row = field(default_factory=dict)


class Filing:
    """The sheets of a task's pictures, and what one annotation, prediction or draft put into them."""

    def __init__(self, sheets: Sequence[Sheet], origin: Origin, notes: FileNotes) -> None:
        self.sheets = sheets
        self.origin = origin
        self.notes = notes
        self.made: dict[str, tuple[int, Row]] = {}
        """Region id → place of its picture, and its annotation."""
        self.incomplete: set[int] = set()
        """Places of pictures of which something could not be kept."""
        self.answers: list[tuple[int | None, str, Any, str]] = []
        """Of whole pictures: place of the picture, name, value, place in the file; attributes of the sample."""
        self.above: dict[str, str] = {}
        """Category → the one above it, of a taxonomy."""
        self.parents: list[tuple[str, str, str]] = []
        """Region id, that of the one it belongs to, place in the file."""
        self.visibility: dict[int, int] = {}
        """Of a key point (``id`` of its annotation) that may become one of a box's."""

    def sheet_of(self, raw: Row) -> int | None:
        """Which of its task's pictures a result is about."""
        if len(self.sheets) == 1:
            return 0
        at = raw.get("item_index")
        if at is None:
            found = _INDEX.search(str(raw.get("to_name") or ""))
            at = int(found[1]) if found else None
        return at if type(at) is int and 0 <= at < len(self.sheets) else None

    def lose(self, at: int | None, code: str, message: str, place: str, severity: Any = "error") -> None:
        """Note what could not be kept."""
        self.incomplete |= {at} if at is not None else set(range(len(self.sheets)))
        key = self.sheets[at].row["key"] if at is not None else None
        hint = "Correct it in Label Studio and export again." if severity == "error" else "Check whether it is needed."
        self.notes.add(code, message, place, hint, severity, key)

    def file(self, at: int, out: Row, name: str | None) -> None:
        """Put an annotation into its picture's row, under an id of its own."""
        by_id = self.sheets[at].by_id
        if name is None:
            fresh = len(by_id)
            while str(fresh) in by_id:
                fresh += 1
            out["id"] = str(fresh)
        else:
            chosen = base = name if name not in by_id else f"{self.origin.prefix}:{name}"
            count = 1
            while chosen in by_id:
                count += 1
                chosen = f"{base}#{count}"
            out["id"], out["source_id"] = chosen, name
            self.made.setdefault(name, (at, out))
        by_id[out["id"]] = out
        self.sheets[at].row["annotations"].append(out)

    def describe(self, out: Row, raw: Row, own: Row, place: str, attributes: Row) -> None:
        """What any annotation may have: who, how sure, attributes, extras."""
        out |= self.origin.fields
        said = _ORIGINS.get(str(raw.get("origin")))
        if said is not None and out.get("origin") != "model":
            out["origin"] = said
        score = raw.get("score", self.origin.score)
        if isinstance(score, int | float) and not isinstance(score, bool) and abs(score) < 1e300:
            out["score"] = float(score)
        meta = raw.get("meta")
        rest = {key: meta[key] for key in meta if key != "dsetkit"} if isinstance(meta, dict) else {}
        extras = {**self.origin.extras, **({"meta": rest} if rest else {})}
        if raw.get("image_rotation"):
            extras["image_rotation"] = raw["image_rotation"]  # how the picture was turned on the screen
        if isinstance(own.get("extras"), dict):
            extras |= own["extras"]
        if extras:
            out["extras"] = {"label_studio": self.notes.clean(extras, f"{place}.meta")}
        attributes = {**own.get("attributes", {}), **attributes}
        if attributes:
            out["attributes"] = self.notes.clean(attributes, f"{place}.value")
        self._apply_own(out, own)

    def _apply_own(self, out: Row, own: Row) -> None:
        for key in _COPIED:
            if key not in own:
                continue
            if own[key] is None:
                out.pop(key, None)
            else:
                out[key] = own[key]
        if "text" in own and out["kind"] == "image_label":
            out["text"] = own["text"]
        if own.get("relations"):
            out["relations"] = own["relations"]
