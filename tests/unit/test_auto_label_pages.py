"""Pausing, going on, trying again, and the choice of tasks: on the page and by REST."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from page_world import World, page, post
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from custom_ai.state.tables import AutoLabelChunk, AutoLabelItem, AutoLabelJob


@pytest.fixture
def asked(client: FlaskClient, world: World) -> int:
    """A job over five images; returns its id."""
    world.project()
    world.tasks([12], untouched=5)
    first, *_ = world.candidates(world.run())
    world.promote(first.id)
    post(client, "/projects/1/auto-label", "/projects/1", model=first.id, count="5", status="new")
    with world.services.database.read() as session:
        job = session.scalars(select(AutoLabelJob)).one()
        assert job.which == {"status": "new", "count": 5}
        return job.id


def ask(client: FlaskClient, path: str, body: object = None) -> TestResponse:
    """POST to the REST API."""
    token = client.get("/api/me").get_json()["csrf_token"]
    return client.post(f"/api{path}", json=body, headers={"X-CSRFToken": token})


def status(world: World, job_id: int) -> str:
    with world.services.database.read() as session:
        return session.get_one(AutoLabelJob, job_id).status


def test_pause_and_go_on(client: FlaskClient, world: World, asked: int) -> None:
    html = post(client, f"/auto-label/{asked}/pause", "/projects/1")
    assert "pauses within seconds" in html
    assert status(world, asked) == "paused"
    assert 'id="resume-job"' in html and 'id="pause-job"' not in html
    html = post(client, f"/auto-label/{asked}/resume", "/projects/1")
    assert status(world, asked) == "queued"
    assert 'id="pause-job"' in html
    assert ask(client, f"/auto-label/{asked}/pause").get_json()["status"] == "paused"
    assert ask(client, f"/auto-label/{asked}/resume").get_json()["status"] == "queued"
    post(client, f"/auto-label/{asked}/cancel", "/projects/1")
    assert ask(client, f"/auto-label/{asked}/pause").status_code == 409


def test_failed_ones_are_tried_again(client: FlaskClient, world: World, asked: int) -> None:
    assert ask(client, f"/auto-label/{asked}/retry").status_code == 409  # it is still under way
    with world.services.database.write() as session:
        session.execute(update(AutoLabelItem).values(status="done"))
        first = session.scalars(select(AutoLabelItem.task_id).limit(1)).one()
        why = {"template": "it broke", "params": {}}
        session.execute(update(AutoLabelItem).where(AutoLabelItem.task_id == first).values(status="failed", reason=why))
        session.execute(update(AutoLabelChunk).values(status="done"))
        session.execute(update(AutoLabelJob).values(status="done"))
    assert 'id="retry-job"' in page(client, "/projects/1")
    assert "tried again" in post(client, f"/auto-label/{asked}/retry", "/projects/1")
    job = client.get(f"/api/auto-label/{asked}").get_json()
    assert (job["status"], job["tasks"]["waiting"], job["tasks"]["failed"]) == ("queued", 1, 0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"status": "some"}, "status = 'some'"),
        ({"tasks": [1, "2"]}, "tasks"),
        ({"tasks": [10**6]}, "tasks 1000000"),
        ({"view": "3"}, "view = '3'"),
        ({"prepare": "blur"}, "prepare"),
        ({"prepare": [{"name": "blur"}]}, "blur"),
    ],
)
def test_wrong_choices_are_named(
    client: FlaskClient, world: World, asked: int, body: dict[str, object], said: str
) -> None:
    answer = ask(client, "/projects/1/auto-label", body)
    assert answer.status_code == 400, answer.get_json()
    assert said in answer.get_json()["error"]["message"]
