"""The story's bookkeeping: who may start what, what is lost and found, who wins."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from custom_ai.errors import BadInput, Conflict, NotFound, NotReady
from custom_ai.pipeline import inbox, overview
from custom_ai.pipeline.auto_label import auto_label
from custom_ai.pipeline.connect import change_project
from custom_ai.pipeline.label import label_new_tasks, request_auto_label
from custom_ai.pipeline.label_counts import job_counts
from custom_ai.pipeline.tick import tick
from custom_ai.pipeline.train import cancel_run, request_run, train
from custom_ai.pipeline.vote import open_selection, promote
from custom_ai.policy import MAX_CRASHES
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.tables import (
    AutoLabelJob,
    Candidate,
    Project,
    Run,
    SelectionImage,
    Task,
    now,
)
from support import WritingBell, services_in

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/><Label value="dog"/></RectangleLabels></View>'
)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    made = services_in(tmp_path)
    with made.database.write() as session:
        session.add(
            Project(
                id=1,
                title="Pets",
                label_config=CONFIG,
                available_classes=["cat", "dog"],
                labels_per_class=2,
                connected_at=now(),
            )
        )
        session.flush()
        for number in range(1, 9):
            boxes = [["cat", 0.1, 0.1, 0.3, 0.3, False], ["dog", 0.5, 0.5, 0.7, 0.7, False]]
            session.add(
                Task(
                    project_id=1,
                    task_id=number,
                    image=f"/data/upload/1/{number}.jpg",
                    touched=number <= 4,
                    boxes=boxes if number <= 4 else None,
                    updated_at="2026-01-01T00:00:00Z",
                )
            )
    return made


def rung(services: Services) -> list[tuple[str, tuple[int, ...]]]:
    assert isinstance(services.bell, WritingBell)
    return services.bell.rung


def done_run(services: Services, scores: tuple[float, ...] = (0.5, 0.7, 0.7, 0.1)) -> tuple[int, list[int]]:
    """A finished run with trained candidates; returns its id and theirs."""
    with services.database.write() as session:
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done")
        session.add(run)
        session.flush()
        rows = [
            Candidate(
                run_id=run.id,
                project_id=1,
                place=place,
                title="x",
                recipe={},
                classes=["cat"],
                status="done",
                map50=score,
            )
            for place, score in enumerate(scores)
        ]
        session.add_all(rows)
        session.flush()
        return run.id, [row.id for row in rows]


def open_vote(services: Services, images: int = 15) -> tuple[int, list[int]]:
    run_id, ids = done_run(services)
    with services.database.write() as session:
        rows = [
            SelectionImage(
                task_id=number,
                sha256="0" * 64,
                width=10,
                height=10,
                disagreement=1.0,
                predictions={str(i): [] for i in ids},
            )
            for number in range(images)
        ]
        candidates = [session.get_one(Candidate, one) for one in ids]
        selection = open_selection(session, session.get_one(Run, run_id), candidates, rows)
        return selection.id, ids


# Starting a run


def test_a_run_is_asked_for_once(services: Services) -> None:
    run_id = request_run(services, 1, by="me", trigger="person")
    assert rung(services) == [("train", (run_id, 1))]
    with pytest.raises(Conflict, match="under way already"):
        request_run(services, 1, by="you", trigger="person")
    assert cancel_run(services, run_id, by="me") == "cancelled"
    request_run(services, 1, by="you", trigger="person")


def test_what_is_missing_is_said(services: Services) -> None:
    change_project(services, 1, by="me", labels_per_class=5)
    with pytest.raises(NotReady, match="cat 4/5, dog 4/5"):
        request_run(services, 1, by="me", trigger="person")


@pytest.mark.parametrize(
    ("project_id", "classes", "error"),
    [(2, None, "project 2"), (1, ["cow"], "class cow")],
)
def test_unknown_things_are_named(services: Services, project_id: int, classes: list[str] | None, error: str) -> None:
    with pytest.raises(NotFound, match=error):
        request_run(services, project_id, by="me", trigger="person", classes=classes)


def test_a_new_run_closes_an_open_vote_and_says_so(services: Services) -> None:
    selection_id, _ = open_vote(services)
    request_run(services, 1, by="me", trigger="person")
    assert overview.selection(services, selection_id)["status"] == "cancelled"
    assert inbox.of_project(services, 1)[0]["event"] == "selection_cancelled"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auto_train", "yes"),
        ("labels_per_class", 0),
        ("labels_per_class", True),
        ("chosen_classes", ["cow"]),
        ("chosen_classes", []),
        ("title", "x"),
    ],
)
def test_impossible_settings_are_refused_by_name(services: Services, name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=name):
        change_project(services, 1, by="me", **{name: value})


# Lost and found


def test_a_run_waits_for_a_label_studio_that_is_away(services: Services) -> None:
    """Nothing listens at this Label Studio's address."""
    run_id = request_run(services, 1, by="me", trigger="person")
    train(services, run_id, 1)
    run = overview.run(services, run_id)
    assert run["status"] == "queued"
    assert "does not answer" in run["reason"]
    rung(services).clear()
    tick(services)
    assert ("train", (run_id, 2)) in rung(services)


