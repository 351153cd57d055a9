"""The notification tab: what happened in all projects that the visitor sees, and what was seen of it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, CustomAIError, NotFound
from custom_ai.pipeline import inbox, overview
from custom_ai_ui.site import Site, form_number, query_number

PAGE = 30

KIND_NAMES = {
    "training": N_("Training"),
    "vote": N_("Vote"),
    "auto_label": N_("Auto-labelling"),
    "project": N_("Project"),
}


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the notification pages to the blueprint."""
    services = site.services

    @routes.get("/notifications")
    def notifications() -> str:
        reader, wanted = site.reader(), _wanted()
        before = query_number("before")
        found = inbox.notifications(services, reader, wanted, site.translate, before=before, limit=PAGE + 1)
        return render_template(
            "custom_ai_ui/notifications.html",
            notices=found[:PAGE],
            older=found[PAGE - 1]["id"] if len(found) > PAGE else None,
            before=before,
            wanted=wanted,
            query=_query(wanted),
            kind_names={name: site.translate(words) for name, words in KIND_NAMES.items()},
            projects=overview.titles(services, reader.projects),
            unread_in_all=sum(site.unread().values()),
        )

    @routes.post("/notifications/read")
    def read_notifications() -> Response:
        """Mark one, or all that are wanted up to the newest one that the page showed."""
        reader, wanted = site.reader(), _wanted()
        with site.telling(N_("Marked as read.")):
            one = form_number("id", int)
            ids = None if one is None else [one]
            inbox.mark_read(services, reader, wanted, ids=ids, up_to=form_number("up_to", int))
        return redirect(url_for(".notifications", before=query_number("before"), **_query(wanted)), 303)

    @routes.post("/notifications/<int:number>/open")
    def open_notification(number: int) -> Response:
        """Mark one as read and go where it leads."""
        reader = site.reader()
        found = inbox.notifications(services, reader, before=number + 1, limit=1)
        if not found or found[0]["id"] != number:
            raise NotFound(what=N_("notification"), id=number)
        inbox.mark_read(services, reader, ids=[number])
        return redirect(leads_to(found[0]), 303)


def leads_to(notice: dict[str, Any]) -> str:
    """The address of what a notification is about."""
    subject = notice["subject"] or {"what": "", "id": 0}
    if subject["what"] == "selection":
        return url_for(".selection", selection_id=subject["id"])
    if subject["what"] == "model":
        return url_for(".model_report", model_id=subject["id"])
    if subject["what"] == "hiding":
        return url_for(".hidden", project_id=notice["project"])
    parts = {"run": "run-title", "job": "auto-label-title"}
    return url_for(".project_page", project_id=notice["project"], _anchor=parts.get(subject["what"]))


def _wanted() -> inbox.Wanted:
    """What the address asks for; an unknown kind is as none, because a page must not end in an error for that."""
    values = request.values
    project = query_number("project")
    try:
        return inbox.Wanted(
            project=project, kind=values.get("kind") or None, failures="failures" in values, unread="unread" in values
        )
    except CustomAIError:
        return inbox.Wanted(project=project)


def _query(wanted: inbox.Wanted) -> dict[str, Any]:
    """The same as parts of an address."""
    values = {
        "project": wanted.project,
        "kind": wanted.kind,
        "failures": "1" if wanted.failures else None,
        "unread": "1" if wanted.unread else None,
    }
    return {name: value for name, value in values.items() if value is not None}
