"""Trained models, and which of them served when."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.pipeline.review import live_scores
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import Candidate, Promotion


def models(services: Services, project_id: int, translate: Translate = str) -> list[dict[str, Any]]:
    """All finished models of a project, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Candidate)
            .where(Candidate.project_id == project_id, Candidate.status == "done")
            .order_by(Candidate.id.desc())
        )
        live = live_scores(session, project_id)
        return [model(row, translate) | {"live": live.get(row.id)} for row in rows]


def promotions(services: Services, project_id: int) -> list[dict[str, Any]]:
    """Which model served when, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Promotion).where(Promotion.project_id == project_id).order_by(Promotion.id.desc())
        )
        return [
            {
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
        "base_weights": row.base_weights,
        "image_size": row.image_size,
        "sha256": row.onnx_sha256,
        "reason": render(row.reason, translate),
    }
