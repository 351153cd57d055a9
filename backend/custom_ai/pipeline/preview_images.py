"""What a model sees in some untouched images, before it pre-labels thousands of them. Nothing is stored.

All scores are told, so that any threshold can be tried on what was seen once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from custom_ai import dataset
from custom_ai.errors import N_, ImageError, NotFound
from custom_ai.images import decode_upright
from custom_ai.pipeline.found import FLOOR
from custom_ai.pipeline.look import control_of
from custom_ai.pipeline.pictures import cached_image, load_model, lowest, threshold_of
from custom_ai.pipeline.versions import in_force
from custom_ai.services import Services
from custom_ai.shapes import to_row
from custom_ai.state.tables import Candidate, Project, Task

IMAGES = 12


def preview(
    services: Services,
    model_id: int,
    translate: Callable[[str], str] = str,
    *,
    page: int = 0,
) -> dict[str, Any]:
    """Twelve untouched images (``page`` counts other ones) with all that the model sees in them.

    ``thresholds`` are those that would hold in an auto-labelling job, by class. Each of ``images`` has its
    ``task``, ``width``, ``height`` in pixels, and ``shapes``: [label, x1, y1, x2, y2, score, outline] in
    fractions; or ``error``. Raises NotFound, ModelError, LabelStudioUnreachable.
    """
    import numpy as np

    model, project = _model(services, model_id)
    with services.database.read() as session:
        force = in_force(session, model)
        tasks = session.execute(
            select(Task.task_id, Task.image).where(Task.project_id == project.id, ~Task.touched)
        ).all()
    ordered = sorted(((row[0], row[1]) for row in tasks), key=lambda task: dataset.side(task[0]))
    chosen = ordered[page * IMAGES : (page + 1) * IMAGES]
    held = threshold_of(services, control_of(project), force.threshold, project.threshold)
    own = model.thresholds or {}
    loaded = load_model(services, model) if chosen else None
    images: list[dict[str, Any]] = []
    for task, uri in chosen:
        try:
            content = cached_image(services, project.id, task, uri)
            picture = decode_upright(content, f"task {task}", services.settings.image_max_pixels)
        except ImageError as error:
            images.append({"task": task, "error": error.text(translate)})
            continue
        assert loaded is not None
        (boxes,) = loaded.predict([np.asarray(picture)], min(FLOOR, lowest(model, held)))
        shapes = [to_row(box, None if box.score is None else round(box.score, 4)) for box in boxes]
        images.append({"task": task, "width": picture.width, "height": picture.height, "shapes": shapes})
    return {
        "model": model.id,
        "version": model.version,
        "project": project.id,
        "classes": model.classes,
        "thresholds": {name: held if held is not None else float(own.get(name, 0.25)) for name in model.classes},
        "untouched": len(ordered),
        "page": page,
        "more": len(ordered) > (page + 1) * IMAGES,
        "images": images,
    }


def shown(found: dict[str, Any], threshold: float | None) -> list[list[Any]]:
    """Of each image of a preview, the shapes that a job with this threshold (None: as it is) would push."""
    limits = found["thresholds"]
    return [
        [
            row
            for row in one.get("shapes", ())
            if row[5] >= (limits.get(row[0], 1.1) if threshold is None else threshold)
        ]
        for one in found["images"]
    ]


def image(services: Services, model_id: int, task_id: int) -> bytes:
    """The JPEG of a task of the model's project. Raises NotFound, ImageError."""
    _, project = _model(services, model_id)
    with services.database.read() as session:
        task = session.get(Task, (project.id, task_id))
    if task is None:
        raise NotFound(what=N_("task"), id=task_id)
    return cached_image(services, project.id, task_id, task.image)


def _model(services: Services, model_id: int) -> tuple[Candidate, Project]:
    with services.database.read() as session:
        model = session.get(Candidate, model_id)
        if model is None or model.status != "done":
            raise NotFound(what=N_("model"), id=model_id)
        return model, session.get_one(Project, model.project_id)
