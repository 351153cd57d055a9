"""Auto-labelling: the chosen model pre-labels untouched tasks; people's annotations are never touched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from custom_ai.errors import (
    N_,
    CustomAIError,
    LabelStudioError,
)
from custom_ai.labelstudio.results import prediction
from custom_ai.pipeline.label import job_counts
from custom_ai.pipeline.look import control_of, request_look
from custom_ai.pipeline.pictures import above, fetch_many, load_model, lowest, threshold_of
from custom_ai.pipeline.pulse import Pulse, carry_out
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, notify, reason, reason_of, record
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Project, Task
from custom_ai.types import ImageSize

log = logging.getLogger(__name__)
CHUNK = 32
"""Tasks that are predicted and pushed together. A kill repeats at most one chunk."""


def auto_label(services: Services, job_id: int, attempt: int) -> None:
    """Do one attempt at a job: all tasks that still wait."""
    with services.database.write() as session:
        if not work.begin(session, AutoLabelJob, job_id, attempt):
            log.info("auto-label job %s attempt %s: not ours to do", job_id, attempt)
            return
        job = session.get_one(AutoLabelJob, job_id)
        project = session.get_one(Project, job.project_id)

    def do(pulse: Pulse) -> None:
        while _label_chunk(services, job, project, pulse):
            pulse.check()
        _end(services, job, attempt, "done", None)

    def end(status: str, why: dict[str, object]) -> None:
        _end(services, job, attempt, status, why)

    if carry_out(services, AutoLabelJob, job_id, attempt, do, end):
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
    for task_id, image in fetch_many(services, [task for task in waiting if task[0] not in there], pulse.check):
        pulse.check()
        if isinstance(image, CustomAIError):
            items[task_id] = {"status": "failed", "reason": reason_of(image)}
        else:
            images.append((task_id, image))
    control = control_of(project)
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
        notify(
            session,
            job.project_id,
            f"auto_label_{status}",
            template,
            to=job.requested_by,
            failure=status == "failed" or counts["failed"] > 0,
            about=f"job {job.id}",
            why=why or "",
            **counts,
        )
        record(session, SYSTEM, f"auto_label.{status}", job.project_id, f"job {job.id}", **counts)
