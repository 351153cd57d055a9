"""Between our boxes and Label Studio's JSON, both ways. Pure; the way in is in ``annotations``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from custom_ai.labelstudio.annotations import Note, labelled_task, labelled_tasks, task_image
from custom_ai.labelstudio.config import BoxControl
from custom_ai.types import Box, ImageSize

__all__ = ["Note", "backend_result", "labelled_task", "labelled_tasks", "prediction", "task_image"]

Region = dict[str, Any]


def prediction(
    task_id: int, boxes: Iterable[Box], size: ImageSize | None, control: BoxControl, model_version: str
) -> dict[str, Any]:
    """One prediction for ``LabelStudio.push_predictions`` or for an import.

    An image on which nothing was found gets one too, with an empty result: it is done, and its score
    of 0 brings it to people first under uncertainty sampling. Boxes of classes that the config does not
    have are left out, because Label Studio would drop the task's whole prediction for them.
    """
    return {"task": task_id, **_body(str(task_id), boxes, size, control, model_version)}


def backend_result(
    boxes: Iterable[Box], size: ImageSize | None, control: BoxControl, model_version: str
) -> dict[str, Any]:
    """One element of `results` in the answer to /predict."""
    return _body("", boxes, size, control, model_version)


def _body(
    seed: str, boxes: Iterable[Box], size: ImageSize | None, control: BoxControl, model_version: str
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


def _regions(region_id: str, box: Box, size: ImageSize | None, control: BoxControl) -> list[Region]:
    """One region for RectangleLabels; for Rectangle + Labels two that share an id."""
    x, y = 100 * box.x1, 100 * box.y1
    shape: dict[str, Any] = {
        "x": x,
        "y": y,
        "width": min(100 * box.x2 - x, 100 - x),
        "height": min(100 * box.y2 - y, 100 - y),
        "rotation": 0,
    }
    common: Region = {"id": region_id, "to_name": control.to_name, "image_rotation": 0}
    if size is not None:
        common |= {"original_width": size.width, "original_height": size.height}
    if box.score is not None:
        common["score"] = box.score
    if control.labels_from is None:
        value = {**shape, "rectanglelabels": [box.label]}
        return [{**common, "from_name": control.from_name, "type": "rectanglelabels", "value": value}]
    return [
        {**common, "from_name": control.from_name, "type": "rectangle", "value": shape},
        {
            **common,
            "from_name": control.labels_from,
            "type": "labels",
            "value": {**shape, "labels": [box.label]},
        },
    ]
