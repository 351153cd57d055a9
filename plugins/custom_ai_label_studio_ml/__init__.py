"""Custom AI behind label-studio-ml, for admins who host their ML backends with it.

A thin adapter: what Label Studio asks is handed to the same pipeline as by ``custom_ai.web``. It needs
the database and the queue of a Custom AI installation, whose workers do the work. Made for
label-studio-ml 1.0.9 (the newest on the package index) and for the signatures of 2.x.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import label_studio_ml.model as base

from custom_ai.pipeline.connect import ACTIONS
from custom_ai.pipeline.look import request_look
from custom_ai.pipeline.predict import Request, predict
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state.tables import Project
from custom_ai.wiring import WEB_RETRY_S, build, settings_of_this_process

START_TRAINING = "START_TRAINING"


@cache
def services() -> Services:
    """Made at the first request and once per process; the settings are those of ``custom_ai``."""
    return build(settings_of_this_process(), retry_s=WEB_RETRY_S)


def project_number(value: object) -> int:
    """Label Studio names a project as 7, "7" or "7.1795358305" (id and time of creation); 0 is no project."""
    text = str(value).partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0


def served_version(project_id: int) -> str:
    """The version that Label Studio is told. Never null: with a null version no task can be opened."""
    with services().database.read() as session:
        best = champion(session, project_id)
    return best.version if best is not None else f"p{project_id}-untrained"


def hand_over(event: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Do what the web service does with this event; returns what will happen.

    Nothing is trained here: Label Studio holds the annotator's request until this returns. An event is
    only a hint, the worker asks Label Studio for the truth.
    """
    project = data.get("project")
    facts: Mapping[str, Any] = project if isinstance(project, Mapping) else {"id": project}
    project_id = project_number(facts.get("id"))
    with services().database.read() as session:
        known = session.get(Project, project_id) is not None
    if not known:
        if project_id:
            services().bell.ring("adopt", project_id)
        return {"status": "unknown project"}
    # "Start model training on annotation submission" sends START_TRAINING at every saved annotation:
    # then it is no wish to train now.
    if event == START_TRAINING and not facts.get("start_training_on_annotation_update"):
        services().bell.ring("start_training", project_id)
        return {"status": "accepted"}
    request_look(services(), project_id)
    return {"status": "noted"}


class CustomAIBackend(base.LabelStudioMLBase):  # type: ignore[misc]  # label-studio-ml has no types
    """The class to give to ``label-studio-ml init``."""

    TRAIN_EVENTS = (*ACTIONS, START_TRAINING)

    def setup(self) -> None:
        """2.x calls this for every request: the version is what /setup and predictions name."""
        self.set("model_version", served_version(project_number(self.project_id)))

    def predict(self, tasks: Sequence[Mapping[str, Any]], context: object = None, **kwargs: object) -> list[Any]:
        """One element per task, in order: a prediction, or [] (stored nowhere) where there is none."""
        found: list[Any] = [[] for _ in tasks]
        places: dict[int, list[int]] = defaultdict(list)
        for place, task in enumerate(tasks):
            # 1.x does not say for which project it asks, and keeps one object for all of them.
            places[project_number(task.get("project") or getattr(self, "project_id", 0))].append(place)
        for project_id, mine in places.items():
            with services().database.read() as session:
                project = session.get(Project, project_id)
            if project is None:
                continue
            request = Request(project_id, project.label_config, [tasks[place] for place in mine])
            for place, prediction in zip(mine, predict(services(), request), strict=True):
                found[place] = prediction
        return found

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        """Hand the event over. 1.x calls fit((), event=..., data=..., ...), 2.x fit(event, data, ...)."""
        named = "event" in kwargs
        event, data = (kwargs["event"], kwargs.get("data")) if named else (*args, None, None)[:2]
        if not isinstance(event, str) or not isinstance(data, Mapping):
            return {"status": "not an event"}  # 1.x's old /train route sends tasks, not events
        return hand_over(event, data)


if hasattr(base, "LabelStudioMLManager"):  # 1.x
    from custom_ai_label_studio_ml import version_1

    version_1.install()
