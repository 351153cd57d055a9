"""Label Studio projects that are not connected yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import select

from custom_ai.errors import N_, LabelConfigError
from custom_ai.labelstudio.client import Project as Remote
from custom_ai.labelstudio.config import is_empty, parse_label_config
from custom_ai.services import Services
from custom_ai.state.tables import Project

PER_PAGE = 30
NO_CONFIG = N_("It has no labelling interface yet; set one up in Label Studio first.")


def page(
    services: Services,
    number: int,
    *,
    visible: Callable[[Iterable[int]], list[int]],
    translate: Callable[[str], str] = str,
) -> dict[str, Any]:
    """Page ``number`` (from 1) of Label Studio's projects, newest first, without those that are connected or not
    ``visible`` to the visitor; so a page may be short. May raise the LabelStudio errors.
    """
    found, more = services.label_studio.project_page(max(1, number), PER_PAGE)
    ids = [one.id for one in found]
    with services.database.read() as session:
        connected = set(
            session.scalars(
                select(Project.id).where(
                    Project.id.in_(ids), Project.connected_at.is_not(None), Project.gone_at.is_(None)
                )
            )
        )
    left = [one for one in found if one.id not in connected]
    seen = set(visible([one.id for one in left]))
    return {
        "projects": [_shown(one, translate) for one in left if one.id in seen],
        "page": max(1, number),
        "more": more,
    }


def _shown(remote: Remote, translate: Callable[[str], str]) -> dict[str, Any]:
    kinds: list[str] = []
    problem = ""
    if is_empty(remote.label_config):
        problem = translate(NO_CONFIG)
    else:
        try:
            config = parse_label_config(remote.label_config, remote.id)
            kinds = [kind.value for kind in config.kinds()]
            config.control()
        except LabelConfigError as error:
            problem = error.text(translate)
    return {
        "id": remote.id,
        "title": remote.title,
        "tasks": remote.raw.get("task_number"),
        "kinds": kinds,
        "problem": problem,
    }
