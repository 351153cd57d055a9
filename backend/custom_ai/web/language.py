"""Which language a request wants."""

from __future__ import annotations

from flask import request

from custom_ai.i18n import LANGUAGES


def language() -> str:
    """?lang=, the choice made before, or the browser's wish."""
    chosen = request.args.get("lang") or request.cookies.get("custom_ai_lang")
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(LANGUAGES) or "en"
