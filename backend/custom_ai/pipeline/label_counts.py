"""How far an auto-labelling job is."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from custom_ai.state.tables import AutoLabelChunk, AutoLabelItem, AutoLabelJob, now

RATE_S = 60.0
"""The speed that is shown is that of the last minute."""


def job_counts(session: Session, job_id: int) -> dict[str, int]:
    """Tasks of a job by status; they always add up to the number that was asked for."""
    rows = session.execute(
        select(AutoLabelItem.status, func.count()).where(AutoLabelItem.job_id == job_id).group_by(AutoLabelItem.status)
    )
    counts = {"waiting": 0, "done": 0, "failed": 0, "skipped": 0} | {row[0]: row[1] for row in rows}
    return counts | {"total": sum(counts.values())}


def images_per_s(session: Session, job: AutoLabelJob) -> float | None:
    """How many tasks were finished a second lately; None when nothing was, or the job does not run."""
    if job.status != "running" or job.started_at is None:
        return None
    span = min(RATE_S, max(1.0, (now() - job.started_at).total_seconds()))
    done = session.scalar(
        select(func.sum(AutoLabelChunk.tasks)).where(
            AutoLabelChunk.job_id == job.id,
            AutoLabelChunk.status == "done",
            AutoLabelChunk.finished_at > now() - timedelta(seconds=span),
        )
    )
    return done / span if done else None
