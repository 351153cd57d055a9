"""Our addresses, then all of Label Studio's."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from django.conf import settings
from django.urls import path

log = logging.getLogger(__name__)


def _ours() -> list[Any]:
    try:
        from custom_ai_label_studio import views
    except Exception:  # Label Studio's own pages must come up, whatever another version of it has changed
        log.exception("Custom AI: its addresses are not there")
        return []
    return [
        path("custom-ai/projects/<int:project_id>/", views.project),
        path("custom-ai/authorize", views.authorize),
        path("custom-ai/who-sees", views.who_sees),
        path("custom-ai/page.js", views.page_script),
    ]


_theirs = import_module(getattr(settings, "CUSTOM_AI_ROOT_URLCONF", "core.urls"))
for _name in ("handler400", "handler403", "handler404", "handler500"):
    if hasattr(_theirs, _name):
        globals()[_name] = getattr(_theirs, _name)
urlpatterns = [*_ours(), *_theirs.urlpatterns]
