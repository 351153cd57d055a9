"""Which images people vote on: untouched ones on which the candidates disagree most, but not all alike."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from custom_ai import dataset
from custom_ai.errors import CustomAIError
from custom_ai.images import decode_upright
from custom_ai.pipeline.pictures import MAX_SIDE, above, fetch_many, load_model, lowest
from custom_ai.pipeline.pulse import Pulse
from custom_ai.policy import VOTE_ROUNDS
from custom_ai.services import Services
from custom_ai.shapes import to_row
from custom_ai.state.tables import Candidate, Run, SelectionImage, Task
from custom_ai.training.contract import TrainSet
from custom_ai.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

POOL = 240
"""Untouched images that are looked at, about half a minute of predicting on two cores: the more, the more telling the
best of them are, see docs/vote.md."""
KEEP = 10 * VOTE_ROUNDS
"""How many of them are kept: ten voters see different ones."""
_AT_A_TIME = 8
"""Decoded images are large: never hold all of them."""
_THUMBNAIL = (8, 8)
"""What an image looks like, roughly: enough to tell scenes apart."""

Seen = dict[int, tuple[Box, ...]]
"""What each candidate sees in an image, by candidate id."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """An image that was looked at by all candidates."""

    task_id: int
    jpeg: bytes
    width: int
    height: int
    thumbnail: tuple[int, ...]
    seen: Seen


def vote_images(
    services: Services, run: Run, candidates: Sequence[Candidate], data: TrainSet, pulse: Pulse
) -> list[SelectionImage]:
    """Images on which the candidates disagree most, with what each of them sees; the most useful ones first.

    Untouched images come first; a project without enough of them votes on held-out ones, which the
    candidates have not learned from either.
    """
    import numpy as np

    from custom_ai.overlap import disagreement  # brings shapely: not for the web process
    from custom_ai.variety import valuable_and_different

    looked: list[_Looked] = []
    for some in _batches(_decoded(services, run, data, pulse)):
        pulse.check()
        looked += _look(services, candidates, some)
    if not looked:
        return []
    values = [disagreement(list(one.seen.values())) for one in looked]
    colours = np.array([one.thumbnail for one in looked], np.float64)
    counts = np.array([_counts(one.seen, run.classes) for one in looked], np.float64)
    return [
        SelectionImage(
            task_id=looked[index].task_id,
            sha256=services.store.put_bytes(looked[index].jpeg),
            width=looked[index].width,
            height=looked[index].height,
            disagreement=round(values[index], 4),
            predictions={
                str(candidate): [to_row(box, box.score) for box in boxes]
                for candidate, boxes in looked[index].seen.items()
            },
        )
        for index in valuable_and_different(values, [colours, np.sqrt(counts)], KEEP)
    ]


def untouched(services: Services, project_id: int) -> list[tuple[int, str]]:
    """A sample of untouched tasks, the same for the same project: ordered by hash of the task id."""
    with services.database.read() as session:
        rows = session.execute(
            select(Task.task_id, Task.image).where(Task.project_id == project_id, ~Task.touched)
        ).all()
    tasks = sorted(((row[0], row[1]) for row in rows), key=lambda task: dataset.side(task[0]))
    return tasks[:POOL]


def _decoded(services: Services, run: Run, data: TrainSet, pulse: Pulse) -> Iterator[tuple[int, Image]]:
    found = 0
    for task_id, image in fetch_many(services, untouched(services, run.project_id), pulse.check):
        if not isinstance(image, CustomAIError):
            found += 1
            yield task_id, image
    for one in data.held_out[: max(0, VOTE_ROUNDS - found)]:
        yield (
            one.task_id,
            decode_upright(one.path.read_bytes(), one.path.name, services.settings.image_max_pixels),
        )


def _batches(images: Iterable[tuple[int, Image]]) -> Iterator[list[tuple[int, Image]]]:
    batch: list[tuple[int, Image]] = []
    for one in images:
        batch.append(one)
        if len(batch) == _AT_A_TIME:
            yield batch
            batch = []
    if batch:
        yield batch


def _look(
    services: Services, candidates: Sequence[Candidate], images: Sequence[tuple[int, Image]]
) -> Iterator[_Looked]:
    """What each candidate sees, at its own thresholds."""
    import numpy as np

    arrays = [np.asarray(image) for _, image in images]
    seen: list[Seen] = [{} for _ in images]
    for candidate in candidates:
        model = load_model(services, candidate)
        for one, boxes in zip(seen, model.predict(arrays, lowest(candidate)), strict=True):
            one[candidate.id] = above(candidate, boxes)
    for (task_id, image), found in zip(images, seen, strict=True):
        small = image.copy()
        small.thumbnail((MAX_SIDE, MAX_SIDE))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=90)
        thumbnail = tuple(np.asarray(image.resize(_THUMBNAIL)).ravel().tolist())
        yield _Looked(task_id, buffer.getvalue(), image.width, image.height, thumbnail, found)


def _counts(seen: Seen, classes: Sequence[str]) -> list[int]:
    """How many shapes of each class each candidate sees: alike where the same candidates err alike."""
    return [sum(box.label == name for box in boxes) for boxes in seen.values() for name in classes]
