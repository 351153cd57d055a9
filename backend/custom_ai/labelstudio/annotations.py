"""Label Studio's annotations to our boxes. Pure: JSON in, dataclasses out, nothing raised for bad JSON.

Label Studio stores percentages (0..100) of the upright image; ours are fractions (0..1) of the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from custom_ai.labelstudio.config import BoxControl
from custom_ai.types import Box, LabelledTask

CLIP_TOLERANCE = 1e-6
"""Overhang in fractions that is rounding, not somebody's box over the edge."""


class Note(StrEnum):
    """What happened while reading, counted for the data report."""

    TASK_UNREADABLE = "task_unreadable"
    """Not a JSON object with an id: the task is left out."""
    NO_IMAGE = "no_image"
    """The task's data have no image under the config's key."""
    SKIPPED = "skipped"
    """Annotations that are skips."""
    UNREVIEWED = "unreviewed"
    """Annotations that the Data Manager copied from predictions and nobody has looked at."""
    SUPERSEDED = "superseded"
    """Further annotations of a task, beside the one that counts."""
    REGION_UNREADABLE = "region_unreadable"
    """Missing or non-numeric values."""
    ROTATED_WITHOUT_SIZE = "rotated_without_size"
    """A rotated box without the image's size in pixels, which its geometry needs."""
    NO_LABEL = "no_label"
    UNKNOWN_LABEL = "unknown_label"
    """Its label is not in the labelling config (any more)."""
    DEGENERATE = "degenerate"
    """Nothing is left of the box inside the image."""
    CLIPPED = "clipped"
    """Cut at the image's edge, and used."""
    UNROTATED = "unrotated"
    """A rotated box, used as the upright box around it."""
    AMBIGUOUS = "ambiguous"
    """Annotations of which no box could be used though something was drawn: no negative example."""


_SHAPES = frozenset({"polygonlabels", "brushlabels", "ellipselabels", "keypointlabels", "bitmasklabels"})


def labelled_tasks(
    tasks: Iterable[object], control: BoxControl, notes: Counter[str] | None = None
) -> Iterator[LabelledTask]:
    """``labelled_task`` for each readable task."""
    for task in tasks:
        if isinstance(task, dict) and isinstance(task.get("id"), int):
            yield labelled_task(task, control, notes)
        elif notes is not None:
            notes[Note.TASK_UNREADABLE] += 1


def task_image(task: Mapping[str, Any], control: BoxControl) -> str:
    """The image URI of a task as Label Studio sends it, '' when there is none."""
    return control.image_uri(task.get("data"))


def labelled_task(task: Mapping[str, Any], control: BoxControl, notes: Counter[str] | None = None) -> LabelledTask:
    """What people say about a task from ``LabelStudio.tasks``.

    Of several annotations one counts: ground truth before others, then the newest. Skips and
    unreviewed copies of predictions never count. ``updated_at`` is the task's (Label Studio raises it
    with every change of its annotations). ``notes`` gathers what was left out, by ``Note``. Survives
    any JSON as long as the task has an integer id, and raises ValueError when it has none.
    """
    notes = Counter() if notes is None else notes
    number = task.get("id")
    if not isinstance(number, int):
        raise ValueError("a task needs an id")
    image = task_image(task, control)
    if not image:
        notes[Note.NO_IMAGE] += 1
    annotations = [entry for entry in _list(task.get("annotations")) if isinstance(entry, Mapping)]
    chosen = _chosen(annotations, notes)
    boxes = None if chosen is None else _boxes(_list(chosen.get("result")), control, notes)
    counters = (task.get("total_annotations"), task.get("cancelled_annotations"))
    touched = bool(annotations or _list(task.get("drafts")) or task.get("draft_exists") or any(counters))
    identity = chosen.get("id") if chosen is not None else None
    return LabelledTask(
        task_id=number,
        image=image,
        boxes=boxes,
        annotation_id=identity if isinstance(identity, int) else None,
        updated_at=str(task.get("updated_at") or ""),
        touched=touched,
    )


def _chosen(annotations: list[Mapping[str, Any]], notes: Counter[str]) -> Mapping[str, Any] | None:
    candidates = []
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            notes[Note.SKIPPED] += 1
        elif _unreviewed(annotation):
            notes[Note.UNREVIEWED] += 1
        else:
            candidates.append(annotation)
    if not candidates:
        return None
    if len(candidates) > 1:
        notes[Note.SUPERSEDED] += len(candidates) - 1
    return max(candidates, key=_precedence)


