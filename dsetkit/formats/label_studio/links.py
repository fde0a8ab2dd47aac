"""Regions that belong together: key points of a box, parts of a whole, relations."""

from __future__ import annotations

from dsetkit.formats.label_studio.filing import Filing
from dsetkit.formats.notes import shown
from dsetkit.spec.arrow import Row


def join_points(filing: Filing, names: dict[str, dict[str, None]]) -> None:
    """Key points whose parent is a box become its keypoints; other parents are wholes.

    ``names`` are those of key points by category; what is found is added.
    """
    joined: set[int] = set()
    for name, parent, place in filing.parents:
        (at, part), whole = filing.made[name], filing.made.get(parent)
        if whole is None or whole[0] != at or whole[1] is part:
            filing.lose(
                None, "parent-missing", f"there is no region {shown(parent)} it could belong to", place, "warning"
            )
            continue
        plain = not {"attributes", "issues", "text", "categories", "relations"} & part.keys()
        if part["kind"] == "points" and whole[1]["kind"] in ("box", "keypoints") and "category" in part and plain:
            _join_point(filing, at, part, whole[1], names)
            joined.add(id(part))
        else:
            part["relations"] = [*part.get("relations", ()), {"kind": "part_of", "target": whole[1]["id"]}]
    if joined:
        for sheet in filing.sheets:
            sheet.row["annotations"] = [one for one in sheet.row["annotations"] if id(one) not in joined]


def _join_point(filing: Filing, at: int, part: Row, whole: Row, names: dict[str, dict[str, None]]) -> None:
    x, y = part["points"]
    point: Row = {"name": part["category"], "x": x, "y": y}
    if (visibility := filing.visibility.get(id(part), 2)) != 2:
        point["visibility"] = visibility
    whole["kind"] = "keypoints"
    whole.setdefault("keypoints", []).append(point)
    if part.get("score", whole.get("score")) != whole.get("score"):
        attributes = whole.setdefault("attributes", {})
        attributes["keypoint_scores"] = {**attributes.get("keypoint_scores", {}), part["category"]: part["score"]}
    del filing.sheets[at].by_id[part["id"]]
    if "category" in whole:
        names.setdefault(whole["category"], {}).setdefault(part["category"])


def relate(filing: Filing, raw: Row, place: str) -> None:
    """A relation between two regions, or several of them by its labels."""
    ends = [filing.made.get(str(raw.get(name))) for name in ("from_id", "to_id")]
    if ends[0] is None or ends[1] is None or ends[0][0] != ends[1][0]:
        message = f"a relation from {shown(raw.get('from_id'))} to {shown(raw.get('to_id'))}, which are not both there"
        filing.lose(ends[0][0] if ends[0] else None, "relation-missing", message, place, "warning")
        return
    kinds = [label for label in raw.get("labels") or () if isinstance(label, str) and label] or ["relation"]
    direction = raw.get("direction", "right")
    (_, first), (_, second) = ends[0], ends[1]
    pairs = {"left": [(second, first)], "bi": [(first, second), (second, first)]}.get(direction, [(first, second)])
    for source, target in pairs:
        added = [{"kind": kind, "target": target["id"]} for kind in kinds]
        source["relations"] = [*source.get("relations", ()), *added]
