"""Look at Label Studio: bring the mirror of a project up to date, then decide what follows.

A webhook is only a hint that there is something to see, so everything here may be called at any
time and any number of times.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_, Conflict, CustomAIError, LabelConfigError, LabelStudioMissing, NotFound
from custom_ai.labelstudio.config import BoxControl, parse_label_config
from custom_ai.labelstudio.results import labelled_task
from custom_ai.policy import Readiness, may_train_by_rule, readiness
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify, notify_error, reason_of
from custom_ai.state.tables import Project, Run, Task, now
from custom_ai.types import Box, LabelledTask

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_PAGE = 500
_OVERLAP = timedelta(seconds=2)
"""The clock of one Label Studio process may be a little behind another's, and a transaction may
commit later than its ``updated_at``: look back a little, reading a task twice is harmless."""


def request_look(services: Services, project_id: int, *, by_webhook: bool = False) -> bool:
    """Have a worker look soon. A burst of calls leads to one look. False: not a project of ours."""
    with services.database.write() as session:
        known = session.scalar(select(Project.id).where(Project.id == project_id, Project.gone_at.is_(None)))
        if known is None:
            return False
        if by_webhook:
            session.execute(update(Project).where(Project.id == project_id).values(webhook_at=now()))
        first = session.execute(
            update(Project)
            .where(Project.id == project_id, Project.look_requested_at.is_(None))
            .values(look_requested_at=now())
        )
        due = bool(getattr(first, "rowcount", 0))
    if due:
        services.bell.ring("look", project_id, delay_s=services.settings.debounce_s)
    return True


def look(services: Services, project_id: int, *, full: bool = False) -> Readiness | None:
    """Take in what changed (``full``: everything) and start what the project's rules say.

    Returns the labels per class, or None when the project cannot be worked on (the reason stands in
    the project's row). Raises LabelStudioUnreachable or LabelStudioAuth when Label Studio cannot be asked.
    """
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(what=N_("project"), id=project_id)
        # Cleared before asking: whoever changes something from here on rings again.
        project.look_requested_at = None
        watermark = None if full or project.looked_at is None else project.watermark
        known_config = project.label_config
    try:
        remote = services.label_studio.project(project_id)
        control = parse_label_config(remote.label_config, project_id).box_control()
    except LabelStudioMissing:
        _mark_gone(services, project_id)
        return None
    except LabelConfigError as error:
        _set_problem(services, project_id, error)
        return None
    if remote.label_config != known_config:
        watermark = None  # which regions count depends on the config: read all of them again
    _take_in(services, project_id, control, watermark)
    if watermark is None or remote.raw.get("task_number") != _mirrored(services, project_id):
        _forget_deleted(services, project_id)
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        project.title = remote.title
        project.label_config = remote.label_config
        project.available_classes = list(control.classes)
        if project.chosen_classes is not None:
            kept = [name for name in project.chosen_classes if name in control.classes]
            project.chosen_classes = kept or None
        project.looked_at = now()
        project.problem = None
        state = project_readiness(session, services, project)
    _follow_rules(services, project_id)
    return state


def project_readiness(
    session: Session, services: Services, project: Project, classes: list[str] | None = None
) -> Readiness:
    """Labels by class, from the mirror; for all chosen classes or for ``classes``."""
    rows = session.scalars(
        select(Task.boxes).where(Task.project_id == project.id, Task.touched, Task.boxes.is_not(None))
    )
    names = classes or project.chosen_classes or project.available_classes
    needed = project.labels_per_class or services.settings.labels_per_class
    return readiness((box for boxes in rows for box in boxes or ()), names, needed)


def box_control(project: Project) -> BoxControl:
    """The control that our boxes go to. Raises LabelConfigError."""
    return parse_label_config(project.label_config, project.id).box_control()


def labelled_tasks(session: Session, project_id: int) -> list[LabelledTask]:
    """All tasks of the mirror on which a person's answer counts."""
    rows = session.scalars(
        select(Task).where(Task.project_id == project_id, Task.touched, Task.boxes.is_not(None)).order_by(Task.task_id)
    )
    return [
        LabelledTask(
            task_id=row.task_id,
            image=row.image,
            boxes=tuple(
                Box(label, x1, y1, x2, y2, untouched=untouched) for label, x1, y1, x2, y2, untouched in row.boxes or ()
            ),
            annotation_id=row.annotation_id,
            updated_at=row.updated_at,
            touched=True,
        )
        for row in rows
    ]


def _take_in(services: Services, project_id: int, control: BoxControl, watermark: datetime | None) -> None:
    since = watermark - _OVERLAP if watermark else None
    tasks = services.label_studio.tasks(project_id, updated_after=since, page_size=_PAGE)
    dropped: Counter[str] = Counter()
    newest = watermark
    for page in _pages(tasks):
        with services.database.write() as session:
            seen = _store(session, project_id, control, page, dropped)
            newest = max(filter(None, [newest, seen]), default=None)
            session.execute(update(Project).where(Project.id == project_id).values(watermark=newest))
    if dropped:
        log.info("project %s: regions that were left out: %s", project_id, dict(dropped))


def _store(
    session: Session, project_id: int, control: BoxControl, page: list[dict[str, Any]], dropped: Counter[str]
) -> datetime | None:
    """Write one page of tasks into the mirror; returns the newest ``updated_at`` in it."""
    ids = [int(task["id"]) for task in page]
    known = set(session.scalars(select(Task.task_id).where(Task.project_id == project_id, Task.task_id.in_(ids))))
    old: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    newest: datetime | None = None
    for raw in page:
        task = labelled_task(raw, control, dropped)
        row = {
            "project_id": project_id,
            "task_id": task.task_id,
            "image": task.image,
            "touched": task.touched,
            "annotation_id": task.annotation_id,
            "boxes": None
            if task.boxes is None
            else [[b.label, b.x1, b.y1, b.x2, b.y2, b.untouched] for b in task.boxes],
            "updated_at": task.updated_at,
            "predicted_version": _our_version(raw, project_id),
        }
        (old if task.task_id in known else new).append(row)
        if task.updated_at:
            stamp = datetime.fromisoformat(task.updated_at.replace("Z", "+00:00"))
            newest = stamp if newest is None else max(newest, stamp)
    if old:
        session.execute(update(Task), old)
    if new:
        session.execute(insert(Task), new)
    return newest


def _our_version(task: dict[str, Any], project_id: int) -> str | None:
    """The newest of our versions among the task's predictions."""
    prefix = f"p{project_id}-m"
    ours = [
        str(one.get("model_version"))
        for one in task.get("predictions") or ()
        if isinstance(one, dict) and str(one.get("model_version")).startswith(prefix)
    ]
    return max(ours, key=lambda version: int(version.removeprefix(prefix) or 0), default=None)


def _mirrored(services: Services, project_id: int) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(Task).where(Task.project_id == project_id)) or 0


