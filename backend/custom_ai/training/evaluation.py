"""Scores of predicted shapes against drawn ones, with intervals and thresholds; see matching for the precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from custom_ai.training.matching import (
    IOUS,
    Matches,
    ap50_of_draws,
    average_precision,
    match,
    mean_of_classes,
    middle,
    picture_draws,
)
from custom_ai.types import Box

DEFAULT_THRESHOLD = 0.25
MIN_EXAMPLES = 3
"""With fewer drawn boxes of a class its threshold is the default."""
MOVED = 0.75
"""What a prediction is worth that must be moved, beside one that may stay."""
_WELL = int(np.searchsorted(IOUS, 0.8 - 1e-9))


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class: average precision at IoU 0.5, and precision and recall at its threshold."""

    ap50: float
    precision: float
    recall: float
    threshold: float
    boxes: int
    """Drawn boxes that this rests on; with 0 the other figures are 0 and count nowhere."""
    ap50_95: float = 0.0
    ap50_low: float = 0.0
    ap50_high: float = 1.0
    """The middle 90 % of ap50 over the same bootstrap as that of the mean."""


@dataclass(frozen=True, slots=True)
class Scores:
    """All lie in 0..1. Means are over the classes of which boxes were drawn.

    ``map50_low``, ``map50_high``: the middle 90 % of a bootstrap over pictures, i.e. how much mAP50 depends
    on which pictures happened to be held out.
    """

    map50: float
    map50_95: float
    map50_low: float
    map50_high: float
    precision: float
    recall: float
    per_class: dict[str, ClassScores]
    images: int
    method: str = ""
    """How the predictions came about: a message for people, told by who made them."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate(
    truth: Sequence[tuple[Box, ...]],
    predicted: Sequence[tuple[Box, ...]],
    classes: Sequence[str],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Scores:
    """Compare picture by picture; both sequences are in the same order.

    ``predicted`` boxes need scores and should reach down to low ones. Raises ValueError when the lengths
    differ or there is no picture.
    """
    if len(truth) != len(predicted) or not truth:
        raise ValueError(f"expected as many predictions as pictures, got {len(predicted)} for {len(truth)}")
    matches = {label: match(truth, predicted, label) for label in classes}
    counted = [label for label in classes if matches[label].drawn.sum()]
    ones = np.ones(len(truth), np.int64)
    precisions = {label: average_precision(matches[label], ones) for label in counted}
    draws = picture_draws(len(truth), resamples, seed)
    drawn = {label: ap50_of_draws(matches[label], draws) for label in counted}
    per_class = {}
    for label in classes:
        threshold = best_threshold(matches[label])
        precision, recall = _precision_recall(matches[label], threshold)
        precise = precisions.get(label, np.zeros(len(IOUS)))
        per_class[label] = ClassScores(
            float(precise[0]),
            precision,
            recall,
            threshold,
            int(matches[label].drawn.sum()),
            float(precise.mean()),
            *(middle(drawn[label]) if label in drawn else (0.0, 1.0)),
        )
    low, high = middle(mean_of_classes(np.stack([*drawn.values()], axis=1)) if drawn else np.zeros(0))

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values)) if values else 0.0

    return Scores(
        map50=mean([per_class[label].ap50 for label in counted]),
        map50_95=mean([float(precisions[label].mean()) for label in counted]),
        map50_low=low,
        map50_high=high,
        precision=mean([per_class[label].precision for label in counted]),
        recall=mean([per_class[label].recall for label in counted]),
        per_class=per_class,
        images=len(truth),
    )


def best_threshold(matches: Matches) -> float:
    """The score from which on predictions should be shown: where people have the least to correct.

    A prediction that lies well (IoU of at least 0.8) saves drawing a shape, one that must be moved saves MOVED of
    that, and a wrong one costs a removal. With few examples the best single point is luck: the threshold is the middle
    of all those that come close to the best. Where nothing is saved at any score, it is that of the best F1.

    Measured on blood cells (three models, 10 or 20 labels per class, 100 unseen images): 2,817 actions where the
    thresholds of the best F1 cost 3,341, and 3,976 without a model.
    """
    total = int(matches.drawn.sum())
    if total < MIN_EXAMPLES or not matches.hit[0].any():
        return DEFAULT_THRESHOLD
    last = np.append(matches.score[1:] < matches.score[:-1], True)  # equal scores are shown together or not at all
    true, well = np.cumsum(matches.hit[0])[last], np.cumsum(matches.hit[_WELL])[last]
    false = np.cumsum(~matches.hit[0])[last]
    saved = well + MOVED * (true - well) - false
    close = saved >= saved.max() - max(0.02 * total, 1.0)
    if saved.max() <= 0:
        f1 = 2 * true / (2 * true + (false + 1) + (total - true + 1))
        close = f1 >= f1.max() - 0.02
    good = matches.score[last][close]
    return float(np.clip(round((good.min() + good.max()) / 2, 3), 0.02, 0.9))


def _precision_recall(matches: Matches, threshold: float) -> tuple[float, float]:
    shown = matches.score >= threshold
    true = float(matches.hit[0, shown].sum())
    return true / max(int(shown.sum()), 1), true / max(int(matches.drawn.sum()), 1)
