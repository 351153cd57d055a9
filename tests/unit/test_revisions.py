"""Taking pre-labels back, and showing them with another threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from review_world import ReviewWorld, make_review_world
from sqlalchemy import select

from custom_ai.errors import BadInput, Conflict
from custom_ai.pipeline import inbox, revisions
from custom_ai.pipeline.label import label_new_tasks
from custom_ai.pipeline.shown_version import show
from custom_ai.pipeline.versions import in_force, model_of, named, newest
from custom_ai.pipeline.vote import promote
from custom_ai.services import Services
from custom_ai.state import work
from custom_ai.state.tables import AuditEntry, AutoLabelItem, AutoLabelJob, Candidate, Project, Revision, Task
from support import WritingBell


@pytest.fixture
def world(tmp_path: Path) -> ReviewWorld:
    return make_review_world(tmp_path)


def do(services: Services, revision_id: int, attempt: int = 1) -> Revision:
    revisions.revise(services, revision_id, attempt)
    with services.database.read() as session:
        return session.get_one(Revision, revision_id)


def live(services: Services) -> str | None:
    with services.database.read() as session:
        return session.get_one(Project, 1).live_version


def test_versions_have_exact_names(world: ReviewWorld) -> None:
    model = world.model()
    assert named(model, None) == "p1-m1"
    assert named(model, 0.4) == "p1-m1@0.40"
    for wrong in (0.405, 1.5, -0.1):
        with pytest.raises(BadInput):
            named(model, wrong)
    assert model_of("p1-m12@0.40", 1) == model_of("p1-m12", 1) == 12
    for other in ("p2-m12", "p1-m12@0.4", "p1-mx", "p11-m2", None, "p1-m1@0.40 "):
        assert model_of(other, 1) is None
    assert newest(1, ["p1-m2", "p1-m2@0.40", "p1-m1", "theirs"]) == "p1-m2@0.40"
    assert newest(1, ["p1-m2@0.40", "p1-m2"]) == "p1-m2"
    assert newest(1, ["theirs"]) is None


def test_a_job_is_taken_back_and_the_earlier_pre_labels_are_shown_again(world: ReviewWorld) -> None:
    old, studio = world.model(), world.studio
    world.job(old, {1: [0.9], 2: [0.9], 3: [0.9]})
    show(world.services, 1)
    new = world.model()
    job = world.job(new, {2: [0.8], 3: [0.8], 4: [0.8], 5: [0.8]})
    show(world.services, 1)
    assert studio.model_version == new.version
    studio.annotate(3)
    before = studio.tasks[3]["annotations"][0] | {}
    row = do(world.services, revisions.request_roll_back(world.services, job.id, by="ann"))
    assert (row.status, row.changed, row.kept, row.total) == ("done", 3, 1, 4)
    assert [studio.versions(task) for task in (1, 2, 4, 5)] == [[old.version], [old.version], [], []]
    assert studio.versions(3) == [old.version, new.version], "what the annotation was made from stays"
    assert studio.tasks[3]["annotations"] == [before]
    assert [world.version_of(task) for task in (1, 2, 3, 4)] == [old.version, old.version, new.version, None]
    with world.services.database.write() as session:
        session.get_one(Task, (1, 3)).touched = True  # as the look that follows finds
    show(world.services, 1)
    assert studio.model_version == live(world.services) == old.version
    (told, *_) = inbox.of_project(world.services, 1)
    assert told["event"] == "pre_labels_roll_back"
    assert "3 images" in told["text"]
    assert told["kind"] == "auto_label"
    with world.services.database.read() as session:
        actions = session.scalars(select(AuditEntry.action).where(AuditEntry.actor == "ann")).all()
        assert session.get_one(AutoLabelJob, job.id).rolled_back_at is not None
    assert actions == ["pre_labels.roll_back"]
    with pytest.raises(Conflict, match="taken back already"):
        revisions.request_roll_back(world.services, job.id, by="ann")


def test_other_jobs_of_the_same_version_keep_theirs(world: ReviewWorld) -> None:
    model = world.model()
    first, second = world.job(model, {1: [0.9], 2: [0.9]}), world.job(model, {3: [0.9]})
    do(world.services, revisions.request_roll_back(world.services, first.id, by="ann"))
    assert [world.studio.versions(task) for task in (1, 2, 3)] == [[], [], [model.version]]
    do(world.services, revisions.request_roll_back(world.services, second.id, by="ann"))
    assert live(world.services) is None
    assert world.studio.model_version == ""


def test_a_prediction_that_came_after_the_annotation_is_nobodys_and_goes(world: ReviewWorld) -> None:
    model = world.model()
    world.studio.annotate(1)
    world.studio.tasks[2]["draft_exists"] = True
    job = world.job(model, {1: [0.9], 2: [0.9]})
    row = do(world.services, revisions.request_roll_back(world.services, job.id, by="ann"))
    assert (row.changed, row.kept) == (1, 1)
    assert (world.studio.versions(1), world.studio.versions(2)) == ([], [model.version])


@pytest.mark.parametrize("calls", range(5))
def test_killed_anywhere_a_roll_back_is_finished_by_the_next_attempt(
    tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_ai.pipeline import roll_back

    monkeypatch.setattr(roll_back, "TASKS_AT_ONCE", 2)
    world = make_review_world(tmp_path)
    old, new = world.model(), world.model()
    world.job(old, {1: [0.9], 3: [0.9]})
    job = world.job(new, {1: [0.8], 2: [0.8], 3: [0.8], 4: [0.8]})
    revision = revisions.request_roll_back(world.services, job.id, by="ann")
    world.studio.dies_at = calls
    with pytest.raises(KeyboardInterrupt):
        revisions.revise(world.services, revision, 1)
    world.studio.dies_at = None
    with world.services.database.write() as session:
        if session.get_one(Revision, revision).status == "running":
            assert work.queue_again(session, Revision, revision, 1, {"template": "", "params": {}})
    row = do(world.services, revision, 2)
    show(world.services, 1)  # as the next look does
    assert (row.status, row.changed, row.kept) == ("done", 4, 0)
    assert [world.studio.versions(task) for task in (1, 2, 3, 4)] == [[old.version], [], [old.version], []]
    assert world.studio.model_version == old.version


def test_another_threshold_needs_no_prediction_and_has_a_name_of_its_own(world: ReviewWorld) -> None:
    model, studio = world.model(), world.studio
    first = world.job(model, {1: [0.9, 0.45], 2: [0.2], 3: [0.7]})
    world.job(model, {4: [0.42]})
    show(world.services, 1)
    studio.annotate(3)
    row = do(world.services, revisions.request_threshold(world.services, first.id, 0.4, by="ann"))
    assert (row.status, row.version, row.changed, row.kept) == ("done", "p1-m1@0.40", 3, 1)
    assert [studio.versions(task) for task in (1, 2, 3, 4)] == [
        [model.version, row.version],
        [model.version, row.version],
        [model.version],
        [model.version, row.version],
    ]
    counts = [len(studio.tasks[task]["predictions"][-1]["result"]) for task in (1, 2, 4)]
    assert counts == [2, 0, 1]
    assert world.version_of(1) == row.version
    assert studio.model_version == live(world.services) == row.version
    with world.services.database.read() as session:
        assert in_force(session, model).threshold == 0.4
    with pytest.raises(Conflict, match="in force"):
        revisions.request_threshold(world.services, first.id, 0.4, by="ann")
    # And back to the model's own: nothing has to be pushed, the old version never went away.
    back = do(world.services, revisions.request_threshold(world.services, first.id, None, by="ann"))
    assert back.version == model.version
    assert studio.versions(1) == [model.version, row.version]
    assert studio.model_version == model.version


def test_a_job_that_was_taken_back_comes_back_with_another_threshold(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {1: [0.9, 0.45], 2: [0.6]})
    do(world.services, revisions.request_roll_back(world.services, job.id, by="ann"))
    row = do(world.services, revisions.request_threshold(world.services, job.id, 0.7, by="ann"))
    assert [world.studio.versions(task) for task in (1, 2)] == [[row.version], [row.version]]
    assert [len(world.studio.tasks[task]["predictions"][0]["result"]) for task in (1, 2)] == [1, 0]
    with world.services.database.read() as session:
        assert session.get_one(AutoLabelJob, job.id).rolled_back_at is None


def test_a_threshold_revision_killed_after_its_push_pushes_nothing_twice(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {1: [0.9, 0.45], 2: [0.6]})
    revision = revisions.request_threshold(world.services, job.id, 0.4, by="ann")
    world.studio.dies_at = 1  # after the push
    with pytest.raises(KeyboardInterrupt):
        revisions.revise(world.services, revision, 1)
    world.studio.dies_at = None
    with world.services.database.write() as session:
        row = session.get_one(Revision, revision)
        row.status, row.attempt, row.after, row.changed = "queued", 2, 0, 0  # as if the note had been lost, too
    row = do(world.services, revision, 2)
    assert [world.studio.versions(task).count(row.version) for task in (1, 2)] == [1, 1]
    assert (row.status, row.changed) == ("done", 2)


def test_what_cannot_be_done_is_refused(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {1: [0.9]})
    with pytest.raises(BadInput, match="two decimals"):
        revisions.request_threshold(world.services, job.id, 0.333, by="ann")
    with pytest.raises(BadInput, match="not kept"):
        revisions.request_threshold(world.services, job.id, 0.01, by="ann")
    revisions.request_roll_back(world.services, job.id, by="ann")
    with pytest.raises(Conflict, match="already"):
        revisions.request_threshold(world.services, job.id, 0.6, by="ann")
    with world.services.database.write() as session:
        session.get_one(AutoLabelJob, job.id).status = "running"
    with pytest.raises(Conflict, match="under way"):
        revisions.request_roll_back(world.services, job.id, by="ann")


def test_a_lost_revision_is_started_again_by_the_tick(world: ReviewWorld) -> None:
    from custom_ai.pipeline.tick import tick

    job = world.job(world.model(), {1: [0.9]})
    revision = revisions.request_roll_back(world.services, job.id, by="ann")
    bell: Any = world.services.bell
    assert isinstance(bell, WritingBell)
    bell.rung.clear()
    tick(world.services)
    assert ("revise", (revision, 1)) in bell.rung


def test_the_model_serves_on_with_its_threshold(world: ReviewWorld) -> None:
    model = world.model()
    with world.services.database.read() as session:
        assert in_force(session, session.get_one(Candidate, model.id)).version == model.version


def test_going_back_to_a_model_whose_pre_labels_lie_below_newer_ones(world: ReviewWorld) -> None:
    old, new = world.model(), world.model()
    world.job(old, {1: [0.9]})
    world.job(new, {1: [0.9]})
    show(world.services, 1)
    assert world.studio.model_version == new.version
    with world.services.database.write() as session:
        promote(session, session.get_one(Candidate, old.id), by="me", how="person")
    show(world.services, 1)
    assert world.studio.model_version == old.version


def test_the_rule_for_new_imports_does_not_label_again_what_was_taken_back(world: ReviewWorld) -> None:
    model = world.model()
    job = world.job(model, {1: [0.9], 2: [0.9]})
    with world.services.database.write() as session:
        session.get_one(Project, 1).auto_label = True
    revision = revisions.request_roll_back(world.services, job.id, by="ann")
    label_new_tasks(world.services, 1)  # waits for the change
    do(world.services, revision)
    label_new_tasks(world.services, 1)
    with world.services.database.read() as session:
        (new,) = session.scalars(select(AutoLabelJob).where(AutoLabelJob.trigger == "import")).all()
        tasks = session.scalars(select(AutoLabelItem.task_id).where(AutoLabelItem.job_id == new.id)).all()
    assert sorted(tasks) == [3, 4, 5, 6, 7, 8]