def _forget_deleted(services: Services, project_id: int) -> None:
    """Drop tasks from the mirror that Label Studio does not have any more (it does not tell which)."""
    there = set(services.label_studio.task_ids(project_id))
    with services.database.write() as session:
        ours = set(session.scalars(select(Task.task_id).where(Task.project_id == project_id)))
        for some in _pages(iter(sorted(ours - there))):
            session.execute(delete(Task).where(Task.project_id == project_id, Task.task_id.in_(some)))


def _follow_rules(services: Services, project_id: int) -> None:
    # Imported here: these steps come after this one in the story, and they look first themselves.
    from custom_ai.pipeline.label import label_new_tasks
    from custom_ai.pipeline.train import request_run

    with services.database.read() as session:
        project = session.get_one(Project, project_id)
        state = project_readiness(session, services, project)
        last = session.scalar(
            select(Run.labels)
            .where(Run.project_id == project_id, Run.status != "cancelled")
            .order_by(Run.id.desc())
            .limit(1)
        )
    if project.auto_train and may_train_by_rule(state, last):
        try:
            request_run(services, project_id, by=SYSTEM, trigger="rule")
        except Conflict:
            log.info("project %s: the rule wants a run, but one is under way", project_id)
    if project.auto_label:
        label_new_tasks(services, project_id)


def _mark_gone(services: Services, project_id: int) -> None:
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        if project.gone_at is None:
            project.gone_at = now()
            notify(
                session,
                project_id,
                "project_gone",
                N_("Label Studio has no project {id} any more, or our token may not see it."),
                id=project_id,
                failure=True,
            )


def _set_problem(services: Services, project_id: int, error: CustomAIError) -> None:
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        project.looked_at = now()
        if project.problem != reason_of(error):
            project.problem = reason_of(error)
            notify_error(session, project_id, "project_problem", error)


def _pages(items: Iterator[_T]) -> Iterator[list[_T]]:
    while page := list(islice(items, _PAGE)):
        yield page
