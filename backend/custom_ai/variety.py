"""Chooses items that are worth much and are not all alike. Pure; numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOVELTY = 0.3
"""What being unlike everything chosen before is worth, in units of value."""

Floats = NDArray[np.float64]


def valuable_and_different(values: Sequence[float], looks: Sequence[Floats], count: int) -> list[int]:
    """Up to ``count`` indices, the best first.

    Greedy: the most valuable one first; then always the one whose value, with a bonus for its distance to the
    nearest one chosen before, is highest. ``looks`` are one or more tables (items, features), each of its own
    kind; a distance counts against the usual one of its table, and gives the full bonus from there on. Raises
    ValueError when a table has another number of items.
    """
    worth = np.asarray(values, np.float64)
    nearest = np.full(len(worth), np.inf)
    distance = np.zeros((len(worth), len(worth)))
    for look in looks:
        if len(look) != len(worth):
            raise ValueError(f"expected {len(worth)} items, got {len(look)}")
        distance += _distances(look) / len(looks)
    left = list(range(len(worth)))
    chosen: list[int] = []
    while left and len(chosen) < count:
        bonus = NOVELTY * np.minimum(nearest[left], 1.0) if chosen else 0.0
        best = left[int(np.argmax(worth[left] + bonus))]
        left.remove(best)
        chosen.append(best)
        nearest = np.minimum(nearest, distance[best])
    return chosen


def _distances(look: Floats) -> Floats:
    """(items, items), 1.0 for the usual distance of two items."""
    squares = (look**2).sum(axis=1)
    found = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * look @ look.T, 0.0))
    usual = float(np.median(found[~np.eye(len(look), dtype=bool)])) if len(look) > 1 else 0.0
    return np.asarray(found / usual) if usual > 0 else np.zeros_like(found)
