"""A run: labels become a snapshot, the snapshot four candidates, the candidates an open vote."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from custom_ai import dataset
from custom_ai.errors import (
    N_,
    Cancelled,
    Conflict,
    CustomAIError,
    LabelStudioUnreachable,
    NotFound,
    NotReady,
    TrainingError,
)
from custom_ai.pipeline import pictures
from custom_ai.pipeline.look import labelled_tasks, look, project_readiness
from custom_ai.pipeline.pulse import Fenced, Pulse, postpone
from custom_ai.pipeline.vote import cancel_selection, open_selection, promote
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.journal import SYSTEM, notify, notify_reason, reason, reason_of, record
from custom_ai.state.tables import Candidate, DatasetSnapshot, Project, Run
from custom_ai.training.contract import Progress, Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.recipes import choose_recipes, summarise
from custom_ai.types import LabelKind

if TYPE_CHECKING:
    from custom_ai.training.candidate import CandidateResult

log = logging.getLogger(__name__)
MIN_IMAGES = 4
"""With fewer labelled images nothing could be held out."""


def request_run(
    services: Services, project_id: int, *, by: str, trigger: str, classes: Sequence[str] | None = None
) -> int:
    """Start "Make Custom AI"; returns the run's id.

    Raises NotFound, NotReady (saying what is missing), BadInput for an unknown class, or Conflict when
    a run is under way or the project cannot be worked on.
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
        run = Run(
            project_id=project_id,
            trigger=trigger,
            requested_by=by,
            kind=LabelKind.BOX,
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
                labels=run.labels,
                classes=", ".join(run.classes),
            )
    with Pulse(services, Run, run_id, attempt) as pulse:
        try:
            _train(services, run_id, pulse)
        except Fenced:
            log.warning("run %s attempt %s was taken over", run_id, attempt)
        except Cancelled as error:
            _end(services, run, attempt, "cancelled", reason_of(error))
        except CustomAIError as error:
            waiting = isinstance(error, LabelStudioUnreachable) and postpone(services, Run, run_id, attempt, error)
            if waiting:
                return
            log.warning("run %s failed: %s", run_id, error)
            _end(services, run, attempt, "failed", reason_of(error))
        except Exception:
            log.exception("run %s failed", run_id)
            _end(
                services,
                run,
                attempt,
                "failed",
                reason(N_("Internal error, see run {id} in the log."), id=run_id),
            )
        finally:
            shutil.rmtree(_work_dir(services, run_id, attempt), ignore_errors=True)


def _train(services: Services, run_id: int, pulse: Pulse) -> None:
    run = _snapshot(services, run_id, pulse)
    for earlier in range(1, run.attempt):
        shutil.rmtree(_work_dir(services, run_id, earlier), ignore_errors=True)
    assert run.snapshot is not None
    with services.database.read() as session:
        content = session.scalars(select(DatasetSnapshot.content).where(DatasetSnapshot.id == run.snapshot_id)).one()
    snapshot = dataset.Snapshot.loads(content, run.snapshot.sha256)
    images, left_out = pictures.training_images(services, run.project_id, snapshot, pulse)
    with services.database.write() as session:
        pulse.guard(session)
        session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(stage="training", left_out=[[task, reason_of(error)] for task, error in left_out])
        )
    if len(images) < MIN_IMAGES:
        first = next(iter(left_out), None)
        why = str(first[1]) if first else N_("there are fewer than 4 labelled images")
        raise TrainingError(why=why)
    data = _split(snapshot, images)
    candidates = _candidates(services, run, data, pulse)
    for candidate in candidates:
        if candidate.status != "done":
            _train_one(services, run, candidate, data, pulse)
    _conclude(services, run, data, pulse)


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
        state = project_readiness(session, services, project, run.classes)
        if not state.ready:
            raise NotReady(missing=str(state), needed=state.needed)
        snapshot = dataset.make_snapshot(labelled_tasks(session, run.project_id), run.classes)
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
            update(Run).where(Run.id == run_id).values(snapshot_id=row.id, stage="preparing", labels=state.total)
        )
    with services.database.read() as session:
        return session.get_one(Run, run_id)


def _split(snapshot: dataset.Snapshot, images: Sequence[TrainImage]) -> TrainSet:
    """Hold some images out, by hash of the task id: an image never changes sides."""
    apart = dataset.held_out(snapshot)
    return TrainSet(
        classes=snapshot.classes,
        train=tuple(image for image in images if image.task_id not in apart),
        held_out=tuple(image for image in images if image.task_id in apart),
    )


def _candidates(services: Services, run: Run, data: TrainSet, pulse: Pulse) -> list[Candidate]:
    """The rows of the four candidates; made once per run."""
    if not run.candidates:
        recipes = choose_recipes(summarise(data), services.settings)
        with services.database.write() as session:
            pulse.guard(session)
            for place, recipe in enumerate(recipes):
                session.add(
                    Candidate(
                        run_id=run.id,
                        project_id=run.project_id,
                        place=place,
                        title=recipe.title,
                        recipe=json.loads(recipe.to_json()),
                        classes=list(data.classes),
                    )
                )
    with services.database.read() as session:
        return session.get_one(Run, run.id).candidates


