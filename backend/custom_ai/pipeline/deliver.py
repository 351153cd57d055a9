"""Notifications on their way out of the pages: mail, chat, webhooks. A job of its own, which fails nothing else.

Each notification becomes a row per address; the row is claimed before anything is sent, so that nothing goes out
twice. What has certainly not arrived is tried again, later and later; where nobody knows, it is not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_
from custom_ai.i18n import translator
from custom_ai.pipeline import mail_wishes
from custom_ai.pipeline.inbox import way_out
from custom_ai.pipeline.notice_picture import picture_about
from custom_ai.plugins import Notice, Notifier, NotSent
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import Delivery, Notification, Project, now

log = logging.getLogger(__name__)
SOME = 200
"""Deliveries of one job."""
ATTEMPTS = 8
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
"""Between attempts: each pause is four times as long as the one before. Eight attempts take 18 hours."""
LOST = timedelta(minutes=15)
"""Whoever claimed a delivery longer ago has died in the middle of it."""
ERROR_CHARS = 300

TITLE = N_("Custom AI: {project}")
PROBLEM = N_("Problem in Custom AI: {project}")


def deliver(services: Services) -> None:
    """Write the deliveries of new notifications, and send what is due."""
    channels = services.notifiers()
    with services.database.write() as session:
        _fan_out(session, services, channels)
        session.execute(
            update(Delivery)
            .where(Delivery.status == "sending", Delivery.claimed_at < now() - LOST)
            .values(status="unknown", error="the process died while it was sent")
        )
    with services.database.read() as session:
        due = session.execute(
            select(Delivery.id, Delivery.channel)
            .where(Delivery.status == "waiting", Delivery.due_at <= now())
            .order_by(Delivery.due_at)
            .limit(SOME)
        ).all()
    down: set[str] = set()
    """Mail servers that do not answer would be asked for every recipient."""
    for id, channel in due:
        notifier = channels.get(channel)
        if channel not in down and not _deliver(services, id, notifier) and notifier and notifier.spec.personal:
            down.add(channel)


def address_id(address: str) -> str:
    """What is kept of an address that may hold a secret."""
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def _fan_out(session: Session, services: Services, channels: Mapping[str, Notifier]) -> None:
    """A row for each address of each new notification; what came while nothing was set up is never sent."""
    new = session.scalars(select(Notification).where(~Notification.told).order_by(Notification.id).limit(SOME)).all()
    for notification in new:
        notification.told = True
        project = session.get_one(Project, notification.project_id)
        for name, notifier in channels.items():
            if notifier.spec.personal:
                addresses: Sequence[str] = mail_wishes.recipients(session, notification)
            else:
                addresses = [address_id(one) for one in _addresses(notifier, project)]
            for address in addresses:
                session.add(Delivery(notification_id=notification.id, channel=name, address=address))


def _addresses(notifier: Notifier, project: Project) -> Iterator[str]:
    yield from dict.fromkeys([*notifier.addresses(), *(project.notify_urls if notifier.spec.per_project else ())])


def _deliver(services: Services, id: int, notifier: Notifier | None) -> bool:
    """One attempt, when nobody else makes it. False: it has failed and may be tried again."""
    with services.database.write() as session:
        claimed = session.execute(
            update(Delivery)
            .where(Delivery.id == id, Delivery.status == "waiting")
            .values(status="sending", attempts=Delivery.attempts + 1, claimed_at=now())
        )
        if not getattr(claimed, "rowcount", 0):
            return True
        row = session.get_one(Delivery, id)
        notification = session.get_one(Notification, row.notification_id)
        project = session.get_one(Project, notification.project_id)
    status, error, again = "sent", "", False
    try:
        if notifier is None:
            raise NotSent("the notifier is not set up any more", again=False)
        if notifier.spec.personal:
            if not mail_wishes.still_wanted(services, row.address, project.id):
                raise NotSent("unsubscribed", again=False)
            address = row.address
        else:
            address = next((one for one in _addresses(notifier, project) if address_id(one) == row.address), "")
            if not address:
                raise NotSent("the address was removed", again=False)
        notifier.send(_notice(services, row, notification, project, personal=notifier.spec.personal), address)
    except NotSent as told:
        again = told.again and row.attempts < ATTEMPTS
        status, error = "waiting" if again else "failed", str(told)
    except Exception as raised:  # noqa: BLE001 - plug-ins may raise anything; the work must not suffer
        status, error = "unknown", f"{type(raised).__name__}: {raised}"
    if status != "sent":
        log.warning("notification %s by %s: %s (%s)", notification.id, row.channel, status, error[:ERROR_CHARS])
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 4 ** (row.attempts - 1))
    with services.database.write() as session:
        session.execute(
            update(Delivery)
            .where(Delivery.id == id, Delivery.status == "sending")
            .values(status=status, error=error[:ERROR_CHARS], due_at=now() + pause)
        )
    return not again


def _notice(
    services: Services, row: Delivery, notification: Notification, project: Project, *, personal: bool
) -> Notice:
    language: str = services.settings.notify_language
    unsubscribe = ""
    if personal:
        language = mail_wishes.language_of(services, row.address) or language
        unsubscribe = mail_wishes.unsubscribe_link(services, row.address, project.id)
    _ = translator(language)
    return Notice(
        id=f"{row.id}-{address_id(f'{row.notification_id}/{row.channel}/{row.address}')}",
        event=notification.event,
        failure=notification.failure,
        at=notification.at,
        project=project.id,
        project_title=project.title,
        title=_(PROBLEM if notification.failure else TITLE).format(project=project.title or project.id),
        text=render(notification.message, _),
        way_out=_(hint) if notification.failure and (hint := way_out(notification)) else "",
        link=f"{services.settings.public_url}/projects/{project.id}",
        language=language,
        unsubscribe=unsubscribe,
        picture=picture_about(services, notification) if personal else None,
    )


def try_out(services: Services, notifier: Notifier, address: str, language: str) -> None:
    """Send a notice that says that it is a test. Raises NotSent."""
    _ = translator(language)
    text = _(N_("This is a test. Notifications of Custom AI arrive here."))
    title = _(TITLE).format(project=_(N_("a test")))
    stamp = now()
    one = Notice(
        f"test-{stamp:%Y%m%d%H%M%S%f}", "test", False, stamp, 0, "", title, text, "", services.settings.public_url,
        language,
    )  # fmt: skip
    notifier.send(replace(one), address)
