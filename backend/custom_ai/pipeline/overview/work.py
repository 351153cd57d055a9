"""Training runs and auto-labelling jobs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, NotFound
from custom_ai.pipeline.label_counts import images_per_s, job_counts
from custom_ai.pipeline.overview.models import model
from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Revision, Run


def run(services: Services, run_id: int, translate: Translate = str) -> dict[str, Any]:
    """One training run with its candidates. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(Run, run_id)
        if row is None:
            raise NotFound(what=N_("run"), id=run_id)
        return shown_run(row, translate)


def job(services: Services, job_id: int, translate: Translate = str) -> dict[str, Any]:
    """One auto-labelling job. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(AutoLabelJob, job_id)
        if row is None:
            raise NotFound(what=N_("auto-labelling job"), id=job_id)
        return shown_job(session, row, translate)


def failed_items(
    services: Services, job_id: int, translate: Translate = str, *, after: int = 0, limit: int = 50
) -> list[dict[str, Any]]:
    """The tasks of a job that could not be pre-labelled, with the reason, by task id from above ``after``."""
    with services.database.read() as session:
        rows = session.execute(
            select(AutoLabelItem.task_id, AutoLabelItem.reason)
            .where(AutoLabelItem.job_id == job_id, AutoLabelItem.status == "failed", AutoLabelItem.task_id > after)
            .order_by(AutoLabelItem.task_id)
            .limit(limit)
        )
        return [{"task": row[0], "reason": render(row[1], translate)} for row in rows]


def shown_run(row: Run, translate: Translate) -> dict[str, Any]:
    return {
        "id": row.id,
        "project": row.project_id,
        "status": row.status,
        "stage": row.stage,
        "trigger": row.trigger,
        "requested_by": row.requested_by,
        "kind": row.kind,
        "classes": row.classes,
        "labels": row.labels,
        "snapshot": None if row.snapshot is None else row.snapshot.sha256,
        "images": None if row.snapshot is None else row.snapshot.images,
        "data_report": row.data_report,
        "left_out": [{"task": task, "reason": render(why, translate)} for task, why in row.left_out],
        "reason": render(row.reason, translate),
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "candidates": [model(one, translate) | {"loss": one.loss} for one in row.candidates],
    }


def shown_job(session: Session, row: AutoLabelJob, translate: Translate) -> dict[str, Any]:
    tasks, speed = job_counts(session, row.id), images_per_s(session, row)
    return {
        "id": row.id,
        "project": row.project_id,
        "status": row.status,
        "trigger": row.trigger,
        "requested_by": row.requested_by,
        "model": row.candidate.version,
        "threshold": row.threshold,
        "reason": render(row.reason, translate),
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "tasks": tasks,
        "which": row.which,
        "version": row.version,
        "rolled_back_at": iso(row.rolled_back_at),
        "revision": _revision(session, row.id, translate),
        "prepare": row.prepare,
        "pausing": row.pause_requested and row.status != "paused",
        "cancelling": row.cancel_requested and row.finished_at is None,
        "images_per_s": None if speed is None else round(speed, 2),
        "seconds_left": None if speed is None else round(tasks["waiting"] / speed),
    }


def _revision(session: Session, job_id: int, translate: Translate) -> dict[str, Any] | None:
    """The newest change of a job's pre-labels."""
    row = session.scalar(select(Revision).where(Revision.job_id == job_id).order_by(Revision.id.desc()).limit(1))
    if row is None:
        return None
    return {
        "what": row.what,
        "status": row.status,
        "threshold": row.threshold,
        "version": row.version or None,
        "total": row.total,
        "changed": row.changed,
        "kept": row.kept,
        "reason": render(row.reason, translate),
    }
