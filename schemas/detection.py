"""Detection: upright boxes of blood cells, the demo's dataset."""

from typing import Literal

from dsetkit import Annotation, BBox


class Label(Annotation):
    """A box around one cell. Name your own categories."""

    kind: Literal["box"]
    category: Literal["RBC", "WBC", "Platelets"]
    bbox_xywh_px: BBox
