"""REST routes about single models: their card, files and report."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from custom_ai.errors import N_, NotFound
from custom_ai.i18n import translator
from custom_ai.pipeline import export, preview, reports
from custom_ai.services import Services
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api/models; they change nothing."""
    routes = Blueprint("models_api", __name__)

    @routes.get("/models/<int:model_id>/card")
    def card(model_id: int) -> Response:
        found = _seen(services, sign_in, model_id)
        if request.args.get("format") == "markdown":
            return Response(export.card_text(found), mimetype="text/markdown")
        return jsonify(found)

    @routes.get("/models/<int:model_id>/file")
    def file(model_id: int) -> Response:
        _seen(services, sign_in, model_id)
        name, content = export.model_file(services, model_id, request.args.get("format", "onnx"))
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, mimetype="application/octet-stream", headers=headers)

    @routes.get("/models/<int:model_id>/report")
    def report(model_id: int) -> Response:
        card = _seen(services, sign_in, model_id)
        if request.args.get("format") == "zip":
            from custom_ai_ui.report_files import as_zip, report_files  # the pages know the pipeline, not this package

            name = f"report-{card['version']}"
            headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
            content = as_zip(report_files(services, model_id, language()), name)
            return Response(content, mimetype="application/zip", headers=headers)
        return jsonify(reports.report(services, model_id, translator(language())))

    @routes.get("/models/<int:model_id>/thresholds")
    def thresholds(model_id: int) -> Response:
        _seen(services, sign_in, model_id)
        return jsonify(preview.thresholds(services, model_id))

    @routes.get("/models/<int:model_id>/images/<int:task_id>")
    def image(model_id: int, task_id: int) -> Response:
        _seen(services, sign_in, model_id)
        view = request.args.get("view")
        content = reports.report_image(services, model_id, task_id, reports.view_named(view) if view else None)
        return Response(content, mimetype="image/jpeg")

    return routes


def _seen(services: Services, sign_in: SignIn, model_id: int) -> dict[str, object]:
    sign_in.user()  # before anything is said about which models there are
    found = export.model_card(services, model_id, translator(language()))
    try:
        sign_in.sees(found["project"]["id"])
    except NotFound as error:
        raise NotFound(what=N_("model"), id=model_id) from error
    return found
