"""The demo's card: section ``card`` of its ``params.yaml``."""

from __future__ import annotations

from typing import Any


def demo_card() -> dict[str, Any]:
    """What there is to say of the demo. It was never published, so no day and no home page are stated."""
    return {
        "schema": "schemas.card:Card",
        "title": "Yards that never were",
        "summary": "Pictures of yards with crates, kites and walkers, drawn by a program: the demo of dsetkit.",
        "purpose": "To try dsetkit on data that has every defect it handles, without taking anybody's pictures. "
        "Nobody paid for it.",
        "license": {"id": "CC0-1.0"},
        "contacts": [{"name": "The authors of dsetkit", "kind": "organization"}],
        "creators": [{"name": "The authors of dsetkit", "kind": "organization"}],
        "citation": "Yards that never were: the demo dataset of dsetkit, version 1.",
        "version": "1.0.0",
        "keywords": ["synthetic", "demo", "object detection"],
        "collection": {
            "how": "No camera saw these yards: dsetkit init --demo draws them, the same bytes on each run. "
            "File names say what is wrong with a picture.",
            "types": ["Synthetic"],
            "by": "A program.",
            "missing": "One picture that the labels name is left out on purpose.",
        },
        "annotation": {
            "how": "The program that draws a thing writes its label; then some are spoilt on purpose: boxes that "
            "stick out, shapes without an area, other names for a category.",
            "kinds": ["machine-generated"],
            "guidelines": "crate: a box; kite: a polygon, or a mask where it has a hole; walker: keypoints.",
            "machine_tools": ["dsetkit init --demo"],
        },
        "consent": "Nobody had to be asked: there are no people in it.",
        "personal_information": "None. The walkers are stick figures; the places in the metadata are made up.",
        "limits": ["The pictures are drawn: what is learnt from them says nothing about photographs."],
        "biases": ["All yards look alike: the same sky, the same light, the same few colours."],
        "uses": ["Learning dsetkit, and testing it."],
        "out_of_scope": ["Training a model that anybody relies on."],
        "maintenance": "It changes only with dsetkit itself.",
    }
