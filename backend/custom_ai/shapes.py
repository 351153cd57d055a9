"""Shapes as outlines, and as rows of JSON. Pure, standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from custom_ai.types import Box, Outline

Point = tuple[float, float]


def to_row(box: Box, last: bool | float | None) -> list[Any]:
    """[label, x1, y1, x2, y2, last], and the outline's [x, y] pairs as a seventh value when there is one.

    ``last`` is ``untouched`` where people's labels are kept, and the score where a model's are.
    """
    row: list[Any] = [box.label, box.x1, box.y1, box.x2, box.y2, last]
    return [*row, [[x, y] for x, y in box.outline]] if box.outline else row


def from_row(row: Sequence[Any]) -> Box:
    """The box of a row; true or false in the sixth place is ``untouched``, a number or null the score."""
    label, x1, y1, x2, y2, last = row[:6]
    outline = tuple((float(x), float(y)) for x, y in row[6]) if len(row) > 6 else ()
    if isinstance(last, bool):
        return Box(label, x1, y1, x2, y2, untouched=last, outline=outline)
    return Box(label, x1, y1, x2, y2, last, outline=outline)


def corners(box: Box) -> Outline:
    """The outline, or the four corners of an upright box: clockwise from the top left."""
    return box.outline or ((box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2))


def bounds(outline: Iterable[Point]) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 of the upright box around an outline; not clipped."""
    points = list(outline)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def within(outline: Iterable[Point]) -> Outline:
    """Each corner moved to the nearest point of the image."""
    return tuple((min(1.0, max(0.0, x)), min(1.0, max(0.0, y))) for x, y in outline)


def tidy(outline: Iterable[Point]) -> Outline:
    """Without corners that repeat the one before; the last and the first count as neighbours."""
    kept: list[Point] = []
    for point in outline:
        if not kept or point != kept[-1]:
            kept.append(point)
    while len(kept) > 1 and kept[0] == kept[-1]:
        kept.pop()
    return tuple(kept)


def is_flat(outline: Outline) -> bool:
    """Whether there are fewer than three different corners, or all lie on one line: nothing is inside."""
    if len(set(outline)) < 3:
        return True
    x0, y0 = outline[0]
    # From the corner that is farthest away: the longest base tells best which corners are off the line.
    x1, y1 = max(outline, key=lambda point: math.dist(point, outline[0]))
    return all(abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) < 1e-12 for x, y in outline)


def turned(x: float, y: float, width: float, height: float, degrees: float) -> Outline:
    """The corners of a rectangle turned clockwise about its top left, in pixels, from there on clockwise."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    sides = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    return tuple((x + u * cos - v * sin, y + u * sin + v * cos) for u, v in sides)


def visible_part(outline: Outline, degrees: float, width: float, height: float) -> Outline:
    """The rectangle at the same angle around what of an outline lies in the image, in pixels; () for nothing.

    ``degrees`` is the angle of its first side, clockwise; ``width``, ``height`` the image's.
    """
    inside = clipped(outline, width, height)
    if not inside:
        return ()
    # In the frame of the rectangle it is an upright one.
    x1, y1, x2, y2 = bounds(_rotate(point, -degrees) for point in inside)
    x, y = _rotate((x1, y1), degrees)
    return turned(x, y, x2 - x1, y2 - y1, degrees)


def clipped(outline: Outline, width: float = 1.0, height: float = 1.0) -> Outline:
    """What of an outline lies between 0 and width, 0 and height; () for nothing.

    Parts of one that is not convex stay connected along the border.
    """
    inside = list(outline)
    for axis, limit, sign in ((0, 0.0, 1.0), (0, width, -1.0), (1, 0.0, 1.0), (1, height, -1.0)):
        inside = _cut(inside, axis, limit, sign)
    return tuple(inside)


def shortened(outline: Outline, share: float) -> Outline:
    """A rectangle (four corners in order) with ``share`` of its longer sides, around the same centre."""
    p, q, r, s = outline
    if math.dist(p, q) < math.dist(q, r):
        q, r, s, p = _pulled(q, r, share), _pulled(r, q, share), _pulled(s, p, share), _pulled(p, s, share)
    else:
        p, q, r, s = _pulled(p, q, share), _pulled(q, p, share), _pulled(r, s, share), _pulled(s, r, share)
    return p, q, r, s


def is_rectangle(outline: Outline) -> bool:
    """Whether these are four corners of a rectangle in pixels, within about one percent of its sides."""
    if len(outline) != 4 or is_flat(outline):
        return False
    p, q, r, s = outline
    across, down = math.dist(p, q), math.dist(p, s)
    leaning = abs((q[0] - p[0]) * (s[0] - p[0]) + (q[1] - p[1]) * (s[1] - p[1]))
    open_by = math.hypot(p[0] + r[0] - q[0] - s[0], p[1] + r[1] - q[1] - s[1])
    return leaning <= 0.01 * across * down and open_by <= 0.01 * min(across, down)


def _pulled(end: Point, other: Point, share: float) -> Point:
    """The end of a side of which ``share`` is left around its middle."""
    cut = (1 - share) / 2
    return end[0] + cut * (other[0] - end[0]), end[1] + cut * (other[1] - end[1])


def _cut(points: list[Point], axis: int, limit: float, sign: float) -> list[Point]:
    """What of an outline lies on one side of a line parallel to an axis (Sutherland and Hodgman 1974)."""
    kept: list[Point] = []
    for before, point in zip([*points[-1:], *points[:-1]], points, strict=True):
        a, b = sign * (before[axis] - limit), sign * (point[axis] - limit)
        if (a < 0) != (b < 0):
            share = a / (a - b)
            kept.append((before[0] + share * (point[0] - before[0]), before[1] + share * (point[1] - before[1])))
        if b >= 0:
            kept.append(point)
    return kept


def _rotate(point: Point, degrees: float) -> Point:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return point[0] * cos - point[1] * sin, point[0] * sin + point[1] * cos
