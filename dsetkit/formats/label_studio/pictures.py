"""Which pictures a task is about, and by what names they may be known."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from dsetkit.formats.inline import is_inline
from dsetkit.formats.notes import bucket_path
from dsetkit.imaging.media import PICTURE_EXTENSIONS

_UPLOAD = re.compile(r"(.*/)?[0-9a-f]{8}-(?=[^/]+\Z)")
_USUAL = ("image", "img", "image_url", "picture", "photo", "images", "url")
_SIGNED = re.compile(r"[?&][^=]*(?:signature|token|sig|credential)=", re.IGNORECASE)


def image_key(data: Mapping[str, Any], given: str | None, known: Sequence[str]) -> str | None:
    """The field of a task's data that holds its picture or pictures: the one given, one that a configuration names,
    the usual names, else the only one that looks like a picture's name."""
    if given is not None:
        return given if given in data else None
    for name in (*known, *_USUAL):
        if name in data and texts_of(data[name]):
            return name
    likely = [name for name, value in data.items() if any(map(_is_picture, texts_of(value)))]
    return likely[0] if len(likely) == 1 else None


def texts_of(value: Any) -> list[str]:
    """The names in a field: one, a list of them, or a list of objects that each hold one."""
    if isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list):
        return []
    names: list[str] = []
    for item in value:
        if isinstance(item, dict):
            item = next((item[name] for name in (*_USUAL, "src", "source") if isinstance(item.get(name), str)), None)
        if not isinstance(item, str) or not item:
            return []
        names.append(item)
    return names


def names_of(text: str, file_upload: Any) -> list[str]:
    """The names by which a picture may be found, best first; of one that stands in the task itself only those.

    ``/data/local-files/?d=a/1.jpg`` is ``a/1.jpg``; a proxy's ``?fileuri=`` names what it stands for; an upload bears 8
    digits that Label Studio put before its name; ``file_upload`` is the name of what was uploaded.
    """
    if is_inline(text):
        is_named = isinstance(file_upload, str) and _is_picture(file_upload)
        return [file_upload, _UPLOAD.sub(r"\1", file_upload)] if is_named else []
    in_bucket = bucket_path(text)
    if in_bucket is not None:
        return [in_bucket]
    names = [text]
    if "?" in text:
        names = _from_query(text) or names
    if text.startswith("/data/"):
        names = [unquote(name) for name in names] + names if names == [text] else names
    elif "://" not in text:
        names += [unquote(name) for name in names if "%" in name]
    names += [_UPLOAD.sub(r"\1", name) for name in names if _UPLOAD.match(name)]
    if isinstance(file_upload, str) and _is_picture(file_upload):
        names += [file_upload, _UPLOAD.sub(r"\1", file_upload)]
    return list(dict.fromkeys(name for name in names if name))


def _from_query(text: str) -> list[str]:
    try:
        parts = urlsplit(text)
        query = parse_qs(parts.query.replace("+", "%2B"))  # a plus in a file's name is a plus
    except ValueError:
        return []
    if "d" in query and parts.path.rstrip("/").endswith("local-files"):
        return [query["d"][0]]
    if "fileuri" in query:
        try:
            name = base64.urlsafe_b64decode(query["fileuri"][0] + "==").decode()
            return [bucket_path(name) or name]
        except ValueError:
            return []
    return [] if "://" in text else [unquote(parts.path)]


def uri_of(text: str) -> str | None:
    """Where the picture is, if that is a URL; without a signature, which is a secret."""
    if "://" not in text or is_inline(text):
        return None
    return text.partition("?")[0] if _SIGNED.search(text) else text


def _is_picture(name: str) -> bool:
    if is_inline(name):
        return name[5:11].lower() == "image/"
    path = name.partition("?")[0] if "local-files" not in name else name
    dot = path.rfind(".")
    return dot >= 0 and path[dot:].lower() in PICTURE_EXTENSIONS
