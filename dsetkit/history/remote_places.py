"""Which remote of DVC each stage's objects go to."""

from __future__ import annotations

import configparser
import posixpath
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dsetkit.errors import ParamsError

_DATA = "data/"


def stage_remotes(root: Path) -> dict[str, str | None]:
    """Stage (``raw``, ``cleaned``, ``augmented``, ``report``) → URL of its remote; None where there is none.

    ``remote:`` of an output in ``dvc.yaml``, else ``core.remote`` of ``.dvc/config``. Raises ``ParamsError`` for a
    remote that is named and not there.
    """
    config = configparser.ConfigParser(interpolation=None)
    for name in ("config", "config.local"):
        if (root / ".dvc" / name).is_file():
            config.read_string(_flat((root / ".dvc" / name).read_text(encoding="utf-8")))
    default = config.get("core", "remote", fallback=None)
    urls = {
        section.removeprefix("'remote \"").removesuffix("\"'"): config.get(section, "url", fallback=None)
        for section in config.sections()
        if section.startswith("'remote \"")
    }
    document: Any = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8")) or {}
    found: dict[str, str | None] = {}
    for node in (document.get("stages") or {}).values():
        body = node.get("do", node) if isinstance(node, dict) else {}
        for item in body.get("outs") or []:
            path, options = next(iter(item.items())) if isinstance(item, dict) else (item, {})
            stage = _stage(str(path))
            if stage is None or (options or {}).get("cache") is False:
                continue
            remote = (options or {}).get("remote") or default
            if remote is not None and remote not in urls:
                raise ParamsError(
                    f"{stage} goes to the remote {remote!r}, which .dvc/config does not have",
                    file="dvc.yaml",
                    hint=f"Make it: dvc remote add {remote} s3://BUCKET/PREFIX.",
                )
            found[stage] = _whole(urls, urls[remote]) if remote is not None else None
    return found


def _stage(path: str) -> str | None:
    """The stage that an output is of."""
    if path.startswith("reports/"):
        return "report"
    return path.removeprefix(_DATA).partition("/")[0] if path.startswith(_DATA) else None


def _whole(urls: dict[str, str | None], url: str | None) -> str | None:
    """A URL that goes on from another remote (``remote://NAME/PATH``), written out."""
    if url is None or not url.startswith("remote://"):
        return url
    name, _, rest = url.removeprefix("remote://").partition("/")
    base = urls.get(name)
    return None if base is None else posixpath.join(base, rest) if rest else base


def _flat(text: str) -> str:
    """DVC indents options, which this parser takes for values that go on."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines())
