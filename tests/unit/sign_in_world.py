"""A Label Studio as far as signing in needs one, and the whole web process in front of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fake_label_studio import Call, Reply, Server, as_json, jwt, serving
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from custom_ai.assertions import FOR_LABEL_STUDIO, verify
from custom_ai.services import Services
from custom_ai.state.tables import Project, now
from custom_ai.web import create_app
from support import services_in

PAT = jwt("refresh", name="ann")
LEGACY = "1234567890abcdef" * 2 + "12345678"
COOKIE = "eyJhbm4.signed:1"
REFUSED = {"detail": "Authentication credentials were not provided."}


@dataclass
class Studio:
    """People by what they show, and what they see."""

    shown: dict[str, int] = field(default_factory=lambda: {PAT: 1, LEGACY: 1, COOKIE: 1})
    """Personal access token, legacy token or value of the session cookie -> user id."""
    sees: dict[int, set[int]] = field(default_factory=lambda: {1: {7}})
    personal_enabled: bool = True
    legacy_enabled: bool = True
    extension_secret: str = ""
    """Of our extension; empty: it is not installed."""
    broken: int = 0
    """An HTTP status to answer everything with; negative: hang up."""

    def answer(self, call: Call) -> Reply:
        if self.broken:
            return Reply(self.broken)
        if call.path == "/api/token/refresh/":
            token = json.loads(call.body)["refresh"]
            return as_json(
                {"access": jwt("access", name=token[-9:])} if token in self.shown else {},
                200 if token in self.shown else 401,
            )
        if call.path == "/custom-ai/who-sees":
            return self._who_sees(call)
        return self._about(call, self._who(call))

    def _who_sees(self, call: Call) -> Reply:
        """Our extension's part."""
        if not self.extension_secret:
            return as_json({"detail": "Not found."}, 404)
        claims = verify(self.extension_secret, FOR_LABEL_STUDIO, json.loads(call.body)["assertion"])
        who = claims["user"]
        if who not in self.sees:
            return as_json({"detail": "no such user"}, 403)
        return as_json(
            {"id": who, "email": f"user{who}@example.com", "projects": sorted(self.sees[who] & {*claims["projects"]})}
        )

    def _who(self, call: Call) -> int | None:
        scheme, _, value = call.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer" and self.personal_enabled:
            return next((who for token, who in self.shown.items() if value == jwt("access", name=token[-9:])), None)
        if scheme == "Token" and self.legacy_enabled:
            return self.shown.get(value)
        cookie = re.fullmatch(r"sessionid=(.*)", call.headers.get("Cookie", ""))
        return self.shown.get(cookie[1]) if cookie and not scheme else None

    def _about(self, call: Call, who: int | None) -> Reply:
        if who is None:
            disabled = call.headers.get("Authorization", "").startswith("Token") and not self.legacy_enabled
            words = "legacy token authentication has been disabled for this organization"
            return as_json({"detail": words} if disabled else {"detail": "Invalid token."}, 401)
        parts = urlsplit(call.path)
        if parts.path == "/api/current-user/whoami":
            return as_json({"id": who, "email": f"user{who}@example.com"})
        if parts.path == "/api/projects/":
            asked = {int(one) for one in parse_qs(parts.query)["ids"][0].split(",")}
            return as_json({"results": [{"id": one} for one in asked & self.sees[who]], "next": None})
        found = re.fullmatch(r"/api/projects/(\d+)/", parts.path)
        if found and int(found[1]) in self.sees[who]:
            return as_json({"id": int(found[1]), "title": "Seen"})
        return as_json({"detail": "Not found."}, 404)


@dataclass
class SignInWorld:
    """A running fake, and services that know its address."""

    studio: Studio
    server: Server
    services: Services
    app: Flask

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def asked(self, path: str) -> int:
        """How often Label Studio was asked for this path."""
        return sum(one.partition("?")[0] == path for one in self.server.paths())


@contextmanager
def sign_in_world(folder: Path, **settings: object) -> Iterator[SignInWorld]:
    """Projects 7 and 8 are connected; user 1 sees 7."""
    studio = Studio()
    with serving(studio.answer) as server:
        services = services_in(folder, server.url, **settings)
        with services.database.write() as session:
            for id in (7, 8):
                session.add(Project(id=id, title=f"Project-{id}", available_classes=["cup"], connected_at=now()))
        yield SignInWorld(studio, server, services, create_app(services))
        services.label_studio.session.close()
        services.database.dispose()


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found is not None, html
    return found[1]


def sign_in(browser: FlaskClient, token: str = PAT, then: str = "/projects", **how: object) -> TestResponse:
    """Fill in the form of the sign-in page."""
    page = browser.get("/sign-in", **how)
    fields = {"csrf_token": csrf_of(page.get_data(as_text=True)), "token": token, "next": then}
    return browser.post("/sign-in", data=fields, **how)
