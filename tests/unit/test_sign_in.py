"""Signing in with Label Studio's cookie or with a token: what counts, what is kept, and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import InvalidToken
from fake_label_studio import jwt
from sign_in_world import COOKIE, LEGACY, PAT, SignInWorld, csrf_of, sign_in, sign_in_world
from sqlalchemy import select, update

from custom_ai.pipeline.tick import tick
from custom_ai.state.tables import AuditEntry, WebSession, now
from custom_ai.web import visitors as visitors_module
from custom_ai.web.sessions import Sessions

CREDENTIALS = {"cookie": COOKIE, "personal": PAT, "legacy": LEGACY}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SignInWorld]:
    with sign_in_world(tmp_path) as made:
        yield made


def rows(world: SignInWorld) -> list[WebSession]:
    with world.services.database.read() as session:
        return list(session.scalars(select(WebSession)))


def age(world: SignInWorld, **moments: object) -> None:
    with world.services.database.write() as session:
        session.execute(update(WebSession).values(**moments))


# Label Studio's own cookie


def test_label_studio_cookie_is_shown_to_label_studio_and_nothing_else_is(world: SignInWorld) -> None:
    browser = world.browser()
    browser.set_cookie("sessionid", COOKIE)
    browser.set_cookie("csrftoken", "theirs")
    browser.set_cookie("other", "secret")
    assert browser.get("/projects/7").status_code == 200
    for call in world.server.calls:
        assert call.headers["Cookie"] == f"sessionid={COOKIE}"
        assert "Authorization" not in call.headers
    assert rows(world) == [], "nothing is kept of a cookie"


@pytest.mark.parametrize("name", ["session", "custom_ai_session", "custom_ai_sign_in", "__Host-custom_ai_sign_in"])
def test_cookies_of_other_names_do_not_count(world: SignInWorld, name: str) -> None:
    browser = world.browser()
    browser.set_cookie(name, COOKIE)
    assert browser.get("/projects/7").status_code == 401
    assert world.server.calls == []


@pytest.mark.parametrize("value", ["stale", "a b", "a;b", 'a"b', "x" * 5000])
def test_cookie_that_label_studio_does_not_know(world: SignInWorld, value: str) -> None:
    answer = world.app.test_client(use_cookies=False).get("/projects/7", headers={"Cookie": f"sessionid={value}"})
    assert answer.status_code == 401


def test_answers_are_remembered_for_a_minute_and_no_longer(world: SignInWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(visitors_module.time, "monotonic", lambda: clock[0])
    browser = world.browser()
    browser.set_cookie("sessionid", COOKIE)
    for _ in range(3):
        assert browser.get("/api/projects/7").status_code == 200
    assert (world.asked("/api/current-user/whoami"), world.asked("/api/projects/7/")) == (1, 1)
    del world.studio.shown[COOKIE]
    clock[0] += visitors_module.REMEMBER_S - 1
    assert browser.get("/api/projects/7").status_code == 200
    clock[0] += 2
    assert browser.get("/api/projects/7").status_code == 401
    asked = world.asked("/api/current-user/whoami")
    assert browser.get("/api/projects/7").status_code == 401
    assert world.asked("/api/current-user/whoami") == asked, "a refusal is remembered for a moment too"


def test_access_to_a_project_ends_and_begins(world: SignInWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(visitors_module.time, "monotonic", lambda: clock[0])
    browser = world.browser()
    browser.set_cookie("sessionid", COOKIE)
    assert browser.get("/api/projects/7").status_code == 200
    assert browser.get("/api/projects/8").status_code == 404
    world.studio.sees[1] = {8}
    assert browser.get("/api/projects/8").status_code == 200, "what was just given is seen at once"
    clock[0] += visitors_module.REMEMBER_S + 1
    assert browser.get("/api/projects/7").status_code == 404


def test_list_is_asked_for_in_one_question(world: SignInWorld) -> None:
    browser = world.browser()
    browser.set_cookie("sessionid", COOKIE)
    for _ in range(2):
        found = browser.get("/api/projects").get_json()["projects"]
        assert [one["id"] for one in found] == [7]
    assert world.asked("/api/projects/") == 1
    assert world.asked("/api/projects/7/") == 0


def test_header_wins_over_cookies_and_basic_auth_is_not_ours(world: SignInWorld) -> None:
    browser = world.browser()
    browser.set_cookie("sessionid", COOKIE)
    assert browser.get("/api/me", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert browser.get("/api/me", headers={"Authorization": "Basic YTpi"}).status_code == 200
    assert browser.get("/api/me", headers={"Authorization": f"Token {LEGACY}"}).get_json()["id"] == 1


# A token


@pytest.mark.parametrize("token", [PAT, LEGACY])
def test_token_signs_in_and_leads_back(world: SignInWorld, token: str) -> None:
    browser = world.browser()
    page = browser.get("/projects/7?round=2&x=%26", headers={"Accept": "text/html"})
    html = page.get_data(as_text=True)
    assert page.status_code == 401
    assert 'name="next" value="/projects/7?round=2&amp;x=%26"' in html
    answer = browser.post(
        "/sign-in", data={"csrf_token": csrf_of(html), "token": f"  {token}\n", "next": "/projects/7"}
    )
    assert (answer.status_code, answer.location) == (303, "/projects/7")
    shown = browser.get("/projects/7").get_data(as_text=True)
    assert "user1@example.com" in shown
    assert "Sign out" in shown
    assert browser.get("/projects/8").status_code == 404
    assert token not in shown


@pytest.mark.parametrize("pasted", ["Bearer {}", "Token {}", '"{}"', "{}\r\n"])
def test_token_is_found_in_what_people_paste(world: SignInWorld, pasted: str) -> None:
    assert sign_in(world.browser(), pasted.format(LEGACY)).status_code == 303


def test_cookie_is_strict(world: SignInWorld) -> None:
    (cookie,) = [
        one for one in sign_in(world.browser()).headers.getlist("Set-Cookie") if one.startswith("custom_ai_sign_in=")
    ]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert "Domain" not in cookie


def test_cookies_are_secure_on_https(tmp_path: Path) -> None:
    with sign_in_world(tmp_path, public_url="https://ai.example") as world:
        browser = world.browser()
        where = {"base_url": "https://ai.example", "headers": {"Referer": "https://ai.example/sign-in"}}
        given = sign_in(browser, **where).headers.getlist("Set-Cookie")
        assert all("Secure" in one for one in given)
        assert any(one.startswith("__Host-custom_ai_sign_in=") for one in given)
        assert browser.get("/projects/7", **where).status_code == 200


def test_database_alone_reveals_no_token(world: SignInWorld) -> None:
    browser = world.browser()
    sign_in(browser)
    id = browser.get_cookie("custom_ai_sign_in").value  # type: ignore[union-attr]
    files = [one.read_bytes() for one in world.services.settings.state_dir.rglob("*") if one.is_file()]
    assert any(b"user1@example.com" in content for content in files)
    for content in files:
        assert PAT.encode() not in content
        assert id.encode() not in content
    (row,) = rows(world)
    sessions = Sessions(world.services.database, world.services.settings)
    with pytest.raises(InvalidToken):
        sessions._cipher(row.id).decrypt(row.token)
    assert sessions._cipher(id).decrypt(row.token) == PAT.encode()


def test_signing_in_makes_a_new_id_and_ends_the_old_one(world: SignInWorld) -> None:
    browser = world.browser()
    browser.set_cookie("custom_ai_sign_in", "planted-by-somebody")
    sign_in(browser)
    first = browser.get_cookie("custom_ai_sign_in").value  # type: ignore[union-attr]
    assert first != "planted-by-somebody"
    page = browser.get("/account").get_data(as_text=True)
    browser.post("/sign-in", data={"csrf_token": csrf_of(page), "token": LEGACY})
    second = browser.get_cookie("custom_ai_sign_in").value  # type: ignore[union-attr]
    assert second != first
    assert len(rows(world)) == 1
    stolen = world.browser()
    stolen.set_cookie("custom_ai_sign_in", first)
    assert stolen.get("/projects").status_code == 401
    old_form = browser.post("/account/sign-out-everywhere", data={"csrf_token": csrf_of(page)})
    assert old_form.status_code == 400, "the CSRF token is a new one too"


def test_signing_out(world: SignInWorld) -> None:
    browser = world.browser()
    sign_in(browser)
    id = browser.get_cookie("custom_ai_sign_in").value  # type: ignore[union-attr]
    token = csrf_of(browser.get("/projects").get_data(as_text=True))
    answer = browser.post("/sign-out", data={"csrf_token": token}, follow_redirects=True)
    assert "You are signed out." in answer.get_data(as_text=True)
    assert rows(world) == []
    assert browser.get_cookie("custom_ai_sign_in") is None
    assert browser.get("/projects").status_code == 401
    browser.set_cookie("custom_ai_sign_in", id)
    assert browser.get("/projects").status_code == 401


def test_all_sessions_of_a_user_can_be_ended(world: SignInWorld) -> None:
    here, there, other = world.browser(), world.browser(), world.browser()
    world.studio.shown[jwt("refresh", name="bob")] = 2
    world.studio.sees[2] = {8}
    sign_in(here)
    sign_in(there, LEGACY)
    sign_in(other, jwt("refresh", name="bob"))
    page = here.get("/account").get_data(as_text=True)
    assert page.count("Signed in:") == 2
    assert page.count("this browser") == 1
    here.post("/account/sign-out-everywhere", data={"csrf_token": csrf_of(page)})
    assert [here.get("/projects").status_code, there.get("/projects").status_code] == [401, 401]
    assert other.get("/projects/8").status_code == 200
    with world.services.database.read() as session:
        actions = [(one.actor, one.action) for one in session.scalars(select(AuditEntry))]
    assert ("user1@example.com", "sign_out.everywhere") in actions


def test_label_studios_own_session_cannot_be_signed_out_here(world: SignInWorld) -> None:
    browser = world.browser()
    browser.set_cookie("sessionid", COOKIE)
    page = browser.get("/account").get_data(as_text=True)
    assert "Label Studio is open in this browser" in page
    assert "/sign-out" not in page


@pytest.mark.parametrize(
    ("moments", "alive"),
    [
        ({"used_at": timedelta(hours=11)}, True),
        ({"used_at": timedelta(hours=13)}, False),
        ({"created_at": timedelta(days=6)}, True),
        ({"created_at": timedelta(days=8)}, False),
    ],
)
def test_sessions_expire_and_are_cleared(world: SignInWorld, moments: dict[str, timedelta], alive: bool) -> None:
    browser = world.browser()
    sign_in(browser)
    age(world, **{name: now() - ago for name, ago in moments.items()})
    assert (browser.get("/projects").status_code == 200) == alive
    if alive and "used_at" in moments:
        assert now() - rows(world)[0].used_at < timedelta(minutes=1), "a visit keeps it alive"
    tick(world.services)
    assert len(rows(world)) == int(alive)


def test_revoked_token_ends_the_session(world: SignInWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(visitors_module.time, "monotonic", lambda: clock[0])
    browser = world.browser()
    sign_in(browser)
    browser.get("/projects")
    del world.studio.shown[PAT]
    assert browser.get("/projects").status_code == 200
    clock[0] += visitors_module.REMEMBER_S + 1
    assert browser.get("/projects").status_code == 401
    assert rows(world) == []


def test_label_studio_away_signs_nobody_out(world: SignInWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(visitors_module.time, "monotonic", lambda: clock[0])
    browser = world.browser()
    sign_in(browser)
    clock[0] += visitors_module.REMEMBER_S + 1
    world.studio.broken = -1
    answer = browser.get("/projects")
    assert answer.status_code == 503
    assert "does not answer" in answer.get_data(as_text=True)
    world.studio.broken = 0
    assert browser.get("/projects").status_code == 200


def test_session_of_another_installation_is_none(world: SignInWorld) -> None:
    browser = world.browser()
    sign_in(browser)
    age(world, token=b"sealed with another secret")
    assert browser.get("/projects").status_code == 401


def test_no_token_in_the_log(world: SignInWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = world.browser()
    sign_in(browser)
    sign_in(world.browser(), jwt("refresh", name="wrong"))
    browser.get("/projects/7")
    id = browser.get_cookie("custom_ai_sign_in").value  # type: ignore[union-attr]
    for secret in (PAT, id, jwt("refresh", name="wrong")):
        assert secret not in caplog.text
