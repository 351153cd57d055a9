"""Asking for auto-labelling: which tasks, with which model; by a person or by the rule for new imports."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import (
    N_,
    BadInput,
    Conflict,
    NotFound,
)
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, record
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Project, Task

log = logging.getLogger(__name__)


def request_auto_label(
    services: Services,
    project_id: int,
    *,
    by: str,
    trigger: str = "person",
    count: int | None = None,
    candidate_id: int | None = None,
    threshold: float | None = None,
) -> int:
    """Have ``count`` untouched tasks (None: all) pre-labelled; returns the job's id.

    Without ``candidate_id`` the champion does it. Raises NotFound, BadInput, or Conflict when there is
    no model, nothing to do, or a job under way.
    """
    if count is not None and count < 1:
        raise BadInput(what=f"{count}", why=N_("the number of images must be at least 1"))
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise BadInput(what=f"{threshold}", why=N_("a threshold lies between 0 and 1"))
    with services.database.write() as session:
        if session.get(Project, project_id) is None:
            raise NotFound(what=N_("project"), id=project_id)
        candidate = _candidate(session, project_id, candidate_id)
        tasks = _to_label(session, project_id, candidate.version, count)
        if not tasks:
            raise Conflict(why=N_("there are no untouched tasks left that this model has not labelled"))
        try:
            job = _add_job(session, candidate, tasks, by=by, trigger=trigger, threshold=threshold)
        except IntegrityError as error:
            raise Conflict(why=N_("auto-labelling of this project is under way already")) from error
    services.bell.ring("auto_label", job.id, job.attempt)
    return job.id


def label_new_tasks(services: Services, project_id: int) -> None:
    """The rule "pre-label new imports": start a job when there is a champion and something new."""
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        best = champion(session, project_id)
        if best is None or work.active(session, AutoLabelJob, project_id) is not None:
            return  # after an unfinished job another look follows
        tasks = _new_tasks(session, project, best)
        if not tasks:
            return
        job = _add_job(session, best, tasks, by=SYSTEM, trigger="import", threshold=None)
    services.bell.ring("auto_label", job.id, job.attempt)


def cancel_job(services: Services, job_id: int, *, by: str) -> str:
    """Ask a job to end; what it has labelled stays. Returns its status now."""
    with services.database.write() as session:
        job = session.get(AutoLabelJob, job_id)
        if job is None:
            raise NotFound(what=N_("auto-labelling job"), id=job_id)
        record(session, by, "auto_label.cancel", job.project_id, f"job {job_id}")
        return work.cancel(session, AutoLabelJob, job_id)


def job_counts(session: Session, job_id: int) -> dict[str, int]:
    """Tasks of a job by status; they always add up to the number that was asked for."""
    rows = session.execute(
        select(AutoLabelItem.status, func.count()).where(AutoLabelItem.job_id == job_id).group_by(AutoLabelItem.status)
    )
    counts = {"waiting": 0, "done": 0, "failed": 0, "skipped": 0} | {row[0]: row[1] for row in rows}
    return counts | {"total": sum(counts.values())}


def _candidate(session: Session, project_id: int, candidate_id: int | None) -> Candidate:
    if candidate_id is None:
        best = champion(session, project_id)
        if best is None:
            raise Conflict(why=N_("no model serves this project yet; train and choose one first"))
        return best
    candidate = session.get(Candidate, candidate_id)
    if candidate is None or candidate.project_id != project_id or candidate.status != "done":
        raise NotFound(what=N_("model"), id=candidate_id)
    return candidate


def _add_job(
    session: Session, candidate: Candidate, tasks: Sequence[int], *, by: str, trigger: str, threshold: float | None
) -> AutoLabelJob:
    """Write the job and its tasks. Raises IntegrityError when the project has an unfinished one."""
    job = AutoLabelJob(
        project_id=candidate.project_id,
        candidate_id=candidate.id,
        trigger=trigger,
        requested_by=by,
        threshold=threshold,
    )
    session.add(job)
    session.flush()
    session.execute(insert(AutoLabelItem), [{"job_id": job.id, "task_id": task} for task in tasks])
    details = {"tasks": len(tasks), "model": candidate.version}
    record(session, by, "auto_label.request", candidate.project_id, f"job {job.id}", **details)
    return job


def _to_label(session: Session, project_id: int, version: str, count: int | None) -> list[int]:
    """Untouched tasks without a prediction of ``version``, by id."""
    return list(
        session.scalars(
            select(Task.task_id)
            .where(
                Task.project_id == project_id,
                ~Task.touched,
                Task.predicted_version.is_distinct_from(version),
            )
            .order_by(Task.task_id)
            .limit(count)
        )
    )


def _new_tasks(session: Session, project: Project, best: Candidate) -> list[int]:
    """Untouched tasks that came after the rule was switched on and that none of our models has labelled.

    What this model failed on is left out: a rule must not try a broken image for ever.
    """
    failed = (
        select(AutoLabelItem.task_id)
        .join(AutoLabelJob, AutoLabelJob.id == AutoLabelItem.job_id)
        .where(AutoLabelJob.candidate_id == best.id, AutoLabelItem.status == "failed")
    )
    return list(
        session.scalars(
            select(Task.task_id)
            .where(
                Task.project_id == project.id,
                ~Task.touched,
                Task.task_id > project.auto_label_after,
                Task.predicted_version.is_(None),
                Task.task_id.not_in(failed),
            )
            .order_by(Task.task_id)
        )
    )
