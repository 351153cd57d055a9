"""Our mirror of a project's tasks: what people drew, and which of our predictions each task has."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.results import labelled_task
from custom_ai.pipeline.review import record_reviews
from custom_ai.pipeline.versions import newest
from custom_ai.policy import count_labels
from custom_ai.services import Services
from custom_ai.shapes import from_row, to_row
from custom_ai.state.tables import Project, Task
from custom_ai.types import LabelledTask

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_PAGE = 500
_OVERLAP = timedelta(seconds=2)
"""The clock of one Label Studio process may be a little behind another's, and a transaction may
commit later than its ``updated_at``: look back a little, reading a task twice is harmless."""


def labelled_tasks(session: Session, project_id: int) -> list[LabelledTask]:
    """All tasks of the mirror on which a person's answer counts."""
    rows = session.scalars(
        select(Task).where(Task.project_id == project_id, Task.touched, Task.boxes.is_not(None)).order_by(Task.task_id)
    )
    return [
        LabelledTask(
            task_id=row.task_id,
            image=row.image,
            boxes=tuple(from_row(box) for box in row.boxes or ()),
            annotation_id=row.annotation_id,
            updated_at=row.updated_at,
            touched=True,
        )
        for row in rows
    ]


def take_in(services: Services, project_id: int, control: Control, watermark: datetime | None) -> datetime | None:
    """Read what changed since ``watermark`` (None: all tasks); returns the new watermark.

    The caller stores it when all is done: tasks come by id, so that half of them say nothing about the rest.
    """
    since = watermark - _OVERLAP if watermark else None
    tasks = services.label_studio.tasks(project_id, updated_after=since, page_size=_PAGE)
    dropped: Counter[str] = Counter()
    newest = watermark
    for page in _pages(tasks):
        with services.database.write() as session:
            seen = _store(session, project_id, control, page, dropped)
        newest = max(filter(None, [newest, seen]), default=None)
    if dropped:
        log.info("project %s: regions that were left out: %s", project_id, dict(dropped))
    return newest


def _store(
    session: Session, project_id: int, control: Control, page: list[dict[str, Any]], dropped: Counter[str]
) -> datetime | None:
    """Write one page of tasks into the mirror; returns the newest ``updated_at`` in it."""
    ids = [int(task["id"]) for task in page]
    known = _boxes(session, project_id, ids)
    old: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    newest: datetime | None = None
    for raw in page:
        notes: Counter[str] = Counter()
        task = labelled_task(raw, control, notes)
        dropped.update(notes)
        row = {
            "project_id": project_id,
            "task_id": task.task_id,
            "image": task.image,
            "touched": task.touched,
            "annotation_id": task.annotation_id,
            "boxes": None if task.boxes is None else [to_row(box, box.untouched) for box in task.boxes],
            "updated_at": task.updated_at,
            "predicted_version": _our_version(raw, project_id),
            "notes": dict(notes) or None,
        }
        (old if task.task_id in known else new).append(row)
        if task.updated_at:
            stamp = datetime.fromisoformat(task.updated_at.replace("Z", "+00:00"))
            newest = stamp if newest is None else max(newest, stamp)
    if old:
        session.execute(update(Task), old)
    if new:
        session.execute(insert(Task), new)
    after = {row["task_id"]: row["boxes"] for row in old + new}
    _recount(session, project_id, known.values(), after.values())
    record_reviews(session, project_id, page, control)
    return newest


def _our_version(task: dict[str, Any], project_id: int) -> str | None:
    """The newest of our versions among the task's predictions."""
    stored = [one for one in task.get("predictions") or () if isinstance(one, dict)]
    stored.sort(key=lambda one: one["id"] if isinstance(one.get("id"), int) else 0)
    return newest(project_id, [str(one.get("model_version")) for one in stored])


def mirrored(services: Services, project_id: int) -> int:
    """How many tasks we know."""
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(Task).where(Task.project_id == project_id)) or 0


def forget_deleted(services: Services, project_id: int) -> None:
    """Drop tasks from the mirror that Label Studio does not have any more (it does not tell which)."""
    there = set(services.label_studio.task_ids(project_id))
    with services.database.write() as session:
        ours = set(session.scalars(select(Task.task_id).where(Task.project_id == project_id)))
        for some in _pages(iter(sorted(ours - there))):
            before = _boxes(session, project_id, some)
            session.execute(delete(Task).where(Task.project_id == project_id, Task.task_id.in_(some)))
            _recount(session, project_id, before.values(), ())


def count_all(session: Session, project_id: int) -> dict[str, int]:
    """The hand-drawn labels of a project by class, from all its tasks."""
    rows = session.scalars(
        select(Task.boxes).where(Task.project_id == project_id, Task.touched, Task.boxes.is_not(None))
    )
    return dict(_counted(rows))


def _boxes(session: Session, project_id: int, ids: Sequence[int]) -> dict[int, list[Any] | None]:
    """What the mirror holds of these tasks, by id; not those that it does not know."""
    rows = session.execute(select(Task.task_id, Task.boxes).where(Task.project_id == project_id, Task.task_id.in_(ids)))
    return {row[0]: row[1] for row in rows}


def _recount(
    session: Session,
    project_id: int,
    before: Iterable[list[Any] | None],
    after: Iterable[list[Any] | None],
) -> None:
    """Bring the project's counts up to date after a change of some tasks, in the transaction that makes it."""
    project = session.get_one(Project, project_id, with_for_update=True)
    if project.label_counts is None:
        project.label_counts = count_all(session, project_id)
        return
    counts = Counter(project.label_counts)
    counts.update(_counted(after))
    counts.subtract(_counted(before))
    project.label_counts = {name: count for name, count in sorted(counts.items()) if count > 0}


def _counted(rows: Iterable[list[Any] | None]) -> Counter[str]:
    return count_labels(box for boxes in rows for box in boxes or ())


def _pages(items: Iterator[_T]) -> Iterator[list[_T]]:
    while page := list(islice(items, _PAGE)):
        yield page
