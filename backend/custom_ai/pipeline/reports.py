"""Reports: what a candidate gets right and wrong on images that it never saw, as figures and as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from custom_ai import dataset
from custom_ai.errors import N_, CustomAIError, NotFound
from custom_ai.pipeline.pictures import cached_image, size_of
from custom_ai.services import Services
from custom_ai.shapes import from_row, to_row
from custom_ai.state.tables import Candidate, DatasetSnapshot, Run
from custom_ai.types import Box

if TYPE_CHECKING:
    from custom_ai.training.report import ImageErrors

Shapes = dict[int, tuple[Box, ...]]
"""By task id."""
WORST = 12
"""Images with errors that are shown one by one."""
DOUBTS = 30
CURVE_POINTS = 100


def report(services: Services, candidate_id: int, translate: Callable[[str], str] = str) -> dict[str, Any]:
    """Curves, confusion, the worst images with truth beside prediction, and labels in doubt.

    Shapes are rows [label, x1, y1, x2, y2, score, outline] in fractions of the image. Raises NotFound.
    """
    from custom_ai.training import report as figures  # brings shapely: only when a report is asked for

    candidate, truth, predicted = _material(services, candidate_id)
    thresholds = {name: float(value) for name, value in (candidate.thresholds or {}).items()}
    errors = figures.errors_by_image(truth, predicted, thresholds)
    return {
        "model": candidate.id,
        "version": candidate.version,
        "title": translate(candidate.title),
        "project": candidate.project_id,
        "run": candidate.run_id,
        "images": len(truth),
        "classes": candidate.classes,
        "scores": candidate.scores,
        "thresholds": thresholds,
        "loss": candidate.loss,
        "curves": {name: _curve(figures.curve(truth, predicted, name)) for name in candidate.classes},
        "confusion": figures.confusion(truth, predicted, candidate.classes, thresholds),
        "worst": _worst(services, candidate, truth, predicted, thresholds, errors),
        "doubts": [
            {
                "task": one.task_id,
                "kind": one.kind,
                "drawn_as": one.drawn_as,
                "sureness": round(one.sureness, 3),
                "shape": to_row(one.box, one.box.score),
            }
            for one in figures.doubts(truth, predicted)[:DOUBTS]
        ],
    }


def _worst(
    services: Services,
    candidate: Candidate,
    truth: Shapes,
    predicted: Shapes,
    thresholds: dict[str, float],
    errors: Sequence[ImageErrors],
) -> list[dict[str, Any]]:
    """The images with the most errors; one that cannot be fetched any more is left out."""
    uris = {one.task_id: one.image for one in _snapshot(services, candidate).examples}
    shown = []
    for image in errors[:WORST]:
        if not image.errors:
            break
        try:
            content = cached_image(services, candidate.project_id, image.task_id, uris[image.task_id])
        except CustomAIError:
            continue
        width, height = size_of(content)
        seen = [box for box in predicted[image.task_id] if (box.score or 0.0) >= thresholds.get(box.label, 1.1)]
        shown.append(
            {
                "task": image.task_id,
                "width": width,
                "height": height,
                "found": image.found,
                "missed": len(image.missed),
                "wrong": len(image.wrong),
                "truth": [to_row(box, None) for box in truth[image.task_id]],
                "predicted": [to_row(box, box.score) for box in seen],
            }
        )
    return shown


def report_image(services: Services, candidate_id: int, task_id: int) -> bytes:
    """The JPEG of one image of a report, as the candidate was trained on it. Raises NotFound."""
    candidate, truth, _ = _material(services, candidate_id)
    if task_id not in truth:
        raise NotFound(what=N_("image"), id=task_id)
    uri = next(one.image for one in _snapshot(services, candidate).examples if one.task_id == task_id)
    return cached_image(services, candidate.project_id, task_id, uri)


def _material(services: Services, candidate_id: int) -> tuple[Candidate, Shapes, Shapes]:
    """The candidate, what people drew, and what was predicted, on the images that it was scored on."""
    with services.database.read() as session:
        candidate = session.get(Candidate, candidate_id)
    if candidate is None or candidate.status != "done" or candidate.unseen_sha256 is None:
        raise NotFound(what=N_("report of model"), id=candidate_id)
    stored = json.loads(services.store.path(candidate.unseen_sha256).read_bytes())
    predicted = {int(task): tuple(from_row(row) for row in rows) for task, rows in stored.items()}
    truth = {one.task_id: one.boxes for one in _snapshot(services, candidate).examples if one.task_id in predicted}
    return candidate, truth, predicted


def _snapshot(services: Services, candidate: Candidate) -> dataset.Snapshot:
    with services.database.read() as session:
        run = session.get_one(Run, candidate.run_id)
        row = session.execute(
            select(DatasetSnapshot.content, DatasetSnapshot.sha256).where(DatasetSnapshot.id == run.snapshot_id)
        ).one()
    return dataset.Snapshot.loads(row[0], row[1])


def _curve(found: Any) -> dict[str, list[float]]:
    """At most 100 points of a curve: enough to draw it."""
    step = max(len(found.thresholds) // CURVE_POINTS, 1)
    return {
        name: [round(value, 4) for value in getattr(found, name)[::step]]
        for name in ("thresholds", "precision", "recall")
    }
