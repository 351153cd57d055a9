"""Server-side sessions of people who sign in with a Label Studio token, or come through Label Studio's extension.

The browser gets a random id in a cookie and nothing else. The database has the SHA-256 of that id and the
token, encrypted with a key made of the id and the installation's secret: a copy of the database, which has
the secret too, reveals no token, because no copy has the ids.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Response
from sqlalchemy import delete, select

from custom_ai.settings import Settings
from custom_ai.state.database import Database
from custom_ai.state.journal import record
from custom_ai.state.sign_ins import alive
from custom_ai.state.tables import WebSession, now

_ID_BYTES = 32
_LONGEST_ID = 100
_NOTED_EVERY = timedelta(minutes=5)
"""So often a visit is written down: a page that refreshes itself shall not write each time."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was found by its cookie."""

    user_id: int
    email: str
    token: str = field(repr=False)
    """Empty when the extension has handed the user over."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A session as its owner sees it in a list."""

    created_at: datetime
    used_at: datetime
    here: bool
    """Whether it is the one that asks."""


class Sessions:
    """Starts, finds and ends sessions."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._secret = database.secret_key()
        self._idle_s, self._max_s = settings.session_idle_s, settings.session_max_s
        self._secure = settings.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """The cookie's name. With https the browser itself sees to it that no neighbour host can set it."""
        return "__Host-custom_ai_sign_in" if self._secure else "custom_ai_sign_in"

    def start(self, user_id: int, email: str, token: str) -> str:
        """Remember ``token``; returns the new session's id, which only the cookie may keep."""
        id = secrets.token_urlsafe(_ID_BYTES)
        sealed = self._cipher(id).encrypt(token.encode())
        with self._database.write() as session:
            session.add(WebSession(id=_digest(id), user_id=user_id, email=email, token=sealed))
            record(session, email, "sign_in", None)
        return id

    def find(self, id: str) -> Opened | None:
        """The living session with this id, None when there is none."""
        if not id or len(id) > _LONGEST_ID:
            return None
        with self._database.read() as session:
            row = session.scalar(
                select(WebSession).where(WebSession.id == _digest(id), alive(self._idle_s, self._max_s))
            )
        if row is None:
            return None
        try:
            token = self._cipher(id).decrypt(row.token).decode()
        except InvalidToken:  # the installation got another secret
            self.end(id)
            return None
        if now() - row.used_at > min(_NOTED_EVERY, timedelta(seconds=self._idle_s / 2)):
            with self._database.write() as session:
                session.get_one(WebSession, row.id).used_at = now()
        return Opened(row.user_id, row.email, token)

    def end(self, id: str) -> None:
        """Forget this session; harmless when there is none."""
        with self._database.write() as session:
            session.execute(delete(WebSession).where(WebSession.id == _digest(id)))

    def end_all(self, user_id: int, by: str) -> None:
        """Forget all sessions of a user, wherever they are."""
        with self._database.write() as session:
            session.execute(delete(WebSession).where(WebSession.user_id == user_id))
            record(session, by, "sign_out.everywhere", None)

    def of_user(self, user_id: int, here: str) -> list[Entry]:
        """The living sessions of a user, the newest first; ``here`` is the id of the asking one or ''."""
        with self._database.read() as session:
            rows = session.scalars(
                select(WebSession)
                .where(WebSession.user_id == user_id, alive(self._idle_s, self._max_s))
                .order_by(WebSession.created_at.desc())
            ).all()
        return [Entry(row.created_at, row.used_at, row.id == _digest(here)) for row in rows]

    def give(self, response: Response, id: str) -> Response:
        """Put the session's id into the browser.

        SameSite is Lax, not Strict: with Strict somebody who follows a link of a mail or of Label Studio on another
        host would be met as a stranger. Lax gives nothing away: it sends the cookie along with a top-level GET only,
        no GET changes anything, and every change needs a CSRF token besides.
        """
        response.set_cookie(
            self.cookie,
            id,
            max_age=int(self._max_s),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    def take(self, response: Response) -> Response:
        """Remove the id from the browser."""
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="Lax")
        return response

    def _cipher(self, id: str) -> Fernet:
        key = HKDF(SHA256(), length=32, salt=self._secret, info=b"token of a web session").derive(id.encode())
        return Fernet(base64.urlsafe_b64encode(key))


def _digest(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()
