"""Notifications and the audit log: written in the transaction of the thing that happened."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from custom_ai.errors import TRANSLATED, CustomAIError
from custom_ai.state.tables import AuditEntry, Notification

SYSTEM = "custom-ai"
"""The actor when no person asked."""


def reason(template: str, **params: object) -> dict[str, object]:
    """A message that can be shown in any language later. ``template`` is marked with ``N_``; a value may be another
    such message."""
    return {"template": template, "params": {name: _plain(value) for name, value in params.items()}}


def reason_of(error: CustomAIError) -> dict[str, object]:
    return {"code": error.code} | reason(error.template, **error.params)


def render(message: dict[str, object] | None, translate: Callable[[str], str] = str) -> str:
    """The text of a stored reason or notification; its values that are messages are translated too."""
    if not message:
        return ""
    params = message.get("params") or {}
    assert isinstance(params, dict)

    def shown(name: str, value: object) -> object:
        if isinstance(value, dict):
            return render(value, translate)
        return translate(value) if name in TRANSLATED and isinstance(value, str) and value else value

    return translate(str(message["template"])).format(**{name: shown(name, value) for name, value in params.items()})


def notify(
    session: Session,
    project_id: int,
    event: str,
    template: str,
    *,
    to: str = "",
    failure: bool = False,
    about: str = "",
    **params: object,
) -> None:
    """Tell the people of a project (``to``: the one who started it, '' for all).

    ``about`` is what the notification leads to: "run 3", "selection 2", "job 5" or "model 12".
    """
    notify_reason(session, project_id, event, reason(template, **params), to, failure, about)


def notify_error(
    session: Session, project_id: int, event: str, error: CustomAIError, to: str = "", about: str = ""
) -> None:
    """Tell the people of a project what went wrong."""
    notify_reason(session, project_id, event, reason_of(error), to, True, about)


def notify_reason(
    session: Session,
    project_id: int,
    event: str,
    why: dict[str, object],
    to: str = "",
    failure: bool = False,
    about: str = "",
) -> None:
    """The same with a reason that was stored before."""
    session.add(
        Notification(
            project_id=project_id,
            event=event,
            subject=about,
            failure=failure,
            message=why,
            recipient="" if to == SYSTEM else to,
        )
    )


def record(
    session: Session, actor: str, action: str, project_id: int | None, subject: str = "", **detail: object
) -> None:
    """Add a line to the audit log."""
    session.add(AuditEntry(actor=actor, action=action, project_id=project_id, subject=subject, detail=dict(detail)))


def _plain(value: object) -> object:
    if isinstance(value, dict) and "template" in value:
        return value
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
