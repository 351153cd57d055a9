"""Which predictions found which drawn shapes, and what precision that gives on average.

Average precision is that of COCO (Lin et al. 2014; pycocotools' COCOeval): predictions best first, each
takes the free drawn box with the largest IoU of at least the threshold, precision made monotonous and read
at 101 recalls; at most 100 predictions per picture. IoU is computed in fractions of the picture, which
gives the same as in pixels because width and height scale out. Rotated boxes and polygons are compared by
their exact outlines, where pycocotools compares masks of whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from custom_ai.training.outlines import outline_overlaps
from custom_ai.types import Box

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_PREDICTIONS = 100
"""Per picture, as in COCO's AP."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matches:
    """Predictions of one class, best first, over all pictures."""

    score: Floats
    """(n,)"""
    hit: NDArray[np.bool_]
    """(10, n): whether the prediction found a drawn box, per IoU threshold."""
    image: NDArray[np.int64]
    """(n,): number of the picture."""
    drawn: NDArray[np.int64]
    """(images,): drawn boxes per picture."""


def overlaps(some: Floats, others: Floats) -> Floats:
    """IoU of each pair: (n, 4) and (m, 4) corners x1 y1 x2 y2 -> (n, m)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (some, others)]
    union: Floats = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / union, np.float64)


def match(truth: Sequence[tuple[Box, ...]], predicted: Sequence[tuple[Box, ...]], label: str) -> Matches:
    """The predictions of one class beside what was drawn; both sequences are pictures in the same order."""
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
    return Matches(score[order], np.concatenate(hits, axis=1)[:, order], np.concatenate(images)[order], drawn)


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


def average_precision(matches: Matches, weight: NDArray[np.int64]) -> Floats:
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


def picture_draws(images: int, resamples: int, seed: int = 0) -> NDArray[np.int64]:
    """(resamples, images): how often each picture counts when they are drawn with replacement (Efron 1979)."""
    random = np.random.default_rng(seed)
    return np.array(
        [np.bincount(random.integers(0, images, images), minlength=images) for _ in range(resamples)], np.int64
    ).reshape(resamples, images)


def ap50_by_draw(
    truth: Sequence[tuple[Box, ...]],
    predicted: Sequence[tuple[Box, ...]],
    classes: Sequence[str],
    draws: NDArray[np.int64],
) -> Floats:
    """(resamples, classes) average precision at IoU 0.5 for ``draws`` as picture_draws makes them.

    NaN where no box of the class is among the pictures of a draw. Of two models with the same draws the
    differences are known much better than either.
    """
    columns = [ap50_of_draws(match(truth, predicted, label), draws) for label in classes]
    return np.stack(columns, axis=1) if columns else np.zeros((len(draws), 0))


def mean_of_classes(ap50: Floats) -> Floats:
    """(resamples, classes) -> (resamples,): mAP50 of each draw; NaN for one without any drawn box."""
    there = ~np.isnan(ap50)
    count = there.sum(axis=1)
    total = np.where(there, ap50, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def ap50_of_draws(matches: Matches, draws: NDArray[np.int64]) -> Floats:
    """(resamples,) of one class; see ap50_by_draw."""
    return np.array(
        [average_precision(matches, draw)[0] if (matches.drawn * draw).any() else np.nan for draw in draws], np.float64
    )


def middle(values: Floats) -> tuple[float, float]:
    """The middle 90 %; everything is possible where there are no values."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = np.percentile(known, [5, 95])
    return float(low), float(high)
