"""One candidate, start to end: train by a recipe, then score the exported file as it will be served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from custom_ai.errors import N_, Cancelled, ImageError, TrainingError
from custom_ai.serving.engine import Model
from custom_ai.settings import Settings
from custom_ai.training.contract import (
    Progress,
    Recipe,
    TrainContext,
    Trained,
    Trainer,
    TrainImage,
    TrainSet,
)
from custom_ai.training.evaluation import Scores, evaluate
from custom_ai.training.weights import find_weights
from custom_ai.types import Box

SCORING_MIN_SCORE = 0.005
"""Average precision needs the uncertain boxes too."""
CHUNK = 8


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A trained candidate and how it does on pictures that it never saw."""

    recipe: Recipe
    trained: Trained
    scores: Scores
    thresholds: Mapping[str, float]
    """Per class, the score from which on a box is shown."""
    seconds: float
    """Of everything: training, export and scoring."""
    predictions: Mapping[int, tuple[Box, ...]]
    """What it said about the held-out pictures, by task."""


def train_candidate(
    recipe: Recipe, data: TrainSet, context: TrainContext, trainer: Trainer, settings: Settings
) -> CandidateResult:
    """Find the base weights, train, score. The scores rest on ``data.held_out`` alone.

    Raises TrainingError with a reason, SettingsError for base weights that do not exist, or Cancelled.
    """
    started = time.monotonic()
    if not data.held_out:
        raise TrainingError(why=N_("no image is left to score the result on; label at least two images"))
    weights = find_weights(recipe.base_weights, settings)
    if weights is not None:
        context = replace(context, weights={**context.weights, recipe.base_weights: weights})
    trained = trainer.train(recipe, data, context)
    model = Model.load(trained.onnx_path, data.classes, trained.image_size, context.threads)
    found: dict[int, tuple[Box, ...]] = {}
    for start in range(0, len(data.held_out), CHUNK):
        if context.cancelled():
            raise Cancelled
        context.report(Progress("scoring", start / len(data.held_out)))
        some = data.held_out[start : start + CHUNK]
        boxes = model.predict([read_pixels(image) for image in some], SCORING_MIN_SCORE)
        found.update(zip((image.task_id for image in some), boxes, strict=True))
    scores = evaluate([image.boxes for image in data.held_out], [*found.values()], data.classes)
    context.report(Progress("scoring", 1.0, 0.0))
    thresholds = {label: scores.per_class[label].threshold for label in data.classes}
    return CandidateResult(recipe, trained, scores, thresholds, round(time.monotonic() - started, 2), found)


def read_pixels(image: TrainImage) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB. Raises ImageError; the file has no EXIF rotation by contract."""
    try:
        with Image.open(image.path) as file:
            return np.asarray(file.convert("RGB"))
    except OSError as error:
        raise ImageError(image=f"of task {image.task_id}", why="its file cannot be read") from error
