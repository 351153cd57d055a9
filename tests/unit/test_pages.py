"""The pages with Flask's test client: the list, and what holds for every page."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, World, page, plain_images, visible

from custom_ai.errors import N_


def test_no_project_says_how_to_connect_one(client: FlaskClient) -> None:
    html = page(client, "/")
    assert "New project" in html
    assert "http://localhost:9090" in html


def test_list_has_only_what_the_visitor_sees(client: FlaskClient, world: World) -> None:
    world.project(1, "Kitchen")
    world.project(2, "Secret")
    html = page(client, "/projects")
    assert "Kitchen" in html
    assert "Secret" not in html
    assert "Collecting labels" in html


def test_visitor_who_is_not_signed_in_learns_how(client: FlaskClient, world: World) -> None:
    world.house.visitor = None
    html = page(client, "/projects", status=401)
    assert 'href="http://studio.example:8080"' in html
    assert "http://studio.example/projects" in html  # the same page under Label Studio's host name
    assert "Open this page there" in html


def test_foreign_project_looks_like_none(client: FlaskClient, world: World) -> None:
    world.project(2, "Secret")
    for path in ("/projects/2", "/projects/2/live", "/projects/999"):
        html = page(client, path, status=404)
        assert "Secret" not in html
        assert "does not exist here" in html


# All pages


def test_every_form_needs_its_token(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 12])
    run_id = world.run()
    world.selection(run_id, plain_images(5))
    world.job(world.candidates(run_id)[0].id, waiting=1, done=1)
    routes = [
        rule
        for rule in world.app().url_map.iter_rules()
        if rule.endpoint.startswith("pages.") and "POST" in (rule.methods or ())
        if rule.endpoint != "pages.unsubscribe_now"  # asked for by mail programs (RFC 8058); its address is signed
    ]
    assert len(routes) > 9
    for rule in routes:
        path = re.sub(r"<(?:\w+:)?\w+>", "1", rule.rule)
        answer = client.post(path, data={"class": CLASSES, "pick": ["1"]})
        assert answer.status_code == 400, path
        assert "This page is too old" in answer.get_data(as_text=True)
    assert world.bell.rung == []


def test_korean_is_chosen_and_remembered(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 7, 0])
    assert '<html lang="en"' in page(client, "/projects/1")
    html = page(client, "/projects/1?lang=ko")
    assert '<html lang="ko"' in html
    assert "3개 부족" in html
    assert '<html lang="ko"' in page(client, "/projects"), "the choice is remembered"
    assert '<html lang="en"' in page(client, "/projects?lang=en")


def test_browser_may_ask_for_korean(client: FlaskClient, world: World) -> None:
    answer = client.get("/projects", headers={"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.5"})
    assert '<html lang="ko"' in answer.get_data(as_text=True)


def test_an_address_where_nothing_is(client: FlaskClient) -> None:
    """People get a page, programs JSON, both in their language."""
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    answer = client.get("/nothing", headers={"Accept": browser, "Accept-Language": "ko"})
    assert answer.status_code == 404
    assert "이 주소에는 아무것도 없습니다." in answer.get_data(as_text=True)
    assert "All projects" in client.get("/nothing", headers={"Accept": browser}).get_data(as_text=True)
    answer = client.get("/api/nothing", headers={"Accept": "*/*"})
    assert answer.get_json() == {"error": {"code": "http", "message": "There is nothing at this address."}}


def test_light_or_dark_is_chosen_and_remembered(client: FlaskClient) -> None:
    assert 'data-theme="auto"' in page(client, "/projects")
    assert 'data-theme="dark"' in page(client, "/projects?theme=dark")
    html = page(client, "/notifications?kind=vote")
    assert 'data-theme="dark"' in html, "the choice is remembered"
    assert "/notifications?kind=vote&amp;theme=light" in html, "the other choices lead to the same page"
    assert 'data-theme="dark"' in page(client, "/projects?theme=purple"), "an unknown choice changes nothing"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_all_pages_work_in_both_languages(client: FlaskClient, world: World, language: str) -> None:
    world.project()
    world.tasks([12, 12, 3])
    run_id = world.run()
    first, *_ = world.candidates(run_id)
    selection_id = world.selection(run_id, plain_images(5))
    world.promote(first.id)
    world.job(first.id, waiting=2, done=3)
    world.tell(N_("Training was cancelled."), failure=True)
    paths = ["/projects", "/projects/1", "/projects/1/runs", "/notifications", "/projects/1/live"]
    for path in (*paths, f"/selections/{selection_id}", f"/selections/{selection_id}?summary=1"):
        html = page(client, f"{path}{'&' if '?' in path else '?'}lang={language}")
        left_over = re.findall(r"\{\w+\}", visible(html))
        assert not left_over, "a placeholder was not filled in"
