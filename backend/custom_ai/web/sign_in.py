"""Who is asking? Label Studio knows: its session cookie or token is shown to it, server to server."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass

from flask import request
from flask_wtf.csrf import CSRFProtect

from custom_ai.errors import N_, LabelStudioAuth, LabelStudioError, LabelStudioMissing, NotFound, Unauthorized
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.session import Session
from custom_ai.services import Services

_REMEMBER_S = 60.0
_REMEMBER_AT_MOST = 10_000
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A Label Studio user."""

    id: int
    email: str


class SignIn:
    """Asks Label Studio who a visitor is and what they may see, and remembers it for a minute."""

    def __init__(self, services: Services) -> None:
        self._url = services.settings.label_studio_url
        self._link = services.settings.label_studio_link
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], tuple[float, Visitor | bool]] = {}

    def user(self) -> Visitor:
        """The visitor of this request. Raises Unauthorized, or LabelStudioUnreachable."""
        known = self._remembered(0)
        if not isinstance(known, Visitor):
            with self._session() as session:
                try:
                    person = LabelStudio(session).whoami()
                except (LabelStudioAuth, LabelStudioError) as error:
                    raise Unauthorized(url=self._link) from error
            known = Visitor(person.id, person.email)
            self._remember(0, known)
        return known

    def sees(self, project_id: int) -> Visitor:
        """The visitor, who must see this project in Label Studio. Raises NotFound like an unknown project."""
        visitor = self.user()
        if self._remembered(project_id) is not True:
            with self._session() as session:
                try:
                    LabelStudio(session).project(project_id)
                except (LabelStudioAuth, LabelStudioError, LabelStudioMissing) as error:
                    raise NotFound(what=N_("project"), id=project_id) from error
            self._remember(project_id, True)
        return visitor

    def protect(self, csrf: CSRFProtect) -> None:
        """CSRF check for requests that change something and are authenticated by a cookie.

        A request with an Authorization header cannot be forged by a foreign page.
        """
        if request.method not in _SAFE_METHODS and not request.headers.get("Authorization"):
            csrf.protect()

    def _session(self) -> Session:
        authorization = request.headers.get("Authorization", "")
        cookie = "" if authorization else request.cookies.get("sessionid", "")
        if not authorization and not cookie:
            raise Unauthorized(url=self._link)
        try:
            return Session.with_credentials(self._url, authorization=authorization, cookie=cookie)
        except LabelStudioAuth as error:
            raise Unauthorized(url=self._link) from error

    def _key(self, project_id: int) -> tuple[str, int]:
        authorization = request.headers.get("Authorization", "")
        shown = authorization or "cookie " + request.cookies.get("sessionid", "")
        return hashlib.sha256(shown.encode()).hexdigest(), project_id

    def _remembered(self, project_id: int) -> Visitor | bool | None:
        with self._lock:
            until, value = self._known.get(self._key(project_id), (0.0, False))
        return value if until > time.monotonic() else None

    def _remember(self, project_id: int, value: Visitor | bool) -> None:
        with self._lock:
            if len(self._known) >= _REMEMBER_AT_MOST:
                self._known.clear()
            self._known[self._key(project_id)] = (time.monotonic() + _REMEMBER_S, value)
