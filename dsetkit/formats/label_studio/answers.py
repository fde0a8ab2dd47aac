"""Results without a shape: what they say of a whole picture, or of the region they belong to.

Of several choices on a picture each is an annotation: the first has the result's id, the others have ``.1``, ``.2``,
... behind it; so have several texts.
"""

from __future__ import annotations

from dsetkit.formats.label_studio.filing import Filing
from dsetkit.formats.label_studio.own import OwnAnnotation, read_own
from dsetkit.formats.label_studio.raw import listed
from dsetkit.formats.notes import shown
from dsetkit.spec.arrow import Row

_USUAL_NAMES = frozenset({"choices", "taxonomy", "caption"})


def add_fact(filing: Filing, out: Row, attributes: Row, raw: Row, place: str) -> None:
    """What a result without a shape says of the region it belongs to."""
    kind, value = raw["type"], raw.get("value")
    given = value.get("text" if kind == "textarea" else kind) if isinstance(value, dict) else None
    name = str(raw.get("from_name") or kind)
    if kind == "textarea":
        texts = [given] if isinstance(given, str) else [text for text in given or () if isinstance(text, str)]
        if "text" not in out:
            out["text"] = "\n".join(texts)
        else:
            attributes[name] = "\n".join(texts)
        return
    if given is None:
        filing.lose(filing.sheet_of(raw), "result-invalid", f"it has no {kind} in its value", place)
        return
    paths = ["/".join(map(str, item)) if isinstance(item, list) else item for item in listed(given)]
    attributes[name] = paths[0] if len(paths) == 1 else paths


def read_answer(filing: Filing, name: str | None, raw: Row, place: str) -> None:
    """A result about a whole picture."""
    at, kind, value = filing.sheet_of(raw), raw["type"], raw["value"]
    given = value.get("text" if kind == "textarea" else kind)
    tag = str(raw.get("from_name") or kind)
    if kind not in ("choices", "taxonomy", "textarea"):
        if given is None and kind == "pairwise":
            given = value.get("selected")
        if given is None:
            filing.lose(at, "result-invalid", f"it has no {kind} in its value", place)
        else:
            filing.answers.append((at, tag, filing.notes.clean(given, place), place))
        return
    if at is None:
        filing.lose(None, "picture-unclear", "its task has several pictures, and it says of none", place)
        return
    texts = []
    for item in listed(given):
        path = [str(part) for part in item] if isinstance(item, list) else [item]
        if not path or not all(isinstance(part, str) for part in path):
            filing.lose(at, "result-invalid", f"{shown(item)} is no {kind}", place)
            continue
        texts.append("/".join(path))
        for depth in range(1, len(path) if kind != "textarea" else 0):
            filing.above.setdefault("/".join(path[: depth + 1]), "/".join(path[:depth]))
    own = read_own(raw.get("meta"), OwnAnnotation, filing.notes.issues, filing.notes.path, f"{place}.meta")
    members = own.pop("members", [])
    for number, text in enumerate(texts):
        member = members[number] if number < len(members) else {}
        mine = read_own({"dsetkit": member}, OwnAnnotation, filing.notes.issues, filing.notes.path, f"{place}.meta")
        out: Row = {"id": "", "kind": "caption" if kind == "textarea" else "image_label"}
        if kind == "textarea":
            out["text"] = text
        elif text:
            out["category"] = text
        else:
            filing.lose(at, "result-invalid", "a choice without a name", place)
            continue
        suffix = f".{number}" if number else ""
        own_name = mine.get("id") or (f"{name}{suffix}" if name is not None else None)
        filing.describe(out, raw, {**own, **mine}, place, {})
        if isinstance(member.get("score"), float | int):
            out["score"] = float(member["score"])
        elif "score" in member:
            out.pop("score", None)
        if tag not in _USUAL_NAMES:
            out.setdefault("extras", {}).setdefault("label_studio", {})["from_name"] = tag
        filing.file(at, out, own_name)
