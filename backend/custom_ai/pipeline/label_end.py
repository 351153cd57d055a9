"""How an auto-labelling job ends, pauses, or shows its predictions in Label Studio."""

from __future__ import annotations

import logging

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_, LabelStudioError
from custom_ai.pipeline import chunks
from custom_ai.pipeline.doubts import doubtful
from custom_ai.pipeline.label_counts import job_counts
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify, reason, record
from custom_ai.state.tables import ACTIVE, AutoLabelJob, Project, Task, now

log = logging.getLogger(__name__)

_TEXTS = {
    "done": N_("Auto-labelling has ended: {done} tasks pre-labelled, {failed} failed, {skipped} skipped."),
    "cancelled": N_("Auto-labelling was cancelled: {done} tasks pre-labelled, {waiting} left."),
    "failed": N_("Auto-labelling failed after {done} tasks; {waiting} are left. Reason: {why}"),
}


def settle(services: Services, job_id: int) -> str:
    """End or pause a job on which nobody works any more, if it is time; returns its status."""
    with services.database.write() as session:
        job = session.get_one(AutoLabelJob, job_id, with_for_update=True)
        chunk = chunks.counts(session, job_id)
        if job.status not in ACTIVE or chunk["running"]:
            return job.status
        if job.cancel_requested:
            _end(session, job, "cancelled", reason(N_("Cancelled on request.")))
        elif job.gathered and not chunk["waiting"] and not doubtful(session, job_id):
            _end(session, job, "done", None)
        elif job.pause_requested:
            job.status = "paused"
        return job.status


def ring(services: Services, job_id: int, workers: int = 1) -> None:
    """Call for this many more workers."""
    with services.database.write() as session:
        job = session.get_one(AutoLabelJob, job_id)
        first = job.attempt + 1
        job.attempt += workers
    for number in range(first, first + workers):
        services.bell.ring("auto_label", job_id, number)


def fail(services: Services, job_id: int, why: dict[str, object]) -> None:
    """End a job that cannot go on. Workers that still have a chunk of it notice within seconds."""
    with services.database.write() as session:
        job = session.get_one(AutoLabelJob, job_id, with_for_update=True)
        if job.status in ACTIVE:
            _end(session, job, "failed", why)


def apply_champion(services: Services, project_id: int) -> None:
    """Point the Label Studio project at the champion's predictions, once there are some.

    Label Studio answers 400 for a version of which it has no prediction, so this is called again after
    the first ones were pushed. Our own PATCH comes back as PROJECT_UPDATED; nothing follows from it,
    because nothing has changed then.
    """
    with services.database.read() as session:
        project = session.get_one(Project, project_id)
        best = champion(session, project_id)
        stored = best is not None and session.scalar(
            select(Task.task_id).where(Task.project_id == project_id, Task.predicted_version == best.version).limit(1)
        )
    if best is None or not stored or project.live_version == best.version:
        return
    try:
        services.label_studio.update_project(project_id, model_version=best.version)
    except LabelStudioError as error:
        log.warning("project %s: Label Studio does not take model version %s: %s", project_id, best.version, error)
        return
    with services.database.write() as session:
        session.execute(update(Project).where(Project.id == project_id).values(live_version=best.version))
        record(session, SYSTEM, "model_version", project_id, best.version)


def _end(session: Session, job: AutoLabelJob, status: str, why: dict[str, object] | None) -> None:
    job.status, job.reason, job.finished_at = status, why, now()
    numbers = job_counts(session, job.id)
    notify(
        session,
        job.project_id,
        f"auto_label_{status}",
        _TEXTS[status],
        to=job.requested_by,
        failure=status == "failed" or numbers["failed"] > 0,
        about=f"job {job.id}",
        why=why or "",
        **numbers,
    )
    record(session, SYSTEM, f"auto_label.{status}", job.project_id, f"job {job.id}", **numbers)
