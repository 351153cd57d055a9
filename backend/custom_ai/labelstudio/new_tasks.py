"""New tasks that can be told apart afterwards by a mark in their `meta`, and files for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from custom_ai.errors import N_
from custom_ai.labelstudio.tasks import IDS_PER_PAGE, IMPORT_TIMEOUT_S, Tasks

MARK = "custom_ai_import"
"""The key in a task's `meta`; its value is [mark, number]."""


def with_mark(meta: Mapping[str, Any], mark: str, number: int) -> dict[str, Any]:
    """The `meta` of the task with this number of a request."""
    return {**meta, MARK: [mark, number]}


def marked(studio: Tasks, project_id: int, after: int, mark: str) -> dict[int, int]:
    """The tasks of a request by their numbers; all of them have ids above ``after``."""
    found: dict[int, int] = {}
    for row in studio.rows(project_id, [], IDS_PER_PAGE, after=after, fields="task_only", include="id,meta"):
        value = (row.get("meta") or {}).get(MARK)
        if isinstance(value, list) and len(value) == 2 and value[0] == mark and isinstance(value[1], int):
            found.setdefault(value[1], int(row["id"]))
    return found


def upload_files(studio: Tasks, project_id: int, files: Sequence[tuple[str, bytes]]) -> list[str]:
    """Files without tasks (at most 100 of 200 MB together); their addresses as task data have them, in order."""
    path = f"/api/projects/{project_id}"
    missing = (N_("project"), project_id)
    answer = studio.session.post(
        f"{path}/import",
        params={"commit_to_project": "false"},
        # Of files under one field name Label Studio keeps only the last.
        files={f"file{number}": one for number, one in enumerate(files)},
        missing=missing,
        timeout_s=max(IMPORT_TIMEOUT_S, studio.session.timeout_s),
    )
    ids = [int(one) for one in answer["file_upload_ids"]]
    rows = studio.session.get(f"{path}/file-uploads", {"ids": json.dumps(ids)}, missing=missing)
    names = {int(row["id"]): str(row["file"]) for row in rows}
    return [f"/data/{names[one]}" for one in sorted(ids)]
