"""The reference pages, made from the code: every command, and every key of ``params.yaml``.

``python -m dsetkit.cli.reference docs`` writes them; a test fails where they are out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic_core import to_json

from dsetkit.cli.app import app
from dsetkit.spec.params import Params

NOTE = "<!-- Made from the code by `python -m dsetkit.cli.reference docs`. -->\n"


def pages() -> dict[str, str]:
    """The pages by file name."""
    return {"commands.md": commands_page(), "params.md": params_page()}


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        NOTE,
        "Results go to stdout, progress and errors to stderr. Exit code 0: fine; 1: findings or a failed check;",
        "2: wrong usage or bad input.",
        "",
    ]
    for path, command in _commands(typer.main.get_command(app), "dsetkit"):
        lines += [f"## `{path}`", "", (command.help or "").strip(), ""]
        rows = [
            f"| `{_parameter(item)}` | {(item.help or '').replace('|', chr(92) + '|')} |"
            for item in command.params
            if item.name != "help" and getattr(item, "help", None)
        ]
        if rows:
            lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def params_page() -> str:
    """Every key of ``params.yaml`` with its default and meaning."""
    lines = ["# `params.yaml`", "", NOTE, "An unknown key is an error that names the nearest known one.", ""]
    lines += ["| key | default | meaning |", "|---|---|---|"]
    schema = Params.model_json_schema(by_alias=True)
    for path, node in _keys(schema, schema, ""):
        default = f"`{to_json(node['default']).decode()}`" if "default" in node else ""
        text = " ".join(str(node.get("description", "")).split()).replace("|", "\\|")
        lines.append(f"| `{path}` | {default.replace('|', chr(92) + '|')} | {text} |")
    return "\n".join([*lines, ""])


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from _commands(child, f"{path} {name}")
        else:
            yield f"{path} {name}", child


def _parameter(item: Any) -> str:
    if item.param_type_name == "argument":
        name = str(item.metavar or item.name.upper())
        return name if item.required or name.startswith("[") else f"[{name}]"
    names = ", ".join(item.opts)
    return names if item.is_flag else f"{names} {item.metavar or item.name.upper()}"


def _keys(node: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        target = _target(child, schema)
        if "properties" in target:
            yield here, {"description": child.get("description") or target.get("description", "")}
            yield from _keys(target, schema, here)
            continue
        yield here, child
        for placeholder, inner in _inside(child, schema):
            yield from _keys(inner, schema, f"{here}{placeholder}")


def _inside(child: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents inside a mapping (``.NAME``) or a list (``[]``), one for each that may stand there."""
    for key, placeholder in (("additionalProperties", ".NAME"), ("items", "[]")):
        inner = child.get(key)
        if not isinstance(inner, dict):
            continue
        for option in inner.get("oneOf", [inner]):
            target = _target(option, schema)
            tag = target.get("properties", {}).get("op", {}).get("const")
            if "properties" in target:
                yield f"{placeholder}(op: {tag})" if tag else placeholder, target


def _target(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def main() -> None:
    """Write the pages into the folder that is named."""
    folder = Path(sys.argv[1])
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
