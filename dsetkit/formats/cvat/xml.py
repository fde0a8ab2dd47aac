"""CVAT's XML, an element at a time: the meta, then images and tracks, each gone before the next is parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dsetkit.formats.xml_text import XmlRefusedError, shown, walk_xml

MAX_XML_BYTES = 1024**3
"""A larger file is not read: an hour of video with twenty tracks has some hundred megabytes."""

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_FIRST = re.compile(rb"<[A-Za-z_][^\s>/]*")
_KNOWN = re.compile(rb"<(?:meta|image|track|version)[\s>]")


def looks_like_cvat(head: bytes) -> bool:
    """Whether a file that begins so has the root ``<annotations>`` and in it what CVAT writes; also in UTF-16."""
    plain = _COMMENT.sub(b"", head.replace(b"\x00", b""))
    first = _FIRST.search(plain)
    return first is not None and first.group() == b"<annotations" and _KNOWN.search(plain) is not None


def elements(data: bytes) -> Iterator[Any]:
    """``<meta>``, ``<image>`` and ``<track>`` of a document in order; each is emptied when the next is asked for.

    Raises ``XmlRefusedError`` as ``walk_xml`` does, and with the code ``xml-root`` where the root is not
    ``<annotations>``, maybe after some elements: then these, too, count for nothing.
    """
    depth = 0
    for event, element in walk_xml(data):
        if event == "start":
            if depth == 0 and element.tag != "annotations":
                message = f"its root element is <{shown(str(element.tag))}>, not <annotations>"
                raise XmlRefusedError("xml-root", message)
            depth += 1
            continue
        depth -= 1
        if depth == 1:
            if element.tag in ("meta", "image", "track"):
                yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


def text_of(element: Any, path: str = "") -> str:
    """The text at a path below an element, without space around; empty where there is none."""
    found = element.find(path) if path else element
    return "" if found is None or found.text is None else found.text.strip()
