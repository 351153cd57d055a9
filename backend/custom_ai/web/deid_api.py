"""REST routes about hiding faces in images that are in Label Studio."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from custom_ai.errors import N_, BadInput
from custom_ai.i18n import translator
from custom_ai.pipeline import deidentify, hidden_report
from custom_ai.services import Services
from custom_ai.web.body import anything, json_body, numbers, text
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("deid_api", __name__)

    def translate(message: str) -> str:
        return translator(language())(message)

    @routes.post("/projects/<int:project_id>/deidentify")
    def begin(project_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(project_id)
        body = json_body()
        which = numbers(body, "tasks") or text(body, "which") or "all"
        job_id = deidentify.request_deidentify(services, project_id, by=visitor.email, which=which)
        return jsonify(hidden_report.job(services, job_id, translate)), 201

    @routes.get("/projects/<int:project_id>/deidentify")
    def jobs(project_id: int) -> Response:
        sign_in.sees(project_id)
        return jsonify({"jobs": hidden_report.jobs(services, project_id, translate)})

    @routes.get("/deidentify/<int:hiding_id>")
    def job(hiding_id: int) -> Response:
        found = hidden_report.job(services, hiding_id, translate)
        sign_in.sees(found["project"])
        return jsonify(found)

    @routes.get("/deidentify/<int:hiding_id>/images")
    def images(hiding_id: int) -> Response:
        """``?format=csv`` for a table."""
        found = hidden_report.job(services, hiding_id, translate)
        sign_in.sees(found["project"])
        rows = hidden_report.images(services, hiding_id, translate)
        if request.args.get("format") != "csv":
            return jsonify({"job": found, "images": rows})
        name = f'attachment; filename="hidden-{hiding_id}.csv"'
        return Response(hidden_report.as_csv(rows), mimetype="text/csv", headers={"Content-Disposition": name})

    @routes.post("/deidentify/<int:hiding_id>/cancel")
    def cancel(hiding_id: int) -> Response:
        visitor = sign_in.sees(hidden_report.job(services, hiding_id)["project"])
        deidentify.cancel_deidentify(services, hiding_id, by=visitor.email)
        return jsonify(hidden_report.job(services, hiding_id, translate))

    @routes.post("/deidentify/<int:hiding_id>/retry")
    def retry(hiding_id: int) -> Response:
        visitor = sign_in.sees(hidden_report.job(services, hiding_id)["project"])
        deidentify.retry_deidentify(services, hiding_id, by=visitor.email)
        return jsonify(hidden_report.job(services, hiding_id, translate))

    @routes.post("/projects/<int:project_id>/tasks/<int:task_id>/areas")
    def areas(project_id: int, task_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(project_id)
        body = json_body()
        add, remove = anything(body, "add"), numbers(body, "remove") or []
        if not add and not remove:
            raise BadInput(what=N_("the request"), why=N_("expected 1 to 1000 areas to add or remove"))
        job_id = hidden_report.redo(services, project_id, task_id, by=visitor.email, add=add, remove=remove)
        return jsonify(hidden_report.job(services, job_id, translate)), 201

    @routes.post("/projects/<int:project_id>/tasks/<int:task_id>/approve")
    def approve(project_id: int, task_id: int) -> tuple[str, int]:
        visitor = sign_in.sees(project_id)
        hidden_report.approve(services, project_id, task_id, by=visitor.email)
        return "", 204

    return routes
