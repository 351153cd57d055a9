"""What more labels would bring, from what is known of the score with fewer of them. Pure.

The error of a model (1 - mAP50) falls with the number of labels about like an inverse power,
``error = a * labels ** -b`` (Hestness et al. 2017). In logarithms that is a straight line. A line through two
points that rest on a dozen images each would be a guess, so the slope starts from what is usual and moves only as
far as the points are sure (Bayesian linear regression). How sure they are is a bootstrap over images, and what the
same training gives when it is repeated. All intervals are the middle 80 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.training.matching import Floats, ap50_by_draw, mean_of_classes, picture_draws
from custom_ai.types import Box

SLOPE, SLOPE_SPREAD, STEEPEST = 0.3, 0.2, 1.0
"""The exponent before anything was measured: mean and standard deviation; and its largest value."""
HANDICAP, HANDICAP_SPREAD = 0.5, 0.35
"""How much larger the logarithm of the error of siblings is than the model's would be with as few labels: they are
shown fewer pictures, and the predictions of two models are put into one order. Seven trainings on images of blood
cells: 0.3 to 0.8."""
LUCK = 0.15
"""Standard deviation of the logarithm of the error when a training is repeated, or given other images."""
SMALLEST = 0.01
"""An error below this counts as this: nobody has measured it with so few images."""
TIMES = (1, 2, 4)
"""Multiples of today's labels that are forecast."""
UNSURE = 0.15
"""An interval of the gain that is wider than this says nothing."""
LITTLE = 0.02
"""A gain that is probably below this is none."""
RESAMPLES, DRAWS = 200, 4000
SURE_WORST, CLEARLY = 0.8, 0.02
"""Share of the bootstrap in which a class must be the worst one to be named, and by how much."""

Found = Mapping[int, tuple[Box, ...]]
"""Shapes by task."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two trainings that differ in the number of their labels only, asked about the same images."""

    fewer_labels: int
    more_labels: int
    fewer: Found
    more: Found


@dataclass(frozen=True, slots=True)
class Point:
    """A score and the number of labels behind it, as a multiple of today's."""

    times: float
    siblings: bool
    """Whether it was measured by siblings, and not by the model or its like."""
    score: float
    low: float
    high: float
    source: str
    """siblings or model (what the run's own score rests on), subset, or earlier (another run)"""


def measured(
    truth: Found,
    reference: Found,
    reference_times: float,
    siblings: bool,
    compared: Compared | None,
    classes: Sequence[str],
) -> tuple[list[Point], Floats, str | None]:
    """The points that this run gives, the covariance of their log errors, and the class that needs labels most.

    ``reference``: the predictions of the run's own score, by models that learned from ``reference_times`` of
    today's labels: the run's ``siblings``, or the model itself. ``compared`` gives a second point: as much worse
    than the reference as its smaller part is than its larger one, on the same draws of images. The class is
    None while it is not clear which it is.
    """
    tasks = sorted(reference)
    draws = picture_draws(len(tasks), RESAMPLES)
    whole = np.vstack([np.ones((1, len(tasks)), np.int64), draws])  # the first row: every image once

    def ap50(found: Found) -> Floats:
        some = [number for number, task in enumerate(tasks) if task in found]
        there = [tasks[number] for number in some]
        return ap50_by_draw([truth[task] for task in there], [found[task] for task in there], classes, whole[:, some])

    per_class = ap50(reference)
    errors = [_log_error(mean_of_classes(per_class))]
    times, sources = [reference_times], ["siblings" if siblings else "model"]
    if compared is not None:
        fewer, more = (_log_error(mean_of_classes(ap50(found))) for found in (compared.fewer, compared.more))
        errors.append(np.clip(errors[0] + fewer - more, math.log(SMALLEST), 0.0))
        times.append(reference_times * compared.fewer_labels / compared.more_labels)
        sources.append("subset")
    rows = np.stack(errors)
    known = rows[:, 1:][:, ~np.isnan(rows[:, 1:]).any(axis=0)]
    covariance = np.atleast_2d(np.cov(known)) if known.shape[1] > 1 else np.full((len(rows), len(rows)), np.nan)
    points = []
    for number, row in enumerate(rows):
        high, low = 1 - np.exp(np.percentile(known[number], [10, 90])) if known.shape[1] else (1.0, 0.0)
        score = float(1 - np.exp(row[0]))
        points.append(Point(times[number], siblings, score, float(low), float(high), sources[number]))
    return points, covariance, _worst(per_class[1:], classes)


