"""Tasks: reading them page by page, and putting new ones in.

Paging goes by `id > last seen`, never by page number: rows that come and go while we read cannot
make us skip others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from custom_ai.errors import N_, ImageError, LabelStudioMissing
from custom_ai.labelstudio.session import Session

Item = dict[str, object]
"""One condition of a Data Manager filter."""

IDS_PER_PAGE = 900
"""On SQLite Label Studio answers 500 ("Expression tree is too large") to pages of 999 tasks with uploaded files."""
IMPORT_TASKS = 1000
UPLOAD_FILES = 100
"""Label Studio answers 500 to more files in one request (DATA_UPLOAD_MAX_NUMBER_FILES)."""
UPLOAD_BYTES = 200_000_000
"""Label Studio refuses 250 MB in one request."""
IMPORT_TIMEOUT_S = 300.0


def condition(column: str, operator: str, kind: str, value: object) -> Item:
    """A Data Manager filter on a task's column; kind: Number, Datetime, String or List."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


class Tasks:
    """The part of the client that is about tasks."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def tasks(
        self,
        project_id: int,
        *,
        updated_after: datetime | None = None,
        only_untouched: bool = False,
        page_size: int = 500,
    ) -> Iterator[dict[str, Any]]:
        """Tasks by rising id, each with `annotations`, `predictions`, and `drafts` of our own user.

        `draft_exists` tells of anybody's drafts. Image URIs are as stored (`s3://` is not resolved).
        ``updated_after`` (with a time zone) includes that very moment. ``only_untouched`` leaves out
        tasks with annotations, skips or drafts.
        """
        items = []
        if updated_after is not None:
            if updated_after.tzinfo is None:
                raise ValueError("updated_after needs a time zone")
            # Label Studio answers 500 to times without microseconds or with another zone than Z.
            moment = updated_after.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            items.append(condition("updated_at", "greater_or_equal", "Datetime", moment))
        if only_untouched:
            items.append(condition("total_annotations", "equal", "Number", 0))
            items.append(condition("cancelled_annotations", "equal", "Number", 0))
        for task in self.rows(project_id, items, page_size, fields="all"):
            if not (only_untouched and (task.get("annotations") or task.get("draft_exists"))):
                yield task

    def task_ids(self, project_id: int) -> list[int]:
        """The ids of all tasks, rising; about 1,500 a second where images were uploaded."""
        rows = self.rows(project_id, [], IDS_PER_PAGE, fields="task_only", include="id")
        return [int(row["id"]) for row in rows]

    def task(self, project_id: int, task_id: int) -> dict[str, Any]:
        """One task like those of ``tasks``. Raises LabelStudioMissing.

        Read from the list, because GET /api/tasks/{id} makes Label Studio ask its ML backend (us)
        for a prediction when the task has none.
        """
        for task in self.rows(project_id, [condition("id", "equal", "Number", task_id)], 1, fields="all"):
            return task
        raise LabelStudioMissing(what=N_("task"), id=task_id)

    def delete_task(self, task_id: int) -> None:
        """Delete one task with all that belongs to it. Raises LabelStudioMissing."""
        self.session.delete_json(f"/api/tasks/{task_id}/", missing=(N_("task"), task_id))

    def import_tasks(self, project_id: int, tasks: Sequence[dict[str, Any]]) -> list[int]:
        """New tasks (`data`, and if wanted `annotations`, `predictions`, `meta`); their ids in order."""
        ids: list[int] = []
        for start in range(0, len(tasks), IMPORT_TASKS):
            ids += self._import(project_id, json=list(tasks[start : start + IMPORT_TASKS]))
        return ids

    def upload_images(self, project_id: int, images: Iterable[tuple[str, bytes | Path]]) -> list[int]:
        """One new task per (file name, contents or path of an image); their ids in order.

        Label Studio looks at the names: bmp gif jpg jpeg png svg webp, else LabelStudioError.
        Raises ImageError when a file cannot be read or is too large to upload.
        """
        ids: list[int] = []
        batch: dict[str, tuple[str, bytes]] = {}
        size = 0
        for name, source in images:
            data = _contents(name, source)
            if batch and (len(batch) == UPLOAD_FILES or size + len(data) > UPLOAD_BYTES):
                ids += self._import(project_id, files=batch)
                batch, size = {}, 0
            # Of files under one field name Label Studio keeps only the last.
            batch[f"file{len(batch)}"] = (name, data)
            size += len(data)
        if batch:
            ids += self._import(project_id, files=batch)
        return ids

    def _import(self, project_id: int, **content: Any) -> list[int]:
        answer = self.session.post(
            f"/api/projects/{project_id}/import",
            params={"return_task_ids": "true"},
            missing=(N_("project"), project_id),
            timeout_s=max(IMPORT_TIMEOUT_S, self.session.timeout_s),
            **content,
        )
        return [int(number) for number in answer["task_ids"]]

    def rows(
        self, project_id: int, items: Sequence[Item], page_size: int, *, after: int = 0, **params: str
    ) -> Iterator[dict[str, Any]]:
        """Rows of the Data Manager's task list that meet all conditions, by rising id, from above ``after``.

        A condition on predictions repeats a row for each prediction that meets it.
        """
        last = after
        while True:
            query = {
                "filters": {
                    "conjunction": "and",
                    "items": [condition("id", "greater", "Number", last), *items],
                },
                "ordering": ["tasks:id"],
            }
            answer = self.session.get(
                "/api/tasks",
                {
                    "project": project_id,
                    "page_size": page_size,
                    "resolve_uri": "false",
                    "query": json.dumps(query, separators=(",", ":")),
                    **params,
                },
                missing=(N_("project"), project_id),
            )
            page: list[dict[str, Any]] = answer["tasks"]
            yield from page
            if len(page) < page_size:
                return
            last = int(page[-1]["id"])


def _contents(name: str, source: bytes | Path) -> bytes:
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise ImageError(image=name, why=error.strerror or N_("it cannot be read")) from error
    if len(data) > UPLOAD_BYTES:
        raise ImageError(image=name, why=N_("it is larger than Label Studio takes in one upload"))
    return data
