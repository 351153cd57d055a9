"""Rows of ``web_session``: which sign-ins with a token still count. Their tokens only ``web.sessions`` can read."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, delete, not_
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from custom_ai.state.tables import WebSession, now


def alive(idle_s: float, max_s: float) -> ColumnElement[bool]:
    """The condition for a session that was used within ``idle_s`` and is not older than ``max_s``."""
    moment = now()
    return and_(
        WebSession.used_at > moment - timedelta(seconds=idle_s),
        WebSession.created_at > moment - timedelta(seconds=max_s),
    )


def clear(session: Session, idle_s: float, max_s: float) -> None:
    """Forget the sessions that have ended by themselves, and the tokens in them."""
    session.execute(delete(WebSession).where(not_(alive(idle_s, max_s))))
