"""What a format can say, declared; losses are derived from it (``dsetkit.formats.carry``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Capabilities:
    """What survives writing and reading back."""

    kinds: frozenset[str]
    """Annotation kinds that are written as what they are."""
    becomes: Mapping[str, str] = field(default_factory=dict)
    """Other kinds that are written as one of ``kinds``: to ``box``, ``image_label``, or from ``rotated_box`` and
    ``ellipse`` to ``polygon``. What is in neither is left out."""
    annotation_fields: frozenset[str] = frozenset()
    """Fields of an annotation that survive, beyond ``kind``, ``category``, ``bbox_xywh_px`` and the kind's own shape.

    ``id`` if ids survive (else they are numbered anew from ``"0"`` in each sample); ``extras`` if the format's own
    extras (``extras[<format name>]``) do; a shape's field (``polygons``, ``mask``) if it does beside another kind.
    """
    outside: bool = False
    """Whether who reads the format elsewhere, too, can tell that the object of a track is not in the frame
    (``track.outside``). If not, such annotations are left out: written, they would show something."""
    attributes: frozenset[str] | None = frozenset()
    """Names in ``attributes`` of an annotation that survive; None for all."""
    sample_fields: frozenset[str] = frozenset()
    """Fields of a sample that survive, beyond ``key`` and ``annotations``: ``width_px``, ``attributes``, ..."""
    provenance_fields: frozenset[str] = frozenset()
    """Fields of a sample's provenance that survive."""
    category_fields: frozenset[str] = frozenset()
    """Fields of a category that survive, beyond its name."""
    categories: Literal["all", "used"] = "all"
    """``all``: the list of categories and its order survive. ``used``: only the names annotations use, in any order."""
    needs_category: bool = True
    """Whether an annotation without a category (other than a caption) has to be left out."""
    subsets: Literal["none", "one", "many"] = "none"
    """How many subsets of a sample survive. A sample's ``split`` is written as its one subset."""
    parts: bool = True
    """Whether a polygon may have several parts; if not, the largest is kept."""
    holes: bool = False
    """Whether a polygon's parts may have holes; if not, the outline is kept."""
    tells_unlabelled: bool = True
    """Whether a picture nobody labelled is told from one that was labelled and shows nothing."""
    names: Literal["free", "flat", "fixed"] = "flat"
    """What of a sample's key names its picture when it is written: ``free`` the whole, below some folder; ``flat`` its
    last part (the layout fixes the folder); ``fixed`` nothing (the layout numbers or holds pictures itself)."""
    reads: bool = True
    writes: bool = True
