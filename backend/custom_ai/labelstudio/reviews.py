"""What a person made of one of our pre-labels, from a task as Label Studio gives it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from custom_ai.labelstudio.annotations import labelled_task
from custom_ai.labelstudio.config import Control
from custom_ai.types import Box


@dataclass(frozen=True, slots=True)
class Review:
    """A submitted annotation, beside the prediction that stood there when it was made."""

    version: str
    annotation_id: int
    submitted_at: datetime
    predicted: tuple[Box, ...]
    submitted: tuple[Box, ...]


def review(task: Mapping[str, Any], control: Control, prefix: str) -> Review | None:
    """The review of a task, or None: nobody answered, or no prediction of ours was there before.

    Our versions begin with ``prefix``. Which prediction the person saw is said by the annotation's
    `parent_prediction`; without it, it is our newest one that is older than the annotation.
    """
    answer = labelled_task(task, control)
    if answer.boxes is None or answer.annotation_id is None:
        return None
    annotation = next(one for one in task["annotations"] if one.get("id") == answer.annotation_id)
    made_at = _moment(annotation.get("created_at"))
    if made_at is None:
        return None
    ours = [
        one
        for one in task.get("predictions") or ()
        if isinstance(one, Mapping) and str(one.get("model_version")).startswith(prefix)
    ]
    before = [one for one in ours if (_moment(one.get("created_at")) or made_at) < made_at]
    parent = annotation.get("parent_prediction")
    seen = next((one for one in ours if one.get("id") == parent), None) or max(before, key=_made, default=None)
    if seen is None:
        return None
    # Read like an annotation, so that both sides are clipped and named by the same rules.
    stood = labelled_task({"id": 0, "annotations": [{"id": 0, "result": seen.get("result") or []}]}, control)
    changed_at = _moment(annotation.get("updated_at")) or made_at
    return Review(str(seen["model_version"]), answer.annotation_id, changed_at, stood.boxes or (), answer.boxes)


def _made(prediction: Mapping[str, Any]) -> tuple[str, int]:
    number = prediction.get("id")
    return str(prediction.get("created_at")), number if isinstance(number, int) else 0


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
