"""The live score: what people made of a model's pre-labels, without extra work for anybody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.reviews import review
from custom_ai.pipeline.versions import model_of
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Promotion, Review

LAST = 20
"""The newest reviewed tasks on which the retraining rule looks."""
_COUNTS = ("accepted", "moved", "relabelled", "removed", "added")


def record_reviews(session: Session, project_id: int, tasks: Sequence[dict[str, Any]], control: Control) -> None:
    """Note what people made of our predictions on these tasks; a changed annotation replaces its old review."""
    prefix = f"p{project_id}-m"
    found = [(int(task["id"]), one) for task in tasks if (one := review(task, control, prefix)) is not None]
    if not found:
        return
    from custom_ai.comparison import compare  # brings shapely: not for the web process

    ours = set(session.scalars(select(Candidate.id).where(Candidate.project_id == project_id)))
    for task_id, one in found:
        number = model_of(one.version, project_id)
        if number not in ours:
            continue
        result = compare(one.predicted, one.submitted)
        session.merge(
            Review(
                project_id=project_id,
                task_id=task_id,
                candidate_id=number,
                annotation_id=one.annotation_id,
                at=one.submitted_at,
                accepted=result.accepted,
                moved=result.moved,
                relabelled=result.relabelled,
                removed=result.removed,
                added=result.added,
                iou_sum=result.iou_sum,
            )
        )


def live_scores(session: Session, project_id: int, only: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """By candidate id (``only`` these): how many tasks were reviewed, the counts, the scores (None while unknown)."""
    sums = [func.sum(getattr(Review, name)) for name in (*_COUNTS, "iou_sum")]
    rows = session.execute(
        select(Review.candidate_id, func.count(), *sums)
        .where(Review.project_id == project_id, *([] if only is None else [Review.candidate_id.in_(only)]))
        .group_by(Review.candidate_id)
    )
    return {row[0]: _shown(row[1], [int(value) for value in row[2:7]], float(row[7])) for row in rows}


def history(session: Session, candidate_id: int) -> list[dict[str, Any]]:
    """The live score of one model day by day (UTC), oldest first."""
    rows = session.scalars(select(Review).where(Review.candidate_id == candidate_id).order_by(Review.at))
    return _by_day(rows.all())


def model_history(services: Services, candidate_id: int) -> dict[str, Any]:
    """The live score of one model: ``total`` (None when nobody has reviewed anything) and ``days``."""
    with services.database.read() as session:
        rows = session.scalars(select(Review).where(Review.candidate_id == candidate_id).order_by(Review.at)).all()
    return {"total": _together(rows) if rows else None, "days": _by_day(rows)}


def live_score(services: Services, project_id: int, translate: Callable[[str], str] = str) -> dict[str, Any]:
    """What people made of the pre-labels of each model of a project, in all and day by day, newest model first.

    ``serving`` is the model in use. Models of which nothing was reviewed are left out.
    """
    with services.database.read() as session:
        rows = session.scalars(select(Review).where(Review.project_id == project_id).order_by(Review.at)).all()
        models = session.scalars(
            select(Candidate).where(Candidate.id.in_({row.candidate_id for row in rows})).order_by(Candidate.id.desc())
        ).all()
        serving = session.scalar(
            select(Promotion.candidate_id).where(Promotion.project_id == project_id, Promotion.active)
        )
    by_model = {one.id: [row for row in rows if row.candidate_id == one.id] for one in models}
    return {
        "project": project_id,
        "models": [
            {
                "model": one.id,
                "version": one.version,
                "title": translate(one.title),
                "serving": one.id == serving,
                "total": _together(by_model[one.id]),
                "days": _by_day(by_model[one.id]),
            }
            for one in models
        ],
    }


def live_line(services: Services, project_id: int, days: int = 14) -> dict[str, Any] | None:
    """The live score of the model in use on one line: the score, on how many images, and that of its newest days.

    None when no model is in use, or nothing of it was reviewed yet.
    """
    with services.database.read() as session:
        serving = session.scalar(
            select(Promotion.candidate_id).where(Promotion.project_id == project_id, Promotion.active)
        )
    if serving is None:
        return None
    found = model_history(services, serving)
    if found["total"] is None:
        return None
    return {
        "model": serving,
        "version": f"p{project_id}-m{serving}",
        "score": found["total"]["score"],
        "tasks": found["total"]["tasks"],
        "days": [{name: day[name] for name in ("day", "score", "tasks")} for day in found["days"][-days:]],
    }


def recent_score(session: Session, candidate_id: int) -> float | None:
    """The live score over the newest 20 reviewed tasks; None while there are fewer."""
    rows = session.scalars(
        select(Review).where(Review.candidate_id == candidate_id).order_by(Review.at.desc()).limit(LAST)
    ).all()
    score: float | None = _together(rows)["score"] if len(rows) == LAST else None
    return score


def _by_day(rows: Sequence[Review]) -> list[dict[str, Any]]:
    days: dict[str, list[Review]] = {}
    for row in rows:
        days.setdefault(row.at.date().isoformat(), []).append(row)
    return [{"day": day} | _together(some) for day, some in days.items()]


def _together(rows: Sequence[Review]) -> dict[str, Any]:
    counts = [sum(getattr(row, name) for row in rows) for name in _COUNTS]
    return _shown(len(rows), counts, sum(row.iou_sum for row in rows))


def _shown(tasks: int, counts: Sequence[int], iou_sum: float) -> dict[str, Any]:
    from custom_ai.figures import figures

    return {"tasks": tasks} | dict(zip(_COUNTS, counts, strict=True)) | figures(*counts, iou_sum=iou_sum)
