"""Trains with fewer of the labels, to see what the others bring.

Passes are worth more than labels when there are few of them, so two trainings are compared only when they had
about the same number of passes. When there is time to train with fewer labels as long as the run's own score was
trained, that is compared with the score; otherwise both are trained, equally short.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from custom_ai.training.contract import Recipe, TrainContext, Trainer, TrainImage, TrainSet
from custom_ai.training.folds import SHARE, make_folds
from custom_ai.training.forecast import Compared, Found
from custom_ai.training.siblings import OVERHEAD_S, predict

EQUAL = 0.7
"""From this share of the passes on two trainings count as equally long."""
SHORTEST_S = 3.0
"""A shorter training says nothing about the data."""
PARTS = 4
"""With held-out images the smaller part is a quarter; in cross-validation it is a half of each sibling's half."""


@dataclass(frozen=True, slots=True)
class _Part:
    fewer: Sequence[TrainImage]
    more: Sequence[TrainImage]
    asked: Sequence[TrainImage]


def reference_passes(recipe: Recipe, data: TrainSet) -> int:
    """How many passes the models had on whose predictions a candidate's score rests; ``recipe`` has its own."""
    return recipe.passes if data.held_out else max(round(recipe.passes * SHARE), 1)


def reference_times(data: TrainSet) -> float:
    """From which share of the candidate's labels those models learned."""
    return 1.0 if data.held_out else 1.0 - 1.0 / len(make_folds(data.train))


def whole_passes(recipe: Recipe, data: TrainSet) -> float:
    """All passes of a candidate and its siblings."""
    return recipe.passes * (1.0 if data.held_out else 1.0 + SHARE * len(make_folds(data.train)))


def compare(
    recipe: Recipe,
    data: TrainSet,
    reference: Found,
    pass_seconds: float,
    budget_s: float,
    context: TrainContext,
    trainer: Trainer,
) -> Compared | None:
    """Train with about half or a quarter of the labels and ask about images that the ``reference`` was asked about.

    ``recipe`` has the candidate's passes; ``pass_seconds`` is what one takes. Takes about ``budget_s`` at
    most. None when there is not enough time or too few images. Raises like Trainer.train.
    """
    parts = _parts(data, reference)
    passes = reference_passes(recipe, data)
    wanted_s = passes * pass_seconds + OVERHEAD_S
    fitting = min(int(budget_s / wanted_s), len(parts)) or int(budget_s >= EQUAL * wanted_s)
    if not parts:
        return None
    ends_at = time.monotonic() + budget_s
    found: list[Compared] = []
    if fitting:
        for number, part in enumerate(parts[:fitting]):
            left_s = (ends_at - time.monotonic()) / (fitting - number) - OVERHEAD_S
            if left_s < EQUAL * passes * pass_seconds and found:
                break
            fewer = _train(replace(recipe, passes=passes), left_s, data, part.fewer, part.asked, context, trainer)
            known = {image.task_id: reference[image.task_id] for image in part.asked}
            found.append(Compared(_labels(part.fewer), _labels(part.more), fewer, known))
    else:
        seconds = budget_s / 2 - OVERHEAD_S
        if seconds < SHORTEST_S:
            return None
        part, short = parts[0], replace(recipe, passes=passes)
        fewer, more = (
            _train(short, seconds, data, images, part.asked, context, trainer) for images in (part.fewer, part.more)
        )
        found.append(Compared(_labels(part.fewer), _labels(part.more), fewer, more))
    return Compared(
        sum(one.fewer_labels for one in found),
        sum(one.more_labels for one in found),
        {task: boxes for one in found for task, boxes in one.fewer.items()},
        {task: boxes for one in found for task, boxes in one.more.items()},
    )


def _parts(data: TrainSet, reference: Found) -> list[_Part]:
    """Smaller and larger images to learn from, and those to ask about; the smaller lie in the larger ones."""
    if data.held_out:
        wholes = [(data.train, data.held_out)]
    else:
        wholes = [(tuple(image for image in data.train if image not in fold), fold) for fold in make_folds(data.train)]
    parts = []
    for images, scored in wholes:
        asked = tuple(image for image in scored if image.task_id in reference)
        shares = make_folds(images, PARTS if data.held_out else 2)
        if len(shares) > 1 and _labels(shares[0]) and any(image.boxes for image in asked):
            parts.append(_Part(shares[0], images, asked))
    return parts


def _train(
    recipe: Recipe,
    seconds: float,
    data: TrainSet,
    images: Sequence[TrainImage],
    asked: Sequence[TrainImage],
    context: TrainContext,
    trainer: Trainer,
) -> Found:
    folder = context.work_dir / "subset"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    part = replace(data, train=tuple(images), held_out=tuple(asked))
    there = replace(context, work_dir=folder)
    return predict(trainer.train(replace(recipe, seconds=max(seconds, 0.1)), part, there), part, asked, there)


def _labels(images: Sequence[TrainImage]) -> int:
    return sum(len(image.boxes) for image in images)
