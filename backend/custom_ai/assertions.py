"""Short-lived signed statements between Custom AI and its extension inside Label Studio. Standard library only.

The very same file stands in both programs, which share no environment; a unit test keeps them the same. What is
signed is JSON: whom it is for, when it was made, a number used once, and whatever the one has to say to the other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

LIFETIME_S = 60
LEAST_SECRET = 32
"""Characters of the shared secret."""
SCHEME = "CustomAI"
"""The scheme of the Authorization header."""
FOR_API = "custom-ai/api"
FOR_SIGN_IN = "custom-ai/sign-in"
FOR_LABEL_STUDIO = "label-studio/who-sees"
_LONGEST = 8_000_000
"""Characters; a statement may name many projects, but not fill the memory."""


class Refused(Exception):
    """A statement that does not count; ``code`` says why."""

    def __init__(self, code: str, *, seconds: int = 0) -> None:
        self.code = code
        """malformed, signature, audience, or expired (by ``seconds``; negative: it comes from the future)."""
        self.seconds = seconds
        super().__init__(code)


def sign(secret: str, audience: str, **claims: Any) -> str:
    """A statement for ``audience``, good for a minute. ``claims`` must be JSON."""
    content = {**claims, "aud": audience, "at": int(time.time()), "nonce": secrets.token_urlsafe(16)}
    body = _encode(json.dumps(content, separators=(",", ":")).encode())
    return f"{body}.{_encode(_mac(secret, body))}"


def verify(secret: str, audience: str, statement: str) -> dict[str, Any]:
    """What a statement says. Raises Refused."""
    body, _, mac = statement.partition(".")
    if not body.isascii() or not mac.isascii() or not mac or len(statement) > _LONGEST:
        raise Refused("malformed")
    if len(secret) < LEAST_SECRET or not hmac.compare_digest(_encode(_mac(secret, body)), mac):
        raise Refused("signature")
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        made, nonce = int(claims["at"]), str(claims["nonce"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("malformed") from error
    if claims.get("aud") != audience or not nonce:
        raise Refused("audience")
    age = int(time.time()) - made
    if abs(age) > LIFETIME_S:
        raise Refused("expired", seconds=age)
    found: dict[str, Any] = claims
    return found


def digest(body: bytes) -> str:
    """The name of a request's body in a statement about it."""
    return hashlib.sha256(body).hexdigest()


def _mac(secret: str, body: str) -> bytes:
    return hmac.new(secret.encode(), b"custom-ai-assertion\n" + body.encode(), hashlib.sha256).digest()


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
