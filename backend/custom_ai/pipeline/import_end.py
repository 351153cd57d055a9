"""How an import ends, and what it leaves behind."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_, CustomAIError
from custom_ai.pipeline.uploads import path_of
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, notify, notify_reason, record
from custom_ai.state.tables import ImportItem, ImportJob, Project, Upload, now

log = logging.getLogger(__name__)
TIDY_FOR = timedelta(hours=1)


def import_counts(session: Session, job_id: int) -> dict[str, int]:
    """How many files are in Label Studio (done), under way (sending), left out, and of the system."""
    rows = session.execute(
        select(ImportItem.status, func.count()).where(ImportItem.job_id == job_id).group_by(ImportItem.status)
    )
    return {"done": 0, "sending": 0, "left_out": 0, "system": 0} | {status: count for status, count in rows}


def drop_empty_project(services: Services, job: ImportJob) -> None:
    """Leave no project behind in which nothing is. What we know is not enough: Label Studio is asked."""
    if job.project_id is None:
        return
    try:
        remote = services.label_studio.project(job.project_id)
        if job.mark not in remote.label_config or remote.raw.get("task_number") != 0:
            return
        services.label_studio.delete_project(job.project_id)
    except CustomAIError as error:
        log.warning("import %s: the empty project %s stays: %s", job.id, job.project_id, error)
        return
    with services.database.write() as session:
        session.execute(update(ImportJob).where(ImportJob.id == job.id).values(project_id=None))
        record(session, SYSTEM, "import.project.removed", None, job.title, project=job.project_id)


def drop_leftovers(services: Services) -> None:
    """Remove the empty projects of imports that ended while they waited: no worker was there to do it."""
    some = select(ImportItem.job_id).where(ImportItem.job_id == ImportJob.id, ImportItem.status == "done").exists()
    with services.database.read() as session:
        ended = session.scalars(
            select(ImportJob).where(
                ImportJob.status.in_(("failed", "cancelled")),
                ImportJob.project_id.is_not(None),
                ImportJob.finished_at > now() - TIDY_FOR,
                ~some,
            )
        ).all()
        session.expunge_all()
    for job in ended:
        drop_empty_project(services, job)


def end_import(services: Services, job: ImportJob, attempt: int, status: str, why: dict[str, object] | None) -> None:
    """Write down the end of this attempt and tell of it; the archive of an import that is done is removed."""
    with services.database.write() as session:
        if not work.finish(session, ImportJob, job.id, attempt, status, why):
            return
        counts = import_counts(session, job.id)
        record(session, SYSTEM, f"import.{status}", None, job.archive, project=job.project_id, **counts)
        if status == "failed" and why is not None and session.get(Project, job.project_id or 0) is not None:
            notify_reason(session, job.project_id or 0, "import_failed", why, to=job.requested_by, failure=True)
        if status == "done":
            text = N_("{archive} was imported: {done} images, {left_out} files left out.")
            who = job.requested_by
            assert job.project_id is not None
            done, left_out = counts["done"], counts["left_out"]
            notify(
                session, job.project_id, "import_done", text, to=who, archive=job.archive, done=done, left_out=left_out
            )
            session.execute(update(ImportJob).where(ImportJob.id == job.id).values(upload_id=None))
            upload = session.get(Upload, job.upload_id)
            if upload is not None:
                session.delete(upload)
    if status == "done" and job.upload_id is not None:
        path_of(services.settings, job.upload_id).unlink(missing_ok=True)
