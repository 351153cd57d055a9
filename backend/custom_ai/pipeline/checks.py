"""Checks of one project for ``custom-ai doctor``: each raises an error that says what to do."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import select

from custom_ai.errors import N_, Conflict, CustomAIError, NotFound
from custom_ai.labelstudio.results import prediction
from custom_ai.pipeline.connect import SECRET_HEADER, webhook_secret
from custom_ai.pipeline.look import control_of
from custom_ai.pipeline.pictures import fetch
from custom_ai.services import Services
from custom_ai.state.tables import Project, Task, now
from custom_ai.types import Box, ImageSize

_WAIT_S = 15.0
Translate = Callable[[str], str]


class NotConnected(CustomAIError):
    code, status = "not_connected", 409
    template = N_("Project {id} is not connected. Run `custom-ai connect {id}`.")


def project(services: Services, project_id: int, _: Translate) -> str:
    """Is it connected, and can its labelling config be used?"""
    row = _project(services, project_id)
    control = control_of(row)
    return f"{project_id} {row.title}: {', '.join(control.classes)}"


def registration(services: Services, project_id: int, _: Translate) -> str:
    """Does Label Studio know our backend, and our webhook with its secret?"""
    url = services.settings.ml_backend_url
    backends = [one for one in services.label_studio.ml_backends(project_id) if one.url.rstrip("/") == url]
    if not backends:
        raise NotConnected(id=project_id)
    if backends[0].state != "CO":
        raise Conflict(
            why=_(
                N_(
                    "Label Studio cannot reach {url}. If it runs in a container, localhost is the container itself; "
                    "if it refuses private addresses, start it with USE_DEFAULT_BANNED_SUBNETS=false"
                )
            ).format(url=url)
        )
    secret = webhook_secret(services, project_id)
    hooks = [one for one in services.label_studio.webhooks(project_id) if one.headers.get(SECRET_HEADER) == secret]
    if not any(one.is_active for one in hooks):
        raise NotConnected(id=project_id)
    return f"{backends[0].title}, {backends[0].model_version}"


def webhook_arrives(services: Services, project_id: int, _: Translate) -> str:
    """Change something harmless in Label Studio and wait for its webhook to reach this installation."""
    before = now() - timedelta(seconds=1)
    services.label_studio.update_project(project_id, title=_project(services, project_id).title)
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        heard = _project(services, project_id).webhook_at
        if heard is not None and heard > before:
            return _(N_("yes"))
        time.sleep(0.25)
    raise Conflict(
        why=_(N_("no webhook came within {seconds} s; see whether Label Studio can reach {url}")).format(
            seconds=int(_WAIT_S), url=services.settings.ml_backend_url
        )
    )


def image_download(services: Services, project_id: int, _: Translate) -> str:
    """Fetch and decode one image."""
    task = _task(services, project_id)
    image = fetch(services, task.task_id, task.image)
    return f"{task.image}: {image.width} x {image.height}"


def prediction_round_trip(services: Services, project_id: int, _: Translate) -> str:
    """Write a prediction under a version of its own, read it back, and remove it."""
    studio = services.label_studio
    task = _task(services, project_id)
    control = control_of(_project(services, project_id))
    version = f"doctor-{secrets.token_hex(4)}"
    box = Box(control.classes[0], 0.4, 0.4, 0.6, 0.6, 0.5)
    studio.push_predictions(project_id, [prediction(task.task_id, [box], ImageSize(100, 100), control, version)])
    try:
        if task.task_id not in studio.tasks_with_version(project_id, version, among=[task.task_id]):
            raise Conflict(why=_(N_("Label Studio took a prediction but does not show it")))
    finally:
        studio.delete_predictions_of_version(project_id, version)
    return _(N_("yes"))


def _project(services: Services, project_id: int) -> Project:
    with services.database.read() as session:
        row = session.get(Project, project_id)
    if row is None or row.connected_at is None:
        raise NotConnected(id=project_id)
    return row


def _task(services: Services, project_id: int) -> Task:
    with services.database.read() as session:
        row = session.scalar(
            select(Task)
            .where(Task.project_id == project_id, Task.image != "")
            .order_by(Task.touched, Task.task_id)
            .limit(1)
        )
    if row is None:
        raise NotFound(what=N_("an image in project"), id=project_id)
    return row
