"""The review of pre-labels on a real Label Studio: its states, its order, roll-back, thresholds, imports by program."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from seeded import Seeded, picture
from stack import Stack, eventually

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.pipeline import overview, review_order, revisions
from custom_ai.pipeline.label import request_auto_label
from custom_ai.pipeline.review_states import ReviewDue, job_states
from custom_ai.pipeline.task_import import File, import_tasks
from custom_ai.state.tables import AutoLabelJob, Project, Revision, Task

pytestmark = pytest.mark.flow
log = logging.getLogger(__name__)
IMAGES = 8


@pytest.fixture
def seeded(label_studio: LabelStudioServer, tmp_path: Path) -> Iterator[Seeded]:
    made = Seeded(label_studio, tmp_path, IMAGES)
    yield made
    made.studio.delete_project(made.project_id)
    made.close()


def revise(seeded: Seeded, revision_id: int) -> Revision:
    revisions.revise(seeded.services, revision_id, 1)
    with seeded.services.database.read() as session:
        row = session.get_one(Revision, revision_id)
    assert row.status == "done", row.reason
    return row


def mirrored(seeded: Seeded) -> list[str | None]:
    with seeded.services.database.read() as session:
        return [session.get_one(Task, (seeded.project_id, task)).predicted_version for task in seeded.tasks]


def test_roll_back_and_another_threshold(seeded: Seeded) -> None:
    a, b, c, d, *rest = seeded.tasks
    old = seeded.model(0.8)
    seeded.label(count=2)  # a, b
    new = seeded.model(0.9)
    job = seeded.label(count=4)  # a, b, c, d
    assert seeded.versions([a, b, c, d]) == [[old.version, new.version]] * 2 + [[new.version]] * 2
    assert seeded.studio.project(seeded.project_id).model_version == new.version
    seeded.submit(b)
    seeded.submit(d, change=True)
    before = {task: one["annotations"] for task, one in seeded.in_label_studio().items()}
    seeded.look()

    row = revise(seeded, revisions.request_roll_back(seeded.services, job, by="ann"))
    assert (row.changed, row.kept) == (2, 2)
    assert seeded.versions([a, b, c, d]) == [[old.version], [old.version, new.version], [], [new.version]]
    assert {task: one["annotations"] for task, one in seeded.in_label_studio().items()} == before
    assert all(one[0]["parent_prediction"] for task, one in before.items() if task in (b, d))
    assert seeded.studio.project(seeded.project_id).model_version == old.version
    assert mirrored(seeded) == [old.version, new.version, None, new.version, *[None] * len(rest)]
    # Nothing is said of Label Studio's own total_predictions: 1.23 does not always count again after a deletion.
    seeded.look()
    assert mirrored(seeded)[:4] == [old.version, new.version, None, new.version]  # Label Studio says the same

    row = revise(seeded, revisions.request_threshold(seeded.services, job, 0.95, by="ann"))
    assert row.version == f"{new.version}@0.95"
    there = seeded.in_label_studio()
    assert [one["model_version"] for one in there[c]["predictions"]] == [row.version]
    assert there[c]["predictions"][0]["result"] == []
    assert seeded.studio.project(seeded.project_id).model_version == row.version
    assert seeded.versions([b, d]) == [[old.version, new.version], [new.version]]
    # What is labelled from now on stands under the same name, with the same threshold.
    seeded.label(count=1)
    (fresh,) = seeded.in_label_studio()[rest[0]]["predictions"]
    assert (fresh["model_version"], fresh["result"]) == (row.version, [])


def test_states_are_label_studios_truth(seeded: Seeded) -> None:
    model = seeded.model(0.9)
    job_id = seeded.label(count=5)
    a, b, c, *_ = seeded.tasks
    seeded.submit(a)
    seeded.submit(b, change=True)
    skip = {"result": [], "was_cancelled": True}
    seeded.studio.session.post(f"/api/tasks/{c}/annotations/", skip)
    seeded.studio.session.post(f"/api/tasks/{seeded.tasks[-1]}/annotations/", {"result": [], "lead_time": 1.0})
    seeded.look()
    truth = dict.fromkeys(("untouched", "pre_labelled", "accepted", "corrected", "other"), 0)
    for task in seeded.in_label_studio().values():
        truth[state_of(task, model.version)] += 1
    shown = overview.project(seeded.services, seeded.project_id)["review"]
    assert shown == truth | {"total": IMAGES}
    assert truth == {"untouched": 2, "pre_labelled": 2, "accepted": 1, "corrected": 1, "other": 2}
    with seeded.services.database.write() as session:
        of_job = job_states(session, session.get_one(AutoLabelJob, job_id))
        session.get_one(Project, seeded.project_id).finish_review = True
    assert (of_job["pre_labelled"], of_job["accepted"], of_job["corrected"], of_job["other"]) == (2, 1, 1, 1)
    with pytest.raises(ReviewDue, match="2 pre-labelled images"):
        request_auto_label(seeded.services, seeded.project_id, by="me")


def state_of(task: dict[str, Any], version: str) -> str:
    """What a person would say who looks at the task in Label Studio."""
    pre_labelled = any(one["model_version"] == version for one in task["predictions"])
    answers = [one for one in task["annotations"] if not one["was_cancelled"]]
    if not task["annotations"]:
        return "pre_labelled" if pre_labelled else "untouched"
    if not answers or not answers[0]["parent_prediction"]:
        return "other"
    stood = next(one for one in task["predictions"] if one["id"] == answers[0]["parent_prediction"])
    values = [[region["value"] for region in one["result"]] for one in (stood, answers[0])]
    return "accepted" if values[0] == values[1] else "corrected"


def test_the_review_tab_shows_the_most_useful_first_and_other_tabs_stay(seeded: Seeded) -> None:
    session, project_id = seeded.studio.session, seeded.project_id
    mine = session.post("/api/dm/views", {"project": project_id, "data": {"title": "Mine", "ordering": ["tasks:id"]}})
    seeded.model(0.9)
    seeded.label(count=5)
    with seeded.services.database.write() as own:
        own.get_one(Project, project_id).review_tab = True
    first = review_order.make(seeded.services, project_id, by="ann")
    assert first["tasks"] == 5
    views = session.get("/api/dm/views", {"project": project_id})
    assert [one["data"]["title"] for one in views] == ["Mine", review_order.TITLE]
    assert views[0] == mine
    listed = session.get("/api/tasks", {"view": first["tab"], "fields": "all"})
    assert {one["id"] for one in listed["tasks"]} == set(seeded.tasks[:5])
    scores = [one["predictions_score"] for one in listed["tasks"]]
    assert scores == sorted(scores)
    seeded.submit(seeded.tasks[0])
    assert session.get("/api/tasks", {"view": first["tab"]})["total"] == 4  # what is reviewed leaves the tab
    seeded.look()
    seeded.label(count=1)  # the job's end renews it
    views = session.get("/api/dm/views", {"project": project_id})
    assert [one["data"]["title"] for one in views] == ["Mine", review_order.TITLE]
    assert views[0] == mine
    assert session.get("/api/tasks", {"view": views[1]["id"]})["total"] == 5


def test_a_program_imports_tasks_with_predictions(seeded: Seeded) -> None:
    model = seeded.model(0.9)
    good = seeded.in_label_studio()[seeded.tasks[0]]["data"]["image"]
    wanted = [
        {"data": {"image": good}, "meta": {"camera": 3}},
        {"data": {"image": "http://169.254.169.254/x.jpg"}},
        {"data": {"image": good}},
    ]
    answer = import_tasks(seeded.services, seeded.project_id, wanted, [], by="ann", key="k1")
    first, foreign, third = answer["tasks"]
    there = seeded.in_label_studio()
    assert len(there) == IMAGES + 3
    assert there[first["task"]]["meta"]["camera"] == 3
    assert foreign["prediction"] is None
    assert foreign["error"]["code"] == "image_forbidden"
    for one in (first, third):
        (stored,) = there[one["task"]]["predictions"]
        assert stored["model_version"] == model.version == answer["version"]
        assert [region["value"] for region in stored["result"]] == [
            region["value"] for region in one["prediction"]["result"]
        ]
    assert there[foreign["task"]]["predictions"] == []
    again = import_tasks(seeded.services, seeded.project_id, wanted, [], by="ann", key="k1")
    assert again == answer
    files = [File(f"Día {number}.JPG", picture(number)) for number in range(3)]
    uploaded = import_tasks(seeded.services, seeded.project_id, [], files, by="ann", key="k2")["tasks"]
    there = seeded.in_label_studio()
    assert len(there) == IMAGES + 6
    for number, one in enumerate(uploaded):
        assert f"{number}-" in there[one["task"]]["data"]["image"].rpartition("D")[2]
        assert len(there[one["task"]]["predictions"]) == 1
        image = seeded.studio.session
        with image.stream(there[one["task"]]["data"]["image"]) as response:
            assert response.read() == files[number].content
    seeded.look()
    with seeded.services.database.read() as session:
        row = session.get_one(Task, (seeded.project_id, first["task"]))
        assert row.predicted_version == model.version


def test_new_imports_are_pre_labelled_within_seconds(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    """By webhook with the default debounce; without any webhook the tick finds them."""
    made = Seeded(label_studio, tmp_path / "state", 1)
    version = made.model(0.9).version
    stack = Stack(label_studio, tmp_path / "state", debounce_s=2.0, tick_s=3)
    took = {}
    try:
        stack.start()
        stack.ask("POST", f"/projects/{made.project_id}/connect")
        stack.ask("PATCH", f"/projects/{made.project_id}", {"auto_label": True})
        for way in ("webhook", "tick"):
            if way == "tick":
                for hook in made.studio.webhooks(made.project_id):
                    made.studio.delete_webhook(hook.id)
            started = time.monotonic()
            (task,) = made.studio.upload_images(made.project_id, [(f"{way}.jpg", picture(7))])

            def labelled(task: int = task) -> bool:
                rows = made.studio.session.get("/api/predictions/", {"task": task})
                return [one["model_version"] for one in rows] == [version]

            eventually(labelled, 60, f"the import found by {way} is pre-labelled")
            took[way] = time.monotonic() - started
        body = [{"data": {"image": made.in_label_studio()[made.tasks[0]]["data"]["image"]}}]
        answer = stack.ask("POST", f"/projects/{made.project_id}/tasks", body)
        assert answer["tasks"][0]["prediction"]["model_version"] == version
        form = httpx.post(
            f"{stack.url}/api/projects/{made.project_id}/tasks",
            headers={"Authorization": f"Bearer {stack.token}", "Idempotency-Key": "one"},
            files=[("file", ("a.jpg", picture(1))), ("file", ("b.jpg", picture(2)))],
            timeout=60,
        )
        assert form.status_code == 201, form.text
        assert len(form.json()["tasks"]) == 2
        error = stack.ask("POST", f"/projects/{made.project_id}/tasks", [{"url": "x"}], expect=400)["error"]
        assert "tasks[0]" in error["message"]
    finally:
        stack.close()
        made.close()
    log.info("seconds from import to prediction: %s", {way: round(seconds, 1) for way, seconds in took.items()})
    assert took["webhook"] < 15, took
    assert took["tick"] < 25, took
