"""All formats by name. Third parties add theirs through the entry point group ``dsetkit.formats``.

An entry point's name is the format's name and it names the ``Format`` class. The names of dsetkit's own formats
cannot be taken.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from importlib.metadata import entry_points
from itertools import islice
from typing import TYPE_CHECKING

from dsetkit.errors import NotFoundError, UsageError
from dsetkit.formats.base import LAST_RESORT, Detection, Format
from dsetkit.formats.matching import extension_of_path
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.pointer import MAX_POINTER_BYTES, fetch_hint, pointer_kind

if TYPE_CHECKING:
    from dsetkit.storage.scan import Tree

GROUP = "dsetkit.formats"
_LOOKED_INTO = 100
"""Small files that are looked into for a pointer."""

_OWN = {
    "cifar": "dsetkit.formats.cifar.format:Cifar",
    "cityscapes": "dsetkit.formats.cityscapes.format:Cityscapes",
    "coco": "dsetkit.formats.coco.format:Coco",
    "coco_panoptic": "dsetkit.formats.coco_panoptic.format:CocoPanoptic",
    "coco_results": "dsetkit.formats.coco_results.format:CocoResults",
    "csv": "dsetkit.formats.csv_boxes.format:CsvBoxes",
    "cvat": "dsetkit.formats.cvat.format:Cvat",
    "datumaro": "dsetkit.formats.datumaro.format:Datumaro",
    "dota": "dsetkit.formats.dota.format:Dota",
    "dota_results": "dsetkit.formats.dota_results.format:DotaResults",
    "dsetkit": "dsetkit.formats.dsetkit.format:Dsetkit",
    "ground_truth": "dsetkit.formats.ground_truth.format:GroundTruth",
    "hf_folder": "dsetkit.formats.hf_folder.format:HfFolder",
    "hf_parquet": "dsetkit.formats.hf_parquet.format:HfParquet",
    "idx": "dsetkit.formats.idx.format:Idx",
    "image_folder": "dsetkit.formats.image_folder:ImageFolder",
    "imagenet_txt": "dsetkit.formats.imagenet_txt.format:ImagenetTxt",
    "label_studio": "dsetkit.formats.label_studio.format:LabelStudio",
    "labelbox": "dsetkit.formats.labelbox.format:Labelbox",
    "labelme": "dsetkit.formats.labelme.format:Labelme",
    "labelme_xml": "dsetkit.formats.labelme_xml.format:LabelmeXml",
    "open_images": "dsetkit.formats.open_images.format:OpenImages",
    "via": "dsetkit.formats.via.format:Via",
    "voc": "dsetkit.formats.voc.format:Voc",
    "webdataset": "dsetkit.formats.webdataset.format:WebDataset",
    "yolo": "dsetkit.formats.yolo.format:Yolo",
}


@cache
def names() -> tuple[str, ...]:
    """The names of all formats, sorted."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=GROUP))}))


@cache
def get(name: str) -> Format:
    """The format of that name. Raises ``NotFoundError``, naming the nearest, for one that is not there."""
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        made: Format = getattr(importlib.import_module(module), attribute)()
        return made
    for point in entry_points(group=GROUP, name=name):
        try:
            loaded: Format = point.load()()
        except Exception as error:  # it is another's code
            package = "" if point.dist is None else f" of the package {point.dist.name}"
            raise UsageError(
                f"the format {name!r}{package} cannot be loaded: {type(error).__name__}: {error}",
                hint="Mend the package, or uninstall it.",
            ) from error
        return loaded
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    known = f"Known formats: {', '.join(names())}."
    raise NotFoundError(
        f"there is no format {name!r}", name=name, hint=f"Did you mean {near[0]!r}? {known}" if near else known
    )


def detect(tree: Tree) -> tuple[Detection, tuple[Detection, ...]]:
    """The format the tree most likely is, and the others it could be, likeliest first.

    Of equal confidence the first by name wins. Raises ``NotFoundError`` saying what was looked for if it is none.
    """
    found = [detection for name in names() if (detection := get(name).detect(tree)) is not None]
    found.sort(key=lambda detection: (-detection.confidence, detection.format))
    if not found or found[0].confidence <= LAST_RESORT:
        _refuse_pointers(tree)
    if not found:
        looked = "; ".join(f"{name}: {get(name).looks_for}" for name in names())
        raise NotFoundError(
            f"no known label format in {tree.url}", name=tree.url, hint=f"Name the format. Looked for {looked}."
        )
    return found[0], tuple(found[1:])


def _refuse_pointers(tree: Tree) -> None:
    """Raise ``NotFoundError`` where a label file may be a pointer to one: its labels would be missed in silence."""
    small = (path for path, entry in tree.entries.items() if entry.size_bytes <= MAX_POINTER_BYTES)
    for path in islice((path for path in small if extension_of_path(path) not in PICTURE_EXTENSIONS), _LOOKED_INTO):
        if kind := pointer_kind(tree.read_head(path, 1024)):
            raise NotFoundError(
                f"{path} in {tree.url} is a {kind} pointer, which only says where the data is",
                name=path,
                hint=f"{fetch_hint(kind)} Or name the format.",
            )
