"""People look at the images in which faces were hidden: which ones are left, and what one of them shows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, NotFound
from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.pipeline.pictures import cached_image
from custom_ai.plugins import SMALL_PX, UNSURE
from custom_ai.services import Services
from custom_ai.state.deid_tables import DeidentifiedImage, DeidentifyItem, DeidentifyJob
from custom_ai.state.journal import render

SHOWN = ("look", "approved", "under_way")
_ORDER = (DeidentifiedImage.doubtful.desc(), DeidentifiedImage.task_id)


def _which(project_id: int, show: str) -> ColumnElement[bool]:
    row = DeidentifiedImage
    under_way = (row.state != "done") | row.wanted.is_not(None)
    chosen = {
        "look": ~under_way & row.approved_at.is_(None),
        "approved": ~under_way & row.approved_at.is_not(None),
        "under_way": under_way,
    }
    return (row.project_id == project_id) & chosen[show]


def counts(services: Services, project_id: int) -> dict[str, int]:
    """Images to look at, approved ones, and those that are being worked on."""
    with services.database.read() as session:
        every = select(func.count()).select_from(DeidentifiedImage)
        return {show: session.scalar(every.where(_which(project_id, show))) or 0 for show in SHOWN}


def used(services: Services, project_id: int) -> bool:
    """Whether faces were hidden in the project, or it was asked for."""
    with services.database.read() as session:
        query = select(DeidentifyJob.id).where(DeidentifyJob.project_id == project_id).limit(1)
        return session.scalar(query) is not None


def images(services: Services, project_id: int, show: str, *, start: int, limit: int) -> list[dict[str, Any]]:
    """Images of one of SHOWN, doubtful ones first, from the number ``start`` on."""
    with services.database.read() as session:
        query = select(DeidentifiedImage).where(_which(project_id, show)).order_by(*_ORDER)
        return [_shown(row) for row in session.scalars(query.offset(start).limit(limit))]


def failures(services: Services, project_id: int, translate: Translate = str, *, limit: int) -> list[dict[str, Any]]:
    """Tasks of the newest job in which faces could not be hidden, with the reasons."""
    with services.database.read() as session:
        newest = select(func.max(DeidentifyJob.id)).where(DeidentifyJob.project_id == project_id).scalar_subquery()
        query = select(DeidentifyItem).where(DeidentifyItem.job_id == newest, DeidentifyItem.status == "failed")
        rows = session.scalars(query.order_by(DeidentifyItem.task_id).limit(limit))
        return [{"task": row.task_id, "reason": render(row.reason, translate)} for row in rows]


def image(services: Services, project_id: int, task_id: int) -> dict[str, Any]:
    """One image with its areas, and the next one to look at. Raises NotFound."""
    with services.database.read() as session:
        row = _row(session, project_id, task_id)
        others = _which(project_id, "look") & (DeidentifiedImage.task_id != task_id)
        next_task = session.scalar(select(DeidentifiedImage.task_id).where(others).order_by(*_ORDER).limit(1))
        return _shown(row) | {"next": next_task}


def picture(services: Services, project_id: int, task_id: int) -> bytes:
    """The copy in which faces are hidden, as a JPEG. Raises NotFound, ImageError, LabelStudioUnreachable."""
    with services.database.read() as session:
        uri = _row(session, project_id, task_id).uri
    if not uri:
        raise NotFound(what=N_("de-identified image of task"), id=task_id)
    return cached_image(services, project_id, task_id, uri)


def _row(session: Session, project_id: int, task_id: int) -> DeidentifiedImage:
    row = session.get(DeidentifiedImage, (project_id, task_id))
    if row is None:
        raise NotFound(what=N_("de-identified image of task"), id=task_id)
    return row


def _shown(row: DeidentifiedImage) -> dict[str, Any]:
    areas = [
        {
            "place": place,
            "x": one["area"][0],
            "y": one["area"][1],
            "width": one["area"][2] - one["area"][0],
            "height": one["area"][3] - one["area"][1],
            "score": one["area"][4],
            "drawn": one["source"] == "drawn",
            "doubtful": one["source"] == "found" and _doubtful(one["area"]),
        }
        for place, one in enumerate(row.areas if row.wanted is None else row.wanted)
        if not one["removed"]
    ]
    return {
        "task": row.task_id,
        "width": row.width,
        "height": row.height,
        "areas": areas,
        "doubtful": row.doubtful,
        "under_way": row.state != "done" or row.wanted is not None,
        "in_vault": row.kept,
        "original": row.original,
        "path": row.path,
        "approved_by": row.approved_by,
        "approved_at": iso(row.approved_at),
    }


def _doubtful(area: list[float]) -> bool:
    x1, y1, x2, y2, score = area
    return score < UNSURE or max(x2 - x1, y2 - y1) < SMALL_PX
