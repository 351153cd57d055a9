"""The entries of the Data Manager's Actions menu. Thin: what they do stands in ``work``, their dialogs in ``forms``.

Label Studio looks, before it calls any of them, whether the user may see the project. Their names are the actions' ids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.permissions import all_permissions
from data_manager.actions import register_action
from django.apps import apps

from custom_ai_label_studio import forms, work
from custom_ai_label_studio.apps import is_known, label_studio_version
from custom_ai_label_studio.server import Person, Problem, Server
from custom_ai_label_studio.words import translator

REFUSED = 422
"""Label Studio shows the text of such an answer; it says nothing about 404, and signs out at 401."""
ORDER = 40
"""Above Label Studio's own actions, which begin at 90."""


def server_for(user: Any, project: Any) -> Server:
    """Custom AI, asked for this user about this project."""
    person = Person(int(user.id), str(user.email), int(project.organization_id or 0))
    return Server(apps.get_app_config("custom_ai_label_studio").configuration, person, int(project.id))


def custom_ai_make(project: Any, queryset: Any, **given: Any) -> dict[str, Any]:
    request = given["request"]
    return _answer(lambda: work.make(server_for(request.user, project), request.data))


def custom_ai_auto_label(project: Any, queryset: Any, **given: Any) -> dict[str, Any]:
    request = given["request"]
    return _answer(lambda: work.auto_label(server_for(request.user, project), request.data, _ids(queryset)))


def custom_ai_deidentify(project: Any, queryset: Any, **given: Any) -> dict[str, Any]:
    return _answer(lambda: work.deidentify(server_for(given["request"].user, project), _ids(queryset)))


def custom_ai_choose(project: Any, queryset: Any, **given: Any) -> dict[str, Any]:
    return _answer(lambda: work.choose(server_for(given["request"].user, project)))


def custom_ai_status(project: Any, queryset: Any, **given: Any) -> dict[str, Any]:
    return _answer(lambda: work.status(server_for(given["request"].user, project)))


def make_form(user: Any, project: Any) -> list[dict[str, Any]]:
    return forms.make(server_for(user, project))


def auto_label_form(user: Any, project: Any) -> list[dict[str, Any]]:
    return forms.auto_label(server_for(user, project))


def choose_form(user: Any, project: Any) -> list[dict[str, Any]]:
    return forms.choose(server_for(user, project))


def status_form(user: Any, project: Any) -> list[dict[str, Any]]:
    version = label_studio_version()
    return forms.status(server_for(user, project), version, known=is_known(version))


def register(language: str) -> None:
    """Put the actions into the menu. Their forms are made when a dialog opens, not when the menu does."""
    _ = translator(language)
    may_see, may_predict = all_permissions.projects_view, all_permissions.predictions_any
    for number, (action, permission, title, text, form) in enumerate(
        (
            (
                custom_ai_make,
                all_permissions.projects_change,
                "Custom AI: make",
                "Train models for this project. It does not matter which tasks are selected.",
                make_form,
            ),
            (
                custom_ai_auto_label,
                may_predict,
                "Custom AI: auto-label selected",
                "Have the selected tasks pre-labelled. Tasks that people have worked on are left as they are.",
                auto_label_form,
            ),
            (
                custom_ai_deidentify,
                all_permissions.tasks_change,
                "Custom AI: de-identify selected",
                "Hide the faces in the images of the selected tasks. The images are replaced; labels stay.",
                [],
            ),
            (
                custom_ai_choose,
                may_see,
                "Custom AI: choose the best model",
                "Vote for the best of the trained models.",
                choose_form,
            ),
            (custom_ai_status, may_see, "Custom AI: status", "How this project stands.", status_form),
        )
    ):
        dialog = {"title": _(title), "text": _(text), "type": "confirm", "form": form}
        register_action(action, _(title), ORDER + number, permission=permission, dialog=dialog)


def _ids(queryset: Any) -> list[int]:
    return list(queryset.values_list("id", flat=True))


def _answer(act: Callable[[], work.Done]) -> dict[str, Any]:
    try:
        done = act()
    except Problem as problem:
        return {"response_code": REFUSED, "detail": problem.text, "code": problem.code}
    found: dict[str, Any] = {"processed_items": done.tasks, "detail": done.detail}
    return found | ({"custom_ai_open": done.open} if done.open else {})
