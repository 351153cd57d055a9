"""Which sign-ins still count (only ``web.sessions`` can read their tokens), and which statements have counted."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, delete, not_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from custom_ai.state.database import Database
from custom_ai.state.tables import UsedNonce, WebSession, now


def alive(idle_s: float, max_s: float) -> ColumnElement[bool]:
    """The condition for a session that was used within ``idle_s`` and is not older than ``max_s``."""
    moment = now()
    return and_(
        WebSession.used_at > moment - timedelta(seconds=idle_s),
        WebSession.created_at > moment - timedelta(seconds=max_s),
    )


def clear(session: Session, idle_s: float, max_s: float) -> None:
    """Forget the sessions that have ended by themselves with the tokens in them, and statements that are too old."""
    session.execute(delete(WebSession).where(not_(alive(idle_s, max_s))))
    session.execute(delete(UsedNonce).where(UsedNonce.until < now()))


def use_once(database: Database, nonce: str, seconds: float) -> bool:
    """Whether this number, remembered for ``seconds``, is used for the first time; of two at once one is."""
    try:
        with database.write() as session:
            session.add(UsedNonce(nonce=nonce, until=now() + timedelta(seconds=seconds)))
    except IntegrityError:
        return False
    return True
