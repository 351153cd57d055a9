"""Our addresses inside Label Studio: the way to our pages, and what Custom AI asks about people whom we sent there."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from core.permissions import all_permissions
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from projects.models import Project

from custom_ai_label_studio import assertions
from custom_ai_label_studio.config import Config
from custom_ai_label_studio.server import is_own_page
from custom_ai_label_studio.words import translator

_LONGEST_STATE = 200


def configuration() -> Config:
    found: Config = apps.get_app_config("custom_ai_label_studio").configuration
    return found


@never_cache
@require_GET
@login_required
def project(request: HttpRequest, project_id: int) -> HttpResponse:
    """To our page about a project, or to ``page`` of ours, as the same user."""
    if configuration().problems:
        return _not_set_up()
    if project_id not in _seen(request.user, [project_id]):
        raise Http404
    page = request.GET.get("page", "")
    wanted = page if is_own_page(page) else f"/projects/{project_id}"
    query = urlencode({"user": request.user.pk, "next": wanted})
    return HttpResponseRedirect(f"{configuration().public_url}/sign-in/label-studio?{query}")


@never_cache
@require_GET
@login_required
def authorize(request: HttpRequest) -> HttpResponse:
    """Say to Custom AI, by way of the browser, who is signed in here; ``state`` is from the browser's session there."""
    config, state = configuration(), request.GET.get("state", "")
    if config.problems:
        return _not_set_up()
    if not 0 < len(state) <= _LONGEST_STATE or not _counts(request.user):
        raise Http404
    user = request.user
    statement = assertions.sign(
        config.secret,
        assertions.FOR_SIGN_IN,
        user=int(user.pk),
        email=str(user.email),
        organization=int(user.active_organization_id or 0),
        state=state,
    )
    return HttpResponseRedirect(f"{config.public_url}/sign-in/arrive?{urlencode({'statement': statement})}")


@never_cache
@csrf_exempt
@require_POST
def who_sees(request: HttpRequest) -> HttpResponse:
    """For Custom AI alone: is this user still one, and which of these projects do they see?"""
    config = configuration()
    if config.problems:
        return JsonResponse({"detail": "not set up"}, status=403)
    try:
        claims = assertions.verify(
            config.secret, assertions.FOR_LABEL_STUDIO, str(json.loads(request.body)["assertion"])
        )
        user_id, ids = int(claims["user"]), [int(one) for one in claims["projects"]]
    except (assertions.Refused, ValueError, KeyError, TypeError):
        return JsonResponse({"detail": "refused"}, status=403)
    user = get_user_model().objects.filter(pk=user_id).first()
    if user is None or not _counts(user):
        return JsonResponse({"detail": "no such user"}, status=403)
    return JsonResponse({"id": user_id, "email": str(user.email), "projects": sorted(_seen(user, ids))})


@require_GET
def page_script(request: HttpRequest) -> HttpResponse:
    """The script that shows in the Data Manager what came of our actions."""
    content = files("custom_ai_label_studio").joinpath("page.js").read_text(encoding="utf-8")
    title = json.dumps(translator(configuration().language)("Open Custom AI"))
    return HttpResponse(content.replace('"Open Custom AI"', title), content_type="text/javascript; charset=utf-8")


def _counts(user: Any) -> bool:
    """Whether this is an active account that belongs to its organization (still)."""
    return bool(user.is_active and user.active_organization_id and user.has_permission(user))


def _seen(user: Any, ids: list[int]) -> set[int]:
    """Those of the projects that Label Studio shows to this user, by the rules of its own API."""
    if not _counts(user) or not user.has_perm(all_permissions.projects_view):
        return set()
    found = Project.objects.filter(organization=user.active_organization, id__in=ids)
    return {int(one.pk) for one in found if one.has_permission(user)}


def _not_set_up() -> HttpResponse:
    config = configuration()
    title = translator(config.language)("Custom AI is not set up in Label Studio")
    return HttpResponse("\n".join([title, *config.problems]), content_type="text/plain; charset=utf-8", status=503)
