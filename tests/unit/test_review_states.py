"""How far people have come with the pre-labels, and what waits for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from review_world import ReviewWorld, make_review_world
from sqlalchemy.orm import Session

from custom_ai.pipeline import inbox, overview
from custom_ai.pipeline.connect import change_project
from custom_ai.pipeline.review_states import ReviewDue, job_states, project_states, tell_due
from custom_ai.pipeline.train import request_run
from custom_ai.state.tables import AutoLabelJob, Candidate, Project, Review, Task, now


@pytest.fixture
def world(tmp_path: Path) -> ReviewWorld:
    return make_review_world(tmp_path)


def submit(session: Session, model: Candidate, task: int, *, moved: int = 0, seen: bool = True) -> None:
    row = session.get_one(Task, (1, task))
    row.touched, row.annotation_id, row.boxes = True, 100 + task, [["cat", 0.1, 0.1, 0.4, 0.4, False]] * 9
    if seen:
        session.add(
            Review(
                project_id=1,
                candidate_id=model.id,
                task_id=task,
                annotation_id=100 + task,
                at=now(),
                accepted=1,
                moved=moved,
                relabelled=0,
                removed=0,
                added=0,
                iou_sum=1.0,
            )
        )


def test_every_task_is_in_one_state(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {task: [0.9] for task in (1, 2, 3, 4, 5)})
    with world.services.database.write() as session:
        submit(session, model, 1)
        submit(session, model, 2, moved=1)
        submit(session, model, 3, seen=False)  # e.g. skipped
        submit(session, model, 6, seen=False)
        session.delete(session.get_one(Task, (1, 5)))
    with world.services.database.read() as session:
        states = project_states(session, 1)
        of_job = job_states(session, session.get_one(AutoLabelJob, job.id))
    assert states == {"untouched": 2, "pre_labelled": 1, "accepted": 1, "corrected": 1, "other": 2, "total": 7}
    assert of_job == {
        "untouched": 0, "pre_labelled": 1, "accepted": 1, "corrected": 1, "other": 1, "gone": 1, "total": 5,
    }  # fmt: skip
    assert overview.project(world.services, 1)["review"] == states


def test_an_annotation_that_was_replaced_counts_as_it_is_now(world: ReviewWorld) -> None:
    old, new = world.model(), world.model()
    world.job(old, {1: [0.9]})
    with world.services.database.write() as session:
        submit(session, old, 1, moved=2)
        session.get_one(Task, (1, 1)).annotation_id = 555  # drawn anew, without a pre-label
    with world.services.database.read() as session:
        assert project_states(session, 1)["other"] == 1
    world.job(new, {1: [0.9]})
    with world.services.database.write() as session:
        session.get_one(Task, (1, 1)).annotation_id = 101
        session.merge(_review_by(new))
    with world.services.database.read() as session:
        states = project_states(session, 1)
    assert (states["corrected"], states["accepted"], states["total"]) == (1, 0, 8)


def _review_by(model: Candidate) -> Review:
    counts = {"accepted": 1, "moved": 0, "relabelled": 0, "removed": 0, "added": 0}
    return Review(project_id=1, candidate_id=model.id, task_id=1, annotation_id=101, at=now(), iou_sum=1.0, **counts)


def test_the_next_run_waits_for_the_review_when_the_project_wishes_so(world: ReviewWorld) -> None:
    model = world.model()
    world.job(model, {1: [0.9], 2: [0.9]})
    with world.services.database.write() as session:
        for task in (5, 6, 7, 8):
            submit(session, model, task, seen=False)
        session.get_one(Project, 1).labels_per_class = 2
        session.get_one(Project, 1).chosen_classes = ["cat"]
        session.get_one(Project, 1).label_counts = {"cat": 36}
    change_project(world.services, 1, by="ann", finish_review=True)
    with pytest.raises(ReviewDue, match="2 pre-labelled images") as caught:
        request_run(world.services, 1, by="ann", trigger="person")
    assert (caught.value.code, caught.value.status) == ("review_due", 409)
    with world.services.database.write() as session:
        for task in (1, 2):
            submit(session, model, task)
    assert request_run(world.services, 1, by="ann", trigger="person") == 2


def test_a_due_review_is_told_once_a_job(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {1: [0.9], 2: [0.9]})
    with world.services.database.write() as session:
        tell_due(session, job, 2)
    (told,) = inbox.of_project(world.services, 1)
    assert (told["event"], told["kind"]) == ("review_due", "auto_label")
    assert told["text"].startswith("2 pre-labelled images")
    more = world.job(model, {3: [0.9]})
    more.trigger = "import"
    with world.services.database.write() as session:
        tell_due(session, more, 1)  # two still wait since before: nothing new to say
        tell_due(session, job, 0)
    assert len(inbox.of_project(world.services, 1)) == 1
