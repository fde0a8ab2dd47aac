"""The one XML parser that all readers share."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path

import pytest

import dsetkit.formats
from dsetkit.formats.xml_text import MAX_XML_BYTES, XmlRefusedError, parse_xml, shown, too_large, walk_xml

LAUGHS = b"""<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>"""


def walk(data: bytes) -> list[tuple[str, str]]:
    return [(event, element.tag) for event, element in walk_xml(data)]


def test_elements_come_in_order_without_comments_and_instructions() -> None:
    data = b"<?xml version='1.0'?><!-- x --><a><?do it?><b c='1'>t</b><!-- y --></a>"
    assert [(child.tag, child.get("c"), child.text) for child in parse_xml(data)] == [("b", "1", "t")]
    assert walk(data) == [("start", "a"), ("start", "b"), ("end", "b"), ("end", "a")]


@pytest.mark.parametrize(
    ("data", "code", "message", "line"),
    [
        (b"<a>\n<b></a>", "xml-malformed", "not well-formed XML: Opening and ending tag mismatch: b line 2 and a", 2),
        (b"", "xml-malformed", "not well-formed XML: ", None),
        (LAUGHS, "xml-entities", "it declares entities", None),
        (b"<!DOCTYPE a [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><a>&a;</a>", "xml-entities", "it declares", None),
        (b"<a>" * 100_000, "xml-malformed", "not well-formed XML: Excessive depth in document", 1),
    ],
)
@pytest.mark.parametrize("read", [parse_xml, walk])
def test_what_is_refused(read: object, data: bytes, code: str, message: str, line: int | None) -> None:
    start = time.process_time()
    with pytest.raises(XmlRefusedError) as caught:
        read(data)  # type: ignore[operator]
    assert caught.value.code == code
    assert str(caught.value).startswith(message)
    assert line is None or caught.value.line == line
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_dtd_is_not_loaded(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "x.dtd").write_text("<!ELEMENT a EMPTY><!ATTLIST a b CDATA 'from outside'>")
    data = f"<!DOCTYPE a SYSTEM '{scheme}{tmp_path}/x.dtd'><a/>".encode()
    assert parse_xml(data).get("b") is None
    assert [element.get("b") for _, element in walk_xml(data)] == [None, None]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("read", [parse_xml, walk])
@pytest.mark.parametrize("inside", ["SYSTEM '{}'", "[<!ENTITY % p SYSTEM '{}'> %p;]", "[<!ENTITY e SYSTEM '{}'>]"])
def test_no_file_that_a_document_names_is_opened(tmp_path: Path, read: object, inside: str) -> None:
    """Whoever opened the pipe for reading would let the writer in, which else is told that nobody listens."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen: list[bool] = []

    def listen() -> None:
        end = time.monotonic() + 1.0
        while time.monotonic() < end and not seen:
            try:
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                time.sleep(0.005)
            else:
                seen.append(True)

    listener = threading.Thread(target=listen)
    listener.start()
    data = f"<!DOCTYPE a {inside.format(pipe)}><a>{'&e;' if ' e ' in inside else ''}</a>".encode()
    with contextlib.suppress(XmlRefusedError):
        read(data)  # type: ignore[operator]
    listener.join()
    assert not seen


def test_a_file_that_is_too_large() -> None:
    with pytest.raises(XmlRefusedError, match="more than 16777216") as caught:
        parse_xml(b"<a>" + b" " * MAX_XML_BYTES + b"</a>")
    assert caught.value.code == too_large(1).code == "xml-too-large"
    assert str(too_large(17)) == "the file has 17 bytes, more than 16777216"


def test_messages_show_no_controls() -> None:
    assert shown("a\x1b[31m\n" + "b" * 100) == "a?[31m?" + "b" * 73


def test_no_reader_has_a_parser_of_its_own() -> None:
    folder = Path(dsetkit.formats.__file__).parent
    own = re.compile(r"XMLParser|iterparse|fromstring\(|ElementTree|minidom")
    found = [path.name for path in folder.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert found == ["xml_text.py"]
