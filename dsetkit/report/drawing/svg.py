"""Vega-Lite specs (https://vega.github.io/vega-lite/docs/spec.html) drawn as SVG without any script.

Colours of text and lines are ``currentColor``, so that a chart follows the page into dark mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import vl_convert
from markupsafe import Markup

from dsetkit.spec.base import digest_of

ACCENT = "#3b7dd8"
"""Of bars and cells."""
WARNING = "#d1495b"
"""Of what is turned away, and of thresholds."""
SERIES = ("#3b7dd8", "#e08e2b", "#2a9d7c", "#b45fc4", "#c2543f", "#7a8b99", "#5f6bd0", "#8aa33a")
"""Told apart on white and on black, and by most people who do not see all colours."""

_CONFIG: dict[str, Any] = {
    "background": None,
    "aria": False,  # the figure around it says what it shows; a thousand labelled marks would drown that
    # The first comes with vl-convert, so that texts measure the same everywhere.
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.12,
        "domainColor": "currentColor",
        "domainOpacity": 0.35,
        "tickColor": "currentColor",
        "tickOpacity": 0.35,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelOpacity": 0.85,
        "titleOpacity": 0.85,
        "titlePadding": 6,
    },
    "legend": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 11,
        "symbolType": "square",
        "orient": "top",
        "title": None,
        "offset": 4,
        "columnPadding": 12,
    },
}


def render(spec: Mapping[str, Any]) -> Markup:
    """A Vega-Lite spec as SVG text that an HTML page can hold; nothing is fetched.

    The same text for the same spec: vl-convert numbers the ids of clip paths on and on over a process; here they are
    numbered anew, behind a prefix of the spec's own, so that ids of two charts on one page do not meet.
    """
    svg = vl_convert.vegalite_to_svg({**spec, "config": _CONFIG}, allowed_base_urls=[])
    prefix = f"c{digest_of(spec)[:8]}-"
    numbers: dict[str, str] = {}

    def renumbered(found: re.Match[str]) -> str:
        return f"{found[1]}{numbers.setdefault(found[2], f'{prefix}{len(numbers)}')}{found[3]}"

    svg = _ID.sub(renumbered, svg[svg.index("<svg") :])
    return Markup(svg.replace('xmlns:xlink="http://www.w3.org/1999/xlink" ', "", 1))


_ID = re.compile(r"""(\bid="|url\(#|href="#)([^")]+)(["\)])""")
