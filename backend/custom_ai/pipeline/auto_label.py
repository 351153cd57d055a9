"""Auto-labelling: the chosen model pre-labels tasks; people's annotations are never touched.

A job is cut into chunks. Any number of workers take turns at it (``turn``); each claims chunk after chunk. Nothing
that a worker holds is lost when it is killed: the tick gives its chunks to others, what the model has found is
kept, and Label Studio is asked what has arrived when that is not known.
"""

from __future__ import annotations

import logging
import os
import socket

from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from custom_ai import exhaustion
from custom_ai.errors import N_, Cancelled, CustomAIError, LabelStudioUnreachable
from custom_ai.pipeline import chunks, doubts
from custom_ai.pipeline.claims import Claims
from custom_ai.pipeline.hidden_first import hidden_first
from custom_ai.pipeline.label_end import apply_champion, fail, ring, settle
from custom_ai.pipeline.look import request_look
from custom_ai.pipeline.pulse import Fenced
from custom_ai.pipeline.review_order import renew
from custom_ai.pipeline.turn import Turn
from custom_ai.pipeline.which_tasks import gather
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, reason, reason_of, record
from custom_ai.state.tables import ACTIVE, AutoLabelJob, now

__all__ = ["apply_champion", "auto_label", "look_after"]

log = logging.getLogger(__name__)


def auto_label(services: Services, job_id: int, attempt: int) -> None:
    """Take a turn at a job. ``attempt`` only tells the rings for workers apart."""
    job = _begin(services, job_id)
    if job is None:
        log.info("auto-label job %s: there is nothing to do", job_id)
        return
    if not hidden_first(services, job):
        log.info("auto-label job %s waits until faces are hidden", job_id)
        return
    worker = f"{socket.gethostname()}:{os.getpid()}:{attempt}"
    try:
        over = _work(services, job, worker)
    except Fenced:
        log.warning("auto-label job %s: a chunk of worker %s was taken over", job_id, worker)
        over = True
    except Cancelled:
        over = True  # it may have been resumed meanwhile
    except LabelStudioUnreachable as error:
        _wait(services, job_id, error)
        return
    except CustomAIError as error:
        log.warning("auto-label job %s failed: %s", job_id, error)
        fail(services, job_id, reason_of(error))
        over = False
    except OperationalError:
        # The database is away: nothing can be noted, so the chunks are lost, and the tick goes on with them later.
        log.exception("auto-label job %s waits for the database", job_id)
        return
    except Exception as error:
        log.exception("auto-label job %s failed", job_id)
        known = exhaustion.explain(error, services.settings.state_dir)
        why = N_("Internal error; the log has it under {name} {id}.")
        fail(services, job_id, reason_of(known) if known else reason(why, name="auto_label_job", id=job_id))
        over = False
    status = settle(services, job_id)
    if status not in ACTIVE:
        apply_champion(services, job.project_id)
        if job.trigger != "import":  # they end every few seconds, and people may be at work in the tab
            renew(services, job.project_id, by=SYSTEM)
        request_look(services, job.project_id)  # what was imported meanwhile is next
    elif over and status != "paused":
        ring(services, job_id)


def look_after(services: Services, job_id: int) -> None:
    """The tick's part: chunks of workers that died are free again, and workers are called for what waits."""
    with services.database.write() as session:
        lost = chunks.take_back_lost(session, job_id, services.settings.lost_after_s)
        if lost:
            job = session.get_one(AutoLabelJob, job_id)
            job.crashes += lost
            record(session, SYSTEM, "auto_label.again", job.project_id, f"auto_label {job_id}", workers=lost)
            log.warning("auto-label job %s: %s workers were lost, their chunks are free again", job_id, lost)
    if settle(services, job_id) not in ("queued", "running"):
        return
    with services.database.read() as session:
        job = session.get_one(AutoLabelJob, job_id)
        waiting = chunks.counts(session, job_id)["waiting"]
        at_work = len(chunks.workers(session, job_id))
    wanted = min(max(waiting, 1), max(services.bell.workers("auto_label"), 1))
    called = range(max(1, job.attempt - wanted), job.attempt + 1)
    # The bell may count workers that were lost, too: others are called in their place in any case.
    coming = sum(services.bell.waiting("auto_label", job_id, number) for number in called)
    missing = min(lost, wanted - at_work) if lost else wanted - max(at_work, coming)
    if job.status == "queued" and not at_work and not coming:
        services.bell.ring("auto_label", job_id, job.attempt)
        missing -= 1
    if missing > 0 and (waiting or not at_work):
        ring(services, job_id, missing)


def _begin(services: Services, job_id: int) -> AutoLabelJob | None:
    """The job, running; None when it is over, paused or cancelled."""
    with services.database.write() as session:
        session.execute(
            update(AutoLabelJob)
            .where(AutoLabelJob.id == job_id, AutoLabelJob.status == "queued", *chunks.WANTED)
            .values(status="running", reason=None)
            .execution_options(synchronize_session=False)
        )
        session.execute(
            update(AutoLabelJob)
            .where(AutoLabelJob.id == job_id, AutoLabelJob.started_at.is_(None))
            .values(started_at=now())
            .execution_options(synchronize_session=False)
        )
        job = session.get(AutoLabelJob, job_id)
        return job if job is not None and job.status == "running" else None


def _work(services: Services, job: AutoLabelJob, worker: str) -> bool:
    """Returns whether there is more to do than there was time for."""
    if not job.gathered:
        gather(services, job)
    with Claims(services, job.id, worker) as claims:
        turn = Turn(services, job, claims)
        turn.work()
    with services.database.read() as session:
        left = chunks.counts(session, job.id)
    if not left["waiting"] and not left["running"]:
        doubts.put_right(services, job)
    return turn.over


def _wait(services: Services, job_id: int, error: LabelStudioUnreachable) -> None:
    """Label Studio is away: say so; the tick calls for a worker again."""
    log.warning("auto-label job %s waits: %s", job_id, error)
    with services.database.write() as session:
        job = session.get_one(AutoLabelJob, job_id)
        if job.status == "running" and not chunks.counts(session, job_id)["running"]:
            job.status, job.reason, job.enqueued_at = "queued", reason_of(error), now()
            job.attempt += 1
    settle(services, job_id)
