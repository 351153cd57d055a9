"""What people made of pre-labels: kept, moved, given another class, removed, or added what was missing.

It costs nobody extra work: each submitted annotation of a pre-labelled task is compared with the
prediction that stood there, and says how good the model really is on the images that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from custom_ai.figures import figures
from custom_ai.overlap import iou
from custom_ai.types import Box

UNCHANGED_IOU = 0.98
"""From here on a shape counts as left where it was: Label Studio rounds coordinates when it saves."""
SAME_IOU = 0.5
"""Down to here it is the same shape, moved; below, one was removed and another added."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts over one or many tasks. ``iou_sum`` is over accepted, moved and relabelled shapes."""

    accepted: int = 0
    moved: int = 0
    relabelled: int = 0
    removed: int = 0
    added: int = 0
    iou_sum: float = 0.0
    tasks: int = 0

    @property
    def figures(self) -> dict[str, float | None]:
        """precision, recall, score (the F1 of both) and mean_iou; see ``custom_ai.figures``."""
        return figures(self.accepted, self.moved, self.relabelled, self.removed, self.added, iou_sum=self.iou_sum)

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.accepted + other.accepted,
            self.moved + other.moved,
            self.relabelled + other.relabelled,
            self.removed + other.removed,
            self.added + other.added,
            self.iou_sum + other.iou_sum,
            self.tasks + other.tasks,
        )


def total(comparisons: Iterable[Comparison]) -> Comparison:
    """The sum over tasks."""
    return sum(comparisons, Comparison())


def compare(predicted: Sequence[Box], submitted: Sequence[Box], unchanged_iou: float = UNCHANGED_IOU) -> Comparison:
    """Match what the model drew with what a person submitted on the same task.

    Pairs of the same class come first, then pairs of different classes; within each the best overlap
    first. Every shape is used once.
    """
    pairs = sorted(
        (
            (x.label == y.label, overlap, -i, -j)
            for i, x in enumerate(predicted)
            for j, y in enumerate(submitted)
            if (overlap := iou(x, y)) >= SAME_IOU
        ),
        reverse=True,
    )
    used: tuple[set[int], set[int]] = (set(), set())
    accepted = moved = relabelled = 0
    iou_sum = 0.0
    for same_class, overlap, i, j in pairs:
        if -i in used[0] or -j in used[1]:
            continue
        used[0].add(-i)
        used[1].add(-j)
        iou_sum += overlap
        if not same_class:
            relabelled += 1
        elif overlap >= unchanged_iou:
            accepted += 1
        else:
            moved += 1
    return Comparison(
        accepted=accepted,
        moved=moved,
        relabelled=relabelled,
        removed=len(predicted) - len(used[0]),
        added=len(submitted) - len(used[1]),
        iou_sum=iou_sum,
        tasks=1,
    )
