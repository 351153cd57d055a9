"""Which images are voted on: those on which candidates disagree, but not all alike."""

from __future__ import annotations

import numpy as np
import pytest

from custom_ai.variety import valuable_and_different


def test_the_most_valuable_comes_first_when_all_look_alike() -> None:
    alike = np.zeros((4, 3))
    assert valuable_and_different([0.1, 0.9, 0.5, 0.7], [alike], 3) == [1, 3, 2]


def test_a_different_look_is_worth_something() -> None:
    """Three frames of one scene with a little more disagreement, and another scene."""
    look = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.01], [5.0, 5.0]])
    assert valuable_and_different([0.9, 0.88, 0.86, 0.8], [look], 2) == [0, 3]


def test_but_disagreement_is_worth_more() -> None:
    look = np.array([[0.0], [0.1], [9.0]])
    assert valuable_and_different([0.9, 0.8, 0.1], [look], 2) == [0, 1]


def test_tables_of_different_scale_count_the_same() -> None:
    fine = np.array([[0.0], [0.0], [1.0]])
    coarse = np.array([[0.0], [1000.0], [0.0]])
    order = valuable_and_different([1.0, 0.5, 0.5], [fine, coarse], 3)
    assert order == valuable_and_different([1.0, 0.5, 0.5], [fine * 7, coarse / 7], 3)


def test_fewer_items_than_asked_for() -> None:
    assert valuable_and_different([], [np.zeros((0, 2))], 5) == []
    assert valuable_and_different([0.3], [np.zeros((1, 2))], 5) == [0]
    with pytest.raises(ValueError, match="expected 2 items"):
        valuable_and_different([0.3, 0.4], [np.zeros((1, 2))], 5)
