"""What a request shows of who it comes from: a header, our own session's cookie, or Label Studio's cookie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from flask import g, request

from custom_ai.assertions import SCHEME
from custom_ai.labelstudio.tokens import TokenKind, token_kind
from custom_ai.web.sessions import Sessions

LABEL_STUDIO_COOKIE = "sessionid"
_SCHEMES = ("bearer", "token", SCHEME.lower())

How = Literal["header", "statement", "token", "hand_over", "cookie"]


@dataclass(frozen=True, slots=True)
class Shown:
    """Credentials of one request, ready to be shown to Label Studio."""

    how: How
    """header: an Authorization header; statement: one that Label Studio's extension has signed; token, hand_over: a
    session of ours, begun with a token or by the extension; cookie: Label Studio's own session"""
    authorization: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)
    session_id: str = field(default="", repr=False)
    user_id: int = 0
    """Of a hand-over, which has no credentials: the extension is asked what this user sees."""

    @property
    def key(self) -> str:
        """A name for these credentials that does not reveal them."""
        return hashlib.sha256(
            f"{self.how}\n{self.authorization}\n{self.cookie}\n{self.session_id}".encode()
        ).hexdigest()


def shown_by(sessions: Sessions) -> Shown | None:
    """The credentials of the current request, None when it has none.

    A header wins, and then no cookie counts: foreign pages can make a browser send cookies, but not this header.
    Basic auth is not ours (a reverse proxy may ask for it) and is passed over.
    """
    if "shown" not in g:
        g.shown = _find(sessions)
    found: Shown | None = g.shown
    return found


def by_header() -> bool:
    """Whether the request is authenticated by its Authorization header and therefore cannot be forged."""
    return request.headers.get("Authorization", "").partition(" ")[0].lower() in _SCHEMES


def forget() -> None:
    """Look again: the request has changed who it comes from."""
    g.pop("shown", None)
    g.pop("visitor", None)


def authorization_for(token: str) -> str:
    """The header that shows this personal access token or legacy token to Label Studio."""
    return f"Bearer {token}" if token_kind(token) is TokenKind.PERSONAL else f"Token {token}"


def _find(sessions: Sessions) -> Shown | None:
    if by_header():
        if request.headers["Authorization"].partition(" ")[0].lower() == SCHEME.lower():
            return Shown("statement", authorization=request.headers["Authorization"])
        return Shown("header", authorization=request.headers["Authorization"])
    id = request.cookies.get(sessions.cookie, "")
    opened = sessions.find(id)
    if opened is not None and not opened.token:
        return Shown("hand_over", session_id=id, user_id=opened.user_id)
    if opened is not None:
        return Shown("token", authorization=authorization_for(opened.token), session_id=id)
    cookie = request.cookies.get(LABEL_STUDIO_COOKIE, "")
    return Shown("cookie", cookie=cookie) if cookie else None
