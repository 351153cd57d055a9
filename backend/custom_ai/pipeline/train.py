"""A run: labels become a snapshot, the snapshot four candidates, the candidates an open vote."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from custom_ai import dataset, exhaustion
from custom_ai.errors import (
    N_,
    ClassVanished,
    Conflict,
    NotFound,
    NotReady,
    TrainingError,
)
from custom_ai.pipeline import forecast, pictures, provisional, run_data, vote_images
from custom_ai.pipeline.candidates import candidates_of, sweep, train_one, work_dir
from custom_ai.pipeline.look import kind_of, look, project_readiness
from custom_ai.pipeline.mirror import labelled_tasks
from custom_ai.pipeline.originals import current_images
from custom_ai.pipeline.pulse import Pulse, carry_out
from custom_ai.pipeline.review_states import check_finished
from custom_ai.pipeline.vote import cancel_selection, open_selection, promote
from custom_ai.policy import VOTE_ROUNDS
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, notify, notify_reason, reason, reason_of, record
from custom_ai.state.tables import Candidate, DatasetSnapshot, Project, Run
from custom_ai.training.contract import TrainSet
from custom_ai.training.folds import plan
from custom_ai.types import LabelKind

log = logging.getLogger(__name__)
MIN_IMAGES = 4
"""With fewer labelled images nothing could be held out."""


def request_run(
    services: Services, project_id: int, *, by: str, trigger: str, classes: Sequence[str] | None = None
) -> int:
    """Start "Make Custom AI"; returns the run's id.

    Raises NotFound, NotReady (saying what is missing), BadInput for an unknown class, ReviewDue, or Conflict
    when a run is under way or the project cannot be worked on.
    """
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None or project.gone_at is not None:
            raise NotFound(what=N_("project"), id=project_id)
        if project.problem is not None:
            raise Conflict(why=N_("the project's labelling config cannot be used"))
        names = list(classes or project.chosen_classes or project.available_classes)
        for name in names:
            if name not in project.available_classes:
                raise NotFound(what=N_("class"), id=name)
        state = project_readiness(session, services, project, names)
        if not state.ready:
            raise NotReady(missing=str(state), needed=state.needed)
        check_finished(session, project)
        run = Run(
            project_id=project_id,
            trigger=trigger,
            requested_by=by,
            kind=kind_of(project).value,
            classes=names,
            labels=state.total,
        )
        session.add(run)
        try:
            session.flush()
        except IntegrityError as error:
            raise Conflict(why=N_("a training run of this project is under way already")) from error
        if cancel_selection(session, project_id):
            notify(
                session,
                project_id,
                "selection_cancelled",
                N_("The open vote was closed by a new training run."),
            )
        record(session, by, "run.request", project_id, f"run {run.id}", trigger=trigger, classes=names)
        run_id, attempt = run.id, run.attempt
    services.bell.ring("train", run_id, attempt)
    return run_id


def cancel_run(services: Services, run_id: int, *, by: str) -> str:
    """Ask a run to end; returns its status now ("cancelled", or "running" until it has noticed)."""
    with services.database.write() as session:
        run = session.get(Run, run_id)
        if run is None:
            raise NotFound(what=N_("run"), id=run_id)
        record(session, by, "run.cancel", run.project_id, f"run {run_id}")
        return work.cancel(session, Run, run_id)


def train(services: Services, run_id: int, attempt: int) -> None:
    """Do one attempt at a run. Whatever an earlier attempt finished is kept."""
    with services.database.write() as session:
        if not work.begin(session, Run, run_id, attempt):
            log.info("run %s attempt %s: not ours to do", run_id, attempt)
            return
        run = session.get_one(Run, run_id)
        if attempt == 1:
            notify(
                session,
                run.project_id,
                "run_started",
                N_("Training has started: {labels} labels of {classes}."),
                to=run.requested_by,
                about=f"run {run.id}",
                labels=run.labels,
                classes=", ".join(run.classes),
            )

    def do(pulse: Pulse) -> None:
        _train(services, run_id, pulse)

    def end(status: str, why: dict[str, object]) -> None:
        _end(services, run, attempt, status, why)

    try:
        carry_out(services, Run, run_id, attempt, do, end)
    finally:
        shutil.rmtree(work_dir(services, run_id, attempt), ignore_errors=True)


def _train(services: Services, run_id: int, pulse: Pulse) -> None:
    sweep(services)
    exhaustion.need_room(services.settings.state_dir)
    run = _snapshot(services, run_id, pulse)
    for earlier in range(1, run.attempt):
        shutil.rmtree(work_dir(services, run_id, earlier), ignore_errors=True)
    assert run.snapshot is not None
    with services.database.read() as session:
        content = session.scalars(select(DatasetSnapshot.content).where(DatasetSnapshot.id == run.snapshot_id)).one()
    # Where faces were hidden since the labels were frozen, the copy is what there is to learn from.
    snapshot = dataset.Snapshot.loads(content, run.snapshot.sha256).with_images(
        current_images(services, run.project_id)
    )
    images, left_out = pictures.training_images(services, run.project_id, snapshot, pulse)
    with services.database.write() as session:
        pulse.guard(session)
        session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(
                stage="training",
                left_out=[[task, reason_of(error)] for task, error in left_out],
                data_report=run_data.figures(snapshot, images),
            )
        )
    if len(images) < MIN_IMAGES:
        first = next(iter(left_out), None)
        why = str(first[1]) if first else N_("there are fewer than 4 labelled images")
        raise TrainingError(why=why)
    shown = {box.label for image in images for box in image.boxes}
    for label in snapshot.classes:
        if label not in shown:
            raise ClassVanished(label=label, why=N_("none of the images that show it could be used"))
    # Without enough untouched images people vote on labelled ones, which no candidate may have learned from.
    untouched = vote_images.untouched(services, run.project_id)
    data = plan(snapshot, images, hold_out=len(untouched) < VOTE_ROUNDS)
    candidates = candidates_of(services, run, data, pulse)
    for candidate in candidates:
        if candidate.status != "done":
            train_one(services, run, candidate, data, pulse)
        provisional.serve_first(services, run, candidate, pulse)
    _conclude(services, run, data, pulse)
    forecast.make(services, run.id, run.attempt, data, work_dir(services, run.id, run.attempt) / "forecast")


def _snapshot(services: Services, run_id: int, pulse: Pulse) -> Run:
    """Freeze the labels, unless an earlier attempt did. Asks Label Studio for the truth first."""
    with services.database.read() as session:
        run = session.get_one(Run, run_id)
    if run.snapshot_id is not None:
        return run
    look(services, run.project_id, full=True)
    pulse.check()
    with services.database.write() as session:
        pulse.guard(session)
        project = session.get_one(Project, run.project_id)
        if kind_of(project) != run.kind:  # then the mirror holds other labels than those that were asked for
            raise Conflict(why=N_("the project's kind of labels was changed since the run was asked for"))
        for label in run.classes:
            if label not in project.available_classes:
                raise ClassVanished(label=label, why=N_("the labelling config does not have it any more"))
        state = project_readiness(session, services, project, run.classes)
        if not state.ready:
            raise NotReady(missing=str(state), needed=state.needed)
        tasks = labelled_tasks(session, run.project_id)
        snapshot = dataset.make_snapshot(tasks, run.classes, LabelKind(run.kind))
        row = session.scalar(
            select(DatasetSnapshot).where(
                DatasetSnapshot.project_id == run.project_id, DatasetSnapshot.sha256 == snapshot.sha256
            )
        )
        if row is None:
            row = DatasetSnapshot(
                project_id=run.project_id,
                sha256=snapshot.sha256,
                images=snapshot.images,
                counts=dict(snapshot.counts),
                content=snapshot.dumps(),
            )
            session.add(row)
            session.flush()
        session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(
                snapshot_id=row.id,
                stage="preparing",
                labels=state.total,
                notes=run_data.left_out_of(session, run.project_id, tasks, snapshot),
            )
        )
    with services.database.read() as session:
        return session.get_one(Run, run_id)


def _conclude(services: Services, run: Run, data: TrainSet, pulse: Pulse) -> None:
    """Open the vote (or promote the only candidate there is) and end the run, in one transaction."""
    with services.database.read() as session:
        done = [one for one in session.get_one(Run, run.id).candidates if one.status == "done"]
        failed = [one for one in session.get_one(Run, run.id).candidates if one.status == "failed"]
    if not done:
        raise TrainingError(why=_why(failed))
    images = [] if len(done) == 1 else vote_images.vote_images(services, run, done, data, pulse)
    with services.database.write() as session:
        pulse.guard(session)
        work.finish(session, Run, run.id, run.attempt, "done")
        if len(done) > 1:
            open_selection(session, run, done, images, days=services.settings.vote_days)
            changed = provisional.serve_best(session, run.project_id, done)
            notify(
                session,
                run.project_id,
                "run_done",
                N_("Training has ended: {count} models are ready. Choose the best one."),
                to=run.requested_by,
                about=f"run {run.id}",
                count=len(done),
            )
        else:
            promote(session, done[0], by=SYSTEM, how="single")
            changed = True
            notify(
                session,
                run.project_id,
                "run_done",
                N_("Training has ended: only one model could be made, and it serves the project now."),
                to=run.requested_by,
                about=f"run {run.id}",
            )
        record(session, SYSTEM, "run.done", run.project_id, f"run {run.id}", candidates=len(done))
    if changed:
        services.bell.ring("apply_champion", run.project_id)


def _why(failed: list[Candidate]) -> str:
    texts = [str((one.reason or {}).get("params", {}).get("why", "")) for one in failed]
    return next(filter(None, texts), N_("no candidate could be trained"))


def _end(services: Services, run: Run, attempt: int, status: str, why: dict[str, object]) -> None:
    with services.database.write() as session:
        if not work.finish(session, Run, run.id, attempt, status, why):
            return
        session.execute(
            update(Candidate)
            .where(Candidate.run_id == run.id, Candidate.status.in_(("waiting", "running")))
            .values(status="cancelled")
        )
        shown = reason(N_("Training was cancelled.")) if status == "cancelled" else why
        failed = status == "failed"
        notify_reason(session, run.project_id, f"run_{status}", shown, run.requested_by, failed, f"run {run.id}")
        record(session, SYSTEM, f"run.{status}", run.project_id, f"run {run.id}")
