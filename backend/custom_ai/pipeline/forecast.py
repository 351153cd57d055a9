"""After a run: what would more labels bring? Computed when the vote is open already, so that nobody waits for it.

It is no part of the run any more: whatever becomes of it, the run is done. It ends when somebody stops it, when
its time is over, or when another run waits for the worker.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from custom_ai.errors import N_, Cancelled, CustomAIError, NotFound
from custom_ai.services import Services
from custom_ai.shapes import from_row
from custom_ai.state.journal import reason, reason_of, record, render
from custom_ai.state.tables import Candidate, Run, now
from custom_ai.training.contract import Progress, Recipe, TrainContext, TrainSet

log = logging.getLogger(__name__)
LOOK_S = 1.0
"""How often it is looked whether to end."""
GRACE = 1.3
"""Times its seconds it may take before it is ended: trainings cannot be timed exactly."""
LOST_S = 120.0
"""After its time and these seconds it is taken for dead."""
EARLIER = 5
"""Runs before this one from which points are taken."""

GAIN = N_("Twice as many labels would probably bring {low} to {high} points.")
LITTLE = N_("Twice as many labels would probably bring less than {high} points: more of the same would hardly help.")
UNSURE = N_("It is too uncertain to say what more labels would bring: twice as many may bring {low} to {high} points.")
WORST = N_("More labels of {name} would help most: that class is found worst.")
NO_TIME = N_("There were too few images, or too little time, for a forecast.")
STOPPED = N_("The forecast was stopped.")
LOST = N_("The forecast was interrupted.")


def make(services: Services, run_id: int, attempt: int, data: TrainSet, folder: Path) -> None:
    """Compute and store the forecast of a finished run; ``folder`` is for its files. Never raises."""
    seconds = services.settings.forecast_seconds
    if not seconds:
        return
    try:
        if not _store(services, run_id, attempt, None, {"status": "running", "started_at": now().isoformat()}):
            return
        found = _attempted(services, run_id, data, folder)
        _store(services, run_id, attempt, "running", found)
    except SQLAlchemyError:
        log.warning("run %s: no forecast, the database is away", run_id)


def stop(services: Services, run_id: int, *, by: str) -> None:
    """End a forecast that is being computed, within seconds; harmless when there is none. Raises NotFound."""
    with services.database.write() as session:
        run = session.get(Run, run_id)
        if run is None:
            raise NotFound(what=N_("run"), id=run_id)
        if run.forecast is not None and run.forecast["status"] == "running":
            run.forecast = {"status": "stopped", "reason": reason(STOPPED)}
            record(session, by, "forecast.stop", run.project_id, f"run {run_id}")


def shown(services: Services, run: Run, translate: Callable[[str], str] = str) -> dict[str, Any] | None:
    """The forecast of a run with its words in ``sentences``; None when there is none.

    ``status`` is running, done, stopped or failed (then with a ``reason``).
    """
    found = run.forecast
    if found is None:
        return None
    if found["status"] == "running":
        limit = timedelta(seconds=GRACE * services.settings.forecast_seconds + LOST_S)
        if now() - datetime.fromisoformat(found["started_at"]) > limit:
            found = {"status": "failed", "reason": reason(LOST)}
    return dict(found) | {"reason": render(found.get("reason"), translate), "sentences": sentences(found, translate)}


def sentences(found: dict[str, Any], translate: Callable[[str], str] = str) -> list[str]:
    """A finished forecast in words."""
    if found["status"] != "done":
        return []
    twice = found["gain"][0]
    low, high = (max(0, round(100 * twice[name])) for name in ("low", "high"))
    text = {"gain": GAIN, "little": LITTLE, "unsure": UNSURE}[found["verdict"]]
    told = [translate(text).format(low=low, high=max(high, low + 1))]
    if found["helps_most"] and found["verdict"] != "little":
        told.append(translate(WORST).format(name=found["helps_most"]))
    return told


def _attempted(services: Services, run_id: int, data: TrainSet, folder: Path) -> dict[str, Any]:
    watch = _Watch(services, run_id)
    try:
        return _computed(services, run_id, data, folder, watch)
    except Cancelled:
        return {"status": "stopped", "reason": reason(STOPPED)}
    except CustomAIError as error:
        log.warning("run %s: no forecast: %s", run_id, error)
        return {"status": "failed", "reason": reason_of(error)}
    except Exception:
        log.exception("run %s: no forecast", run_id)
        return {"status": "failed", "reason": reason(N_("Internal error, see run {id} in the log."), id=run_id)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _computed(services: Services, run_id: int, data: TrainSet, folder: Path, watch: _Watch) -> dict[str, Any]:
    # They bring OpenCV: not for the web process, which shows forecasts.
    from custom_ai.training import forecast, subsets
    from custom_ai.training.weights import find_weights

    settings = services.settings
    with services.database.read() as session:
        best = session.scalars(
            select(Candidate)
            .where(Candidate.run_id == run_id, Candidate.status == "done", Candidate.unseen_sha256.is_not(None))
            .order_by(Candidate.map50.desc(), Candidate.id)
            .limit(1)
        ).first()
        before = [] if best is None else _earlier(session, best)
    if best is None or not best.passes or not best.seconds:
        return {"status": "failed", "reason": reason(NO_TIME)}
    assert best.unseen_sha256 is not None
    stored = json.loads(services.store.path(best.unseen_sha256).read_bytes())
    reference = {int(task): tuple(from_row(row) for row in rows) for task, rows in stored.items()}
    truth = {image.task_id: image.boxes for image in (*data.train, *data.held_out)}
    reference = {task: boxes for task, boxes in reference.items() if task in truth}
    stored_recipe = Recipe.from_json(json.dumps(best.recipe))
    weights = find_weights(stored_recipe.base_weights, settings, cancelled=watch.cancelled)
    context = TrainContext(
        work_dir=folder,
        device=settings.device,
        threads=settings.cpu_threads,
        report=watch.report,
        cancelled=watch.cancelled,
        weights={stored_recipe.base_weights: weights} if weights is not None else {},
    )
    recipe = Recipe.from_json(json.dumps(best.recipe | {"passes": best.passes}))
    pass_s = best.seconds / subsets.whole_passes(recipe, data)
    trainer = services.trainer(recipe.trainer)
    compared = subsets.compare(recipe, data, reference, pass_s, settings.forecast_seconds, context, trainer)
    points, covariance, worst = forecast.measured(
        truth,
        reference,
        subsets.reference_times(data),
        not data.held_out,
        compared,
        data.classes,
    )
    labels = sum(len(image.boxes) for image in data.train)
    others = [
        forecast.Point(learned / labels, not data.held_out, score, low, high, "earlier")
        for learned, score, low, high in before
        if labels
    ]
    if compared is None and not others:
        return {"status": "failed", "reason": reason(NO_TIME)}
    found = forecast.forecast(points, covariance, others)
    return found | {
        "status": "done",
        "labels": labels,
        "model": best.id,
        "helps_most": worst,
        "seconds": round(watch.used_s, 1),
    }


def _earlier(session: Session, best: Candidate) -> list[tuple[float, float, float, float]]:
    """Earlier runs with the same recipe, kind, classes and way to score: (labels learned from, score, low, high)."""
    run = session.get_one(Run, best.run_id)
    rows = session.execute(
        select(Candidate, Run)
        .join(Run, Run.id == Candidate.run_id)
        .where(
            Candidate.project_id == best.project_id,
            Candidate.run_id < best.run_id,
            Candidate.title == best.title,
            Candidate.status == "done",
            Run.kind == run.kind,
        )
        .order_by(Candidate.run_id.desc())
        .limit(EARLIER)
    ).all()
    found = []
    for one, of in rows:
        scores = one.scores or {}
        if one.classes != best.classes or scores.get("method") != (best.scores or {}).get("method"):
            continue
        asked = sum(int(each["boxes"]) for each in scores["per_class"].values())
        every = int((of.data_report or {}).get("labels") or 0)
        learned = every - asked if every > asked else every / 2  # all were asked about: cross-validation in halves
        if learned > 0:
            score, low, high = (float(scores[name]) for name in ("map50", "map50_low", "map50_high"))
            found.append((float(learned), score, low, high))
    return found


def _store(services: Services, run_id: int, attempt: int, expected: str | None, found: dict[str, Any]) -> bool:
    """Write, unless the run is not this attempt's, or its forecast is not in the ``expected`` status any more."""
    with services.database.write() as session:
        run = session.scalars(
            select(Run).where(Run.id == run_id, Run.attempt == attempt, Run.status == "done").with_for_update()
        ).first()
        if run is None or (run.forecast or {}).get("status") != expected:
            return False
        run.forecast = found
        return True


class _Watch:
    """Says when to end."""

    def __init__(self, services: Services, run_id: int) -> None:
        self._services, self._run_id = services, run_id
        self._started = self._looked = time.monotonic()
        self._end = False

    @property
    def used_s(self) -> float:
        return time.monotonic() - self._started

    def report(self, progress: Progress) -> None:
        """Nobody is shown how far it is."""

    def cancelled(self) -> bool:
        if not self._end and time.monotonic() - self._looked >= LOOK_S:
            self._looked = time.monotonic()
            self._end = self.used_s > GRACE * self._services.settings.forecast_seconds or self._unwanted()
        return self._end

    def _unwanted(self) -> bool:
        """Whether somebody stopped it, or a run waits for this worker."""
        with self._services.database.read() as session:
            state = session.scalar(select(Run.forecast).where(Run.id == self._run_id))
            waiting = session.scalar(select(Run.id).where(Run.status == "queued").limit(1))
        return (state or {}).get("status") != "running" or waiting is not None
