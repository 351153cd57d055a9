"""Sessions: tokens, retries, and what people get to read."""

from __future__ import annotations

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_label_studio import Call, Reply, Server, as_json, jwt, serving

from custom_ai.errors import LabelStudioAuth, LabelStudioError, LabelStudioMissing, LabelStudioUnreachable
from custom_ai.labelstudio import session as session_module
from custom_ai.labelstudio.answers import error_detail
from custom_ai.labelstudio.session import Session
from custom_ai.labelstudio.tokens import TokenKind, token_kind

PAT = jwt("refresh", name="pat")


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(session_module, "LONGEST_PAUSE_S", 0.01)


def exchanging(answer: Reply | list[Reply], lifetime_s: int = 300) -> tuple[list[str], object]:
    """An answer function that hands out access tokens and plays the replies in order."""
    given: list[str] = []
    replies = iter(answer) if isinstance(answer, list) else itertools.repeat(answer)

    def respond(call: Call) -> Reply:
        if call.path.endswith("/api/token/refresh/"):
            given.append(jwt("access", lifetime_s, f"a{len(given)}"))
            return as_json({"access": given[-1]})
        return next(replies)

    return given, respond


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (PAT, TokenKind.PERSONAL),
        (jwt("access"), TokenKind.ACCESS),
        ("0123456789abcdef" * 2, TokenKind.LEGACY),
        ("a.b.c", TokenKind.LEGACY),
        ("a.W10.c", TokenKind.LEGACY),
        ("a.!!!.c", TokenKind.LEGACY),
    ],
)
def test_kinds_of_tokens(key: str, kind: TokenKind) -> None:
    assert token_kind(key) is kind


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "CUSTOM_AI_LABEL_STUDIO_API_KEY"),
        ("  \n", "CUSTOM_AI_LABEL_STUDIO_API_KEY"),
        (jwt("access"), "short-lived access token"),
        ("two words", "characters"),
        ("schlüssel", "characters"),
        ("a\nb", "characters"),
    ],
)
def test_keys_that_cannot_work_are_refused_before_anything_is_sent(key: str, words: str) -> None:
    with serving(lambda _: as_json({})) as server, Session(server.url, key) as session:
        with pytest.raises(LabelStudioAuth, match=words) as caught:
            session.get("/api/version")
        assert server.calls == []
        assert not key.strip() or key not in str(caught.value)


def test_a_personal_token_is_exchanged_once_for_many_threads() -> None:
    given, respond = exchanging(as_json({"ok": 1}))
    with serving(respond) as server, Session(server.url, PAT) as session:  # type: ignore[arg-type]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: session.get("/api/version"), range(24)))
        assert len(given) == 1
        assert {c.headers.get("Authorization") for c in server.calls if c.method == "GET"} == {f"Bearer {given[0]}"}
        assert json.loads(server.calls[0].body) == {"refresh": PAT}


def test_access_tokens_are_renewed_before_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    given, respond = exchanging(as_json({}))
    now = time.monotonic()
    with serving(respond) as server, Session(server.url, PAT) as session:  # type: ignore[arg-type]
        for later, expected in ((0, 1), (265, 1), (272, 2), (300, 2)):
            monkeypatch.setattr("custom_ai.labelstudio.tokens.time.monotonic", lambda later=later: now + later)
            session.get("/x")
            assert len(given) == expected


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unexpected_401_renews_once(method: str) -> None:
    given, respond = exchanging([as_json({"detail": "expired"}, 401), as_json({"ok": True})])
    with serving(respond) as server, Session(server.url, PAT) as session:  # type: ignore[arg-type]
        assert getattr(session, method)("/x") == {"ok": True}
        assert len(given) == 2


def test_a_second_401_is_final() -> None:
    given, respond = exchanging(as_json({"detail": "no"}, 401))
    with serving(respond) as server, Session(server.url, PAT) as session:  # type: ignore[arg-type]
        with pytest.raises(LabelStudioAuth, match="does not take it"):
            session.get("/x")
        assert len(given) == 2


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("Authentication token no longer valid: legacy token authentication has been disabled", "are disabled"),
        ("Invalid token.", "does not know"),
    ],
)
def test_legacy_tokens(detail: str, words: str) -> None:
    with serving(lambda _: as_json({"detail": detail}, 401)) as server, Session(server.url, "old1") as session:
        with pytest.raises(LabelStudioAuth, match=words):
            session.get("/x")
        assert [call.headers["Authorization"] for call in server.calls] == ["Token old1"]


@pytest.mark.parametrize(
    ("method", "idempotent", "failures", "calls"),
    [
        ("GET", None, [502, -1, 500], 4),
        ("PATCH", None, [503], 2),
        ("DELETE", None, [-1], 2),
        ("POST", True, [-1, 500], 3),
        ("POST", False, [500], 1),
        ("POST", False, [-1], 1),
    ],
)
def test_only_what_may_be_repeated_is(method: str, idempotent: bool | None, failures: list[int], calls: int) -> None:
    replies = iter([*(Reply(status) for status in failures), as_json({"ok": 1})])
    with serving(lambda _: next(replies)) as server, Session(server.url, "old", retry_s=10) as session:

        def request() -> object:
            match method:
                case "POST":
                    return session.post("/x", {}, idempotent=bool(idempotent))
                case "PATCH":
                    return session.patch("/x", {})
                case "DELETE":
                    return session.delete_json("/x")
            return session.get("/x")

        if calls == len(failures):
            with pytest.raises(LabelStudioUnreachable):
                request()
        else:
            assert request() == {"ok": 1}
        assert len(server.calls) == calls


