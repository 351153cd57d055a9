"""REST routes about what a run learned from, its forecast, and what people made of pre-labels."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from custom_ai.i18n import translator
from custom_ai.pipeline import forecast, overview, review, run_data
from custom_ai.services import Services
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("reports_api", __name__)

    @routes.get("/runs/<int:run_id>/data")
    def data(run_id: int) -> Response:
        sign_in.user()
        found = run_data.run_data(services, run_id, translator(language()))
        sign_in.sees(found["project"]["id"])
        answer = jsonify(found)
        if request.args.get("download"):
            answer.headers["Content-Disposition"] = f'attachment; filename="run-{run_id}-data.json"'
        return answer

    @routes.post("/runs/<int:run_id>/forecast/stop")
    def stop_forecast(run_id: int) -> Response:
        visitor = sign_in.sees(overview.run(services, run_id)["project"])
        forecast.stop(services, run_id, by=visitor.email)
        return jsonify(run_data.run_data(services, run_id, translator(language()))["forecast"])

    @routes.get("/projects/<int:project_id>/live-score")
    def live_score(project_id: int) -> Response:
        sign_in.sees(project_id)
        return jsonify(review.live_score(services, project_id, translator(language())))

    return routes
