"""How certain is it that a candidate is the best of its run? Votes and held-out scores together. Pure; numpy.

The model and what it assumes are told in docs/vote.md. In short: a candidate has a quality, in the units of the
held-out score; the score says something about it before anybody votes; in a round a candidate is picked with odds
that grow with its quality. Several votes on one image count little more than one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPREAD = 0.08
"""Standard deviation of true mAP among the candidates of a run, before anything is known about them."""
WIDEN = 1.25
"""The interval of a score comes from resampling images. It does not know that another training would have
ended elsewhere, so its half-width is multiplied by this ..."""
LEAST_SD = 0.03
"""... and is never believed to be smaller than this."""
UNKNOWN_SD = 0.12
"""Standard deviation of a score without an interval."""
SENSITIVITIES = (3.0, 6.0, 12.0)
"""How much the odds of being picked grow with quality (log-odds per 1.0 of mAP). Where models differ by about .2
from image to image beside their true difference, as ours do, the middle one is right for random images, and
choosing images by disagreement raises it; voters differ, so the votes themselves say which of these fits. At 6,
ten points of mAP mean 1.8 times the odds."""
SAME_IMAGE = 0.8
"""Correlation of votes on one image: what is best there is the same for everybody who looks."""
DRAWS = 4000
_MIDDLE_90 = 3.29
"""Standard deviations from the 5th to the 95th percentile."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """A held-out mAP, 0..1, with the middle 90 % of its bootstrap; None where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def sd(self) -> float:
        """Its error, as a standard deviation."""
        if self.value is None or self.low is None or self.high is None:
            return UNKNOWN_SD
        return max(LEAST_SD, WIDEN * (self.high - self.low) / _MIDDLE_90)


@dataclass(frozen=True, slots=True)
class Vote:
    """One voted round: which image, and which candidates were picked; nobody: none was good."""

    image: int
    picks: tuple[int, ...]


def p_best(scores: Mapping[int, Score], votes: Sequence[Vote] = ()) -> dict[int, float]:
    """For each candidate the probability that it is the best; they sum to 1.

    Without votes it follows from the scores alone. The same input gives the same answer. Picks of candidates
    without an entry in ``scores`` are ignored. Raises ValueError when there is no candidate.
    """
    if not scores:
        raise ValueError("expected at least one candidate")
    ids = list(scores)
    mean, variance = _prior(list(scores.values()))
    picked = weighted_picks(ids, votes)
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(ids)))
    drawn = [_draw(picked, one, mean, variance, noise) for one in SENSITIVITIES]
    log_weight = np.concatenate([one[1] for one in drawn])
    best = np.concatenate([one[0].argmax(axis=1) for one in drawn])
    weight = np.exp(log_weight - log_weight.max())
    share = np.array([weight[best == place].sum() for place in range(len(ids))]) / weight.sum()
    return {one: float(p) for one, p in zip(ids, share, strict=True)}


def weighted_picks(ids: Sequence[int], votes: Sequence[Vote]) -> Floats:
    """(candidates,): how many independent rounds each candidate has won; a round with several picks is shared.

    n votes on one image count as n / (1 + (n - 1) * SAME_IMAGE) rounds, the design effect of a cluster sample.
    """
    on_image = Counter(vote.image for vote in votes)
    total = np.zeros(len(ids))
    place = {one: number for number, one in enumerate(ids)}
    for vote in votes:
        picks = [place[one] for one in vote.picks if one in place]
        for one in picks:
            total[one] += 1.0 / len(picks) / (1.0 + (on_image[vote.image] - 1) * SAME_IMAGE)
    return total


def _prior(scores: Sequence[Score]) -> tuple[Floats, Floats]:
    """Mean and variance of each quality: the score, drawn to the mean of all as far as it is uncertain."""
    values = np.array([np.nan if one.value is None else one.value for one in scores])
    centre = float(np.nanmean(values)) if np.isfinite(values).any() else 0.5
    error = np.array([one.sd**2 for one in scores])
    trust = np.where(np.isnan(values), 0.0, SPREAD**2 / (SPREAD**2 + error))
    mean = centre + trust * (np.nan_to_num(values, nan=centre) - centre)
    return mean, np.where(np.isnan(values), SPREAD**2, trust * error)


def _draw(picked: Floats, sensitivity: float, mean: Floats, variance: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Qualities drawn around the posterior's mode, (DRAWS, candidates), and the logarithm of each draw's weight.

    The mode by Newton's method (the posterior is concave), its curvature as a normal distribution to draw from,
    and importance weights that make up for the difference and say how well this sensitivity fits.
    """
    rounds = picked.sum()

    def log_posterior(quality: Floats) -> Floats:
        utility = sensitivity * quality
        highest = utility.max(axis=-1, keepdims=True)
        log_sum = highest[..., 0] + np.log(np.exp(utility - highest).sum(axis=-1))
        fit = utility @ picked - rounds * log_sum
        return np.asarray(fit - 0.5 * ((quality - mean) ** 2 / variance).sum(axis=-1))

    mode = mean.copy()
    for _ in range(30):
        odds = np.exp(sensitivity * (mode - mode.max()))
        share = odds / odds.sum()
        slope = sensitivity * (picked - rounds * share) - (mode - mean) / variance
        bend = sensitivity**2 * rounds * (np.diag(share) - np.outer(share, share)) + np.diag(1.0 / variance)
        step = np.linalg.solve(bend, slope)
        mode += step
        if np.abs(step).max() < 1e-6:
            break
    spread = np.linalg.cholesky(np.linalg.inv(bend)) * 1.1  # a little wider: importance weights stay bounded
    draws = mode + noise @ spread.T
    log_weight = log_posterior(draws) + 0.5 * (noise**2).sum(axis=1) + np.log(np.diag(spread)).sum()
    return draws, log_weight