def _precedence(annotation: Mapping[str, Any]) -> tuple[bool, datetime, int]:
    number = annotation.get("id")
    return (
        bool(annotation.get("ground_truth")),
        _moment(annotation.get("updated_at")),
        number if isinstance(number, int) else 0,
    )


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unreviewed(annotation: Mapping[str, Any]) -> bool:
    """Made by "Create Annotations From Predictions": no region has an `origin`, which the editor
    always writes. An empty copy shows itself by the missing time that a person would have spent."""
    if annotation.get("parent_prediction") is None:
        return False
    regions = [region for region in _list(annotation.get("result")) if isinstance(region, Mapping)]
    if regions:
        return not any("origin" in region for region in regions)
    return annotation.get("lead_time") is None


def _boxes(result: list[object], control: BoxControl, notes: Counter[str]) -> tuple[Box, ...] | None:
    """The usable boxes; () only when people drew nothing that could be one of our classes."""
    regions = [region for region in result if isinstance(region, Mapping)]
    labels = {
        str(region.get("id")): _labels(region, "labels")
        for region in regions
        if control.labels_from is not None and region.get("from_name") == control.labels_from
    }
    wanted = "rectangle" if control.labels_from is not None else "rectanglelabels"
    doubtful = len(regions) < len(result)
    if doubtful:
        notes[Note.REGION_UNREADABLE] += len(result) - len(regions)
    boxes = []
    for region in regions:
        if region.get("type") != wanted or region.get("from_name") != control.from_name:
            doubtful = doubtful or region.get("type") in _SHAPES
            continue
        names = _labels(region, wanted) if control.labels_from is None else labels.get(str(region.get("id")))
        known = [name for name in names or () if name in control.classes]
        if known:
            box = _box(region, str(known[0]), notes)
            if box is not None:
                boxes.append(box)
            else:
                doubtful = True
        else:
            notes[Note.UNKNOWN_LABEL if names else Note.NO_LABEL] += 1
            doubtful = doubtful or not names
    if not boxes and doubtful:
        notes[Note.AMBIGUOUS] += 1
        return None
    return tuple(boxes)


def _labels(region: Mapping[str, Any], key: str) -> list[object]:
    value = region.get("value")
    return _list(value.get(key)) if isinstance(value, Mapping) else []


def _box(region: Mapping[str, Any], label: str, notes: Counter[str]) -> Box | None:
    value = region.get("value")
    if not isinstance(value, Mapping):
        value = {}
    x, y, width, height = (_number(value.get(key)) for key in ("x", "y", "width", "height"))
    rotation = _number(value.get("rotation") or 0)
    if x is None or y is None or width is None or height is None or rotation is None or not label:
        notes[Note.REGION_UNREADABLE] += 1
        return None
    if width <= 0 or height <= 0:
        notes[Note.DEGENERATE] += 1
        return None
    corners = (x / 100, y / 100, (x + width) / 100, (y + height) / 100)
    if rotation % 360:
        size = _number(region.get("original_width")), _number(region.get("original_height"))
        if not size[0] or not size[1] or size[0] < 0 or size[1] < 0:
            notes[Note.ROTATED_WITHOUT_SIZE] += 1
            return None
        corners = _around(corners, rotation, size[0], size[1])
        notes[Note.UNROTATED] += 1
    x1, y1, x2, y2 = (min(1.0, max(0.0, corner)) for corner in corners)
    if not (x1 < x2 and y1 < y2):
        notes[Note.DEGENERATE] += 1
        return None
    if max(abs(a - b) for a, b in zip(corners, (x1, y1, x2, y2), strict=True)) > CLIP_TOLERANCE:
        notes[Note.CLIPPED] += 1
    return Box(label, x1, y1, x2, y2, untouched=region.get("origin") == "prediction")


def _around(
    corners: tuple[float, float, float, float], rotation: float, width: float, height: float
) -> tuple[float, float, float, float]:
    """The upright box around a rectangle turned clockwise by ``rotation`` degrees about its top left.

    Computed in pixels: a rectangle turned in percentages would be a parallelogram.
    """
    x1, y1, x2, y2 = corners
    across, down = (x2 - x1) * width, (y2 - y1) * height
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    points = [(u * cos - v * sin, u * sin + v * cos) for u in (0.0, across) for v in (0.0, down)]
    xs = [x1 + u / width for u, _ in points]
    ys = [y1 + v / height for _, v in points]
    return min(xs), min(ys), max(xs), max(ys)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
