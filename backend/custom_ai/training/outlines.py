"""Overlaps of many shapes with many others, as the evaluation needs them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from custom_ai.overlap import enclosed
from custom_ai.shapes import corners
from custom_ai.types import Box

Floats = NDArray[np.float64]


def outline_overlaps(some: Sequence[Box], others: Sequence[Box]) -> Floats:
    """IoU of each pair by the outlines, (n, m); a box without one is its own outline.

    What of a rotated box lies outside of the picture counts. A polygon that crosses itself is made valid:
    whatever it goes around is inside. IoU does not change when an axis is scaled, so fractions serve.
    """
    result = np.zeros((len(some), len(others)))
    first, second = (np.array([enclosed(corners(box)) for box in boxes], object) for boxes in (some, others))
    a, b = shapely.bounds(first), shapely.bounds(second)
    meet = (np.maximum(a[:, None, :2], b[None, :, :2]) < np.minimum(a[:, None, 2:], b[None, :, 2:])).all(axis=2)
    rows, columns = np.nonzero(meet)
    common = shapely.area(shapely.intersection(first[rows], second[columns]))
    union = shapely.area(first)[rows] + shapely.area(second)[columns] - common
    result[rows, columns] = common / np.maximum(union, 1e-300)
    return result
