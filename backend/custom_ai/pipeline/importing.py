"""New projects from archives: asking for one, and what has come of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, Conflict, NotFound
from custom_ai.pipeline.connect import kind_named
from custom_ai.pipeline.import_end import import_counts
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import record, render
from custom_ai.state.tables import ImportItem, ImportJob, Project, Upload, now

Translate = Callable[[str], str]
TITLE_CHARS = (3, 50)
"""Label Studio's own limits."""
DESCRIPTION_CHARS = 5000
CLASSES = 200
CLASS_CHARS = 100
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3fbf", "#b8b000", "#444444")
"""For classes without one: easy to tell apart, also for most colour-blind people."""

NO_CLASSES = N_("give at least one class")
TOO_MANY_CLASSES = N_("there are more than 200")
TWICE = N_("it stands there twice")
BAD_CLASS = N_("a class needs 1 to 100 characters, without control characters, and must not begin with $")
BAD_COLOUR = N_("expected a colour such as #d55e00")
BAD_TITLE = N_("Label Studio takes names of 3 to 50 characters")


def request_import(
    services: Services,
    *,
    by: str,
    upload_id: int,
    title: str,
    description: str = "",
    kind: str = "box",
    classes: Sequence[tuple[str, str]] = (),
    deidentify: bool = False,
) -> int:
    """Have a worker make a Label Studio project of a complete upload; ``classes`` are names and colours ("": any).

    deidentify: hide faces before the images reach Label Studio.

    Returns the import's id; asked again with the same upload, the same one. Raises BadInput, NotFound (upload),
    Conflict (not complete).
    """
    title = checked_title(title)
    if len(description) > DESCRIPTION_CHARS or _has_controls(description, allowed="\r\n\t"):
        raise BadInput(what="description", why=N_("it is longer than 5000 characters or has control characters"))
    chosen = checked_classes(classes)
    kind = kind_named(kind).value
    try:
        with services.database.write() as session:
            upload = session.get(Upload, upload_id)
            if upload is None or upload.owner != by:
                raise NotFound(what=N_("upload"), id=upload_id)
            if not upload.complete:
                raise Conflict(why=N_("the upload is not complete yet"))
            job = ImportJob(
                upload_id=upload_id,
                archive=upload.name,
                mark=f"custom-ai import {uuid4().hex}",
                title=title,
                description=description.strip(),
                kind=kind,
                classes=[list(one) for one in chosen],
                deidentify=deidentify,
                files=upload.files,
                requested_by=by,
            )
            session.add(job)
            session.flush()
            details = {"archive": upload.name, "size": upload.size, "deidentify": deidentify}
            record(session, by, "import", None, title, **details)
    except IntegrityError:
        with services.database.read() as session:
            return session.scalars(select(ImportJob.id).where(ImportJob.upload_id == upload_id)).one()
    services.bell.ring("import_archive", job.id, 1)
    return job.id


def checked_title(title: str) -> str:
    """A project's name as Label Studio takes it. Raises BadInput."""
    title = title.strip()
    if not TITLE_CHARS[0] <= len(title) <= TITLE_CHARS[1] or _has_controls(title):
        raise BadInput(what=f"title = {title!r}", why=BAD_TITLE)
    return title


def classes_in(text: str) -> list[tuple[str, str]]:
    """Classes from lines of "name" or "name #rrggbb"."""
    found = []
    for line in text.splitlines():
        name, _, last = line.strip().rpartition(" ")
        has_colour = bool(name) and re.fullmatch(r"#[0-9a-fA-F]{6}", last) is not None
        if line.strip():
            found.append((name.strip(), last) if has_colour else (line.strip(), ""))
    return found


def show(services: Services, job_id: int, translate: Translate = str) -> dict[str, Any]:
    """An import: how far it is and what came of it. Raises NotFound."""
    with services.database.read() as session:
        return _shown(session, _get(session, job_id), translate)


def waits_for_another(services: Services, job_id: int) -> bool:
    """Whether this import waits while another one is at work."""
    with services.database.read() as session:
        others = select(ImportJob.id).where(ImportJob.status == "running", ImportJob.id != job_id)
        return _get(session, job_id).status == "queued" and session.scalar(others.limit(1)) is not None


def mine(services: Services, *, by: str, translate: Translate = str) -> list[dict[str, Any]]:
    """A person's newest 20 imports."""
    with services.database.read() as session:
        rows = session.scalars(
            select(ImportJob).where(ImportJob.requested_by == by).order_by(ImportJob.id.desc()).limit(20)
        )
        return [_shown(session, row, translate) for row in rows]


