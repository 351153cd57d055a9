"""How often does a vote find the truly best of four candidates?

    python tests/benchmarks/vote_simulation.py
    python tests/benchmarks/vote_simulation.py --gaps 5 --voters 10 --repeats 2000 --perception 0.15

The best candidate leads the three others, which are equal, by the gap: the hardest case of that gap. Procedures:

votes      ours: images on which the candidates disagree most, other images for other voters while there are some,
           an order shuffled anew for each voter and round; votes sum, ties go to the higher held-out score
pooled     the candidate with the highest P(best) of ``custom_ai.certainty``: the same votes, and the score
original   the rule of the product that this one succeeds: random images, the same for everybody, the candidates
           always in the same order; votes sum, ties go to the higher held-out score
score      the held-out score alone

How a simulated voter sees, in units of quality 0..1 (think of the F1 or average precision of one image):

    quality of a candidate on an image = its true mAP + how easy the image is + how the image suits the candidate
    what the voter sees                = that quality + an error of perception (+ a bonus for the first place)

--image 0.2, --suits 0.2: a dozen cross-validated images give a score with a standard deviation of about .08 (the
bootstrap intervals of our own runs are about .25 wide), so single images vary with about .08 * sqrt(12) = .28.
Half of that variance is given to the image (which is equally hard for all), half to the candidate on that image.
--perception 0.08: two pictures whose quality differs by a tenth, say one of ten boxes, are told apart by
about four of five looks. --tie 0.03: pictures that look as good as the best are ticked too. --good 0.2: when even
the best looks worse than this, the voter says that none is good (ours) or ticks it all the same (the original).
--position 0.03: the bonus of the first place. In experiments on lists and questionnaires the first of several
alike options is chosen a few percent more often; the order is what ours shuffles, so the bonus is the same there.
--score 0.08: the standard deviation of the error of the held-out score, see above. Its errors are drawn
independently for each candidate; in truth they are related, since all are scored on the same images.
--measure 0.1: how far the disagreement that can be computed (boxes against boxes) is from the true difference.

None of this was chosen to reach a figure. Seeds are fixed: the same options print the same table. The last line is
one JSON object, ``p_best[procedure][gap][voters]``, the standard error of each figure, and the options.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.certainty import Score, Vote, p_best
from custom_ai.pipeline.vote_images import KEEP, POOL
from custom_ai.policy import VOTE_ROUNDS, tally

CANDIDATES = 4
PROCEDURES = ("votes", "pooled", "original", "score")
LEVEL = 0.5
"""True mAP of the candidates that are not the best."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """The noise model, see above."""

    image: float = 0.2
    suits: float = 0.2
    perception: float = 0.08
    tie: float = 0.03
    good: float = 0.2
    position: float = 0.03
    score: float = 0.08
    measure: float = 0.1
    pool: int = POOL
    keep: int = KEEP


def main() -> None:
    options = _options()
    world = World(**{name: getattr(options, name) for name in World.__dataclass_fields__})
    started = time.perf_counter()
    print(f"{'gap':>4} {'voters':>6}  " + "  ".join(f"{name:>8}" for name in PROCEDURES) + "   P(best), stated")
    rates: dict[str, dict[str, dict[str, float]]] = {name: {} for name in PROCEDURES}
    for gap in options.gaps:
        for voters in options.voters:
            right, sure = simulate(world, gap / 100, voters, options.repeats, options.seed)
            for name in PROCEDURES:
                rates[name].setdefault(f"{gap:g}", {})[str(voters)] = round(right[name], 3)
            shown = "  ".join(f"{right[name]:>8.0%}" for name in PROCEDURES)
            print(f"{gap:>4g} {voters:>6}  {shown}   {np.mean(sure):.0%}", flush=True)
    said = stated(world, options.voters, options.repeats, options.seed)
    print(
        "\nWhen candidates differ as real ones may (mAP drawn with a standard deviation of .08), P(best) of the winner"
    )
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1.01)):
        inside = [(p, good) for p, good in said if low <= p < high]
        if inside:
            p, good = np.mean(inside, axis=0)
            print(f"  said {p:.0%} on average in {len(inside):>5} votes: right in {good:.0%}")
    error = math.sqrt(0.25 / options.repeats)
    print(f"{options.repeats} repeats, standard error at most {error:.1%}; {time.perf_counter() - started:.0f} s\n")
    print(json.dumps({"p_best": rates, "standard_error": round(error, 4), "options": vars(options)}))


def simulate(world: World, gap: float, voters: int, repeats: int, seed: int) -> tuple[dict[str, float], list[float]]:
    """How often each procedure finds the best, and what P(best) said about the one that it picked."""
    random = np.random.default_rng([seed, round(gap * 1000), voters])
    right: dict[str, int] = defaultdict(int)
    sure = []
    for _ in range(repeats):
        quality = np.full(CANDIDATES, LEVEL)
        best = int(random.integers(CANDIDATES))
        quality[best] += gap
        picks, probability = one_vote(world, quality, voters, random)
        for name, pick in picks.items():
            right[name] += pick == best
        sure.append(max(probability.values()))
    return {name: right[name] / repeats for name in PROCEDURES}, sure


def stated(world: World, voters: list[int], repeats: int, seed: int, spread: float = 0.08) -> list[tuple[float, bool]]:
    """(P(best) of the winner by votes, whether it is the best), for candidates drawn at random."""
    random = np.random.default_rng([seed, 77])
    found = []
    for number in voters:
        for _ in range(repeats):
            quality = random.normal(LEVEL, spread, CANDIDATES)
            picks, probability = one_vote(world, quality, number, random)
            found.append((probability[picks["votes"]], picks["votes"] == int(quality.argmax())))
    return found


def one_vote(
    world: World, quality: Floats, voters: int, random: np.random.Generator
) -> tuple[dict[str, int], dict[int, float]]:
    """The pick of each procedure, and P(best) of each candidate. ``quality``: (candidates,) true mAP."""
    score = quality + random.normal(0.0, world.score, len(quality))
    images = quality + random.normal(0.0, world.image, (world.pool, 1))
    images = images + random.normal(0.0, world.suits, (world.pool, len(quality)))
    measured = images.std(axis=1) + random.normal(0.0, world.measure, world.pool)
    kept = np.argsort(-measured)[: world.keep]
    ours = []
    for number in range(voters * VOTE_ROUNDS):
        image = int(kept[number % len(kept)])
        order = random.permutation(len(quality))
        ours.append(Vote(image, look(world, images[image], order, random, may_refuse=True)))
    theirs = []
    for _ in range(voters):
        for image in range(VOTE_ROUNDS):  # the pool is in no order: its first images are random ones
            theirs.append(look(world, images[image], np.arange(len(quality)), random, may_refuse=False))
    scores = {one: float(value) for one, value in enumerate(score)}
    half = 1.645 * world.score / 1.25
    probability = p_best({one: Score(s, s - half, s + half) for one, s in scores.items()}, ours)
    return {
        "votes": tally([one.picks for one in ours], scores)[0].candidate_id,
        "pooled": max(probability, key=lambda one: probability[one]),
        "original": tally(theirs, scores)[0].candidate_id,
        "score": max(scores, key=lambda one: scores[one]),
    }, probability


def look(
    world: World, image: Floats, order: NDArray[np.int64], random: np.random.Generator, *, may_refuse: bool
) -> tuple[int, ...]:
    """What one voter picks in one round. ``order``: the candidates in the order of their places."""
    seen = image[order] + random.normal(0.0, world.perception, len(order))
    seen[0] += world.position
    if may_refuse and seen.max() < world.good:
        return ()
    return tuple(int(one) for one in order[seen >= seen.max() - world.tie])


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaps", type=float, nargs="+", default=[1, 3, 5, 10], help="in mAP points")
    parser.add_argument("--voters", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    for name, field in World.__dataclass_fields__.items():
        kind = type(field.default)
        parser.add_argument(f"--{name}", type=kind, default=field.default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
