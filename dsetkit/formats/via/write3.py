"""A project of VIA 3, made of what version 2 has: pictures with regions and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.via.shapes3 import xy_of
from dsetkit.formats.via.write import LABEL

DATA_FORMAT = "3.1.1"
_TEXT, _CHECKBOX, _SELECT = 1, 2, 4
_IMAGE, _LOCAL_FILE = 2, 3
_OF_FILE, _OF_REGION = "FILE1_Z0_XY0", "FILE1_Z0_XY1"
_CREATOR = "VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)"


def region_id(view: int, number: int) -> str:
    """The id of a region in a project: VIA's begin with the view's, too."""
    return f"{view}_{number}"


def project3_of(
    name: str,
    images: Mapping[str, Mapping[str, Any]],
    categories: Sequence[str],
    regions: Sequence[str],
    files: Sequence[str],
) -> dict[str, Any]:
    """The project; ``images`` are those of version 2, ``regions`` and ``files`` names of further attributes."""
    numbers = {category: str(number) for number, category in enumerate(categories)}
    options = {number: category for category, number in numbers.items()}
    attributes = {
        "1": _attribute(LABEL, _OF_REGION, _SELECT, options),
        "2": _attribute(LABEL, _OF_FILE, _CHECKBOX, options),
    }
    of_regions, of_files = {LABEL: "1"}, {LABEL: "2"}
    for known, names, anchor in ((of_regions, regions, _OF_REGION), (of_files, files, _OF_FILE)):
        for attribute in names:
            known[attribute] = str(len(attributes) + 1)
            attributes[known[attribute]] = _attribute(attribute, anchor, _TEXT, {})
    found: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for view, image in enumerate(images.values(), 1):
        path = image["filename"]
        found[str(view)] = {"fid": str(view), "fname": path, "type": _IMAGE, "loc": _LOCAL_FILE, "src": path}
        for number, region in enumerate(image["regions"]):
            said = {
                of_regions[key]: numbers[value] if key == LABEL else value
                for key, value in region["region_attributes"].items()
            }
            metadata[region_id(view, number)] = _entry(view, xy_of(region["shape_attributes"]), said)
        about = dict(image["file_attributes"])
        if LABEL in about:
            about[LABEL] = ",".join(numbers[label] for label in about[LABEL])
        if about:
            metadata[f"{view}_file"] = _entry(view, [], {of_files[key]: value for key, value in about.items()})
    ids = list(found)
    return {
        "project": {
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": name,
            "data_format_version": DATA_FORMAT,
            "creator": _CREATOR,
            "created": 0,
            "vid_list": ids,
        },
        "config": {
            "file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
            "ui": {
                "file_content_align": "center",
                "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": "1",
                "gtimeline_visible_row_count": "4",
            },
        },
        "attribute": attributes,
        "file": found,
        "metadata": metadata,
        "view": {view: {"fid_list": [view]} for view in ids},
    }


def _attribute(name: str, anchor: str, kind: int, options: Mapping[str, str]) -> dict[str, Any]:
    return {
        "aname": name,
        "anchor_id": anchor,
        "type": kind,
        "desc": "",
        "options": dict(options),
        "default_option_id": "",
    }


def _entry(view: int, xy: Sequence[float], values: Mapping[str, Any]) -> dict[str, Any]:
    return {"vid": str(view), "flg": 0, "z": [], "xy": list(xy), "av": dict(values)}
