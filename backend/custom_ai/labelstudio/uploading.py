"""Images into a project so that each can be told apart afterwards, even when an answer was lost.

Label Studio's import is not repeatable, and its answer names the new tasks in no certain order. So every
file name carries a mark made of the image's content, which Label Studio keeps in the task's image address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from custom_ai.errors import N_
from custom_ai.labelstudio.tasks import IDS_PER_PAGE, IMPORT_TIMEOUT_S, Tasks, condition

BATCH_FILES = 50
"""Label Studio takes 100 files in one request unless it was set lower (DATA_UPLOAD_MAX_NUMBER_FILES)."""
BATCH_BYTES = 32_000_000
"""Of 250 MB that it takes; more at once would only fill its memory and ours."""
MARK_CHARS = 12
_STEM_CHARS = 50
"""Label Studio cuts names so that the whole path has 100 characters, from the end, where the mark is."""
_MARK = re.compile(rf"-([0-9a-f]{{{MARK_CHARS}}})\.(?:jpg|png|gif|webp|bmp)$")


def mark_of(sha256: str) -> str:
    """The mark of an image with this content."""
    return sha256[:MARK_CHARS]


def file_name(path: str, sha256: str, extension: str) -> str:
    """The name under which an image is sent: its folders and name as far as there is room, and its mark.

    >>> file_name("cats/day 1/tom.jpeg", "0123456789abcdef", ".jpg")
    'cats__day_1__tom-0123456789ab.jpg'
    """
    folder, _, last = path.rpartition("/")
    stem = last.rpartition(".")[0] or last
    plain = re.sub(r"[^-\w.]", "_", "__".join([*folder.split("/"), stem] if folder else [stem]))
    return f"{plain[-_STEM_CHARS:].lstrip('.') or 'image'}-{mark_of(sha256)}{extension}"


def send_images(studio: Tasks, project_id: int, images: Sequence[tuple[str, bytes]]) -> dict[str, int]:
    """One new task per image (name by ``file_name``, content); the tasks by mark.

    At most ``BATCH_FILES`` images of about ``BATCH_BYTES`` together. Not repeatable: after
    LabelStudioUnreachable Label Studio may have acted or may still act; ``marked_tasks`` tells.
    """
    answer = studio.session.post(
        f"/api/projects/{project_id}/import",
        params={"return_task_ids": "true"},
        # Of files under one field name Label Studio keeps only the last.
        files={f"file{number}": image for number, image in enumerate(images)},
        missing=(N_("project"), project_id),
        timeout_s=max(IMPORT_TIMEOUT_S, studio.session.timeout_s),
    )
    ids = [int(number) for number in answer["task_ids"]]
    span = {"min": min(ids), "max": max(ids)}
    rows = _rows(studio, project_id, [condition("id", "in", "Number", span)])
    return {mark: int(row["id"]) for mark, row in rows}


def marked_tasks(studio: Tasks, project_id: int) -> dict[str, list[Mapping[str, Any]]]:
    """The tasks whose images carry a mark, by mark: each with `id` and the numbers of its annotations and drafts."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for mark, row in _rows(studio, project_id, []):
        found.setdefault(mark, []).append(row)
    return found


def untouched(row: Mapping[str, Any]) -> bool:
    """Whether nobody has worked on a task of ``marked_tasks``."""
    return not any(row.get(name) for name in ("total_annotations", "cancelled_annotations", "draft_exists"))


def _rows(studio: Tasks, project_id: int, items: Sequence[dict[str, object]]) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = "id,data,total_annotations,cancelled_annotations,draft_exists"
    for row in studio.rows(project_id, items, IDS_PER_PAGE, fields="task_only", include=columns):
        for value in (row.get("data") or {}).values():
            mark = _MARK.search(value) if isinstance(value, str) else None
            if mark is not None:
                yield mark[1], row
                break
