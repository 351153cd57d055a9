from __future__ import annotations

import pytest

from custom_ai.geometry import iou
from custom_ai.overlap import agreement, disagreement
from custom_ai.policy import Readiness, count_labels, may_train_by_rule, tally
from custom_ai.types import Box


def box(x1: float, label: str = "cat", width: float = 0.2) -> Box:
    return Box(label, x1, 0.1, x1 + width, 0.3)


def test_iou_of_half_overlapping_boxes() -> None:
    assert iou(box(0.1), box(0.2)) == pytest.approx(1 / 3)
    assert iou(box(0.1), box(0.5)) == 0.0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([], [], 1.0),  # both see nothing: they agree
        ([box(0.1)], [], 0.0),
        ([box(0.1)], [box(0.1)], 1.0),
        ([box(0.1)], [box(0.1, "dog")], 0.0),  # same place, other class
        ([box(0.1)], [box(0.1), box(0.1)], 2 / 3),  # each box is used once
        ([box(0.1), box(0.6)], [box(0.6)], 2 / 3),
    ],
)
def test_agreement(a: list[Box], b: list[Box], expected: float) -> None:
    assert agreement(a, b) == pytest.approx(expected)
    assert agreement(b, a) == pytest.approx(expected)


def test_disagreement_is_zero_when_all_are_alike() -> None:
    assert disagreement([[box(0.1)]] * 4) == 0.0
    assert disagreement([[box(0.1)], [], [], []]) == pytest.approx(0.5)


def test_untouched_model_output_is_no_example() -> None:
    boxes = [["cat", 0, 0, 1, 1, False], ["cat", 0, 0, 1, 1, True], ["dog", 0, 0, 1, 1, False]]
    counts = count_labels(boxes)
    assert counts == {"cat": 1, "dog": 1}
    state = Readiness({name: counts[name] for name in ("cat", "dog", "cow")}, 1)
    assert state.counts == {"cat": 1, "dog": 1, "cow": 0}
    assert state.missing == {"cow": 1}
    assert not state.ready
    assert str(state) == "cat 1/1, dog 1/1, cow 0/1"


def test_no_class_is_not_ready() -> None:
    assert not Readiness({}, 10).ready


@pytest.mark.parametrize(
    ("labels", "last", "expected"),
    [
        (9, None, False),  # below ten
        (10, None, True),  # the first run
        (11, 10, False),  # one label more does not retrain
        (15, 10, True),  # half as many again does
    ],
)
def test_the_auto_training_rule(labels: int, last: int | None, expected: bool) -> None:
    assert may_train_by_rule(Readiness({"cat": labels}, 10), last) is expected


def test_votes_are_summed_and_ties_go_to_the_higher_score() -> None:
    result = tally([[1, 2], [2], [1], [3]], {1: 0.5, 2: 0.6, 3: 0.9, 4: 0.95})
    assert [(one.candidate_id, one.votes) for one in result] == [(2, 2), (1, 2), (3, 1), (4, 0)]


def test_without_votes_the_score_decides() -> None:
    assert tally([], {7: 0.2, 8: 0.4})[0].candidate_id == 8
