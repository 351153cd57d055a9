from __future__ import annotations

import pytest

from custom_ai.comparison import Comparison, compare, total
from custom_ai.types import Box


def box(x: float, label: str = "cat", width: float = 0.2) -> Box:
    return Box(label, x, 0.1, x + width, 0.3)


@pytest.mark.parametrize(
    ("predicted", "submitted", "expected"),
    [
        ([], [], Comparison(tasks=1, iou_sum=0.0)),  # nothing seen, nothing there
        ([box(0.1)], [box(0.1)], Comparison(accepted=1, tasks=1)),
        ([box(0.1)], [box(0.1001)], Comparison(accepted=1, tasks=1)),  # rounded when it was saved
        ([box(0.1)], [box(0.15)], Comparison(moved=1, tasks=1)),
        ([box(0.1)], [box(0.25)], Comparison(removed=1, added=1, tasks=1)),  # too far to be the same
        ([box(0.1)], [box(0.1, "dog")], Comparison(relabelled=1, tasks=1)),
        ([box(0.1)], [], Comparison(removed=1, tasks=1)),
        ([], [box(0.1)], Comparison(added=1, tasks=1)),
        ([box(0.1), box(0.1)], [box(0.1)], Comparison(accepted=1, removed=1, tasks=1)),  # drawn twice
        # the right class wins even when another one overlaps better
        ([box(0.1, "dog"), box(0.13)], [box(0.1)], Comparison(moved=1, removed=1, tasks=1)),
    ],
)
def test_compare(predicted: list[Box], submitted: list[Box], expected: Comparison) -> None:
    found = compare(predicted, submitted)
    for name in ("accepted", "moved", "relabelled", "removed", "added", "tasks"):
        assert getattr(found, name) == getattr(expected, name), name


def test_figures() -> None:
    found = total([Comparison(accepted=6, moved=2, relabelled=1, removed=1, added=2, iou_sum=8.1, tasks=4)])
    assert found.figures == pytest.approx({"precision": 0.8, "recall": 8 / 11, "score": 16 / 21, "mean_iou": 0.9})


def test_nothing_known_is_not_zero() -> None:
    assert set(total([]).figures.values()) == {None}
