"""Adds the extension to Django settings."""

from __future__ import annotations

from typing import Any

APP = "custom_ai_label_studio"
MIDDLEWARE = "custom_ai_label_studio.middleware.PageScript"
URLS = "custom_ai_label_studio.urls"


def add(settings: dict[str, Any]) -> None:
    """Put us into ``settings``, which has Label Studio's; harmless when it is done twice."""
    settings["INSTALLED_APPS"] = [*[one for one in settings["INSTALLED_APPS"] if one != APP], APP]
    settings["MIDDLEWARE"] = [*[one for one in settings["MIDDLEWARE"] if one != MIDDLEWARE], MIDDLEWARE]
    if settings["ROOT_URLCONF"] != URLS:
        settings["CUSTOM_AI_ROOT_URLCONF"] = settings["ROOT_URLCONF"]
        settings["ROOT_URLCONF"] = URLS
