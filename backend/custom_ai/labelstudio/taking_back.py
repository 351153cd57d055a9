"""Predictions of chosen tasks: which there are, and their removal.

Never by version: that would take the predictions of other jobs along, and make Label Studio forget which
version it shows. Never what a person may have built on: an annotation points to the prediction that it was made
from, and Label Studio would change the annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from custom_ai.errors import N_, LabelStudioMissing
from custom_ai.labelstudio.predictions import DELETE_TIMEOUT_S
from custom_ai.labelstudio.tasks import Tasks, condition

TASKS_AT_ONCE = 200
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class One:
    """A stored prediction."""

    id: int
    version: str
    free: bool
    """Nobody can have built on it: it came after every annotation of its task, and nobody is at work there."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What Label Studio has of one task."""

    touched: bool
    """Somebody has annotated, skipped or begun it."""
    predictions: tuple[One, ...]
    """In the order in which they were stored."""

    def without(self, is_wanted: Callable[[str], bool]) -> Stored:
        """The same after ``take_back``."""
        return replace(
            self, predictions=tuple(one for one in self.predictions if not (one.free and is_wanted(one.version)))
        )


def stored(studio: Tasks, project_id: int, task_ids: Collection[int]) -> dict[int, Stored]:
    """Those of the tasks that exist, by id."""
    found: dict[int, Stored] = {}
    wanted = sorted(task_ids)
    for start in range(0, len(wanted), TASKS_AT_ONCE):
        some = wanted[start : start + TASKS_AT_ONCE]
        for row in studio.rows(project_id, [condition("id", "in_list", "Number", some)], TASKS_AT_ONCE, fields="all"):
            found[int(row["id"])] = _stored(row)
    return found


def take_back(
    studio: Tasks,
    project_id: int,
    there: Mapping[int, Stored],
    is_wanted: Callable[[str], bool],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Remove the free predictions of ``there`` whose version ``is_wanted``. Repeatable.

    ``there`` comes from ``stored``, just now. Untouched tasks of which everything goes are done in one call; of
    others the predictions go one by one (about 6 a second), so that those of other models stay.
    """
    whole: list[int] = []
    single: list[int] = []
    for task, one in sorted(there.items()):
        ours = [each.id for each in one.predictions if each.free and is_wanted(each.version)]
        if ours and not one.touched and len(ours) == len(one.predictions):
            whole.append(task)
        else:
            single += ours
    if whole:  # without any number Label Studio would take this for all tasks of the project
        _delete_all_of(studio, project_id, whole)
    for number in single:
        check()
        _delete(studio, number)


def _delete_all_of(studio: Tasks, project_id: int, task_ids: Sequence[int]) -> None:
    studio.session.post(
        "/api/dm/actions",
        {"selectedItems": {"all": False, "included": list(task_ids)}, "project": project_id},
        params={"id": "delete_tasks_predictions", "project": project_id},
        idempotent=True,
        missing=(N_("project"), project_id),
        timeout_s=DELETE_TIMEOUT_S,
    )


def _delete(studio: Tasks, number: int) -> None:
    try:
        studio.session.delete_json(f"/api/predictions/{number}/", missing=(N_("prediction"), number))
    except LabelStudioMissing:
        return  # an earlier attempt, or somebody else, was first


def _stored(row: Mapping[str, Any]) -> Stored:
    answers = [one for one in row.get("annotations") or () if isinstance(one, Mapping)]
    counts = (row.get("total_annotations"), row.get("cancelled_annotations"))
    at_work = bool(row.get("draft_exists"))
    touched = bool(answers) or any(counts) or at_work
    # A counted annotation that is not listed is one that we know nothing about.
    last = max((_moment(one.get("created_at")) for one in answers), default=_LATEST if touched else _EARLIEST)
    predictions = [
        One(int(one["id"]), str(one.get("model_version")), not at_work and _moment(one.get("created_at")) > last)
        for one in row.get("predictions") or ()
        if isinstance(one, Mapping)
    ]
    return Stored(touched, tuple(sorted(predictions, key=lambda one: one.id)))


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return _LATEST
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
