"""The pages: the dashboard and the blind vote. ``custom_ai.web.create_app`` mounts them.

Server-rendered and usable without JavaScript. They know the pipeline and nothing above it: who is
asking, and in which language, is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template, request
from flask_wtf.csrf import CSRFProtect

from custom_ai.errors import Unauthorized
from custom_ai.i18n import LANGUAGES
from custom_ai.services import Services
from custom_ai_ui import pages, reporting, voting
from custom_ai_ui.site import LANGUAGE_COOKIE, Person, Site, words_for

_YEAR_S = 365 * 24 * 3600


def blueprint(
    services: Services,
    user: Callable[[], Person],
    sees: Callable[[int], Person],
    csrf: CSRFProtect,
    language: Callable[[], str],
) -> Blueprint:
    """The pages, named "pages".

    ``user()`` returns the visitor or raises Unauthorized; ``sees(project_id)`` the same for a visitor
    who must see that project in Label Studio (else NotFound); ``language()`` is "en" or "ko".
    """
    site = Site(services, user, sees, language)
    routes = Blueprint(
        "pages",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static/custom-ai",
    )

    @routes.before_request
    def protect() -> None:
        csrf.protect()  # does nothing for GET

    @routes.context_processor
    def words() -> dict[str, object]:
        return words_for(language())

    @routes.errorhandler(Unauthorized)
    def sign_in(error: Unauthorized) -> tuple[str, int]:
        there = str(error.params.get("url", ""))
        return render_template("custom_ai_ui/sign_in.html", label_studio=there, **_same_host(there)), error.status

    @routes.after_request
    def finish(response: Response) -> Response:
        chosen = request.args.get("lang")
        if chosen in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, chosen, max_age=_YEAR_S, samesite="Lax", httponly=True)
        if response.mimetype == "text/html":
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    pages.add_routes(routes, site)
    voting.add_routes(routes, site)
    reporting.add_routes(routes, site)
    return routes


def error_page(text: str, language: str) -> str:
    """A page that shows one error; ``text`` is in ``language`` already. Needs a request."""
    return render_template("custom_ai_ui/error.html", text=text, **words_for(language))


def _same_host(label_studio: str) -> dict[str, str]:
    """Label Studio's cookie reaches us only under the same host name: say so when the names differ."""
    theirs, ours = urlsplit(label_studio), urlsplit(request.url)
    if not theirs.hostname or theirs.hostname == ours.hostname:
        return {"other_host": "", "better_url": ""}
    port = f":{ours.port}" if ours.port else ""
    better = ours._replace(netloc=f"{theirs.hostname}{port}").geturl()
    return {"other_host": theirs.hostname, "better_url": better}
