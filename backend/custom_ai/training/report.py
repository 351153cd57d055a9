"""What a candidate gets right and wrong, image by image, on images that it never saw.

Everything is computed from the truth (what people drew) and the candidate's predictions on those images,
so that a report can be made at any time from what is stored. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from custom_ai.overlap import iou
from custom_ai.types import Box

MIN_IOU = 0.5
BACKGROUND = ""
"""Stands for "nothing" in the confusion matrix: missed shapes are in its column, invented ones in its row."""
SURE = 0.7
"""A contradiction to people that is at least this sure is worth a second look at their label."""
NOT_SEEN = 0.05
"""A drawn shape where no prediction of any class reaches this score may have been drawn by mistake."""

Truth = Mapping[int, Sequence[Box]]
"""Drawn shapes by task id; the tasks of a report."""
Predicted = Mapping[int, Sequence[Box]]
"""Predicted shapes by task id, with scores, down to low ones."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall of one class as its threshold falls: one point per prediction."""

    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ImageErrors:
    """One image: what was found, what was missed, and what was invented or given the wrong class."""

    task_id: int
    found: int
    missed: tuple[Box, ...]
    wrong: tuple[Box, ...]

    @property
    def errors(self) -> int:
        return len(self.missed) + len(self.wrong)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that may be wrong: ``kind`` is missing (nothing was drawn), class, or needless (nothing is there)."""

    task_id: int
    kind: str
    box: Box
    """The shape in question: the model's for missing and class, the drawn one for needless."""
    drawn_as: str
    sureness: float
    """0..1; the surest come first."""


def curve(truth: Truth, predicted: Predicted, label: str) -> Curve:
    """Precision and recall of a class over all thresholds (at IoU .5, greedy by score)."""
    drawn = sum(box.label == label for boxes in truth.values() for box in boxes)
    hits: list[tuple[float, bool]] = []
    for task, boxes in truth.items():
        left = [box for box in boxes if box.label == label]
        for box in sorted((b for b in predicted.get(task, ()) if b.label == label), key=_score, reverse=True):
            match = _best(box, left)
            if match is not None:
                left.remove(match)
            hits.append((_score(box), match is not None))
    hits.sort(key=lambda hit: -hit[0])
    thresholds, precision, recall = [], [], []
    right = 0
    for number, (score, good) in enumerate(hits, start=1):
        right += good
        thresholds.append(score)
        precision.append(right / number)
        recall.append(right / drawn if drawn else 0.0)
    return Curve(tuple(thresholds), tuple(precision), tuple(recall))


def confusion(
    truth: Truth, predicted: Predicted, classes: Sequence[str], thresholds: Mapping[str, float]
) -> dict[str, dict[str, int]]:
    """How often a drawn class (first key) was seen as a class (second key); BACKGROUND on either side.

    At the candidate's thresholds; pairs are made by overlap alone, whatever the class.
    """
    names = [*classes, BACKGROUND]
    table = {drawn: dict.fromkeys(names, 0) for drawn in names}
    for task, boxes in truth.items():
        for drawn, seen in _pairs(list(boxes), _shown(predicted.get(task, ()), thresholds)):
            table[drawn.label if drawn else BACKGROUND][seen.label if seen else BACKGROUND] += 1
    return table


def errors_by_image(truth: Truth, predicted: Predicted, thresholds: Mapping[str, float]) -> list[ImageErrors]:
    """All images with their errors at the candidate's thresholds, the worst first."""
    found = []
    for task, boxes in truth.items():
        pairs = _pairs(list(boxes), _shown(predicted.get(task, ()), thresholds))
        right = sum(1 for drawn, seen in pairs if drawn and seen and drawn.label == seen.label)
        missed = tuple(drawn for drawn, seen in pairs if drawn and (seen is None or seen.label != drawn.label))
        wrong = tuple(seen for drawn, seen in pairs if seen and (drawn is None or seen.label != drawn.label))
        found.append(ImageErrors(task, right, missed, wrong))
    return sorted(found, key=lambda image: (-image.errors, image.task_id))


def doubts(truth: Truth, predicted: Predicted) -> list[Doubt]:
    """Labels that contradict a sure prediction, the surest first.

    The idea of confident learning (Northcutt et al., 2021), in its simplest form for shapes. Only
    predictions on images that the candidate has not trained on can say something: on the others it
    repeats what people drew.
    """
    found = []
    for task, boxes in truth.items():
        sure = [one for one in predicted.get(task, ()) if _score(one) >= SURE]
        for drawn, box in _pairs(list(boxes), sure):
            if box is not None and drawn is None:
                found.append(Doubt(task, "missing", box, "", _score(box)))
            elif box is not None and drawn is not None and drawn.label != box.label:
                found.append(Doubt(task, "class", box, drawn.label, _score(box)))
    found += _needless(truth, predicted)
    return sorted(found, key=lambda doubt: (-doubt.sureness, doubt.task_id))


def _needless(truth: Truth, predicted: Predicted) -> list[Doubt]:
    """Drawn shapes of which the model sees nothing, where it sees nearly all others of their class.

    The sureness is the share of the others that it sees, a little less when there are few of them: a weak
    model overlooks much, and says nothing about the labels.
    """
    drawn = [(task, box) for task, boxes in truth.items() for box in boxes]
    best = [
        max((_score(one) for one in predicted.get(task, ()) if iou(box, one) >= MIN_IOU / 2), default=0.0)
        for task, box in drawn
    ]
    every = Counter(box.label for _, box in drawn)
    seen = Counter(box.label for (_, box), score in zip(drawn, best, strict=True) if score >= NOT_SEEN)
    found = []
    for (task, box), score in zip(drawn, best, strict=True):
        sureness = (seen[box.label] + 1) / (every[box.label] + 1)  # of the others, plus one of each kind
        if score < NOT_SEEN and sureness >= SURE:
            found.append(Doubt(task, "needless", box, box.label, sureness))
    return found


def _pairs(drawn: list[Box], seen: list[Box]) -> list[tuple[Box | None, Box | None]]:
    """Match by overlap, the best first, the same class before another one; what is left stands alone."""
    rated = sorted(
        (
            (a.label == b.label, overlap, -i, -j)
            for i, a in enumerate(drawn)
            for j, b in enumerate(seen)
            if (overlap := iou(a, b)) >= MIN_IOU
        ),
        reverse=True,
    )
    pairs: list[tuple[Box | None, Box | None]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for _, _, i, j in rated:
        if -i not in used[0] and -j not in used[1]:
            used[0].add(-i)
            used[1].add(-j)
            pairs.append((drawn[-i], seen[-j]))
    pairs += [(box, None) for i, box in enumerate(drawn) if i not in used[0]]
    pairs += [(None, box) for j, box in enumerate(seen) if j not in used[1]]
    return pairs


def _shown(boxes: Sequence[Box], thresholds: Mapping[str, float]) -> list[Box]:
    return [box for box in boxes if _score(box) >= thresholds.get(box.label, 1.1)]


def _best(box: Box, others: Sequence[Box]) -> Box | None:
    rated = [(iou(box, other), other) for other in others]
    best = max(rated, key=lambda pair: pair[0], default=(0.0, None))
    return best[1] if best[0] >= MIN_IOU else None


def _score(box: Box) -> float:
    return box.score or 0.0
