"""Reports: what a candidate gets right and wrong on images that it never saw, as figures and as pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from custom_ai import dataset
from custom_ai.errors import N_, BadInput, CustomAIError, NotFound
from custom_ai.pipeline import forecast
from custom_ai.pipeline.originals import current_images
from custom_ai.pipeline.pictures import cached_image, size_of
from custom_ai.pipeline.review import model_history
from custom_ai.services import Services
from custom_ai.shapes import from_row, to_row
from custom_ai.state.tables import Candidate, DatasetSnapshot, Run
from custom_ai.types import Box

if TYPE_CHECKING:
    from custom_ai.training.report import Doubt, ImageErrors

Shapes = Mapping[int, tuple[Box, ...]]
"""By task id."""
View = tuple[float, float, float, float]
"""A part of an image: x1 y1 x2 y2 in fractions."""
WORST = 12
"""Images with errors that are shown one by one."""
DOUBTS = 30
CURVE_POINTS = 100
VIEW_TIMES = 3.0
"""How much larger than a shape in doubt the part of the image is that is shown around it ..."""
VIEW_LEAST = 0.2
"""... but at least this share of the image's longer side."""
VIEW_PIXELS = 480


@dataclass(frozen=True, slots=True)
class Material:
    """A candidate, what people drew, and what was predicted, on the images that it was scored on."""

    candidate: Candidate
    run: Run
    examples: Mapping[int, dataset.Example]
    truth: Shapes
    predicted: Shapes


def report(services: Services, candidate_id: int, translate: Callable[[str], str] = str) -> dict[str, Any]:
    """Curves, confusion, the worst images with truth beside prediction, and labels in doubt.

    Shapes are rows [label, x1, y1, x2, y2, score, outline] in fractions of the image. Raises NotFound.
    """
    from custom_ai.training import report as figures  # brings shapely: only when a report is asked for

    found = material_of(services, candidate_id)
    candidate, truth, predicted = found.candidate, found.truth, found.predicted
    thresholds = {name: float(value) for name, value in (candidate.thresholds or {}).items()}
    errors = figures.errors_by_image(truth, predicted, thresholds)
    return {
        "model": candidate.id,
        "version": candidate.version,
        "title": translate(candidate.title),
        "project": candidate.project_id,
        "run": candidate.run_id,
        "images": len(truth),
        "snapshot": None if found.run.snapshot is None else found.run.snapshot.sha256,
        "base_weights": None if candidate.base_weights is None else translate(candidate.base_weights),
        "image_size": candidate.image_size,
        "passes": candidate.passes,
        "seconds": candidate.seconds,
        "classes": candidate.classes,
        "scores": candidate.scores,
        "thresholds": thresholds,
        "loss": candidate.loss,
        "curves": {name: _curve(figures.curve(truth, predicted, name)) for name in candidate.classes},
        "confusion": figures.confusion(truth, predicted, candidate.classes, thresholds),
        "worst": _worst(services, found, thresholds, errors),
        "doubts": [_doubt(services, found, one) for one in figures.doubts(truth, predicted)[:DOUBTS]],
        "live": model_history(services, candidate.id),
        "forecast": forecast.shown(services, found.run, translate),
    }


def report_image(services: Services, candidate_id: int, task_id: int, view: View | None = None) -> bytes:
    """The JPEG of one image of a report, as the candidate was trained on it, or a part. Raises NotFound."""
    found = material_of(services, candidate_id)
    if task_id not in found.truth:
        raise NotFound(what=N_("image"), id=task_id)
    content = _image(services, found, task_id)
    return content if view is None else part_of(content, view)


def view_named(text: str) -> View:
    """A part of an image from "x1,y1,x2,y2". Raises BadInput."""
    try:
        x1, y1, x2, y2 = (float(one) for one in text.split(","))
    except ValueError:
        x1 = y1 = x2 = y2 = 0.0
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise BadInput(what=text[:40], why=N_("expected x1,y1,x2,y2 in fractions of the image"))
    return x1, y1, x2, y2


