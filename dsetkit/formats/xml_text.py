"""XML label files as elements: one parser for all readers, which neither follows, fetches nor blows up anything.

Entities stay unresolved, no DTD is loaded, nothing is fetched, and libxml2's own limits of depth and size hold
(``huge_tree`` off). A document that declares entities is refused: no label needs one, and it is the way to a billion
laughs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from lxml import etree

MAX_XML_BYTES = 16 * 1024 * 1024
"""A file about one picture that is larger is not read: real ones have some kilobytes."""

_SETTINGS: Mapping[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
    # Not "collect_ids": False. With lxml 6.1 that alone makes libxml2 open the file that a DOCTYPE names.
}


class XmlRefusedError(ValueError):
    """A document that is not well-formed, or that is made to harm. ``code`` is an issue's; ``line`` where, from 1."""

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        self.code = code
        self.line = line
        super().__init__(message)


def parse_xml(data: bytes) -> Any:
    """The root element of a whole document.

    Raises ``XmlRefusedError`` with code ``xml-malformed``, ``xml-too-large`` (above ``MAX_XML_BYTES``) or
    ``xml-entities``.
    """
    if len(data) > MAX_XML_BYTES:
        raise too_large(len(data))
    try:
        root = etree.fromstring(data, etree.XMLParser(**_SETTINGS))
    except etree.XMLSyntaxError as error:
        raise _malformed(data, error) from None
    except ValueError as error:
        raise XmlRefusedError("xml-malformed", f"not XML: {shown(str(error))}") from None
    refuse_entities(root)
    return root


def walk_xml(data: bytes) -> Iterator[tuple[str, Any]]:
    """``("start", element)`` and ``("end", element)`` of a document in order, for files too large to hold as a tree.

    The caller empties elements that it is done with. Raises as ``parse_xml`` does, maybe after some elements, but for
    ``xml-too-large``: how large is too large is the caller's to say.
    """
    events = etree.iterparse(BytesIO(data), events=("start", "end"), **_SETTINGS)
    is_first = True
    try:
        for event, element in events:
            if is_first:
                refuse_entities(element)
                is_first = False
            yield event, element
    except etree.XMLSyntaxError as error:
        raise _malformed(data, error) from None


def too_large(size_bytes: int) -> XmlRefusedError:
    """The error for a file above ``MAX_XML_BYTES``, which is to be raised before it is read."""
    return XmlRefusedError("xml-too-large", f"the file has {size_bytes} bytes, more than {MAX_XML_BYTES}")


def refuse_entities(root: Any) -> None:
    """Raises ``XmlRefusedError`` where the document of a root element declares entities."""
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise XmlRefusedError("xml-entities", "it declares entities")


def shown(text: str) -> str:
    """At most 80 characters, none of them a control."""
    return "".join(c if c.isprintable() else "?" for c in text[:80])


def _malformed(data: bytes, error: etree.XMLSyntaxError) -> XmlRefusedError:
    if b"<!ENTITY" in data:
        return XmlRefusedError("xml-entities", "it declares entities")
    return XmlRefusedError("xml-malformed", f"not well-formed XML: {shown(error.msg or '')}", error.lineno or None)
