"""Another image for a task that is there already, and the old one out of reach.

Label Studio 1.23 knows an uploaded file by a number of its own; a task's data are replaced as a whole, never merged;
and deleting uploads without a list of numbers deletes all of a project.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote, urlsplit

from custom_ai.errors import N_, LabelStudioError
from custom_ai.labelstudio.session import Session
from custom_ai.labelstudio.tasks import IMPORT_TIMEOUT_S, Tasks, condition
from custom_ai.settings import Settings

_UPLOADS = "/data/"


def uploaded_file(session: Session, settings: Settings, uri: str) -> str | None:
    """The name that Label Studio has for an uploaded file, such as upload/4/0320e62e-a.jpg; None for other images."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    roots = {session.url, settings.label_studio_public_url.rstrip("/")} - {""}
    if parts.scheme and not any(uri.startswith(f"{root}/") for root in roots):
        return None
    path = parts.path
    for root in roots:
        prefix = urlsplit(root).path
        if prefix and path.startswith(prefix + "/"):
            path = path.removeprefix(prefix)
            break
    name = unquote(path).removeprefix(_UPLOADS)
    safe = name.startswith("upload/") and ".." not in name.split("/") and path.startswith(_UPLOADS)
    return name if safe else None


def upload_copy(studio: Tasks, project_id: int, name: str, content: bytes) -> tuple[int, str]:
    """A file without a task: its number, and its address as task data have it."""
    answer = studio.session.post(
        f"/api/projects/{project_id}/import",
        params={"commit_to_project": "false"},
        files={"file0": (name, content)},
        missing=(N_("project"), project_id),
        timeout_s=max(IMPORT_TIMEOUT_S, studio.session.timeout_s),
    )
    (number,) = [int(one) for one in answer["file_upload_ids"]]
    row = studio.session.get(f"/api/import/file-upload/{number}", missing=(N_("file"), number))
    return number, f"/data/{row['file']}"


def own_uploads(studio: Tasks, project_id: int) -> dict[str, int]:
    """All files that our own user has uploaded to a project: numbers by name. (Label Studio lists no others.)"""
    path = f"/api/projects/{project_id}/file-uploads"
    rows = studio.session.get(path, {"all": "true"}, missing=(N_("project"), project_id))
    return {str(row["file"]): int(row["id"]) for row in rows}


def upload_of(studio: Tasks, task_id: int) -> int | None:
    """The number of the uploaded file that a task was made from.

    By a change of nothing: reading a single task makes Label Studio ask its ML backend, and tells no number.
    """
    found = studio.session.patch(f"/api/tasks/{task_id}/", {}, missing=(N_("task"), task_id)).get("file_upload")
    return int(found) if isinstance(found, int) else None


def set_data(studio: Tasks, task_id: int, data: dict[str, Any], upload: int) -> None:
    """Give a task other data (all of them, since they are replaced) and another file."""
    body = {"data": data, "file_upload": upload}
    studio.session.patch(f"/api/tasks/{task_id}/", body, missing=(N_("task"), task_id))


def delete_uploads(studio: Tasks, project_id: int, numbers: list[int]) -> None:
    """Forget uploaded files: their addresses answer no more. The files themselves stay on Label Studio's disk."""
    if not numbers:  # an empty list would be harmless, a missing one would not: do not even come near
        return
    body = {"file_upload_ids": numbers}
    studio.session.delete_json(f"/api/projects/{project_id}/file-uploads", body, missing=(N_("project"), project_id))


def users_of(studio: Tasks, project_id: int, key: str, uri: str) -> list[int]:
    """The tasks of a project whose image has this very address."""
    rows = studio.rows(project_id, [condition(f"data.{key}", "equal", "String", uri)], 100, fields="task_only")
    return [int(row["id"]) for row in rows if uri in (row.get("data") or {}).values()]


def is_served(session: Session, name: str) -> bool:
    """Whether Label Studio hands out the uploaded file of this name. It answers 500 for forgotten ones.

    Raises LabelStudioError for an answer that says neither.
    """
    with session.stream(f"{session.url}/data/{quote(name)}", retry_s=session.retry_s) as response:
        if response.status_code in (404, 500):
            return False
        if response.status_code in (200, 206):
            return True
        raise LabelStudioError(what=name, http_status=response.status_code, detail=response.reason_phrase)