def forecast(points: Sequence[Point], covariance: Floats, earlier: Sequence[Point] = ()) -> dict[str, Any]:
    """The expected score at each of TIMES, the gain over today, and a verdict: gain, little or unsure; for JSON.

    ``covariance``: of the log errors of ``points``; that of ``earlier`` points comes from their intervals.
    Raises ValueError when there is no usable point.
    """
    count = len(points)
    noise = np.zeros((count + len(earlier), count + len(earlier)))
    noise[:count, :count] = covariance
    for number, point in enumerate(earlier, start=count):
        spread = math.log(max(1 - point.low, SMALLEST)) - math.log(max(1 - point.high, SMALLEST))
        noise[number, number] = (spread / 2.56) ** 2  # the middle 80 % are 2.56 standard deviations
    noise += LUCK**2 * np.eye(len(noise))
    every = [*points, *earlier]
    if not every or np.isnan(noise).any():
        raise ValueError("there is no point to forecast from")
    errors = np.array([math.log(min(max(1 - point.score, SMALLEST), 1.0)) for point in every])
    lines = _lines(
        np.log([point.times for point in every]), np.array([float(point.siblings) for point in every]), errors, noise
    )

    def error(times: float) -> Floats:
        return np.asarray(np.exp(np.clip(lines[:, 0] - lines[:, 1] * math.log(times), math.log(SMALLEST), 0.0)))

    luck = np.random.default_rng(1).normal(0.0, LUCK, DRAWS)
    expected = {
        times: _middle(1 - np.clip(error(times) * np.exp(luck), SMALLEST, 1.0), 1 - error(times)) for times in TIMES
    }
    gains = {times: _middle(error(1) - error(times)) for times in TIMES[1:]}
    low, _, high = gains[TIMES[1]]
    first = min(point.times for point in every)
    steps = np.exp(np.linspace(math.log(first), math.log(TIMES[-1]), 25))
    return {
        "points": [
            {"times": round(point.times, 4), "source": point.source}
            | {name: round(getattr(point, name), 4) for name in ("score", "low", "high")}
            for point in every
        ],
        "expected": [{"times": times} | _named(values) for times, values in expected.items()],
        "gain": [{"times": times} | _named(values) for times, values in gains.items()],
        "curve": [[round(float(step), 4), *_named(_middle(1 - error(step))).values()] for step in steps],
        "verdict": "unsure" if high - low > UNSURE else "little" if high < LITTLE else "gain",
    }


def _lines(labels: Floats, siblings: Floats, errors: Floats, noise: Floats) -> Floats:
    """(DRAWS, 3): lines (height today, fall with labels, siblings' handicap) as probable as the points make them.

    ``labels`` and ``errors`` are logarithms, the labels relative to today's; ``siblings`` is 1 or 0.
    """
    design = np.stack([np.ones(len(labels)), -labels, siblings], axis=1)
    weight = np.linalg.inv(noise)
    # The height may be anything; the others are what is usual, until the points say something else.
    prior = np.diag([1e-6, SLOPE_SPREAD**-2, HANDICAP_SPREAD**-2])
    spread = np.linalg.inv(prior + design.T @ weight @ design)
    best = spread @ (prior @ np.array([0.0, SLOPE, HANDICAP]) + design.T @ weight @ errors)
    lines = np.random.default_rng(0).multivariate_normal(best, spread, DRAWS)
    lines[:, 1] = np.clip(lines[:, 1], 0.0, STEEPEST)
    return np.asarray(lines, np.float64)


def _log_error(map50: Floats) -> Floats:
    return np.asarray(np.log(np.clip(1 - map50, SMALLEST, 1.0)), np.float64)


def _worst(by_draw: Floats, classes: Sequence[str]) -> str | None:
    """The class with the lowest AP50 in nearly all draws; None when there is no such class."""
    if len(classes) < 2:
        return None
    rows = np.where(np.isnan(by_draw), np.inf, by_draw)
    ordered = np.sort(rows, axis=1)
    clear = np.isfinite(ordered[:, 1]) & (ordered[:, 1] > ordered[:, 0] + CLEARLY)
    lowest: NDArray[np.int64] = np.bincount(np.argmin(rows[clear], axis=1), minlength=len(classes))
    worst = int(lowest.argmax())
    return classes[worst] if lowest[worst] >= SURE_WORST * len(rows) > 0 else None


def _middle(values: Floats, centre: Floats | None = None) -> tuple[float, float, float]:
    """The ends of the middle 80 % with the median (of ``centre``) between them."""
    low, high = np.percentile(values, [10, 90])
    return float(low), float(np.median(values if centre is None else centre)), float(high)


def _named(values: tuple[float, float, float]) -> dict[str, float]:
    low, score, high = (round(value, 4) for value in values)
    return {"score": score, "low": low, "high": high}
