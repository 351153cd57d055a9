"""The four candidates of a run: their rows, and the training of each."""

from __future__ import annotations

import json
import logging
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import update

from custom_ai.errors import N_, Cancelled, CustomAIError
from custom_ai.pipeline.pulse import Fenced, Pulse
from custom_ai.services import Services
from custom_ai.shapes import to_row
from custom_ai.state.journal import reason, reason_of
from custom_ai.state.tables import Candidate, Run
from custom_ai.training.contract import Progress, Recipe, TrainContext, TrainSet
from custom_ai.training.recipes import choose_recipes, summarise

if TYPE_CHECKING:
    from custom_ai.training.candidate import CandidateResult

log = logging.getLogger(__name__)


def candidates_of(services: Services, run: Run, data: TrainSet, pulse: Pulse) -> list[Candidate]:
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


def train_one(services: Services, run: Run, candidate: Candidate, data: TrainSet, pulse: Pulse) -> None:
    """Train and score one candidate; its failure is told in its row and does not end the run."""
    from custom_ai.training.candidate import train_candidate  # brings OpenCV: not for the web process

    pulse.check()
    recipe = Recipe.from_json(json.dumps(candidate.recipe))
    folder = work_dir(services, run.id, run.attempt) / f"candidate-{candidate.place}"
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
    unseen = {str(task): [to_row(box, box.score) for box in boxes] for task, boxes in result.predictions.items()}
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
        passes=result.trained.passes,
        map50=result.scores.map50,
        scores=asdict(result.scores),
        thresholds=dict(result.thresholds),
        unseen_sha256=services.store.put_bytes(json.dumps(unseen, sort_keys=True).encode()),
    )


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


def work_dir(services: Services, run_id: int, attempt: int) -> Path:
    """Each attempt has its own: one that was taken for dead may still be writing."""
    return services.settings.state_dir / "work" / f"run-{run_id}-{attempt}"
