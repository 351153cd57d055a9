"""Trained models, and which of them served when."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import defer, joinedload

from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.pipeline.review import live_scores
from custom_ai.services import Services
from custom_ai.serving.choices import Choices
from custom_ai.state.journal import render
from custom_ai.state.tables import Candidate, Promotion

SERVED_BEFORE = 3
"""Earlier models in use that stay at hand for a roll-back."""


def models(
    services: Services,
    project_id: int,
    translate: Translate = str,
    *,
    only: Collection[int] | None = None,
    runs: Collection[int] | None = None,
) -> list[dict[str, Any]]:
    """The finished models of a project, newest first; all of them, ``only`` those with these ids, those of ``runs``."""
    with services.database.read() as session:
        query = select(Candidate).where(Candidate.project_id == project_id, Candidate.status == "done")
        if only is not None:
            query = query.where(Candidate.id.in_(only))
        if runs is not None:
            query = query.where(Candidate.run_id.in_(runs))
        rows = session.scalars(
            query.order_by(Candidate.id.desc()).options(defer(Candidate.loss), defer(Candidate.recipe))
        ).all()
        live = live_scores(session, project_id, [row.id for row in rows])
        return [model(row, translate) | {"live": live.get(row.id), "engine": engine_of(services, row)} for row in rows]


def engine_of(services: Services, row: Candidate) -> dict[str, Any] | None:
    """What predicts with this model on this machine, and how fast; None when it was never loaded here."""
    if services.settings.engine:
        return {"name": services.settings.engine, "images_per_second": None, "others": {}}
    choice = Choices(services.settings.state_dir).of_model(row.onnx_sha256)
    if choice is None:
        return None
    rates = dict(choice.rates)
    return {"name": choice.engine, "images_per_second": rates.pop(choice.engine, None), "others": rates}


def at_hand(services: Services, project_id: int) -> list[int]:
    """The ids of the models that people choose from: of the newest run that made some, in use, and used before."""
    with services.database.read() as session:
        done = (Candidate.project_id == project_id, Candidate.status == "done")
        newest = select(func.max(Candidate.run_id)).where(*done).scalar_subquery()
        ids = set(session.scalars(select(Candidate.id).where(*done, Candidate.run_id == newest)))
        served = session.execute(
            select(Promotion.candidate_id, func.max(Promotion.id))
            .where(Promotion.project_id == project_id)
            .group_by(Promotion.candidate_id)
            .order_by(func.max(Promotion.id).desc())
            .limit(1 + SERVED_BEFORE)
        )
        return sorted(ids | {row[0] for row in served}, reverse=True)


def promotions(services: Services, project_id: int) -> list[dict[str, Any]]:
    """Which model served when, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Promotion)
            .where(Promotion.project_id == project_id)
            .order_by(Promotion.id.desc())
            .options(joinedload(Promotion.candidate).load_only(Candidate.project_id))
        )
        return [
            {
                "model": row.candidate_id,
                "version": row.candidate.version,
                "active": row.active,
                "how": row.how,
                "by": row.promoted_by,
                "at": iso(row.promoted_at),
            }
            for row in rows
        ]


def model(row: Candidate, translate: Translate = str) -> dict[str, Any]:
    """One candidate, in short."""
    return {
        "id": row.id,
        "version": row.version,
        "title": translate(row.title),
        "run": row.run_id,
        "classes": row.classes,
        "status": row.status,
        "stage": row.stage,
        "fraction": round(row.fraction, 4),
        "seconds_left": row.seconds_left,
        "seconds": row.seconds,
        "passes": row.passes,
        "map50": row.map50,
        "scores": row.scores,
        "thresholds": row.thresholds,
        "base_weights": None if row.base_weights is None else translate(row.base_weights),
        "image_size": row.image_size,
        "sha256": row.onnx_sha256,
        "notes": [render(one, translate) for one in row.notes],
        "reason": render(row.reason, translate),
    }
