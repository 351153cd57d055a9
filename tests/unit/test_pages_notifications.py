"""The notification tab and its REST routes."""

from __future__ import annotations

import re

from flask.testing import FlaskClient
from page_world import Visitor, World, page, post, visible

from custom_ai.errors import N_
from custom_ai.state.journal import notify


def tell(world: World, project_id: int, event: str, about: str = "", failure: bool = False) -> None:
    with world.services.database.write() as session:
        notify(session, project_id, event, N_("Training was cancelled."), about=about, failure=failure)


def bubble(html: str) -> str:
    """The count of unread notifications in the header, '' when there is none."""
    found = re.search(r'data-live="unread">(?:<span class="bubble">(\d+))?', html)
    assert found is not None
    return found[1] or ""


def test_nothing_yet(client: FlaskClient) -> None:
    html = page(client, "/notifications")
    assert "Nothing has happened yet." in html
    assert bubble(html) == ""
    assert "Mark all" not in html


def test_only_what_the_visitor_may_see(client: FlaskClient, world: World) -> None:
    world.project(1, "Kitchen")
    world.project(2, "Secret")
    tell(world, 1, "run_started")
    tell(world, 2, "run_started")
    html = page(client, "/notifications")
    assert "Kitchen" in html
    assert "Secret" not in html
    assert bubble(html) == "1"
    api = client.get("/api/notifications").get_json()
    assert [one["project"] for one in api["notifications"]] == [1]
    assert (api["unread"], api["unread_by_project"]) == (1, {"1": 1})


def test_reading_one_then_all(client: FlaskClient, world: World) -> None:
    world.project()
    for number in range(3):
        tell(world, 1, "run_started", f"run {number}")
    html = post(client, "/notifications/read", "/notifications", id="2")
    assert bubble(html) == "2"
    assert html.count('class="badge busy"') == 2
    tell(world, 1, "run_done")
    html = post(client, "/notifications/read", "/notifications", up_to="3")
    assert bubble(html) == "1", "what came after the page was shown is still new"
    world.house.visitor = Visitor(2, "bob@example.com")
    assert bubble(page(client, "/notifications")) == "4"


def test_opening_marks_and_leads_to_the_thing(client: FlaskClient, world: World) -> None:
    world.project()
    tell(world, 1, "run_failed", "run 9", failure=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, "/notifications"))
    assert token is not None
    answer = client.post("/notifications/1/open", data={"csrf_token": token[1]})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/projects/1#run-title"
    assert bubble(page(client, "/notifications")) == ""
    assert client.post("/notifications/77/open", data={"csrf_token": token[1]}).status_code == 404


def test_failures_say_the_way_out_and_can_be_picked_out(client: FlaskClient, world: World) -> None:
    world.project()
    tell(world, 1, "run_started")
    tell(world, 1, "run_failed", failure=True)
    text = visible(page(client, "/notifications?failures=1"))
    assert text.count("Training was cancelled.") == 1
    assert "Problem: Training was cancelled." in text
    assert "start the training again" in text
    assert "Nothing here fits the filter" in page(client, "/notifications?kind=vote")
    assert "Training was cancelled." in page(client, "/notifications?kind=nonsense&project=x"), (
        "nonsense filters nothing"
    )


def test_many_come_in_pages(client: FlaskClient, world: World) -> None:
    world.project()
    for _ in range(35):
        tell(world, 1, "run_started")
    html = page(client, "/notifications")
    assert html.count("<p>Training was cancelled.</p>") == 30
    older = re.search(r'href="(/notifications\?before=\d+)">Older', html)
    assert older is not None
    html = page(client, older[1])
    assert html.count("<p>Training was cancelled.</p>") == 5
    assert "Newest" in html


def test_rest_marks_as_read(client: FlaskClient, world: World) -> None:
    world.project()
    for _ in range(3):
        tell(world, 1, "run_started")
    token = client.get("/api/me").get_json()["csrf_token"]

    def read(**body: object) -> tuple[int, dict[str, object]]:
        answer = client.post("/api/notifications/read", json=body, headers={"X-CSRFToken": token})
        return answer.status_code, answer.get_json()

    assert read(ids=[1]) == (200, {"marked": 1, "unread": 2, "unread_by_project": {"1": 2}})
    assert len(client.get("/api/notifications?unread=1").get_json()["notifications"]) == 2
    assert len(client.get("/api/notifications?before=2").get_json()["notifications"]) == 1
    for bad in ({}, {"ids": "all"}, {"ids": [True]}, {"up_to": "x"}):
        assert read(**bad)[0] == 400
    assert client.get("/api/notifications?before=x").status_code == 400
    assert client.get("/api/notifications?kind=weather").status_code == 400
    assert read(up_to=3)[1]["unread"] == 0
    assert client.post("/api/notifications/read", json={"up_to": 3}).status_code == 400, "no token, no change"
