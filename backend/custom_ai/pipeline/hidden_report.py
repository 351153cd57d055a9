"""What came of hiding faces: jobs, and a report per image for programs."""

from __future__ import annotations

import csv
import io
from typing import Any

from sqlalchemy import select

from custom_ai.errors import N_, BadInput, NotFound
from custom_ai.pipeline.deidentify import item_counts, job_of, request_deidentify
from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.services import Services
from custom_ai.state.deid_tables import DeidentifiedImage, DeidentifyItem, DeidentifyJob
from custom_ai.state.journal import record, render
from custom_ai.state.tables import now

MOST_AREAS = 1000
COLUMNS = (
    "task", "status", "reason", "faces", "smallest_px", "least_sure", "doubtful", "width", "height", "original",
    "path", "in_vault", "sha256_before", "sha256_after", "approved_by", "approved_at",
)  # fmt: skip


def jobs(services: Services, project_id: int, translate: Translate = str) -> list[dict[str, Any]]:
    """The newest 20 jobs of a project, the newest first."""
    with services.database.read() as session:
        query = select(DeidentifyJob.id).where(DeidentifyJob.project_id == project_id)
        ids = session.scalars(query.order_by(DeidentifyJob.id.desc()).limit(20)).all()
    return [job(services, one, translate) for one in ids]


def job(services: Services, job_id: int, translate: Translate = str) -> dict[str, Any]:
    """How far a job is. Raises NotFound."""
    with services.database.read() as session:
        row = job_of(session, job_id)
        return {
            "id": row.id,
            "project": row.project_id,
            "status": row.status,
            "trigger": row.trigger,
            "requested_by": row.requested_by,
            "originals": row.originals,
            "used": row.used,
            "reason": render(row.reason, translate),
            "tasks": item_counts(session, job_id),
            "created_at": iso(row.created_at),
            "started_at": iso(row.started_at),
            "finished_at": iso(row.finished_at),
        }


def images(services: Services, job_id: int, translate: Translate = str) -> list[dict[str, Any]]:
    """The images of a job, doubtful ones first. Raises NotFound."""
    with services.database.read() as session:
        project_id = job_of(session, job_id).project_id
        rows = session.execute(
            select(DeidentifyItem, DeidentifiedImage)
            .outerjoin(
                DeidentifiedImage,
                (DeidentifiedImage.task_id == DeidentifyItem.task_id) & (DeidentifiedImage.project_id == project_id),
            )
            .where(DeidentifyItem.job_id == job_id)
            .order_by(DeidentifyItem.task_id)
        )
        found = [_shown(row[0], row[1], translate) for row in rows]
    return sorted(found, key=lambda one: (not one["doubtful"], one["task"]))


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The same as a table, without the places of the areas."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    # A spreadsheet takes a text that begins with one of these for a formula.
    writer.writerows(
        {key: f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@") else value
         for key, value in row.items()}
        for row in rows
    )  # fmt: skip
    return text.getvalue()


def approve(services: Services, project_id: int, task_id: int, *, by: str) -> None:
    """A person has looked at a de-identified image and says that it is right. Raises NotFound, BadInput."""
    with services.database.write() as session:
        row = session.get(DeidentifiedImage, (project_id, task_id))
        if row is None:
            raise NotFound(what=N_("de-identified image of task"), id=task_id)
        if row.state != "done" or row.wanted is not None:
            raise BadInput(what=f"task {task_id}", why=N_("it is being worked on; look at the result first"))
        row.approved_by, row.approved_at = by, now()
        record(session, by, "deidentify.approve", project_id, f"task {task_id}", sha256=row.sha256_after)


def redo(services: Services, project_id: int, task_id: int, *, by: str, add: list[Any], remove: list[int]) -> int:
    """Hide further areas ([x1, y1, x2, y2] in pixels), and show others again (by their place in the list of areas).

    What is shown again comes from the vault. Returns the job's id. Raises NotFound, BadInput, Conflict; when another
    job is at work, the areas are kept, and its end calls for them.
    """
    with services.database.write() as session:
        row = session.get(DeidentifiedImage, (project_id, task_id))
        if row is None:
            raise NotFound(what=N_("de-identified image of task"), id=task_id)
        areas = [dict(one) for one in (row.areas if row.wanted is None else row.wanted)]
        if remove and not row.kept:
            raise BadInput(what="remove", why=N_("the original was not kept, so areas can only be added"))
        for place in remove:
            if not 0 <= place < len(areas):
                raise BadInput(what=f"remove = {place}", why=N_("there is no such area"))
            areas[place]["removed"] = True
        for one in add:
            areas.append({"area": [*_area(one, row.width, row.height), 1.0], "source": "drawn", "removed": False})
        if len(areas) > MOST_AREAS or not (add or remove):
            raise BadInput(what=N_("the request"), why=N_("expected 1 to 1000 areas to add or remove"))
        row.wanted, row.approved_by, row.approved_at = areas, None, None
        record(session, by, "deidentify.areas", project_id, f"task {task_id}", added=len(add), removed=len(remove))
    return request_deidentify(services, project_id, by=by, which=[task_id], trigger="review")


def _area(one: object, width: int, height: int) -> list[float]:
    numbers = one if isinstance(one, list) and len(one) == 4 else []
    values = [float(each) for each in numbers if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(values) == 4 and 0 <= values[0] < values[2] <= width and 0 <= values[1] < values[3] <= height:
        return values
    raise BadInput(what=f"add: {one!r}"[:100], why=N_("expected [x1, y1, x2, y2] in pixels inside the image"))


def _shown(item: DeidentifyItem, row: DeidentifiedImage | None, translate: Translate) -> dict[str, Any]:
    areas = [] if row is None else [one for one in row.areas if not one["removed"]]
    found = [one["area"] for one in areas]
    return {
        "task": item.task_id,
        "status": item.status,
        "reason": render(item.reason, translate),
        "faces": len(found),
        "smallest_px": min((round(max(x2 - x1, y2 - y1), 1) for x1, y1, x2, y2, _ in found), default=None),
        "least_sure": min((one[4] for one in found), default=None),
        "doubtful": row is not None and row.doubtful,
        "width": None if row is None else row.width,
        "height": None if row is None else row.height,
        "areas": [] if row is None else row.areas,
        "original": "" if row is None else row.original,
        "path": "" if row is None else row.path,
        "in_vault": row is not None and row.kept,
        "sha256_before": "" if row is None else row.sha256_before,
        "sha256_after": "" if row is None else row.sha256_after,
        "approved_by": None if row is None else row.approved_by,
        "approved_at": None if row is None else iso(row.approved_at),
    }
