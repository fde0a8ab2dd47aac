"""Label files spoiled in seeded ways: bytes, words, numbers, lines, and the structure of JSON and XML."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from lxml import etree

Files = dict[str, bytes]

_NUMBERS = (
    *(
        "0",
        "-1",
        "1",
        "1e308",
        "-1e308",
        "1e999",
        "NaN",
        "-Infinity",
        "inf",
        "0x10",
        "1e-320",
        "-0.0",
        "1.5",
        "2147483648",
    ),
    *("9223372036854775808", "-9223372036854775809", "9" * 400, "00", "1_000", "٣", "true", "null", '""', "[]", "{}"),
)
_WORDS = (
    *("", " ", "null", "true", "\\u0000", "\\ud800", "..", "../..", "/etc/passwd", "C:\\\\x", "http://[", "a" * 5000),
    *("é\u0301", "\u202e", "bbox", "polygon", "mask", "rle", "id", "name", "images", "0", "-1", "__class__", "$ref"),
)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        2**31,
        2**63,
        10**400,
        "",
        "x",
        "\x00",
    ),
    *("../../etc/passwd", "/etc/passwd", "1", "a" * 3000, [], {}, [[]], [None], {"": {}}, [[[[[1]]]]], "\ud800"),
)


def mutate(files: Files, targets: Sequence[str], donors: Sequence[bytes], dice: random.Random) -> Files:
    """The files, one to four of ``targets`` changed; ``donors`` are other label files to splice pieces from."""
    out = dict(files)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        name = dice.choice(targets)
        if name not in out:
            continue
        if dice.random() < 0.03:
            _rearrange(out, name, dice)
        else:
            out[name] = _change(out[name], donors, dice)
    return out


def _rearrange(files: Files, name: str, dice: random.Random) -> None:
    data = files.pop(name)
    choice = dice.randrange(4)
    if choice == 0:
        files[f"in/{name}"] = data
    elif choice == 1:
        files[name] = data
        files[f"again/{name}"] = data
    elif choice == 2:
        other = dice.choice(sorted(files) or [name])
        files[name], files[other] = files.get(other, b""), data


def _change(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    ways: list[Callable[[bytes, Sequence[bytes], random.Random], bytes]] = [
        _flip,
        _cut,
        _splice,
        _number,
        _word,
        _lines,
    ]
    head = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"{", b"["):
        ways += [_json] * 8
    elif head[:1] == b"<":
        ways += [_xml] * 8
    try:
        return dice.choice(ways)(data, donors, dice)
    except (ValueError, RecursionError, etree.LxmlError):
        return _flip(data, donors, dice)


def _flip(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(dice.choice((1, 1, 2, 8))):
        changed[dice.randrange(len(changed))] = dice.choice((dice.randrange(256), 0, 255, 0x80, 0x22, 0x2C))
    return bytes(changed)


def _span(data: bytes, dice: random.Random) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + dice.choice((1, 2, 4, 16, 64, 512, len(data))))


def _cut(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return dice.choice((data[:start], data[start:], data[:start] + data[end:], data[:end] + data[start:]))


def _splice(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    donor = dice.choice(donors)
    start, end = _span(data, dice)
    first, last = _span(donor, dice)
    return data[:start] + donor[first:last][:20_000] + data[end if dice.random() < 0.5 else start :]


def _number(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    return _replace_one(data, rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", _NUMBERS, dice)


def _word(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    words = [found.decode(errors="replace") for found in re.findall(rb"[A-Za-z_]{2,}", data)[:500]]
    return _replace_one(data, rb"[A-Za-z_]{2,}", (*_WORDS, *(dice.choice(words) for _ in range(20) if words)), dice)


def _replace_one(data: bytes, pattern: bytes, values: Sequence[str], dice: random.Random) -> bytes:
    found = [match.span() for match in re.finditer(pattern, data)]
    if not found:
        return _flip(data, (), dice)
    start, end = dice.choice(found)
    new = dice.choice(values).encode("utf-8", "surrogatepass")
    if dice.random() < 0.1:
        return data.replace(data[start:end], new)[:2_000_000]
    return data[:start] + new + data[end:]


def _lines(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    lines = data.split(b"\n")
    at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    choice = dice.randrange(5)
    if choice == 0:
        del lines[at]
    elif choice == 1:
        lines.insert(at, lines[other])
    elif choice == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif choice == 3:
        lines[at] = lines[at] * dice.choice((2, 50))
    elif lines[at][:1] in (b"{", b"["):
        lines[at] = _json(lines[at], donors, dice)
    return b"\n".join(lines)


def _json(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    document = json.loads(data)
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting and len(places) < 20_000:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            waiting.append(value)
    if not places:
        return json.dumps(dice.choice(_VALUES[:-1])).encode()
    for _ in range(dice.choice((1, 1, 2, 3))):
        node, key = dice.choice(places)
        _change_node(node, key, dice.choice(places), dice)
    return json.dumps(document, ensure_ascii=dice.random() < 0.7).encode("utf-8", "surrogatepass")


def _change_node(node: Any, key: Any, other: tuple[Any, Any], dice: random.Random) -> None:
    choice = dice.randrange(9)
    try:
        if choice <= 2:
            node[key] = dice.choice(_VALUES)
        elif choice == 3:
            del node[key]
        elif choice == 4:
            node[key] = [node[key]] * dice.choice((1, 2, 100))
        elif choice == 5 and isinstance(node, dict):
            node[dice.choice(_WORDS)] = node.pop(key)
        elif choice == 6:
            node[key] = json.loads(json.dumps(other[0][other[1]]))
        elif choice == 7:
            inner = node[key]
            for _ in range(dice.choice((1, 3, 60, 400))):
                inner = [inner] if dice.random() < 0.5 else {"a": inner}
            node[key] = inner
        elif isinstance(node[key], list) and len(node[key]) < 1000:
            node[key] = node[key] * dice.choice((0, 2, 7))
    except (LookupError, TypeError):  # an earlier change took it away
        return


def _xml(data: bytes, donors: Sequence[bytes], dice: random.Random) -> bytes:
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    for _ in range(dice.choice((1, 1, 2, 3))):
        element, other = dice.choice(elements), dice.choice(elements)
        choice = dice.randrange(7)
        if choice == 0:
            element.text = dice.choice((*_NUMBERS, "", "x" * 3000, "../..", "/etc/passwd"))
        elif choice == 1 and element.getparent() is not None:
            element.getparent().remove(element)
        elif choice == 2 and element.getparent() is not None:
            for _ in range(dice.choice((1, 1, 30))):
                element.getparent().append(etree.fromstring(etree.tostring(element)))
        elif choice == 3:
            element.tag = other.tag
        elif choice == 4 and element.attrib:
            element.attrib[dice.choice(sorted(element.attrib))] = dice.choice((*_NUMBERS, "", "x" * 3000))
        elif choice == 5 and element.attrib:
            del element.attrib[dice.choice(sorted(element.attrib))]
        elif choice == 6:
            element.append(etree.fromstring(etree.tostring(other)))
    return etree.tostring(root)
