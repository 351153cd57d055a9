"""Batches that fit: by arithmetic, and in trainings that ask for more memory than there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from custom_ai.errors import TrainingError
from custom_ai.training.contract import Recipe, TrainContext, Trained, TrainImage, TrainSet
from custom_ai.training.memory import batch_on_gpu, smaller
from custom_ai.training.yolo import YoloTrainer
from custom_ai.types import Box, ImageSize

RECIPE = Recipe("one", "One", "yolov5n", "", image_size=320, passes=4000, seconds=170.0)


def test_smaller_by_halves_then_by_the_size_of_the_input() -> None:
    tried = []
    recipe: Recipe | None = RECIPE
    while recipe is not None:
        tried.append((recipe.batch, recipe.image_size))
        recipe = smaller(recipe)
    assert tried == [(4, 320), (2, 320), (1, 320), (1, 256), (1, 192)]


@pytest.mark.parametrize(
    ("passes", "images", "batch"),
    [(4000, 10, 4), (4000, 5000, 4), (40_000, 10, 4), (40_000, 300, 16), (400_000, 5000, 64)],
)
def test_larger_on_a_gpu_only_with_many_images_and_passes(passes: int, images: int, batch: int) -> None:
    assert batch_on_gpu(replace(RECIPE, passes=passes), images) == batch


def train(folder: Path, recipe: Recipe) -> tuple[Trained, list[str]]:
    """Train on four noisy pictures; the result, and what people were told."""
    path = folder / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    images = tuple(TrainImage(n, path, ImageSize(64, 64), (Box("a", 0.2, 0.2, 0.7, 0.7),)) for n in range(4))
    told: list[str] = []
    context = TrainContext(folder, "cpu", 1, tell=lambda template, **values: told.append(template.format(**values)))
    return YoloTrainer().train(recipe, TrainSet(("a",), images, ()), context), told


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many pixels a batch may have; a larger one asks torch for more than any machine has.

    Not by a limit of the process: what oneDNN does when it gets no memory is sometimes an error, sometimes a crash.
    """
    import torch

    from custom_ai.training.yolo_loop import Loop

    original = Loop.preprocess_batch

    def limit(pixels: int) -> None:
        def preprocess(self: Any, batch: dict[str, Any]) -> Any:
            count, _, height, width = batch["img"].shape
            if count * height * width > pixels:
                torch.empty(1 << 52, dtype=torch.uint8)
            return original(self, batch)

        monkeypatch.setattr(Loop, "preprocess_batch", preprocess)

    return limit


def test_training_goes_on_with_what_fits(tmp_path: Path, room: Any) -> None:
    room(2 * 96 * 96)
    trained, told = train(tmp_path, replace(RECIPE, image_size=96, passes=16, batch=8))
    assert (trained.batch, trained.image_size, trained.passes) == (2, 96, 16)
    assert told == [
        "There was not enough memory; going on with 4 images at a time, 96 pixels wide.",
        "There was not enough memory; going on with 2 images at a time, 96 pixels wide.",
    ]


def test_then_with_smaller_images(tmp_path: Path, room: Any) -> None:
    room(200 * 200)
    trained, told = train(tmp_path, replace(RECIPE, image_size=256, passes=4, batch=2))
    assert (trained.batch, trained.image_size, len(told)) == (1, 192, 2)


def test_and_at_last_not_at_all(tmp_path: Path, room: Any) -> None:
    room(1)
    with pytest.raises(TrainingError, match="not even for one small image at a time"):
        train(tmp_path, replace(RECIPE, image_size=256, passes=4, batch=2))
