"""What answers and addresses say: pure helpers of the session and of the image download."""

from __future__ import annotations

import json as jsonlib
import re
from urllib.parse import urlsplit


def describe(error: Exception) -> str:
    """A transport error in words; some of them carry no text."""
    return str(error) or type(error).__name__


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError when ``url`` is no http(s) URL."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".").lower()
    if scheme not in ("http", "https") or not host:
        raise ValueError("not an http(s) URL")
    return scheme, host, parts.port or (443 if scheme == "https" else 80)


def error_detail(answer: object) -> str:
    """The readable part of Label Studio's error JSON: `detail`, then the messages per field."""
    if not isinstance(answer, dict):
        return answer if isinstance(answer, str) else jsonlib.dumps(answer, ensure_ascii=False)
    fields = answer.get("validation_errors")
    if not isinstance(fields, dict) or not fields:
        return _plain(answer.get("detail") or answer.get("error") or "")
    texts = []
    for name, messages in fields.items():
        joined = " ".join(str(text) for text in messages) if isinstance(messages, list) else str(messages)
        texts.append(joined if name == "non_field_errors" else f"{name}: {joined}")
    return _plain("; ".join(texts))


def _plain(text: object) -> str:
    """Label Studio puts HTML links into some of its messages."""
    return re.sub(r"</?[a-zA-Z][^>]*>", "", str(text)).strip()
