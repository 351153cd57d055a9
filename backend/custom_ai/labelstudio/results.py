"""Between our shapes and Label Studio's JSON, both ways. Pure; the way in is in ``annotations``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

from custom_ai.labelstudio.annotations import labelled_task, labelled_tasks, task_image
from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.regions import Note
from custom_ai.shapes import corners, is_flat, is_rectangle, shortened, tidy, visible_part, within
from custom_ai.types import Box, ImageSize, LabelKind, Outline

__all__ = ["Note", "backend_result", "labelled_task", "labelled_tasks", "prediction", "task_image"]

Region = dict[str, Any]

MOST_POINTS = 200
"""Of a polygon: people shall be able to correct it by hand."""
_ROUNDING = 1e-9
"""Overhang in percent that is rounding; Label Studio 1.23 drops a prediction with x = 100.0000001."""


def prediction(
    task_id: int, boxes: Iterable[Box], size: ImageSize | None, control: Control, model_version: str
) -> dict[str, Any]:
    """One prediction for ``LabelStudio.push_predictions`` or for an import.

    Shapes are written as ``control`` takes them, whatever kind they are of: the corners of a box are a
    polygon, and a polygon has a box around it. Rotated boxes need the image's ``size``. An image on which
    nothing was found gets a prediction too, with an empty result: it is done, and its score of 0 brings it
    to people first under uncertainty sampling. Shapes of classes that the config does not have are left
    out, because Label Studio would drop the task's whole prediction for them.
    """
    return {"task": task_id, **_body(str(task_id), boxes, size, control, model_version)}


def backend_result(
    boxes: Iterable[Box], size: ImageSize | None, control: Control, model_version: str
) -> dict[str, Any]:
    """One element of `results` in the answer to /predict."""
    return _body("", boxes, size, control, model_version)


def _body(
    seed: str, boxes: Iterable[Box], size: ImageSize | None, control: Control, model_version: str
) -> dict[str, Any]:
    if not model_version:
        # Label Studio cannot open a task of which a prediction came without a version.
        raise ValueError("a prediction needs a model version")
    known = [box for box in boxes if box.label in control.classes]
    result: list[Region] = []
    for index, box in enumerate(known):
        result += _regions(_region_id(seed, model_version, index), box, size, control)
    scores = [box.score for box in known if box.score is not None]
    score = sum(scores) / len(scores) if scores else 0.0
    return {"result": result, "score": score, "model_version": model_version}


def _region_id(seed: str, model_version: str, index: int) -> str:
    """Short, unique within a task across versions, and the same when it is made again."""
    return hashlib.blake2s(f"{seed}/{model_version}/{index}".encode(), digest_size=6).hexdigest()


def _regions(region_id: str, box: Box, size: ImageSize | None, control: Control) -> list[Region]:
    """One region for RectangleLabels or PolygonLabels; for Rectangle or Polygon + Labels two that share an id."""
    shape = _shape(box, size, control.kind)
    common: Region = {"id": region_id, "to_name": control.to_name, "image_rotation": 0}
    if size is not None:
        common |= {"original_width": size.width, "original_height": size.height}
    if box.score is not None:
        common["score"] = box.score
    drawn = {**common, "from_name": control.from_name, "type": control.region_type}
    if control.labels_from is None:
        return [{**drawn, "value": {**shape, control.region_type: [box.label]}}]
    labels = {**shape, "labels": [box.label]}
    return [
        {**drawn, "value": shape},
        {**common, "from_name": control.labels_from, "type": "labels", "value": labels},
    ]


def _shape(box: Box, size: ImageSize | None, kind: LabelKind) -> dict[str, Any]:
    if kind is LabelKind.POLYGON:
        return _polygon(box)
    rotated = _rotated(box.outline, size) if kind is LabelKind.ROTATED_BOX and size is not None else None
    return rotated or _upright(box)


def _upright(box: Box) -> dict[str, Any]:
    x, y = 100 * box.x1, 100 * box.y1
    return {
        "x": x,
        "y": y,
        "width": min(100 * box.x2 - x, 100 - x),
        "height": min(100 * box.y2 - y, 100 - y),
        "rotation": 0,
    }


def _polygon(box: Box) -> dict[str, Any]:
    outline = tidy(within(box.outline))
    if len(outline) > MOST_POINTS:
        outline = tuple(outline[number * len(outline) // MOST_POINTS] for number in range(MOST_POINTS))
    if is_flat(outline):
        outline = corners(Box(box.label, box.x1, box.y1, box.x2, box.y2))
    return {"points": [[100 * x, 100 * y] for x, y in outline], "closed": True}


def _rotated(outline: Outline, size: ImageSize) -> dict[str, Any] | None:
    """A rotated rectangle as Label Studio writes it; None when it can only be written as an upright one.

    Label Studio 1.23 drops predictions of which x, y, width or height is more than 100, and calls negative
    ones wrong too. Any corner may be the "top left" (with another angle), so that a box with at least one
    corner inside the image is kept as it is, unless it is longer than the image; of others only a part is
    written.
    """
    pixels = tuple((x * size.width, y * size.height) for x, y in outline)
    if not is_rectangle(pixels):
        return None
    (px, py), (qx, qy), _, (sx, sy) = pixels
    if (qx - px) * (sy - py) < (qy - py) * (sx - px):  # counter-clockwise
        pixels = (pixels[0], *pixels[:0:-1])
    for part in _parts(pixels, size):
        for start in range(4):
            value = _turned_about((*part[start:], *part[:start]), size)
            if value is not None:
                return value
    return None


def _parts(pixels: Outline, size: ImageSize) -> Iterator[Outline]:
    """The rectangle, what of it is visible, and ever shorter pieces of that."""
    yield pixels
    (px, py), (qx, qy), _, _ = pixels
    visible = visible_part(pixels, math.degrees(math.atan2(qy - py, qx - px)), size.width, size.height)
    for percent in range(100, 45, -5) if visible else ():
        yield shortened(visible, percent / 100)


def _turned_about(pixels: Outline, size: ImageSize) -> dict[str, Any] | None:
    """The value with the first corner as the top left; None when Label Studio would not take it."""
    p, q, _, s = pixels
    degrees = math.degrees(math.atan2(q[1] - p[1], q[0] - p[0])) % 360
    value = {
        "x": 100 * p[0] / size.width,
        "y": 100 * p[1] / size.height,
        "width": 100 * math.dist(p, q) / size.width,
        "height": 100 * math.dist(p, s) / size.height,
    }
    taken = all(-_ROUNDING <= one <= 100 + _ROUNDING for one in value.values())
    if not taken or min(value["width"], value["height"]) <= 0:
        return None
    clipped = {name: min(100.0, max(0.0, one)) for name, one in value.items()}
    return {**clipped, "rotation": 0.0 if degrees == 360 else degrees}  # -1e-20 % 360 is 360
