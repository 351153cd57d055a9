"""Asking for auto-labelling: which tasks, with which model; by a person or by the rule for new imports."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, Conflict, NotFound
from custom_ai.pipeline import chunks
from custom_ai.pipeline.deidentify import check_installed
from custom_ai.pipeline.found import FLOOR
from custom_ai.pipeline.label_counts import job_counts
from custom_ai.pipeline.label_end import ring, settle
from custom_ai.pipeline.pictures import lowest
from custom_ai.pipeline.review_states import check_finished
from custom_ai.pipeline.versions import in_force
from custom_ai.pipeline.vote import champion
from custom_ai.pipeline.which_tasks import Which, choose
from custom_ai.plugins import FACES
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, record
from custom_ai.state.tables import ACTIVE, AutoLabelItem, AutoLabelJob, Candidate, Project, Revision, Task, now

log = logging.getLogger(__name__)

NOTHING_LEFT = N_("there are no untouched tasks left that this model has not labelled")
NOTHING_CHOSEN = N_("among the chosen tasks there is none that this model has not labelled")
BUSY = N_("the pre-labels of this project are being changed already")
UNDER_WAY = N_("auto-labelling of this project is under way already")


def request_auto_label(
    services: Services,
    project_id: int,
    *,
    by: str,
    trigger: str = "person",
    which: Which | None = None,
    count: int | None = None,
    candidate_id: int | None = None,
    threshold: float | None = None,
    prepare: Sequence[Any] = (),
) -> int:
    """Have tasks pre-labelled, by default ``count`` untouched ones (None: all); returns the job's id.

    Without ``candidate_id`` the champion does it. Raises NotFound, BadInput, Conflict when there is
    no model, nothing to do, or a job under way, ReviewDue, and LabelStudioMissing for a view that is not there.
    """
    which = which or Which(count=count)
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise BadInput(what=f"{threshold}", why=N_("a threshold lies between 0 and 1"))
    check_preparation(prepare)
    if which.view is not None:
        services.label_studio.check_view(project_id, which.view)
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(what=N_("project"), id=project_id)
        candidate = _candidate(session, project_id, candidate_id)
        if work.active(session, Revision, project_id) is not None:
            raise Conflict(why=BUSY)
        check_finished(session, project)
        # A view is read by the worker; until then nobody knows its tasks.
        version = in_force(session, candidate).version
        tasks = None if which.view is not None else choose(session, project_id, version, which)
        if tasks is not None and not tasks:
            raise Conflict(why=NOTHING_LEFT if which == Which(count=which.count) else NOTHING_CHOSEN)
        try:
            job = _add_job(
                session, candidate, tasks, by=by, trigger=trigger, which=which, threshold=threshold, prepare=prepare
            )
        except IntegrityError as error:
            raise Conflict(why=UNDER_WAY) from error
    _call_workers(services, job)
    return job.id


def check_preparation(prepare: Sequence[Any]) -> None:
    """Raises BadInput for anything else than hiding faces, SettingsError when that is not installed."""
    for one in prepare:
        name = one.get("name") if isinstance(one, dict) else one
        if name != FACES:
            raise BadInput(what=f"prepare: {name!r}", why=N_("no pre-processor of this name is installed"))
        check_installed()


def label_new_tasks(services: Services, project_id: int) -> None:
    """The rule "pre-label new imports": start a job when there is a champion and something new."""
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        best = champion(session, project_id)
        if best is None or any(work.active(session, one, project_id) is not None for one in (AutoLabelJob, Revision)):
            return  # after unfinished work another look follows
        tasks = _new_tasks(session, project, best)
        if not tasks:
            return
        job = _add_job(session, best, tasks, by=SYSTEM, trigger="import", which=Which("new"), threshold=None)
    _call_workers(services, job)


def cancel_job(services: Services, job_id: int, *, by: str) -> str:
    """Ask a job to end; what it has labelled stays. Returns its status now."""
    _ask(services, job_id, by, "cancel", cancel_requested=True)
    return settle(services, job_id)


def pause_job(services: Services, job_id: int, *, by: str) -> str:
    """Ask a job to stop until it is resumed; that takes some seconds. Returns its status now. Raises Conflict."""
    if not _ask(services, job_id, by, "pause", pause_requested=True):
        raise Conflict(why=N_("this job has ended"))
    return settle(services, job_id)


def resume_job(services: Services, job_id: int, *, by: str) -> str:
    """Let a paused job go on. Returns its status now. Raises Conflict."""
    if not _ask(services, job_id, by, "resume", pause_requested=False):
        raise Conflict(why=N_("this job has ended"))
    with services.database.write() as session:
        job = session.get_one(AutoLabelJob, job_id)
        if job.status == "paused":
            job.status, job.enqueued_at = "queued", now()
            job.attempt += 1
        status = job.status
    if status == "queued":
        _call_workers(services, job)
    return status


def retry_job(services: Services, job_id: int, *, by: str) -> int:
    """Try the images again that failed, and what a failed job left; returns how many wait now. Raises Conflict."""
    with services.database.write() as session:
        job = _get(session, job_id)
        if job.status not in ("done", "failed"):
            raise Conflict(why=N_("only a job that has ended can be tried again"))
        if work.active(session, Revision, job.project_id) is not None:
            raise Conflict(why=BUSY)
        chunks.try_again(session, job_id)
        waiting = job_counts(session, job_id)["waiting"]
        if not waiting and job.gathered:
            raise Conflict(why=N_("no image of this job has failed"))
        job.status, job.reason, job.finished_at, job.started_at, job.enqueued_at = "queued", None, None, None, now()
        job.attempt += 1
        job.cancel_requested = job.pause_requested = False
        record(session, by, "auto_label.retry", job.project_id, f"job {job_id}", tasks=waiting)
        try:
            session.flush()
        except IntegrityError as error:
            raise Conflict(why=UNDER_WAY) from error
    _call_workers(services, job)
    return waiting


def _ask(services: Services, job_id: int, by: str, what: str, **values: bool) -> bool:
    """Note a wish in the row of a job that has not ended; returns whether there was one."""
    with services.database.write() as session:
        job = _get(session, job_id)
        record(session, by, f"auto_label.{what}", job.project_id, f"job {job_id}")
        if job.status not in ACTIVE:
            return False
        for name, value in values.items():
            setattr(job, name, value)
        return True


def _get(session: Session, job_id: int) -> AutoLabelJob:
    job = session.get(AutoLabelJob, job_id)
    if job is None:
        raise NotFound(what=N_("auto-labelling job"), id=job_id)
    return job


def _call_workers(services: Services, job: AutoLabelJob) -> None:
    """Ring for as many workers as there are chunks for."""
    services.bell.ring("auto_label", job.id, job.attempt)
    with services.database.read() as session:
        waiting = chunks.counts(session, job.id)["waiting"]
    more = min(waiting, services.bell.workers("auto_label")) - 1
    if more > 0:
        ring(services, job.id, more)


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
    session: Session,
    candidate: Candidate,
    tasks: Sequence[int] | None,
    *,
    by: str,
    trigger: str,
    which: Which,
    threshold: float | None,
    prepare: Sequence[Any] = (),
) -> AutoLabelJob:
    """Write the job and its tasks (None: they are gathered later).

    Raises IntegrityError when the project has an unfinished one.
    """
    force = in_force(session, candidate)
    threshold = force.threshold if threshold is None else threshold
    project = session.get_one(Project, candidate.project_id)
    usual = project.threshold
    job = AutoLabelJob(
        project_id=candidate.project_id,
        candidate_id=candidate.id,
        under=None if force.version == candidate.version else force.version,
        trigger=trigger,
        requested_by=by,
        threshold=threshold,
        which=which.stored(),
        gathered=tasks is not None,
        prepare=[FACES] if prepare or project.deidentify != "off" else [],
        floor=min(FLOOR, lowest(candidate, usual if threshold is None else threshold)),
    )
    session.add(job)
    session.flush()
    chunks.add_items(session, job.id, tasks or ())
    details = which.stored() | {"tasks": None if tasks is None else len(tasks), "model": force.version}
    record(session, by, "auto_label.request", candidate.project_id, f"job {job.id}", **details)
    return job


def _new_tasks(session: Session, project: Project, best: Candidate) -> list[int]:
    """Untouched tasks that came after the rule was switched on and that none of our models has labelled.

    What this model failed on is left out: a rule must not try a broken image for ever. So is what a person has
    taken back.
    """
    not_again = (
        select(AutoLabelItem.task_id)
        .join(AutoLabelJob, AutoLabelJob.id == AutoLabelItem.job_id)
        .where(
            AutoLabelJob.candidate_id == best.id,
            (AutoLabelItem.status == "failed") | AutoLabelJob.rolled_back_at.is_not(None),
        )
    )
    return list(
        session.scalars(
            select(Task.task_id)
            .where(
                Task.project_id == project.id,
                ~Task.touched,
                Task.task_id > project.auto_label_after,
                Task.predicted_version.is_(None),
                Task.task_id.not_in(not_again),
            )
            .order_by(Task.task_id)
        )
    )
