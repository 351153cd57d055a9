"""The pages about hidden faces: jobs, the images to look at, areas and approval."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from page_world import World, page, plain_images, post, visible
from sqlalchemy import select

from custom_ai.pipeline.pictures import _cache_path
from custom_ai.state.deid_tables import DeidentifiedImage, DeidentifyItem, DeidentifyJob
from custom_ai.state.journal import notify, reason
from custom_ai.state.tables import AuditEntry, now


def hide(world: World, task: int, score: float = 0.9, *, kept: bool = True, **values: Any) -> None:
    """An image of 64 x 48 pixels with one hidden face."""
    uri = f"/data/upload/1/{task}.jpg"
    area = {"area": [8.0, 8.0, 40.0, 40.0, score], "source": "found", "removed": False}
    row = {
        "project_id": 1, "task_id": task, "state": "done", "uri": uri, "width": 64, "height": 48, "areas": [area],
        "doubtful": score < 0.6, "kept": kept, "original": "on_disk", "path": f"upload/1/old-{task}.jpg",
        "sha256_after": f"{task:064x}",
    }  # fmt: skip
    with world.services.database.write() as session:
        session.add(DeidentifiedImage(**{**row, **values}))
    path = _cache_path(world.services, 1, task, uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plain_images(task)[-1][0])


def job(world: World, status: str = "done", **items: str) -> int:
    """A job; items: t5="failed" is what became of task 5."""
    with world.services.database.write() as session:
        row = DeidentifyJob(
            project_id=1, status=status, trigger="person", requested_by="ann@example.com", originals="vault"
        )
        session.add(row)
        session.flush()
        for name, state in items.items():
            why = reason("The image cannot be read.") if state == "failed" else None
            session.add(DeidentifyItem(job_id=row.id, task_id=int(name[1:]), status=state, reason=why))
        return row.id


def image(world: World, task: int) -> DeidentifiedImage:
    with world.services.database.read() as session:
        return session.get_one(DeidentifiedImage, (1, task))


def test_nothing_was_hidden_yet(client: FlaskClient, world: World) -> None:
    world.project()
    html = visible(page(client, "/projects/1/hidden"))
    assert "No face was hidden in this project yet." in html
    assert "Hide faces in all images of this project" in html
    assert "The originals are not kept" in html
    assert "/projects/1/hidden" in page(client, "/projects/1"), "the settings lead there"


def test_doubtful_images_come_first_and_failures_are_told(client: FlaskClient, world: World) -> None:
    world.project()
    job(world, t3="done", t4="done", t5="failed")
    hide(world, 3)
    hide(world, 4, 0.4)
    html = page(client, "/projects/1/hidden")
    assert html.index("/hidden/4/picture") < html.index("/hidden/3/picture")
    text = visible(html)
    assert "2 of 3 images" in text
    assert "The image cannot be read." in text
    assert "To look at (2)" in text
    assert client.get("/projects/1/hidden/4/picture").data == plain_images(4)[-1][0]
    assert "Hidden faces" in visible(page(client, "/projects/1")), "the dashboard leads there"


def test_there_are_pages_of_images(client: FlaskClient, world: World) -> None:
    world.project()
    job(world, t1="done")
    for task in range(1, 31):
        hide(world, task)
    assert page(client, "/projects/1/hidden").count("/picture") == 24
    assert page(client, "/projects/1/hidden?start=24").count("/picture") == 6
    assert page(client, "/projects/1/hidden?show=nonsense").count("/picture") == 24


def test_an_image_is_approved_and_the_next_one_shown(client: FlaskClient, world: World) -> None:
    world.project()
    hide(world, 3)
    hide(world, 4, 0.4)
    html = post(client, "/projects/1/hidden/4/approve", on="/projects/1/hidden/4")
    assert "Approved." in html
    assert 'action="/projects/1/hidden/3/approve"' in html
    assert (image(world, 4).approved_by, image(world, 3).approved_by) == ("ann@example.com", None)
    assert "There is none." not in page(client, "/projects/1/hidden?show=approved")
    post(client, "/projects/1/hidden/3/approve", on="/projects/1/hidden/3")
    with world.services.database.read() as session:
        who = session.execute(
            select(AuditEntry.actor, AuditEntry.subject).where(AuditEntry.action == "deidentify.approve")
        )
        assert [tuple(row) for row in who] == [("ann@example.com", "task 4"), ("ann@example.com", "task 3")]


def test_areas_are_added_and_taken_away(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([1, 1, 1])
    hide(world, 3, approved_by="ben", approved_at=now())
    fields = {"remove": "0", "add": "1,2,20,30", "left": "30", "top": "3", "right": "60", "bottom": "40"}
    html = post(client, "/projects/1/hidden/3/areas", on="/projects/1/hidden/3", **fields)
    assert "The image is being redone with your areas." in html
    wanted = image(world, 3).wanted or []
    assert [one["area"][:4] for one in wanted] == [[8, 8, 40, 40], [1, 2, 20, 30], [30, 3, 60, 40]]
    assert [one["removed"] for one in wanted] == [True, False, False]
    assert image(world, 3).approved_by is None
    assert [one for one in world.bell.rung if one[0] == "deidentify"]
    assert "The image is being worked on." in visible(html)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"left": "3"}, "all four edges are needed"),
        ({"add": "1,2,x,4"}, "expected [x1, y1, x2, y2] in pixels inside the image"),
        ({"add": "1,2,3000,4"}, "expected [x1, y1, x2, y2] in pixels inside the image"),
        ({"remove": "7"}, "there is no such area"),
        ({}, "expected 1 to 1000 areas to add or remove"),
    ],
)
def test_impossible_areas(client: FlaskClient, world: World, fields: dict[str, str], told: str) -> None:
    world.project()
    hide(world, 3)
    assert told in visible(post(client, "/projects/1/hidden/3/areas", on="/projects/1/hidden/3", **fields))
    assert image(world, 3).wanted is None


def test_without_the_original_nothing_can_be_shown_again(client: FlaskClient, world: World) -> None:
    world.project()
    hide(world, 3, kept=False)
    html = page(client, "/projects/1/hidden/3")
    assert "The original was not kept, so areas can only be added." in visible(html)
    assert "still on Label Studio’s disk: upload/1/old-3.jpg" in visible(html)
    assert 'name="remove" value="0" disabled' in html


def test_jobs_are_cancelled_and_tried_again(client: FlaskClient, world: World) -> None:
    world.project()
    first = job(world, t5="failed")
    post(client, f"/hidden-jobs/{first}/retry", on="/projects/1/hidden")
    assert [one for one in world.bell.rung if one[0] == "deidentify"]
    html = post(client, f"/hidden-jobs/{first}/cancel", on="/projects/1/hidden")
    assert "It is being cancelled; what is hidden stays hidden." in visible(html)


def test_other_people_see_nothing(client: FlaskClient, world: World) -> None:
    world.project(2, "Secret")
    for path in ("/projects/2/hidden", "/projects/2/hidden/3", "/projects/2/hidden/3/picture", "/projects/1/hidden/3"):
        assert client.get(path).status_code == 404


def test_notifications_lead_there(client: FlaskClient, world: World) -> None:
    world.project()
    with world.services.database.write() as session:
        notify(session, 1, "deidentify_done", "Faces are hidden.", about="hiding 1")
    html = page(client, "/notifications")
    number = re.findall(r"/notifications/(\d+)/open", html)[0]
    answer = post(client, f"/notifications/{number}/open", on="/notifications")
    assert "<h1>Hidden faces</h1>" in answer


# REST


def test_programs_ask_cancel_and_try_again(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([1, 1, 1])
    hide(world, 2, 0.4)
    csrf = {"X-CSRFToken": client.get("/api/me").get_json()["csrf_token"]}
    begun = client.post("/api/projects/1/deidentify", json={"tasks": [1, 3]}, headers=csrf)
    assert begun.status_code == 201, begun.get_json()
    number = begun.get_json()["id"]
    assert client.get(f"/api/deidentify/{number}").get_json()["tasks"]["waiting"] == 2
    assert [one["id"] for one in client.get("/api/projects/1/deidentify").get_json()["jobs"]] == [number]
    assert client.post(f"/api/deidentify/{number}/cancel", headers=csrf).get_json()["status"] == "cancelled"
    assert client.post(f"/api/deidentify/{number}/retry", headers=csrf).get_json()["status"] == "queued"
    rows = client.get(f"/api/deidentify/{number}/images").get_json()["images"]
    assert [(one["task"], one["status"]) for one in rows] == [(1, "waiting"), (3, "waiting")]
    assert client.get(f"/api/deidentify/{number}/images?format=csv").text.startswith("task,status,reason")
    assert client.post("/api/projects/1/tasks/2/approve", headers=csrf).status_code == 204
    client.post(f"/api/deidentify/{number}/cancel", headers=csrf)
    again = client.post("/api/projects/1/tasks/2/areas", json={"add": [[1, 2, 20, 30]], "remove": [0]}, headers=csrf)
    assert again.status_code == 201, again.get_json()
    refused = client.post("/api/projects/1/tasks/2/areas", json={}, headers=csrf)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "bad_input")


def test_jobs_of_foreign_projects_look_like_none(client: FlaskClient, world: World) -> None:
    world.project()
    number = job(world, t3="failed")
    world.house.visible = {2}
    csrf = {"X-CSRFToken": client.get("/api/me").get_json()["csrf_token"]}
    for answer in (
        client.get(f"/api/deidentify/{number}"),
        client.get(f"/api/deidentify/{number}/images"),
        client.post(f"/api/deidentify/{number}/cancel", headers=csrf),
        client.post(f"/api/deidentify/{number}/retry", headers=csrf),
        client.get("/api/deidentify/999"),
    ):
        assert answer.status_code == 404
        assert "de-identification" in answer.get_json()["error"]["message"]