def part_of(content: bytes, view: View) -> bytes:
    """A part of a JPEG as a JPEG of at most 480 pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        corners = (round(view[0] * width), round(view[1] * height), round(view[2] * width), round(view[3] * height))
        part = image.crop((corners[0], corners[1], max(corners[2], corners[0] + 1), max(corners[3], corners[1] + 1)))
    part.thumbnail((VIEW_PIXELS, VIEW_PIXELS))
    buffer = io.BytesIO()
    part.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def material(services: Services, candidate_id: int) -> tuple[Candidate, Shapes, Shapes]:
    """A candidate, what people drew, and what was predicted, on the images that it was scored on. Raises NotFound."""
    found = material_of(services, candidate_id)
    return found.candidate, found.truth, found.predicted


def material_of(services: Services, candidate_id: int) -> Material:
    """What a report is made of. Raises NotFound."""
    with services.database.read() as session:
        candidate = session.get(Candidate, candidate_id)
        if candidate is None or candidate.status != "done" or candidate.unseen_sha256 is None:
            raise NotFound(what=N_("report of model"), id=candidate_id)
        run = session.get_one(Run, candidate.run_id)
        row = session.execute(
            select(DatasetSnapshot.content, DatasetSnapshot.sha256).where(DatasetSnapshot.id == run.snapshot_id)
        ).one()
    stored = json.loads(services.store.path(candidate.unseen_sha256).read_bytes())
    predicted = {int(task): tuple(from_row(row) for row in rows) for task, rows in stored.items()}
    snapshot = dataset.Snapshot.loads(row[0], row[1]).with_images(current_images(services, run.project_id))
    examples = {one.task_id: one for one in snapshot.examples}
    truth = {task: one.boxes for task, one in examples.items() if task in predicted}
    return Material(candidate, run, examples, truth, predicted)


def _image(services: Services, material: Material, task_id: int) -> bytes:
    return cached_image(services, material.candidate.project_id, task_id, material.examples[task_id].image)


def _worst(
    services: Services, material: Material, thresholds: dict[str, float], errors: Sequence[ImageErrors]
) -> list[dict[str, Any]]:
    """The images with the most errors; one that cannot be fetched any more is left out.

    ``missed_at`` and ``wrong_at`` say which of the shapes in ``truth`` and ``predicted`` are the errors.
    """
    shown = []
    for image in errors[:WORST]:
        if not image.errors:
            break
        try:
            width, height = size_of(_image(services, material, image.task_id))
        except CustomAIError:
            continue
        drawn = list(material.truth[image.task_id])
        seen = [
            box for box in material.predicted[image.task_id] if (box.score or 0.0) >= thresholds.get(box.label, 1.1)
        ]
        shown.append(
            {
                "task": image.task_id,
                "width": width,
                "height": height,
                "found": image.found,
                "missed": len(image.missed),
                "wrong": len(image.wrong),
                "truth": [to_row(box, None) for box in drawn],
                "predicted": [to_row(box, box.score) for box in seen],
                "missed_at": [number for number, box in enumerate(drawn) if box in image.missed],
                "wrong_at": [number for number, box in enumerate(seen) if box in image.wrong],
            }
        )
    return shown


def _doubt(services: Services, material: Material, one: Doubt) -> dict[str, Any]:
    """A label in doubt, with the part of the image around it (``view``), unless the image cannot be fetched."""
    found: dict[str, Any] = {
        "task": one.task_id,
        "annotation": material.examples[one.task_id].annotation_id,
        "kind": one.kind,
        "drawn_as": one.drawn_as,
        "sureness": round(one.sureness, 3),
        "shape": to_row(one.box, one.box.score),
        "view": None,
    }
    try:
        width, height = size_of(_image(services, material, one.task_id))
    except CustomAIError:
        return found
    view = _around(one.box, width, height)
    beside = [to_row(box, None) for box in material.truth[one.task_id] if box != one.box and _within(box, view)]
    return found | {"view": [round(edge, 4) for edge in view], "width": width, "height": height, "drawn": beside}


def _around(box: Box, width: int, height: int) -> View:
    """A square part of an image (in pixels) with a shape in the middle, as far as the image allows."""
    side = max(VIEW_TIMES * max((box.x2 - box.x1) * width, (box.y2 - box.y1) * height), VIEW_LEAST * max(width, height))

    def span(middle: float, pixels: int) -> tuple[float, float]:
        share = min(side / pixels, 1.0)
        low = min(max(middle - share / 2, 0.0), 1.0 - share)
        return low, low + share

    (x1, x2), (y1, y2) = span((box.x1 + box.x2) / 2, width), span((box.y1 + box.y2) / 2, height)
    return x1, y1, x2, y2


def _within(box: Box, view: View) -> bool:
    return box.x1 < view[2] and box.x2 > view[0] and box.y1 < view[3] and box.y2 > view[1]


def _curve(found: Any) -> dict[str, list[float]]:
    """At most about 100 points of a curve, its first and last among them: enough to draw it."""
    count = len(found.thresholds)
    step = max(count // CURVE_POINTS, 1)
    kept = sorted({*range(0, count, step), *range(max(count - 1, 0), count)})
    return {
        name: [round(getattr(found, name)[number], 4) for number in kept]
        for name in ("thresholds", "precision", "recall")
    }
