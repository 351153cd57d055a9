"""Predictions: pushed in bulk under an immutable version, checked, and deleted by version."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from custom_ai.errors import N_, LabelStudioError, LabelStudioMissing, LabelStudioUnreachable
from custom_ai.labelstudio.tasks import IDS_PER_PAGE, Tasks, condition

PUSH_PREDICTIONS = 500
PUSH_TIMEOUT_S = 120.0
DELETE_TIMEOUT_S = 600.0
"""Label Studio on SQLite deletes about 340 predictions a second, in the request."""
READ_TASKS = 200
"""Tasks read at once with all that belongs to them."""
CLOSE = 10
"""Tasks whose ids differ by no more are read together, with those in between."""
COLUMN_CHARS = 500
"""Where Label Studio cuts the texts of its task list."""


@dataclass(frozen=True, slots=True)
class PushReport:
    """What became of a push: ``sent`` = ``created`` + ``rejected`` + ``gone``."""

    sent: int
    created: int
    rejected: tuple[int, ...]
    """Tasks whose prediction Label Studio dropped: a region outside 0..100 %, or an unknown label or
    control, drops the task's whole prediction without a word."""
    gone: tuple[int, ...]
    """Tasks that do not exist (any more) in this project."""
    in_doubt: tuple[int, ...] = ()
    """Tasks whose first request got no answer: should Label Studio act on it late, they have two predictions."""