def test_a_second_bell_for_the_same_attempt_is_ignored(services: Services) -> None:
    run_id = request_run(services, 1, by="me", trigger="person")
    train(services, run_id, 1)
    train(services, run_id, 1)
    with services.database.read() as session:
        assert session.get_one(Run, run_id).attempt == 2


def test_a_run_whose_process_died_is_started_again_and_given_up_in_the_end(services: Services) -> None:
    run_id = request_run(services, 1, by="me", trigger="person")
    for attempt in range(1, MAX_CRASHES + 1):
        with services.database.write() as session:
            assert work.begin(session, Run, run_id, attempt)
            session.execute(update(Run).values(heartbeat_at=now() - timedelta(hours=1)))
        tick(services)
    run = overview.run(services, run_id)
    assert run["status"] == "failed"
    assert "died 3 times" in run["reason"]
    assert inbox.of_project(services, 1)[0]["failure"]


def test_a_cancelled_run_whose_process_died_is_not_started_again(services: Services) -> None:
    run_id = request_run(services, 1, by="me", trigger="person")
    with services.database.write() as session:
        work.begin(session, Run, run_id, 1)
        session.execute(update(Run).values(heartbeat_at=now() - timedelta(hours=1)))
    cancel_run(services, run_id, by="me")
    tick(services)
    assert overview.run(services, run_id)["status"] == "cancelled"


def test_a_requested_look_that_got_lost_is_asked_for_again(services: Services) -> None:
    with services.database.write() as session:
        session.get_one(Project, 1).look_requested_at = now() - timedelta(hours=1)
    tick(services)
    assert ("reconcile", (1,)) in rung(services)
    with services.database.read() as session:
        assert session.get_one(Project, 1).look_requested_at is None


# Auto-labelling


def with_champion(services: Services) -> Candidate:
    _, ids = done_run(services)
    with services.database.write() as session:
        candidate = session.get_one(Candidate, ids[0])
        promote(session, candidate, by="me", how="person")
        return candidate


def test_without_a_model_nothing_is_labelled(services: Services) -> None:
    with pytest.raises(Conflict, match="no model serves"):
        request_auto_label(services, 1, by="me")


@pytest.mark.parametrize("values", [{"count": 0}, {"threshold": 1.5}, {"threshold": -0.1}])
def test_impossible_requests(services: Services, values: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        request_auto_label(services, 1, by="me", **values)


def test_only_untouched_tasks_are_taken_and_the_counts_add_up(services: Services) -> None:
    with_champion(services)
    job_id = request_auto_label(services, 1, by="me", count=3)
    with services.database.read() as session:
        assert job_counts(session, job_id) == {"waiting": 3, "done": 0, "failed": 0, "skipped": 0, "total": 3}
    assert rung(services)[-1] == ("auto_label", (job_id, 1))
    with pytest.raises(Conflict, match="under way"):
        request_auto_label(services, 1, by="me")


def test_a_job_waits_for_a_label_studio_that_is_away(services: Services) -> None:
    with_champion(services)
    job_id = request_auto_label(services, 1, by="me")
    auto_label(services, job_id, 1)
    job = overview.job(services, job_id)
    assert job["status"] == "queued"
    assert job["tasks"]["waiting"] == 4


def test_the_rule_takes_what_was_imported_after_it_was_switched_on(services: Services) -> None:
    with_champion(services)
    change_project(services, 1, by="me", auto_label=True)
    label_new_tasks(services, 1)
    assert overview.project(services, 1)["auto_label"] is None  # the four old ones wait for a person's word
    with services.database.write() as session:
        session.add(Task(project_id=1, task_id=9, image="/data/upload/1/9.jpg", touched=False, updated_at=""))
    label_new_tasks(services, 1)
    job = overview.project(services, 1)["auto_label"]
    assert (job["trigger"], job["tasks"]["total"]) == ("import", 1)
    label_new_tasks(services, 1)  # harmless while it runs
    with services.database.read() as session:
        assert len(session.scalars(select(AutoLabelJob)).all()) == 1
