from __future__ import annotations

from typing import Any

import pyarrow as pa

from dsetkit.curation.quality import check_quality
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.params import QualityParams
from dsetkit.spec.sample import Sample

FINE: dict[str, Any] = {"width_px": 64, "height_px": 64, "sharpness": 90.0, "brightness": 0.5, "contrast": 0.2}
ALL = QualityParams(min_sharpness=10.0, min_contrast=0.05)


def table(*rows: dict[str, Any]) -> pa.Table:
    return table_from_rows([{"key": f"a/{index}", **row} for index, row in enumerate(rows)], Sample)


def test_codes_and_messages() -> None:
    found = check_quality(
        table(
            FINE,
            {**FINE, "width_px": 7},
            {**FINE, "sharpness": 9.99996},
            {**FINE, "brightness": 0.0125},
            {**FINE, "brightness": 0.99},
            {**FINE, "contrast": 0.01, "height_px": 1},
        ),
        ALL,
    )
    assert {index: [(f.code, f.message) for f in findings] for index, findings in found.items()} == {
        1: [("picture-small", "its shorter side, 7 px, is below clean.quality.min_side_px = 8")],
        2: [("picture-blurred", "its sharpness, 9.99996, is below clean.quality.min_sharpness = 10")],
        3: [("picture-dark", "its brightness, 0.0125, is below clean.quality.min_brightness = 0.02")],
        4: [("picture-bright", "its brightness, 0.99, is above clean.quality.max_brightness = 0.98")],
        5: [
            ("picture-small", "its shorter side, 1 px, is below clean.quality.min_side_px = 8"),
            ("picture-flat", "its contrast, 0.01, is below clean.quality.min_contrast = 0.05"),
        ],
    }


def test_a_bound_itself_is_fine_and_what_was_not_measured_is_not_judged() -> None:
    edge = {"width_px": 8, "height_px": 8, "sharpness": 10.0, "brightness": 0.02, "contrast": 0.05}
    assert check_quality(table(edge, {**edge, "brightness": 0.98}, {}), ALL) == {}


def test_bounds_that_are_off() -> None:
    off = QualityParams(min_side_px=None, min_brightness=None, max_brightness=None)
    assert check_quality(table({"width_px": 1, "height_px": 1, "brightness": 0.0, "contrast": 0.0}), off) == {}
    assert check_quality(table(), ALL) == {}
