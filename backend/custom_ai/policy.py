"""The rules: when is a project ready, when may it train again, who wins a vote. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RETRAIN_GROWTH = 1.5
"""With auto-training on, a new run starts when there are this many times the labels of the last run:
each retraining starts from the base weights, so one label more is not worth minutes of work."""
DISAPPOINTED_GROWTH = 1.1
"""The same when people have to correct more of the pre-labels than the project accepts."""
VOTE_ROUNDS = 5
MAX_CRASHES = 3
"""A job whose process died this many times is given up."""
MAX_ATTEMPTS = 60
"""A job that waits for Label Studio is tried again at every tick, for about an hour."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Labels by class against what is needed."""

    counts: dict[str, int]
    needed: int

    @property
    def ready(self) -> bool:
        return bool(self.counts) and all(count >= self.needed for count in self.counts.values())

    @property
    def missing(self) -> dict[str, int]:
        """How many labels are missing, for the classes that lack some."""
        return {name: self.needed - count for name, count in self.counts.items() if count < self.needed}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}/{self.needed}" for name, count in self.counts.items()) or "-"


def count_labels(boxes: Iterable[Sequence[object]]) -> Counter[str]:
    """Hand-drawn shapes by class, given as the task table's [label, x1, y1, x2, y2, untouched, ...]."""
    return Counter(str(box[0]) for box in boxes if not box[5])


def may_train_by_rule(state: Readiness, labels_at_last_run: int | None, *, disappointing: bool = False) -> bool:
    """Whether the auto-training rule starts a run now.

    ``disappointing``: the champion's live score has fallen below what the project asks for; then fewer
    new labels are enough, but some there must be.
    """
    if not state.ready:
        return False
    growth = DISAPPOINTED_GROWTH if disappointing else RETRAIN_GROWTH
    return labels_at_last_run is None or state.total >= growth * max(labels_at_last_run, 1)


@dataclass(frozen=True, slots=True)
class Standing:
    """One candidate in the result of a vote."""

    candidate_id: int
    votes: int
    score: float


def tally(ballots: Iterable[Sequence[int]], scores: Mapping[int, float]) -> list[Standing]:
    """Sum the picks of all ballots; the best comes first.

    ``scores`` are the held-out mAP of the candidates and decide ties; then the lower id, so that the
    result never depends on chance.
    """
    votes = Counter(candidate for picks in ballots for candidate in picks)
    standings = [Standing(candidate, votes[candidate], score) for candidate, score in scores.items()]
    return sorted(standings, key=lambda one: (-one.votes, -one.score, one.candidate_id))
