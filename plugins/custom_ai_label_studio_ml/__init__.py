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
from custom_ai.pipeline.events import START_TRAINING, project_number, served_version, start_training, welcome
from custom_ai.pipeline.look import request_look
from custom_ai.pipeline.predict import Request, predict
from custom_ai.services import Services
from custom_ai.state.tables import Project
from custom_ai.wiring import WEB_RETRY_S, build, settings_of_this_process


@cache
def services() -> Services:
    """Made at the first request and once per process; the settings are those of ``custom_ai``."""
    return build(settings_of_this_process(), retry_s=WEB_RETRY_S)


def hand_over(event: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the web service does with this event; returns what will happen."""
    project = data.get("project")
    facts: Mapping[str, Any] = project if isinstance(project, Mapping) else {"id": project}
    project_id = project_number(facts.get("id"))
    if project_id is None:
        return {"status": "unknown"}
    if event == START_TRAINING:
        return start_training(services(), facts)
    if not request_look(services(), project_id):
        welcome(services(), project_id)
        return {"status": "unknown"}
    return {"status": "noted"}


class CustomAIBackend(base.LabelStudioMLBase):  # type: ignore[misc]  # label-studio-ml has no types
    """The class to give to ``label-studio-ml init``."""

    TRAIN_EVENTS = (*ACTIONS, START_TRAINING)

    def setup(self) -> None:
        """2.x calls this for every request: the version is what /setup and predictions name."""
        self.set("model_version", served_version(services(), project_number(self.project_id) or 0))

    def predict(self, tasks: Sequence[Mapping[str, Any]], context: object = None, **kwargs: object) -> list[Any]:
        """One element per task, in order: a prediction, or [] (stored nowhere) where there is none."""
        found: list[Any] = [[] for _ in tasks]
        places: dict[int, list[int]] = defaultdict(list)
        for place, task in enumerate(tasks):
            # 1.x does not say for which project it asks, and keeps one object for all of them.
            places[project_number(task.get("project") or getattr(self, "project_id", 0)) or 0].append(place)
        for project_id, mine in places.items():
            with services().database.read() as session:
                project = session.get(Project, project_id)
            if project is None:
                continue
            request = Request(project_id, project.label_config, [tasks[place] for place in mine])
            for place, prediction in zip(mine, predict(services(), request), strict=True):
                found[place] = prediction
        return found

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Hand the event over. 1.x calls fit((), event=..., data=..., ...), 2.x fit(event, data, ...)."""
        named = "event" in kwargs
        event, data = (kwargs["event"], kwargs.get("data")) if named else (*args, None, None)[:2]
        if not isinstance(event, str) or not isinstance(data, Mapping):
            return {"status": "not an event"}  # 1.x's old /train route sends tasks, not events
        return hand_over(event, data)


if hasattr(base, "LabelStudioMLManager"):  # 1.x
    from custom_ai_label_studio_ml import version_1

    version_1.install()
