"""How far two shapes, and what two people or models see, are the same; for all kinds of shapes.

Intersection over union does not change when an axis is scaled, so fractions of the image serve as well as
pixels, also for rotated boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import shapely

from custom_ai import geometry
from custom_ai.shapes import bounds, corners
from custom_ai.types import Box, Outline


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two shapes on the same image, 0..1.

    The parts of rotated boxes that lie outside of the image count. An outline may cross itself: whatever it
    goes around is inside.
    """
    if not a.outline and not b.outline:
        return geometry.iou(a, b)
    if not _bounds_meet(a, b):  # by far the most pairs of a crowded image
        return 0.0
    first, second = enclosed(corners(a)), enclosed(corners(b))
    common = float(first.intersection(second).area)
    union = float(first.area + second.area) - common
    return min(1.0, common / union) if union > 0 else 0.0


def agreement(a: Sequence[Box], b: Sequence[Box], min_iou: float = 0.5) -> float:
    """F1 of matching the shapes of ``a`` with those of ``b`` by class and overlap (1.0 when both are empty).

    Greedy, best overlap first; every shape is used once. Symmetric.
    """
    if not a and not b:
        return 1.0
    pairs = sorted(
        ((iou(x, y), i, j) for i, x in enumerate(a) for j, y in enumerate(b) if x.label == y.label),
        reverse=True,
    )
    used_a: set[int] = set()
    used_b: set[int] = set()
    for overlap, i, j in pairs:
        if overlap < min_iou:
            break
        if i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
    return 2 * len(used_a) / (len(a) + len(b))


def disagreement(predictions: Sequence[Sequence[Box]]) -> float:
    """How much several models differ on one image: 1 - the mean agreement over all pairs, 0..1."""
    pairs = list(combinations(predictions, 2))
    if not pairs:
        return 0.0
    return 1.0 - sum(agreement(a, b) for a, b in pairs) / len(pairs)


def _bounds_meet(a: Box, b: Box) -> bool:
    """By the outlines, since the box of a rotated one is clipped to the image."""
    ax1, ay1, ax2, ay2 = bounds(corners(a))
    bx1, by1, bx2, by2 = bounds(corners(b))
    return ax1 < bx2 and bx1 < ax2 and ay1 < by2 and by1 < ay2


@lru_cache(maxsize=4096)
def enclosed(outline: Outline) -> Any:
    """What an outline encloses, as a valid shapely geometry; each shape of an image is compared with many others."""
    shape = shapely.Polygon(outline)
    return shape if shape.is_valid else shapely.make_valid(shape, method="structure", keep_collapsed=False)
