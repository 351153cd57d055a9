"""Which version Label Studio is told to show: the champion's, or, when it has none stored, the one before."""

from __future__ import annotations

import logging

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from custom_ai.errors import LabelStudioError
from custom_ai.pipeline.versions import in_force, model_of
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, record
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Project, Task

log = logging.getLogger(__name__)


def show(services: Services, project_id: int) -> str | None:
    """Point the Label Studio project at the right version; returns it, None: nothing was changed.

    Label Studio answers 400 for a version of which it has no prediction, so this is called again after the
    first ones were pushed. Our own PATCH comes back as PROJECT_UPDATED; nothing follows from it.
    """
    with services.database.read() as session:
        project = session.get_one(Project, project_id)
        wanted = wanted_version(session, project_id)
    if wanted == project.live_version or (wanted is None and project.live_version is None):
        return None
    try:
        services.label_studio.update_project(project_id, model_version=wanted or "")
    except LabelStudioError as error:
        log.warning("project %s: Label Studio does not take model version %s: %s", project_id, wanted, error)
        return None
    with services.database.write() as session:
        session.execute(update(Project).where(Project.id == project_id).values(live_version=wanted))
        record(session, SYSTEM, "model_version", project_id, wanted or "")
    return wanted


def wanted_version(session: Session, project_id: int) -> str | None:
    """What is to be shown, of the versions that untouched tasks have: the champion's, else the one that is shown
    now, else that of the newest model.

    When no untouched task has any, the one shown now stays as long as any task has one.
    """
    rows = session.execute(
        select(Task.predicted_version, func.count())
        .where(Task.project_id == project_id, ~Task.touched, Task.predicted_version.is_not(None))
        .group_by(Task.predicted_version)
    ).all()
    there = {str(row[0]): int(row[1]) for row in rows}
    best = champion(session, project_id)
    if best is not None:
        force = in_force(session, best).version
        if force in there or _has_labelled(session, best):
            return force
        others = [version for version in there if model_of(version, project_id) == best.id]
        if others:
            return max(others, key=lambda version: there[version])
    shown = session.get_one(Project, project_id).live_version
    if shown in there:
        return shown
    if there:
        return max(there, key=lambda version: (model_of(version, project_id) or 0, there[version]))
    anywhere = session.scalar(
        select(Task.task_id).where(Task.project_id == project_id, Task.predicted_version.is_not(None)).limit(1)
    )
    return shown if anywhere is not None else None


def _has_labelled(session: Session, model: Candidate) -> bool:
    """Whether a job of this model stands on an untouched task, perhaps below the pre-label of a newer model."""
    found = session.scalar(
        select(AutoLabelItem.task_id)
        .join(AutoLabelJob, AutoLabelJob.id == AutoLabelItem.job_id)
        .join(Task, (Task.project_id == AutoLabelJob.project_id) & (Task.task_id == AutoLabelItem.task_id))
        .where(
            AutoLabelJob.candidate_id == model.id,
            AutoLabelJob.rolled_back_at.is_(None),
            AutoLabelItem.status == "done",
            ~Task.touched,
        )
        .limit(1)
    )
    return found is not None
