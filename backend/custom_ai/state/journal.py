"""Notifications and the audit log: written in the transaction of the thing that happened."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from custom_ai.errors import TRANSLATED, CustomAIError
from custom_ai.state.tables import AuditEntry, Notification

SYSTEM = "custom-ai"
"""The actor when no person asked."""


def reason(template: str, **params: object) -> dict[str, object]:
    """A message that can be shown in any language later. ``template`` is marked with ``N_``."""
    return {"template": template, "params": {name: _plain(value) for name, value in params.items()}}


def reason_of(error: CustomAIError) -> dict[str, object]:
    return {"code": error.code} | reason(error.template, **error.params)


def render(message: dict[str, object] | None, translate: Callable[[str], str] = str) -> str:
    """The text of a stored reason or notification; its values that are messages are translated too."""
    if not message:
        return ""
    params = message.get("params") or {}
    assert isinstance(params, dict)
    shown = {
        name: translate(value) if name in TRANSLATED and isinstance(value, str) and value else value
        for name, value in params.items()
    }
    return translate(str(message["template"])).format(**shown)


def notify(
    session: Session,
    project_id: int,
    event: str,
    template: str,
    *,
    to: str = "",
    failure: bool = False,
    **params: object,
) -> None:
    """Tell the people of a project (``to``: the one who started it, '' for all)."""
    _add(session, project_id, event, reason(template, **params), to, failure)


def notify_error(session: Session, project_id: int, event: str, error: CustomAIError, to: str = "") -> None:
    """Tell the people of a project what went wrong."""
    _add(session, project_id, event, reason_of(error), to, failure=True)


def notify_reason(
    session: Session, project_id: int, event: str, why: dict[str, object], to: str = "", failure: bool = False
) -> None:
    """The same with a reason that was stored before."""
    _add(session, project_id, event, why, to, failure)


def _add(session: Session, project_id: int, event: str, message: dict[str, object], to: str, failure: bool) -> None:
    recipient = "" if to == SYSTEM else to
    session.add(Notification(project_id=project_id, event=event, failure=failure, message=message, recipient=recipient))


def record(
    session: Session, actor: str, action: str, project_id: int | None, subject: str = "", **detail: object
) -> None:
    """Add a line to the audit log."""
    session.add(AuditEntry(actor=actor, action=action, project_id=project_id, subject=subject, detail=dict(detail)))


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
