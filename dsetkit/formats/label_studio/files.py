"""Label Studio's files: exports, tasks to import, labelling configurations; told by their beginnings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dsetkit.formats.xml_text import MAX_XML_BYTES
from dsetkit.storage.tree import Tree

HEAD_BYTES = 64 * 1024
_CONFIGS = 20
"""How many XML files beside a task file are looked into."""
_LIST = re.compile(rb"\[\s*\{")
_DATA = re.compile(rb'"data"\s*:\s*\{')
_LABELS = re.compile(rb'"(?:annotations|completions|predictions|drafts)"\s*:\s*\[')
_RESULT = re.compile(rb'"result"\s*:\s*(?:\[|null)')
_OWN = re.compile(rb'"(?:completed_by|from_name|was_cancelled|model_version|lead_time|file_upload)"\s*:')
_TASK = re.compile(rb'"task"\s*:\s*\{')
_MIN = tuple(re.compile(rb'"%s"\s*:' % name) for name in (b"annotation_id", b"annotator", b"lead_time"))
_BARE = re.compile(rb'\[\s*\{\s*(?:"id"\s*:\s*\d+\s*,\s*)?"data"\s*:\s*\{[^{}]*"(?:image|img|images|image_url)"\s*:')


class TaskFile(NamedTuple):
    """One JSON file with tasks."""

    path: str
    confidence: float
    why: str
    """What was seen in it."""


def find_files(tree: Tree, at_most: int | None = None) -> Iterator[TaskFile]:
    """The files with tasks, by path. Reads the beginning of each JSON file, as far as it is asked on.

    ``at_most`` bounds how many files are looked into.
    """
    looked = 0
    for path in tree.entries:
        if not path.lower().endswith(".json"):
            continue
        looked += 1
        if at_most is not None and looked > at_most:
            return
        found = looks_like_tasks(tree.read_head(path, HEAD_BYTES))
        if found is not None:
            yield TaskFile(path, *found)


def looks_like_tasks(head: bytes) -> tuple[float, str] | None:
    """How surely a file with this beginning is Label Studio's, and what shows it; None where it does not look so."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe \t\r\n")
    is_list = _LIST.match(text) is not None
    if not is_list and not text.startswith(b"{"):
        return None
    if is_list and all(name.search(text) for name in _MIN) and not _DATA.search(text) and not _RESULT.search(text):
        return 0.9, "annotation_id, annotator and lead_time, as JSON-MIN has them"
    labels, data, own = _LABELS.search(text), _DATA.search(text), _OWN.search(text)
    if labels and (_RESULT.search(text) or data) and (own or (data and is_list)):
        return (0.95 if is_list else 0.85), "tasks with data and annotations"
    if not is_list and _TASK.search(text) and data and _RESULT.search(text):
        return 0.85, "an annotation with its task"
    if is_list and _BARE.match(text):
        return 0.7, "tasks with data"
    return None


def find_configs(tree: Tree, tasks: list[str]) -> list[str]:
    """Labelling configurations (XML) in the folders of task files, sorted."""
    folders = {path.rpartition("/")[0] for path in tasks}
    found: list[str] = []
    looked: dict[str, int] = {}
    for path in tree.entries:
        folder = path.rpartition("/")[0]
        if folder not in folders or not path.lower().endswith(".xml"):
            continue
        looked[folder] = looked.get(folder, 0) + 1
        is_small = tree.entries[path].size_bytes <= MAX_XML_BYTES
        if looked[folder] <= _CONFIGS and is_small and looks_like_config(tree.read_head(path, 4096)):
            found.append(path)
    return found


def looks_like_config(head: bytes) -> bool:
    """Whether a file with this beginning is a labelling configuration: tags in a ``View``."""
    return re.search(rb"<View[\s>/]", head) is not None
