"""Another threshold for what a model has pre-labelled, from what it found then: nothing is predicted again.

The new predictions stand under a version of their own beside the old ones, which stay. All jobs of the model are
taken together, because Label Studio shows one version per project: otherwise those of the others would vanish.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from custom_ai.labelstudio.results import prediction
from custom_ai.labelstudio.taking_back import TASKS_AT_ONCE, stored
from custom_ai.pipeline.found import Seen, seen_of
from custom_ai.pipeline.look import control_of
from custom_ai.pipeline.pictures import above, threshold_of
from custom_ai.pipeline.pulse import Pulse
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Project, Revision, Task


def count(session: Session, job: AutoLabelJob) -> int:
    """How many tasks this model has pre-labelled in its jobs."""
    return session.scalar(select(func.count(AutoLabelItem.task_id.distinct())).where(*_items(session, job))) or 0


def carry_on(services: Services, row: Revision, job: AutoLabelJob, pulse: Pulse) -> None:
    """Push page by page, from where an earlier attempt came to. Raises LabelConfigError."""
    studio, project_id = services.label_studio, job.project_id
    with services.database.read() as session:
        project = session.get_one(Project, project_id)
        control = control_of(project)
        jobs = {one.id: one for one in session.scalars(select(AutoLabelJob).where(*_jobs(job)))}
    threshold = threshold_of(services, control, row.threshold, project.threshold)
    while page := _page(services, row, job):
        there = stored(studio, project_id, page)
        waiting = {
            task: number
            for task, number in page.items()
            if task in there
            and not there[task].touched
            and not any(one.version == row.version for one in there[task].predictions)
        }
        seen = _seen(services, jobs, waiting)
        ready = [
            prediction(task, above(job.candidate, one.boxes, threshold), one.size, control, row.version)
            for task, one in sorted(seen.items())
        ]
        report = studio.push_predictions(project_id, ready) if ready else None
        lost: set[int] = set() if report is None else {*report.rejected, *report.gone}
        has = {task for task in there if task in seen and task not in lost}
        has |= {task for task in there if any(one.version == row.version for one in there[task].predictions)}
        with services.database.write() as session:
            pulse.guard(session)
            session.execute(
                update(Task)
                .where(Task.project_id == project_id, Task.task_id.in_(has))
                .values(predicted_version=row.version)
            )
            stands = session.get_one(Revision, row.id)
            stands.changed += len(has)
            stands.kept += len(page) - len(has)
            stands.after = max(page)
        pulse.check()
    with services.database.write() as session:
        pulse.guard(session)
        session.execute(update(AutoLabelJob).where(AutoLabelJob.id == job.id).values(rolled_back_at=None))


def _seen(services: Services, jobs: Mapping[int, AutoLabelJob], waiting: Mapping[int, int]) -> dict[int, Seen]:
    """What was found in each task by the newest job that has it."""
    found: dict[int, Seen] = {}
    for number in set(waiting.values()):
        found |= seen_of(services, jobs[number], [task for task, one in waiting.items() if one == number])
    return found


def _page(services: Services, row: Revision, job: AutoLabelJob) -> dict[int, int]:
    """The next tasks, each with the newest job that has it."""
    with services.database.read() as session:
        after = session.scalar(select(Revision.after).where(Revision.id == row.id)) or 0
        rows = session.execute(
            select(AutoLabelItem.task_id, func.max(AutoLabelItem.job_id))
            .where(*_items(session, job), AutoLabelItem.task_id > after)
            .group_by(AutoLabelItem.task_id)
            .order_by(AutoLabelItem.task_id)
            .limit(TASKS_AT_ONCE)
        )
        return {row[0]: row[1] for row in rows}


def _items(session: Session, job: AutoLabelJob) -> list[ColumnElement[bool]]:
    ids = session.scalars(select(AutoLabelJob.id).where(*_jobs(job))).all()
    return [AutoLabelItem.job_id.in_(ids), AutoLabelItem.status == "done"]


def _jobs(job: AutoLabelJob) -> list[ColumnElement[bool]]:
    """This job and all others of its model that were not taken back."""
    mine = (AutoLabelJob.id == job.id) | AutoLabelJob.rolled_back_at.is_(None)
    return [AutoLabelJob.candidate_id == job.candidate_id, AutoLabelJob.project_id == job.project_id, mine]
