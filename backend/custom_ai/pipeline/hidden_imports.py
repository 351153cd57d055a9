"""Images in which faces were hidden before Label Studio got them: the record by which they are recognised later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.plugins import Area
from custom_ai.services import Services
from custom_ai.state.deid_tables import DeidentifiedImage
from custom_ai.state.tables import ImportItem, ImportJob, Project, Task, now


@dataclass(frozen=True, slots=True)
class Imported:
    """An image that was hidden on its way."""

    sha256_before: str
    sha256_after: str
    width: int
    height: int
    areas: Sequence[Area]
    doubtful: bool
    original: str = "never"
    """See ``DeidentifiedImage.original``."""
    uri_original: str = ""


def record_imported(services: Services, job: ImportJob) -> None:
    """An archive was imported with hidden faces: its project goes on like that. May be repeated."""
    assert job.project_id is not None
    with services.database.write() as session:
        project = session.get_one(Project, job.project_id)
        if project.deidentify == "off":
            project.deidentify = "at_import"
        rows = session.scalars(
            select(ImportItem).where(
                ImportItem.job_id == job.id, ImportItem.status == "done", ImportItem.hidden.is_not(None)
            )
        ).all()
        for row in rows:
            hidden: dict[str, Any] = row.hidden or {}
            width, height = hidden["size"]
            one = Imported(
                row.sha256 or "", hidden["sha256"], width, height, [*map(tuple, hidden["areas"])], row.doubtful
            )
            note_imported(session, project.id, row.task_id or 0, one)


def note_imported(session: Session, project_id: int, task_id: int, one: Imported, uri: str = "") -> None:
    """Write the record of a task, unless there is one already; ``uri``: where the mirror does not know it yet."""
    task = session.get(Task, (project_id, task_id))
    uri = uri or ("" if task is None else task.image)
    if not uri or session.get(DeidentifiedImage, (project_id, task_id)) is not None:
        return
    session.add(
        DeidentifiedImage(
            project_id=project_id,
            task_id=task_id,
            state="done",
            uri=uri,
            uri_new=uri,
            uri_original=one.uri_original,
            sha256_before=one.sha256_before,
            sha256_after=one.sha256_after,
            width=one.width,
            height=one.height,
            areas=[{"area": [*area], "source": "found", "removed": False} for area in one.areas],
            doubtful=one.doubtful,
            original=one.original,
            done_at=now(),
        )
    )
