"""The demo's scenes: yards with crates, kites and walkers, painted together with what is true of them.

Coordinates are pixels of the upright picture. Everything is drawn from ``random.Random(text).random()``, whose values
Python promises never to change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from dsetkit.geometry.rle import mask_from_polygons
from dsetkit.imaging.paint import Canvas, Picture, mix

WIDTH_PX, HEIGHT_PX = 256, 192
JOINTS = (
    *("head", "neck"),
    *(
        f"{side}_{joint}"
        for joint in ("shoulder", "elbow", "hand", "hip", "knee", "foot")
        for side in ("left", "right")
    ),
)
BONES = (
    *(
        ("head", "neck"),
        ("neck", "left_shoulder"),
        ("neck", "right_shoulder"),
        ("neck", "left_hip"),
        ("neck", "right_hip"),
    ),
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for a, b in (("shoulder", "elbow"), ("elbow", "hand"), ("hip", "knee"), ("knee", "foot"))
        for side in ("left", "right")
    ),
)
Label = dict[str, Any]
"""One annotation in COCO's fields, its category by name."""

_SKIES = (
    ((96, 158, 219), (203, 226, 240)),
    ((58, 111, 176), (236, 205, 170)),
    ((140, 160, 178), (206, 212, 214)),
    ((120, 190, 226), (238, 243, 236)),
)
_GROUNDS = ((112, 148, 84), (176, 160, 122), (140, 140, 142), (205, 210, 214), (126, 118, 84))
_WALLS = ((168, 84, 66), (214, 202, 178), (92, 116, 130), (150, 132, 110))
_WOODS = ((186, 140, 84), (160, 116, 70), (204, 164, 108))
_SHIRTS = ((196, 62, 58), (60, 96, 170), (240, 186, 66), (86, 142, 92), (122, 82, 150))
_SAILS = ((222, 68, 62), (248, 196, 60), (62, 130, 196), (246, 246, 240), (92, 168, 108), (232, 126, 52))


def paint_yard(
    yard: int, shot: int, *, guests: Sequence[tuple[str, float, float]] = (), empty: bool = False
) -> tuple[Picture, list[Label]]:
    """One picture of a yard and its labels. Shots of one yard show the same place from nearer, farther or aside.

    ``guests`` are more crates and birds at given places (crates: middle of the base), whose labels come last and may
    stick out of the picture; ``empty`` leaves everything out that has a label.
    """
    place, moment = Random(f"yard {yard}"), Random(f"yard {yard} shot {shot}")
    canvas, horizon = _paint_place(place, moment)
    labels: list[Label] = []
    if not empty:
        labels += _fly_kites(canvas, moment, horizon)
        labels += _fill_ground(canvas, moment, horizon, guests)
        labels += [_bird(canvas, x, y) for what, x, y in guests if what == "bird"]
    return canvas.finish(seed=f"grain {yard} {shot}"), labels


def _between(dice: Random, low: float, high: float) -> float:
    return low + (high - low) * dice.random()


def _pick(dice: Random, items: tuple[Any, ...]) -> Any:
    return items[int(dice.random() * len(items))]


def _paint_place(place: Random, moment: Random) -> tuple[Canvas, float]:
    sky, ground = _pick(place, _SKIES), _pick(place, _GROUNDS)
    light = _between(moment, 0.8, 1.1)
    pan, zoom = _between(moment, -70, 70), _between(moment, 0.75, 1.35)
    horizon = _between(place, 92, 112) + _between(moment, -14, 14)

    def x_at(x: float) -> float:
        return 128 + (x - 128) * zoom + pan

    def lit(color: tuple[int, int, int]) -> tuple[int, int, int]:
        r, g, b = (min(255, round(v * light)) for v in color)
        return r, g, b

    canvas = Canvas(WIDTH_PX, HEIGHT_PX, lit(ground))
    canvas.gradient(0, horizon, lit(sky[0]), lit(sky[1]))
    for _ in range(int(_between(place, 0, 4))):  # clouds
        cx, cy, size = x_at(_between(place, -20, 276)), _between(place, 12, 60), _between(place, 9, 18)
        for dx, dy, share in ((0, 0, 1.0), (-1.0, 0.3, 0.7), (1.1, 0.25, 0.75)):
            canvas.ellipse(cx + dx * size, cy + dy * size, size * share * 1.3, size * share * 0.7, lit((244, 246, 248)))
    hills = [(-1.0, horizon)]
    hills += [(x, horizon - _between(place, 2, 30) * zoom) for x in range(0, 257, 32)]
    canvas.polygon([*hills, (257.0, horizon)], lit(mix(ground, sky[1], 0.5)))
    canvas.gradient(horizon, HEIGHT_PX, lit(mix(ground, (255, 255, 255), 0.18)), lit(mix(ground, (40, 40, 30), 0.25)))
    for _ in range(2):
        _paint_house(canvas, x_at(_between(place, 10, 246)), horizon + 5, _between(place, 38, 66) * zoom, place, lit)
    if place.random() < 0.7:
        _paint_fence(canvas, x_at, horizon, zoom, lit(_pick(place, _WOODS)))
    for _ in range(int(_between(place, 0, 3))):
        _paint_tree(canvas, x_at(_between(place, 0, 256)), horizon + 12 * zoom, _between(place, 52, 84) * zoom, lit)
    for _ in range(26):  # tufts and pebbles
        x, y = x_at(_between(place, -60, 316)), _between(place, horizon + 10, HEIGHT_PX - 2)
        size = 0.6 + 2.2 * (y - horizon) / (HEIGHT_PX - horizon)
        canvas.ellipse(x, y, 1.6 * size, 0.7 * size, lit(mix(ground, (30, 40, 20), _between(place, 0.15, 0.5))))
    return canvas, horizon


