"""Labels of any format, read with the keys of the project they lie in: sealed snapshots are read like plain ones."""

from __future__ import annotations

import os

from dsetkit.formats import reading
from dsetkit.formats.base import Format, Options
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import Opened
from dsetkit.stages.sealed import keys_near


def read_labels(
    path: str | os.PathLike[str], format: str | Format | None = None, *, options: Options | None = None
) -> LabelSet:
    """The labels in a file, a folder, an archive or at any fsspec URL; see ``dsetkit.formats.reading.read_labels``.

    ``format`` is a name that ``dsetkit formats`` lists, or a format itself; left out, it is found from the files.
    ``options`` are the format's own, and ``frame`` (see ``dsetkit.formats.frames``). Keys are paths of pictures
    relative to ``path``; coordinates are of the upright picture.

    Raises ``NotFoundError`` for a path or format that is not there or not found, ``FormatError`` where there is no
    label file of the format or one cannot be read at all, ``UsageError`` for an option that the format does not know;
    for a sealed snapshot ``AccessError`` that says who could grant it, ``TamperError`` for one that is not what was
    sealed.
    """
    return open_labels(path, format, options=options).labels


def open_labels(
    path: str | os.PathLike[str],
    format: str | Format | None = None,
    *,
    options: Options | None = None,
    look: bool | None = None,
) -> Opened:
    """As ``read_labels``, with the files and the reason for the format; ``look`` as for ``formats.reading``."""
    return reading.open_labels(path, format, options=options, look=look, keys=keys_near(path))
