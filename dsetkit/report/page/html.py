"""The templates of the page, https://jinja.palletsprojects.com: everything that comes from data is escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dsetkit.report import words

_ROOM = "dsetkit.report.page"
_FOLDER = "templates"


def asset(name: str) -> str:
    """The text of a file beside the templates."""
    return files(_ROOM).joinpath(_FOLDER, name).read_text("utf-8")


def fill(template: str, **values: Any) -> str:
    """A whole template as text. Raises ``jinja2.UndefinedError`` for a value that it asks for and is not given."""
    return _environment().get_template(template).render(values)


def fill_page(template: str, **values: Any) -> bytes:
    """A whole page, UTF-8, from a template that extends ``base.html.j2``; see ``fill``.

    It carries a Content-Security-Policy that lets it run its own script and show its own pictures, and nothing else.
    """
    style, script = asset("page.css"), asset("page.js")
    own = {"style": Markup(style), "script": Markup(script), "policy": _policy(style, script)}
    return fill(template, **own, **values).encode("utf-8", "replace")


def _policy(style: str, script: str) -> str:
    """What a page may do, https://www.w3.org/TR/CSP3/: only its own style, its own script, its own pictures."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def macro(template: str, name: str, *values: Any, **options: Any) -> Markup:
    """What one macro of a template gives."""
    return Markup(getattr(_module(template), name)(*values, **options))


@cache
def _module(template: str) -> Any:
    return _environment().get_template(template).module


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_ROOM, _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "size": words.size,
        "counted": words.counted,
        "shorten": words.shorten,
        "in_split_order": words.in_split_order,
        "kinds": lambda kind: words.KINDS.get(kind, kind),
    }
    environment.globals["percent"] = words.percent
    return environment
