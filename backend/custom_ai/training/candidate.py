"""One candidate, start to end: train by a recipe, then score what it does as it will be served.

Where nothing is held out, siblings of the candidate are trained and scored instead, see training.folds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import psutil

from custom_ai.errors import N_, TrainingError
from custom_ai.settings import Settings
from custom_ai.training.contract import Progress, Recipe, TrainContext, Trained, Trainer, TrainImage, TrainSet
from custom_ai.training.evaluation import Scores, evaluate
from custom_ai.training.folds import SHARE, make_folds
from custom_ai.training.siblings import OVERHEAD_S, START_S, Beside, Found, Report, Siblings, predict
from custom_ai.training.weights import find_weights
from custom_ai.types import Box

log = logging.getLogger(__name__)

STAGES = {"preparing": (0.0, 0.0), "training": (0.0, 0.9), "exporting": (0.9, 0.95), "scoring": (0.95, 1.0)}
"""Where the stages of one training lie within it."""
HELD_OUT = N_("scored on pictures that were held out")
CROSS_VALIDATED = N_("cross-validation in 2 parts; the model itself learned from all pictures")
ROOM_BYTES = 4_000_000_000
"""Memory that must be available for a second training beside the first; each takes 1.3 to 3.4 GB."""


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
    weights = find_weights(recipe.base_weights, settings, cancelled=context.cancelled, tell=context.tell)
    if weights is not None:
        context = replace(context, weights={**context.weights, recipe.base_weights: weights})
        recipe = replace(recipe, passes=min(recipe.passes, recipe.warm_passes or recipe.passes))
    scored: Sequence[TrainImage] = data.train
    if not folds:
        part = _part(context, started, 1.0)
        trained = trainer.train(recipe, data, part)
        found, scored = predict(trained, data, data.held_out, part), data.held_out
    elif _can_share(context, trainer):
        trained, found = _side_by_side(recipe, data, folds, context, trainer, started)
    else:
        trained, found = _one_after_another(recipe, data, folds, context, trainer, started)
    scores = evaluate([image.boxes for image in scored], [found[image.task_id] for image in scored], data.classes)
    scores = replace(scores, method=CROSS_VALIDATED if folds else HELD_OUT)
    context.report(Progress("scoring", 1.0, 0.0))
    thresholds = {label: scores.per_class[label].threshold for label in data.classes}
    return CandidateResult(recipe, trained, scores, thresholds, round(time.monotonic() - started, 2), found)


Folds = Sequence[tuple[TrainImage, ...]]


def _one_after_another(
    recipe: Recipe, data: TrainSet, folds: Folds, context: TrainContext, trainer: Trainer, started: float
) -> tuple[Trained, Found]:
    whole = 1.0 + SHARE * len(folds)
    net_s = max(recipe.seconds - OVERHEAD_S * (1 + len(folds)), 0.5 * recipe.seconds)
    first = replace(recipe, seconds=net_s / whole)
    trained = trainer.train(first, data, _part(context, started, 1.0 / whole))
    left_s = max(recipe.seconds - (time.monotonic() - started), 0.1 * recipe.seconds)
    used = replace(recipe, passes=trained.passes, batch=trained.batch or recipe.batch, image_size=trained.image_size)
    siblings = Siblings(used, data, folds, left_s)
    report = _scoring(context, started, 1.0 / whole)
    return trained, siblings.train(trainer, replace(context, report=_unheard), report)


def _side_by_side(
    recipe: Recipe, data: TrainSet, folds: Folds, context: TrainContext, trainer: Trainer, started: float
) -> tuple[Trained, Found]:
    """The siblings in a second process, with half of the threads."""
    ours = context.threads // 2
    share = 1.0 / (1.0 + SHARE * len(folds))
    own = replace(recipe, seconds=max(recipe.seconds - OVERHEAD_S, 0.5 * recipe.seconds))
    siblings = Siblings(recipe, data, folds, max(recipe.seconds - START_S, 0.5 * recipe.seconds))
    with Beside(siblings, context, trainer.spec.name, context.threads - ours) as beside:
        part = _part(replace(context, threads=ours), started, share, lambda: (1.0 - share) * beside.fraction)
        trained = trainer.train(own, data, part)
        report = _scoring(context, started, share)
        found = beside.result(context, report)
    if found is None:
        log.warning("the process that trained the siblings ended without a result: repeating it here")
        siblings = replace(siblings, seconds=max(recipe.seconds - (time.monotonic() - started), 0.5 * recipe.seconds))
        found = siblings.train(trainer, replace(context, report=_unheard), report)
    return trained, found


def _can_share(context: TrainContext, trainer: Trainer) -> bool:
    """Whether a second process would help: not on a graphics card, nor with a single thread or little memory."""
    if context.threads < 2 or not trainer.spec.second_process or psutil.virtual_memory().available < ROOM_BYTES:
        return False
    if context.device == "":
        import torch  # the trainer needs it anyway

        return not torch.cuda.is_available()
    return context.device == "cpu"


def _unheard(progress: Progress) -> None:
    """People see the training of siblings as scoring, and their losses are not the candidate's."""


def _part(
    context: TrainContext, started: float, share: float, beside: Callable[[], float] = lambda: 0.0
) -> TrainContext:
    """A context for the candidate's own training, which is ``share`` of all; ``beside()``: what else is done."""

    def report(progress: Progress) -> None:
        low, high = STAGES[progress.stage]
        done = share * (low + (high - low) * progress.fraction) + beside()
        context.report(Progress(progress.stage, done, _left(started, done, progress.seconds_left), progress.loss))

    return replace(context, report=report)


def _scoring(context: TrainContext, started: float, begin: float) -> Report:
    """Reports the scoring, which follows the first ``begin`` of all."""

    def report(fraction: float) -> None:
        done = begin + (1.0 - begin) * fraction
        context.report(Progress("scoring", done, _left(started, done, None)))

    return report


def _left(started: float, done: float, otherwise: float | None) -> float | None:
    """Seconds until the end, as things have gone so far."""
    return (time.monotonic() - started) * (1 - done) / done if done > 0.01 else otherwise
