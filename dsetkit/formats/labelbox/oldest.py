"""Labelbox's oldest exports (before 2020): labels by category, each a list of ``geometry``.

Their y counts from the picture's foot, as ``labelbox/exporters/coco_exporter.py`` of
https://github.com/Labelbox/labelbox-python took it (version 2).
"""

from __future__ import annotations

from typing import Any

from dsetkit.formats.labelbox.gather import Gathering, Place
from dsetkit.formats.labelbox.values import dict_of, list_of, number_of


def read_oldest(reader: Gathering, place: Place, label: dict[str, Any], height: float | None) -> None:
    """Adds the labels of one record.

    ``height`` is the picture's in pixels; 0 where y counts from the top; None where it is not known: then nothing can
    be located.
    """
    for category, given in label.items():
        if isinstance(given, str) and "((" not in given:
            place.row["attributes"].setdefault(category, given)
        elif isinstance(given, dict):
            reader.classifications(place, [{"name": category, "answer": given}], f"Label.{category}")
        elif not isinstance(given, list):
            place.row["partial"] = True
            message = f"the geometry of {category[:60]!r} is a text (WKT); it was left out"
            hint = "Export it again from Labelbox; today's exports have numbers."
            reader.issue("object-unknown", place, message, "error", hint)
        elif height is None:
            place.row["partial"] = True
            message = f"{category[:60]!r} is located from the foot of a picture whose height is not known"
            hint = "Put the picture there, or read it with legacy_origin: top if y counts from the top."
            reader.issue("picture-height-unknown", place, message, "error", hint)
        else:
            for index, shape in enumerate(given):
                raw = {**dict_of(shape), "name": category, **_named(dict_of(shape).get("geometry", shape), height)}
                reader.objects(place, [raw], f"Label.{category}[{index}]")


def _named(geometry: Any, height: float) -> dict[str, Any]:
    """The geometry under the name of its kind, y from the top."""
    if isinstance(geometry, dict):
        return {"point": _turned(geometry, height)}
    points = [_turned(point, height) for point in list_of(geometry)]
    return {"polygon" if len(points) > 2 else "line": points}


def _turned(point: Any, height: float) -> dict[str, Any]:
    y = number_of(dict_of(point).get("y"))
    return {**dict_of(point), "y": None if y is None else height - y if height else y}
