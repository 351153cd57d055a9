"""How an auto-labelling job ends, pauses, or shows its predictions in Label Studio."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from custom_ai.errors import N_
from custom_ai.pipeline import chunks
from custom_ai.pipeline.doubts import doubtful
from custom_ai.pipeline.label_counts import job_counts
from custom_ai.pipeline.review_states import tell_due
from custom_ai.pipeline.shown_version import show
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify, reason, record
from custom_ai.state.tables import ACTIVE, AutoLabelJob, now

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
    """Point the Label Studio project at the champion's predictions, once there are some."""
    show(services, project_id)


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
    if status == "done":
        tell_due(session, job, numbers["done"])
    record(session, SYSTEM, f"auto_label.{status}", job.project_id, f"job {job.id}", **numbers)
