"""Who wants mails about which project, in which language, and how they end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, LinkInvalid
from custom_ai.i18n import LANGUAGES
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import MailReader, MailWish, Notification, Project, Run

_SALT = "custom-ai.unsubscribe"


def recipients(session: Session, notification: Notification) -> list[str]:
    """Who started it (of what nobody started: who made the project's last run), and who wants all of the project."""
    rows = session.scalars(select(MailWish).where(MailWish.project_id == notification.project_id)).all()
    wishes = {row.email: row.wanted for row in rows}
    starter = notification.recipient
    if not starter:
        runs = select(Run.requested_by).where(Run.project_id == notification.project_id).order_by(Run.id.desc())
        starter = next((one for one in session.scalars(runs.limit(20)) if _is_address(one)), "")
    wanted = [email for email, yes in sorted(wishes.items()) if yes]
    started = [starter] if _is_address(starter) and wishes.get(starter, True) else []
    return list(dict.fromkeys([*started, *wanted]))


def still_wanted(services: Services, email: str, project_id: int) -> bool:
    """Whether somebody has not unsubscribed since a mail was planned."""
    with services.database.read() as session:
        row = session.get(MailWish, (email, project_id))
        return row is None or row.wanted


def language_of(services: Services, email: str) -> str | None:
    """The language that a person has chosen for mails."""
    with services.database.read() as session:
        row = session.get(MailReader, email)
        return None if row is None else row.language


def wishes_of(services: Services, email: str) -> dict[str, Any]:
    """{"language" (None: not chosen), "projects": {id: whether mails are wanted}} of a person; about projects that are
    not in it come mails of what the person has started."""
    with services.database.read() as session:
        rows = session.scalars(select(MailWish).where(MailWish.email == email)).all()
    return {"language": language_of(services, email), "projects": {row.project_id: row.wanted for row in rows}}


def set_wishes(services: Services, email: str, *, language: str | None, projects: Mapping[int, bool | None]) -> None:
    """Change some of them; a project with None: mails about what one has started. Raises BadInput for an unknown
    language or project."""
    if language is not None and language not in LANGUAGES:
        raise BadInput(what=f"language = {language[:20]!r}", why=N_("there are: en, ko"))
    with services.database.write() as session:
        if language is not None:
            session.merge(MailReader(email=email, language=language))
        for project_id, wanted in projects.items():
            if session.get(Project, project_id) is None:
                raise BadInput(what=f"project {project_id}", why=N_("the project is not connected"))
            if wanted is None:
                session.execute(delete(MailWish).where(MailWish.email == email, MailWish.project_id == project_id))
            else:
                session.merge(MailWish(email=email, project_id=project_id, wanted=wanted))
            record(session, email, "mail.wish", project_id, wanted=wanted)


def unsubscribe_link(services: Services, email: str, project_id: int) -> str:
    """The address by which this person gets no more mails about a project; it needs no sign-in and never expires."""
    return f"{services.settings.public_url}/unsubscribe/{_signer(services).dumps([email, project_id])}"


def read_unsubscribe(services: Services, token: str) -> tuple[str, int, str]:
    """Who it is about, the project, and its title. Raises LinkInvalid."""
    try:
        email, project_id = _signer(services).loads(token)
    except (BadSignature, ValueError) as error:
        raise LinkInvalid(why=N_("it was not made here, or a part of it is missing")) from error
    with services.database.read() as session:
        project = session.get(Project, project_id)
    return email, project_id, "" if project is None else project.title


def unsubscribe(services: Services, token: str) -> None:
    """No more mails about this project to this person. Raises LinkInvalid."""
    email, project_id, _ = read_unsubscribe(services, token)
    with services.database.read() as session:
        there = session.get(Project, project_id) is not None
    if there:
        set_wishes(services, email, language=None, projects={project_id: False})


def _is_address(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and host) and text.isprintable() and " " not in text


def _signer(services: Services) -> URLSafeSerializer:
    return URLSafeSerializer(services.database.secret_key(), salt=_SALT)
