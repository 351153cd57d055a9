"""Changing the pre-labels of a finished auto-labelling job: take them back, or show them with another threshold.

Both are work of their own, done by a worker in pages of tasks; what is done is noted page by page, and every
page may be repeated, so that a kill anywhere only delays it.
"""

from __future__ import annotations

import logging

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, Conflict, NotFound
from custom_ai.pipeline import rethreshold, roll_back
from custom_ai.pipeline.label import BUSY
from custom_ai.pipeline.look import request_look
from custom_ai.pipeline.pulse import Pulse, carry_out
from custom_ai.pipeline.shown_version import show
from custom_ai.pipeline.versions import in_force, named
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, notify, record
from custom_ai.state.tables import ACTIVE, AutoLabelFound, AutoLabelJob, Revision

log = logging.getLogger(__name__)


def request_roll_back(services: Services, job_id: int, *, by: str) -> int:
    """Take back the predictions of a finished job; returns the revision's id.

    Raises NotFound, or Conflict when the job has not ended, was taken back already, or other work on this
    project's pre-labels is under way.
    """
    with services.database.write() as session:
        job = _finished(session, job_id)
        if job.rolled_back_at is not None:
            raise Conflict(why=N_("this auto-labelling was taken back already"))
        total = roll_back.count(session, job)
        row = _add(session, job, by=by, what="roll_back", threshold=None, version="", total=total)
    services.bell.ring("revise", row.id, row.attempt)
    return row.id


def request_threshold(services: Services, job_id: int, threshold: float | None, *, by: str) -> int:
    """Show the pre-labels of this job's model with another threshold (None: the model's own), without predicting.

    It holds for everything that this model has pre-labelled and nobody has touched yet, and for what it labels
    from now on: Label Studio shows one version per project. A job that was taken back comes back with it.
    Raises as ``request_roll_back`` does, and BadInput when nothing was kept below the threshold.
    """
    with services.database.write() as session:
        job = _finished(session, job_id)
        version = named(job.candidate, threshold)
        if version == in_force(session, job.candidate).version and job.rolled_back_at is None:
            raise Conflict(why=N_("this is the threshold that is in force"))
        kept = session.scalar(select(func.count()).select_from(AutoLabelFound).where(AutoLabelFound.job_id == job_id))
        if not kept:
            raise Conflict(why=N_("what the model found was not kept for this job; auto-label again"))
        if threshold is not None and threshold < job.floor:
            raise BadInput(
                what=f"{threshold}", why=N_("less certain findings were not kept; auto-label again for a lower one")
            )
        total = rethreshold.count(session, job)
        row = _add(session, job, by=by, what="threshold", threshold=threshold, version=version, total=total)
    services.bell.ring("revise", row.id, row.attempt)
    return row.id


def revise(services: Services, revision_id: int, attempt: int) -> None:
    """Do one attempt at a revision: all tasks that are not done yet."""
    with services.database.write() as session:
        if not work.begin(session, Revision, revision_id, attempt):
            log.info("revision %s attempt %s: not ours to do", revision_id, attempt)
            return
        row = session.get_one(Revision, revision_id)
        job = session.get_one(AutoLabelJob, row.job_id)

    def do(pulse: Pulse) -> None:
        carry_on = roll_back.carry_on if row.what == "roll_back" else rethreshold.carry_on
        carry_on(services, row, job, pulse)
        _end(services, row, attempt, "done", None)  # from here on a new threshold is in force
        show(services, row.project_id)

    def end(status: str, why: dict[str, object]) -> None:
        _end(services, row, attempt, status, why)

    if carry_out(services, Revision, revision_id, attempt, do, end):
        request_look(services, row.project_id)


def _finished(session: Session, job_id: int) -> AutoLabelJob:
    job = session.get(AutoLabelJob, job_id)
    if job is None:
        raise NotFound(what=N_("auto-labelling job"), id=job_id)
    if job.status in ACTIVE or work.active(session, AutoLabelJob, job.project_id) is not None:
        raise Conflict(why=N_("auto-labelling of this project is under way; wait for its end or cancel it"))
    return job


def _add(
    session: Session, job: AutoLabelJob, *, by: str, what: str, threshold: float | None, version: str, total: int
) -> Revision:
    row = Revision(
        project_id=job.project_id,
        job_id=job.id,
        candidate_id=job.candidate_id,
        what=what,
        threshold=threshold,
        version=version,
        requested_by=by,
        total=total,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(why=BUSY) from error
    details = {} if what == "roll_back" else {"threshold": threshold, "version": version}
    record(session, by, f"pre_labels.{what}", job.project_id, f"job {job.id}", model=job.candidate.version, **details)
    return row


def _end(services: Services, row: Revision, attempt: int, status: str, why: dict[str, object] | None) -> None:
    with services.database.write() as session:
        if not work.finish(session, Revision, row.id, attempt, status, why):
            return
        stands = session.get_one(Revision, row.id)
        texts = {
            "roll_back": N_(
                "Auto-labelling {job} was taken back: {changed} images have lost its pre-labels, {kept} stay as "
                "they are, because people have worked on them or they are gone."
            ),
            "threshold": N_(
                "The pre-labels of model {model} are shown with another threshold now ({version}): {changed} images, "
                "{kept} stay as they are."
            ),
            "cancelled": N_("Changing the pre-labels was cancelled after {changed} images; do it again to finish it."),
            "failed": N_("Changing the pre-labels failed after {changed} images; do it again to finish it: {why}"),
        }
        notify(
            session,
            row.project_id,
            f"pre_labels_{row.what if status == 'done' else status}",
            texts[row.what if status == "done" else status],
            to=row.requested_by,
            failure=status == "failed",
            about=f"job {row.job_id}",
            job=row.job_id,
            model=row.candidate.version,
            version=row.version,
            changed=stands.changed,
            kept=stands.kept,
            why=why or "",
        )
        counts = {"changed": stands.changed, "kept": stands.kept}
        record(session, SYSTEM, f"pre_labels.{row.what}.{status}", row.project_id, f"job {row.job_id}", **counts)
