"""Signing in and out: a token of Label Studio, or the word of its extension, begins a session of ours."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from flask import Response, after_this_request, g, request
from flask import session as flask_session
from flask_wtf.csrf import CSRFProtect

from custom_ai.errors import LabelStudioAuth
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.extension import AUTHORIZE
from custom_ai.labelstudio.session import Session
from custom_ai.services import Services
from custom_ai.web.attempts import Attempts
from custom_ai.web.pasted import TokenRefused, pasted_token
from custom_ai.web.sessions import Entry
from custom_ai.web.shown import Shown, authorization_for, by_header, forget
from custom_ai.web.statements import OTHER_BROWSER, StatementRefused
from custom_ai.web.visitors import REMEMBER_S, Visitor, Visitors

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_BEGUN = "through_label_studio"
_AT_ONCE = 5
"""So many tabs of one browser may be on their way through Label Studio."""


class SignIn(Visitors):
    """Knows the visitors, and lets them in and out."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._forms = Attempts(per_address=10, in_all=200)

    def protect(self, csrf: CSRFProtect) -> None:
        """CSRF check for requests that change something, unless their Authorization header says who asks.

        A foreign page can make a browser send cookies, but no such header.
        """
        if request.method not in _SAFE_METHODS and not by_header():
            csrf.protect()

    def sign_in(self, token: str) -> Visitor:
        """Start a session with a personal access token or a legacy token, in place of the one there was.

        Raises TokenRefused with the reason and the way out, TooManyAttempts, or LabelStudioUnreachable.
        """
        address = request.remote_addr
        self._forms.check(address)
        token = pasted_token(token)
        try:
            with Session.with_credentials(self._url, authorization=authorization_for(token)) as session:
                person = LabelStudio(session).whoami()
        except LabelStudioAuth as error:
            self._forms.failed(address)
            raise TokenRefused(why=str(error.params.get("why", ""))) from error
        id = self._begin(person.id, person.email, token)
        shown = Shown("token", authorization=authorization_for(token), session_id=id)
        return self._remember(shown, Visitor(person.id, person.email, "token"))

    @property
    def extended(self) -> bool:
        """Whether Label Studio's extension may hand people over to us."""
        return bool(self._statements.secret)

    def to_label_studio(self, after: str) -> str:
        """Begin a sign-in through Label Studio: the address to send the browser to, which comes back with a statement.

        The state in its cookie sees to it that nobody is signed in as somebody else by a link that others made.
        """
        state = secrets.token_urlsafe(16)
        begun = {**flask_session.get(_BEGUN, {}), state: after}
        flask_session[_BEGUN] = dict(list(begun.items())[-_AT_ONCE:])
        return f"{self._link}{AUTHORIZE}?{urlencode({'state': state})}"

    def arrive(self, statement: str) -> str:
        """Start a session for the user whom Label Studio hands over; returns the page that was wanted.

        Raises StatementRefused or TooManyAttempts.
        """
        address = request.remote_addr
        self._forms.check(address)
        begun = dict(flask_session.get(_BEGUN, {}))
        try:
            stated, state = self._statements.about_sign_in(statement)
            if state not in begun:
                raise StatementRefused(why=OTHER_BROWSER)
        except StatementRefused:
            self._forms.failed(address)
            raise
        after = str(begun.pop(state))
        id = self._begin(stated.user_id, stated.email, "")
        flask_session[_BEGUN] = begun
        shown = Shown("hand_over", session_id=id, user_id=stated.user_id)
        self._remember(shown, Visitor(stated.user_id, stated.email, "hand_over"))
        return after

    def sign_out(self) -> None:
        """End the session of this browser, if it is one of ours."""
        self._end_this_session()
        self._leave()

    def sign_out_everywhere(self) -> None:
        """End all sessions that this user has started with tokens."""
        visitor = self.user()
        self._sessions.end_all(visitor.id, visitor.email)
        self._leave()

    def sessions(self) -> list[Entry]:
        """The visitor's own sessions."""
        return self._sessions.of_user(self.user().id, self._shown().session_id)

    # Inside

    def _begin(self, user_id: int, email: str, token: str) -> str:
        """A new session in place of the one there was; returns its id, which the browser gets."""
        self._end_this_session()
        id = self._sessions.start(user_id, email, token)
        flask_session.pop("csrf_token", None)
        forget()

        @after_this_request
        def give(response: Response) -> Response:
            return self._sessions.give(response, id)

        return id

    def _remember(self, shown: Shown, visitor: Visitor) -> Visitor:
        g.visitor = visitor
        self._memory.put(shown, 0, visitor, REMEMBER_S)
        return visitor

    def _end_this_session(self) -> None:
        self._sessions.end(request.cookies.get(self._sessions.cookie, ""))

    def _leave(self) -> None:
        flask_session.clear()
        forget()
        after_this_request(self._sessions.take)
