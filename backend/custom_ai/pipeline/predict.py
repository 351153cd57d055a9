"""/predict: Label Studio wants pre-annotations, for a task that somebody opens or for many that somebody selected."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import select
from sqlalchemy.orm import load_only

from custom_ai.errors import N_, CustomAIError, ImageError, LabelStudioUnreachable
from custom_ai.images import decode_pixels
from custom_ai.labelstudio.config import Control, parse_label_config
from custom_ai.labelstudio.images import fetch_image, shown
from custom_ai.labelstudio.results import backend_result, task_image
from custom_ai.pipeline import doubts
from custom_ai.pipeline.label import request_auto_label
from custom_ai.pipeline.pictures import Download, above, download_many, load_model, lowest, threshold_of
from custom_ai.pipeline.versions import in_force
from custom_ai.pipeline.which_tasks import Which
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify
from custom_ai.state.tables import Candidate, Project, Promotion
from custom_ai.types import LabelKind

if TYPE_CHECKING:
    from custom_ai.serving.engine import Model
    from custom_ai.serving.stream import Picture, Seen

log = logging.getLogger(__name__)
TIME_S = 80.0
"""Label Studio waits 100 s for all the tasks of one request; what is not done by then is answered with
"no prediction", which stores nothing, and handed over to auto-labelling."""
MANY = 300
"""More tasks at once are handed over as a whole: Label Studio 1.23 stores what it is answered at 7 tasks a second,
while its user waits; auto-labelling stores hundreds a second."""

NOTHING: list[Any] = []
"""One task's element of the reply when there is no prediction. Anything else would be stored."""


@dataclass(frozen=True, slots=True)
class Request:
    """What of Label Studio's /predict call matters."""

    project_id: int
    label_config: str
    tasks: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What it takes to answer for one task."""

    services: Services
    candidate: Candidate
    control: Control
    version: str
    threshold: float | None

    def model(self) -> Model:
        return load_model(self.services, self.candidate)

    def picture(self, model: Model, download: Download) -> Picture:
        """Called by several threads. Raises ImageError."""
        from custom_ai.serving.stream import Picture

        if isinstance(download.content, CustomAIError):
            raise download.content
        most = self.services.settings.image_max_pixels
        return Picture(*decode_pixels(download.content, download.name, most, model.side))

    def lowest(self) -> float:
        return lowest(self.candidate, self.threshold)

    def result(self, seen: Seen) -> Any:
        kept = above(self.candidate, seen.boxes, self.threshold)
        return backend_result(kept, seen.size, self.control, self.version)


def predict(services: Services, request: Request) -> list[Any]:
    """One element per task, in order: a prediction, or [] where there is none.

    Never raises for one task's sake: an image that cannot be read has no prediction.
    """
    results: list[Any] = [NOTHING for _ in request.tasks]
    answer = None
    try:
        answer = _prepare(services, request)
        if answer is None or (len(request.tasks) > MANY and _hand_over(services, request, request.tasks, 0)):
            return results
        if len(request.tasks) == 1:
            results[0] = _one(answer, request.tasks[0])
        elif request.tasks:
            done = _many(answer, request.tasks, results)
            if done < len(request.tasks):
                _hand_over(services, request, request.tasks[done:], done)
    except CustomAIError as error:
        log.warning("no predictions for project %s: %s", request.project_id, error)
    if answer is not None:
        answered = [_id(task) for task, one in zip(request.tasks, results, strict=True) if one]
        doubts.asked_for(services, request.project_id, answer.version, answered)
    return results


def _prepare(services: Services, request: Request) -> _Answer | None:
    """None when no model serves the project. Raises LabelConfigError."""
    with services.database.read() as session:
        # One query, without the curves and scores of the model: reading those takes as long as a small network.
        row = session.execute(
            select(Candidate, Project.kind, Project.threshold)
            .join(Promotion, Promotion.candidate_id == Candidate.id)
            .join(Project, Project.id == Promotion.project_id)
            .where(Promotion.project_id == request.project_id, Promotion.active)
            .options(load_only(Candidate.project_id, Candidate.onnx_sha256, Candidate.thresholds))
        ).one_or_none()
        if row is None:
            return None
        candidate, kind_name, own_threshold = row
        force = in_force(session, candidate)
    kind = None if kind_name is None else LabelKind(kind_name)
    control = parse_label_config(request.label_config, request.project_id).control(kind)
    threshold = threshold_of(services, control, force.threshold, own_threshold)
    return _Answer(services, candidate, control, force.version, threshold)


def _one(answer: _Answer, task: Mapping[str, Any]) -> Any:
    """Somebody has opened a task and waits: no threads, no batches."""
    from custom_ai.serving.stream import Seen

    services, task_id, uri = answer.services, _id(task), task_image(task, answer.control)
    model = answer.model()
    try:
        content = fetch_image(services.label_studio.session, services.settings, task_id, uri)
        picture = answer.picture(model, Download(task_id, shown(uri), content))
    except ImageError as error:
        log.warning("task %s: %s", task_id, error)
        return NOTHING
    (boxes,) = model.predict([picture.pixels], answer.lowest())
    return answer.result(Seen(picture.size, boxes))


def _many(answer: _Answer, tasks: Sequence[Mapping[str, Any]], results: list[Any]) -> int:
    """Answer in order until the time is up, or Label Studio is away; returns how many tasks were looked at."""
    deadline = time.monotonic() + TIME_S
    model = answer.model()
    wanted = [(_id(task), task_image(task, answer.control)) for task in tasks]
    done = 0
    with closing(download_many(answer.services, wanted)) as downloads:
        stream = model.predict_many(downloads, lambda one: answer.picture(model, one), answer.lowest())
        with closing(cast("Generator[tuple[Download, Seen | CustomAIError]]", stream)) as looks:
            try:
                for download, seen in looks:
                    if isinstance(seen, CustomAIError):
                        log.warning("task %s: %s", download.task_id, seen)
                    else:
                        results[done] = answer.result(seen)
                    done += 1
                    if time.monotonic() > deadline:
                        break
            except LabelStudioUnreachable as error:
                log.warning("no more predictions: %s", error)
    return done


def _hand_over(services: Services, request: Request, tasks: Sequence[Mapping[str, Any]], answered: int) -> bool:
    """Have these tasks auto-labelled, and say so. False when that cannot be done: no worker, a job under way, ..."""
    if not services.bell.workers("auto_label"):
        return False
    which = Which("all", tasks=[_id(task) for task in tasks])
    try:
        job = request_auto_label(services, request.project_id, by=SYSTEM, trigger="retrieve", which=which)
    except CustomAIError as error:
        log.warning("project %s: %s tasks are not handed over: %s", request.project_id, len(tasks), error)
        return False
    log.info("project %s: %s tasks are handed over to auto-labelling job %s", request.project_id, len(tasks), job)
    with services.database.write() as session:
        notify(
            session,
            request.project_id,
            "handed_over",
            N_(
                "Label Studio asked for predictions of {asked} tasks at once: {answered} were answered, and {left} "
                "follow by auto-labelling, which is faster. Reload the page in Label Studio when it has ended."
            ),
            about=f"job {job}",
            asked=len(request.tasks),
            answered=answered,
            left=len(tasks),
        )
    return True


def _id(task: Mapping[str, Any]) -> int:
    return int(task.get("id") or 0)
