"""One candidate, start to end: train by a recipe, then score what it does as it will be served.

Where nothing is held out, siblings of the candidate are trained and scored instead, see training.folds.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
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
from custom_ai.training.folds import SHARE, make_folds
from custom_ai.training.weights import find_weights
from custom_ai.types import Box

SCORING_MIN_SCORE = 0.005
"""Average precision needs the uncertain boxes too."""
CHUNK = 8
OVERHEAD_S = 3.0
"""Seconds that a training takes besides its passes: setting up, export, scoring a dozen pictures."""
STAGES = {"preparing": (0.0, 0.0), "training": (0.0, 0.9), "exporting": (0.9, 0.95), "scoring": (0.95, 1.0)}
"""Where the stages of one training lie within it."""
HELD_OUT = N_("scored on pictures that were held out")
CROSS_VALIDATED = N_("cross-validation in 2 parts; the model itself learned from all pictures")

Found = dict[int, tuple[Box, ...]]
"""Predicted boxes by task."""


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A trained candidate and how it (or its siblings, when all was trained on) does on unseen pictures."""

    recipe: Recipe
    trained: Trained
    scores: Scores
    thresholds: Mapping[str, float]
    """Per class, the score from which on a box is shown."""
    seconds: float
    """Of everything: training, export and scoring."""
    predictions: Mapping[int, tuple[Box, ...]]
    """What was said about each picture by a model that had not seen it, by task."""


def train_candidate(
    recipe: Recipe, data: TrainSet, context: TrainContext, trainer: Trainer, settings: Settings
) -> CandidateResult:
    """Find the base weights, train, score. The scores never rest on pictures that were learned from.

    ``recipe.seconds`` caps all trainings together. The fractions that are reported are those of the whole.
    Raises TrainingError with a reason, SettingsError for base weights that do not exist, or Cancelled.
    """
    started = time.monotonic()
    folds = [] if data.held_out else make_folds(data.train)
    if not data.held_out and len(folds) < 2:
        raise TrainingError(why=N_("no image is left to score the result on; label at least two images"))
    weights = find_weights(recipe.base_weights, settings)
    if weights is not None:
        context = replace(context, weights={**context.weights, recipe.base_weights: weights})
    whole = 1.0 + SHARE * len(folds)
    if not folds:
        trained = trainer.train(recipe, data, _part(context, started, 0.0, 1.0))
        found = _predict(trained, data, data.held_out, _part(context, started, 0.0, 1.0))
        scored: Sequence[TrainImage] = data.held_out
    else:
        net_s = max(recipe.seconds - OVERHEAD_S * (1 + len(folds)), 0.5 * recipe.seconds)
        first = replace(recipe, seconds=net_s / whole)
        trained = trainer.train(first, data, _part(context, started, 0.0, 1.0 / whole))
        passes = max(round(trained.passes * SHARE), 1)
        found, scored = {}, data.train
        for number, fold in enumerate(folds):
            left_s = recipe.seconds - (time.monotonic() - started)
            seconds = max(left_s / (len(folds) - number) - OVERHEAD_S, 0.1 * net_s / whole)
            sibling = replace(recipe, passes=passes, seconds=seconds)
            share = replace(data, train=tuple(one for one in data.train if one not in fold), held_out=fold)
            if not any(one.boxes for one in share.train):  # all labels are in this fold: nothing can be learned
                found |= {one.task_id: () for one in fold}
                continue
            begin = (1.0 + SHARE * number) / whole
            part = _part(context, started, begin, begin + SHARE / whole, f"fold-{number}")
            part.work_dir.mkdir()
            found |= _predict(trainer.train(sibling, share, part), share, fold, part)
            shutil.rmtree(part.work_dir)
    scores = evaluate([image.boxes for image in scored], [found[image.task_id] for image in scored], data.classes)
    scores = replace(scores, method=CROSS_VALIDATED if folds else HELD_OUT)
    context.report(Progress("scoring", 1.0, 0.0))
    thresholds = {label: scores.per_class[label].threshold for label in data.classes}
    return CandidateResult(recipe, trained, scores, thresholds, round(time.monotonic() - started, 2), found)


def _part(context: TrainContext, started: float, begin: float, end: float, sibling: str = "") -> TrainContext:
    """A context for one training (in a folder of its own if it is a sibling's) from ``begin`` to ``end``."""

    def report(progress: Progress) -> None:
        low, high = STAGES[progress.stage]
        done = begin + (end - begin) * (low + (high - low) * progress.fraction)
        used_s = time.monotonic() - started
        left = used_s * (1 - done) / done if done > 0.01 else progress.seconds_left
        if sibling:  # for people, its training is a part of the scoring, and its loss is not the candidate's
            context.report(Progress("scoring", done, left))
        else:
            context.report(Progress(progress.stage, done, left, progress.loss))

    return replace(context, report=report, work_dir=context.work_dir / sibling)


def _predict(trained: Trained, data: TrainSet, images: Sequence[TrainImage], context: TrainContext) -> Found:
    """What the exported model sees on ``images``."""
    model = Model.load(trained.onnx_path, data.classes, trained.image_size, context.threads)
    found: Found = {}
    for start in range(0, len(images), CHUNK):
        if context.cancelled():
            raise Cancelled
        context.report(Progress("scoring", start / len(images)))
        some = images[start : start + CHUNK]
        boxes = model.predict([read_pixels(image) for image in some], SCORING_MIN_SCORE)
        found.update(zip((image.task_id for image in some), boxes, strict=True))
    return found


def read_pixels(image: TrainImage) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB. Raises ImageError; the file has no EXIF rotation by contract."""
    try:
        with Image.open(image.path) as file:
            return np.asarray(file.convert("RGB"))
    except OSError as error:
        raise ImageError(image=f"of task {image.task_id}", why="its file cannot be read") from error