def _train_one(services: Services, run: Run, candidate: Candidate, data: TrainSet, pulse: Pulse) -> None:
    """Train and score one candidate; its failure is told in its row and does not end the run."""
    from custom_ai.training.candidate import train_candidate  # brings OpenCV: not for the web process

    pulse.check()
    recipe = Recipe.from_json(json.dumps(candidate.recipe))
    folder = _work_dir(services, run.id, run.attempt) / f"candidate-{candidate.place}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write(services, candidate, pulse, status="running", stage="preparing", fraction=0.0, loss=[], reason=None)
    settings = services.settings
    context = TrainContext(
        work_dir=folder,
        device=settings.device,
        threads=settings.cpu_threads,
        report=_Reporter(services, candidate, pulse),
        cancelled=pulse.cancelled,
    )
    try:
        result = train_candidate(recipe, data, context, services.trainer(recipe.trainer), settings)
        pulse.check()
        _keep(services, candidate, result, pulse)
    except Cancelled:
        pulse.check()  # tells "fenced" from "cancelled"
        _write(services, candidate, pulse, status="cancelled")
        raise
    except CustomAIError as error:
        if isinstance(error, Fenced):
            raise
        log.warning("run %s candidate %s failed: %s", run.id, candidate.place, error)
        _write(services, candidate, pulse, status="failed", reason=reason_of(error))
    except Exception:
        log.exception("run %s candidate %s failed", run.id, candidate.place)
        _write(
            services,
            candidate,
            pulse,
            status="failed",
            reason=reason(N_("Internal error, see run {id} in the log."), id=run.id),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(services: Services, candidate: Candidate, result: CandidateResult, pulse: Pulse) -> None:
    """Files first, then the row that names them: a kill in between leaves only an unused file."""
    weights = services.store.put(result.trained.weights_path)
    onnx = services.store.put(result.trained.onnx_path)
    _write(
        services,
        candidate,
        pulse,
        status="done",
        stage="",
        fraction=1.0,
        seconds_left=None,
        base_weights=result.trained.base_weights,
        weights_sha256=weights,
        onnx_sha256=onnx,
        image_size=result.trained.image_size,
        seconds=result.seconds,
        map50=result.scores.map50,
        scores=asdict(result.scores),
        thresholds=dict(result.thresholds),
    )


def _conclude(services: Services, run: Run, data: TrainSet, pulse: Pulse) -> None:
    """Open the vote (or promote the only candidate there is) and end the run, in one transaction."""
    with services.database.read() as session:
        done = [one for one in session.get_one(Run, run.id).candidates if one.status == "done"]
        failed = [one for one in session.get_one(Run, run.id).candidates if one.status == "failed"]
    if not done:
        raise TrainingError(why=_why(failed))
    images = [] if len(done) == 1 else pictures.vote_images(services, run, done, data, pulse)
    with services.database.write() as session:
        pulse.guard(session)
        work.finish(session, Run, run.id, run.attempt, "done")
        if len(done) > 1:
            open_selection(session, run, done, images)
            notify(
                session,
                run.project_id,
                "run_done",
                N_("Training has ended: {count} models are ready. Choose the best one."),
                to=run.requested_by,
                count=len(done),
            )
        else:
            promote(session, done[0], by=SYSTEM, how="single")
            notify(
                session,
                run.project_id,
                "run_done",
                N_("Training has ended: only one model could be made, and it serves the project now."),
                to=run.requested_by,
            )
        record(session, SYSTEM, "run.done", run.project_id, f"run {run.id}", candidates=len(done))
    if len(done) == 1:
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
        notify_reason(session, run.project_id, f"run_{status}", shown, to=run.requested_by, failure=status == "failed")
        record(session, SYSTEM, f"run.{status}", run.project_id, f"run {run.id}")


class _Reporter:
    """Writes a candidate's progress into its row, at most once a second."""

    def __init__(self, services: Services, candidate: Candidate, pulse: Pulse) -> None:
        self._services, self._candidate, self._pulse = services, candidate, pulse
        self._last = 0.0
        self._loss: list[list[float]] = []

    def __call__(self, progress: Progress) -> None:
        if progress.loss is not None and (not self._loss or progress.fraction - self._loss[-1][0] >= 0.01):
            self._loss.append([round(progress.fraction, 4), round(progress.loss, 4)])
        if time.monotonic() - self._last < 1.0:
            return
        self._last = time.monotonic()
        _write(
            self._services,
            self._candidate,
            self._pulse,
            stage=progress.stage,
            fraction=progress.fraction,
            seconds_left=progress.seconds_left,
            loss=self._loss,
        )


def _write(services: Services, candidate: Candidate, pulse: Pulse, **values: object) -> None:
    with services.database.write() as session:
        pulse.guard(session)
        session.execute(update(Candidate).where(Candidate.id == candidate.id).values(**values))


def _work_dir(services: Services, run_id: int, attempt: int) -> Path:
    """Each attempt has its own: one that was taken for dead may still be writing."""
    return services.settings.state_dir / "work" / f"run-{run_id}-{attempt}"
