"""REST routes about notifications: those of one project, and those of everything that the visitor sees."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from custom_ai.errors import N_, BadInput
from custom_ai.i18n import translator
from custom_ai.pipeline import inbox, mail_wishes, overview
from custom_ai.services import Services
from custom_ai.web.body import in_query, json_body, number, text
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn

_HIGHEST = 2**31 - 1


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("notifications_api", __name__)

    def reader() -> inbox.Reader:
        visitor = sign_in.user()
        return inbox.Reader(visitor.id, sign_in.sees_which(overview.projects(services, gone=True)))

    def answer(found: inbox.Reader, **more: object) -> Response:
        counts = inbox.unread(services, found)
        return jsonify(more | {"unread": sum(counts.values()), "unread_by_project": counts})

    @routes.get("/notifications")
    def notifications() -> Response:
        wanted = inbox.Wanted(
            project=in_query("project", 0, _HIGHEST),
            kind=request.args.get("kind") or None,
            failures=_flag("failures"),
            unread=_flag("unread"),
        )
        found = reader()
        before = in_query("before", 1, _HIGHEST)
        shown = inbox.notifications(services, found, wanted, translator(language()), before=before)
        return answer(found, notifications=shown)

    @routes.get("/notifications/mail")
    def mail() -> Response:
        return jsonify(mail_wishes.wishes_of(services, sign_in.user().email))

    @routes.put("/notifications/mail")
    def change_mail() -> Response:
        visitor, body = sign_in.user(), json_body()
        projects = body.get("projects") or {}
        if not isinstance(projects, dict) or not all(
            one.isascii() and one.isdigit() and len(one) < 10 and isinstance(wanted, bool | None)
            for one, wanted in projects.items()
        ):
            raise BadInput(what="projects", why=N_("expected project ids with true, false or null each"))
        for one in projects:
            sign_in.sees(int(one))
        wanted = {int(one): yes for one, yes in projects.items()}
        mail_wishes.set_wishes(services, visitor.email, language=text(body, "language"), projects=wanted)
        return jsonify(mail_wishes.wishes_of(services, visitor.email))

    @routes.post("/notifications/read")
    def read() -> Response:
        body = json_body()
        ids, up_to = body.get("ids"), number(body, "up_to", int)
        if ids is not None and not (isinstance(ids, list) and all(type(one) is int for one in ids)):
            raise BadInput(what="ids", why=N_("expected a list of numbers"))
        if ids is None and up_to is None:
            raise BadInput(what=N_("the request"), why=N_("say which notifications: ids, or up_to a number"))
        found = reader()
        wanted = inbox.Wanted(project=number(body, "project", int))
        return answer(found, marked=inbox.mark_read(services, found, wanted, ids=ids, up_to=up_to))

    @routes.get("/projects/<int:project_id>/notifications")
    def of_project(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        shown = inbox.notifications(
            services, inbox.Reader(visitor.id, [project_id]), translate=translator(language()), limit=100
        )
        return jsonify({"notifications": shown})

    return routes


def _flag(name: str) -> bool:
    return request.args.get(name, "") not in ("", "0", "false")
