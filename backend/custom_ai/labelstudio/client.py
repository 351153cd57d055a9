"""The client: everything we ask of Label Studio, in one object.

with Session(url, api_key) as session:
    LabelStudio(session).project(7)
"""

from __future__ import annotations

from dataclasses import dataclass

from custom_ai.labelstudio.predictions import Predictions, PushReport
from custom_ai.labelstudio.projects import MLBackend, Project, Projects, Webhook
from custom_ai.labelstudio.session import Session
from custom_ai.labelstudio.views import Views

__all__ = ["LabelStudio", "MLBackend", "Project", "PushReport", "Session", "User", "Webhook"]


@dataclass(frozen=True, slots=True)
class User:
    """A user of Label Studio."""

    id: int
    email: str
    name: str
    """First and last name, or the e-mail address where there is none."""


class LabelStudio(Projects, Predictions, Views):
    """Label Studio through one ``Session``. Every method may raise the LabelStudio errors."""

    def __init__(self, session: Session) -> None:
        Predictions.__init__(self, session)

    def whoami(self) -> User:
        """The user whom the session's token belongs to."""
        raw = self.session.get("/api/current-user/whoami")
        email = str(raw.get("email") or "")
        name = f"{raw.get('first_name') or ''} {raw.get('last_name') or ''}".strip()
        return User(id=int(raw["id"]), email=email, name=name or email)

    def version(self) -> str:
        """Label Studio's release, such as 1.23.2."""
        return str(self.session.get("/api/version").get("release") or "")
