from __future__ import annotations

import pytest

from custom_ai.training.report import BACKGROUND, confusion, curve, doubts, errors_by_image
from custom_ai.types import Box


def box(x: float, label: str = "cat", score: float | None = None) -> Box:
    return Box(label, x, 0.1, x + 0.2, 0.3, score)


TRUTH = {1: [box(0.1), box(0.5, "dog")], 2: [box(0.1)], 3: []}
PREDICTED = {
    1: [box(0.1, score=0.9), box(0.5, "cat", score=0.8)],  # the dog was seen as a cat
    2: [box(0.12, score=0.4)],
    3: [box(0.6, "dog", score=0.95)],  # invented, or forgotten by the person
}
THRESHOLDS = {"cat": 0.3, "dog": 0.5}


def test_curve_of_a_class() -> None:
    found = curve(TRUTH, PREDICTED, "cat")
    assert found.thresholds == (0.9, 0.8, 0.4)
    assert found.precision == pytest.approx((1.0, 0.5, 2 / 3))
    assert found.recall == pytest.approx((0.5, 0.5, 1.0))


def test_curve_of_a_class_that_nobody_drew() -> None:
    found = curve({1: []}, {1: [box(0.1, "cow", 0.5)]}, "cow")
    assert found.precision == (0.0,)
    assert found.recall == (0.0,)
    assert curve({1: []}, {}, "cow").thresholds == ()


def test_a_shape_is_found_once() -> None:
    found = curve({1: [box(0.1)]}, {1: [box(0.1, score=0.9), box(0.11, score=0.8)]}, "cat")
    assert found.precision == pytest.approx((1.0, 0.5))
    assert found.recall == pytest.approx((1.0, 1.0))


def test_confusion() -> None:
    table = confusion(TRUTH, PREDICTED, ["cat", "dog"], THRESHOLDS)
    assert table["cat"] == {"cat": 2, "dog": 0, BACKGROUND: 0}
    assert table["dog"] == {"cat": 1, "dog": 0, BACKGROUND: 0}
    assert table[BACKGROUND] == {"cat": 0, "dog": 1, BACKGROUND: 0}


def test_thresholds_hide_what_is_below_them() -> None:
    table = confusion(TRUTH, PREDICTED, ["cat", "dog"], {"cat": 0.85, "dog": 0.99})
    assert table["cat"][BACKGROUND] == 1
    assert table["dog"][BACKGROUND] == 1
    assert sum(table[BACKGROUND].values()) == 0


def test_the_worst_images_come_first() -> None:
    first, second, third = errors_by_image(TRUTH, PREDICTED, THRESHOLDS)
    assert (first.task_id, first.errors, first.found) == (1, 2, 1)
    assert first.missed == (box(0.5, "dog"),)
    assert first.wrong == (box(0.5, "cat", 0.8),)
    assert (second.task_id, second.errors) == (3, 1)
    assert (third.task_id, third.errors) == (2, 0)


def test_labels_in_doubt() -> None:
    truth = TRUTH | {4: [box(0.7)]}  # nothing is seen where this was drawn, but both of the other cats are
    found = [(one.kind, one.task_id, one.box.label, one.drawn_as) for one in doubts(truth, PREDICTED)]
    assert found == [("missing", 3, "dog", ""), ("class", 1, "cat", "dog"), ("needless", 4, "cat", "cat")]
    sure = [one.sureness for one in doubts(truth, PREDICTED)]
    assert sure == [0.95, 0.8, 0.75]


def test_a_model_that_overlooks_much_doubts_no_label_for_that() -> None:
    truth = TRUTH | {4: [box(0.7)], 5: [box(0.7)]}
    assert [one.kind for one in doubts(truth, PREDICTED)] == ["missing", "class"]


def test_an_unsure_model_doubts_nobody() -> None:
    assert doubts({1: [box(0.1)]}, {1: [box(0.1, "dog", 0.5), box(0.6, score=0.6)]}) == []