def test_a_post_waits_for_a_server_that_does_not_listen_yet() -> None:
    with serving(lambda _: as_json({})) as server:
        gone = server.url
    start = time.monotonic()
    with Session(gone, "old", retry_s=0.2) as session, pytest.raises(LabelStudioUnreachable, match="refused"):
        session.post("/x", {})
    assert 0.1 < time.monotonic() - start < 2


def test_a_slow_answer_is_given_up() -> None:
    def slow(_: Call) -> Reply:
        time.sleep(0.5)
        return as_json({})

    with (
        serving(slow) as server,
        Session(server.url, "old", timeout_s=0.1, retry_s=0) as session,
        pytest.raises(LabelStudioUnreachable),
    ):
        session.get("/x")


def test_4xx_are_final_and_readable() -> None:
    body = {
        "detail": "Validation error",
        "validation_errors": {"non_field_errors": ['Bad <a href="x">link</a>'], "title": ["Too short."]},
    }
    with serving(lambda _: as_json(body, 400)) as server, Session(server.url, "old") as session:
        with pytest.raises(LabelStudioError) as caught:
            session.get("/api/x", {"secret": "q"})
        assert str(caught.value) == ("Label Studio refused GET /api/x with HTTP 400: Bad link; title: Too short.")
        assert len(server.calls) == 1


def test_404_names_the_thing() -> None:
    with (
        serving(lambda _: as_json({}, 404)) as server,
        Session(server.url, "old") as session,
        pytest.raises(LabelStudioMissing, match="no project 7"),
    ):
        session.get("/api/x", missing=("project", 7))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, b"<html>"), "not JSON"),
        (Reply(302, b"", {"Location": "https://elsewhere.example/"}), "redirects"),
        (Reply(400, b"<html>"), "Bad Request"),
    ],
)
def test_other_answers(reply: Reply, words: str) -> None:
    with (
        serving(lambda _: reply) as server,
        Session(server.url, "old") as session,
        pytest.raises(LabelStudioError, match=words),
    ):
        session.get("/api/x")


def test_redirects_are_not_followed_with_the_token() -> None:
    with serving(lambda _: as_json({})) as other:
        moved = Reply(302, b"", {"Location": f"{other.url}/x"})
        with serving(lambda _: moved) as server, Session(server.url, "old") as session:
            with pytest.raises(LabelStudioError):
                session.get("/x")
            with session.stream("/x") as response:
                assert response.has_redirect_location
            with pytest.raises(ValueError, match="origin"), session.stream(f"{other.url}/x"):
                pass
        assert other.calls == []


def test_secrets_stay_out_of_texts() -> None:
    def echo(call: Call) -> Reply:
        return as_json({"detail": f"you sent {call.headers['Authorization']}"}, 400)

    with serving(echo) as server, Session(server.url, "secret-token-1") as session:
        with pytest.raises(LabelStudioError) as caught:
            session.get("/x")
        for text in (str(caught.value), repr(caught.value), repr(session), repr(session._client)):
            assert "secret-token-1" not in text


def test_cookies_are_not_kept() -> None:
    reply = as_json({})
    reply.headers["Set-Cookie"] = "sessionid=somebody; Path=/"
    with serving(lambda _: reply) as server, Session(server.url, "old") as session:
        session.get("/x")
        session.get("/x")
        assert all("Cookie" not in call.headers for call in server.calls)


def test_below_a_path() -> None:
    given, respond = exchanging(as_json({}))
    with serving(respond) as server, Session(f"{server.url}/ls/", PAT) as session:  # type: ignore[arg-type]
        session.get("/api/version")
        assert server.paths() == ["/ls/api/token/refresh/", "/ls/api/version"]
        assert len(given) == 1


class TestVisitors:
    @staticmethod
    def sent(server: Server, **values: str) -> dict[str, str]:
        with Session.with_credentials(server.url, **values) as session:  # type: ignore[arg-type]
            session.get("/api/current-user/whoami")
        headers = server.calls[-1].headers
        return {name: headers[name] for name in ("Authorization", "Cookie") if name in headers}

    def test_what_they_send_is_passed_on(self) -> None:
        given, respond = exchanging(as_json({}))
        access = jwt("access")
        with serving(respond) as server:  # type: ignore[arg-type]
            assert self.sent(server, cookie="abc:def") == {"Cookie": "sessionid=abc:def"}
            assert self.sent(server, authorization="Token old") == {"Authorization": "Token old"}
            assert self.sent(server, authorization=f"bearer {access}") == {"Authorization": f"Bearer {access}"}
            assert self.sent(server, authorization=f"Token {access}") == {"Authorization": f"Bearer {access}"}
            assert given == []
            both = self.sent(server, authorization=f"Bearer {PAT}", cookie="abc")
            assert both == {"Authorization": f"Bearer {given[0]}"}

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"authorization": "Basic dTpw"},
            {"authorization": "Bearer"},
            {"authorization": "Bearer a\r\nX: y"},
            {"cookie": "a; csrftoken=b"},
            {"cookie": "ü"},
        ],
    )
    def test_malformed(self, values: dict[str, str]) -> None:
        with pytest.raises(LabelStudioAuth, match="sign-in"):
            Session.with_credentials("http://127.0.0.1:9", **values)  # type: ignore[arg-type]

    def test_no_retries(self) -> None:
        with serving(lambda _: Reply(503)) as server, Session.with_credentials(server.url, cookie="a") as session:
            with pytest.raises(LabelStudioUnreachable):
                session.get("/x")
            assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"detail": "No."}, "No."),
        ({"detail": None, "error": "E"}, "E"),
        ({}, ""),
        ([1], "[1]"),
        ("plain", "plain"),
        ({"detail": "x", "validation_errors": "odd"}, "x"),
    ],
)
def test_error_detail(answer: object, text: str) -> None:
    assert error_detail(answer) == text
