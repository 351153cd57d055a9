"""Which pre-labels people are asked to look at first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from review_world import ReviewWorld, make_review_world

from custom_ai.doubt import chance_of_error, doubt, looks
from custom_ai.pipeline import review_order, revisions
from custom_ai.state.tables import Task
from custom_ai.types import Box

LIMITS = {"cat": 0.5}


def box(score: float, x: float = 0.1, label: str = "cat") -> Box:
    return Box(label, x, 0.1, x + 0.1, 0.2, score)


@pytest.fixture
def world(tmp_path: Path) -> ReviewWorld:
    return make_review_world(tmp_path)


@pytest.mark.parametrize(("score", "chance"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.75, 0.25), (1.0, 0.0)])
def test_a_score_is_most_doubtful_at_the_threshold(score: float, chance: float) -> None:
    assert chance_of_error(score, 0.5) == pytest.approx(chance)


def test_extreme_thresholds_divide_by_nothing() -> None:
    assert chance_of_error(0.0, 0.0) == 0.5
    assert chance_of_error(1.0, 1.0) == 0.5
    assert chance_of_error(0.9, 1.0) == pytest.approx(0.45)


def test_doubt_grows_with_every_uncertain_box_and_counts_what_is_not_shown() -> None:
    assert doubt([], LIMITS, 0.25) == 0.0
    assert doubt([box(1.0)], LIMITS, 0.25) == 0.0
    one, hidden = doubt([box(0.6)], LIMITS, 0.25), doubt([box(0.4)], LIMITS, 0.25)
    assert one == pytest.approx(hidden) == pytest.approx(0.4)
    assert one < doubt([box(0.6), box(0.6)], LIMITS, 0.25) < 1.0
    assert doubt([box(0.25, label="new")], LIMITS, 0.25) == pytest.approx(0.5)


def test_looks_tell_amounts_and_places() -> None:
    counts, layout = looks([[box(0.9)], [box(0.9, x=0.8)], [box(0.9, label="dog")], []], ["cat", "dog"])
    assert counts.shape == (4, 2)
    assert layout.shape == (4, 16)
    assert np.array_equal(counts[0], counts[1])
    assert not np.array_equal(layout[0], layout[1])
    assert not np.array_equal(counts[0], counts[2])
    assert not counts[3].any()


def test_the_doubtful_come_first_and_sure_ones_last(world: ReviewWorld) -> None:
    world.job(world.model(), {1: [0.99], 2: [0.51], 3: [0.7], 4: []})
    assert review_order.most_useful(world.services, 1, 2)[0] == 2
    assert sorted(review_order.most_useful(world.services, 1)) == [1, 2, 3, 4]


def test_alike_ones_do_not_all_come_first(world: ReviewWorld) -> None:
    """Three images with the same doubtful box, and one that is a little less doubtful but different."""
    world.job(world.model(), {1: [0.5], 2: [0.5], 3: [0.5], 4: [0.4, 0.99, 0.99, 0.99, 0.99]})
    assert 4 in review_order.most_useful(world.services, 1, 2)


def test_what_was_reviewed_or_taken_back_is_not_asked_for(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {1: [0.5], 2: [0.5]})
    world.job(model, {3: [0.5], 4: [0.5]})
    with world.services.database.write() as session:
        session.get_one(Task, (1, 3)).touched = True
    revisions.revise(world.services, revisions.request_roll_back(world.services, job.id, by="me"), 1)
    assert review_order.most_useful(world.services, 1) == [4]


def test_a_large_pool_is_cut_to_the_most_doubtful(world: ReviewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_order, "POOL", 2)
    monkeypatch.setattr(review_order, "_AT_ONCE", 2)
    world.job(world.model(), {1: [0.99], 2: [0.51], 3: [0.98], 4: [0.52], 5: [0.97]})
    assert sorted(review_order.most_useful(world.services, 1)) == [2, 4]
