"""The YAML header of ``README.md``, by the conventions of Hugging Face.

https://huggingface.co/docs/hub/datasets-cards; what the card does not state is left out.
"""

from __future__ import annotations

from typing import Any

from dsetkit.report.cards.licenses import hugging_face_id, license_name, license_url
from dsetkit.report.cards.text import split_order, title_of, visible, yaml_lines
from dsetkit.report.facts.collect import NO_SPLIT, SnapshotFacts
from dsetkit.spec.card import DatasetCard

_SIZES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")),
)
_TASKS = {
    "image_label": "image-classification",
    "box": "object-detection",
    "rotated_box": "object-detection",
    "polygon": "image-segmentation",
    "mask": "image-segmentation",
    "keypoints": "keypoint-detection",
    "caption": "image-to-text",
}
"""Kind of annotation → task of Hugging Face; kinds it has no task for are not there."""


def header(card: DatasetCard, facts: SnapshotFacts, *, download_bytes: int | None) -> str:
    """The header with the lines ``---`` around it; the same text for the same card and facts.

    ``download_bytes``: of all files the card is about; None leaves it out.
    """
    license = hugging_face_id(card.license)
    document: dict[str, Any] = {
        "pretty_name": visible(title_of(card, facts.info)),
        "license": license,
        "license_name": license_name(card.license) if license == "other" else None,
        "license_link": license_url(card.license) if license == "other" else None,
        "language": list(card.languages),
        "annotations_creators": list(card.annotation.kinds),
        "size_categories": [size_category(facts.samples)],
        "task_categories": sorted({_TASKS[kind] for kind in facts.kinds if kind in _TASKS}),
        "tags": [visible(word) for word in dict.fromkeys((*card.keywords, "image", "dsetkit"))],
        "dataset_info": {
            # num_bytes is left out: there it means bytes of Arrow tables that `datasets` would make.
            "splits": [
                {"name": name, "num_examples": facts.samples_per_split[name]}
                for name in sorted(facts.samples_per_split, key=split_order)
                if name != NO_SPLIT
            ],
            "download_size": download_bytes,
        },
    }
    info = document["dataset_info"]
    document["dataset_info"] = {name: value for name, value in info.items() if value not in (None, [])}
    stated = {name: value for name, value in document.items() if value not in (None, [], {})}
    return "\n".join(["---", *yaml_lines(stated), "---"])


def size_category(samples: int) -> str:
    """The class of size that so many samples fall into: ``1K<n<10K``."""
    return next((name for limit, name in _SIZES if samples < limit), "1B<n<10B")
