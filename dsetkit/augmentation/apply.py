"""Steps put to pixels and to annotations, by the same maps; recipes replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsetkit.augmentation.steps import Move, plan
from dsetkit.errors import UsageError
from dsetkit.geometry.affine import determinant, flip_keypoints, transform
from dsetkit.geometry.clip import clip
from dsetkit.geometry.shape import area_px2, enclosure, is_labelled, is_located, polyline_length, upright_corners
from dsetkit.imaging import tone
from dsetkit.imaging.decode import MAX_PIXELS, open_picture
from dsetkit.imaging.encode import encode
from dsetkit.imaging.warp import Picture, affine
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Finding

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

_TONES: dict[str, Callable[..., Picture]] = {
    "brightness_contrast": tone.brightness_contrast,
    "color": tone.color,
    "blur": tone.blur,
    "noise": tone.noise,
}
_MIRRORED_POSE = {"Left": "Right", "Right": "Left"}  # as Pascal VOC spells them


def apply_steps(image: Picture, steps: Iterable[Mapping[str, Any]]) -> Picture:
    """The picture after the steps, in mode L, RGB, RGBA or I;16 where there are any. The image given is not changed.

    Raises ``UsageError`` for a step that is unknown or does not fit the picture.
    """
    for part in plan(steps, image.width, image.height):
        try:
            if isinstance(part, Move):
                image = affine(
                    image,
                    part.matrix,
                    width_px=part.width_px,
                    height_px=part.height_px,
                    fill=part.fill,
                    fill_color=part.fill_color,
                )
            else:
                image = _TONES[part.op](image, **part.values)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"A step of a recipe cannot be applied: {part}: {error}",
                hint="Use a recipe as dsetkit recorded it, with the picture it was drawn for.",
            ) from error
    return image


def replay(
    data: bytes,
    recipe: Mapping[str, Any],
    *,
    format: str | None = None,
    quality: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> bytes:
    """The bytes of a variant, from the bytes it derives from and its recipe (a row of ``spec.sample.Recipe``).

    Variants are made by this function in the first place, so it gives the same bytes again, with the same versions of
    the codecs. ``format`` (``jpeg``, ``png``, ``webp``) and ``quality`` are what the recipe's ``encode`` step says
    where they are left out. Raises ``PictureError`` for bytes that are not a picture and ``UsageError`` for a recipe
    that does not fit or does not say how to encode.
    """
    steps = recipe.get("steps", ())
    recorded: Mapping[str, Any] = next((step.get("values", {}) for step in steps if step["op"] == "encode"), {})
    format = format or recorded.get("format")
    quality = quality or recorded.get("quality", 95)
    if format is None:
        raise UsageError("The recipe does not say in which format the variant is encoded", hint="Give a format.")
    return encode(apply_steps(open_picture(data, max_pixels), steps), format=format, quality=quality)


def apply_to_annotations(
    annotations: Sequence[Row],
    steps: Iterable[Mapping[str, Any]],
    categories: Sequence[Category],
    width_px: int,
    height_px: int,
    min_visible: float,
) -> tuple[list[Row], list[tuple[Row, Finding]], int, int]:
    """The annotations of a picture of this size after the steps: those kept, those dropped, new width, new height.

    Annotations move by the maps the pixels move by and are clipped to each frame on the way; one of which less than
    ``min_visible`` (of its area in the picture; of a polyline's length; of the number of points) is left is dropped,
    as it was, with a finding ``out-of-view``. An upright box becomes the enclosure of what the turned box still covers.
    In a mirror keypoints change names by their category's ``flip_pairs``, and where left and right change the reserved
    attribute ``pose`` does. ``image_label`` and ``caption`` stay. An annotation whose object is not in the frame
    (``is_outside``) moves too, so that its track holds together, and is neither cut nor dropped: nothing of it can be
    seen that could go out of view. Relations and ``based_on`` that name a dropped annotation go with it.
    Raises ``UsageError`` for steps that do not fit, ``ValueError`` for a broken mask.
    """
    moves = [part for part in plan(steps, width_px, height_px) if isinstance(part, Move)]
    if not moves:
        return list(annotations), [], width_px, height_px
    by_name = {category.name: category for category in categories}
    kept: list[Row] = []
    dropped: list[tuple[Row, Finding]] = []
    for ann in annotations:
        moved, share = _follow(ann, moves, width_px, height_px, _category_of(ann, by_name))
        if moved is not None and share >= min_visible - 1e-9:
            kept.append(moved)
        else:
            message = f"{share:.1%} of it is still in the picture; at least {min_visible:.1%} is asked for"
            dropped.append((ann, Finding(code="out-of-view", message=message)))
    gone = {ann["id"] for ann, _ in dropped}
    return [_without_links(ann, gone) for ann in kept], dropped, moves[-1].width_px, moves[-1].height_px


def _follow(
    ann: Row, moves: Sequence[Move], width_px: int, height_px: int, category: Category | None
) -> tuple[Row | None, float]:
    """One annotation through all moves, and which share of it is left."""
    if not is_located(ann):
        return ann, 1.0
    if is_outside(ann):
        for move in moves:
            ann = _move(ann, move, category)
        return ann, 1.0
    boxed = ann["kind"] == "box" and bool(ann.get("bbox_xywh_px")) and not ann.get("polygons")
    upright = all(move.matrix[1] == 0 == move.matrix[3] or move.matrix[0] == 0 == move.matrix[4] for move in moves)
    now = clip(ann, width_px, height_px)  # what sticks out has no pixels that could come into view
    if now is not None and boxed and not upright:
        # Its corners are followed to the end: the enclosure of an enclosure would grow at each turn.
        now = {**now, "kind": "polygon", "polygons": ((upright_corners(now["bbox_xywh_px"]),),)}
    share = 1.0
    for move in moves:
        if now is None:
            return None, 0.0
        moved = _move(now, move, category)
        whole = _measure(moved)
        if now["kind"] == "mask":  # a moved mask is cut by its frame already
            whole = _measure(now) * abs(determinant(move.matrix))
        now = clip(moved, move.width_px, move.height_px)
        left = 0.0 if now is None else _measure(now)
        share *= min(1.0, left / whole) if whole > 0 else float(now is not None)
    if now is not None and now["kind"] == "mask" and _measure(now) == 0:
        return None, 0.0
    if now is not None and boxed and not upright:
        now = {**now, "kind": "box", "bbox_xywh_px": enclosure(now)}
        del now["polygons"]
    return now, share


def _move(ann: Row, move: Move, category: Category | None) -> Row:
    """All of it where it comes to lie, in the picture or not."""
    moved = transform(ann, move.matrix, width_px=move.width_px, height_px=move.height_px)
    if determinant(move.matrix) < 0 and category is not None:
        moved = flip_keypoints(moved, category.flip_pairs, category.keypoint_names)
    return _mirror_pose(moved) if move.matrix[0] < 0 else moved


def _measure(ann: Row) -> float:
    """What the visible share is a share of: pixels², a length in pixels, or a number of points."""
    if ann["kind"] == "polyline":
        return polyline_length(ann.get("polyline", ()))
    if ann["kind"] == "points":
        return len(ann.get("points", ())) / 2
    if ann["kind"] == "keypoints":
        return float(sum(map(is_labelled, ann.get("keypoints", ()))))
    return area_px2(ann)


def _mirror_pose(ann: Row) -> Row:
    pose = ann.get("attributes", {}).get("pose")
    if not isinstance(pose, str) or pose not in _MIRRORED_POSE:
        return ann
    return {**ann, "attributes": {**ann["attributes"], "pose": _MIRRORED_POSE[pose]}}


def _category_of(ann: Row, by_name: Mapping[str, Category]) -> Category | None:
    """Its category, else the first of several that has keypoints."""
    several = (by_name.get(name) for name in (ann.get("category"), *ann.get("categories", ())) if name is not None)
    known = [category for category in several if category is not None]
    return next((category for category in known if category.keypoint_names), known[0] if known else None)


def _without_links(ann: Row, gone: set[str]) -> Row:
    relations = ann.get("relations", ())
    if ann.get("based_on") in gone:
        ann = {name: value for name, value in ann.items() if name != "based_on"}
    if not any(relation["target"] in gone for relation in relations):
        return ann
    return {**ann, "relations": tuple(relation for relation in relations if relation["target"] not in gone)}
