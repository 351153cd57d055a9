"""Notifications."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import Notification


def notifications(services: Services, project_id: int, translate: Translate = str) -> list[dict[str, Any]]:
    """The newest 100 notifications of a project, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Notification)
            .where(Notification.project_id == project_id)
            .order_by(Notification.id.desc())
            .limit(100)
        )
        return [
            {
                "id": row.id,
                "at": iso(row.at),
                "event": row.event,
                "failure": row.failure,
                "text": render(row.message, translate),
                "recipient": row.recipient,
            }
            for row in rows
        ]
