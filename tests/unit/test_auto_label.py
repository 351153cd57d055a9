"""Auto-labelling: chunks that any number of workers take, killed anywhere, pause, doubt, totals that add up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from label_world import SCORE, make_labelling, picture
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from custom_ai.errors import BadInput, Conflict, LabelStudioMissing
from custom_ai.pipeline import chunks, overview, turn
from custom_ai.pipeline.auto_label import auto_label, look_after
from custom_ai.pipeline.doubts import asked_for
from custom_ai.pipeline.found import found_of
from custom_ai.pipeline.label import cancel_job, pause_job, request_auto_label, resume_job, retry_job
from custom_ai.pipeline.pulse import Fenced
from custom_ai.pipeline.which_tasks import Which
from custom_ai.policy import MAX_CRASHES
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelChunk, AutoLabelItem, AutoLabelJob, Task, now
from stand_in import StandIn, standing_in
from support import WritingBell

VERSION = "p1-m1"
TASKS = range(1, 261)


@pytest.fixture
def studio() -> Iterator[StandIn]:
    with standing_in(StandIn(TASKS, picture())) as state:
        yield state


@pytest.fixture
def services(tmp_path: Path, studio: StandIn) -> Iterator[Services]:
    made = make_labelling(tmp_path, studio.url, TASKS)
    yield made
    made.label_studio.session.close()
    made.database.dispose()


def shown(services: Services, job_id: int) -> dict[str, Any]:
    return overview.job(services, job_id)


def rung(services: Services) -> list[tuple[int, ...]]:
    assert isinstance(services.bell, WritingBell)
    return [ids for job, ids in services.bell.rung if job == "auto_label"]


def lose(services: Services) -> None:
    """Let time pass, as it seems to the tick."""
    with services.database.write() as session:
        session.execute(update(AutoLabelChunk).values(heartbeat_at=now() - timedelta(hours=1)))


def test_every_task_gets_one_prediction_and_what_was_found_is_kept(services: Services, studio: StandIn) -> None:
    job_id = request_auto_label(services, 1, by="me")
    auto_label(services, job_id, 1)
    job = shown(services, job_id)
    assert (job["status"], job["tasks"]["done"], job["tasks"]["total"]) == ("done", len(TASKS), len(TASKS))
    assert studio.versions() == {task: [VERSION] for task in TASKS}
    assert studio.asked == 0  # asking costs, and nothing was in doubt
    assert sum(studio.pushes) == len(TASKS)
    with services.database.read() as session:
        row = session.get_one(AutoLabelJob, job_id)
        assert session.scalar(select(Task.predicted_version).where(Task.task_id == 7)) == VERSION
    kept = found_of(services, row, [1, 150, 260, 999])
    assert sorted(kept) == [1, 150, 260]
    (box,) = kept[150]
    assert (box.label, box.score) == ("cat", SCORE)


def test_a_high_threshold_pushes_nothing_but_keeps_what_was_found(services: Services) -> None:
    job_id = request_auto_label(services, 1, by="me", count=3, threshold=0.9)
    auto_label(services, job_id, 1)
    with services.database.read() as session:
        row = session.get_one(AutoLabelJob, job_id)
        assert list(session.scalars(select(AutoLabelItem.boxes))) == [0, 0, 0]
    assert [len(boxes) for boxes in found_of(services, row, [1, 2, 3]).values()] == [1, 1, 1]


def test_killed_anywhere_every_task_ends_with_one_prediction(
    services: Services, studio: StandIn, tmp_path: Path
) -> None:
    job_id = request_auto_label(services, 1, by="me")
    killed = ["downloading", "before the push", "after the push", "asking what has arrived"]
    for number, where in enumerate(killed, 1):
        program = [sys.executable, str(Path(__file__).with_name("label_world.py")), str(tmp_path), studio.url]
        paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        ended = subprocess.run(
            [*program, str(job_id), str(number), where], env=os.environ | {"PYTHONPATH": paths}, timeout=60
        )
        assert ended.returncode == -9, where
        counts = shown(services, job_id)["tasks"]
        assert sum(counts[one] for one in ("waiting", "done", "failed", "skipped")) == counts["total"] == len(TASKS)
        lose(services)
        look_after(services, job_id)
    assert len(rung(services)) == 1 + len(killed)
    auto_label(services, job_id, 9)
    assert shown(services, job_id)["status"] == "done"
    assert shown(services, job_id)["tasks"]["done"] == len(TASKS)
    assert studio.versions() == {task: [VERSION] for task in TASKS}


def test_workers_share_a_job(services: Services, studio: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 20)
    job_id = request_auto_label(services, 1, by="me")
    workers = [threading.Thread(target=auto_label, args=(services, job_id, number)) for number in (1, 2, 3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert shown(services, job_id)["status"] == "done"
    assert studio.versions() == {task: [VERSION] for task in TASKS}


def test_who_was_taken_for_dead_writes_nothing(services: Services) -> None:
    job_id = request_auto_label(services, 1, by="me")
    with services.database.write() as session:
        old = chunks.claim(session, job_id, "old")
    lose(services)
    look_after(services, job_id)
    with services.database.write() as session:
        new = chunks.claim(session, job_id, "new")
    assert old is not None and new is not None
    assert (new.number, new.attempt) == (old.number, old.attempt + 1)
    with pytest.raises(Fenced), services.database.write() as session:
        chunks.finish(session, old)
    with services.database.write() as session:
        chunks.finish(session, new)


def test_a_lost_answer_leaves_no_second_prediction(services: Services, studio: StandIn) -> None:
    studio.lost_answers = 1
    job_id = request_auto_label(services, 1, by="me")
    auto_label(services, job_id, 1)
    assert shown(services, job_id)["status"] == "done"
    assert studio.versions() == {task: [VERSION] for task in TASKS}


def test_second_predictions_of_tasks_in_doubt_are_removed(services: Services, studio: StandIn) -> None:
    """Somebody opens tasks while the job runs: Label Studio stores our answer to /predict, before or after our push."""
    job_id = request_auto_label(services, 1, by="me")
    asked_for(services, 1, VERSION, [5, 6])
    asked_for(services, 1, "p1-m99", [7])
    studio.push([{"task": 5, "model_version": VERSION}])
    real = studio.push

    def late(rows: list[dict[str, Any]]) -> int:
        real([{"task": 6, "model_version": VERSION}])
        studio.push = real  # type: ignore[method-assign]
        return real(rows)

    studio.push = late  # type: ignore[method-assign]
    auto_label(services, job_id, 1)
    assert shown(services, job_id)["status"] == "done"
    assert studio.versions() == {task: [VERSION] for task in TASKS}


def test_label_studio_away_only_delays(services: Services, studio: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = request_auto_label(services, 1, by="me")
    monkeypatch.setattr(turn, "PUSH_EVERY_S", 0.0)
    real = studio.push

    def then_down(rows: list[dict[str, Any]]) -> int:
        studio.down = True
        return real(rows)

    studio.push = then_down  # type: ignore[method-assign]
    auto_label(services, job_id, 1)
    job = shown(services, job_id)
    assert job["status"] == "queued"
    assert "does not answer" in job["reason"]
    assert job["tasks"]["total"] == len(TASKS)
    studio.down, studio.push = False, real  # type: ignore[method-assign]
    look_after(services, job_id)
    auto_label(services, *rung(services)[-1])
    assert shown(services, job_id)["status"] == "done"
    assert studio.versions() == {task: [VERSION] for task in TASKS}


def test_a_database_that_is_away_only_delays(
    services: Services, studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = request_auto_label(services, 1, by="me")

    def away(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("the connection is lost"))

    with monkeypatch.context() as patched:
        patched.setattr(chunks, "finish", away)
        auto_label(services, job_id, 1)
    assert shown(services, job_id)["status"] == "running"
    lose(services)
    look_after(services, job_id)
    auto_label(services, *rung(services)[-1])
    assert shown(services, job_id)["status"] == "done"
    assert studio.versions() == {task: [VERSION] for task in TASKS}


def test_pause_resume_cancel(services: Services, studio: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_ai.pipeline.claims.BEAT_S", 0.02)
    monkeypatch.setattr(turn, "PUSH_EVERY_S", 0.0)
    job_id = request_auto_label(services, 1, by="me")
    with interrupted(studio, lambda: pause_job(services, job_id, by="me")):
        auto_label(services, job_id, 1)
    job = shown(services, job_id)
    assert job["status"] == "paused"
    assert 0 < job["tasks"]["done"] < len(TASKS)
    look_after(services, job_id)
    auto_label(services, job_id, 2)
    assert shown(services, job_id)["tasks"] == job["tasks"]  # paused is paused
    with pytest.raises(Conflict, match="under way"):
        request_auto_label(services, 1, by="me")
    assert resume_job(services, job_id, by="me") == "queued"
    with interrupted(studio, lambda: cancel_job(services, job_id, by="me")):
        auto_label(services, *rung(services)[-1])
    job = shown(services, job_id)
    assert job["status"] == "cancelled"
    assert all(found == [VERSION] for found in studio.versions().values())
    assert len(studio.versions()) == job["tasks"]["done"]
    with pytest.raises(Conflict, match="has ended"):
        pause_job(services, job_id, by="me")


class interrupted:
    """After the first push, do something and give the sign of life time to notice it."""

    def __init__(self, studio: StandIn, act: Callable[[], object]) -> None:
        self.studio, self.act, self.real = studio, act, studio.push

    def __enter__(self) -> None:
        def push(rows: list[dict[str, Any]]) -> int:
            made = self.real(rows)
            self.studio.push = self.real  # type: ignore[method-assign]
            self.act()
            threading.Event().wait(0.2)
            return made

        self.studio.push = push  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self.studio.push = self.real  # type: ignore[method-assign]


def test_images_that_failed_are_listed_and_tried_again(services: Services, studio: StandIn) -> None:
    studio.broken = {3, 4, 200}
    job_id = request_auto_label(services, 1, by="me")
    auto_label(services, job_id, 1)
    assert shown(services, job_id)["tasks"]["failed"] == 3
    assert [one["task"] for one in overview.failed_items(services, job_id)] == [3, 4, 200]
    assert "no such file" in overview.failed_items(services, job_id)[0]["reason"]
    studio.broken = {4}
    assert retry_job(services, job_id, by="me") == 3
    auto_label(services, *rung(services)[-1])
    job = shown(services, job_id)
    assert (job["status"], job["tasks"]["done"], job["tasks"]["failed"]) == ("done", len(TASKS) - 1, 1)
    assert studio.versions() == {task: [VERSION] for task in TASKS if task != 4}
    with services.database.read() as session:
        assert len(found_of(services, session.get_one(AutoLabelJob, job_id), TASKS)) == len(TASKS) - 1


def test_a_chunk_that_ends_processes_is_halved_until_the_image_is_found(services: Services) -> None:
    job_id = request_auto_label(services, 1, by="me", count=9)
    poison = 5
    for _ in range(30):
        with services.database.write() as session:
            mine = chunks.claim(session, job_id, "worker")
            if mine is None:
                break
            tasks = [task for task, *_ in chunks.waiting_tasks(session, mine, 1)]
            if poison not in tasks:
                chunks.note(session, job_id, {task: {"status": "done"} for task in tasks})
                chunks.finish(session, mine)
        lose(services)
        look_after(services, job_id)
    job = shown(services, job_id)
    assert (job["status"], job["tasks"]["done"], job["tasks"]["failed"]) == ("done", 8, 1)
    (failure,) = overview.failed_items(services, job_id)
    assert failure["task"] == poison
    assert f"died {MAX_CRASHES} times" in failure["reason"]


def test_the_tick_calls_for_workers_that_are_missing(services: Services) -> None:
    job_id = request_auto_label(services, 1, by="me")
    assert rung(services) == [(job_id, 1)]
    look_after(services, job_id)
    assert rung(services) == [(job_id, 1)]  # it waits in the queue
    with services.database.write() as session:
        session.execute(update(AutoLabelJob).values(status="running"))
        assert chunks.claim(session, job_id, "worker") is not None
    look_after(services, job_id)
    assert rung(services) == [(job_id, 1)]  # it is at work
    lose(services)
    look_after(services, job_id)
    assert rung(services) == [(job_id, 1), (job_id, 2)]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (Which(tasks=[5, 9, 11]), [5, 9, 11]),
        (Which(tasks=[5, 9, 11], status="labelled"), [9]),
        (Which(status="all", count=2), [1, 2]),
        (Which(status="new", count=3), [1, 3, 4]),
        (Which(view=4), [1, 2, 3, 4]),
        (Which(view=12, status="labelled"), [9]),
    ],
)
def test_which_tasks(services: Services, studio: StandIn, which: Which, expected: list[int]) -> None:
    with services.database.write() as session:
        session.execute(update(Task).where(Task.task_id == 9).values(touched=True))
        session.execute(update(Task).where(Task.task_id == 2).values(predicted_version="p1-m0"))
    if which == Which(tasks=[5, 9, 11]):
        expected = [5, 11]  # a person came first
    job_id = request_auto_label(services, 1, by="me", which=which)
    auto_label(services, job_id, 1)
    assert shown(services, job_id)["status"] == "done"
    assert sorted(studio.versions()) == expected


def test_wrong_choices_are_refused(services: Services, studio: StandIn) -> None:
    with pytest.raises(BadInput, match="tasks 998, 999"):
        request_auto_label(services, 1, by="me", which=Which(tasks=[1, 998, 999]))
    with pytest.raises(BadInput, match="expected untouched"):
        Which(status="everything")
    with pytest.raises(BadInput, match="blur"):
        request_auto_label(services, 1, by="me", prepare=[{"name": "blur"}])
    studio.answer = lambda *_: (404, b"{}")  # type: ignore[method-assign]
    with pytest.raises(LabelStudioMissing, match="view 3"):
        request_auto_label(services, 1, by="me", which=Which(view=3))
