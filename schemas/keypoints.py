"""Keypoints: named points of one object."""

from typing import Literal

from pydantic import Field, field_validator

from dsetkit import Annotation, Keypoint

NAMES = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
"""The points an object may have, in the order your model expects. Name your own."""


class Label(Annotation):
    """One object with its points, each named at most once."""

    kind: Literal["keypoints"]
    category: str = Field(min_length=1)
    keypoints: tuple[Keypoint, ...] = Field(min_length=1)

    @field_validator("keypoints")
    @classmethod
    def _check_names(cls, points: tuple[Keypoint, ...]) -> tuple[Keypoint, ...]:
        names = [point.name for point in points]
        unknown = sorted(set(names) - set(NAMES))
        if unknown:
            raise ValueError(f"no point is called {', '.join(map(repr, unknown))}; there are {', '.join(NAMES)}")
        if len(set(names)) < len(names):
            raise ValueError("a point is named more than once")
        return points
