"""What people are told, and what each of them has seen of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from custom_ai.errors import N_, BadInput
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import Notification, NotificationRead, Project

PAGE = 50
KINDS: dict[str, tuple[str, ...]] = {
    "training": ("run_", "train_", "not_started"),
    "vote": ("selection_", "promoted"),
    "auto_label": ("auto_label_", "pre_labels_", "revise_", "review_"),
}
"""How events begin, by kind; every other event is of the kind "project"."""
OTHER = "project"

WAYS_OUT = {
    "run_failed": N_("See on the project page which images were left out, put it right, and start the training again."),
    "train_failed": N_("Start the training again; when its process dies again, give the worker more memory."),
    "not_started": N_("Label what is missing, then start the training again."),
    "auto_label_done": N_("The project page lists the images that failed, with the reasons."),
    "auto_label_failed": N_("Start auto-labelling again: it goes on with the images that are left."),
    "pre_labels_failed": N_("Do it again: it goes on where it has ended."),
    "revise_failed": N_("Do it again: it goes on where it has ended."),
    "project_problem": N_(
        "Correct the labelling config in Label Studio (Settings, Labeling Interface); it is read again by itself."
    ),
    "project_gone": N_(
        "If it still exists, give the user of our token access to it in Label Studio and connect it again."
    ),
}
"""What to do about a failure, by event."""
WAYS_OUT_BY_CODE = {
    "label_studio_unreachable": N_("Start Label Studio or correct its address, then do it again."),
    "label_studio_auth": N_("Give Custom AI a valid token of a Label Studio user, then do it again."),
    "disk_full": N_("Make room on the disk, then do it again."),
}
"""The same, by the code of the error; it goes before."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose notifications: the number of a Label Studio user, and the projects that this person sees."""

    user_id: int
    projects: Collection[int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of them: of one project, of one kind, only failures, only unread ones."""

    project: int | None = None
    kind: str | None = None
    failures: bool = False
    unread: bool = False

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in (*KINDS, OTHER):
            raise BadInput(what=f"kind = {self.kind[:20]!r}", why=N_("expected training, vote, auto_label or project"))


EVERYTHING = Wanted()


def notifications(
    services: Services,
    reader: Reader,
    wanted: Wanted = EVERYTHING,
    translate: Callable[[str], str] = str,
    *,
    before: int | None = None,
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    """Notifications with an id below ``before``, newest first."""
    seen = _seen(reader)
    query = (
        select(Notification, Project.title, seen)
        .join(Project, Project.id == Notification.project_id)
        .where(_matching(reader, wanted))
        .order_by(Notification.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Notification.id < before)
    with services.database.read() as session:
        return [_shown(row[0], row[1], bool(row[2]), translate) for row in session.execute(query)]


def unread(services: Services, reader: Reader) -> dict[int, int]:
    """How many notifications the reader has not seen, by project; projects without any are left out."""
    query = (
        select(Notification.project_id, func.count())
        .where(_matching(reader, Wanted(unread=True)))
        .group_by(Notification.project_id)
    )
    with services.database.read() as session:
        return {row[0]: row[1] for row in session.execute(query)}


def mark_read(
    services: Services,
    reader: Reader,
    wanted: Wanted = EVERYTHING,
    *,
    ids: Sequence[int] | None = None,
    up_to: int | None = None,
) -> int:
    """Note that the reader has seen the notifications ``ids`` (None: all that are wanted), up to the id ``up_to``.

    Returns how many were unread until now. Ids of projects that the reader does not see change nothing.
    """
    which = [_matching(reader, wanted), ~_seen(reader)]
    if ids is not None:
        which.append(Notification.id.in_(ids))
    if up_to is not None:
        which.append(Notification.id <= up_to)
    query = select(Notification.id).where(*which)
    for attempt in range(2):
        try:
            with services.database.write() as session:
                rows = [{"user_id": reader.user_id, "notification_id": one} for one in session.scalars(query)]
                if rows:
                    session.execute(insert(NotificationRead), rows)
                return len(rows)
        except IntegrityError:  # the same click in another window was first: what is left is less
            if attempt:
                raise
    return 0


def of_project(services: Services, project_id: int, translate: Callable[[str], str] = str) -> list[dict[str, Any]]:
    """The newest 100 notifications of a project, whoever asks."""
    query = (
        select(Notification, Project.title)
        .join(Project, Project.id == Notification.project_id)
        .where(Notification.project_id == project_id)
        .order_by(Notification.id.desc())
        .limit(100)
    )
    with services.database.read() as session:
        return [_shown(row[0], row[1], None, translate) for row in session.execute(query)]


def _matching(reader: Reader, wanted: Wanted) -> ColumnElement[bool]:
    projects = set(reader.projects)
    if wanted.project is not None:
        projects &= {wanted.project}
    parts: list[ColumnElement[bool]] = [Notification.project_id.in_(projects)]
    if wanted.kind in KINDS:
        parts.append(_of_kind(wanted.kind))
    elif wanted.kind == OTHER:
        parts += [~_of_kind(kind) for kind in KINDS]
    if wanted.failures:
        parts.append(Notification.failure.is_(True))
    if wanted.unread:
        parts.append(~_seen(reader))
    return and_(*parts)


def _of_kind(kind: str) -> ColumnElement[bool]:
    return or_(*(Notification.event.startswith(start, autoescape=True) for start in KINDS[kind]))


def _seen(reader: Reader) -> ColumnElement[bool]:
    return exists().where(
        NotificationRead.user_id == reader.user_id, NotificationRead.notification_id == Notification.id
    )


def _shown(row: Notification, title: str, read: bool | None, translate: Callable[[str], str]) -> dict[str, Any]:
    kind = next((name for name, starts in KINDS.items() if row.event.startswith(starts)), OTHER)
    what, _, number = row.subject.partition(" ")
    return {
        "id": row.id,
        "project": row.project_id,
        "project_title": title,
        "at": row.at.isoformat(timespec="seconds"),
        "kind": kind,
        "event": row.event,
        "failure": row.failure,
        "text": render(row.message, translate),
        "way_out": translate(way_out(row)) if row.failure and way_out(row) else "",
        "subject": {"what": what, "id": int(number)} if number.isdigit() else None,
        "recipient": row.recipient,
        "read": read,
    }


def way_out(row: Notification) -> str:
    """What to do about a failure, as a message to be translated; '' when there is nothing to say."""
    return WAYS_OUT_BY_CODE.get(str(row.message.get("code"))) or WAYS_OUT.get(row.event, "")
