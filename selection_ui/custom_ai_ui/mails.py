"""Which mails the visitor wants, and the way out of them, which needs no sign-in (RFC 8058)."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, LinkInvalid
from custom_ai.pipeline import mail_wishes, overview
from custom_ai_ui.site import Site

WISHES = {"everything": True, "nothing": False}
"""Values of the form; any other: mails about what one has started."""


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the pages about mails to the blueprint. ``custom_ai.web.guard`` lets strangers unsubscribe."""
    services = site.services

    @routes.get("/mails")
    def mails() -> str:
        return render_template(
            "custom_ai_ui/mails.html",
            wishes=mail_wishes.wishes_of(services, site.user().email),
            projects=overview.titles(services, site.visible()),
            language=site.language(),
            possible=bool(services.settings.smtp_host),
        )

    @routes.post("/mails")
    def change_mails() -> Response:
        with site.telling(N_("Saved.")):
            mail_wishes.set_wishes(
                services,
                site.user().email,
                language=request.form.get("language"),
                projects={one: WISHES.get(request.form.get(f"project-{one}", "")) for one in site.visible()},
            )
        return redirect(url_for(".mails"), 303)

    @routes.get("/unsubscribe/<token>")
    def unsubscribe(token: str) -> tuple[str, int]:
        """Asks first: programs that look into mails open the links in them."""
        try:
            email, _, title = mail_wishes.read_unsubscribe(services, token)
        except LinkInvalid as error:
            return _end(error.text(site.translate)), error.status
        return render_template("custom_ai_ui/unsubscribe.html", email=email, title=title, text=""), 200

    @routes.post("/unsubscribe/<token>")
    def unsubscribe_now(token: str) -> tuple[str, int]:
        try:
            mail_wishes.unsubscribe(services, token)
        except LinkInvalid as error:
            return _end(error.text(site.translate)), error.status
        return _end(site.translate(N_("You get no more mails about this project."))), 200


def _end(text: str) -> str:
    return render_template("custom_ai_ui/unsubscribe.html", text=text)
