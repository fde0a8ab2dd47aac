"""IDX: the files of MNIST, Fashion-MNIST, KMNIST, EMNIST and QMNIST.

Definition: https://yann.lecun.com/exdb/mnist ("FILE FORMATS FOR THE MNIST DATABASE"): a header and numbers, big-endian.
Read are images of one byte a pixel (``idx3-ubyte``) and labels, one number each (``idx1-ubyte``, ``idx1-int``, ...; of
any element type, whole numbers), or QMNIST's eight (``idx2-int``), also packed by gzip or xz.

Pictures and keys. A picture is given out as a grey PNG, nothing is lost. Files belong together whose names differ in
the words for what they hold alone (``train-images-idx3-ubyte.gz``, ``train-labels-idx1-ubyte.gz``); the picture of
number 7 of these has the key ``train/000007.png``. Of one file packed and unpacked the unpacked one is taken.
``train`` and ``test`` (``t10k``) in the name give the subset. EMNIST stores pictures turned over their diagonal: files
whose name begins with ``emnist`` are turned back, others are not, unless the option ``transposed`` says so.

Labels. One ``image_label`` a picture with the id ``0``. Categories are called as their number, in the order of numbers,
unless names are given: by the option ``names``, by EMNIST's ``<set>-mapping.txt`` (label, then character codes) or by a
list (``labels.txt``, ``classes.txt``, one a line, from 0) beside the files. A label below 0, or that is no whole
number, is none. The other columns of QMNIST (https://github.com/facebookresearch/qmnist: series, writer, index of the
digit of that writer, NIST's class code, global index) are attributes of the sample. There are no coordinates, so no
frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options, choose
from dsetkit.formats.idx.files import IMAGES, IdxFile, idx_paths, magic_of, may_be_idx, packing_of, read_header, set_of
from dsetkit.formats.idx.names import check_names, name_lists
from dsetkit.formats.idx.read import IdxReader, is_transposed
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.pixels import PixelForm, PixelReader
from dsetkit.formats.unpacked import Unpacked
from dsetkit.storage.held import picked
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_TRANSPOSED = ("auto", "yes", "no")


class Idx(Format):
    """Small grey pictures and their classes."""

    name = "idx"
    title = "IDX (MNIST)"
    extensions: ClassVar[frozenset[str]] = frozenset({".idx", ".idx1-ubyte", ".idx2-int", ".idx3-ubyte", ".gz", ".xz"})
    sizes_known = True
    looks_for = "files called like train-images-idx3-ubyte or train-labels-idx1-ubyte, also .gz and .xz"
    capabilities = Capabilities(
        kinds=frozenset({"image_label"}), categories="all", subsets="one", names="fixed", writes=False
    )
    options: ClassVar[Mapping[str, str]] = {
        "transposed": "whether rows are stored as columns: auto (where the name begins with emnist), yes or no",
        "names": "the categories' names, a list in the order of label numbers",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Files with such names; sure where one begins as they must."""
        paths = idx_paths(tree)
        if not paths:
            return None
        for path in paths:
            if may_be_idx(magic_of(tree, path)):
                return Detection(self.name, 0.95, f"found {path}, which begins as IDX does")
        return Detection(self.name, 0.4, f"found {paths[0]}, which is called as IDX files are")

    def label_files(self, tree: Tree) -> list[str]:
        """Images, labels, and lists of names beside them."""
        return sorted((*idx_paths(tree), *name_lists(tree, idx_paths(tree))), key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Lists of names, and images."""
        images = [path for path in idx_paths(tree) if magic_of(tree, path) == IMAGES]
        return sorted((*images, *name_lists(tree, idx_paths(tree))), key=str.encode)

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """All pictures of all files of images; only headers are read."""
        transposed = choose(options, "transposed", _TRANSPOSED, "auto")
        check_names(options)
        seen: set[str] = set()
        for path in sorted(idx_paths(tree), key=lambda path: (packing_of(path) != "", path.encode())):
            try:
                file = read_header(tree, path)
            except FormatError:  # told of when the labels are read
                continue
            if file.is_images and set_of(path) not in seen:
                seen.add(set_of(path))
                yield from _pictures(tree, file, transposed)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture; of labels without a file of images, one row a label."""
        transposed = choose(options, "transposed", _TRANSPOSED, "auto")
        paths = idx_paths(labels)
        if not paths:
            raise self.no_labels(labels)
        reader = IdxReader(labels, check_names(options), transposed)
        for path in paths:
            reader.add(path)
        return reader.finish()

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Not written; ``write_labels`` says so before it comes here."""
        raise NotImplementedError


def _pictures(tree: Tree, file: IdxFile, transposed: str) -> Iterator[HeldPicture]:
    rows, columns = file.shape[1:]
    form = PixelForm(rows, columns, transposed=is_transposed(file.path, transposed))
    name = set_of(file.path)
    for number in range(file.count):
        start = file.start + number * form.size_bytes
        read: Any
        if file.packed:
            read = picked(tree, file.path, _OPENERS[file.packed], _pick, start, form)
        else:
            read = PixelReader(tree.range_reader(file.path, start, form.size_bytes), form)
        yield HeldPicture(key_of(name, number), file.path, read, form.size_bytes)


def key_of(name: str, number: int) -> str:
    """The key of a picture of a set."""
    return f"{name}/{number:06d}.png"


def _open_gz(data: bytes) -> Unpacked:
    return Unpacked(data, "gz")


def _open_xz(data: bytes) -> Unpacked:
    return Unpacked(data, "xz")


_OPENERS = {"gz": _open_gz, "xz": _open_xz}


def _pick(unpacked: Unpacked, start: int, form: PixelForm) -> bytes:
    return form.to_png(unpacked.read(start, form.size_bytes))
