"""REST routes about pre-labels that stand in Label Studio: their review, taking them back, another threshold."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from custom_ai.errors import N_, BadInput
from custom_ai.i18n import translator
from custom_ai.pipeline import overview, preview_images, review_order, revisions
from custom_ai.services import Services
from custom_ai.web.body import in_query, json_body, number
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("pre_labels_api", __name__)

    def translate(message: str) -> str:
        return translator(language())(message)

    @routes.post("/auto-label/<int:job_id>/roll-back")
    def roll_back(job_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(overview.job(services, job_id)["project"])
        revisions.request_roll_back(services, job_id, by=visitor.email)
        return jsonify(overview.job(services, job_id, translate)), 202

    @routes.post("/auto-label/<int:job_id>/threshold")
    def threshold(job_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(overview.job(services, job_id)["project"])
        body = json_body()
        if "threshold" not in body:
            raise BadInput(what="threshold", why=N_("expected a number, or null for the model's own thresholds"))
        revisions.request_threshold(services, job_id, number(body, "threshold", float), by=visitor.email)
        return jsonify(overview.job(services, job_id, translate)), 202

    @routes.post("/projects/<int:project_id>/review-tab")
    def review_tab(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        return jsonify(review_order.make(services, project_id, by=visitor.email))

    @routes.get("/models/<int:model_id>/preview")
    def preview(model_id: int) -> Response:
        """What the model sees in some untouched images, with all scores; nothing is stored."""
        seed = in_query("other", 0, 10_000) or 0
        return jsonify(preview_images.preview(services, model_id, translate, page=seed))

    @routes.get("/models/<int:model_id>/preview/<int:task_id>")
    def preview_image(model_id: int, task_id: int) -> Response:
        content = preview_images.image(services, model_id, task_id)
        return Response(content, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    return routes
