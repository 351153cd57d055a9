"""Auto-labelling waits until faces are hidden in its images, where that was asked for or is the project's policy."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, Conflict, CustomAIError
from custom_ai.pipeline.deidentify import request_deidentify
from custom_ai.pipeline.label_end import fail
from custom_ai.pipeline.originals import hidden_among
from custom_ai.pipeline.which_tasks import gather
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.deid_tables import DeidentifyJob
from custom_ai.state.journal import reason, reason_of
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Task

WAITS = N_("Faces are being hidden in its images first.")


def hidden_first(services: Services, job: AutoLabelJob) -> bool:
    """Whether a job may begin. If not, it is in line again, and the end of hiding calls for it.

    Hiding is tried once for each time that the job is asked for; what could not be hidden is not pre-labelled.
    """
    if not job.prepare:
        return True
    try:
        if not job.gathered:
            gather(services, job)
        with services.database.read() as session:
            missing = _missing(session, job)
            busy = work.active(session, DeidentifyJob, job.project_id) is not None
            tried = session.scalar(
                select(DeidentifyJob.id)
                .where(DeidentifyJob.auto_label_id == job.id, DeidentifyJob.created_at >= job.enqueued_at)
                .limit(1)
            )
        if not missing or (tried is not None and not busy):
            return True
        if not busy:
            request_deidentify(
                services,
                job.project_id,
                by=job.requested_by,
                which=missing,
                trigger="auto_label",
                auto_label_id=job.id,
            )
    except Conflict:
        pass  # somebody was faster: wait for that
    except CustomAIError as error:
        fail(services, job.id, reason_of(error))
        return False
    with services.database.write() as session:
        row = session.get_one(AutoLabelJob, job.id)
        if row.status == "running":
            row.status, row.reason = "queued", reason(WAITS)
    return False


def _missing(session: Session, job: AutoLabelJob) -> list[int]:
    """Tasks that wait for a prediction and whose images are not hidden."""
    tasks = session.scalars(
        select(AutoLabelItem.task_id)
        .join(Task, (Task.task_id == AutoLabelItem.task_id) & (Task.project_id == job.project_id))
        .where(AutoLabelItem.job_id == job.id, AutoLabelItem.status == "waiting")
        .order_by(AutoLabelItem.task_id)
    ).all()
    hidden = hidden_among(session, job.project_id, tasks)
    return [task for task in tasks if task not in hidden]
