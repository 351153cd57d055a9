"""What a visitor chooses for this browser: the language, and light or dark. Kept in cookies; works without scripts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response, g, request

from custom_ai.errors import N_
from custom_ai.i18n import LANGUAGES, translator

LANGUAGE_COOKIE = "custom_ai_lang"
"""``language()`` of the web process reads it."""
THEME_COOKIE = "custom_ai_theme"
LANGUAGE_NAMES = {"en": "English", "ko": "한국어"}
THEMES = {"auto": N_("as the system"), "light": N_("light"), "dark": N_("dark")}
_CHOICES = (("lang", LANGUAGE_COOKIE, tuple(LANGUAGES)), ("theme", THEME_COOKIE, tuple(THEMES)))
_YEAR_S = 365 * 24 * 3600


def theme() -> str:
    """?theme=, the choice made before, or "auto"."""
    wishes = (request.args.get("theme"), request.cookies.get(THEME_COOKIE))
    return next((one for one in wishes if one in THEMES and one is not None), "auto")


def remember(response: Response) -> None:
    """Keep what this request's address has chosen."""
    for name, cookie, known in _CHOICES:
        chosen = request.args.get(name)
        if chosen in known:
            response.set_cookie(cookie, chosen, max_age=_YEAR_S, samesite="Lax", httponly=True)


def stands_at(path: str) -> None:
    """The page that is being rendered belongs to ``path``, although the request (a refused form) went elsewhere."""
    g.stands_at = path


def words(language: str) -> dict[str, Any]:
    """For the templates: the choices as (code, name, address of this page with it)."""
    _ = translator(language)
    here = g.get("stands_at", request.script_root + request.path)
    query = {name: value for name, value in request.args.items() if name not in ("lang", "theme")}

    def link(**choice: str) -> str:
        return f"{here}?{urlencode(query | choice)}"

    return {
        "theme": theme(),
        "languages": [(code, LANGUAGE_NAMES[code], link(lang=code)) for code in LANGUAGES],
        "themes": [(code, _(name), link(theme=code)) for code, name in THEMES.items()],
    }
