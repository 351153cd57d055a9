"""Label Studio's extension speaks for its users: for one request, or to begin a session in their browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sign_in_world import PAT, SignInWorld, csrf_of, sign_in, sign_in_world
from sqlalchemy import select
from werkzeug.test import TestResponse

from custom_ai import assertions
from custom_ai.assertions import FOR_API, FOR_SIGN_IN, digest, sign
from custom_ai.errors import SettingsError
from custom_ai.settings import load_settings
from custom_ai.state.sign_ins import clear
from custom_ai.state.tables import UsedNonce, WebSession
from custom_ai.web import visitors as visitors_module

SECRET = "s" * 40
EMAIL = "user1@example.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SignInWorld]:
    with sign_in_world(tmp_path, extension_secret=SECRET) as made:
        made.studio.extension_secret = SECRET
        yield made


def rows(world: SignInWorld) -> list[WebSession]:
    with world.services.database.read() as session:
        return list(session.scalars(select(WebSession)))


def header(method: str, path: str, body: bytes = b"", *, secret: str = SECRET, **claims: Any) -> dict[str, str]:
    content = {"user": 1, "email": EMAIL, "organization": 1, "project": 7} | claims
    statement = sign(secret, FOR_API, method=method, path=path, body=digest(body), **content)
    return {"Authorization": f"CustomAI {statement}"}


def why(answer: TestResponse) -> str:
    assert answer.status_code == 401, answer.get_data(as_text=True)
    return str(answer.get_json()["error"]["message"])


# One request


def test_a_statement_is_enough_for_its_request_and_label_studio_is_not_asked(world: SignInWorld) -> None:
    browser = world.browser()
    found = browser.get("/api/projects/7", headers=header("GET", "/api/projects/7"))
    assert found.get_json()["title"] == "Project-7"
    listed = browser.get("/api/projects", headers=header("GET", "/api/projects")).get_json()["projects"]
    assert [one["id"] for one in listed] == [7], "only the project about which Label Studio was asked"
    assert browser.get("/api/me", headers=header("GET", "/api/me")).get_json()["email"] == EMAIL
    assert world.server.calls == []
    assert rows(world) == []


def test_a_change_needs_no_csrf_token_and_is_recorded_under_the_users_name(world: SignInWorld) -> None:
    body = b'{"auto_label": true}'
    path = "/api/projects/7"
    answer = world.browser().patch(path, data=body, headers=header("PATCH", path, body))
    assert answer.status_code == 200
    assert answer.get_json()["settings"]["auto_label"] is True


def test_another_project_looks_like_none(world: SignInWorld) -> None:
    browser = world.browser()
    other = browser.get("/api/projects/8", headers=header("GET", "/api/projects/8"))
    missing = browser.get("/api/projects/99", headers=header("GET", "/api/projects/99"))
    assert (other.status_code, missing.status_code) == (404, 404)


def test_it_counts_for_nothing_else(world: SignInWorld) -> None:
    browser = world.browser()
    for made_for in (("POST", "/api/projects/7"), ("GET", "/api/projects/8"), ("GET", "/api/projects/7?a=1")):
        assert "something else" in why(browser.get("/api/projects/7", headers=header(*made_for)))
    answer = browser.patch("/api/projects/7", data=b'{"auto_label": false}', headers=header("PATCH", "/api/projects/7"))
    assert "something else" in why(answer)
    statement = sign(SECRET, FOR_SIGN_IN, user=1, email=EMAIL, project=7)
    assert "something else" in why(browser.get("/api/me", headers={"Authorization": f"CustomAI {statement}"}))


def test_a_change_happens_once(world: SignInWorld) -> None:
    body, path = b'{"auto_label": true}', "/api/projects/7"
    again = header("PATCH", path, body)
    assert world.browser().patch(path, data=body, headers=again).status_code == 200
    assert "used already" in why(world.browser().patch(path, data=body, headers=again))


@pytest.mark.parametrize("claims", [{"user": 0}, {"user": "1"}, {"email": ""}, {"project": "7"}, {"user": True}])
def test_an_odd_user_is_none(world: SignInWorld, claims: dict[str, Any]) -> None:
    assert "damaged" in why(world.browser().get("/api/me", headers=header("GET", "/api/me", **claims)))


def test_the_reasons_name_the_way_out(world: SignInWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = world.browser()
    assert "not the same" in why(browser.get("/api/me", headers=header("GET", "/api/me", secret="x" * 40)))
    assert "damaged" in why(browser.get("/api/me", headers={"Authorization": "CustomAI what"}))
    old = header("GET", "/api/me")
    moment = assertions.time.time()  # the clock is moved: a test that waits minutes is too long
    monkeypatch.setattr(assertions.time, "time", lambda: moment + 100)
    assert "clocks" in why(browser.get("/api/me", headers=old))


def test_without_a_secret_nothing_that_is_signed_counts(tmp_path: Path) -> None:
    with sign_in_world(tmp_path) as world:
        for secret in ("", SECRET):
            answer = world.browser().get("/api/projects/7", headers=header("GET", "/api/projects/7", secret=secret))
            assert "CUSTOM_AI_EXTENSION_SECRET is not set" in why(answer)
        assert "Through Label Studio" not in world.browser().get("/sign-in").get_data(as_text=True)
        answer = world.browser().get("/sign-in/label-studio?next=/projects/7")
        assert answer.headers["location"] == "/sign-in?next=/projects/7"
        arrived = world.browser().get(f"/sign-in/arrive?statement={stated('x')}")
        assert arrived.status_code == 401


def test_guessing_ends_soon(world: SignInWorld) -> None:
    browser = world.browser()
    for _ in range(100):
        why(browser.get("/api/me", headers=header("GET", "/api/me", secret="x" * 40)))
    assert browser.get("/api/me", headers=header("GET", "/api/me")).status_code == 429


# A browser


def stated(state: str, **claims: Any) -> str:
    return sign(SECRET, FOR_SIGN_IN, **({"user": 1, "email": EMAIL, "organization": 1, "state": state} | claims))


def begin(browser: FlaskClient, after: str = "/projects/7") -> str:
    """As a link in Label Studio does; returns the state that goes to Label Studio with the browser."""
    answer = browser.get("/sign-in/label-studio", query_string={"next": after, "user": "1"})
    assert answer.status_code == 303
    there = urlsplit(answer.headers["location"])
    assert there.path == "/custom-ai/authorize"
    return parse_qs(there.query)["state"][0]


def arrive(browser: FlaskClient, statement: str) -> TestResponse:
    return browser.get("/sign-in/arrive", query_string={"statement": statement})


def test_who_is_signed_in_there_is_signed_in_here(world: SignInWorld) -> None:
    browser = world.browser()
    statement = stated(begin(browser))
    answer = arrive(browser, statement)
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects/7")
    page = browser.get("/projects/7")
    assert page.status_code == 200
    assert EMAIL in page.get_data(as_text=True)
    assert browser.get("/projects/8").status_code == 404, "Label Studio is asked about every project"
    assert [one["id"] for one in browser.get("/api/projects").get_json()["projects"]] == [7]
    assert "signed in through Label Studio" in browser.get("/account").get_data(as_text=True)
    assert "used already" in arrive(world.browser(), statement).get_data(as_text=True)
    straight = browser.get("/sign-in/label-studio?next=/projects/7&user=1")
    assert straight.headers["location"] == "/projects/7", "no way round for who is here already"
    assert "/custom-ai/authorize" in browser.get("/sign-in/label-studio?next=/&user=2").headers["location"]
    token = csrf_of(browser.get("/account").get_data(as_text=True))
    assert browser.post("/sign-out", data={"csrf_token": token}).status_code == 303
    assert browser.get("/projects/7").status_code == 401
    assert rows(world) == []


def test_nobody_is_signed_in_by_somebody_elses_link(world: SignInWorld) -> None:
    state = begin(world.browser())
    victim = world.browser()
    sign_in(victim)
    answer = arrive(victim, stated(state, user=2, email="user2@example.com"))
    assert answer.status_code == 401
    assert "not begun in this browser" in answer.get_data(as_text=True)
    assert victim.get("/api/me").get_json()["id"] == 1
    victim.get("/sign-in/label-studio?next=/&user=2")
    assert "not begun in this browser" in arrive(victim, stated("")).get_data(as_text=True)


def test_it_takes_the_place_of_another_sign_in(world: SignInWorld) -> None:
    browser = world.browser()
    sign_in(browser, PAT)
    browser.get("/sign-in/label-studio?next=/&user=2")
    world.studio.sees[2] = {8}
    state = parse_qs(urlsplit(browser.get("/sign-in/label-studio?next=/&user=2").headers["location"]).query)["state"][0]
    assert arrive(browser, stated(state, user=2, email="user2@example.com")).status_code == 303
    assert browser.get("/api/me").get_json()["id"] == 2
    assert len(rows(world)) == 1


def test_two_tabs_at_once_both_arrive(world: SignInWorld) -> None:
    browser = world.browser()
    first, second = begin(browser, "/projects/7"), begin(browser, "/notifications")
    assert arrive(browser, stated(first)).headers["location"] == "/projects/7"
    assert arrive(browser, stated(second)).headers["location"] == "/notifications"


@pytest.mark.parametrize("after", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_it_leads_nowhere_else(world: SignInWorld, after: str) -> None:
    browser = world.browser()
    assert arrive(browser, stated(begin(browser, after))).headers["location"] == "/projects"


def test_access_ends_within_a_minute(world: SignInWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]  # instead of waiting a minute
    monkeypatch.setattr(visitors_module.time, "monotonic", lambda: clock[0])
    browser = world.browser()
    arrive(browser, stated(begin(browser)))
    assert browser.get("/api/projects/7").status_code == 200
    world.studio.sees[1] = set()
    clock[0] += visitors_module.REMEMBER_S + 1
    assert browser.get("/api/projects/7").status_code == 404
    del world.studio.sees[1]  # not active any more
    clock[0] += visitors_module.REMEMBER_S + 1
    assert browser.get("/api/projects/7").status_code == 401
    assert rows(world) == []


@pytest.mark.parametrize("broken", [503, -1])
def test_while_label_studio_is_away_nobody_is_sent_away(world: SignInWorld, broken: int) -> None:
    browser = world.browser()
    arrive(browser, stated(begin(browser)))
    world.studio.broken = broken
    assert browser.get("/api/projects/7").status_code == 503
    world.studio.broken = 0
    assert browser.get("/api/projects/7").status_code == 200


def test_without_the_extension_its_sessions_end(world: SignInWorld) -> None:
    browser = world.browser()
    arrive(browser, stated(begin(browser)))
    world.studio.extension_secret = ""
    assert browser.get("/api/projects/7").status_code == 401
    assert rows(world) == []


def test_the_sign_in_page_offers_it_and_comes_back_to_the_page_that_was_asked_for(world: SignInWorld) -> None:
    html = world.browser().get("/projects/7").get_data(as_text=True)
    assert "Sign in through Label Studio" in html
    assert "/sign-in/label-studio?next=%2Fprojects%2F7" in html


def test_used_numbers_are_forgotten(world: SignInWorld) -> None:
    arrive(world.browser(), stated("x"))
    with world.services.database.write() as session:
        (row,) = session.scalars(select(UsedNonce))
        clear(session, 1, 1)
        assert session.scalars(select(UsedNonce)).all() == [row], "while the statement could come again"
        row.until = row.until.replace(year=2001)
        session.flush()
        clear(session, 1, 1)
        assert session.scalars(select(UsedNonce)).all() == []


# Settings


def test_a_short_secret_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="32 characters or more") as found:
        load_settings(state_dir=tmp_path, extension_secret="hunter2")
    assert "hunter2" not in str(found.value)


def test_one_file_of_variables_serves_both_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"URL": "http://here:9090", "LANGUAGE": "ko", "EXTENSION_SECRET": SECRET}.items():
        monkeypatch.setenv(f"CUSTOM_AI_{name}", value)
    assert load_settings(state_dir=tmp_path).extension_secret.get_secret_value() == SECRET
