"""What Label Studio tells its ML backends: a hint each, answered at once, followed up by a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_ai.errors import N_
from custom_ai.pipeline.look import project_readiness, request_look
from custom_ai.pipeline.versions import in_force
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state.tables import Project

START_TRAINING = "START_TRAINING"


def project_number(value: object) -> int | None:
    """Label Studio names a project as 7, "7" or "7.1795358305" (id and time of creation)."""
    text = str(value).partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def served_version(services: Services, project_id: int) -> str:
    """The version for /setup. Never null: with a null version Label Studio 1.23 cannot open any task."""
    with services.database.read() as session:
        best = champion(session, project_id)
        return f"p{project_id}-untrained" if best is None else in_force(session, best).version


def welcome(services: Services, project_id: int) -> None:
    """Somebody may have connected this project in Label Studio's own settings: have that looked into."""
    with services.database.read() as session:
        project = session.get(Project, project_id)
    connected = project is not None and project.connected_at is not None
    if not connected and not services.bell.waiting("adopt", project_id):
        # A moment later, since Label Studio stores a backend only after the answer to /setup.
        services.bell.ring("adopt", project_id, delay_s=services.settings.debounce_s)


def start_training(services: Services, project: Mapping[str, Any]) -> dict[str, Any]:
    """Say what will happen: {"status", "message" (to be translated), "labels" so far}.

    ``project`` is Label Studio's own description. Nothing is trained here: Label Studio holds the
    annotator's request until this returns. The answer has no key "job", of which Label Studio would make
    a row that nobody reads.
    """
    project_id = project_number(project.get("id"))
    with services.database.read() as session:
        row = None if project_id is None else session.get(Project, project_id)
        state = None if row is None else project_readiness(session, services, row)
    if project_id is None or state is None:
        if project_id is not None:
            welcome(services, project_id)
        return {
            "status": "unknown",
            "message": N_("The project is being connected; try again in a moment."),
            "labels": {},
        }
    labels = {name: f"{count}/{state.needed}" for name, count in state.counts.items()}
    if project.get("start_training_on_annotation_update"):
        # "Start model training on annotation submission" sends this with *every* saved annotation: not a
        # wish to train now, but a hint that something has changed.
        request_look(services, project_id)
        message = N_("A run starts when the project's auto-training rule says so.")
        return {"status": "noted", "message": message, "labels": labels}
    services.bell.ring("start_training", project_id)
    if state.ready:
        return {"status": "accepted", "message": N_("Training starts now."), "labels": labels}
    message = N_("Not enough labels yet, as far as seen; Label Studio is being asked once more.")
    return {"status": "checking", "message": message, "labels": labels}
