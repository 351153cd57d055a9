"""/predict: Label Studio wants pre-annotations for tasks that somebody opens."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custom_ai.errors import CustomAIError, LabelStudioUnreachable
from custom_ai.labelstudio.config import parse_label_config
from custom_ai.labelstudio.results import backend_result, task_image
from custom_ai.pipeline import doubts
from custom_ai.pipeline.pictures import above, fetch_many, load_model, lowest, threshold_of
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state.tables import Project
from custom_ai.types import ImageSize, LabelKind

log = logging.getLogger(__name__)
TIME_S = 80.0
"""Label Studio waits 100 s for all the tasks of one request; what is not done by then is answered with
"no prediction", which stores nothing, so that it can be asked for again or auto-labelled."""
_CHUNK = 16

NOTHING: list[Any] = []
"""One task's element of the reply when there is no prediction. Anything else would be stored."""


@dataclass(frozen=True, slots=True)
class Request:
    """What of Label Studio's /predict call matters."""

    project_id: int
    label_config: str
    tasks: Sequence[Mapping[str, Any]]


def predict(services: Services, request: Request) -> list[Any]:
    """One element per task, in order: a prediction, or [] where there is none.

    Never raises for one task's sake: an image that cannot be read has no prediction.
    """
    results: list[Any] = [NOTHING for _ in request.tasks]
    with services.database.read() as session:
        model_row = champion(session, request.project_id)
        project = session.get(Project, request.project_id)
    if model_row is None or project is None:
        return results
    kind = None if project.kind is None else LabelKind(project.kind)
    try:
        control = parse_label_config(request.label_config, request.project_id).control(kind)
        model = load_model(services, model_row)
    except CustomAIError as error:
        log.warning("no predictions for project %s: %s", request.project_id, error)
        return results
    threshold = threshold_of(services, control, project.threshold)
    deadline = time.monotonic() + TIME_S
    for start in range(0, len(request.tasks), _CHUNK):
        if time.monotonic() > deadline:
            log.warning(
                "project %s: of %s tasks asked for at once %s are answered; auto-label the rest",
                request.project_id,
                len(request.tasks),
                start,
            )
            break
        chunk = request.tasks[start : start + _CHUNK]
        wanted = [(int(task.get("id") or 0), task_image(task, control)) for task in chunk]
        images = []
        try:
            for offset, (task_id, image) in enumerate(fetch_many(services, wanted)):
                if isinstance(image, CustomAIError):
                    log.warning("task %s: %s", task_id, image)
                else:
                    images.append((start + offset, image))
        except LabelStudioUnreachable as error:
            log.warning("no predictions for project %s: %s", request.project_id, error)
            break
        found = model.predict([_pixels(image) for _, image in images], lowest(model_row, threshold))
        for (index, image), boxes in zip(images, found, strict=True):
            kept = above(model_row, boxes, threshold)
            size = ImageSize(image.width, image.height)
            results[index] = backend_result(kept, size, control, model_row.version)
    answered = [int(task.get("id") or 0) for task, one in zip(request.tasks, results, strict=True) if one]
    doubts.asked_for(services, request.project_id, model_row.version, answered)
    return results


def _pixels(image: Any) -> Any:
    import numpy as np

    return np.asarray(image)
