"""What label-studio-ml 1.x needs to serve several projects with our versions.

Its own manager keeps one model object for all projects, calls it "INITIAL" for ever, which makes Label
Studio ask again for tasks that have our prediction already, and forks a process for every webhook.
"""

from __future__ import annotations

from typing import Any

from label_studio_ml import api
from label_studio_ml.model import LabelStudioMLManager, ModelWrapper

import custom_ai_label_studio_ml as adapter
from custom_ai.pipeline.events import project_number, served_version


class Manager(LabelStudioMLManager):  # type: ignore[misc]  # label-studio-ml has no types
    """Looks the version up for each request; a new object costs nothing, the models are cached below."""

    @classmethod
    def fetch(
        cls, project: object = None, label_config: str | None = None, force_reload: bool = False, **kwargs: Any
    ) -> Any:
        version = served_version(adapter.services(), project_number(project) or 0)
        # Not the label config: the base class would parse it, and we have our own.
        return ModelWrapper(model=cls.model_class(), model_version=version)

    @classmethod
    def predict(
        cls,
        tasks: list[dict[str, Any]],
        project: object = None,
        label_config: str | None = None,
        force_reload: bool = False,
        try_fetch: bool = True,
        **kwargs: Any,
    ) -> tuple[list[Any], Any]:
        # Interactive requests may leave the project out of the task.
        known = [{"project": project, **task} for task in tasks]
        wrapper = cls.fetch(project, label_config)
        return wrapper.model.predict(known, **kwargs), wrapper

    @classmethod
    def webhook(cls, event: str, data: dict[str, Any]) -> dict[str, str]:
        answer: dict[str, str] = cls.model_class().fit(event=event, data=data)
        return answer


def install() -> None:
    """Let label-studio-ml's server, which makes its manager at import, use ours."""
    api._manager = Manager()
