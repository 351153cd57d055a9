"""Webhooks: the notice as JSON, signed, so that the receiver knows who sent it, when, and that nothing was changed.

``X-Custom-AI-Signature: sha256=HEX`` is the HMAC of the timestamp, a full stop, and the body, with the secret of the
settings. ``X-Custom-AI-Timestamp`` is in seconds; ``X-Custom-AI-Delivery`` is the same in every attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence

import httpx

from custom_ai.errors import N_, SettingsError
from custom_ai.plugins import Notice, NotifierSpec, NotSent
from custom_ai.settings import Settings

TIMEOUT_S = 15.0


class Webhook:
    """The notifier ``webhook``."""

    spec = NotifierSpec("webhook")

    def __init__(self, settings: Settings) -> None:
        self._urls = settings.webhook_urls.get_secret_value().split()
        self._secret = settings.webhook_secret.get_secret_value()
        if self._urls and not self._secret:
            raise SettingsError(name="webhook_secret", why=N_("webhook_urls are set, and are sent nothing unsigned"))
        if not all(url.startswith(("http://", "https://")) for url in self._urls):
            raise SettingsError(name="webhook_urls", why=N_("expected addresses that start with http:// or https://"))

    @property
    def ready(self) -> bool:
        return bool(self._urls)

    def addresses(self) -> Sequence[str]:
        return self._urls

    def send(self, notice: Notice, address: str) -> None:
        """Raises NotSent. A receiver that has not answered may have it: it knows it again by the delivery's id."""
        body = json.dumps(
            {
                "delivery": notice.id,
                "event": notice.event,
                "failure": notice.failure,
                "at": notice.at.isoformat(),
                "project": {"id": notice.project, "title": notice.project_title},
                "text": notice.text,
                "way_out": notice.way_out,
                "link": notice.link,
                "language": notice.language,
            },
            ensure_ascii=False,
        ).encode()
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "custom-ai",
            "X-Custom-AI-Event": notice.event,
            "X-Custom-AI-Delivery": notice.id,
            "X-Custom-AI-Timestamp": stamp,
            "X-Custom-AI-Signature": f"sha256={signature(self._secret, stamp, body)}",
        }
        try:
            answer = httpx.post(address, content=body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
        except httpx.HTTPError as error:
            raise NotSent(type(error).__name__, again=True) from error  # its text may hold the address
        if not answer.is_success:
            again = answer.status_code >= 500 or answer.status_code in (408, 425, 429)
            raise NotSent(f"HTTP {answer.status_code}", again=again)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What stands behind "sha256=" for a body at a time."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
