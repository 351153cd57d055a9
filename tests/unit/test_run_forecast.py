"""The forecast as the last step of a job: after the vote has opened, never in its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from page_world import Bell, House, World
from report_world import CLASSES, RECIPE, labelled, make_report_world, mirror
from sqlalchemy import delete, select, update

from custom_ai.pipeline import forecast, overview
from custom_ai.pipeline.train import train
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Project, Run, now
from custom_ai.training.contract import TrainImage, TrainSet
from custom_ai.types import ImageSize
from fake_trainer import FakeTrainer

Start = Callable[..., tuple[Services, int, FakeTrainer]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A finished run whose best candidate's predictions are known, and a trainer for what the forecast trains."""

    def make(trainer: FakeTrainer | None = None, **settings: Any) -> tuple[Services, int, FakeTrainer]:
        trainer = trainer or FakeTrainer()
        world, run_id = make_report_world(tmp_path, **{"forecast_seconds": 60, **settings})
        return replace(world.services, trainer=lambda name: trainer), run_id, trainer

    return make


def data_of(folder: Path) -> TrainSet:
    from PIL import Image

    path = folder / "a.png"
    Image.new("RGB", (32, 32)).save(path)
    images = [TrainImage(n, path, ImageSize(32, 32), labelled(n).boxes or ()) for n in range(1, 9)]
    return TrainSet(tuple(CLASSES), tuple(images), ())


def stored(services: Services, run_id: int) -> dict[str, Any] | None:
    with services.database.read() as session:
        return forecast.shown(services, session.get_one(Run, run_id))


def test_it_is_stored_with_the_run(start: Start, tmp_path: Path) -> None:
    services, run_id, trainer = start()
    forecast.make(services, run_id, 1, data_of(tmp_path), tmp_path / "forecast")
    found = stored(services, run_id)
    assert found is not None
    assert found["status"] == "done", found
    assert [len(data.train) for data in trainer.seen] == [2, 2]  # a quarter, twice
    assert [one["source"] for one in found["points"]] == ["siblings", "subset"]
    assert found["labels"] == 16
    assert found["sentences"]
    assert not (tmp_path / "forecast").exists()


def test_earlier_runs_give_points(start: Start, tmp_path: Path) -> None:
    services, run_id, _ = start()
    with services.database.write() as session:
        old = session.scalars(select(Candidate)).one()
        run = Run(
            project_id=1, status="done", trigger="person", requested_by="x", kind="box", classes=CLASSES, labels=16
        )
        session.add(run)
        session.flush()
        values = {
            name: getattr(old, name) for name in ("title", "recipe", "classes", "scores", "map50", "unseen_sha256")
        }
        session.add(Candidate(run_id=run.id, project_id=1, place=0, status="done", seconds=20.0, passes=400, **values))
        session.execute(update(Run).where(Run.id == run_id).values(data_report={"labels": 16}))
        newest = run.id
    forecast.make(services, newest, 1, data_of(tmp_path), tmp_path / "forecast")
    found = stored(services, newest)
    assert found is not None
    (earlier,) = [one for one in found["points"] if one["source"] == "earlier"]
    assert earlier["times"] == 0.5  # all 16 labels of then were asked about: the siblings had 8 of today's 16


def test_switched_off_nothing_is_done(start: Start, tmp_path: Path) -> None:
    services, run_id, trainer = start(forecast_seconds=0)
    forecast.make(services, run_id, 1, data_of(tmp_path), tmp_path / "forecast")
    assert stored(services, run_id) is None
    assert trainer.seen == []


def test_another_attempts_run_is_left_alone(start: Start, tmp_path: Path) -> None:
    services, run_id, trainer = start()
    forecast.make(services, run_id, 2, data_of(tmp_path), tmp_path / "forecast")
    assert stored(services, run_id) is None
    assert trainer.seen == []


def queue_a_run(services: Services) -> None:
    with services.database.write() as session:
        session.add(Project(id=2, title="Other", connected_at=now()))
        session.flush()
        session.add(Run(project_id=2, trigger="person", requested_by="x", kind="box", classes=["x"]))


@pytest.mark.parametrize("by", ["a person", "a run that waits"])
def test_it_ends_within_seconds(start: Start, tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "LOOK_S", 0.1)
    trainer = FakeTrainer(endless=(RECIPE.name,))
    services, run_id, _ = start(trainer)

    def end() -> None:
        if by == "a person":
            forecast.stop(services, run_id, by="ann")
        else:
            queue_a_run(services)

    trainer.when_endless = end
    began = time.monotonic()
    forecast.make(services, run_id, 1, data_of(tmp_path), tmp_path / "forecast")
    assert time.monotonic() - began < 5
    found = stored(services, run_id)
    assert found is not None
    assert (found["status"], found["reason"]) == ("stopped", "The forecast was stopped.")
    assert overview.run(services, run_id)["status"] == "done"


def test_a_failure_does_not_fail_the_run(start: Start, tmp_path: Path) -> None:
    services, run_id, _ = start(FakeTrainer(failing=(RECIPE.name,)))
    forecast.make(services, run_id, 1, data_of(tmp_path), tmp_path / "forecast")
    found = stored(services, run_id)
    assert found is not None
    assert found["status"] == "failed"
    assert "always fails" in found["reason"]
    assert overview.run(services, run_id)["status"] == "done"


def test_an_interrupted_one_is_not_awaited_for_ever(start: Start) -> None:
    services, run_id, _ = start()
    began = now() - timedelta(minutes=10)
    with services.database.write() as session:
        session.get_one(Run, run_id).forecast = {"status": "running", "started_at": began.isoformat()}
    found = stored(services, run_id)
    assert found is not None
    assert (found["status"], found["reason"]) == ("failed", "The forecast was interrupted.")


def test_a_run_opens_its_vote_before_it_forecasts(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole job: the vote stands when the first of the forecast's trainings begins."""
    services, old, _ = start()
    with services.database.write() as session:
        snapshot_id = session.get_one(Run, old).snapshot_id
        session.execute(delete(Candidate))
        run = Run(
            project_id=1, trigger="person", requested_by="me", kind="box", classes=CLASSES, snapshot_id=snapshot_id
        )
        session.add(run)
        session.flush()
        run_id = run.id
    for number in range(100, 106):
        mirror(World(services, Bell(), House()), number, touched=False)
    states: list[Any] = []
    real = forecast.make

    def make(*args: Any) -> None:
        states.append(overview.project(services, 1)["selection"]["status"])
        real(*args)

    monkeypatch.setattr(forecast, "make", make)
    train(services, run_id, 1)
    assert states == ["open"]
    found = stored(services, run_id)
    assert found is not None
    assert found["status"] == "done", found
    assert overview.run(services, run_id)["data_report"]["labels"] == 16
    assert not any((services.settings.state_dir / "work").iterdir())
