"""De-identifying images that are in Label Studio already. A job, killable at any moment (see ``swap``).

Fail closed: an image about which anything is not sure stays as it is, is listed with the reason, and may be tried
again; until then it is neither pre-labelled by a job that asked for hidden faces nor said to be de-identified.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import (
    N_,
    BadInput,
    Cancelled,
    Conflict,
    CustomAIError,
    LabelStudioAuth,
    LabelStudioMissing,
    LabelStudioUnreachable,
    NotFound,
    SettingsError,
)
from custom_ai.pipeline.look import control_of, look
from custom_ai.pipeline.originals import hidden_among, vault_of
from custom_ai.pipeline.pulse import Fenced, Pulse, carry_out
from custom_ai.pipeline.swap import Swap
from custom_ai.plugins import FACES
from custom_ai.policy import MAX_CRASHES
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.deid_tables import DeidentifiedImage, DeidentifyItem, DeidentifyJob
from custom_ai.state.journal import SYSTEM, notify, reason, reason_of, record
from custom_ai.state.tables import ACTIVE, AutoLabelJob, Project, Task

log = logging.getLogger(__name__)
WHICH = ("all", "untouched")
ITEM_CRASHES = MAX_CRASHES - 1
"""An image that has ended so many processes is not looked at any more."""
_SOME = 500

UNDER_WAY = N_("faces are being hidden in this project already")
NOTHING = N_("faces are hidden in all of these images already")
DIED = N_("The worker's process died {count} times while it looked at this image.")


def installed(name: str = FACES) -> bool:
    """Whether the plug-in that hides is there; loads nothing."""
    return any(one.name == name for one in entry_points(group="custom_ai.preprocessors"))


def check_installed() -> None:
    """Raises SettingsError when nothing could be hidden."""
    if not installed():
        raise SettingsError(name=f"preprocessor {FACES!r}", why=N_("it is not installed"))


def request_deidentify(
    services: Services,
    project_id: int,
    *,
    by: str,
    which: str | Sequence[int] = "all",
    trigger: str = "person",
    auto_label_id: int | None = None,
) -> int:
    """Hide faces in the images of all tasks, of untouched ones, or of those named; returns the job's id.

    Raises NotFound, BadInput, SettingsError (no plug-in, no key for the vault), Conflict when there is nothing to do or
    such a job under way.
    """
    check_installed()
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(what=N_("project"), id=project_id)
        if project.originals == "vault":
            vault_of(services.settings)
        tasks = _chosen(session, project_id, which)
        done = hidden_among(session, project_id, tasks) - _wanted(session, project_id)
        tasks = [task for task in tasks if task not in done]
        if not tasks:
            raise Conflict(why=NOTHING)
        job = DeidentifyJob(
            project_id=project_id,
            trigger=trigger,
            requested_by=by,
            auto_label_id=auto_label_id,
            originals=project.originals,
            used={
                "plug_in": FACES,
                "models": [path.name for path in services.settings.hide_models],
                "classes": list(services.settings.hide_classes),
            },
        )
        session.add(job)
        try:
            session.flush()
        except IntegrityError as error:
            raise Conflict(why=UNDER_WAY) from error
        session.execute(insert(DeidentifyItem), [{"job_id": job.id, "task_id": task} for task in tasks])
        record(session, by, "deidentify.request", project_id, f"hiding {job.id}", tasks=len(tasks), trigger=trigger)
    services.bell.ring("deidentify", job.id, job.attempt)
    return job.id


def hide_new(services: Services, project_id: int) -> None:
    """The policy "at import": hide faces in what has come. What failed is not tried again by itself."""
    with services.database.read() as session:
        if work.active(session, DeidentifyJob, project_id) is not None:
            return
        tried = (
            select(DeidentifyItem.task_id)
            .join(DeidentifyJob, DeidentifyJob.id == DeidentifyItem.job_id)
            .where(DeidentifyJob.project_id == project_id, DeidentifyItem.status == "failed")
        )
        # Also tasks whose image somebody has replaced since.
        hidden = (
            select(DeidentifiedImage.task_id)
            .where(
                DeidentifiedImage.project_id == project_id,
                DeidentifiedImage.task_id == Task.task_id,
                DeidentifiedImage.state == "done",
                DeidentifiedImage.uri == Task.image,
            )
            .exists()
        )
        tasks = session.scalars(
            select(Task.task_id).where(
                Task.project_id == project_id, Task.image != "", ~hidden, Task.task_id.not_in(tried)
            )
        ).all()
    if not tasks:
        return
    try:
        request_deidentify(services, project_id, by=SYSTEM, which=tasks, trigger="rule")
    except (Conflict, SettingsError) as error:
        log.warning("project %s: faces are not hidden: %s", project_id, error)


def deidentify(services: Services, job_id: int, attempt: int) -> None:
    """Do one attempt at a job: the tasks that are not done yet."""
    with services.database.write() as session:
        if not work.begin(session, DeidentifyJob, job_id, attempt):
            log.info("hiding %s attempt %s: not ours to do", job_id, attempt)
            return
        job = session.get_one(DeidentifyJob, job_id)

    def do(pulse: Pulse) -> None:
        look(services, job.project_id)  # which tasks share a file, and who has replaced an image meanwhile
        with services.database.read() as session:
            control = control_of(session.get_one(Project, job.project_id))
        swap = Swap(services, job, control, services.hider(FACES), pulse)
        while (task := _next(services, job, pulse)) is not None:
            _note(services, job, task, pulse, *_one(swap, task))
            pulse.check()
        _end(services, job, attempt, "done", None)

    def end(status: str, why: dict[str, object]) -> None:
        _end(services, job, attempt, status, why)

    if carry_out(services, DeidentifyJob, job_id, attempt, do, end):
        _what_waited(services, job)


def cancel_deidentify(services: Services, job_id: int, *, by: str) -> str:
    """Ask a job to end; what is hidden stays hidden. Returns its status now."""
    with services.database.write() as session:
        job = job_of(session, job_id)
        record(session, by, "deidentify.cancel", job.project_id, f"hiding {job_id}")
        return work.cancel(session, DeidentifyJob, job_id)


def retry_deidentify(services: Services, job_id: int, *, by: str) -> int:
    """Try again what failed or was left; returns how many tasks. Raises NotFound, Conflict."""
    with services.database.write() as session:
        job = job_of(session, job_id)
        if job.status in ACTIVE:
            raise Conflict(why=N_("only a job that has ended can be tried again"))
        mine = DeidentifyItem.job_id == job_id
        session.execute(
            update(DeidentifyItem)
            .where(mine, DeidentifyItem.status == "failed")
            .values(status="waiting", crashes=0, reason=None)
        )
        count = select(func.count()).select_from(DeidentifyItem).where(mine, DeidentifyItem.status == "waiting")
        waiting = session.scalar(count) or 0
        if not waiting:
            raise Conflict(why=N_("no image of this job has failed"))
        job.status, job.reason, job.finished_at, job.cancel_requested, job.crashes = "queued", None, None, False, 0
        job.attempt += 1
        record(session, by, "deidentify.retry", job.project_id, f"hiding {job_id}", tasks=waiting)
        try:
            session.flush()
        except IntegrityError as error:
            raise Conflict(why=UNDER_WAY) from error
    services.bell.ring("deidentify", job.id, job.attempt)
    return waiting


def job_of(session: Session, job_id: int) -> DeidentifyJob:
    """Raises NotFound."""
    job = session.get(DeidentifyJob, job_id)
    if job is None:
        raise NotFound(what=N_("de-identification"), id=job_id)
    return job


def item_counts(session: Session, job_id: int) -> dict[str, int]:
    """Tasks of a job by what became of them."""
    rows = session.execute(
        select(DeidentifyItem.status, func.count())
        .where(DeidentifyItem.job_id == job_id)
        .group_by(DeidentifyItem.status)
    )
    return {"waiting": 0, "done": 0, "failed": 0, "skipped": 0} | {row[0]: row[1] for row in rows}


def _chosen(session: Session, project_id: int, which: str | Sequence[int]) -> list[int]:
    query = select(Task.task_id).where(Task.project_id == project_id).order_by(Task.task_id)
    if isinstance(which, str):
        if which not in WHICH:
            raise BadInput(what=f"which = {which!r}", why=N_("expected all, untouched, or a list of task ids"))
        return list(session.scalars(query if which == "all" else query.where(~Task.touched)))
    known = set(session.scalars(query))
    unknown = sorted(set(which) - known)
    if unknown:
        raise BadInput(what=f"tasks {unknown[:5]}", why=N_("the project has no such tasks, as far as we know"))
    return sorted(set(which))


def _wanted(session: Session, project_id: int) -> set[int]:
    """Tasks of which a person wants other areas."""
    return set(
        session.scalars(
            select(DeidentifiedImage.task_id).where(
                DeidentifiedImage.project_id == project_id, DeidentifiedImage.wanted.is_not(None)
            )
        )
    )


def _next(services: Services, job: DeidentifyJob, pulse: Pulse) -> int | None:
    """The next task; that somebody works on it is counted, so that one that ends processes is left out in the end."""
    while True:
        with services.database.write() as session:
            pulse.guard(session)
            item = session.scalar(
                select(DeidentifyItem)
                .where(DeidentifyItem.job_id == job.id, DeidentifyItem.status == "waiting")
                .order_by(DeidentifyItem.task_id)
                .limit(1)
            )
            if item is None:
                return None
            if item.crashes < ITEM_CRASHES:
                item.crashes += 1
                return item.task_id
            item.status, item.reason = "failed", reason(DIED, count=item.crashes)


def _one(swap: Swap, task: int) -> tuple[str, dict[str, object] | None]:
    try:
        swap.task(task)
    except (Fenced, Cancelled, LabelStudioUnreachable, LabelStudioAuth, SettingsError):
        raise  # it is not about this image
    except LabelStudioMissing:
        return "skipped", None
    except CustomAIError as error:
        return "failed", reason_of(error)
    return "done", None


def _note(
    services: Services, job: DeidentifyJob, task: int, pulse: Pulse, status: str, why: dict[str, object] | None
) -> None:
    with services.database.write() as session:
        pulse.guard(session)
        session.execute(
            update(DeidentifyItem)
            .where(DeidentifyItem.job_id == job.id, DeidentifyItem.task_id == task)
            .values(status=status, reason=why)
        )
        # A job is given up after some deaths without any progress, not after some deaths.
        session.execute(update(DeidentifyJob).where(DeidentifyJob.id == job.id).values(crashes=0))


def _end(services: Services, job: DeidentifyJob, attempt: int, status: str, why: dict[str, object] | None) -> None:
    with services.database.write() as session:
        if not work.finish(session, DeidentifyJob, job.id, attempt, status, why):
            return
        counts = item_counts(session, job.id)
        texts = {
            "done": N_("Faces were hidden in {done} images; {failed} failed and stay as they were."),
            "cancelled": N_("Hiding faces was cancelled after {done} images; {waiting} are left."),
            "failed": N_("Hiding faces failed after {done} images; {waiting} are left: {why}"),
        }
        if job.trigger == "person" or counts["failed"] or status == "failed":
            notify(
                session,
                job.project_id,
                f"deidentify_{status}",
                texts[status],
                to=job.requested_by,
                failure=status == "failed" or counts["failed"] > 0,
                about=f"hiding {job.id}",
                why=why or "",
                **counts,
            )
        record(session, SYSTEM, f"deidentify.{status}", job.project_id, f"hiding {job.id}", **counts)


def _what_waited(services: Services, job: DeidentifyJob) -> None:
    """Call for what could not begin while this job was at work."""
    with services.database.read() as session:
        failed = select(DeidentifyItem.task_id).where(DeidentifyItem.job_id == job.id, DeidentifyItem.status != "done")
        wanted = sorted(_wanted(session, job.project_id) - set(session.scalars(failed)))
        waiting = session.execute(
            select(AutoLabelJob.id, AutoLabelJob.attempt).where(
                AutoLabelJob.project_id == job.project_id, AutoLabelJob.status == "queued"
            )
        ).all()
    if wanted:
        try:
            request_deidentify(services, job.project_id, by=job.requested_by, which=wanted, trigger="review")
        except CustomAIError as error:
            log.warning("project %s: what people drew waits: %s", job.project_id, error)
    for id, attempt in waiting:
        services.bell.ring("auto_label", id, attempt)


def settings_values(name: str, value: Any, services: Services) -> bool:
    """Whether a value is possible for a project's ``deidentify`` or ``originals``. Raises SettingsError."""
    if name == "originals":
        if value == "vault":
            vault_of(services.settings)
        return value in ("vault", "destroy")
    if value in ("at_import", "with_auto_label"):
        check_installed()
    return value in ("off", "at_import", "with_auto_label")