def _paint_house(canvas: Canvas, x: float, base: float, size: float, dice: Random, lit: Any) -> None:
    wall, roof, tall = _pick(dice, _WALLS), _pick(dice, _WALLS), _between(dice, 0.5, 1.0)
    top = base - size * tall
    canvas.box(x - size / 2, top, size, size * tall, lit(wall))
    canvas.polygon(
        [(x - size * 0.58, top), (x, top - size * 0.36), (x + size * 0.58, top)], lit(mix(roof, (40, 30, 30), 0.4))
    )
    canvas.box(x - size * 0.09, base - size * 0.38, size * 0.18, size * 0.38, lit(mix(wall, (30, 20, 20), 0.6)))
    for side in (-0.32, 0.32):
        canvas.box(x + side * size - size * 0.08, top + size * 0.12, size * 0.16, size * 0.16, lit((70, 88, 104)))


def _paint_fence(canvas: Canvas, x_at: Any, horizon: float, zoom: float, wood: tuple[int, int, int]) -> None:
    height, step = 20 * zoom, 14
    for x in range(-140, 400, step):
        canvas.box(x_at(x), horizon - height * 0.45, 9 * zoom, height, mix(wood, (0, 0, 0), 0.1 * (x // step % 2)))
    for share in (-0.25, 0.25):
        canvas.box(0, horizon + height * share, WIDTH_PX, 2 * zoom, mix(wood, (40, 30, 20), 0.4))


def _paint_tree(canvas: Canvas, x: float, base: float, size: float, lit: Any) -> None:
    canvas.polygon(
        [
            (x - size * 0.06, base),
            (x - size * 0.03, base - size),
            (x + size * 0.03, base - size),
            (x + size * 0.06, base),
        ],
        lit((92, 70, 52)),
    )
    for dx, dy, r in ((0, -0.95, 0.26), (-0.2, -0.78, 0.2), (0.2, -0.76, 0.21), (0.02, -0.68, 0.2)):
        canvas.ellipse(x + dx * size, base + dy * size, r * size, r * size * 0.9, lit((66 + round(60 * r), 118, 62)))


def _fly_kites(canvas: Canvas, dice: Random, horizon: float) -> list[Label]:
    labels: list[Label] = []
    for slot in range(int(_between(dice, 0, 2.9))):
        size = _between(dice, 15, 22)
        cx, cy = _between(dice, 34, 108) + 112 * slot, _between(dice, 32, max(40.0, horizon - 42))
        lean, color, other = _between(dice, -0.5, 0.5), _pick(dice, _SAILS), _pick(dice, _SAILS)
        kind = dice.random()

        def at(
            u: float, v: float, cx: float = cx, cy: float = cy, size: float = size, lean: float = lean
        ) -> tuple[float, float]:
            """A point of the kite, in its own half sizes, on the picture; to a tenth of a pixel, as people label."""
            x, y = u * math.cos(lean) - v * math.sin(lean), u * math.sin(lean) + v * math.cos(lean)
            return round(cx + x * size, 1), round(cy + y * size, 1)

        canvas.line([at(0, 0.5), (cx + size * 0.4, cy + size * 2.1), (cx - size, HEIGHT_PX)], (236, 236, 232), 0.5)
        if kind < 0.4:
            labels.append(_diamond(canvas, at, color, other))
        elif kind < 0.7:
            labels.append(_box_kite(canvas, at, color, other))
        else:
            labels.append(_ring_kite(canvas, at, color, other))
    return labels


def _diamond(canvas: Canvas, at: Any, color: Any, other: Any) -> Label:
    top, right, tail, left, middle = at(0, -1), at(0.75, -0.25), at(0, 1.2), at(-0.75, -0.25), at(0, -0.25)
    canvas.line([tail, at(0.25, 1.6), at(-0.1, 2.0)], (70, 60, 60), 0.8)
    for v in (1.5, 1.8):
        canvas.ellipse(at(0.15, v)[0], at(0.15, v)[1], 1.6, 1.6, other)
    for points, paint in (
        ([top, right, middle], color),
        ([right, tail, middle], other),
        ([tail, left, middle], color),
        ([left, top, middle], other),
    ):
        canvas.polygon(points, paint)
    return _polygon_label("kite", [[top, right, tail, left]])


def _box_kite(canvas: Canvas, at: Any, color: Any, other: Any) -> Label:
    """Two sails on sticks: one kite in two parts."""
    parts = [[at(-0.7, v), at(0.7, v), at(0.7, v + 0.7), at(-0.7, v + 0.7)] for v in (-1.0, 0.3)]
    for u in (-0.55, 0.55):
        canvas.line([at(u, -1.1), at(u, 1.1)], (84, 66, 50), 1.0)
    for part, paint in zip(parts, (color, other), strict=True):
        canvas.polygon(part, paint)
        canvas.line([_middle(part[0], part[1]), _middle(part[3], part[2])], mix(paint, (0, 0, 0), 0.35), 0.8)
    return _polygon_label("kite", parts)


def _middle(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The point halfway."""
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2


def _ring_kite(canvas: Canvas, at: Any, color: Any, other: Any) -> Label:
    """A sail with a hole, which COCO can only tell as a mask."""
    turns = [math.pi / 3 * n for n in range(6)]
    outer = [at(math.cos(turn), math.sin(turn)) for turn in turns]
    inner = [at(0.45 * math.cos(turn), 0.45 * math.sin(turn)) for turn in turns]
    for n in range(6):
        m = (n + 1) % 6
        canvas.polygon([outer[n], outer[m], inner[m], inner[n]], color if n % 2 else other)
    rings = [[v for point in ring for v in point] for ring in (outer, inner)]
    mask = mask_from_polygons([rings], (HEIGHT_PX, WIDTH_PX))
    label = _polygon_label("kite", [outer])
    return {**label, "segmentation": mask, "area": round(label["area"] - _area(inner), 2)}


def _fill_ground(
    canvas: Canvas, dice: Random, horizon: float, guests: Sequence[tuple[str, float, float]]
) -> list[Label]:
    """Crates and walkers, far ones first, none quite behind another."""
    labels: list[Label] = []
    crates = [(x, y) for what, x, y in guests if what == "crate"]
    taken = [(x, 28.0) for x, _ in crates]
    spots = sorted(_between(dice, horizon + 22, HEIGHT_PX - 6) for _ in range(3 + int(_between(dice, 0, 4))))
    for base in spots:
        near = 0.5 + 0.75 * (base - horizon) / (HEIGHT_PX - horizon)
        is_walker = dice.random() < 0.4
        half, reach = (13.0, 30.0) if is_walker else (22.0, 23.0)
        half, reach = half * near, reach * near + 3
        places = [_between(dice, reach, WIDTH_PX - reach) for _ in range(12)]
        free = [x for x in places if all(abs(x - other) > half + width for other, width in taken)]
        if not free:
            continue
        taken.append((free[0], half))
        labels.append((_walker if is_walker else _crate)(canvas, dice, free[0], base, near))
    return labels + [_crate(canvas, dice, x, y, 1.1) for x, y in crates]


def _bird(canvas: Canvas, x: float, y: float) -> Label:
    canvas.line([(x - 7, y - 3), (x - 3, y - 4), (x, y), (x + 3, y - 4), (x + 7, y - 3)], (46, 44, 50), 1.6)
    return box_label("bird", x - 8, y - 5, 16.0, 6.0)


def _crate(canvas: Canvas, dice: Random, x: float, base: float, near: float) -> Label:
    wood, w, h = _pick(dice, _WOODS), round(_between(dice, 24, 36) * near, 1), round(_between(dice, 20, 34) * near, 1)
    depth = round(8 * near, 1)
    left, top = round(x - (w + depth) / 2, 1), round(base - h, 1)
    dark, pale = mix(wood, (40, 24, 10), 0.45), mix(wood, (255, 240, 210), 0.3)
    canvas.ellipse(left + w * 0.6, base, w * 0.62, 3 * near, (70, 66, 58))
    canvas.polygon([(left, top), (left + depth, top - depth), (left + w + depth, top - depth), (left + w, top)], pale)
    canvas.polygon(
        [(left + w, top), (left + w + depth, top - depth), (left + w + depth, base - depth), (left + w, base)], dark
    )
    canvas.box(left, top, w, h, wood)
    for n in range(1, 4):
        canvas.line([(left, top + h * n / 4), (left + w, top + h * n / 4)], dark, 0.7)
    edge = 2.4 * near
    for bar in (
        (left, top, w, edge),
        (left, base - edge, w, edge),
        (left, top, edge, h),
        (left + w - edge, top, edge, h),
    ):
        canvas.box(*bar, mix(wood, dark, 0.55))
    canvas.line([(left + edge, base - edge), (left + w - edge, top + edge)], mix(wood, dark, 0.55), edge)
    return box_label("crate", left, round(top - depth, 1), round(w + depth, 1), round(h + depth, 1))


def _walker(canvas: Canvas, dice: Random, x: float, base: float, near: float) -> Label:
    tall, swing, wave = 62 * near, _between(dice, 0.15, 0.55), _between(dice, 0.2, 2.6)
    shirt, trousers, skin = (
        _pick(dice, _SHIRTS),
        (58, 62, 84),
        _pick(dice, ((232, 190, 158), (168, 116, 84), (112, 74, 54))),
    )

    def arm(shoulder: tuple[float, float], angle: float, bend: float, side: int) -> list[tuple[float, float]]:
        elbow = (shoulder[0] + side * math.sin(angle) * 0.17 * tall, shoulder[1] + math.cos(angle) * 0.17 * tall)
        angle += bend
        return [elbow, (elbow[0] + side * math.sin(angle) * 0.16 * tall, elbow[1] + math.cos(angle) * 0.16 * tall)]

    spots = {"head": (x, base - 0.9 * tall), "neck": (x, base - 0.8 * tall)}
    # Walkers face us, so their left is at our right.
    for name, side, angle in (("left", 1, wave), ("right", -1, swing * 0.6)):
        shoulder, hip = (x + side * 0.12 * tall, base - 0.76 * tall), (x + side * 0.07 * tall, base - 0.47 * tall)
        elbow, hand = arm(shoulder, angle, 0.3, side)
        knee = (hip[0] + side * swing * 0.1 * tall, base - 0.25 * tall)
        foot = (knee[0] + side * swing * 0.06 * tall, base - 0.02 * tall)
        spots |= {
            f"{name}_{joint}": spot
            for joint, spot in zip(
                ("shoulder", "elbow", "hand", "hip", "knee", "foot"),
                (shoulder, elbow, hand, hip, knee, foot),
                strict=True,
            )
        }
    limb = 0.065 * tall
    canvas.ellipse(x, base, 0.2 * tall, 2.4 * near, (74, 70, 64))
    for name in ("left", "right"):
        canvas.line([spots[f"{name}_{joint}"] for joint in ("hip", "knee", "foot")], trousers, limb * 1.25)
        canvas.line([spots[f"{name}_{joint}"] for joint in ("shoulder", "elbow")], shirt, limb * 1.15)
        canvas.line([spots[f"{name}_{joint}"] for joint in ("elbow", "hand")], skin, limb)
    canvas.line([spots["head"], spots["neck"]], skin, limb)
    canvas.polygon([spots[j] for j in ("left_shoulder", "left_hip", "right_hip", "right_shoulder")], shirt)
    canvas.ellipse(*spots["head"], 0.085 * tall, 0.1 * tall, skin)
    canvas.ellipse(x, base - 0.95 * tall, 0.085 * tall, 0.055 * tall, mix(trousers, (40, 24, 10), 0.6))
    points = [(round(spots[j][0], 1), round(spots[j][1], 1)) for j in JOINTS]
    x0, x1 = min(p[0] for p in points) - limb / 2, max(p[0] for p in points) + limb / 2
    y0, y1 = min(base - tall, *(p[1] - limb / 2 for p in points)), base
    label = box_label("walker", round(x0, 1), round(y0, 1), round(x1 - x0, 1), round(y1 - y0, 1))
    return {**label, "keypoints": [v for point in points for v in (*point, 2)], "num_keypoints": len(points)}


def box_label(category: str, x: float, y: float, w: float, h: float) -> Label:
    """A box in COCO's fields."""
    return {"category": category, "bbox": [x, y, w, h], "area": round(w * h, 2), "iscrowd": 0, "segmentation": []}


def _polygon_label(category: str, parts: list[list[tuple[float, float]]]) -> Label:
    xs, ys = [x for part in parts for x, _ in part], [y for part in parts for _, y in part]
    box = [min(xs), min(ys), round(max(xs) - min(xs), 1), round(max(ys) - min(ys), 1)]
    flat = [[v for point in part for v in point] for part in parts]
    area = round(math.fsum(_area(part) for part in parts), 2)
    return {"category": category, "bbox": box, "area": area, "iscrowd": 0, "segmentation": flat}


def _area(points: list[tuple[float, float]]) -> float:
    """The shoelace formula."""
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    # fsum, as Python 3.12 began to add floats up otherwise than 3.11
    return abs(math.fsum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2
