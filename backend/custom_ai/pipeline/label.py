"""Auto-labelling: the chosen model pre-labels untouched tasks; people's annotations are never touched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import (
    N_,
    BadInput,
    Cancelled,
    Conflict,
    CustomAIError,
    LabelStudioError,
    LabelStudioUnreachable,
    NotFound,
)
from custom_ai.labelstudio.results import prediction
from custom_ai.pipeline.look import box_control, request_look
from custom_ai.pipeline.pictures import above, fetch_many, load_model, lowest, threshold_of
from custom_ai.pipeline.pulse import Fenced, Pulse, postpone
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, notify, reason, reason_of, record
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Project, Task
from custom_ai.types import ImageSize

log = logging.getLogger(__name__)
CHUNK = 32
"""Tasks that are predicted and pushed together. A kill repeats at most one chunk."""


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


def auto_label(services: Services, job_id: int, attempt: int) -> None:
    """Do one attempt at a job: all tasks that still wait."""
    with services.database.write() as session:
        if not work.begin(session, AutoLabelJob, job_id, attempt):
            log.info("auto-label job %s attempt %s: not ours to do", job_id, attempt)
            return
        job = session.get_one(AutoLabelJob, job_id)
        project = session.get_one(Project, job.project_id)
    with Pulse(services, AutoLabelJob, job_id, attempt) as pulse:
        try:
            while _label_chunk(services, job, project, pulse):
                pulse.check()
            _end(services, job, attempt, "done")
        except Fenced:
            log.warning("auto-label job %s attempt %s was taken over", job_id, attempt)
        except Cancelled as error:
            _end(services, job, attempt, "cancelled", reason_of(error))
        except CustomAIError as error:
            waiting = isinstance(error, LabelStudioUnreachable)
            if waiting and postpone(services, AutoLabelJob, job_id, attempt, error):
                return
            log.warning("auto-label job %s failed: %s", job_id, error)
            _end(services, job, attempt, "failed", reason_of(error))
        except Exception:
            log.exception("auto-label job %s failed", job_id)
            why = reason(N_("Internal error, see auto-labelling job {id} in the log."), id=job_id)
            _end(services, job, attempt, "failed", why)
    apply_champion(services, job.project_id)
    request_look(services, job.project_id)  # what was imported meanwhile is next


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


def _label_chunk(services: Services, job: AutoLabelJob, project: Project, pulse: Pulse) -> bool:
    """Predict and push the next tasks. False when none waits any more."""
    import numpy as np

    candidate = job.candidate
    with services.database.read() as session:
        rows = session.execute(
            select(AutoLabelItem.task_id, Task.image, Task.touched)
            .outerjoin(Task, (Task.task_id == AutoLabelItem.task_id) & (Task.project_id == job.project_id))
            .where(AutoLabelItem.job_id == job.id, AutoLabelItem.status == "waiting")
            .order_by(AutoLabelItem.task_id)
            .limit(CHUNK)
        ).all()
    if not rows:
        return False
    items: dict[int, dict[str, object]] = {row[0]: {"status": "skipped"} for row in rows if row[1] is None or row[2]}
    waiting = [(row[0], row[1]) for row in rows if row[0] not in items]
    # A killed attempt may have pushed without noting it: Label Studio knows.
    there = services.label_studio.tasks_with_version(
        job.project_id, candidate.version, among=[task for task, _ in waiting]
    )
    items |= {task: {"status": "done"} for task in there}
    model = load_model(services, candidate)
    images = []
    for task_id, image in fetch_many(services, [task for task in waiting if task[0] not in there]):
        pulse.check()
        if isinstance(image, CustomAIError):
            items[task_id] = {"status": "failed", "reason": reason_of(image)}
        else:
            images.append((task_id, image))
    control = box_control(project)
    threshold = threshold_of(services, control, job.threshold)
    found = model.predict([np.asarray(image) for _, image in images], lowest(candidate, threshold))
    ready = []
    for (task_id, image), boxes in zip(images, found, strict=True):
        kept = above(candidate, boxes, threshold)
        size = ImageSize(image.width, image.height)
        ready.append(prediction(task_id, kept, size, control, candidate.version))
        items[task_id] = {"status": "done", "boxes": len(kept)}
    pulse.check()
    _push(services, job, ready, items)
    _note(services, job, items, pulse)
    apply_champion(services, job.project_id)
    return True


def _push(
    services: Services,
    job: AutoLabelJob,
    ready: Sequence[dict[str, Any]],
    items: dict[int, dict[str, object]],
) -> None:
    """Send predictions; one that Label Studio does not take is noted and does not stop the others."""
    if not ready:
        return
    report = services.label_studio.push_predictions(job.project_id, ready)
    for task in report.rejected:
        items[task] = {"status": "failed", "reason": reason(N_("Label Studio did not store the prediction."))}
    for task in report.gone:
        items[task] = {"status": "skipped"}


def _note(services: Services, job: AutoLabelJob, items: dict[int, dict[str, object]], pulse: Pulse) -> None:
    with services.database.write() as session:
        pulse.guard(session)
        for task_id, values in items.items():
            session.execute(
                update(AutoLabelItem)
                .where(AutoLabelItem.job_id == job.id, AutoLabelItem.task_id == task_id)
                .values(**values)
            )
        done = [task for task, values in items.items() if values["status"] == "done"]
        session.execute(
            update(Task)
            .where(Task.project_id == job.project_id, Task.task_id.in_(done))
            .values(predicted_version=job.candidate.version)
        )


def _end(
    services: Services, job: AutoLabelJob, attempt: int, status: str, why: dict[str, object] | None = None
) -> None:
    with services.database.write() as session:
        if not work.finish(session, AutoLabelJob, job.id, attempt, status, why):
            return
        counts = job_counts(session, job.id)
        template = {
            "done": N_("Auto-labelling has ended: {done} tasks pre-labelled, {failed} failed, {skipped} skipped."),
            "cancelled": N_("Auto-labelling was cancelled: {done} tasks pre-labelled, {waiting} left."),
            "failed": N_("Auto-labelling failed after {done} tasks; {waiting} are left. Reason: {why}"),
        }[status]
        text = ""
        if why is not None:
            params = why.get("params")
            assert isinstance(params, dict)
            text = str(why["template"]).format(**params)
        notify(
            session,
            job.project_id,
            f"auto_label_{status}",
            template,
            to=job.requested_by,
            failure=status == "failed" or counts["failed"] > 0,
            why=text,
            **counts,
        )
        record(session, SYSTEM, f"auto_label.{status}", job.project_id, f"job {job.id}", **counts)


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
