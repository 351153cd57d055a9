"""The pages about pre-labels: what a model would draw, the review of a job, taking it back, another threshold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from page_world import World, page, post, visible
from run_world import CONFIG, picture

from custom_ai.pipeline import found, preview_images
from custom_ai.pipeline.found import Seen
from custom_ai.services import Services
from custom_ai.serving.cache import ModelCache
from custom_ai.state.tables import AutoLabelJob, Candidate, Project, Revision, Task
from custom_ai.types import Box, ImageSize
from custom_ai.wiring import model_loader
from fake_trainer import one_box_model


def ready(world: World) -> tuple[int, int]:
    """A project with a model that sees one box, and a finished job; their ids."""
    world.project(label_config=CONFIG, available_kinds=["box"])
    first, *_ = world.candidates(world.run())
    world.promote(first.id)
    with world.services.database.write() as session:
        for number in range(100, 104):
            image = picture(number) if number < 103 else "data:image/jpeg;base64,bm90IGFuIGltYWdl"
            row = Task(project_id=1, task_id=number, image=image, touched=False, updated_at="")
            row.predicted_version = first.version if number < 102 else None
            session.add(row)
        model = session.get_one(Candidate, first.id)
        model.classes, model.thresholds, model.image_size = ["cat", "dog"], {"cat": 0.5, "dog": 0.5}, 64
        model.onnx_sha256 = world.services.store.put_bytes(one_box_model(2))
    job_id = world.job(first.id, waiting=0, done=2, status="done")
    with world.services.database.write() as session:
        seen = {task: Seen(ImageSize(96, 64), (Box("cat", 0.1, 0.1, 0.4, 0.4, 0.9),)) for task in (100, 101)}
        found.save(session, job_id, 0, seen)
        session.get_one(AutoLabelJob, job_id).floor = 0.05
    return first.id, job_id


@pytest.fixture
def seeing(world: World) -> World:
    """The same world with models that can be loaded."""
    services: Services = world.services
    loader = model_loader(services.settings, services.database, services.store)
    studio = cast(Any, SimpleNamespace(session=None))  # all images are data: addresses
    world.services = replace(services, models=ModelCache(1, loader), label_studio=studio)
    return world


def test_twelve_images_as_the_model_would_draw_them(seeing: World) -> None:
    model_id, _ = ready(seeing)
    client = seeing.app().test_client()
    html = page(client, f"/models/{model_id}/preview")
    assert html.count('class="line"') == 3
    assert html.count('<p class="problem">') == 1  # the broken image says so, and stops nothing
    assert f'href="/api/models/{model_id}/preview/100"' in html
    assert 'class="line"' not in page(client, f"/models/{model_id}/preview?threshold=0.95")
    answer = client.get(f"/api/models/{model_id}/preview").get_json()
    assert [len(one.get("shapes", [])) for one in answer["images"]].count(1) == 3
    assert answer["thresholds"] == {"cat": 0.5, "dog": 0.5}
    assert client.get(f"/api/models/{model_id}/preview/100").mimetype == "image/jpeg"
    assert client.get(f"/api/models/{model_id}/preview/999").status_code == 404
    with seeing.services.database.read() as session:
        assert session.get_one(Task, (1, 102)).predicted_version is None


def test_the_preview_shows_other_images_on_the_next_page(seeing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_images, "IMAGES", 3)
    model_id, _ = ready(seeing)
    client = seeing.app().test_client()
    html = page(client, f"/models/{model_id}/preview")
    assert "page=1" in html
    tasks = [set(re.findall(r"/preview/(\d+)", page(client, f"/models/{model_id}/preview?page={n}"))) for n in (0, 1)]
    assert not tasks[0] & tasks[1]
    assert "no image left" in visible(page(client, f"/models/{model_id}/preview?page=9"))


def test_a_job_is_taken_back_after_a_yes(world: World, client: FlaskClient) -> None:
    _, job_id = ready(world)
    assert f'href="/auto-label/{job_id}"' in page(client, "/projects/1")
    text = visible(page(client, f"/auto-label/{job_id}"))
    assert "disappear from 2 images" in text
    assert "Annotations are never changed" in text
    post(client, f"/auto-label/{job_id}/roll-back", f"/auto-label/{job_id}")
    assert world.bell.rung[-1] == ("revise", (1, 1))
    text = visible(page(client, f"/auto-label/{job_id}"))
    assert "being changed: 0 of 2" in text
    job = client.get(f"/api/auto-label/{job_id}").get_json()
    assert (job["revision"]["what"], job["revision"]["status"]) == ("roll_back", "queued")


def test_another_threshold_from_the_page_and_by_rest(world: World, client: FlaskClient) -> None:
    _, job_id = ready(world)
    html = post(client, f"/auto-label/{job_id}/threshold", f"/auto-label/{job_id}", threshold="0.333")
    assert "two decimals" in html
    post(client, f"/auto-label/{job_id}/threshold", f"/auto-label/{job_id}", threshold="0.4")
    with world.services.database.write() as session:
        row = session.get_one(Revision, 1)
        assert (row.threshold, row.version) == (0.4, "p1-m1@0.40")
        row.status = "failed"
    csrf = {"X-CSRFToken": client.get("/api/me").get_json()["csrf_token"]}
    refused = client.post(f"/api/auto-label/{job_id}/threshold", json={}, headers=csrf)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "bad_input")
    answer = client.post(f"/api/auto-label/{job_id}/threshold", json={"threshold": 0.7}, headers=csrf)
    assert (answer.status_code, answer.get_json()["revision"]["version"]) == (202, "p1-m1@0.70")
    answer = client.post(f"/api/auto-label/{job_id}/roll-back", headers=csrf)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "conflict")


def test_the_settings_of_the_review(world: World, client: FlaskClient) -> None:
    ready(world)
    post(client, "/projects/1/settings", "/projects/1", finish_review="on", review_tab="on", labels_per_class="10")
    with world.services.database.read() as session:
        project = session.get_one(Project, 1)
        assert (project.finish_review, project.review_tab) == (True, True)
    assert "Finish the review first" in page(client, "/projects/1")
    csrf = {"X-CSRFToken": client.get("/api/me").get_json()["csrf_token"]}
    answer = client.post("/api/projects/1/auto-label", json={}, headers=csrf)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "review_due")


def test_everything_is_there_in_korean(seeing: World, tmp_path: Path) -> None:
    model_id, job_id = ready(seeing)
    client = seeing.app().test_client()
    for path in (f"/models/{model_id}/preview", f"/auto-label/{job_id}"):
        text = visible(page(client, f"{path}?lang=ko"))
        assert re.search("[가-힣]", text)
        for english in ("threshold", "Take it back", "nobody", "pre-label"):
            assert english not in text
