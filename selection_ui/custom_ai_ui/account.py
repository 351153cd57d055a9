"""Signing in and out, and the page about one's own account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, CustomAIError, Unauthorized
from custom_ai_ui.site import Person, Site

TOKEN_PAGE = "/user/account/personal-access-token"
"""Where Label Studio 1.23 shows people their token."""


class KnownPerson(Person, Protocol):
    """A visitor, and what they are known by: "token", "hand_over", "cookie", "header" or "statement"."""

    @property
    def how(self) -> str: ...


class SessionEntry(Protocol):
    """One sign-in with a token."""

    @property
    def created_at(self) -> datetime: ...
    @property
    def used_at(self) -> datetime: ...
    @property
    def here(self) -> bool: ...


class Accounts(Protocol):
    """Who signs people in: ``custom_ai.web.sign_in.SignIn``."""

    def present(self) -> KnownPerson | None:
        """The visitor if this request knows already; asks nobody."""

    def sign_in(self, token: str) -> KnownPerson:
        """Raises an error with a text for people."""

    @property
    def extended(self) -> bool:
        """Whether Label Studio's extension may hand people over to us."""

    def to_label_studio(self, after: str) -> str:
        """The address in Label Studio from where the browser comes back with a statement."""

    def arrive(self, statement: str) -> str:
        """The page that was wanted. Raises an error with a text for people."""

    def sign_out(self) -> None: ...
    def sign_out_everywhere(self) -> None: ...
    def sessions(self) -> Sequence[SessionEntry]: ...
    def sees_which(self, project_ids: Iterable[int]) -> list[int]: ...


def add_routes(routes: Blueprint, site: Site, accounts: Accounts) -> None:
    """Add the pages about signing in to the blueprint."""

    def form(after: str, problem: str = "") -> str:
        there = site.services.settings.label_studio_link
        return render_template(
            "custom_ai_ui/sign_in.html",
            label_studio=there,
            token_page=there + TOKEN_PAGE,
            after=after,
            problem=problem,
            extended=accounts.extended,
            public_url=site.services.settings.public_url,
            **_same_host(there, after),
        )

    @routes.errorhandler(Unauthorized)
    def stranger(error: Unauthorized) -> tuple[str, int]:
        return form(_asked_for()), error.status

    @routes.get("/sign-in")
    def sign_in() -> str | Response:
        after = local_path(request.args.get("next", ""))
        try:
            site.user()
        except CustomAIError:
            return form(after)
        return redirect(after, 303)

    @routes.post("/sign-in")
    def sign_in_with_token() -> Response | tuple[str, int, dict[str, str]]:
        after = local_path(request.form.get("next", ""))
        try:
            accounts.sign_in(request.form.get("token", ""))
        except CustomAIError as error:
            wait = getattr(error, "retry_after_s", None)
            headers = {} if wait is None else {"Retry-After": str(wait)}
            return form(after, error.text(site.translate)), error.status, headers
        return redirect(after, 303)

    @routes.get("/sign-in/label-studio")
    def through_label_studio() -> Response:
        """Where the extension's links lead. ``user`` is its user: who is here already needs no way round."""
        after = local_path(request.args.get("next", ""))
        if not accounts.extended:
            return redirect(url_for(".sign_in", next=after), 303)
        try:
            here = str(site.user().id)
        except CustomAIError:
            here = ""
        if here and here == request.args.get("user"):
            return redirect(after, 303)
        return redirect(accounts.to_label_studio(after), 303)

    @routes.get("/sign-in/arrive")
    def arrive() -> Response | tuple[str, int]:
        try:
            after = accounts.arrive(request.args.get("statement", ""))
        except CustomAIError as error:
            return form(url_for(".project_list"), error.text(site.translate)), error.status
        return redirect(local_path(after), 303)

    @routes.post("/sign-out")
    def sign_out() -> Response:
        accounts.sign_out()
        flash(site.translate(N_("You are signed out.")), "good")
        return redirect(url_for(".sign_in"), 303)

    @routes.get("/account")
    def account() -> str:
        site.user()
        return render_template(
            "custom_ai_ui/account.html",
            sessions=accounts.sessions(),
            label_studio=site.services.settings.label_studio_link,
        )

    @routes.post("/account/sign-out-everywhere")
    def sign_out_everywhere() -> Response:
        accounts.sign_out_everywhere()
        flash(site.translate(N_("All your sign-ins here have ended.")), "good")
        return redirect(url_for(".sign_in"), 303)


def local_path(wanted: str) -> str:
    """``wanted`` if it is a path on this site, else the list of projects.

    Browsers take "//host", "/\\host" and paths with line breaks or tabs in them for other sites.
    """
    plain = wanted.isprintable() and "\\" not in wanted and " " not in wanted
    if plain and wanted.startswith("/") and not wanted.startswith("//"):
        return wanted
    return url_for("pages.project_list")


def _asked_for() -> str:
    """The page to come back to: the one that was asked for, or the one whose form was sent."""
    if request.method in ("GET", "HEAD"):
        query = request.query_string.decode("ascii", "ignore")
        return local_path(f"{request.script_root}{request.path}{'?' if query else ''}{query}")
    referrer = urlsplit(request.referrer or "")
    return local_path(referrer.path if referrer.netloc == request.host else "")


def _same_host(label_studio: str, after: str) -> dict[str, str]:
    """Label Studio's cookie reaches us only under the same host name: say so when the names differ."""
    theirs, ours = urlsplit(label_studio), urlsplit(request.host_url)
    try:
        port = f":{ours.port}" if ours.port else ""
    except ValueError:  # a forged Host header
        return {"other_host": "", "better_url": ""}
    if not theirs.hostname or theirs.hostname == ours.hostname:
        return {"other_host": "", "better_url": ""}
    return {"other_host": theirs.hostname, "better_url": f"{ours.scheme}://{theirs.hostname}{port}{after}"}
