"""Reading labels of any format."""

from __future__ import annotations

import os

from dsetkit.formats import registry
from dsetkit.formats.base import Format, Options
from dsetkit.formats.join import join
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.storage.scan import Tree, scan


def read_labels(
    path: str | os.PathLike[str], format: str | Format | None = None, *, options: Options | None = None
) -> LabelSet:
    """The labels in a file, a folder or at any fsspec URL.

    ``format`` is a name that ``dsetkit formats`` lists, or a format itself; left out, it is found from the files.
    ``options`` are the format's own. Of a folder the pictures in it are known by their paths (and not opened, but for
    a size where a format needs it): keys are those paths, pictures nobody labelled are there too, a picture that is
    named and not there is an issue. Where there are no pictures (a single label file) keys are the names it gives,
    made safe.

    Raises ``NotFoundError`` for a path or format that is not there or not found, ``FormatError`` where there is no
    label file of the format or one cannot be read at all, ``UsageError`` for an option that the format does not know.
    """
    tree = scan(os.fspath(path))
    if isinstance(format, Format):
        return read_tree(format, tree, options)
    name = format if format is not None else registry.detect(tree)[0].format
    return read_tree(registry.get(name), tree, options)


def read_tree(label_format: Format, tree: Tree, options: Options | None = None) -> LabelSet:
    """The labels of a scanned tree, joined with its pictures; see ``read_labels``. Issues of the scan come first."""
    checked = label_format.check_options(options)
    own = set(label_format.label_files(tree))
    pictures = [path for path in label_format.pictures(tree) if path not in own]
    labels = label_format.read(tree, PictureIndex(tree, pictures), checked)
    if pictures:
        labels = join([(labels, None)], pictures)
    return labels.with_issues(tree.issues)
