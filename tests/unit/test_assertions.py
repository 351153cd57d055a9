"""What Custom AI and its extension inside Label Studio sign for each other."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import custom_ai_label_studio.assertions as theirs
from custom_ai import assertions
from custom_ai.assertions import FOR_API, FOR_LABEL_STUDIO, LIFETIME_S, Refused, sign, verify

SECRET = "0123456789abcdef" * 2


def test_the_same_file_stands_in_both_programs() -> None:
    assert Path(str(assertions.__file__)).read_bytes() == Path(str(theirs.__file__)).read_bytes()


def test_what_one_signs_the_other_reads() -> None:
    claims = verify(SECRET, FOR_API, theirs.sign(SECRET, FOR_API, user=5, email="a@example.com"))
    assert (claims["user"], claims["email"], claims["aud"]) == (5, "a@example.com", FOR_API)
    assert claims["nonce"] != verify(SECRET, FOR_API, sign(SECRET, FOR_API))["nonce"]


def refused(statement: str, *, secret: str = SECRET, audience: str = FOR_API) -> str:
    with pytest.raises(Refused) as found:
        verify(secret, audience, statement)
    return found.value.code


def test_another_secret_or_another_use_does_not_count() -> None:
    statement = sign(SECRET, FOR_API, user=5)
    assert refused(statement, secret=SECRET[::-1]) == "signature"
    assert refused(statement, audience=FOR_LABEL_STUDIO) == "audience"


def test_a_short_secret_never_counts() -> None:
    assert refused(sign("", FOR_API, user=5), secret="") == "signature"
    assert refused(sign("short", FOR_API, user=5), secret="short") == "signature"


def test_a_changed_statement_does_not_count() -> None:
    body, _, mac = sign(SECRET, FOR_API, user=5).partition(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"user": 1}).encode()).rstrip(b"=").decode()
    assert refused(f"{forged}.{mac}") == "signature"


@pytest.mark.parametrize("statement", ["", ".", "a", "a.", "é.é", "a.b.c", "x" * 9_000_000 + ".y"])
def test_anything_else_is_refused(statement: str) -> None:
    assert refused(statement) in ("malformed", "signature")


@pytest.mark.parametrize("content", ["[]", "{}", '{"at": "soon", "nonce": "n"}', "5", "\xff"])
def test_signed_nonsense_is_refused(content: str) -> None:
    body = assertions._encode(content.encode("latin-1"))
    assert refused(f"{body}.{assertions._encode(assertions._mac(SECRET, body))}") == "malformed"


@pytest.mark.parametrize("later", [LIFETIME_S + 2, -LIFETIME_S - 2])
def test_it_counts_for_a_minute(monkeypatch: pytest.MonkeyPatch, later: int) -> None:
    statement = sign(SECRET, FOR_API, user=5)
    moment = assertions.time.time()  # the clock is moved: a test that waits a minute is too long
    monkeypatch.setattr(assertions.time, "time", lambda: moment + later / 2)
    assert verify(SECRET, FOR_API, statement)["user"] == 5
    monkeypatch.setattr(assertions.time, "time", lambda: moment + later)
    assert refused(statement) == "expired"
