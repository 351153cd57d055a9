"""Chunks of an auto-labelling job: who has which, and what became of it. Compare-and-set in SQL, nothing else.

Every claim raises the chunk's ``attempt``; who writes names the attempt, so that a worker that was taken for
dead and comes back writes nothing over its successor's work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_
from custom_ai.pipeline.pulse import Fenced
from custom_ai.policy import MAX_CRASHES
from custom_ai.state.journal import reason
from custom_ai.state.tables import AutoLabelChunk, AutoLabelFound, AutoLabelItem, AutoLabelJob, Task, now

CHUNK = 100
"""Tasks of a chunk. A kill repeats at most the predictions of a few."""

WANTED = (
    AutoLabelJob.status.in_(("queued", "running")),
    ~AutoLabelJob.cancel_requested,
    ~AutoLabelJob.pause_requested,
)
"""Conditions of a job that shall go on."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk that this worker has, and the number under which it may write."""

    job_id: int
    number: int
    attempt: int


def add_items(session: Session, job_id: int, tasks: Sequence[int]) -> None:
    """Write the tasks of a job, in chunks."""
    for start in range(0, len(tasks), CHUNK):
        some = tasks[start : start + CHUNK]
        number = start // CHUNK
        session.execute(insert(AutoLabelItem), [{"job_id": job_id, "task_id": task, "chunk": number} for task in some])
        session.execute(insert(AutoLabelChunk).values(job_id=job_id, number=number, tasks=len(some)))


