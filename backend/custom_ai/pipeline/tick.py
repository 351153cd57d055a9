"""Once a minute: find what was lost, ring again, close what is due. Idempotent, may run twice at once."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import or_, select, update

from custom_ai.errors import N_, Conflict, CustomAIError
from custom_ai.pipeline import uploads, vote
from custom_ai.pipeline.auto_label import look_after
from custom_ai.pipeline.connect import repair_registration
from custom_ai.pipeline.import_end import drop_leftovers
from custom_ai.pipeline.rules import look_and_follow
from custom_ai.policy import MAX_CRASHES
from custom_ai.services import Services
from custom_ai.state import sign_ins, work
from custom_ai.state.deid_tables import DeidentifyJob
from custom_ai.state.journal import SYSTEM, notify, reason, record
from custom_ai.state.tables import AutoLabelJob, ImportJob, Project, Revision, Run, Selection, now

log = logging.getLogger(__name__)
_JOBS: tuple[tuple[work.Work, str], ...] = (
    (Run, "train"),
    (ImportJob, "import_archive"),
    (Revision, "revise"),
    (DeidentifyJob, "deidentify"),
)
_NAMES: dict[work.Work, str] = {Run: "run", ImportJob: "import", Revision: "revision", DeidentifyJob: "hiding"}


def tick(services: Services) -> None:
    for kind, job in _JOBS:
        _revive(services, kind, job)
    _look_after_labelling(services)
    _close_due(services)
    vote.tell_closing(services)
    if not services.bell.waiting("deliver"):
        services.bell.ring("deliver")
    uploads.sweep(services)
    drop_leftovers(services)
    _reconcile_all(services)
    with services.database.write() as session:
        sign_ins.clear(session, services.settings.session_idle_s, services.settings.session_max_s)


def reconcile(services: Services, project_id: int) -> None:
    """Make up for lost webhooks: is our registration intact, and what has changed?"""
    try:
        look_and_follow(services, project_id)  # first: it notices that the project is gone
        with services.database.read() as session:
            gone = session.get_one(Project, project_id).gone_at is not None
        if not gone:
            repair_registration(services, project_id)
    except CustomAIError as error:
        log.warning("project %s could not be reconciled: %s", project_id, error)


def _revive(services: Services, kind: work.Work, job: str) -> None:
    """Ring again for what waits but stands in no queue, and start again what shows no sign of life."""
    with services.database.write() as session:
        for id, attempt in work.lost(session, kind, services.settings.lost_after_s):
            row = work.get(session, kind, id)
            if row.cancel_requested:
                work.finish(session, kind, id, attempt, "cancelled", reason(N_("Cancelled on request.")))
            elif row.crashes + 1 < MAX_CRASHES:
                row.crashes += 1
                session.flush()
                work.queue_again(session, kind, id, attempt, reason(N_("Its process died; it is started again.")))
                record(session, SYSTEM, f"{job}.again", row.project_id, f"{job} {id}", attempt=attempt + 1)
                log.warning("%s %s: attempt %s was lost, starting again", job, id, attempt)
            else:
                why = N_("Its process died {count} times; the log of the worker may tell why (memory?).")
                work.finish(session, kind, id, attempt, "failed", reason(why, count=MAX_CRASHES))
                if row.project_id is not None and session.get(Project, row.project_id) is not None:
                    notify(
                        session,
                        row.project_id,
                        f"{job}_failed",
                        why,
                        to=row.requested_by,
                        failure=True,
                        about=f"{_NAMES[kind]} {id}",
                        count=attempt,
                    )
    with services.database.read() as session:
        waiting = work.queued(session, kind)
    for id, attempt in waiting:
        if not services.bell.waiting(job, id, attempt):
            services.bell.ring(job, id, attempt)


def _look_after_labelling(services: Services) -> None:
    with services.database.read() as session:
        jobs = session.scalars(select(AutoLabelJob.id).where(AutoLabelJob.status.in_(("queued", "running")))).all()
    for job_id in jobs:
        look_after(services, job_id)


def _close_due(services: Services) -> None:
    with services.database.read() as session:
        due = session.scalars(
            select(Selection.id).where(Selection.status == "open", Selection.deadline_at < now())
        ).all()
    for selection_id in due:
        try:
            vote.close(services, selection_id, by=SYSTEM, at_deadline=True)
        except Conflict:
            log.info("selection %s was closed by somebody else", selection_id)


def _reconcile_all(services: Services) -> None:
    """Ring for each project that was not looked at lately; also when a requested look got lost."""
    settings = services.settings
    stale = now() - timedelta(seconds=settings.tick_s / 2)
    with services.database.write() as session:
        ids = session.scalars(
            select(Project.id).where(
                Project.connected_at.is_not(None),
                Project.gone_at.is_(None),
                or_(Project.looked_at.is_(None), Project.looked_at < stale),
            )
        ).all()
        lost = now() - timedelta(seconds=settings.tick_s)
        session.execute(update(Project).where(Project.look_requested_at < lost).values(look_requested_at=None))
    for project_id in ids:
        if not services.bell.waiting("reconcile", project_id):
            services.bell.ring("reconcile", project_id)
