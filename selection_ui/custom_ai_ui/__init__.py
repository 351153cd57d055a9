"""The pages: the dashboard and the blind vote. ``custom_ai.web.create_app`` mounts them.

Server-rendered and usable without JavaScript. They know the pipeline and nothing above it: who is
asking, and in which language, is handed in. The web process checks sign-in and CSRF tokens before any of them.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, render_template

from custom_ai.errors import CustomAIError
from custom_ai.services import Services
from custom_ai_ui import (
    account,
    guests,
    hidden,
    mails,
    new_project,
    notices,
    pages,
    pre_labels,
    preferences,
    project_settings,
    reporting,
    voting,
)
from custom_ai_ui.account import Accounts
from custom_ai_ui.site import Person, Site, words_for


def blueprint(
    services: Services,
    user: Callable[[], Person],
    sees: Callable[[int], Person],
    language: Callable[[], str],
    accounts: Accounts,
) -> Blueprint:
    """The pages, named "pages".

    ``user()`` returns the visitor or raises Unauthorized; ``sees(project_id)`` the same for a visitor
    who must see that project in Label Studio (else NotFound); ``language()`` is "en" or "ko"; ``accounts``
    signs people in and out.
    """
    site = Site(services, user, sees, language, accounts.sees_which)
    routes = Blueprint(
        "pages",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static/custom-ai",
    )

    def unread() -> int | None:
        """How many notifications the visitor has not seen; None for a stranger, or when Label Studio is away."""
        if accounts.present() is None:
            return None
        try:
            return sum(site.unread().values())
        except CustomAIError:
            return None

    @routes.context_processor
    def words() -> dict[str, object]:
        return words_for(language()) | {"visitor": accounts.present(), "unread": unread}

    @routes.after_request
    def finish(response: Response) -> Response:
        preferences.remember(response)
        return response

    account.add_routes(routes, site, accounts)
    pages.add_routes(routes, site)
    pre_labels.add_routes(routes, site)
    hidden.add_routes(routes, site)
    project_settings.add_routes(routes, site)
    new_project.add_routes(routes, site)
    notices.add_routes(routes, site)
    mails.add_routes(routes, site)
    voting.add_routes(routes, site)
    guests.add_routes(routes, site)
    reporting.add_routes(routes, site)
    return routes


def error_page(text: str, language: str) -> str:
    """A page that shows one error; ``text`` is in ``language`` already. Needs a request."""
    return render_template("custom_ai_ui/error.html", text=text, **words_for(language))
