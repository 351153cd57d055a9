"""An archive becomes a Label Studio project: read, check, send in batches, connect. A job.

It may be killed anywhere and run again. Before a batch is sent, its images stand in SQL as "sending"; who
comes after a kill asks Label Studio which of them have arrived (every image carries a mark in its name, see
``labelstudio.uploading``), so that no image is there twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, select, update

from custom_ai.archive import SYSTEM_FILE, Archive, Picture
from custom_ai.errors import N_, BadInput, Conflict, ImageError, LabelStudioError, LabelStudioMissing
from custom_ai.labelstudio.config import template
from custom_ai.labelstudio.uploading import (
    BATCH_BYTES,
    BATCH_FILES,
    file_name,
    mark_of,
    marked_tasks,
    send_images,
    untouched,
)
from custom_ai.pipeline.connect import connect
from custom_ai.pipeline.hidden_imports import record_imported
from custom_ai.pipeline.import_end import drop_empty_project, end_import
from custom_ai.pipeline.pulse import Pulse, carry_out
from custom_ai.pipeline.uploads import limits_of, path_of
from custom_ai.plugins import FACES, Hidden
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import reason, reason_of, record
from custom_ai.state.tables import ImportItem, ImportJob
from custom_ai.types import LabelKind

log = logging.getLogger(__name__)
SMALLEST_BATCH = 5
NOTED_AT_ONCE = 200
"""Files that were left out and are not noted yet; a kill repeats the look at them."""

Prepare = Callable[[Picture], tuple[bytes, Hidden | None]]
"""What Label Studio gets of an image, and what was hidden in it. Every image passes through it before it leaves this
process; raises ImageError for one that must not."""

DUPLICATE = N_("the same picture is in the archive as {other}")
OVER_THE_LIMIT = N_("the archive has more images than CUSTOM_AI_IMPORT_MAX_IMAGES allows")
NO_IMAGES = N_("none of its files is an image that can be used; the list below says why")
NO_TASK = N_("Label Studio took it, but made no task of it")
GONE = N_("the uploaded archive was removed; upload it again")


def unchanged(picture: Picture) -> tuple[bytes, None]:
    """Label Studio gets the images as they are."""
    return picture.data, None


def without_faces(services: Services) -> Prepare:
    """Label Studio gets images in which faces are hidden. Raises SettingsError or ModelError."""
    hide = services.hider(FACES)

    def prepare(picture: Picture) -> tuple[bytes, Hidden]:
        hidden = hide(picture.data, picture.name)
        return hidden.data, hidden

    return prepare


def import_archive(services: Services, job_id: int, attempt: int) -> None:
    """Do one attempt at a job: what is not in Label Studio yet."""
    with services.database.write() as session:
        if not work.begin(session, ImportJob, job_id, attempt):
            log.info("import %s attempt %s: not ours to do", job_id, attempt)
            return
        job = session.get_one(ImportJob, job_id)

    def do(pulse: Pulse) -> None:
        _Import(services, job, pulse, without_faces(services) if job.deidentify else unchanged).run()
        end_import(services, job, attempt, "done", None)

    def end(status: str, why: dict[str, object]) -> None:
        drop_empty_project(services, job)
        end_import(services, job, attempt, status, why)

    carry_out(services, ImportJob, job_id, attempt, do, end)


class _Import:
    """One attempt."""

    def __init__(self, services: Services, job: ImportJob, pulse: Pulse, prepare: Prepare) -> None:
        self._services, self._job, self._pulse, self._prepare = services, job, pulse, prepare
        self._known: set[int] = set()
        """Positions of files that are in Label Studio or left out."""
        self._pictures: dict[str, str] = {}
        """Names by the sha256 of what is in Label Studio or about to be sent."""
        self._left_out: list[ImportItem] = []
        self._hidden: dict[int, Hidden] = {}
        """By the positions of files that are about to be sent."""

    def run(self) -> None:
        job, services = self._job, self._services
        if job.upload_id is None:
            raise Conflict(why=GONE)
        with Archive(path_of(services.settings, job.upload_id), limits_of(services.settings)) as archive:
            if job.attempt > 1:
                self._take_up()
            self._read(archive)
        if not self._pictures:
            raise BadInput(what=N_("the archive"), why=NO_IMAGES)
        assert job.project_id is not None
        if job.attempt > 1:
            self._settle(job.project_id)
        connect(services, job.project_id, by=job.requested_by, kind=job.kind)
        if job.deidentify:
            record_imported(services, job)

    def _take_up(self) -> None:
        """Find out how far earlier attempts came."""
        studio, job = self._services.label_studio, self._job
        if job.project_id is None:  # the call that made it may have been lost
            made = next((one for one in studio.projects() if job.mark in one.label_config), None)
            if made is not None:
                self._set_project(made.id)
        try:
            arrived = {} if job.project_id is None else marked_tasks(studio, job.project_id)
        except LabelStudioMissing:  # somebody has deleted it: make it anew
            self._forget_project()
            arrived = {}
        with self._services.database.write() as session:
            self._pulse.guard(session)
            for item in session.scalars(select(ImportItem).where(ImportItem.job_id == job.id)):
                tasks = arrived.get(mark_of(item.sha256 or ""))
                if item.status == "sending" and tasks:
                    item.status, item.task_id = "done", min(int(task["id"]) for task in tasks)
                if item.status != "sending":
                    self._known.add(item.position)
                if item.status == "done" and item.sha256:
                    self._pictures[item.sha256] = item.name

    def _read(self, archive: Archive) -> None:
        batch: list[tuple[int, Picture]] = []
        # After trouble smaller ones: Label Studio may take fewer or be slow.
        most = max(SMALLEST_BATCH, BATCH_FILES // self._job.attempt)
        limit = self._services.settings.import_max_images
        for entry in archive.entries():
            self._pulse.check()
            if entry.position in self._known:
                continue
            try:
                picture = archive.read(entry)
            except ImageError as error:
                status = "system" if entry.why == SYSTEM_FILE else "left_out"
                self._leave_out(entry.position, entry.name, reason(str(error.params["why"])), status)
                continue
            if picture.sha256 in self._pictures:
                other = self._pictures[picture.sha256]
                self._leave_out(entry.position, entry.name, reason(DUPLICATE, other=other))
            elif len(self._pictures) >= limit:
                self._leave_out(entry.position, entry.name, reason(OVER_THE_LIMIT))
            else:
                try:
                    data, hidden = self._prepare(picture)
                except ImageError as error:
                    self._leave_out(entry.position, entry.name, reason(str(error.params["why"])))
                    continue
                self._pictures[picture.sha256] = picture.name
                picture = replace(picture, data=data)
                if hidden is not None:
                    self._hidden[entry.position] = hidden
                if batch and (len(batch) >= most or sum(len(one.data) for _, one in batch) >= BATCH_BYTES):
                    self._send(batch)
                    batch = []
                batch.append((entry.position, picture))
        self._send(batch)

    def _leave_out(self, position: int, name: str, why: dict[str, object], status: str = "left_out") -> None:
        self._left_out.append(self._item(position, name, status, reason=why))
        if len(self._left_out) >= NOTED_AT_ONCE:
            self._note(self._left_out)

    def _send(self, batch: Sequence[tuple[int, Picture]]) -> None:
        """Send a batch, and note what was left out meanwhile."""
        items = [self._item(at, one.name, "sending", sha256=one.sha256, **self._facts(at)) for at, one in batch]
        self._note([*self._left_out, *items])
        if items:
            project_id = self._job.project_id or self._make_project()
            images = [(file_name(one.name, one.sha256, one.extension), one.data) for _, one in batch]
            self._send_to(project_id, items, images)
            self._note(items)

    def _facts(self, position: int) -> dict[str, Any]:
        """What is kept of what was hidden in an image."""
        hidden = self._hidden.pop(position, None)
        if hidden is None:
            return {}
        areas = [list(area) for area in hidden.areas]
        kept = {"sha256": hidden.sha256, "size": [hidden.width, hidden.height], "areas": areas}
        return {"faces": len(areas), "doubtful": hidden.doubtful, "hidden": kept}

    def _send_to(self, project_id: int, items: Sequence[ImportItem], images: Sequence[tuple[str, bytes]]) -> None:
        """Send images, in parts when Label Studio (or a proxy before it) does not take them together."""
        try:
            tasks = send_images(self._services.label_studio, project_id, images)
        except LabelStudioError as error:
            if error.params.get("http_status") not in (400, 413):
                raise
            if len(items) == 1:
                items[0].status, items[0].reason = "left_out", reason_of(error)
                return
            half = len(items) // 2
            self._send_to(project_id, items[:half], images[:half])
            self._send_to(project_id, items[half:], images[half:])
        else:
            for item in items:
                item.task_id = tasks.get(mark_of(item.sha256 or ""))
                item.status = "left_out" if item.task_id is None else "done"
                item.reason = reason(NO_TASK) if item.task_id is None else None

    def _item(self, position: int, name: str, status: str, **values: Any) -> ImportItem:
        return ImportItem(job_id=self._job.id, position=position, name=name, status=status, **values)

    def _note(self, items: Sequence[ImportItem]) -> None:
        with self._services.database.write() as session:
            self._pulse.guard(session)
            for item in items:
                session.merge(item)
        self._left_out = []

    def _make_project(self) -> int:
        job = self._job
        names, colours = [name for name, _ in job.classes], [colour for _, colour in job.classes]
        config = f"<!-- {job.mark} -->\n{template(names, kind=LabelKind(job.kind), colours=colours)}"
        made = self._services.label_studio.create_project(job.title, job.description, config)
        log.info("import %s: Label Studio project %s made", job.id, made.id)
        self._set_project(made.id)
        return made.id

    def _set_project(self, project_id: int) -> None:
        with self._services.database.write() as session:
            self._pulse.guard(session)
            session.execute(update(ImportJob).where(ImportJob.id == self._job.id).values(project_id=project_id))
            record(session, self._job.requested_by, "import.project", None, self._job.title, project=project_id)
        self._job.project_id = project_id

    def _forget_project(self) -> None:
        with self._services.database.write() as session:
            self._pulse.guard(session)
            session.execute(update(ImportJob).where(ImportJob.id == self._job.id).values(project_id=None))
            session.execute(
                delete(ImportItem).where(ImportItem.job_id == self._job.id, ImportItem.status.in_(("sending", "done")))
            )
        self._job.project_id = None

    def _settle(self, project_id: int) -> None:
        """Label Studio may have acted on a batch after it was asked what has arrived: then remove our second copies."""
        studio = self._services.label_studio
        for tasks in marked_tasks(studio, project_id).values():
            spare = sorted(tasks, key=lambda task: (untouched(task), int(task["id"])))[1:]
            for task in spare:
                if untouched(task):
                    log.warning("import %s: task %s is a second copy, removed", self._job.id, task["id"])
                    studio.delete_task(int(task["id"]))
