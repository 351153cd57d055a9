"""Signing in on the pages, against the real Label Studio: its cookie, its tokens, and what it takes away again."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from stack import Stack, eventually

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.state.tables import Project, WebSession
from custom_ai.web import create_app
from custom_ai.web import visitors as visitors_module
from support import services_in

pytestmark = pytest.mark.flow
COOKIE = "custom_ai_sign_in"


@pytest.fixture(scope="module")
def project_id(stack: Stack) -> Iterator[int]:
    made = stack.new_project(title="Sign-in")
    assert stack.command("connect", str(made)).returncode == 0
    yield made
    stack.studio.delete_project(made)


@dataclass
class Member:
    """Somebody who has signed up in Label Studio."""

    email: str
    id: int
    cookie: str
    token: str
    legacy: str


def sign_up(server: LabelStudioServer) -> Member:
    """As a person does it: the sign-up page, then Account & Settings."""
    email = f"{secrets.token_hex(4)}@example.com"
    with httpx.Client(base_url=server.url, timeout=30, follow_redirects=False) as browser:
        browser.get("/user/signup/")
        form = {"email": email, "password": "a long password", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post("/user/signup/", data=form, headers={"Referer": f"{server.url}/user/signup/"})
        assert answer.status_code == 302, answer.text[:500]
        browser.headers.update({"X-CSRFToken": browser.cookies.get("csrftoken") or "", "Referer": server.url})
        me = browser.get("/api/current-user/whoami").json()
        token = browser.post("/api/token/").json()["token"]
        legacy = browser.get("/api/current-user/token").json()["token"]
        return Member(email, me["id"], browser.cookies["sessionid"], token, legacy)


@pytest.fixture(scope="module")
def member(label_studio: LabelStudioServer) -> Member:
    return sign_up(label_studio)


@pytest.fixture
def browser(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60, follow_redirects=False) as client:
        yield client


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found is not None, html[:2000]
    return found[1]


def sign_in(browser: httpx.Client, token: str, after: str = "/projects") -> httpx.Response:
    page = browser.get(after)
    assert page.status_code == 401
    assert f'name="next" value="{after}"' in page.text
    return browser.post("/sign-in", data={"csrf_token": csrf_of(page.text), "token": token, "next": after})


def test_label_studios_cookie(browser: httpx.Client, member: Member, project_id: int) -> None:
    browser.cookies.set("sessionid", member.cookie, domain="127.0.0.1")
    page = browser.get(f"/projects/{project_id}")
    assert page.status_code == 200
    assert member.email in page.text
    assert COOKIE not in browser.cookies
    assert browser.get("/projects/999999").status_code == 404
    listed = browser.get("/api/projects").json()["projects"]
    assert project_id in [one["id"] for one in listed], "one question for the whole list gives the same as one each"


def test_personal_access_token(browser: httpx.Client, member: Member, project_id: int) -> None:
    answer = sign_in(browser, member.token, f"/projects/{project_id}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/projects/{project_id}")
    page = browser.get(f"/projects/{project_id}")
    assert page.status_code == 200
    assert member.email in page.text
    page = browser.get("/account")
    assert browser.post("/sign-out", data={"csrf_token": csrf_of(page.text)}).status_code == 303
    assert browser.get(f"/projects/{project_id}").status_code == 401


def test_legacy_token(browser: httpx.Client, member: Member, label_studio: LabelStudioServer) -> None:
    refused = sign_in(browser, member.legacy)
    assert refused.status_code == 401
    assert "legacy tokens are disabled" in refused.text
    label_studio.enable_legacy_tokens()
    try:
        assert sign_in(browser, member.legacy).status_code == 303
        assert browser.get("/projects").status_code == 200
    finally:
        label_studio.enable_legacy_tokens(False)


def test_personal_tokens_switched_off(browser: httpx.Client, member: Member, label_studio: LabelStudioServer) -> None:
    """Label Studio still exchanges such a token, but takes nothing that came of it."""
    with label_studio.signed_in() as admin:
        admin.post("/api/jwt/settings", json={"api_tokens_enabled": False}).raise_for_status()
        try:
            refused = sign_in(browser, member.token)
        finally:
            admin.post("/api/jwt/settings", json={"api_tokens_enabled": True}).raise_for_status()
    assert refused.status_code == 401
    assert "switched off on the Organization page" in refused.text


def test_wrong_tokens(browser: httpx.Client, member: Member) -> None:
    for token, words in {
        member.token[:-4] + "AAAA": "not valid",
        member.token.rpartition(".")[0]: "only a part of a token",
        "0" * 40: "does not know this token",
    }.items():
        answer = sign_in(browser, token)
        assert answer.status_code == 401
        assert words in answer.text
    assert COOKIE not in browser.cookies


def test_project_of_another_organization(
    browser: httpx.Client, member: Member, label_studio: LabelStudioServer, project_id: int
) -> None:
    """Community has one organization for all who sign up, and no roles; a second one is made in its database only."""
    assert sign_in(browser, member.token).status_code == 303
    assert browser.get(f"/projects/{project_id}").status_code == 200
    stranger = sign_up(label_studio)
    move_to_new_organization(label_studio, stranger)
    with httpx.Client(base_url=str(browser.base_url), timeout=60) as other:
        assert sign_in(other, stranger.token).status_code == 303
        refused, missing = other.get(f"/projects/{project_id}"), other.get("/projects/999999")
        assert (refused.status_code, missing.status_code) == (404, 404)
        assert "Sign-in" not in refused.text
        api = {"Authorization": f"Bearer {stranger.token}"}
        assert other.get("/api/projects", headers=api).json() == {"projects": []}


def move_to_new_organization(server: LabelStudioServer, who: Member) -> None:
    """What Label Studio's administrators do in its shell."""
    with sqlite3.connect(server.data_dir / "label_studio.sqlite3", timeout=30) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(organization)")]
        values = dict(zip(columns, database.execute("SELECT * FROM organization LIMIT 1").fetchone(), strict=True))
        values |= {"title": "Others", "token": secrets.token_hex(20), "created_by_id": who.id}
        del values["id"]
        marks = ", ".join("?" * len(values))
        made = database.execute(f"INSERT INTO organization ({', '.join(values)}) VALUES ({marks})", [*values.values()])
        database.execute("UPDATE htx_user SET active_organization_id = ? WHERE id = ?", (made.lastrowid, who.id))
    database.close()