class Predictions(Tasks):
    """The part of the client that is about predictions."""

    def model_versions(self, project_id: int) -> dict[str, int]:
        """The versions of which predictions are stored, with their numbers."""
        path = f"/api/projects/{project_id}/model-versions/"
        answer = self.session.get(path, missing=(N_("project"), project_id))
        # The project's own model_version is listed even when nothing is stored of it.
        return {str(version): int(count) for version, count in answer.items() if count}

    def push_predictions(self, project_id: int, predictions: Sequence[dict[str, Any]]) -> PushReport:
        """Store predictions (see ``results.prediction``), at most one per task and version.

        The tasks must not have predictions of that version yet: Label Studio would keep both.
        Deleted tasks are left out, and a batch whose answer was lost is completed, not doubled.
        """
        rejected: list[int] = []
        gone: list[int] = []
        in_doubt: list[int] = []
        for start in range(0, len(predictions), PUSH_PREDICTIONS):
            batch = list(predictions[start : start + PUSH_PREDICTIONS])
            try:
                created, missing = self._push_batch(project_id, batch)
            except LabelStudioUnreachable:  # it may have acted all the same
                in_doubt += [int(row["task"]) for row in batch]
                todo = set(self._without(project_id, batch))
                rest = [row for row in batch if row["task"] in todo]
                created, missing = self._push_batch(project_id, rest) if rest else (0, set())
                created += len(batch) - len(rest)
            gone += missing
            if created != len(batch) - len(missing):
                rejected += self._without(project_id, [row for row in batch if row["task"] not in missing])
        created = len(predictions) - len(rejected) - len(gone)
        return PushReport(len(predictions), created, tuple(rejected), tuple(gone), tuple(in_doubt))

    def tasks_with_version(self, project_id: int, version: str, *, among: Collection[int] | None = None) -> set[int]:
        """Which tasks (of ``among``) have a prediction of exactly this version."""
        if among is not None and not among:
            return set()
        items = [condition("predictions_model_versions", "contains", "List", [version])]
        if among is not None:
            limits = {"min": min(among), "max": max(among)}
            items.append(condition("id", "in", "Number", limits))
        found = set()
        fields = "id,predictions_model_versions"
        for row in self.rows(project_id, items, IDS_PER_PAGE, include=fields):
            if row["id"] not in found and self._has(row, version):
                found.add(int(row["id"]))
        return found if among is None else found.intersection(among)

    def remove_second_predictions(self, project_id: int, version: str, *, among: Collection[int]) -> int:
        """Of several predictions of one version keep the oldest of each task; returns how many were removed.

        Reads the tasks in full: the task list does not tell how many predictions of a version there are.
        """
        wanted, removed = set(among), 0
        for first, last in _stretches(wanted):
            items = [condition("id", "in", "Number", {"min": first, "max": last})]
            for task in self.rows(project_id, items, READ_TASKS, fields="all"):
                if task["id"] not in wanted:
                    continue
                ours = sorted(int(one["id"]) for one in task["predictions"] if one.get("model_version") == version)
                for prediction in ours[1:]:
                    with suppress(LabelStudioMissing):
                        missing = (N_("prediction"), prediction)
                        self.session.delete_json(f"/api/predictions/{prediction}/", missing=missing)
                        removed += 1
        return removed

    def delete_predictions_of_version(self, project_id: int, version: str) -> int:
        """Delete them all; returns how many. Another version stays in force for pre-labelling."""
        missing = (N_("project"), project_id)
        path = f"/api/projects/{project_id}/"
        before = self.session.get(path, missing=missing).get("model_version")
        answer = self.session.delete_json(
            f"{path}model-versions/", {"model_version": version}, missing=missing, timeout_s=DELETE_TIMEOUT_S
        )
        # Label Studio 1.23 clears the project's model_version here, also when it is a live backend's
        # title, and thereby switches pre-labelling off.
        if before and before != version and self.session.get(path).get("model_version") != before:
            self.session.patch(path, {"model_version": before}, missing=missing)
        return int((answer or {}).get("deleted_predictions") or 0)

    def _push_batch(self, project_id: int, batch: list[dict[str, Any]]) -> tuple[int, set[int]]:
        """Returns how many predictions were made, and which tasks do not exist."""
        try:
            return self._post(project_id, batch), set()
        except LabelStudioError as error:
            # One unknown task makes Label Studio refuse the whole call.
            if error.params.get("http_status") != 400:
                raise
            numbers = {int(row["task"]) for row in batch}
            items = [condition("id", "in", "Number", {"min": min(numbers), "max": max(numbers)})]
            rows = self.rows(project_id, items, IDS_PER_PAGE, fields="task_only", include="id")
            missing = numbers - {int(row["id"]) for row in rows}
            rest = [row for row in batch if row["task"] not in missing]
            if not missing:
                raise
            return (self._post(project_id, rest) if rest else 0), missing

    def _post(self, project_id: int, batch: list[dict[str, Any]]) -> int:
        answer = self.session.post(
            f"/api/projects/{project_id}/import/predictions",
            batch,
            missing=(N_("project"), project_id),
            timeout_s=max(PUSH_TIMEOUT_S, self.session.timeout_s),
        )
        return int(answer["created"])

    def _without(self, project_id: int, batch: Sequence[dict[str, Any]]) -> list[int]:
        """The tasks of ``batch`` that do not have the prediction that ``batch`` has for them."""
        lacking: list[int] = []
        for version in dict.fromkeys(str(row["model_version"]) for row in batch):
            numbers = [int(row["task"]) for row in batch if row["model_version"] == version]
            present = self.tasks_with_version(project_id, version, among=numbers)
            lacking += [number for number in numbers if number not in present]
        return lacking

    def _has(self, row: dict[str, Any], version: str) -> bool:
        """Label Studio's filter knows only `contains`; its list column is cut, and joined by commas."""
        listed = str(row.get("predictions_model_versions") or "")
        if version in [name.strip() for name in listed.split(",")]:
            return True
        if len(listed) < COLUMN_CHARS - 2 and "," not in version:
            return False
        stored = self.session.get("/api/predictions/", {"task": int(row["id"])})
        return any(prediction.get("model_version") == version for prediction in stored)


def _stretches(tasks: Collection[int]) -> list[tuple[int, int]]:
    """The first and the last of tasks that lie close together, so that few others are read with them."""
    found: list[tuple[int, int]] = []
    for task in sorted(tasks):
        if found and task - found[-1][1] <= CLOSE:
            found[-1] = (found[-1][0], task)
        else:
            found.append((task, task))
    return found
