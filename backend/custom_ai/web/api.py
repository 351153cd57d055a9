"""The REST API. Everybody signs in as a Label Studio user and sees what they see there.

Errors are ``{"error": {"code": ..., "message": ...}}`` with the message in the language asked for.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask_wtf.csrf import CSRFProtect, generate_csrf

from custom_ai.errors import N_, BadInput, CustomAIError
from custom_ai.i18n import translator
from custom_ai.pipeline import connect, label, overview, train, vote
from custom_ai.services import Services
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn, csrf: CSRFProtect) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("api", __name__)

    def translate(message: str) -> str:
        return translator(language())(message)

    @routes.before_request
    def protect() -> None:
        sign_in.protect(csrf)

    @routes.get("/me")
    def me() -> Response:
        visitor = sign_in.user()
        return jsonify({"id": visitor.id, "email": visitor.email, "csrf_token": generate_csrf()})

    @routes.get("/projects")
    def projects() -> Response:
        sign_in.user()
        visible = []
        for project_id in overview.projects(services):
            try:
                sign_in.sees(project_id)
            except CustomAIError:
                continue
            visible.append(overview.project(services, project_id, translate))
        return jsonify({"projects": visible})

    @routes.get("/projects/<int:project_id>")
    def project(project_id: int) -> Response:
        sign_in.sees(project_id)
        return jsonify(overview.project(services, project_id, translate))

    @routes.patch("/projects/<int:project_id>")
    def change(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        connect.change_project(services, project_id, by=visitor.email, **_body())
        return jsonify(overview.project(services, project_id, translate))

    @routes.post("/projects/<int:project_id>/connect")
    def connect_project(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        body = _body()
        classes = _strings(body, "classes")
        connect.connect(services, project_id, by=visitor.email, classes=classes or (), kind=_kind(body))
        return jsonify(overview.project(services, project_id, translate))

    @routes.post("/projects/<int:project_id>/runs")
    def make(project_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(project_id)
        body = _body()
        classes, kind = _strings(body, "classes"), _kind(body)
        if kind is not None:
            connect.use_kind(services, project_id, kind, by=visitor.email)
        run_id = train.request_run(services, project_id, by=visitor.email, trigger="person", classes=classes)
        return jsonify(overview.run(services, run_id, translate)), 201

    @routes.get("/runs/<int:run_id>")
    def run(run_id: int) -> Response:
        found = overview.run(services, run_id, translate)
        sign_in.sees(found["project"])
        return jsonify(found)

    @routes.post("/runs/<int:run_id>/cancel")
    def cancel_run(run_id: int) -> Response:
        visitor = sign_in.sees(overview.run(services, run_id)["project"])
        train.cancel_run(services, run_id, by=visitor.email)
        return jsonify(overview.run(services, run_id, translate))

    @routes.get("/selections/<int:selection_id>")
    def selection(selection_id: int) -> Response:
        found = overview.selection(services, selection_id, translate)
        sign_in.sees(found["project"])
        return jsonify(found)

    @routes.get("/selections/<int:selection_id>/ballots")
    def ballots(selection_id: int) -> Response:
        visitor = sign_in.sees(overview.selection(services, selection_id)["project"])
        return jsonify({"rounds": vote.rounds_shown(services, selection_id, visitor.email)})

    @routes.put("/selections/<int:selection_id>/ballots/<int:number>")
    def cast(selection_id: int, number: int) -> Response:
        visitor = sign_in.sees(overview.selection(services, selection_id)["project"])
        picks = _body().get("picks")
        if not isinstance(picks, list) or not all(type(one) is int for one in picks):
            raise BadInput(what="picks", why=N_("expected a list of place numbers, starting at 1"))
        vote.cast(services, selection_id, visitor.email, number - 1, [one - 1 for one in picks])
        return jsonify({"rounds": vote.rounds_shown(services, selection_id, visitor.email)})

    @routes.post("/selections/<int:selection_id>/close")
    def close(selection_id: int) -> Response:
        visitor = sign_in.sees(overview.selection(services, selection_id)["project"])
        vote.close(services, selection_id, by=visitor.email)
        return jsonify(overview.selection(services, selection_id, translate))

    @routes.get("/selections/<int:selection_id>/images/<int:image_id>")
    def vote_image(selection_id: int, image_id: int) -> Response:
        sign_in.sees(overview.selection(services, selection_id)["project"])
        content = vote.image(services, selection_id, image_id)
        return Response(content, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @routes.get("/projects/<int:project_id>/models")
    def models(project_id: int) -> Response:
        sign_in.sees(project_id)
        served = overview.promotions(services, project_id)
        return jsonify({"models": overview.models(services, project_id, translate), "promotions": served})

    @routes.post("/projects/<int:project_id>/models/<int:model_id>/promote")
    def promote(project_id: int, model_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        vote.promote_version(services, project_id, model_id, by=visitor.email)
        return jsonify(overview.project(services, project_id, translate))

    @routes.post("/projects/<int:project_id>/auto-label")
    def auto_label(project_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(project_id)
        body = _body()
        job_id = label.request_auto_label(
            services,
            project_id,
            by=visitor.email,
            count=_number(body, "count", int),
            candidate_id=_number(body, "model", int),
            threshold=_number(body, "threshold", float),
        )
        return jsonify(overview.job(services, job_id, translate)), 201

    @routes.get("/auto-label/<int:job_id>")
    def job(job_id: int) -> Response:
        found = overview.job(services, job_id, translate)
        sign_in.sees(found["project"])
        return jsonify(found)

    @routes.post("/auto-label/<int:job_id>/cancel")
    def cancel_job(job_id: int) -> Response:
        visitor = sign_in.sees(overview.job(services, job_id)["project"])
        label.cancel_job(services, job_id, by=visitor.email)
        return jsonify(overview.job(services, job_id, translate))

    @routes.get("/projects/<int:project_id>/notifications")
    def notifications(project_id: int) -> Response:
        sign_in.sees(project_id)
        return jsonify({"notifications": overview.notifications(services, project_id, translate)})

    return routes


def _body() -> dict[str, Any]:
    if not request.data:
        return {}
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise BadInput(what=N_("the request"), why=N_("expected a JSON object"))
    return body


def _strings(body: dict[str, Any], name: str) -> list[str] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise BadInput(what=name, why=N_("expected a list of names"))
    return value


def _kind(body: dict[str, Any]) -> str | None:
    value = body.get("kind")
    return None if value is None else connect.kind_named(value).value


def _number(body: dict[str, Any], name: str, kind: type[int] | type[float]) -> Any:
    value = body.get(name)
    if value is None:
        return None
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise BadInput(what=f"{name} = {value!r}", why=N_("expected a number"))
    return kind(value)
