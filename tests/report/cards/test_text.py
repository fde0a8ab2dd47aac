"""Text of strangers in Markdown and YAML: it is shown, and nothing more."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from dsetkit.report.cards.text import block, fenced, inline, scalar, visible, yaml_lines

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "| --- | --- |",
    "- item",
    "1. first",
    "2) second",
    "# title",
    "---",
    "===",
    "=",
    "> quote",
    "`code` ``more``",
    "*bold* _it_ ~~gone~~",
    "[link](javascript:alert(1))",
    "![picture](x)",
    "<https://example.org>",
    "&lt;b&gt; &amp;",
    "back\\slash\\|",
    "two\nlines\r\nand\ttab",
    "    code",
    "$$x$$",
    "right\u202eto left",
    "",
    "0.5",
    "2024-05-01",
]
texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.text("-+=.)*_`|<>[]()#&\\ \n1a", max_size=12)


class Shown(HTMLParser):
    """The text of a page and the names of its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.elements = "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def render(text: str) -> Shown:
    """As GitHub and Hugging Face would: with HTML let through, so that what is not escaped shows."""
    return Shown(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


def plain(text: str) -> str:
    return visible(" ".join(text.split()))


@given(texts)
@example("<script>alert(1)</script>")
@example("1.")
@example("-\n-")
@pytest.mark.parametrize("place", ["{}", "# {}", "- {}", "| a | b |\n| --- | --- |\n| {} | x |"])
def test_one_line_shows_what_it_is(place: str, text: str) -> None:
    expected = render(place.format("WORD"))
    shown = render(place.format(inline(text)))
    if plain(text):
        assert shown.elements == expected.elements
    assert shown.text.strip().split() == expected.text.replace("WORD", plain(text)).strip().split()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_lines(text: str) -> None:
    shown = render(f"before\n\n{inline(text)}\n\nafter")
    assert shown.elements == (["p"] * 3 if plain(text) else ["p"] * 2)
    assert shown.text.split() == ["before", *plain(text).split(), "after"]


def test_paragraphs_stay_paragraphs() -> None:
    shown = render(block("One <b>.\nstill one\n\n- two\n---\n\n\n# three\r\n\r\n    four"))
    assert shown.elements == ["p"] * 4
    assert shown.text.split() == ["One", "<b>.", "still", "one", "-", "two", "---", "#", "three", "four"]


@given(texts)
@example("```\n<script>\n```")
def test_code_stays_in_its_block(text: str) -> None:
    shown = render(f"{fenced(text)}\n\nafter")
    assert shown.elements == ["pre", "code", "p"]


@given(texts | st.integers(-9, 10**12) | st.lists(texts, max_size=3))
@example("no")
@example("Null")
@example("12:30")
@example("1e3")
@example("\x85\u2028\ufeff\x7f")
@example("\N{GRINNING FACE}")
def test_yaml_gives_back_what_went_in(value: object) -> None:
    document = {"first": value, "inner": {"list": [{"name": "x", "n": 1}, {"name": "no", "n": 2}], "empty": []}}
    text = "\n".join(yaml_lines(document)) + "\n"
    assert yaml.safe_load(text) == document  # YAML 1.1
    assert YAML(typ="safe", pure=True).load(text) == document  # YAML 1.2


def test_plain_words_are_not_quoted() -> None:
    assert [scalar(word) for word in ("cc0-1.0", "object-detection", "pt-BR")] == [
        "cc0-1.0",
        "object-detection",
        "pt-BR",
    ]
    assert scalar("\ud800") == '"\N{REPLACEMENT CHARACTER}"'
