"""How a moment is written, and what a translation is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Translate = Callable[[str], str]


def iso(moment: datetime | None) -> str | None:
    """2026-01-31T12:00:00+00:00, or None."""
    return None if moment is None else moment.isoformat(timespec="seconds")
