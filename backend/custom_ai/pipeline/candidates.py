"""The four candidates of a run: their rows, and the training of each."""

from __future__ import annotations

import json
import logging
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from custom_ai import exhaustion
from custom_ai.errors import N_, Cancelled, CustomAIError, DiskFull
from custom_ai.pipeline.pulse import Fenced, Pulse
from custom_ai.services import Services
from custom_ai.shapes import to_row
from custom_ai.state.journal import reason, reason_of
from custom_ai.state.tables import ACTIVE, Candidate, Run
from custom_ai.training import memory
from custom_ai.training.contract import Progress, Recipe, TrainContext, Trained, TrainSet
from custom_ai.training.recipes import choose_recipes, summarise
from custom_ai.training.weights import best_start

if TYPE_CHECKING:
    from custom_ai.training.candidate import CandidateResult

log = logging.getLogger(__name__)
LEFT_OVER_S = 3600.0
"""A folder of a run that is over is removed when it is this old."""


def candidates_of(services: Services, run: Run, data: TrainSet, pulse: Pulse) -> list[Candidate]:
    """The rows of the four candidates; made once per run."""
    if not run.candidates:
        start = best_start(services.settings, cancelled=pulse.cancelled)
        pulse.check()
        recipes = choose_recipes(summarise(data), services.settings, start)
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


def train_one(services: Services, run: Run, candidate: Candidate, data: TrainSet, pulse: Pulse) -> None:
    """Train and score one candidate; its failure is told in its row and does not end the run.

    Raises Cancelled, Fenced, or DiskFull, which would fail the others too.
    """
    from custom_ai.training.candidate import train_candidate  # brings OpenCV: not for the web process

    pulse.check()
    recipe = Recipe.from_json(json.dumps(candidate.recipe))
    notes = _Notes(services, candidate, pulse)
    folder = work_dir(services, run.id, run.attempt) / f"candidate-{candidate.place}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    was_running = candidate.status == "running"
    _write(
        services, candidate, pulse, status="running", stage="preparing", fraction=0.0, loss=[], notes=[], reason=None
    )
    if was_running and run.crashes > 1:  # killed twice, which is mostly for lack of memory
        recipe = memory.smaller(recipe) or recipe
        notes(
            N_("Its process died {count} times; going on with {batch} images at a time, {size} pixels wide."),
            count=run.crashes,
            batch=recipe.batch,
            size=recipe.image_size,
        )
    settings = services.settings
    context = TrainContext(
        work_dir=folder,
        device=settings.device,
        threads=settings.cpu_threads,
        report=_Reporter(services, candidate, pulse),
        cancelled=pulse.cancelled,
        tell=notes,
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
        if isinstance(error, Fenced | DiskFull):
            raise
        log.warning("run %s candidate %s failed: %s", run.id, candidate.place, error)
        _write(services, candidate, pulse, status="failed", reason=reason_of(error))
    except Exception as error:
        log.exception("run %s candidate %s failed", run.id, candidate.place)
        known = exhaustion.explain(error, settings.state_dir)
        if isinstance(known, DiskFull):
            raise known from error
        why = reason_of(known) if known else reason(N_("Internal error, see run {id} in the log."), id=run.id)
        _write(services, candidate, pulse, status="failed", reason=why)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(services: Services, candidate: Candidate, result: CandidateResult, pulse: Pulse) -> None:
    """Files first, then the row that names them: a kill in between leaves only an unused file."""
    weights = services.store.put(result.trained.weights_path)
    onnx = services.store.put(result.trained.onnx_path)
    unseen = {str(task): [to_row(box, box.score) for box in boxes] for task, boxes in result.predictions.items()}
    _write(
        services,
        candidate,
        pulse,
        status="done",
        stage="",
        fraction=1.0,
        seconds_left=None,
        recipe=_as_followed(result.recipe, result.trained),
        base_weights=result.trained.base_weights,
        weights_sha256=weights,
        onnx_sha256=onnx,
        image_size=result.trained.image_size,
        seconds=result.seconds,
        passes=result.trained.passes,
        map50=result.scores.map50,
        scores=asdict(result.scores),
        thresholds=dict(result.thresholds),
        unseen_sha256=services.store.put_bytes(json.dumps(unseen, sort_keys=True).encode()),
    )


def _as_followed(recipe: Recipe, trained: Trained) -> dict[str, object]:
    """The recipe with what there was memory for."""
    used = replace(recipe, batch=trained.batch or recipe.batch, image_size=trained.image_size)
    plain: dict[str, object] = json.loads(used.to_json())
    return plain


class _Notes:
    """Writes what people should know about a candidate into its row, each thing once."""

    def __init__(self, services: Services, candidate: Candidate, pulse: Pulse) -> None:
        self._services, self._candidate, self._pulse = services, candidate, pulse
        self._said: list[dict[str, object]] = []

    def __call__(self, template: str, **params: object) -> None:
        note = reason(template, **params)
        if note not in self._said:
            self._said.append(note)
            log.warning("candidate %s: %s", self._candidate.id, template.format(**params))
            _write(self._services, self._candidate, self._pulse, notes=self._said)


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


def sweep(services: Services) -> None:
    """Remove what killed processes left behind: half-written files, and the folders of runs that are over."""
    services.store.sweep()
    with services.database.read() as session:
        unfinished = {f"run-{id}" for id in session.scalars(select(Run.id).where(Run.status.in_(ACTIVE)))}
    for folder in (services.settings.state_dir / "work").glob("run-*"):
        with suppress(FileNotFoundError):
            old = time.time() - folder.stat().st_mtime > LEFT_OVER_S  # a forecast works on when its run is over
            if old and folder.name.rpartition("-")[0] not in unfinished:
                shutil.rmtree(folder, ignore_errors=True)


def work_dir(services: Services, run_id: int, attempt: int) -> Path:
    """Each attempt has its own: one that was taken for dead may still be writing."""
    return services.settings.state_dir / "work" / f"run-{run_id}-{attempt}"