def claim(session: Session, job_id: int, worker: str) -> Claim | None:
    """Take the next chunk that waits; None when there is none, or the job shall not go on.

    Of a chunk whose last worker may have pushed predictions all items are put in doubt.
    """
    if not _wanted(session, job_id):
        return None
    while True:
        row = session.execute(
            select(AutoLabelChunk.number, AutoLabelChunk.attempt, AutoLabelChunk.pushing)
            .where(AutoLabelChunk.job_id == job_id, AutoLabelChunk.status == "waiting")
            .order_by(AutoLabelChunk.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).first()
        if row is None:
            return None
        mine = Claim(job_id, row.number, row.attempt + 1)
        taken = session.execute(
            update(AutoLabelChunk)
            .where(_is(mine, status="waiting", attempt=row.attempt))
            .values(status="running", attempt=mine.attempt, worker=worker, heartbeat_at=now())
        )
        if not _rows(taken):
            continue  # somebody was faster
        if row.pushing:
            session.execute(
                update(AutoLabelItem)
                .where(AutoLabelItem.job_id == job_id, AutoLabelItem.chunk == mine.number)
                .values(doubt=True)
            )
        return mine


def waiting_tasks(session: Session, mine: Claim, project_id: int) -> list[tuple[int, str | None, bool]]:
    """(task, image, touched) of what is still to be done in a chunk; no image: the task is gone."""
    rows = session.execute(
        select(AutoLabelItem.task_id, Task.image, Task.touched)
        .outerjoin(Task, (Task.task_id == AutoLabelItem.task_id) & (Task.project_id == project_id))
        .where(
            AutoLabelItem.job_id == mine.job_id,
            AutoLabelItem.chunk == mine.number,
            AutoLabelItem.status == "waiting",
        )
        .order_by(AutoLabelItem.task_id)
    )
    return [(row[0], row[1], bool(row[2])) for row in rows]


def beat(session: Session, claims: Collection[Claim]) -> list[Claim]:
    """Give a sign of life for chunks; returns those that are not ours any more."""
    return [one for one in claims if not _write(session, one, heartbeat_at=now())]


def owned(session: Session, claims: Iterable[Claim], **values: Any) -> None:
    """Call it first in a transaction that writes. Raises Fenced when one of the chunks has another worker."""
    for one in claims:
        if not _write(session, one, heartbeat_at=now(), **values):
            raise Fenced(why=N_("another worker has taken this over"))


def note(session: Session, job_id: int, items: Mapping[int, Mapping[str, Any]]) -> None:
    """Write what became of tasks."""
    rows = [{"job_id": job_id, "task_id": task, **values} for task, values in items.items()]
    same: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        same.setdefault(tuple(row), []).append(row)
    for some in same.values():
        session.execute(update(AutoLabelItem), some)


def finish(session: Session, mine: Claim) -> None:
    """running -> done. Raises Fenced."""
    owned(session, [mine], status="done", pushing=False, finished_at=now())


def give_back(session: Session, claims: Iterable[Claim]) -> None:
    """running -> waiting, for chunks that are still ours; what was pushed stays in doubt."""
    for one in claims:
        _write(session, one, status="waiting")


def take_back_lost(session: Session, job_id: int, after_s: float) -> int:
    """running -> waiting for chunks without a sign of life; returns how many workers were lost.

    Nobody knows which image it was that ended a process, if any. So a chunk that lost two processes before
    it was predicted is halved each time, and a single task that keeps on ending processes has failed.
    """
    limit = now() - timedelta(seconds=after_s)
    rows = session.scalars(
        select(AutoLabelChunk)
        .where(AutoLabelChunk.job_id == job_id, AutoLabelChunk.status == "running", AutoLabelChunk.heartbeat_at < limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.status = "waiting"
        if session.get(AutoLabelFound, (job_id, row.number)) is None:
            row.crashes += 1
            _suspect(session, row)
    return len({row.worker for row in rows})


def counts(session: Session, job_id: int) -> dict[str, int]:
    """Chunks of a job by status."""
    rows = session.execute(
        select(AutoLabelChunk.status, func.count())
        .where(AutoLabelChunk.job_id == job_id)
        .group_by(AutoLabelChunk.status)
    )
    return {"waiting": 0, "running": 0, "done": 0} | {row[0]: row[1] for row in rows}


def workers(session: Session, job_id: int) -> set[str]:
    """Who has a chunk now."""
    rows = session.scalars(
        select(AutoLabelChunk.worker).where(AutoLabelChunk.job_id == job_id, AutoLabelChunk.status == "running")
    )
    return set(rows)


def try_again(session: Session, job_id: int) -> int:
    """Failed items and their chunks wait again; returns how many items."""
    failed = (AutoLabelItem.job_id == job_id, AutoLabelItem.status == "failed")
    numbers = select(AutoLabelItem.chunk).where(AutoLabelItem.job_id == job_id, AutoLabelItem.status == "failed")
    session.execute(
        update(AutoLabelChunk)
        .where(AutoLabelChunk.job_id == job_id, AutoLabelChunk.status == "done", AutoLabelChunk.number.in_(numbers))
        .values(status="waiting", crashes=0)
        .execution_options(synchronize_session=False)
    )
    changed = session.execute(update(AutoLabelItem).where(*failed).values(status="waiting", reason=None, boxes=None))
    return _rows(changed)


def _suspect(session: Session, row: AutoLabelChunk) -> None:
    """After a crash: halve the chunk, or give up its only task."""
    tasks = session.scalars(
        select(AutoLabelItem.task_id)
        .where(AutoLabelItem.job_id == row.job_id, AutoLabelItem.chunk == row.number, AutoLabelItem.status == "waiting")
        .order_by(AutoLabelItem.task_id)
    ).all()
    if len(tasks) == 1 and row.crashes >= MAX_CRASHES:
        why = reason(N_("The worker's process died {count} times while it looked at this image."), count=row.crashes)
        note(session, row.job_id, {tasks[0]: {"status": "failed", "reason": why}})
        row.status, row.finished_at = "done", now()
    elif len(tasks) > 1 and row.crashes >= 2:
        last = session.scalar(select(func.max(AutoLabelChunk.number)).where(AutoLabelChunk.job_id == row.job_id)) or 0
        half = tasks[len(tasks) // 2 :]
        session.execute(
            update(AutoLabelItem)
            .where(AutoLabelItem.job_id == row.job_id, AutoLabelItem.task_id.in_(half))
            .values(chunk=last + 1)
        )
        row.tasks -= len(half)
        row.crashes = 1
        session.add(AutoLabelChunk(job_id=row.job_id, number=last + 1, tasks=len(half), crashes=1, pushing=row.pushing))
        session.flush()


def _wanted(session: Session, job_id: int) -> bool:
    return bool(session.scalar(select(exists().where(AutoLabelJob.id == job_id, *WANTED))))


def _is(mine: Claim, *, status: str, attempt: int) -> Any:
    return (
        (AutoLabelChunk.job_id == mine.job_id)
        & (AutoLabelChunk.number == mine.number)
        & (AutoLabelChunk.status == status)
        & (AutoLabelChunk.attempt == attempt)
    )


def _write(session: Session, mine: Claim, **values: Any) -> bool:
    """Change a chunk that is still ours."""
    changed = session.execute(
        update(AutoLabelChunk)
        .where(_is(mine, status="running", attempt=mine.attempt))
        .values(values)
        .execution_options(synchronize_session=False)
    )
    return _rows(changed) == 1


def _rows(result: object) -> int:
    return int(getattr(result, "rowcount", 0))
