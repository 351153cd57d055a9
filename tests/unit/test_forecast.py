"""What more labels would bring: the fit, and the trainings with fewer labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from custom_ai.training import subsets
from custom_ai.training.contract import Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.folds import SHARE
from custom_ai.training.forecast import LUCK, Compared, Point, forecast, measured
from custom_ai.training.siblings import OVERHEAD_S
from custom_ai.types import Box, ImageSize
from fake_trainer import FakeTrainer


def known(times: float, score: float, spread: float = 0.02, source: str = "model") -> Point:
    return Point(times, False, score, score - spread, score + spread, source)


def test_a_known_law_is_found_again() -> None:
    """error = 0.4 * labels ** -0.5, measured in many runs that went before."""
    earlier = [known(2.0**-n, 1 - 0.4 * 2 ** (0.5 * n), source="earlier") for n in (2, 1, 1, 1, 2, 2) for _ in range(4)]
    points = [known(1.0, 0.6)]
    found = forecast(points, np.array([[0.0004]]), earlier)
    today, twice, four = found["expected"]
    assert today["score"] == pytest.approx(0.6, abs=0.03)
    assert twice["score"] == pytest.approx(1 - 0.4 * 2**-0.5, abs=0.03)
    assert four["score"] == pytest.approx(0.8, abs=0.04)
    assert today["low"] < today["score"] < today["high"]
    assert [one["times"] for one in found["gain"]] == [2, 4]
    assert found["verdict"] == "gain"
    assert found["curve"][0][0] == 0.25


def test_what_is_not_known_is_not_told() -> None:
    vague = forecast([Point(0.5, True, 0.1, 0.0, 0.3, "siblings")], np.array([[0.5]]))
    assert vague["verdict"] == "unsure"
    gain = vague["gain"][0]
    assert gain["high"] - gain["low"] > 0.15


def test_a_model_that_is_nearly_perfect_gains_little() -> None:
    found = forecast([known(1.0, 0.97, 0.01)], np.array([[0.01]]))
    assert found["verdict"] == "little"
    assert found["expected"][2]["high"] <= 0.99


def test_siblings_are_worse_than_the_model() -> None:
    """They had half of the labels and fewer passes: today's model is expected to be better for both."""
    short = forecast([Point(0.5, True, 0.6, 0.55, 0.65, "siblings")], np.array([[LUCK**2]]))
    whole = forecast([Point(0.5, False, 0.6, 0.55, 0.65, "siblings")], np.array([[LUCK**2]]))
    assert short["expected"][0]["score"] > whole["expected"][0]["score"] + 0.03 > 0.63


def test_no_point_no_forecast() -> None:
    with pytest.raises(ValueError, match="no point"):
        forecast([known(1.0, 0.5)], np.array([[np.nan]]))


CAT, DOG = Box("cat", 0.1, 0.1, 0.4, 0.4), Box("dog", 0.6, 0.6, 0.9, 0.9)


def test_points_of_a_run() -> None:
    """Siblings find all cats and half of the dogs; with half of the labels half of the cats and no dog."""
    truth = {n: (CAT, DOG) for n in range(8)}
    sure = [replace(one, score=0.9) for one in (CAT, DOG)]
    siblings = {n: (sure[0], sure[1]) if n % 2 else (sure[0],) for n in range(8)}
    fewer = {n: (sure[0],) if n % 2 else () for n in range(4)}
    compared = Compared(10, 20, fewer, {n: siblings[n] for n in range(4)})
    points, covariance, worst = measured(truth, siblings, 0.5, True, compared, ["cat", "dog"])
    first, second = points
    assert (first.times, first.source, second.times, second.source) == (0.5, "siblings", 0.25, "subset")
    assert first.score == pytest.approx(0.75, abs=0.02)
    assert second.score < first.score
    assert first.low <= first.score <= first.high
    assert covariance.shape == (2, 2)
    assert worst == "dog"
    assert measured(truth, truth_as_found(truth), 1.0, False, None, ["cat", "dog"])[2] is None  # both perfect


def truth_as_found(truth: dict[int, tuple[Box, ...]]) -> dict[int, tuple[Box, ...]]:
    return {task: tuple(replace(box, score=0.9) for box in boxes) for task, boxes in truth.items()}


RECIPE = Recipe("fake", "Fake", "none", "", image_size=64, passes=400, seconds=100.0)


@pytest.fixture
def images(tmp_path: Path) -> tuple[TrainImage, ...]:
    path = tmp_path / "a.png"
    Image.new("RGB", (32, 32)).save(path)
    return tuple(TrainImage(n, path, ImageSize(32, 32), (Box("cat", 0.3, 0.3, 0.7, 0.7),)) for n in range(1, 13))


def compare(images: tuple[TrainImage, ...], held_out: int, seconds: float, folder: Path) -> tuple[FakeTrainer, object]:
    cut = len(images) - held_out
    data = TrainSet(("cat",), images[:cut], images[cut:])
    reference = {image.task_id: (Box("cat", 0.3, 0.3, 0.7, 0.7, 0.5),) for image in images}
    trainer = FakeTrainer()
    context = TrainContext(folder / "work")
    return trainer, subsets.compare(RECIPE, data, reference, 0.1, seconds, context, trainer)


ONE_S = 400 * SHARE * 0.1 + OVERHEAD_S
"""What a sibling's training takes at 0.1 s a pass."""


@pytest.mark.parametrize(("seconds", "trainings"), [(2.1 * ONE_S, 2), (1.1 * ONE_S, 1), (0.9 * ONE_S, 1)])
def test_cross_validation_is_compared_with_a_quarter(
    images: tuple[TrainImage, ...], tmp_path: Path, seconds: float, trainings: int
) -> None:
    """In as many passes as the siblings had; nobody is asked about what it learned from."""
    trainer, found = compare(images, 0, seconds, tmp_path)
    assert isinstance(found, Compared)
    assert [len(data.train) for data in trainer.seen] == [3] * trainings
    assert (found.fewer_labels, found.more_labels) == (3 * trainings, 6 * trainings)
    assert {*found.fewer} == {*found.more} == {one.task_id for data in trainer.seen for one in data.held_out}
    assert all(boxes[0].score == 0.5 for boxes in found.more.values())  # the score's own predictions


def test_with_little_time_both_are_trained_equally_short(images: tuple[TrainImage, ...], tmp_path: Path) -> None:
    trainer, found = compare(images, 0, 0.6 * ONE_S, tmp_path)
    assert isinstance(found, Compared)
    assert [len(data.train) for data in trainer.seen] == [3, 6]
    assert {one.task_id for one in trainer.seen[0].train} < {one.task_id for one in trainer.seen[1].train}
    assert all(boxes[0].score != 0.5 for boxes in found.more.values())


def test_held_out_images_are_asked_about(images: tuple[TrainImage, ...], tmp_path: Path) -> None:
    trainer, found = compare(images, 4, 60.0, tmp_path)
    assert isinstance(found, Compared)
    assert [(len(data.train), len(data.held_out)) for data in trainer.seen] == [(2, 4)]
    assert (found.fewer_labels, found.more_labels) == (2, 8)


def test_too_little_time_or_too_few_images(images: tuple[TrainImage, ...], tmp_path: Path) -> None:
    assert compare(images, 0, 5.0, tmp_path)[1] is None
    assert compare(images[:2], 0, 60.0, tmp_path)[1] is None
