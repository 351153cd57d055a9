"""Events and faults: lost, doubled and forged webhooks, a backend that is down, a killed worker."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from stack import Stack, eventually, scenes_in

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.demo.scenes import Scene
from custom_ai.pipeline.connect import SECRET_HEADER

pytestmark = pytest.mark.flow
SCENES = 8


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return scenes_in(tmp_path_factory.mktemp("scenes"), SCENES, seed=11)


@pytest.fixture
def project(stack: Stack, scenes: list[Scene]) -> Iterator[tuple[int, list[int]]]:
    """A connected project with images and no labels, which needs 3 labels per class."""
    project_id = stack.new_project(title="Events")
    ids = stack.upload(project_id, scenes)
    stack.ask("POST", f"/projects/{project_id}/connect")
    stack.ask("PATCH", f"/projects/{project_id}", {"labels_per_class": 3})
    yield project_id, ids
    stack.studio.delete_project(project_id)


def drawn(scenes: list[Scene], label: str = "mug") -> int:
    return sum(box.label == label for scene in scenes for box in scene.boxes)


def test_a_saved_annotation_is_counted_within_seconds(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]
) -> None:
    project_id, ids = project
    stack.annotate(project_id, ids[0], scenes[0])
    eventually(lambda: stack.project(project_id)["labels"]["mug"] == drawn(scenes[:1]), 15)


def test_skips_and_empty_results_count_as_seen_but_not_as_labels(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]
) -> None:
    project_id, ids = project
    stack.studio.session.post(f"/api/tasks/{ids[0]}/annotations/", {"result": [], "was_cancelled": True})
    stack.studio.session.post(f"/api/tasks/{ids[1]}/annotations/", {"result": [], "lead_time": 3.0})
    stack.annotate(project_id, ids[2], scenes[2])
    eventually(lambda: stack.project(project_id)["tasks"]["touched"] == 3, 15)
    assert stack.project(project_id)["labels"]["mug"] == drawn([scenes[2]])


def test_not_ready_says_what_is_missing(stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]) -> None:
    project_id, ids = project
    stack.annotate(project_id, ids[0], scenes[0])
    eventually(lambda: stack.project(project_id)["tasks"]["touched"] == 1, 15)
    error = stack.ask("POST", f"/projects/{project_id}/runs", expect=409)["error"]
    assert error["code"] == "not_ready"
    assert f"mug {drawn(scenes[:1])}/3" in error["message"]


def test_a_run_for_some_classes_only(stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]) -> None:
    """One class alone is enough when it is chosen; the run can be cancelled within seconds."""
    project_id, ids = project
    for task, scene in zip(ids[:5], scenes[:5], strict=True):
        stack.annotate(project_id, task, scene)
    eventually(lambda: stack.project(project_id)["labels"]["mug"] >= 3, 15)
    error = stack.ask("POST", f"/projects/{project_id}/runs", {"classes": ["unicorn"]}, expect=404)["error"]
    assert "unicorn" in error["message"]
    run = stack.ask("POST", f"/projects/{project_id}/runs", {"classes": ["mug"]})
    assert run["classes"] == ["mug"]
    stack.ask("POST", f"/projects/{project_id}/runs", {"classes": ["mug"]}, expect=409)
    eventually(lambda: stack.ask("GET", f"/runs/{run['id']}")["candidates"], 60)
    stack.ask("POST", f"/runs/{run['id']}/cancel")
    ended = stack.wait_for_run(run["id"], 20)
    assert ended["status"] == "cancelled"
    assert all(one["status"] in ("cancelled", "done") for one in ended["candidates"])


def test_a_duplicate_webhook_changes_nothing(stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]) -> None:
    project_id, ids = project
    saved = stack.annotate(project_id, ids[0], scenes[0])
    eventually(lambda: stack.project(project_id)["tasks"]["touched"] == 1, 15)
    before = stack.project(project_id)
    (hook,) = [one for one in stack.studio.webhooks(project_id) if SECRET_HEADER in one.headers]
    body = {"action": "ANNOTATION_CREATED", "annotation": saved, "project": {"id": project_id}}
    for _ in range(5):
        answer = httpx.post(f"{stack.url}/webhook", json=body, headers=dict(hook.headers))
        assert answer.json() == {"status": "noted"}
    looked = before["looked_at"]
    eventually(lambda: stack.project(project_id)["looked_at"] != looked, 15)
    after = stack.project(project_id)
    for name in ("labels", "tasks", "run", "selection", "auto_label"):
        assert after[name] == before[name]


@pytest.mark.parametrize("headers", [{}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: "ü".encode()}])
def test_a_webhook_without_the_secret_is_refused(
    stack: Stack, project: tuple[int, list[int]], headers: dict[str, bytes]
) -> None:
    body = {"action": "ANNOTATION_CREATED", "project": {"id": project[0]}}
    answer = httpx.post(f"{stack.url}/webhook", json=body, headers=headers)
    assert answer.status_code == 401
    assert "custom-ai connect" in answer.json()["error"]["message"]


def test_the_automatic_webhook_is_replaced_and_a_removed_one_comes_back(
    stack: Stack, project: tuple[int, list[int]]
) -> None:
    project_id, _ = project
    (hook,) = stack.studio.webhooks(project_id)  # Label Studio's own, without a secret, is gone
    assert SECRET_HEADER in hook.headers
    stack.studio.delete_webhook(hook.id)
    eventually(lambda: stack.studio.webhooks(project_id), 30, "tick has registered the webhook again")
    (again,) = stack.studio.webhooks(project_id)
    assert again.headers[SECRET_HEADER] == hook.headers[SECRET_HEADER]


def test_start_training_answers_at_once_and_says_what_happens(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]
) -> None:
    project_id, _ = project
    (backend,) = stack.studio.ml_backends(project_id)
    stack.studio.session.post(f"/api/ml/{backend.id}/train", {})
    told = eventually(
        lambda: [
            one
            for one in stack.ask("GET", f"/projects/{project_id}/notifications")["notifications"]
            if one["event"] == "not_started"
        ],
        20,
    )
    assert "mug 0/3" in told[0]["text"]
    answer = httpx.post(f"{stack.url}/webhook", json={"action": "START_TRAINING", "project": {"id": project_id}})
    assert answer.elapsed.total_seconds() < 1.0
    assert answer.json()["labels"]["mug"] == "0/3"
    assert "job" not in answer.json()


def test_deleted_tasks_are_forgotten(stack: Stack, project: tuple[int, list[int]]) -> None:
    project_id, ids = project
    eventually(lambda: stack.project(project_id)["tasks"]["total"] == SCENES, 15)
    stack.studio.session.delete_json(f"/api/tasks/{ids[0]}/")
    eventually(lambda: stack.project(project_id)["tasks"]["total"] == SCENES - 1, 20)


def test_auto_training_starts_by_itself_once(stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]) -> None:
    project_id, ids = project
    stack.ask("PATCH", f"/projects/{project_id}", {"auto_train": True, "chosen_classes": ["mug"]})
    for task, scene in zip(ids[:6], scenes[:6], strict=True):
        stack.annotate(project_id, task, scene)
    run = eventually(lambda: stack.project(project_id)["run"], 30)
    assert run["trigger"] == "rule"
    stack.annotate(project_id, ids[6], scenes[6])  # one label more does not start another run
    ended = stack.wait_for_run(run["id"])
    assert ended["status"] == "done"
    eventually(lambda: stack.project(project_id)["tasks"]["touched"] == 7, 15)
    assert stack.project(project_id)["run"]["id"] == run["id"]


def test_an_annotation_saved_while_we_are_down_is_counted_afterwards(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]
) -> None:
    project_id, ids = project
    stack.stop()
    try:
        stack.annotate(project_id, ids[0], scenes[0])
    finally:
        stack.start()
    eventually(lambda: stack.project(project_id)["labels"]["mug"] == drawn(scenes[:1]), 30)


def test_a_killed_worker_is_replaced_and_the_run_goes_on(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]
) -> None:
    project_id, ids = project
    for task, scene in zip(ids[:6], scenes[:6], strict=True):
        stack.annotate(project_id, task, scene)
    eventually(lambda: stack.project(project_id)["labels"]["mug"] >= 3, 15)
    run = stack.ask("POST", f"/projects/{project_id}/runs", {"classes": ["mug"]})

    def candidates() -> list[str]:
        return [one["status"] for one in stack.ask("GET", f"/runs/{run['id']}")["candidates"]]

    eventually(lambda: candidates()[:1] == ["done"], 90, "the first candidate is done")
    first = stack.ask("GET", f"/runs/{run['id']}")["candidates"][0]
    assert stack.kill_process("worker", "train") >= 1
    ended = stack.wait_for_run(run["id"])
    assert ended["status"] == "done", ended["reason"]
    assert [one["status"] for one in ended["candidates"]] == ["done"] * 4
    assert ended["candidates"][0]["sha256"] == first["sha256"]  # what was finished was not done again


def test_an_undecodable_image_is_told_and_does_not_stop_the_run(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene]
) -> None:
    project_id, ids = project
    (broken,) = stack.studio.upload_images(project_id, [("broken.png", b"this is no image")])
    for task, scene in zip([*ids[:5], broken], scenes[:6], strict=True):
        stack.annotate(project_id, task, scene)
    eventually(lambda: stack.project(project_id)["tasks"]["touched"] == 6, 15)
    run = stack.ask("POST", f"/projects/{project_id}/runs", {"classes": ["mug"]})
    ended = stack.wait_for_run(run["id"])
    assert ended["status"] == "done"
    (left_out,) = ended["left_out"]
    assert left_out["task"] == broken
    assert "broken.png" in left_out["reason"]


def test_label_studio_restarting_only_delays(
    stack: Stack, project: tuple[int, list[int]], scenes: list[Scene], label_studio: LabelStudioServer
) -> None:
    project_id, ids = project
    label_studio.kill()
    error = stack.ask("POST", f"/projects/{project_id}/connect", expect=503)["error"]
    assert error["code"] == "label_studio_unreachable"
    label_studio.start()
    stack.annotate(project_id, ids[0], scenes[0])
    eventually(lambda: stack.project(project_id)["labels"]["mug"] == drawn(scenes[:1]), 60)
