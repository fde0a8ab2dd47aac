"""A new project's files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dsetkit.errors import TamperError, UsageError
from dsetkit.spec.lock import ToolsLock
from dsetkit.spec.params import SourceParams
from dsetkit.stages.corrections import make_corrections_folder
from dsetkit.stages.demo import demo_params, write_demo
from dsetkit.stages.manage import add_source
from dsetkit.stages.project import CORRECTIONS, PARAMS, SOURCES_LOCK, TOOLS_LOCK, Project
from dsetkit.stages.sealed import has_policy
from dsetkit.stages.tools import tool_versions
from dsetkit.stages.yaml_documents import load_yaml, root_value, save_yaml
from dsetkit.storage.atomic import write_atomic

DEMO_SOURCE = "data/sources/demo"

PARAMS_TEXT = """\
# What this dataset is made of and how. Every key and its meaning: dsetkit schema export params

# Written by: dsetkit add NAME PATH
sources: {}

schema: null  # the contract of the whole dataset, for example schemas.detection:Label

shards:
  target_bytes: 8388608

ingest:
  max_pixels: 89478485  # a picture that declares more is not decoded

clean:
  categories:
    names: []  # the dataset's categories in order; left empty: all that sources name
    map: {}  # a source's category: the dataset's, or null to drop it
    unknown: fail  # fail | drop
  repair:
    clip_px: 2.0  # what sticks out of the picture by at most this is clipped
  on_invalid: drop  # drop | drop_sample | keep | fail
  max_invalid: 0.02  # more than this share of annotations invalid fails the build
  quality:
    min_side_px: 8
    min_sharpness: null
    min_brightness: 0.02
    max_brightness: 0.98
    min_contrast: null
  duplicates:
    exact: drop  # drop | keep
    near: group  # drop | group (keep them in one split) | keep
    near_distance: 4  # bits of 64
    on_label_conflict: refuse  # refuse | keep | merge
  split:
    ratios: {train: 0.8, val: 0.1, test: 0.1}
    given: keep  # keep | ignore the splits that sources give
    group_by: null  # a regular expression on keys; what it captures shares a split
    seed: 0
  pixels:
    mode: keep  # keep | RGB | L
    max_side_px: null
    format: keep  # keep | jpeg | png | webp
    quality: 95
    strip_metadata: true

augment:
  recipes: {}  # NAME: {variants: 1, operations: [{op: flip}, {op: rotate, angle_deg: [-10, 10]}]}
  seed: 0

report:
  pictures: 240  # samples shown with their labels drawn
  rejected: 1000  # turned-away samples shown
  clusters: 60  # clusters of duplicates shown
  variants: 24  # samples shown with what augmentation made of them

# What only people know. dsetkit verify fails until what the contract wants is stated; all there is: docs/params.md
card:
  schema: schemas.card:Card
  title: null
  summary: null  # what it is, in a sentence or two
  purpose: null  # what it was made for, by whom, with whose money
  license: {}  # {id: CC-BY-4.0}, or {name: ..., url: ...}
  contacts: []  # [{name: ..., email: ...}]
  collection: {}  # {how: ..., by: ..., start: YYYY-MM-DD, end: YYYY-MM-DD}
  annotation: {}  # {how: ..., kinds: [expert-generated], guidelines: ...}
  consent: null  # who consented to what, or why nobody had to
  personal_information: null  # people, faces, plates, places in it
  limits: []  # what it does not show or cannot tell
"""


def write_project(root: Path, *, demo: bool = False) -> list[str]:
    """Write the files of a new project into ``root``; gives their names.

    Nothing that stands there is overwritten. Raises what ``prepare_folder`` raises.
    """
    prepare_folder(root)
    (root / "data" / "raw").mkdir(parents=True, exist_ok=True)
    written = [PARAMS, "dvc.yaml", SOURCES_LOCK, TOOLS_LOCK, "schemas/", f"{CORRECTIONS}/"]
    make_corrections_folder(root)
    write_atomic(root / "dvc.yaml", (_starter() / "dvc.yaml").read_bytes())
    _copy_schemas(root / "schemas")
    write_atomic(root / SOURCES_LOCK, b"{}\n")
    save_yaml(root / TOOLS_LOCK, root_value(ToolsLock(tool_versions())))
    write_atomic(root / PARAMS, PARAMS_TEXT.encode())
    if demo:
        _make_demo(root)
        written.append(f"{DEMO_SOURCE}/")
    return written


def prepare_folder(root: Path) -> None:
    """Make the folder of a new project; raises ``UsageError`` where it holds a project already or is a file.

    What this user knows of another project, with a policy, that an empty folder held before is forgotten. Where there
    still is something, ``TamperError``: somebody may have taken it away.
    """
    if (root / PARAMS).exists() or (root / "dvc.yaml").exists():
        raise UsageError(f"{root} holds a project already", hint="Choose another folder, or go on with this one.")
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file", hint="Choose another name for the project's folder.")
    root.mkdir(parents=True, exist_ok=True)
    if has_policy(root):
        from dsetkit.access.trust import forget_place

        if any(root.iterdir()):
            raise TamperError(
                f"{root} holds, or held when you last looked, a project with an access policy",
                subject=str(root),
                hint="Take it back (git checkout), or make the new one in an empty folder.",
            )
        forget_place(root)


def _make_demo(root: Path) -> None:
    write_demo(root / DEMO_SOURCE)
    document = load_yaml(root / PARAMS)
    for section, values in demo_params().items():
        if section == "card":
            document[section] = values
        elif section != "sources":
            _merge(document, section, values)
    save_yaml(root / PARAMS, document)
    project = Project(root)
    for name, source in demo_params()["sources"].items():
        add_source(project, name, SourceParams.model_validate(source))


def _merge(document: dict[str, Any], name: str, values: object) -> None:
    """Put values into a YAML document without losing its comments."""
    known = document.get(name)
    if isinstance(values, dict) and hasattr(known, "items") and known:
        for key, value in values.items():
            _merge(known, key, value)
    else:
        document[name] = values


def _copy_schemas(place: Path) -> None:
    if not place.exists():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "json")
        shutil.copytree(_starter() / "schemas", place, ignore=ignored)


def _starter() -> Path:
    """The folder with the starter files: inside an installed wheel, or this repository's own top."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "starter"
    return inside if inside.is_dir() else package.parent
