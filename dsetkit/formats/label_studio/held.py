"""Pictures that stand in tasks themselves, as ``data:`` URLs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.inline import InlineReader, check, is_inline, numbered_key, stretches
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_stream import Piece
from dsetkit.formats.label_studio.config import Config
from dsetkit.formats.label_studio.pictures import image_key, names_of, texts_of
from dsetkit.formats.label_studio.tasks import iter_tasks, task_pieces
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import label_chunks
from dsetkit.storage.held import HeldPicture
from dsetkit.storage.tree import Tree

_URL = b'"data:'


def held_pictures(
    tree: Tree, files: Iterable[str], pictures: PictureIndex, config: Config, key: str | None
) -> Iterator[HeldPicture]:
    """Those in ``files`` that can be read and of which there is no file, under the keys that the reader gives them."""
    for path in files:
        try:
            if not _has_urls(tree, path):
                continue
            for piece in task_pieces(tree, path):
                if _URL in piece.text.lower():
                    yield from _held(tree, path, piece, pictures, config, key)
        except FormatError:  # told of when the labels are read
            continue


def _has_urls(tree: Tree, path: str) -> bool:
    """Whether there is one anywhere; nothing is parsed."""
    end = b""
    for portion in label_chunks(tree, path):
        if _URL in (end + portion[: len(_URL)]).lower() or _URL in portion.lower():
            return True
        end = portion[-len(_URL) :]
    return False


def _held(
    tree: Tree, path: str, piece: Piece, pictures: PictureIndex, config: Config, key: str | None
) -> Iterator[HeldPicture]:
    places = stretches(piece.text)
    near = path.rpartition("/")[0]
    for number, task in iter_tasks(piece, config.choices, FileNotes(IssueList(), path)):
        field = image_key(task["data"], key, config.image_keys)
        texts = texts_of(task["data"][field]) if field is not None else []
        for at, text in enumerate(texts):
            place = places.get(hash(text)) if is_inline(text) else None
            if place is None:
                continue
            if any(pictures.candidates(name, near) for name in names_of(text, task.get("file_upload"))):
                continue
            try:
                data, media_type = check(text)
            except PictureError:  # told of when the labels are read
                continue
            read = InlineReader(tree, path, piece.start + place[0], place[1])
            name = numbered_key(path, number, media_type, at if len(texts) > 1 else None)
            yield HeldPicture(name, path, read, len(data))
