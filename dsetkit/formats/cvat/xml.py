"""CVAT's XML, an element at a time: the meta, then images and tracks, each gone before the next is parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from lxml import etree

from dsetkit.formats.voc.xml import XmlRefusedError

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

    No entity is resolved, no DTD loaded, nothing fetched. Raises ``XmlRefusedError`` with the codes ``xml-malformed``,
    ``xml-entities`` (it declares entities) or ``xml-root`` (the root is not ``<annotations>``), maybe after some
    elements: then these, too, count for nothing.
    """
    events = etree.iterparse(
        BytesIO(data),
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    depth = 0
    try:
        for event, element in events:
            if event == "start":
                if depth == 0:
                    _check_root(element)
                depth += 1
                continue
            depth -= 1
            if depth == 1:
                if element.tag in ("meta", "image", "track"):
                    yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        if b"<!ENTITY" in data:
            raise XmlRefusedError("xml-entities", "it declares entities") from None
        message = f"not well-formed XML: {shown(error.msg or '')}"
        raise XmlRefusedError("xml-malformed", message, error.lineno or None) from None


def _check_root(root: Any) -> None:
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise XmlRefusedError("xml-entities", "it declares entities")
    if root.tag != "annotations":
        raise XmlRefusedError("xml-root", f"its root element is <{shown(str(root.tag))}>, not <annotations>")


def text_of(element: Any, path: str = "") -> str:
    """The text at a path below an element, without space around; empty where there is none."""
    found = element.find(path) if path else element
    return "" if found is None or found.text is None else found.text.strip()


def shown(text: str) -> str:
    """At most 80 characters, none of them a control."""
    return "".join(c if c.isprintable() else "?" for c in text[:80])
