"""Reading labels of any format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dsetkit.formats import registry
from dsetkit.formats.base import Detection, Format, Options
from dsetkit.formats.frames import Frame, bring_upright, check_frame
from dsetkit.formats.join import join
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.imaging.versions import codec_versions
from dsetkit.snapshots.sealing import Keys
from dsetkit.spec.base import canonical_json
from dsetkit.storage.held import holding
from dsetkit.storage.scan import Tree, scan

NEAR_WORKERS = 8
"""A place that is read by more at a time is behind a network: there, looking at every picture takes a while."""


@dataclass(frozen=True)
class Opened:
    """Labels, and what they were read from."""

    labels: LabelSet
    tree: Tree
    """The files, and the pictures held in them."""
    format: Format
    found: tuple[Detection, ...] = ()
    """What the files look like, likeliest first, where nobody named the format."""


def read_labels(
    path: str | os.PathLike[str], format: str | Format | None = None, *, options: Options | None = None
) -> LabelSet:
    """The labels in a file, a folder, an archive or at any fsspec URL.

    ``format`` is a name that ``dsetkit formats`` lists, or a format itself; left out, it is found from the files.
    ``options`` are the format's own, and ``frame`` (see ``dsetkit.formats.frames``). Pictures beside the labels, or
    held in their files, are known by their paths: keys are those paths, pictures nobody labelled are there too, a
    picture that is named and not there is an issue. Of pictures on this machine whose labels declare a size the
    header is read: coordinates of the picture as stored are brought to the upright one, and a size that is not the
    picture's is an issue ``size-differs``. Where there are no pictures (a single label file) keys are the names it
    gives, made safe.

    Raises ``NotFoundError`` for a path or format that is not there or not found, ``FormatError`` where there is no
    label file of the format or one cannot be read at all, ``UsageError`` for an option that the format does not know.
    """
    return open_labels(path, format, options=options).labels


def open_labels(
    path: str | os.PathLike[str],
    format: str | Format | None = None,
    *,
    options: Options | None = None,
    look: bool | None = None,
    keys: Keys | None = None,
) -> Opened:
    """As ``read_labels``, with the files and the reason for the format.

    ``look``: whether the headers of pictures are read also where they are behind a network; False: nowhere.
    ``keys`` open what is sealed; without them a sealed snapshot raises ``AccessError``.
    """
    tree = scan(os.fspath(path))
    if isinstance(format, Format):
        return open_tree(format.with_keys(keys), tree, options, look=look)
    if format is not None:
        return open_tree(registry.get(format).with_keys(keys), tree, options, look=look)
    best, others = registry.detect(tree)
    opened = open_tree(registry.get(best.format).with_keys(keys), tree, options, look=look)
    return Opened(opened.labels, opened.tree, opened.format, (best, *others))


def read_tree(label_format: Format, tree: Tree, options: Options | None = None) -> LabelSet:
    """The labels of a scanned tree, joined with its pictures; see ``read_labels``. Issues of the scan come first."""
    return open_tree(label_format, tree, options).labels


def open_tree(label_format: Format, tree: Tree, options: Options | None = None, *, look: bool | None = None) -> Opened:
    """As ``read_tree``, with the files; ``look`` as in ``open_labels``."""
    frame, given = split_frame(label_format, options)
    checked = label_format.check_options(given)
    own = set(label_format.label_files(tree))
    whole, held = with_held(tree, [(label_format, tree, checked)])
    pictures = all_pictures([label_format], tree, held, own)
    index = PictureIndex(whole, pictures)
    labels = label_format.read(tree, index, checked)
    near = look if look is not None else whole.workers <= NEAR_WORKERS or frame == "stored"
    if near and (frame == "stored" or not label_format.sizes_known):
        labels = bring_upright(labels, index, frame)
    if pictures:
        labels = join([(labels, None)], pictures)
    return Opened(labels.with_issues(whole.issues), whole, label_format)


def split_frame(label_format: Format, options: Options | None) -> tuple[Frame, Options | None]:
    """The option ``frame``, which every format has, and the others. Raises ``UsageError`` for an unknown word."""
    if options is None or "frame" not in options or "frame" in label_format.options:
        return label_format.frame, options
    frame = check_frame(options["frame"])
    return frame if frame != "auto" else label_format.frame, {k: v for k, v in options.items() if k != "frame"}


def with_held(tree: Tree, items: Iterable[tuple[Format, Tree, Mapping[str, Any]]]) -> tuple[Tree, frozenset[str]]:
    """The tree with the pictures that label files hold, and the paths of those.

    ``items`` are formats, each with the tree of its labels and its options. Raises as ``Format.held``.
    """
    held: frozenset[str] = frozenset()
    whole = tree
    for label_format, labels, options in items:
        version = canonical_json({"format": label_format.name, "options": options, "codecs": codec_versions()})
        containers = whole if labels is tree else labels
        whole, more = holding(whole, label_format.held(labels, options), containers=containers, version=version)
        held |= more
    return whole, held


def all_pictures(formats: Iterable[Format], tree: Tree, held: Iterable[str], own: Iterable[str]) -> list[str]:
    """Paths of all pictures, sorted: files of the tree but label files, and those held in files."""
    found = {path for label_format in formats for path in label_format.pictures(tree)}
    return sorted((found - set(own)) | set(held), key=str.encode)
