"""Plain geometry on boxes. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from custom_ai.types import Box


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (fractions of the same image)."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (area(a) + area(b) - common)


def area(box: Box) -> float:
    """Area as a fraction of the image."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def agreement(a: Sequence[Box], b: Sequence[Box], min_iou: float = 0.5) -> float:
    """F1 of matching the boxes of ``a`` with those of ``b`` by class and overlap (1.0 when both are empty).

    Greedy, best overlap first; every box is used once. Symmetric.
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
