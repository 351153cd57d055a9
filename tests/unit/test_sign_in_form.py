"""The sign-in page: what it explains, what it says when something is wrong, and where it leads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_label_studio import jwt
from flask import Flask
from sign_in_world import LEGACY, PAT, SignInWorld, sign_in, sign_in_world

from custom_ai.web import attempts
from custom_ai_ui.account import local_path

BAD = "0" * 40


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SignInWorld]:
    with sign_in_world(tmp_path) as made:
        yield made


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_page_explains_both_ways(world: SignInWorld) -> None:
    html = world.browser().get("/sign-in").get_data(as_text=True)
    assert f'href="{world.server.url}/user/account/personal-access-token"' in html
    assert f'href="{world.server.url}"' in html
    assert "Where is my token?" in html
    assert 'type="password"' in html
    # The fake listens at 127.0.0.1, the page at localhost: say that cookies do not get across.
    assert "only to pages of the same host name, 127.0.0.1" in text_of(html)
    assert 'href="http://127.0.0.1/projects"' in html
    same = world.browser().get("/sign-in", base_url="http://127.0.0.1:9090").get_data(as_text=True)
    assert "same host name" not in same
    assert "Come back and load this page again." in same


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("", 401, "the field is empty"),
        ("Bearer ", 401, "the field is empty"),
        ("token\u00e9", 401, "characters that no token has"),
        (PAT.rpartition(".")[0], 401, "only a part of a token"),
        (jwt("access"), 401, "short-lived access token"),
        (jwt("refresh", name="unknown"), 401, "is not valid (any more); create a new one"),
        (BAD, 401, "does not know this token"),
    ],
)
def test_wrong_token_says_what_to_do(world: SignInWorld, token: str, status: int, words: str) -> None:
    answer = sign_in(world.browser(), token, then="/projects/7")
    html = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert words in text_of(html)
    assert 'role="alert"' in html
    assert 'name="next" value="/projects/7"' in html, "the page asked for is not forgotten"
    assert not token.strip() or token not in html.replace("Bearer ", "")
    assert not any(one.startswith("custom_ai_sign_in") for one in answer.headers.getlist("Set-Cookie"))


def test_token_of_a_disabled_kind(world: SignInWorld) -> None:
    world.studio.legacy_enabled = world.studio.personal_enabled = False
    assert "legacy tokens are disabled" in sign_in(world.browser(), LEGACY).get_data(as_text=True)
    assert "such tokens are switched off" in sign_in(world.browser(), PAT).get_data(as_text=True)


@pytest.mark.parametrize("broken", [-1, 500, 502])
def test_label_studio_is_away(world: SignInWorld, broken: int) -> None:
    world.studio.broken = broken
    answer = sign_in(world.browser())
    assert answer.status_code == 503
    assert "does not answer" in answer.get_data(as_text=True)


def test_korean(world: SignInWorld) -> None:
    browser = world.browser()
    html = browser.get("/sign-in?lang=ko").get_data(as_text=True)
    assert "개인 액세스 토큰" in html
    text = text_of(sign_in(browser, BAD).get_data(as_text=True))
    assert "이 토큰은 사용할 수 없습니다" in text


# Too many attempts


def test_too_many_failures_from_one_address(world: SignInWorld) -> None:
    browser = world.browser()
    there = {"environ_base": {"REMOTE_ADDR": "203.0.113.5"}}
    for _ in range(10):
        assert sign_in(browser, BAD, **there).status_code == 401
    asked = len(world.server.calls)
    answer = sign_in(browser, PAT, **there)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    assert re.search(r"too many failed sign-ins. Please wait ([1-9]|10) min", answer.get_data(as_text=True))
    assert len(world.server.calls) == asked, "Label Studio is not asked any more"
    assert re.search(r"([1-9]|10)분 기다린", sign_in(browser, BAD, query_string={"lang": "ko"}, **there).text)
    elsewhere = {"environ_base": {"REMOTE_ADDR": "203.0.113.6"}}
    assert sign_in(world.browser(), PAT, **elsewhere).status_code == 303


def test_success_does_not_count(world: SignInWorld) -> None:
    for _ in range(15):
        assert sign_in(world.browser(), PAT).status_code == 303


def test_guessing_by_header_ends_too(world: SignInWorld) -> None:
    browser = world.app.test_client(use_cookies=False)
    for number in range(100):
        assert browser.get("/api/me", headers={"Authorization": f"Token {number:040}"}).status_code == 401
    answer = browser.get("/api/me", headers={"Authorization": f"Token {LEGACY}"})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (429, "too_many_attempts")
    assert int(answer.headers["Retry-After"]) > 0


def test_limit_in_all_and_neighbours_of_ipv6() -> None:
    counted = attempts.Attempts(per_address=2, in_all=5)
    for number in range(2):
        counted.check("2001:db8:0:1::1")
        counted.failed(f"2001:db8:0:1::{number}")
    with pytest.raises(attempts.TooManyAttempts):
        counted.check("2001:db8:0:1:ffff::9")
    counted.check("2001:db8:0:2::1")
    for number in range(3):
        counted.failed(f"198.51.100.{number}")
    with pytest.raises(attempts.TooManyAttempts) as caught:
        counted.check("192.0.2.77")
    assert 1 <= caught.value.params["minutes"] <= 10  # type: ignore[operator]


@pytest.mark.parametrize(("proxies", "counted"), [(0, "127.0.0.1"), (1, "203.0.113.9")])
def test_only_trusted_proxies_tell_addresses(tmp_path: Path, proxies: int, counted: str) -> None:
    with sign_in_world(tmp_path, trusted_proxies=proxies) as world:
        forged = {"headers": {"X-Forwarded-For": "10.0.0.1, 203.0.113.9"}}
        for _ in range(10):
            sign_in(world.browser(), BAD, **forged)
        assert sign_in(world.browser(), PAT, **forged).status_code == 429
        direct = sign_in(world.browser(), PAT, environ_base={"REMOTE_ADDR": "192.0.2.1"}, **forged)
        assert direct.status_code == (303 if proxies == 0 else 429)
        others = {"headers": {"X-Forwarded-For": "203.0.113.10"}}
        assert sign_in(world.browser(), PAT, **others).status_code == (429 if proxies == 0 else 303)


# Where it leads


@pytest.mark.parametrize(
    "bad",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/%0d%0a" + "\r\nX: y",
        " //evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
    ],
)
def test_leads_to_our_own_pages_only(world: SignInWorld, bad: str) -> None:
    assert sign_in(world.browser(), then=bad).location == "/projects"
    browser = world.browser()
    sign_in(browser)
    assert browser.get("/sign-in", query_string={"next": bad}).location == "/projects"


def test_local_paths_are_kept(world: SignInWorld) -> None:
    for path in ("/selections/4?round=2", "/projects/7#models", "/a//b", "/?next=//x"):
        assert sign_in(world.browser(), then=path).location == path


def test_form_sent_after_the_session_ended_leads_back_to_its_page(world: SignInWorld) -> None:
    browser = world.browser()
    for referrer, after in (
        ("http://localhost/projects/7?tab=1", "/projects/7"),
        ("http://evil.example/projects/7", "/projects"),
        ("", "/projects"),
    ):
        answer = browser.post("/projects/7/settings", headers={"Referer": referrer} if referrer else {})
        assert answer.status_code == 401
        assert f'name="next" value="{after}"' in answer.get_data(as_text=True)


def test_strange_host_header_breaks_nothing(world: SignInWorld) -> None:
    for host in ("evil.example:abc", "evil.example:99999999", "[::1", "a b"):
        answer = world.app.test_client().get("/sign-in", headers={"Host": host})
        assert answer.status_code in (200, 400)


def test_local_path_outside_of_a_page(world: SignInWorld) -> None:
    app: Flask = world.app
    with app.test_request_context("/sign-in", environ_overrides={"SCRIPT_NAME": "/ai"}):
        assert local_path("//x") == "/ai/projects"
