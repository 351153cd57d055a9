"""On which pictures the candidates are scored, and who must not have seen them. Pure.

With ten labels per class there are about a dozen pictures. Holding a fifth of them out leaves two or three
to score on, which is close to throwing dice, and takes them from training. So a small data set is scored by
cross-validation: the candidate itself learns from all pictures; its siblings, trained by the same recipe in
a part of its passes, each learn from all but one fold and are scored on that fold. Every picture then counts
once, and was never seen by the sibling that is asked about it. A sibling has learned less than the candidate,
so the score is more often too low than too high, most of all for recipes that learn slowly.

Passes are worth more than labels here: with half of the pictures and all of the passes a recipe lost .03 mAP50 of
.84, with half of both .11. So there are few siblings, and they learn long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from custom_ai import dataset
from custom_ai.training.contract import TrainImage, TrainSet

FOLDS = 2
SHARE = 0.75
"""Of the candidate's passes, for each sibling."""
ENOUGH = 100
"""With so many pictures, a fifth of them is enough to score on, and cross-validation would gain little."""


def plan(snapshot: dataset.Snapshot, images: Sequence[TrainImage], *, hold_out: bool = False) -> TrainSet:
    """What to train on. Nothing is held out (and cross-validation scores) when there are fewer than 100 pictures.

    ``hold_out``: hold some out in any case, by hash of the task id, because unseen pictures are needed for
    something else too.
    """
    apart = dataset.held_out(snapshot) if hold_out or len(images) >= ENOUGH else frozenset()
    if apart:
        # near-duplicates follow the first of them: nobody is tested on what was learned by heart
        units = [unit for unit in _units(images) if unit[0].task_id in apart]
        apart = frozenset(image.task_id for unit in units for image in unit) or apart
    return TrainSet(
        classes=snapshot.classes,
        train=tuple(image for image in images if image.task_id not in apart),
        held_out=tuple(image for image in images if image.task_id in apart),
        kind=snapshot.kind,
    )


def make_folds(images: Sequence[TrainImage], count: int = FOLDS) -> list[tuple[TrainImage, ...]]:
    """Share the pictures out into at most ``count`` folds, each class as evenly as possible.

    Deterministic: depends on the pictures' labels and task ids alone. Pictures with a rare class are given
    out first, each to the fold that has the fewest boxes of its rarest class, then the fewest pictures;
    near-duplicates go together.
    A class that lives in one picture only is never learned by the sibling that is scored on it. No fold is
    empty: with fewer pictures than folds there are fewer folds.
    """
    units = _units(images)
    if len(units) < 2:  # a series of one scene: a flattering score says more than none
        units = [[image] for image in images]
    count = min(count, len(units))
    total = Counter(box.label for image in images for box in image.boxes)
    have = [Counter[str]() for _ in range(count)]
    folds: list[list[TrainImage]] = [[] for _ in range(count)]

    def rarest(unit: Sequence[TrainImage]) -> str:
        labels = (box.label for image in unit for box in image.boxes)
        return min(labels, key=lambda label: (total[label], label), default="")

    order = sorted(units, key=lambda unit: (total[rarest(unit)] or 1e9, dataset.side(unit[0].task_id)))
    most = -(-len(images) // count) if count else 0
    for unit in order:
        label = rarest(unit)
        open_ = [n for n in range(count) if len(folds[n]) + len(unit) <= most] or [*range(count)]
        chosen = min(open_, key=lambda n: (bool(folds[n]) and have[n][label], len(folds[n]), n))
        folds[chosen] += unit
        have[chosen].update(box.label for image in unit for box in image.boxes)
    return [tuple(fold) for fold in folds if fold]


def _units(images: Sequence[TrainImage]) -> list[list[TrainImage]]:
    """Near-duplicates together, every other picture by itself; in the order of the pictures."""
    units: dict[object, list[TrainImage]] = {}
    for image in images:
        units.setdefault(("alone", image.task_id) if image.group is None else image.group, []).append(image)
    return list(units.values())
