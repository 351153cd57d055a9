"""What a run learned from: which labels of which images, what was left out and why, and the data report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai import dataset
from custom_ai.errors import N_, CustomAIError, NotFound
from custom_ai.pipeline import forecast
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import DatasetSnapshot, Project, Run, Task
from custom_ai.training.contract import TrainImage
from custom_ai.training.data_report import data_report
from custom_ai.types import LabelledTask

TASKS = 100
"""Of those that something was left out of, so many are named."""
OTHER_CLASS = "other_class"
TOO_THIN = "too_thin"
NOTES = {
    "clipped": N_("shapes that were cut at the image's edge, and used"),
    "unrotated": N_("rotated boxes that were used as the upright boxes around them"),
    "degenerate": N_("shapes without any area inside the image"),
    TOO_THIN: N_("shapes thinner than a millionth of the image"),
    "other_shape": N_("shapes that were drawn with another tool than the one that is learned from"),
    OTHER_CLASS: N_("shapes of classes that were not chosen"),
    "unknown_label": N_("shapes with a label that the labelling config does not have any more"),
    "no_label": N_("shapes without a label"),
    "rotated_without_size": N_("rotated boxes without the image's size, which their corners depend on"),
    "region_unreadable": N_("shapes with missing or impossible values"),
    "ambiguous": N_("annotations of which nothing could be used although something was drawn"),
    "skipped": N_("annotations that are skips"),
    "unreviewed": N_("annotations that were copied from predictions and that nobody has looked at"),
    "superseded": N_("further annotations of a task, beside the one that counts"),
    "no_image": N_("tasks without an image"),
    "task_unreadable": N_("tasks that could not be read"),
}
"""What the mirror and the snapshot leave out or change, in the order in which it is shown."""


def left_out_of(
    session: Session, project_id: int, tasks: Sequence[LabelledTask], snapshot: dataset.Snapshot
) -> dict[str, Any]:
    """{what: {"count", "tasks"}}: what was lost between the project's annotations and a snapshot of ``tasks``."""
    counts: Counter[str] = Counter()
    where: dict[str, list[int]] = {}

    def note(what: str, count: int, task_id: int) -> None:
        if count > 0:
            counts[what] += count
            where.setdefault(what, []).append(task_id)

    rows = session.execute(
        select(Task.task_id, Task.notes)
        .where(Task.project_id == project_id, Task.notes.is_not(None))
        .order_by(Task.task_id)
    )
    for task_id, notes in rows:
        for what, count in (notes or {}).items():
            note(what, int(count), task_id)
    kept = {one.task_id: len(one.boxes) for one in snapshot.examples}
    for task in tasks:
        drawn = task.boxes or ()
        chosen = sum(box.label in snapshot.classes for box in drawn)
        note(OTHER_CLASS, len(drawn) - chosen, task.task_id)
        note(TOO_THIN, chosen - kept.get(task.task_id, 0), task.task_id)
    return {what: {"count": count, "tasks": where[what][:TASKS]} for what, count in counts.items()}


def figures(snapshot: dataset.Snapshot, images: Sequence[TrainImage]) -> dict[str, Any]:
    """The data report of a run that trains on ``images``."""
    groups = {image.task_id: image.group for image in images if image.group is not None}
    return data_report(snapshot.classes, images, groups)


def run_data(services: Services, run_id: int, translate: Callable[[str], str] = str) -> dict[str, Any]:
    """Everything about the data of a run; ``report`` is None until they were read. Raises NotFound."""
    with services.database.read() as session:
        run = session.get(Run, run_id)
        if run is None:
            raise NotFound(what=N_("run"), id=run_id)
        project = session.get_one(Project, run.project_id)
        content = session.scalar(select(DatasetSnapshot.content).where(DatasetSnapshot.id == run.snapshot_id))
    sizes = {one.image_size or int(one.recipe.get("image_size") or 0) for one in run.candidates} - {0}
    return {
        "run": run.id,
        "project": {"id": project.id, "title": project.title},
        "status": run.status,
        "kind": run.kind,
        "classes": run.classes,
        "created_at": run.created_at.isoformat(timespec="seconds"),
        "report": run.data_report,
        "input_sizes": sorted(sizes),
        "left_out": [{"task": task, "reason": render(why, translate)} for task, why in run.left_out],
        "notes": [
            {"what": what, "text": translate(text), **(run.notes or {})[what]}
            for what, text in NOTES.items()
            if what in (run.notes or {})
        ],
        "snapshot": None if run.snapshot is None or content is None else _snapshot(run.snapshot, content),
        "forecast": forecast.shown(services, run, translate),
    }


def _snapshot(row: DatasetSnapshot, content: bytes) -> dict[str, Any]:
    """Which annotation of which task, with its labels per class; unreadable content is told, not raised."""
    found: dict[str, Any] = {"sha256": row.sha256, "images": row.images, "labels": row.counts, "tasks": []}
    try:
        examples = dataset.Snapshot.loads(content, row.sha256).examples
    except CustomAIError as error:
        return found | {"problem": str(error)}
    found["tasks"] = [
        {
            "task": one.task_id,
            "annotation": one.annotation_id,
            "labels": dict(Counter(box.label for box in one.boxes)),
        }
        for one in examples
    ]
    return found
