"""The data in a pickle of plain values and NumPy arrays, read by its opcodes: nothing is imported, made or called.

Python's own ``pickle`` runs whatever a file names. Here a name is only compared with the few that such files hold,
and what would be called is put down as the data that it stands for. Any other name or opcode is an error.

Format: the opcodes and their arguments as ``pickletools`` of Python 3 lists them, protocols 2 to 5; the state of
NumPy's arrays as ``numpy/_core/src/multiarray/methods.c`` (``array_reduce``, ``array_setstate``) has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from dsetkit.errors import FormatError

MAX_OPCODES = 40_000_000
MAX_OBJECTS = 3_000_000
"""Lists, tuples, dicts, arrays and texts; a batch of CIFAR-100 makes 250,000."""

_HINT = "Only batches as CIFAR's authors publish them are read; nothing in a pickle is ever run."
_CORE = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_KNOWN = {
    **dict.fromkeys(((module, "_reconstruct") for module in _CORE), "reconstruct"),
    **dict.fromkeys(((module, "scalar") for module in _CORE), "scalar"),
    **dict.fromkeys(((module, "_frombuffer") for module in _NUMERIC), "frombuffer"),
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
}
_WIDTHS = {"u1": 1, "u2": 2, "u4": 4, "u8": 8, "i1": 1, "i2": 2, "i4": 4, "i8": 8}


class Span(NamedTuple):
    """Bytes that stay where they are in the file."""

    start: int
    size: int


class _Name(NamedTuple):
    """One of ``_KNOWN``."""

    role: str


class _Dtype(NamedTuple):
    """NumPy's type, by its text: ``u1``, ``|u1``, ``O8``."""

    text: str


class Array:
    """What a NumPy array is made of."""

    def __init__(self) -> None:
        self.dtype = ""
        self.shape: tuple[int, ...] = ()
        self.content: Span | bytes | list[Any] = b""
        """Its bytes in C order (few ones as they are), or its objects."""


