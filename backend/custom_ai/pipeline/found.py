"""What a model found in the images of an auto-labelling job, kept so that another threshold needs no new prediction.

One compressed blob per chunk: 330 bytes an image with 20 boxes, where rows of JSON beside the items would
take three times as much and a thousand times as many writes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from custom_ai.services import Services
from custom_ai.shapes import from_row, to_row
from custom_ai.state.tables import AutoLabelFound, AutoLabelItem, AutoLabelJob
from custom_ai.types import Box, ImageSize

FLOOR = 0.05
"""What is less certain is not kept, unless the job's own threshold is lower."""
MOST = 100
"""Shapes kept of one image; images of crowds would take megabytes otherwise."""
_PLACES, _SCORE_PLACES = 6, 4
_SOME = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """One image as the model saw it: its size, upright, in pixels, and what is in it, best first."""

    size: ImageSize
    boxes: tuple[Box, ...]


def found_of(services: Services, job: AutoLabelJob, task_ids: Iterable[int]) -> dict[int, tuple[Box, ...]]:
    """What the job's model found, with scores of at least ``job.floor``, best first; not tasks without an answer."""
    return {task: seen.boxes for task, seen in seen_of(services, job, task_ids).items()}


def seen_of(services: Services, job: AutoLabelJob, task_ids: Iterable[int]) -> dict[int, Seen]:
    """The same with the sizes of the images, which writing rotated boxes needs."""
    wanted = set(task_ids)
    ordered = sorted(wanted)
    found: dict[int, Seen] = {}
    with services.database.read() as session:
        chunks: set[int] = set()
        for start in range(0, len(ordered), _SOME):
            some = ordered[start : start + _SOME]
            chunks.update(
                session.scalars(
                    select(AutoLabelItem.chunk)
                    .where(AutoLabelItem.job_id == job.id, AutoLabelItem.task_id.in_(some))
                    .distinct()
                )
            )
        for chunk in sorted(chunks):
            found |= {task: seen for task, seen in load(session, job.id, chunk).items() if task in wanted}
    return found


def rounded(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """The best of the boxes as they will be read again: what is pushed now and later shall be the same."""
    kept = []
    for box in islice(boxes, MOST):
        x1, y1, x2, y2 = (round(one, _PLACES) for one in (box.x1, box.y1, box.x2, box.y2))
        if x1 < x2 and y1 < y2:
            score = None if box.score is None else round(box.score, _SCORE_PLACES)
            outline = tuple((round(x, _PLACES), round(y, _PLACES)) for x, y in box.outline)
            kept.append(replace(box, x1=x1, y1=y1, x2=x2, y2=y2, score=score, outline=outline))
    return tuple(kept)


def save(session: Session, job_id: int, chunk: int, seen: Mapping[int, Seen]) -> None:
    """Keep what was found in a chunk, in place of what was kept before."""
    rows = [
        [task, one.size.width, one.size.height, [to_row(box, box.score) for box in one.boxes]]
        for task, one in seen.items()
    ]
    content = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)
    session.execute(delete(AutoLabelFound).where(AutoLabelFound.job_id == job_id, AutoLabelFound.chunk == chunk))
    session.execute(insert(AutoLabelFound).values(job_id=job_id, chunk=chunk, content=content))


def load(session: Session, job_id: int, chunk: int) -> dict[int, Seen]:
    """What was kept of a chunk, by task; {} when nothing was."""
    row = session.get(AutoLabelFound, (job_id, chunk))
    if row is None:
        return {}
    rows = json.loads(zlib.decompress(row.content))
    return {task: Seen(ImageSize(width, height), tuple(map(from_row, boxes))) for task, width, height, boxes in rows}
