"""Who is asking, and what may they see? Label Studio knows: what a request shows is shown to it, server to server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from flask import g, request

from custom_ai.errors import N_, LabelStudioAuth, LabelStudioError, LabelStudioMissing, NotFound, Unauthorized
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.session import Session
from custom_ai.services import Services
from custom_ai.web.attempts import Attempts
from custom_ai.web.sessions import Sessions
from custom_ai.web.shown import How, Shown, shown_by

REMEMBER_S = 60.0
"""So long an answer of Label Studio counts: who loses access there loses it here within this time."""
_REFUSED_FOR_S = 10.0
_REMEMBER_AT_MOST = 10_000
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Visitor:
    """A Label Studio user."""

    id: int
    email: str
    how: How = "header"
    """What the visitor is known by; only a "token" session can be signed out of here."""


class Visitors:
    """Asks Label Studio who a visitor is and what they may see, and remembers it for a minute."""

    def __init__(self, services: Services) -> None:
        self._url = services.settings.label_studio_url
        self._link = services.settings.label_studio_link
        self._sessions = Sessions(services.database, services.settings)
        self._headers = Attempts(per_address=100, in_all=2000)
        self._memory = _Memory()

    def user(self) -> Visitor:
        """The visitor of this request. Raises Unauthorized, TooManyAttempts, or LabelStudioUnreachable."""
        if "visitor" not in g:
            g.visitor = self._find()
        found: Visitor = g.visitor
        return found

    def present(self) -> Visitor | None:
        """The visitor as far as this request has found out; asks nobody."""
        found: Visitor | None = g.get("visitor")
        return found

    def sees(self, project_id: int) -> Visitor:
        """The visitor, who must see this project in Label Studio. Raises NotFound like an unknown project."""
        visitor = self.user()
        shown = self._shown()
        if not self._memory.get(shown, project_id):  # also after a refusal: access may just have been given
            with self._asking(shown) as session:
                try:
                    LabelStudio(session).project(project_id)
                except LabelStudioMissing as error:
                    raise NotFound(what=N_("project"), id=project_id) from error
                except LabelStudioError as error:
                    if error.params.get("http_status") != _FORBIDDEN:
                        raise
                    raise NotFound(what=N_("project"), id=project_id) from error
                except LabelStudioAuth as error:
                    raise self._refused(shown) from error
            self._memory.put(shown, project_id, visitor, REMEMBER_S)
        return visitor

    def sees_which(self, project_ids: Iterable[int]) -> list[int]:
        """Those of the projects that the visitor sees, in the same order, with as few questions as possible."""
        visitor = self.user()
        shown = self._shown()
        known = {one: self._memory.get(shown, one) for one in project_ids}
        unknown = [one for one, value in known.items() if value is None]
        if unknown:
            with self._asking(shown) as session:
                try:
                    found = LabelStudio(session).which_projects(unknown)
                except LabelStudioAuth as error:
                    raise self._refused(shown) from error
            for one in unknown:
                known[one] = visitor if one in found else False
                self._memory.put(shown, one, known[one] or False, REMEMBER_S)
        return [one for one, value in known.items() if value]

    # Inside

    def _find(self) -> Visitor:
        shown = self._shown()
        known = self._memory.get(shown, 0)
        if known is None:
            known = self._ask_who(shown)
        if not isinstance(known, Visitor):
            raise Unauthorized(url=self._link)
        return known

    def _ask_who(self, shown: Shown) -> Visitor:
        if shown.how == "header":
            self._headers.check(request.remote_addr)
        with self._asking(shown) as session:
            try:
                person = LabelStudio(session).whoami()
            except LabelStudioAuth as error:
                if shown.how == "header":
                    self._headers.failed(request.remote_addr)
                raise self._refused(shown) from error
        visitor = Visitor(person.id, person.email, shown.how)
        self._memory.put(shown, 0, visitor, REMEMBER_S)
        return visitor

    def _refused(self, shown: Shown) -> Unauthorized:
        """Label Studio does not accept these credentials any more."""
        if shown.how == "token":
            self._sessions.end(shown.session_id)
        self._memory.put(shown, 0, False, _REFUSED_FOR_S)
        return Unauthorized(url=self._link)

    def _shown(self) -> Shown:
        shown = shown_by(self._sessions)
        if shown is None:
            raise Unauthorized(url=self._link)
        return shown

    def _asking(self, shown: Shown) -> Session:
        try:
            return Session.with_credentials(self._url, authorization=shown.authorization, cookie=shown.cookie)
        except LabelStudioAuth as error:  # malformed
            raise Unauthorized(url=self._link) from error


class _Memory:
    """What Label Studio said about (credentials, project); project 0 stands for who they are. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], tuple[float, Visitor | bool]] = {}

    def get(self, shown: Shown, project_id: int) -> Visitor | bool | None:
        """A visitor, False for a refusal, None for what is not known (any more)."""
        with self._lock:
            until, value = self._known.get((shown.key, project_id), (0.0, False))
        return value if until > time.monotonic() else None

    def put(self, shown: Shown, project_id: int, value: Visitor | bool, seconds: float) -> None:
        with self._lock:
            if len(self._known) >= _REMEMBER_AT_MOST:
                self._known.clear()
            self._known[shown.key, project_id] = (time.monotonic() + seconds, value)
