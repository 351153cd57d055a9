"""Who is asking, and what may they see? Label Studio knows: what a request shows is shown to it, server to server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from flask import g, request

from custom_ai.errors import N_, LabelStudioAuth, LabelStudioError, LabelStudioMissing, NotFound, Unauthorized
from custom_ai.labelstudio.client import LabelStudio, User
from custom_ai.labelstudio.extension import Extension
from custom_ai.labelstudio.session import Session
from custom_ai.services import Services
from custom_ai.web.attempts import Attempts
from custom_ai.web.sessions import Sessions
from custom_ai.web.shown import How, Shown, shown_by
from custom_ai.web.statements import Stated, StatementRefused, Statements

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
    """What the visitor is known by; only the sessions "token" and "hand_over" can be signed out of here."""


class Witness(Protocol):
    """Who knows what a visitor is and sees in Label Studio; raises the LabelStudio errors."""

    def whoami(self) -> User: ...
    def project(self, project_id: int) -> object: ...
    def which_projects(self, ids: Sequence[int]) -> set[int]: ...


class Visitors:
    """Asks Label Studio who a visitor is and what they may see, and remembers it for a minute."""

    def __init__(self, services: Services) -> None:
        self._url = services.settings.label_studio_url
        self._link = services.settings.label_studio_link
        self._sessions = Sessions(services.database, services.settings)
        self._headers = Attempts(per_address=100, in_all=2000)
        self._memory = _Memory()
        self._statements = Statements(services)

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
        if shown.how == "statement":
            if project_id != self._stated().project_id:
                raise NotFound(what=N_("project"), id=project_id)
            return visitor
        if not self._memory.get(shown, project_id):  # also after a refusal: access may just have been given
            with self._asking(shown) as witness:
                try:
                    witness.project(project_id)
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
        if shown.how == "statement":
            return [one for one in project_ids if one == self._stated().project_id]
        known = {one: self._memory.get(shown, one) for one in project_ids}
        unknown = [one for one, value in known.items() if value is None]
        if unknown:
            with self._asking(shown) as witness:
                try:
                    found = witness.which_projects(unknown)
                except LabelStudioAuth as error:
                    raise self._refused(shown) from error
            for one in unknown:
                known[one] = visitor if one in found else False
                self._memory.put(shown, one, known[one] or False, REMEMBER_S)
        return [one for one, value in known.items() if value]

    # Inside

    def _find(self) -> Visitor:
        shown = self._shown()
        if shown.how == "statement":
            stated = self._stated()
            return Visitor(stated.user_id, stated.email, shown.how)
        known = self._memory.get(shown, 0)
        if known is None:
            known = self._ask_who(shown)
        if not isinstance(known, Visitor):
            raise Unauthorized(url=self._link)
        return known

    def _ask_who(self, shown: Shown) -> Visitor:
        if shown.how == "header":
            self._headers.check(request.remote_addr)
        with self._asking(shown) as witness:
            try:
                person = witness.whoami()
            except LabelStudioAuth as error:
                if shown.how == "header":
                    self._headers.failed(request.remote_addr)
                raise self._refused(shown) from error
        visitor = Visitor(person.id, person.email, shown.how)
        self._memory.put(shown, 0, visitor, REMEMBER_S)
        return visitor

    def _refused(self, shown: Shown) -> Unauthorized:
        """Label Studio does not accept these credentials any more."""
        if shown.how in ("token", "hand_over"):
            self._sessions.end(shown.session_id)
        self._memory.put(shown, 0, False, _REFUSED_FOR_S)
        return Unauthorized(url=self._link)

    def _shown(self) -> Shown:
        shown = shown_by(self._sessions)
        if shown is None:
            raise Unauthorized(url=self._link)
        return shown

    def _stated(self) -> Stated:
        """What the statement in this request's header says; checked once. Raises StatementRefused, TooManyAttempts."""
        if "stated" not in g:
            self._headers.check(request.remote_addr)
            try:
                g.stated = self._statements.about_request(request.headers["Authorization"].partition(" ")[2].strip())
            except StatementRefused:
                self._headers.failed(request.remote_addr)
                raise
        found: Stated = g.stated
        return found

    @contextmanager
    def _asking(self, shown: Shown) -> Iterator[Witness]:
        if shown.how == "hand_over":
            yield Extension(self._url, self._statements.secret, shown.user_id)
            return
        try:
            session = Session.with_credentials(self._url, authorization=shown.authorization, cookie=shown.cookie)
        except LabelStudioAuth as error:  # malformed
            raise Unauthorized(url=self._link) from error
        with session:
            yield LabelStudio(session)


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
