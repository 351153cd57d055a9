"""Scores of predicted shapes against drawn ones.

Average precision is that of COCO (Lin et al. 2014; pycocotools' COCOeval): predictions best first, each
takes the free drawn box with the largest IoU of at least the threshold, precision made monotonous and read
at 101 recalls; at most 100 predictions per picture. IoU is computed in fractions of the picture, which
gives the same as in pixels because width and height scale out. Rotated boxes and polygons are compared by
their exact outlines, where pycocotools compares masks of whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.training.outlines import outline_overlaps
from custom_ai.types import Box

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_PREDICTIONS = 100
"""Per picture, as in COCO's AP."""
DEFAULT_THRESHOLD = 0.25
MIN_EXAMPLES = 3
"""With fewer drawn boxes of a class its threshold is the default."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class: average precision at IoU 0.5, and precision and recall at its threshold."""

    ap50: float
    precision: float
    recall: float
    threshold: float
    boxes: int
    """Drawn boxes that this rests on; with 0 the other figures are 0 and count nowhere."""


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


@dataclass(frozen=True, slots=True)
class _Matches:
    """Predictions of one class, best first, over all pictures."""

    score: Floats
    """(n,)"""
    hit: NDArray[np.bool_]
    """(10, n): whether the prediction found a drawn box, per IoU threshold."""
    image: NDArray[np.int64]
    """(n,): number of the picture."""
    drawn: NDArray[np.int64]
    """(images,): drawn boxes per picture."""


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
    matches = {label: _match(truth, predicted, label) for label in classes}
    counted = [label for label in classes if matches[label].drawn.sum()]
    ones = np.ones(len(truth), np.int64)
    precisions = {label: average_precision(matches[label], ones) for label in counted}
    per_class = {}
    for label in classes:
        threshold = best_threshold(matches[label])
        precision, recall = _precision_recall(matches[label], threshold)
        ap50 = float(precisions[label][0]) if label in precisions else 0.0
        per_class[label] = ClassScores(ap50, precision, recall, threshold, int(matches[label].drawn.sum()))
    low, high = _bootstrap([matches[label] for label in counted], len(truth), resamples, seed)

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


def overlaps(some: Floats, others: Floats) -> Floats:
    """IoU of each pair: (n, 4) and (m, 4) corners x1 y1 x2 y2 -> (n, m)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (some, others)]
    union: Floats = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / union, np.float64)


def _match(truth: Sequence[tuple[Box, ...]], predicted: Sequence[tuple[Box, ...]], label: str) -> _Matches:
    scores: list[Floats] = [np.zeros(0)]
    hits: list[NDArray[np.bool_]] = [np.zeros((len(IOUS), 0), bool)]
    images: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    drawn = np.zeros(len(truth), np.int64)
    for number, (real, guessed) in enumerate(zip(truth, predicted, strict=True)):
        wanted = [box for box in real if box.label == label]
        mine = sorted((box for box in guessed if box.label == label), key=lambda box: -(box.score or 0.0))
        mine = mine[:MAX_PREDICTIONS]
        drawn[number] = len(wanted)
        hits.append(_greedy(_overlaps(mine, wanted)))
        scores.append(np.array([box.score or 0.0 for box in mine]))
        images.append(np.full(len(mine), number))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return _Matches(score[order], np.concatenate(hits, axis=1)[:, order], np.concatenate(images)[order], drawn)


def _overlaps(some: Sequence[Box], others: Sequence[Box]) -> Floats:
    """IoU of each pair of shapes, (n, m)."""
    if any(box.outline for box in (*some, *others)):
        return outline_overlaps(some, others)
    return overlaps(_corners(some), _corners(others))


def _corners(boxes: Sequence[Box]) -> Floats:
    return np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes], np.float64).reshape(-1, 4)


def _greedy(iou: Floats) -> NDArray[np.bool_]:
    """iou: (predictions best first, drawn) -> (10, predictions): found a drawn box that was still free."""
    hit = np.zeros((len(IOUS), iou.shape[0]), bool)
    for level, least in enumerate(IOUS):
        free = np.ones(iou.shape[1], bool)
        for number, row in enumerate(iou):
            left = np.where(free, row, -1.0)
            best = int(left.argmax()) if len(left) else -1
            if best >= 0 and left[best] >= least - 1e-10:
                free[best] = False
                hit[level, number] = True
    return hit


def average_precision(matches: _Matches, weight: NDArray[np.int64]) -> Floats:
    """(10,) average precision per IoU threshold; weight: (images,), how often each picture counts."""
    total = int((matches.drawn * weight).sum())
    if not total:
        return np.zeros(len(IOUS))
    times = weight[matches.image]
    true = np.cumsum(matches.hit * times, axis=1)
    every = np.cumsum(times)
    recall = true / total
    precision = true / np.maximum(every, 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.zeros(len(IOUS))
    for level in range(len(IOUS)):
        at = np.searchsorted(recall[level], RECALLS, side="left")
        reached = at < recall.shape[1]
        result[level] = best_from_here[level, at[reached]].sum() / len(RECALLS)
    return result


def best_threshold(matches: _Matches) -> float:
    """The score from which on predictions (at IoU 0.5) should be shown: the one with the best F1.

    With few examples the best single point is luck. So F1 counts one extra miss and one extra false alarm,
    and the threshold is the middle of all those that come within 0.02 of the best.
    """
    total = int(matches.drawn.sum())
    if total < MIN_EXAMPLES or not matches.hit[0].any():
        return DEFAULT_THRESHOLD
    true = np.cumsum(matches.hit[0])
    false = np.cumsum(~matches.hit[0])
    f1 = 2 * true / (2 * true + (false + 1) + (total - true + 1))
    good = matches.score[f1 >= f1.max() - 0.02]
    return float(np.clip(round((good.min() + good.max()) / 2, 3), 0.02, 0.9))


def _precision_recall(matches: _Matches, threshold: float) -> tuple[float, float]:
    shown = matches.score >= threshold
    true = float(matches.hit[0, shown].sum())
    return true / max(int(shown.sum()), 1), true / max(int(matches.drawn.sum()), 1)


def _bootstrap(matches: Sequence[_Matches], images: int, resamples: int, seed: int) -> tuple[float, float]:
    """The middle 90 % of mAP50 when pictures are drawn with replacement (Efron 1979)."""
    random = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        weight = np.bincount(random.integers(0, images, images), minlength=images)
        present = [match for match in matches if (match.drawn * weight).any()]
        if present:
            values.append(np.mean([average_precision(match, weight)[0] for match in present]))
    if not values:
        return 0.0, 1.0
    low, high = np.percentile(values, [5, 95])
    return float(low), float(high)
