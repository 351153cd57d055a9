"""Taking back an auto-labelling job: its predictions go, what was there before is shown again.

Only predictions of this job's model on this job's tasks go; other jobs keep theirs even under the same version.
What a person may have seen when they annotated stays: their annotation points to it.
"""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from custom_ai.labelstudio.taking_back import TASKS_AT_ONCE, Stored, stored, take_back
from custom_ai.pipeline.pulse import Pulse
from custom_ai.pipeline.versions import model_of, newest
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Revision, Task, now


def count(session: Session, job: AutoLabelJob) -> int:
    """How many tasks have, or had, a prediction of this job."""
    query = select(func.count()).select_from(AutoLabelItem)
    return session.scalar(query.where(AutoLabelItem.job_id == job.id, AutoLabelItem.status == "done")) or 0


def carry_on(services: Services, row: Revision, job: AutoLabelJob, pulse: Pulse) -> None:
    """Take back page by page, from where an earlier attempt came to."""
    project_id, candidate_id = job.project_id, job.candidate_id

    def ours(version: str) -> bool:
        return model_of(version, project_id) == candidate_id

    while page := _page(services, row, job):
        there = stored(services.label_studio, project_id, page)
        take_back(services.label_studio, project_id, there, ours, pulse.check)
        left = {task: one.without(ours) for task, one in there.items()}
        rid = sum(not any(ours(each.version) for each in one.predictions) for one in left.values())
        with services.database.write() as session:
            pulse.guard(session)
            remember(session, project_id, left)
            stands = session.get_one(Revision, row.id)
            stands.changed += rid
            stands.kept += len(page) - rid
            stands.after = page[-1]
        pulse.check()
    with services.database.write() as session:
        pulse.guard(session)
        session.execute(update(AutoLabelJob).where(AutoLabelJob.id == job.id).values(rolled_back_at=now()))


def remember(session: Session, project_id: int, there: dict[int, Stored]) -> None:
    """Bring the mirror's newest version of these tasks up to date with what Label Studio has."""
    for task, one in there.items():
        session.execute(
            update(Task)
            .where(Task.project_id == project_id, Task.task_id == task)
            .values(predicted_version=newest(project_id, [each.version for each in one.predictions]))
        )


def _page(services: Services, row: Revision, job: AutoLabelJob) -> list[int]:
    with services.database.read() as session:
        after = session.scalar(select(Revision.after).where(Revision.id == row.id)) or 0
        return list(
            session.scalars(
                select(AutoLabelItem.task_id)
                .where(AutoLabelItem.job_id == job.id, AutoLabelItem.status == "done", AutoLabelItem.task_id > after)
                .order_by(AutoLabelItem.task_id)
                .limit(TASKS_AT_ONCE)
            )
        )
