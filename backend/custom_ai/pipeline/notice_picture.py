"""The picture in a notification: what the best model of a run sees in an image that it never saw."""

from __future__ import annotations

import io
import logging

from sqlalchemy import select

from custom_ai.errors import CustomAIError
from custom_ai.pipeline.pictures import above
from custom_ai.pipeline.reports import material_of, report_image
from custom_ai.services import Services
from custom_ai.shapes import corners
from custom_ai.state.tables import Candidate, Notification

log = logging.getLogger(__name__)
EVENTS = ("run_done", "first_model", "selection_closed", "promoted")
PIXELS = 640
COLOUR = (213, 94, 0)


def picture_about(services: Services, notification: Notification) -> bytes | None:
    """A JPEG; None when the event has no result, or it cannot be shown. Never raises: a mail goes without it."""
    if notification.event not in EVENTS:
        return None
    try:
        model = _model_of(services, notification)
        return None if model is None else _drawn(services, model)
    except (CustomAIError, OSError, ValueError) as error:
        log.info("notification %s goes without a picture: %s", notification.id, error)
        return None


def _model_of(services: Services, notification: Notification) -> Candidate | None:
    what, _, number = notification.subject.partition(" ")
    if not number.isdigit():
        return None
    done = select(Candidate).where(Candidate.status == "done", Candidate.unseen_sha256.is_not(None))
    with services.database.read() as session:
        if what == "model":
            return session.scalar(done.where(Candidate.id == int(number)))
        if what == "run":
            return session.scalar(
                done.where(Candidate.run_id == int(number)).order_by(Candidate.map50.desc(), Candidate.id).limit(1)
            )
    return None


def _drawn(services: Services, model: Candidate) -> bytes | None:
    from PIL import Image, ImageDraw

    found = material_of(services, model.id)
    shown = {task: above(model, boxes) for task, boxes in found.predicted.items()}
    task = max(sorted(shown), key=lambda one: min(len(shown[one]), 5), default=None)
    if task is None:
        return None
    with Image.open(io.BytesIO(report_image(services, model.id, task))) as stored:
        image = stored.convert("RGB")
    image.thumbnail((PIXELS, PIXELS))
    pen = ImageDraw.Draw(image)
    for box in shown[task]:
        points = [(x * image.width, y * image.height) for x, y in corners(box)]
        pen.line([*points, points[0]], fill=COLOUR, width=max(2, PIXELS // 200))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
