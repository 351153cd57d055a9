"""Label Studio's ML-backend protocol: /health /setup /predict /webhook /versions.

Before every prediction Label Studio asks /health (it waits 1 s) and /setup (3 s): both answer from
memory or one row, and never load a model. A webhook is waited for 1 s and sent once: it is only
noted. See docs/label-studio-protocol.md for what Label Studio 1.23 really does.
"""

from __future__ import annotations

import hmac
import json
import logging
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from sqlalchemy import select

from custom_ai import __version__
from custom_ai.errors import N_, BadInput, CustomAIError
from custom_ai.i18n import translator
from custom_ai.pipeline import events
from custom_ai.pipeline.connect import SECRET_HEADER, webhook_secret
from custom_ai.pipeline.look import request_look
from custom_ai.pipeline.predict import Request, predict
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Promotion
from custom_ai.web.language import language

log = logging.getLogger(__name__)


class WrongSecret(CustomAIError):
    code, status = "wrong_secret", 401
    template = N_("This webhook carries no valid secret. `custom-ai connect {project}` registers one that does.")


class WrongPassword(CustomAIError):
    code, status = "wrong_password", 401
    template = N_("This ML backend wants basic auth: enter BASIC_AUTH_USER and BASIC_AUTH_PASS in Label Studio.")


def blueprint(services: Services) -> Blueprint:
    """The routes that Label Studio calls."""
    routes = Blueprint("ml_backend", __name__)

    @routes.get("/health")
    def health() -> Response:
        return jsonify({"status": "UP", "model_class": "CustomAI", "version": __version__})

    @routes.post("/setup")
    def setup() -> Response:
        _check_password(services)
        body = _json_object()
        project_id = _project_id(body.get("project"))
        _read_extra_params(body.get("extra_params"))
        events.welcome(services, project_id)
        return jsonify({"model_version": events.served_version(services, project_id)})

    @routes.post("/predict")
    def predictions() -> Response:
        _check_password(services)
        body = _json_object()
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise BadInput(what="tasks", why=N_("expected a list of tasks"))
        wanted = Request(_project_id(body.get("project")), str(body.get("label_config") or ""), tasks)
        return jsonify({"results": predict(services, wanted)})

    @routes.post("/webhook")
    def webhook() -> tuple[Response, int]:
        body = _json_object()
        project = body.get("project")
        project_id = _project_id(project.get("id") if isinstance(project, dict) else project)
        action = str(body.get("action") or "")
        if action == events.START_TRAINING:
            _check_password(services)
            answer = events.start_training(services, project if isinstance(project, dict) else {"id": project_id})
            return jsonify(answer | {"message": translator(language())(answer["message"])}), 200
        given = request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode(), webhook_secret(services, project_id).encode()):
            raise WrongSecret(project=project_id)
        known = request_look(services, project_id, by_webhook=True)
        return jsonify({"status": "noted" if known else "unknown project"}), 200

    @routes.route("/versions", methods=["GET", "POST"])
    def versions() -> Response:
        _check_password(services)
        with services.database.read() as session:
            ids = session.execute(
                select(Candidate.project_id, Candidate.id)
                .join(Promotion, Promotion.candidate_id == Candidate.id)
                .distinct()
                .order_by(Candidate.id.desc())
            ).all()
        return jsonify({"versions": [f"p{row[0]}-m{row[1]}" for row in ids]})

    return routes


def _json_object() -> dict[str, Any]:
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise BadInput(what=N_("the request"), why=N_("expected a JSON object"))
    return body


def _project_id(value: object) -> int:
    number = events.project_number(value)
    if number is None:
        raise BadInput(what=f"project {str(value)[:40]!r}", why=N_("expected a Label Studio project id"))
    return number


def _read_extra_params(value: object) -> dict[str, Any]:
    """Extra params: a JSON string from Label Studio's form, an object from its API. We need none."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            log.warning("extra params of the ML backend are not JSON and are ignored")
            return {}
    if isinstance(value, dict) and value:
        log.info("extra params are not used: %s", ", ".join(sorted(map(str, value))))
        return value
    return {}


def _check_password(services: Services) -> None:
    settings = services.settings
    if not settings.basic_auth_user:
        return
    given = request.authorization
    user = (given.username if given and given.type == "basic" else "") or ""
    password = (given.password if given and given.type == "basic" else "") or ""
    good_user = hmac.compare_digest(user.encode(), settings.basic_auth_user.encode())
    good_password = hmac.compare_digest(password.encode(), settings.basic_auth_pass.get_secret_value().encode())
    if not (good_user and good_password):
        current_app.logger.warning("wrong basic auth from %s", request.remote_addr)
        raise WrongPassword