def test_revoked_token_loses_access(
    label_studio: LabelStudioServer, project_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Label Studio's answers count for a minute; here for two seconds, so that nobody has to wait for it."""
    monkeypatch.setattr(visitors_module, "REMEMBER_S", 2.0)
    services = services_in(tmp_path, label_studio.url)
    browser = create_app(services).test_client()
    where = f"/api/projects/{project_id}"
    gone = sign_up(label_studio)
    with services.database.write() as session:
        session.add(Project(id=project_id, title="Sign-in", available_classes=[]))
    form = {"csrf_token": csrf_of(browser.get("/sign-in").text), "token": gone.token}
    assert browser.post("/sign-in", data=form).status_code == 303
    assert browser.get(where).status_code == 200
    revoked = httpx.post(
        f"{label_studio.url}/api/token/blacklist/",
        json={"refresh": gone.token},
        headers={"Cookie": f"sessionid={gone.cookie}"},
        timeout=30,
    )
    assert revoked.status_code == 204, revoked.text
    eventually(lambda: browser.get(where).status_code == 401, 10, "access is lost")
    with services.database.read() as session:
        assert session.scalars(select(WebSession)).all() == []
    again = browser.post("/sign-in", data=form | {"csrf_token": csrf_of(browser.get("/sign-in").text)})
    assert "create a new one" in again.text
    services.label_studio.session.close()
    services.database.dispose()
