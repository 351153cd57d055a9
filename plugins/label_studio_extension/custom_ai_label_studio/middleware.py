"""Puts one script into Label Studio's pages: nothing of theirs is replaced, and without it all actions work."""

from __future__ import annotations

from collections.abc import Callable

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from custom_ai_label_studio.script import with_script


class PageScript:
    """Django middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if (
            not response.streaming
            and response.get("Content-Type", "").startswith("text/html")
            and not response.has_header("Content-Encoding")
            and apps.get_app_config("custom_ai_label_studio").configuration.page_script
        ):
            response.content = with_script(response.content, str(getattr(settings, "HOSTNAME", "") or ""))
        return response
