"""REST route for programs that import tasks and wait for their predictions."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from custom_ai.errors import N_, BadInput
from custom_ai.i18n import translator
from custom_ai.pipeline.task_import import File, import_tasks
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("tasks_api", __name__)

    @routes.post("/projects/<int:project_id>/tasks")
    def tasks(project_id: int) -> tuple[Response, int]:
        visitor = sign_in.sees(project_id)
        files = [File(one.filename or "", one.read()) for _, one in request.files.items(multi=True)]
        found = import_tasks(
            services,
            project_id,
            [] if files else _tasks(),
            files,
            by=visitor.email,
            key=request.headers.get("Idempotency-Key", ""),
        )
        rows = [row | {"error": _error(row["error"])} for row in found["tasks"]]
        return jsonify({"version": found["version"], "tasks": rows}), 201

    return routes


def _tasks() -> list[Any]:
    """The JSON list of the request, or that in its field `tasks`."""
    body = request.get_json(silent=True, force=True)
    found = body.get("tasks") if isinstance(body, dict) else body
    if not isinstance(found, list) or not found:
        raise BadInput(what=N_("the request"), why=N_("expected a JSON list of tasks, or image files"))
    return found


def _error(why: dict[str, Any] | None) -> dict[str, str] | None:
    if why is None:
        return None
    return {"code": str(why.get("code") or "error"), "message": render(why, translator(language()))}