def left_out(
    services: Services,
    job_id: int,
    *,
    after: int = -1,
    limit: int = 100,
    system: bool = False,
    translate: Translate = str,
) -> list[dict[str, Any]]:
    """Files that were not imported, with the reason each, by their position in the archive from ``after`` on.

    With ``system`` also hidden files and those of operating systems, of which some archives are full.
    """
    states = ("left_out", "system") if system else ("left_out",)
    after = min(after, 2**31 - 1)  # larger ones fit no column
    with services.database.read() as session:
        rows = session.scalars(
            select(ImportItem)
            .where(ImportItem.job_id == job_id, ImportItem.status.in_(states), ImportItem.position > after)
            .order_by(ImportItem.position)
            .limit(limit)
        )
        return [{"position": row.position, "name": row.name, "reason": render(row.reason, translate)} for row in rows]


def cancel_import(services: Services, job_id: int, *, by: str) -> None:
    """End it; images that are in Label Studio stay there, an empty project is removed (by the tick, when the import
    was waiting). Raises NotFound."""
    with services.database.write() as session:
        _get(session, job_id)
        record(session, by, "import.cancel", None, f"import {job_id}", status=work.cancel(session, ImportJob, job_id))


def import_again(services: Services, job_id: int, *, by: str) -> None:
    """Go on with one that failed or was cancelled. Raises NotFound; Conflict when its archive is gone or it runs."""
    with services.database.write() as session:
        job = _get(session, job_id)
        if job.status not in ("failed", "cancelled"):
            raise Conflict(why=N_("the import is not one that has failed or was cancelled"))
        if job.upload_id is None:
            raise Conflict(why=N_("the uploaded archive was removed; upload it again"))
        job.attempt, job.crashes, job.status, job.cancel_requested = job.attempt + 1, 0, "queued", False
        job.reason, job.enqueued_at, job.finished_at = None, now(), None
        session.execute(update(Upload).where(Upload.id == job.upload_id).values(touched_at=now()))
        record(session, by, "import.again", None, f"import {job_id}", attempt=job.attempt)
    services.bell.ring("import_archive", job_id, job.attempt)


def checked_classes(classes: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names as Label Studio can have them, with a colour each. Raises BadInput naming the first that cannot be."""
    if not classes:
        raise BadInput(what=N_("the list of classes"), why=NO_CLASSES)
    if len(classes) > CLASSES:
        raise BadInput(what=N_("the list of classes"), why=TOO_MANY_CLASSES)
    found: dict[str, str] = {}
    for number, (name, colour) in enumerate(classes):
        name = unicodedata.normalize("NFC", name.strip())
        # Label Studio takes a value that begins with $ for the name of a column of the task's data.
        if not 1 <= len(name) <= CLASS_CHARS or _has_controls(name) or name.startswith("$"):
            raise BadInput(what=f"class {name[:CLASS_CHARS]!r}", why=BAD_CLASS)
        if name in found:
            raise BadInput(what=f"class {name!r}", why=TWICE)
        if colour and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise BadInput(what=f"colour {colour[:40]!r}", why=BAD_COLOUR)
        found[name] = colour or COLOURS[number % len(COLOURS)]
    return list(found.items())


def _has_controls(text: str, allowed: str = "") -> bool:
    """Whether there are characters that XML, or a page, cannot show."""
    return any(unicodedata.category(char) in ("Cc", "Cs", "Cn", "Co") and char not in allowed for char in text)


def _get(session: Session, job_id: int) -> ImportJob:
    job = session.get(ImportJob, job_id)
    if job is None:
        raise NotFound(what=N_("import"), id=job_id)
    return job


def _hidden(session: Session, job_id: int) -> dict[str, int]:
    """What was hidden in the images that Label Studio has."""
    row = session.execute(
        select(
            func.coalesce(func.sum(ImportItem.faces), 0),
            func.count().filter(ImportItem.faces > 0),
            func.count().filter(ImportItem.doubtful),
        ).where(ImportItem.job_id == job_id, ImportItem.status == "done")
    ).one()
    return {"faces": int(row[0] or 0), "images_with_faces": row[1], "doubtful": row[2]}


def _shown(session: Session, job: ImportJob, translate: Translate) -> dict[str, Any]:
    counts = import_counts(session, job.id)
    project = None if job.project_id is None else session.get(Project, job.project_id)
    return {
        "id": job.id,
        "archive": job.archive,
        "title": job.title,
        "kind": job.kind,
        "classes": [{"name": name, "colour": colour} for name, colour in job.classes],
        "status": job.status,
        "requested_by": job.requested_by,
        "project": job.project_id,
        "connected": project is not None and project.connected_at is not None and project.gone_at is None,
        "files": job.files,
        "looked_at": counts["done"] + counts["left_out"] + counts["system"],
        "imported": counts["done"],
        "left_out": counts["left_out"],
        "deidentify": None if not job.deidentify else _hidden(session, job.id),
        "system_files": counts["system"],
        "can_go_on": job.status in ("failed", "cancelled") and job.upload_id is not None,
        "reason": render(job.reason, translate),
        "created_at": job.created_at.isoformat(),
        "finished_at": None if job.finished_at is None else job.finished_at.isoformat(),
    }
