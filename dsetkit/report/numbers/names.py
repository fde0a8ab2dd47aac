"""Names that come from data, as they stand in metrics and plots."""

from __future__ import annotations

_RESERVED = frozenset("%<|")
"""``%`` for itself; ``<`` as DVC pastes plots into a script of its page as they are, where ``</script>`` would end it;
``|`` as it ends a cell of a Markdown table."""


def plain_name(name: str, *, reserved: str = "") -> str:
    """The name, with what is not printable, ``%``, ``<``, ``|`` and ``reserved`` as ``%XX`` of their UTF-8.

    Two names never come out alike, and ``urllib.parse.unquote`` gives the name back.
    """
    kept = _RESERVED.union(reserved)
    return "".join(
        character if character.isprintable() and character not in kept else _percent(character) for character in name
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
