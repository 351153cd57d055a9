"""Label Studio's annotations to our shapes. Pure: JSON in, dataclasses out, nothing raised for bad JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.regions import Note, read_shape
from custom_ai.types import Box, ImageSize, LabelledTask

_SHAPES = frozenset(
    f"{shape}{labels}"
    for shape in ("rectangle", "polygon", "ellipse", "brush", "keypoint", "bitmask", "vector")
    for labels in ("", "labels")
)
"""Types of regions with which something is drawn on an image."""


def labelled_tasks(
    tasks: Iterable[object], control: Control, notes: Counter[str] | None = None
) -> Iterator[LabelledTask]:
    """``labelled_task`` for each readable task."""
    for task in tasks:
        if isinstance(task, dict) and isinstance(task.get("id"), int):
            yield labelled_task(task, control, notes)
        elif notes is not None:
            notes[Note.TASK_UNREADABLE] += 1


def predicted_shapes(prediction: Mapping[str, Any], control: Control) -> tuple[Box, ...]:
    """The usable shapes of a prediction, with their scores."""
    by_id: dict[str, list[object]] = {}
    for number, region in enumerate(_list(prediction.get("result"))):
        if isinstance(region, Mapping):  # of a plain Rectangle or Polygon two regions share an id
            by_id.setdefault(str(region.get("id") or number), []).append(region)
    found = []
    for regions in by_id.values():
        scores = [one.get("score") for one in regions if isinstance(one, Mapping)]
        score = next((float(one) for one in scores if isinstance(one, int | float) and 0 <= one <= 1), None)
        found += [replace(shape, score=score) for shape in _shapes(regions, control, Counter()) or ()]
    return tuple(found)


def told_size(annotation: Mapping[str, Any]) -> ImageSize | None:
    """The size of the upright image as the editor wrote it down with the first region that tells."""
    for region in _list(annotation.get("result")):
        if isinstance(region, Mapping):
            width, height = region.get("original_width"), region.get("original_height")
            if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
                return ImageSize(width, height)
    return None


def task_image(task: Mapping[str, Any], control: Control) -> str:
    """The image URI of a task as Label Studio sends it, '' when there is none."""
    return control.image_uri(task.get("data"))


def labelled_task(task: Mapping[str, Any], control: Control, notes: Counter[str] | None = None) -> LabelledTask:
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
    boxes = None if chosen is None else _shapes(_list(chosen.get("result")), control, notes)
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


def _shapes(result: list[object], control: Control, notes: Counter[str]) -> tuple[Box, ...] | None:
    """The usable shapes; () only when people drew nothing that could be one of our classes."""
    regions = [region for region in result if isinstance(region, Mapping)]
    labels = {
        str(region.get("id")): _labels(region, "labels")
        for region in regions
        if control.labels_from is not None and region.get("from_name") == control.labels_from
    }
    wanted = control.region_type
    doubtful = len(regions) < len(result)
    if doubtful:
        notes[Note.REGION_UNREADABLE] += len(result) - len(regions)
    found = []
    for region in regions:
        if region.get("type") != wanted or region.get("from_name") != control.from_name:
            if region.get("type") in _SHAPES - {wanted}:
                notes[Note.OTHER_SHAPE] += 1
                doubtful = True
            continue
        names = _labels(region, wanted) if control.labels_from is None else labels.get(str(region.get("id")))
        known = [name for name in names or () if name in control.classes]
        if known:
            shape = read_shape(region, str(known[0]), control.kind, notes)
            if shape is not None:
                found.append(shape)
            else:
                doubtful = True
        else:
            notes[Note.UNKNOWN_LABEL if names else Note.NO_LABEL] += 1
            doubtful = doubtful or not names
    if not found and doubtful:
        notes[Note.AMBIGUOUS] += 1
        return None
    return tuple(found)


def _labels(region: Mapping[str, Any], key: str) -> list[object]:
    value = region.get("value")
    return _list(value.get(key)) if isinstance(value, Mapping) else []


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