class PickledData:
    """Reads one pickle."""

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._path = path
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._objects = 0

    def read(self) -> dict[str, Any]:
        """The dict that it holds, keys as text. Raises ``FormatError`` for anything else."""
        try:
            return self._run()
        except FormatError:
            raise
        except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError):
            self._refuse("cannot be followed any further; it is cut off or damaged")

    def _run(self) -> dict[str, Any]:
        data = self._data
        for _ in range(MAX_OPCODES):
            code = data[self._at]
            self._at += 1
            if code == 0x4B:  # BININT1, far the most frequent
                self._stack.append(data[self._at])
                self._at += 1
                continue
            if code == 0x2E:  # STOP
                return self._finish()
            action = _ACTIONS.get(code)
            if action is None:
                self._at -= 1
                self._refuse(f"has the opcode 0x{code:02x}, which data has no need of")
            action(self)
        self._refuse(f"has more than {MAX_OPCODES:,} opcodes")

    def _finish(self) -> dict[str, Any]:
        top = self._stack.pop()
        if not isinstance(top, dict) or self._stack:
            self._refuse("is no dict")
        return {(key.decode("latin-1") if isinstance(key, bytes) else str(key)): value for key, value in top.items()}

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self._at + count
        if end > len(self._data):
            raise IndexError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, count: int, *, signed: bool = False) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def push(self, value: Any) -> None:
        """Onto the stack."""
        self._stack.append(value)

    def push_object(self, value: Any) -> None:
        """Onto the stack, counted."""
        self._objects += 1
        if self._objects > MAX_OBJECTS:
            self._refuse(f"has more than {MAX_OBJECTS:,} objects")
        self._stack.append(value)

    def span(self, count: int) -> None:
        """The next bytes stay where they are."""
        if self._at + count > len(self._data):
            raise IndexError
        self.push_object(Span(self._at, count))
        self._at += count

    def line(self) -> str:
        """What stands before the next line feed."""
        end = self._data.index(b"\n", self._at, self._at + 200)
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def pop(self) -> Any:
        """From the stack; nothing below the last mark."""
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise IndexError
        return self._stack.pop()

    def mark(self) -> None:
        """What follows is taken together by ``since_mark``."""
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[Any]:
        """What came since the last mark."""
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def top(self) -> Any:
        """What is on top of the stack."""
        return self._stack[-1]

    def memo_get(self, place: int) -> None:
        """What was put down under a number."""
        self._stack.append(self._memo[place])

    def memo_put(self, place: int) -> None:
        """Put down what is on top."""
        self._memo[place] = self._stack[-1]

    def memoize(self) -> None:
        """Put down what is on top under the next number."""
        self._memo[len(self._memo)] = self._stack[-1]

    def name(self, module: object, name: object) -> None:
        """A name of something in Python: one of those known to stand for data."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError
        role = _KNOWN.get((module, name))
        if role is None:
            self._refuse(f"names {f'{module}.{name}'[:100]}, which is no data and is not run")
        self.push_object(_Name(role))

    def set_items(self, items: list[Any]) -> None:
        """Into the dict on top."""
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes):
                raise TypeError
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        """Into the list on top."""
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target.extend(items)

    def reduce(self) -> None:
        """What a call of a known name stands for."""
        given, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or not isinstance(given, tuple):
            raise TypeError
        if name.role == "dtype":
            self.push_object(_Dtype(_text(given[0])))
        elif name.role == "reconstruct" and given[0] == _Name("ndarray"):
            self.push_object(Array())
        elif name.role == "frombuffer":
            content, dtype, shape, order = given
            self.push_object(self._array(shape, dtype, order != "C", content))
        elif name.role == "scalar":
            self.push_object(self._scalar(*given))
        elif name.role == "encode":
            self.push_object(given[0].encode("latin-1"))
        else:
            raise TypeError

    def build(self) -> None:
        """The state of an array or a type."""
        state = self.pop()
        target = self._stack[-1]
        if isinstance(target, _Dtype):
            return
        if not isinstance(target, Array):
            raise TypeError
        _, shape, dtype, fortran, content = state
        made = self._array(shape, dtype, bool(fortran), content)
        target.dtype, target.shape, target.content = made.dtype, made.shape, made.content

    def _array(self, shape: tuple[int, ...], dtype: _Dtype, fortran: bool, content: Any) -> Array:
        array = Array()
        array.dtype = _plain(dtype)
        array.shape = tuple(shape)
        if len(array.shape) > 4 or any(type(side) is not int or side < 0 for side in array.shape):
            raise TypeError
        if fortran and len(array.shape) > 1:
            self._refuse("has an array whose values stand column by column, which is not read")
        size = content.size if isinstance(content, Span) else len(content)
        width = 1 if array.dtype == "O" and isinstance(content, list) else _WIDTHS.get(array.dtype)
        if width is None or (array.dtype != "O" and not isinstance(content, Span | bytes)):
            self._refuse(f"has an array of {array.dtype[:20]!r}, where pixels are of one byte, 'u1'")
        if math.prod(array.shape) * width != size:
            self._refuse(f"has an array of shape {array.shape} in {size:,} bytes or objects")
        array.content = content
        return array

    def _scalar(self, dtype: _Dtype, content: bytes) -> int:
        kind = _plain(dtype)
        if len(content) != _WIDTHS[kind]:
            raise TypeError
        return int.from_bytes(content, "little", signed=kind[0] == "i")

    def _refuse(self, what: str) -> NoReturn:
        place = f"byte {self._at}"
        raise FormatError(f"the pickle {self._path} {what}", file=self._path, place=place, hint=_HINT)


def _plain(dtype: _Dtype) -> str:
    """``u1`` for ``|u1``, ``<u1`` and ``uint8``; ``O`` for objects; ``>i4`` stays as it is."""
    text = dtype.text.lstrip("|<=")
    return "O" if text in ("O4", "O8") else {"uint8": "u1", "int64": "i8", "int32": "i4"}.get(text, text)


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError
    return text


def _frame(reader: PickledData) -> None:
    reader.take(8)  # how long a frame is does not matter here


def _protocol(reader: PickledData) -> None:
    if reader.number(1) > 5:
        raise ValueError


def _stack_global(reader: PickledData) -> None:
    name, module = reader.pop(), reader.pop()
    reader.name(module, name)


def _tuple(count: int) -> Callable[[PickledData], None]:
    def action(reader: PickledData) -> None:
        items = [reader.pop() for _ in range(count)]
        reader.push_object(tuple(reversed(items)))

    return action


def _set_item(reader: PickledData) -> None:
    value, key = reader.pop(), reader.pop()
    reader.set_items([key, value])


_ACTIONS: dict[int, Callable[[PickledData], None]] = {
    0x80: _protocol,
    0x95: _frame,
    ord("("): PickledData.mark,
    ord("N"): lambda r: r.push(None),
    0x88: lambda r: r.push(True),
    0x89: lambda r: r.push(False),
    ord("M"): lambda r: r.push(r.number(2)),
    ord("J"): lambda r: r.push(r.number(4, signed=True)),
    0x8A: lambda r: r.push(r.number(min(r.number(1), 16), signed=True)),  # LONG1
    ord("U"): lambda r: r.push_object(r.take(r.number(1))),  # SHORT_BINSTRING: Python 2's text
    ord("C"): lambda r: r.push_object(r.take(r.number(1))),
    ord("T"): lambda r: r.span(r.number(4)),
    ord("B"): lambda r: r.span(r.number(4)),
    0x8E: lambda r: r.span(r.number(8)),
    0x96: lambda r: r.span(r.number(8)),
    0x8C: lambda r: r.push_object(r.take(r.number(1)).decode("utf-8", "surrogatepass")),
    ord("X"): lambda r: r.push_object(r.take(r.number(4)).decode("utf-8", "surrogatepass")),
    ord("]"): lambda r: r.push_object([]),
    ord("}"): lambda r: r.push_object({}),
    ord(")"): lambda r: r.push_object(()),
    ord("t"): lambda r: r.push_object(tuple(r.since_mark())),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("a"): lambda r: r.extend([r.pop()]),
    ord("e"): lambda r: r.extend(r.since_mark()),
    ord("s"): _set_item,
    ord("u"): lambda r: r.set_items(r.since_mark()),
    ord("q"): lambda r: r.memo_put(r.number(1)),
    ord("r"): lambda r: r.memo_put(r.number(4)),
    0x94: PickledData.memoize,
    ord("h"): lambda r: r.memo_get(r.number(1)),
    ord("j"): lambda r: r.memo_get(r.number(4)),
    ord("c"): lambda r: r.name(r.line(), r.line()),
    0x93: _stack_global,
    ord("R"): PickledData.reduce,
    ord("b"): PickledData.build,
}
