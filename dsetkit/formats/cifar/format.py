"""CIFAR-10 and CIFAR-100: batches of pictures of 32×32 px, as binary files or as Python's pickles.

Definition: https://www.cs.toronto.edu/~kriz/cifar.html ("Dataset layout", "Binary version"). Binary files are
``data_batch_1.bin``, ``test_batch.bin`` with ``batches.meta.txt``; of CIFAR-100 ``train.bin``, ``test.bin`` with
``fine_label_names.txt`` and ``coarse_label_names.txt``. Python's are ``data_batch_1``, ``test_batch`` with
``batches.meta``; ``train``, ``test`` with ``meta``. A pickle is never run: its data is read by a reader of its own,
which knows no more than such files hold.
Datumaro's additions are read: arrays of objects, pictures of other sizes (``image_sizes``), other names of batches.

Pictures and keys. A picture is given out as an RGB PNG, nothing is lost. Its key is its batch and what its file was
called (``data_batch_1/automobile_s_000123.png``; a name met again gets ``-2``), else its number (``train/00007.png``).
``data_batch_*`` are the subset ``train``, ``test_batch`` is ``test``, other batches are called as they are.

Labels. One ``image_label`` a picture with the id ``0``; categories in the order of label numbers. Of CIFAR-100 the fine
label is the category and the coarse one its supercategory, as each fine label has one coarse label. A picture whose
coarse label is another has a finding ``coarse-label-differs``. There are no coordinates, so no frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options
from dsetkit.formats.cifar.batch import Batch, batch_of
from dsetkit.formats.cifar.files import cifar_files
from dsetkit.formats.cifar.pickled import PickledData
from dsetkit.formats.cifar.read import CifarReader, keys_of, read_batch
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.pixels import PixelReader
from dsetkit.storage.held import picked
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree


class Cifar(Format):
    """Small colour pictures and their classes."""

    name = "cifar"
    title = "CIFAR"
    extensions: ClassVar[frozenset[str]] = frozenset({".bin"})
    sizes_known = True
    looks_for = "data_batch_1.bin or data_batch_1, test_batch, or train and test with meta, as CIFAR-10 and -100 have"
    capabilities = Capabilities(
        kinds=frozenset({"image_label"}),
        category_fields=frozenset({"supercategory"}),
        subsets="one",
        names="fixed",
        writes=False,
    )

    def detect(self, tree: Tree) -> Detection | None:
        """Files with such names and, of pickles, such a beginning."""
        found = cifar_files(tree)
        if not found.batches:
            return None
        sure = bool(found.sides) or any("batch" in path.rpartition("/")[2] for path in found.batches)
        return Detection(self.name, 0.95 if sure else 0.7, f"found {found.batches[0]}, a batch of pictures")

    def label_files(self, tree: Tree) -> list[str]:
        """Batches and names of labels."""
        found = cifar_files(tree)
        return sorted((*found.batches, *found.sides), key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Names of labels."""
        return cifar_files(tree).sides

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """All pictures of all batches that can be read."""
        files = cifar_files(tree)
        for path in files.batches:
            try:
                batch = read_batch(tree, path, files)
            except FormatError:  # told of when the labels are read
                continue
            yield from _pictures(tree, batch)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture."""
        files = cifar_files(labels)
        if not files.batches:
            raise self.no_labels(labels)
        return CifarReader(labels, files).read()

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Not written; ``write_labels`` says so before it comes here."""
        raise NotImplementedError


def _pictures(tree: Tree, batch: Batch) -> Iterator[HeldPicture]:
    for number, (key, place) in enumerate(zip(keys_of(batch), batch.places, strict=False)):
        if place is None:
            continue
        form = batch.form(number)
        read: Any
        if isinstance(place, bytes):
            read = picked(tree, batch.path, _open, _pick, number)
        else:
            read = PixelReader(tree.range_reader(batch.path, place.start, place.size), form)
        yield HeldPicture(key, batch.path, read, form.size_bytes)


def _open(data: bytes) -> Batch:
    return batch_of(PickledData(data, "batch").read(), "batch")


def _pick(batch: Batch, number: int) -> bytes:
    place = batch.places[number]
    assert isinstance(place, bytes)
    return batch.form(number).to_png(place)
