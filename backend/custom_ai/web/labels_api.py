"""REST route by which people's labels are taken away."""

from __future__ import annotations

import tempfile
import zipfile

from flask import Blueprint, Response, request, send_file

from custom_ai.errors import N_, BadInput
from custom_ai.formats.common import Format
from custom_ai.pipeline.connect import kind_named
from custom_ai.pipeline.export_labels import export_labels
from custom_ai.services import Services
from custom_ai.types import LabelKind
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The route below /api; the command line does the same, also with the pictures."""
    routes = Blueprint("labels_api", __name__)

    @routes.get("/projects/<int:project_id>/export")
    def export(project_id: int) -> Response:
        visitor = sign_in.sees(project_id)
        format, kind = _format(request.args.get("format", "")), _kind(request.args.get("kind", ""))
        predictions = request.args.get("predictions", "") not in ("", "0", "false")
        file = tempfile.TemporaryFile(dir=services.settings.state_dir)  # noqa: SIM115 - Flask closes it, and then it is gone
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                export_labels(
                    services,
                    project_id,
                    archive.writestr,
                    by=visitor.email,
                    format=format,
                    kind=kind,
                    with_predictions=predictions,
                )
        except BaseException:
            file.close()
            raise
        file.seek(0)
        name = f"project-{project_id}-{format.value}.zip"
        return send_file(file, mimetype="application/zip", as_attachment=True, download_name=name)

    return routes


def _format(text: str) -> Format:
    if text not in (Format.COCO, Format.YOLO, Format.VOC):
        raise BadInput(what=f"format = {text[:40]!r}", why=N_("expected coco, yolo or voc"))
    return Format(text)


def _kind(text: str) -> LabelKind | None:
    return kind_named(text[:40]) if text else None
