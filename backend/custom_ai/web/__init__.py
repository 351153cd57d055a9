"""The web process: Label Studio's ML-backend protocol, the REST API and the pages."""

from __future__ import annotations

import logging
import uuid

from flask import Flask, Response, jsonify, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map

from custom_ai.errors import N_, CustomAIError
from custom_ai.i18n import translator
from custom_ai.services import Services
from custom_ai.web import (
    api,
    deid_api,
    guard,
    labels_api,
    ml_backend,
    models_api,
    notifications_api,
    pre_labels_api,
    reports_api,
    tasks_api,
    uploads_api,
    votes_api,
)
from custom_ai.web.attempts import TooManyAttempts
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn

log = logging.getLogger(__name__)
_HTTP_TEXTS = {
    404: N_("There is nothing at this address."),
    405: N_("This address is for something else: go back and use the page."),
}
INTERNAL = N_("Internal error; the log has it under id {id}.")


def create_app(services: Services) -> Flask:
    """The only wiring of the web process; ``services`` come from ``custom_ai.wiring.build``."""
    import custom_ai_ui  # mounted here; the pages know the pipeline, not this package

    app = Flask("custom_ai.web")
    app.config.update(
        SECRET_KEY=services.database.secret_key(),
        # Label Studio's cookies belong to the same host name, whatever the port: have our own name.
        SESSION_COOKIE_NAME="custom_ai_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=services.settings.public_url.startswith("https://"),
        MAX_CONTENT_LENGTH=64_000_000,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,  # checked by `guard` for everything but the ML protocol
    )
    app.url_map.converters["int"] = _Id
    csrf = CSRFProtect(app)
    sign_in = SignIn(services)
    guard.add(app, services, sign_in, csrf)
    app.register_blueprint(ml_backend.blueprint(services))
    app.register_blueprint(api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(votes_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(models_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(reports_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(notifications_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(pre_labels_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(tasks_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(labels_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(deid_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(uploads_api.blueprint(services, sign_in), url_prefix="/api")
    app.register_blueprint(custom_ai_ui.blueprint(services, sign_in.user, sign_in.sees, language, sign_in))
    app.register_error_handler(Exception, _show_error)
    app.after_request(_safe_headers)
    hops = services.settings.trusted_proxies
    if hops:
        proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops)
        app.wsgi_app = proxied  # type: ignore[method-assign]
    return app


class _Id(IntegerConverter):
    """Ids in URLs; a larger number is no id (and SQL could not take it)."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=2**31 - 1)


_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Scripts, styles, images and requests of our own origin only, nothing inline, and no foreign page around ours:
    # Label Studio does not frame us.
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PRIVATE_TYPES = ("text/html", "application/json")


def _safe_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype in _PRIVATE_TYPES:
        # Not even for the back button: on a shared computer somebody else may press it after a sign-out.
        response.headers.setdefault("Cache-Control", "private, no-store")
    elif response.mimetype == "image/jpeg" and response.status_code == 200:
        # People's images. A browser may keep them, but asks each time whether its visitor may (still) see them.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        response.add_etag()
        response.make_conditional(request)
    return response


def _show_error(error: Exception) -> tuple[Response | str, int, dict[str, str]]:
    """Every error as JSON for programs or as a page for people, in their language."""
    translate = translator(language())
    wait = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyAttempts) else {}
    if isinstance(error, CustomAIError):
        code, status, text = error.code, error.status, error.text(translate)
    elif isinstance(error, CSRFError):
        code, status, text = (
            "csrf",
            400,
            translate(N_("This page is too old. Load it again and repeat the step.")),
        )
    elif isinstance(error, HTTPException):
        known = _HTTP_TEXTS.get(error.code or 0)
        code, status, text = "http", error.code or 500, translate(known) if known else str(error.description)
    else:
        id = uuid.uuid4().hex[:12]
        log.error("internal error %s in %s %s", id, request.method, request.path, exc_info=error)
        code, status, text = "internal", 500, translate(INTERNAL).format(id=id)
    wishes = request.accept_mimetypes
    wants_page = request.blueprint is None and wishes.best_match(["application/json", "text/html"]) == "text/html"
    if request.blueprint == "pages" or wants_page:
        from custom_ai_ui import error_page

        return error_page(text, language()), status, wait
    return jsonify({"error": {"code": code, "message": text}}), status, wait
