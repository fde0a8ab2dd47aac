"""What notebooks show of documents: HTML without a script, a style sheet or an address.

Colours are the notebook's own, so it reads in the dark too. Everything that came from data goes through ``text``.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dsetkit.spec.diff_text import WORDS

if TYPE_CHECKING:
    from dsetkit.spec.annotation import Annotation
    from dsetkit.spec.diff import Diff
    from dsetkit.spec.sample import Sample

MAX_ROWS = 50
"""Annotations of a sample that are listed."""
MAX_LETTERS = 120
"""Of one text from data."""

_LINE = "rgba(128,128,128,.35)"
_CELL = f"padding:3px 10px 3px 0;border:0;border-bottom:1px solid {_LINE};text-align:left;vertical-align:top"


def set_pictures(document: Any, view: Callable[[Any], str]) -> None:
    """Have a ``Sample`` or ``Diff`` call ``view`` with itself for the HTML of its pictures, when it is shown."""
    object.__setattr__(document, "_pictures", view)  # it is frozen, and this is no part of what it says


def pictures_of(document: Any) -> str:
    """The HTML of a document's pictures; empty for one that was made by hand, copied or unpickled."""
    view = getattr(document, "_pictures", None)
    return "" if view is None else str(view(document))


def text(value: object, most: int = MAX_LETTERS) -> str:
    """Text from data, escaped, cut to ``most`` letters, and kept from turning the direction of what is around it."""
    plain = str(value)
    shown = plain if len(plain) <= most else f"{plain[: most - 1]}…"
    return f"<bdi>{html.escape(shown)}</bdi>"


def note(content: str) -> str:
    """A remark, in small letters. ``content`` is HTML."""
    return f'<span style="font-size:90%;opacity:.75">{content}</span>'


def title(content: str) -> str:
    """The first line. ``content`` is HTML."""
    return f'<div style="font-weight:600;overflow-wrap:anywhere">{content}</div>'


def frame(parts: Iterable[str]) -> str:
    """All of what is shown, one part below the other."""
    shown = "".join(f'<div style="margin:0 0 6px">{part}</div>' for part in parts if part)
    return f'<div style="font-size:13px;line-height:1.45;max-width:100%;overflow-x:auto;color:inherit">{shown}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are HTML."""
    top = "".join(f'<th style="{_CELL};font-weight:600">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return (
        f'<table style="border-collapse:collapse;border:0;margin:0;color:inherit">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def sample_html(sample: Sample, pictures: str = "") -> str:
    """A sample: key, facts, ``pictures`` (HTML), a table of its annotations."""
    facts = [
        f"{sample.width_px} × {sample.height_px} px" if sample.width_px and sample.height_px else "",
        text(sample.media_type) if sample.media_type else "",
        f"split {text(sample.split)}" if sample.split else "no split",
        {"no": "not labelled", "partial": "partly labelled", "yes": "labelled"}[sample.labelled],
        f"picture {sample.digest[:12]}" if sample.digest else "no picture",
    ]
    shown = sample.annotations[:MAX_ROWS]
    more = len(sample.annotations) - len(shown)
    listed = table(("id", "kind", "category", "x, y, w, h in px", ""), map(_annotation_cells, shown))
    return frame(
        (
            title(text(sample.key)),
            note(" · ".join(fact for fact in facts if fact)),
            pictures,
            listed if shown else note("no annotations"),
            note(f"and {more:,} more annotations") if more else "",
        )
    )


def diff_html(diff: Diff, pictures: str = "") -> str:
    """A diff: what is compared, how many entries each list has, ``pictures`` (HTML)."""
    sides = [f"{text(side.name)} {note(text(side.fingerprint[:12]))}" for side in (diff.old, diff.new)]
    rows = [(group, WORDS.get(name, ""), f"{len(entries):,}") for group, name, entries in diff.lists() if entries]
    return frame(
        (
            title(" → ".join(sides)),
            table(("", "", "changes"), rows) if rows else note("nothing differs"),
            pictures,
        )
    )


def _annotation_cells(item: Annotation) -> tuple[str, ...]:
    names = item.categories or ((item.category,) if item.category is not None else ())
    box = ", ".join(f"{value:.6g}" for value in item.bbox_xywh_px or ())
    facts = [
        f"“{text(item.text)}”" if item.text is not None else "",
        f"score {item.score:.3g}" if item.score is not None else "",
        item.status if item.status != "accepted" else "",
        "crowd" if item.is_crowd else "",
        "ignored" if item.is_ignored else "",
        *(f"{text(name)} = {text(value)}" for name, value in item.attributes.items()),
        *(text(issue.code) for issue in item.issues),
    ]
    return (
        text(item.id),
        item.kind,
        ", ".join(map(text, names)),
        box,
        note("; ".join(fact for fact in facts if fact)),
    )
