"""The REST API. Everybody signs in as a Label Studio user and sees what they see there.

Errors are ``{"error": {"code": ..., "message": ...}}`` with the message in the language asked for.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from flask_wtf.csrf import generate_csrf

from custom_ai.i18n import translator
from custom_ai.pipeline import connect, label, overview, train, vote
from custom_ai.pipeline.which_tasks import Which
from custom_ai.services import Services
from custom_ai.web.body import anything, in_query, json_body, number, numbers, strings, text
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("api", __name__)

    def translate(message: str) -> str:
        return translator(language())(message)

    @routes.get("/me")
    def me() -> Response:
        visitor = sign_in.user()
        return jsonify({"id": visitor.id, "email": visitor.email, "csrf_token": generate_csrf()})

    @routes.get("/projects")
    def projects() -> Response:
        visible = sign_in.sees_which(overview.projects(services))
        return jsonify({"projects": [overview.project(services, one, translate) for one in visible]})

    @routes.get("/projects/<int:project_id>")
    def project(project_id: int) -> Response:
        sign_in.sees(project_id)
        return jsonify(overview.project(services, project_id, translate))

    @routes.patch("/projects/<int:project_id>")
    def change(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        connect.change_project(services, project_id, by=visitor.email, **json_body())
        return jsonify(overview.project(services, project_id, translate))

    @routes.post("/projects/<int:project_id>/connect")
    def connect_project(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        body = json_body()
        classes = strings(body, "classes")
        connect.connect(services, project_id, by=visitor.email, classes=classes or (), kind=_kind(body))
        return jsonify(overview.project(services, project_id, translate))

    @routes.post("/projects/<int:project_id>/runs")
    def make(project_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(project_id)
        body = json_body()
        classes, kind = strings(body, "classes"), _kind(body)
        if kind is not None:
            connect.use_kind(services, project_id, kind, by=visitor.email)
        run_id = train.request_run(services, project_id, by=visitor.email, trigger="person", classes=classes)
        return jsonify(overview.run(services, run_id, translate)), 201

    @routes.get("/projects/<int:project_id>/runs")
    def runs(project_id: int) -> Response:
        sign_in.sees(project_id)
        before = in_query("before", 1, 2**31 - 1)
        return jsonify({"runs": overview.runs(services, project_id, translate, before=before)})

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
        body = json_body()
        job_id = label.request_auto_label(
            services,
            project_id,
            by=visitor.email,
            which=Which(
                status=text(body, "status") or "untouched",
                count=number(body, "count", int),
                view=number(body, "view", int),
                tasks=numbers(body, "tasks"),
            ),
            candidate_id=number(body, "model", int),
            threshold=number(body, "threshold", float),
            prepare=anything(body, "prepare"),
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

    @routes.post("/auto-label/<int:job_id>/pause")
    def pause_job(job_id: int) -> Response:
        visitor = sign_in.sees(overview.job(services, job_id)["project"])
        label.pause_job(services, job_id, by=visitor.email)
        return jsonify(overview.job(services, job_id, translate))

    @routes.post("/auto-label/<int:job_id>/resume")
    def resume_job(job_id: int) -> Response:
        visitor = sign_in.sees(overview.job(services, job_id)["project"])
        label.resume_job(services, job_id, by=visitor.email)
        return jsonify(overview.job(services, job_id, translate))

    @routes.post("/auto-label/<int:job_id>/retry")
    def retry_job(job_id: int) -> Response:
        visitor = sign_in.sees(overview.job(services, job_id)["project"])
        label.retry_job(services, job_id, by=visitor.email)
        return jsonify(overview.job(services, job_id, translate))

    @routes.get("/auto-label/<int:job_id>/failures")
    def failures(job_id: int) -> Response:
        sign_in.sees(overview.job(services, job_id)["project"])
        after = in_query("after", 0, 2**31 - 1) or 0
        return jsonify({"failures": overview.failed_items(services, job_id, translate, after=after)})

    return routes


def _kind(body: dict[str, Any]) -> str | None:
    value = body.get("kind")
    return None if value is None else connect.kind_named(value).value
