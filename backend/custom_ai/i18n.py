"""Translations by gettext: the English text is the key, ``locale/`` holds the Korean catalogue."""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "ko")
_LOCALE_DIR = Path(__file__).parent / "locale"


@lru_cache(maxsize=len(LANGUAGES))
def translator(language: str) -> Callable[[str], str]:
    """The function that turns an English message (still with its {placeholders}) into ``language``."""
    catalogue = gettext.translation(
        "messages", _LOCALE_DIR, languages=[language if language in LANGUAGES else "en"], fallback=True
    )
    return catalogue.gettext


def terminal_language() -> str:
    """The language of the person at this terminal, from the usual environment variables."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "ko" if value.lower().startswith("ko") else "en"
    return "en"
