"""How likely a pre-label has to be corrected, from the scores of what a model found. Pure; numpy.

A score is a rough measure of how sure the model is, not a probability. What matters is how near it lies to
the threshold that decides: at the threshold the decision is a coin's toss, far above or below it is safe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from custom_ai.types import Box

GRID = 4
"""The layout of an image is described by how much was found in each field of a grid, this many each way."""


def chance_of_error(score: float, threshold: float) -> float:
    """0.5 at the threshold, 0 at scores of 0 and 1, straight lines between them.

    >>> [chance_of_error(score, 0.4) for score in (0.0, 0.2, 0.4, 0.7, 1.0)]
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    if score < threshold:
        return 0.5 * score / threshold
    return 0.5 * (1.0 - score) / (1.0 - threshold) if threshold < 1.0 else 0.5


def doubt(boxes: Sequence[Box], thresholds: Mapping[str, float], default: float) -> float:
    """The chance (0..1) that at least one decision about these boxes is wrong: shown, or left out.

    ``boxes`` also have those below their threshold: an image on which nothing is shown may be a doubtful one.
    An image without any box is sure: 0.
    """
    right = math.prod(
        1.0 - chance_of_error(min(max(box.score or 0.0, 0.0), 1.0), thresholds.get(box.label, default)) for box in boxes
    )
    return 1.0 - right


def looks(images: Sequence[Sequence[Box]], classes: Sequence[str]) -> list[NDArray[np.float64]]:
    """What tells images apart, as tables for ``variety``: how much of each class is in them, and where it is."""
    places = {name: number for number, name in enumerate(classes)}
    counts = np.zeros((len(images), max(1, len(classes))))
    layout = np.zeros((len(images), GRID * GRID))
    for row, boxes in enumerate(images):
        for box in boxes:
            weight = box.score or 0.0
            if box.label in places:
                counts[row, places[box.label]] += weight
            x = min(int(GRID * (box.x1 + box.x2) / 2), GRID - 1)
            y = min(int(GRID * (box.y1 + box.y2) / 2), GRID - 1)
            layout[row, GRID * y + x] += weight
    return [np.sqrt(counts), np.sqrt(layout)]
