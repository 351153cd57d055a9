"""A model that nobody chose serves as soon as there is one, and until somebody chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from run_world import make_run

from custom_ai.pipeline import inbox, overview
from custom_ai.pipeline.provisional import serve_best
from custom_ai.pipeline.results import result
from custom_ai.pipeline.train import train
from custom_ai.pipeline.vote import champion, close, promote
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Selection
from custom_ai.training.contract import Recipe, TrainContext, Trained, TrainSet
from fake_trainer import FakeTrainer


class Watcher(FakeTrainer):
    """Notes who serves the project whenever a training begins."""

    services: Services
    serving: list[str | None]

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        shown = overview.project(self.services, 1)["champion"]
        self.serving.append(None if shown is None else shown["version"])
        return super().train(recipe, data, context)


def run_once(folder: Path, failing: Sequence[str] = ()) -> tuple[Services, int, Watcher]:
    services, run_id = make_run(folder)
    watcher = Watcher(tuple(failing))
    watcher.serving = []
    watcher.services = replace(services, trainer=lambda name: watcher)
    return watcher.services, run_id, watcher


def events(services: Services) -> list[str]:
    return [one["event"] for one in reversed(inbox.of_project(services, 1))]


def test_the_first_candidate_serves_while_the_others_are_trained(tmp_path: Path) -> None:
    services, run_id, watcher = run_once(tmp_path)
    train(services, run_id, 1)
    first = overview.run(services, run_id)["candidates"][0]
    trainings = len(watcher.serving) // 4  # a candidate and its siblings
    assert watcher.serving == [None] * trainings + [first["version"]] * (3 * trainings)
    assert events(services) == ["run_started", "first_model", "run_done"]
    assert ("apply_champion", (1,)) in services.bell.rung  # type: ignore[attr-defined]
    assert overview.project(services, 1)["champion_is_provisional"]


def test_a_candidate_that_failed_does_not_serve(tmp_path: Path) -> None:
    services, run_id, _ = run_once(tmp_path, failing=("mixed",))
    train(services, run_id, 1)
    shown = overview.project(services, 1)["champion"]
    assert shown["version"] == overview.run(services, run_id)["candidates"][1]["version"]


@pytest.mark.parametrize(("scores", "best"), [((0.5, 0.7, 0.6, None), 1), ((0.7, 0.7, 0.6, 0.1), 0)])
def test_until_the_vote_is_closed_the_best_score_serves(
    tmp_path: Path, scores: tuple[float | None, ...], best: int
) -> None:
    services, run_id, _ = run_once(tmp_path)
    train(services, run_id, 1)
    with services.database.write() as session:
        rows = session.query(Candidate).order_by(Candidate.place).all()
        for row, score in zip(rows, scores, strict=True):
            row.map50 = score
        assert serve_best(session, 1, rows) == (best != 0)
        serving = champion(session, 1)
        assert serving is not None
        assert serving.place == best


def test_what_people_chose_is_left_alone(tmp_path: Path) -> None:
    services, run_id, _ = run_once(tmp_path)
    train(services, run_id, 1)
    with services.database.write() as session:
        chosen = session.query(Candidate).filter_by(place=3).one()
        promote(session, chosen, by="ann", how="person")
        assert not serve_best(session, 1, session.query(Candidate).all())
    assert overview.project(services, 1)["champion"]["version"] == chosen.version
    assert not overview.project(services, 1)["champion_is_provisional"]


def test_the_result_of_the_vote_tells_of_peoples_decisions_only(tmp_path: Path) -> None:
    services, run_id, _ = run_once(tmp_path)
    train(services, run_id, 1)
    with services.database.read() as session:
        selection = session.query(Selection).one()
    close(services, selection.id, by="system", at_deadline=True)
    assert [one["how"] for one in result(services, selection.id)["decisions"]] == ["vote"]
