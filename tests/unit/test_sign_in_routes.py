"""Every route of the web process, walked by its URL map, so that a new one is covered without being named here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import page_world
import pytest
from flask import Flask
from flask.testing import FlaskClient
from page_world import House, World, plain_images
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from custom_ai.errors import N_
from custom_ai.labelstudio.client import Project as Remote
from custom_ai.labelstudio.config import template
from custom_ai.state.deid_tables import DeidentifyJob
from custom_ai.state.journal import notify
from custom_ai.state.tables import AutoLabelJob, Base, Project
from custom_ai.web import guard

FOR_EVERYBODY = {"static", "pages.static", "pages.sign_in", "pages.sign_in_with_token", "pages.sign_out"} | {
    "pages.through_label_studio",
    "pages.arrive",
}
FOR_GUESTS = {f"pages.{one}" for one in ("open_link", "guest_selection", "guest_cast", "guest_confirm")} | {
    "pages.guest_vote_image"
}
"""Voters with a signed link: without one these routes must refuse as well."""
MINE, FOREIGN, UNCONNECTED, NOWHERE = 1, 2, 3, 999_999
MARKUP = '<img src=x onerror=alert(1)>"><script>alert(2)</script>'
TABLES = {
    "run_id": "run",
    "selection_id": "selection",
    "vote_id": "selection",
    "model_id": "candidate",
    "job_id": "auto_label_job",
    "hiding_id": "deidentify_job",
    "image_id": "selection_image",
    "notification_id": "notification",
    "notice_id": "notification",
}
"""Names of values in routes, and the tables that have them as ids."""


@pytest.fixture
def full(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two projects with something of everything in them; the visitor sees the first one only."""
    monkeypatch.setattr(page_world, "CLASSES", [MARKUP, "cup", "spoon"])
    for project_id in (MINE, FOREIGN):
        world.project(project_id, MARKUP)
        world.tasks([12, 12, 12], project_id=project_id)
        run_id = world.run(project_id=project_id)
        first, *_ = world.candidates(run_id)
        world.selection(run_id, plain_images(5))
        world.promote(first.id)
        world.job(first.id, waiting=1, done=1, status="done")
        with world.services.database.write() as session:
            notify(session, project_id, "test", N_("Training failed: {why}."), failure=True, why=MARKUP)
            session.get_one(Project, project_id).available_kinds = ["box", "polygon"]
            hiding = DeidentifyJob(
                project_id=project_id, status="done", trigger="person", requested_by=MARKUP, originals="vault"
            )
            session.add(hiding)
    with world.services.database.write() as session:
        newest = session.scalars(select(AutoLabelJob).order_by(AutoLabelJob.id.desc())).first()
        assert newest is not None
        newest.project_id = FOREIGN  # `World.job` makes them for the first project
    world.services = replace(world.services, label_studio=cast(Any, Studio()))
    world.house.visible.add(UNCONNECTED)
    return world


class Studio:
    """The one thing that a page asks Label Studio itself: which projects there are."""

    def project_page(self, number: int, per_page: int) -> tuple[list[Remote], bool]:
        return [Remote(UNCONNECTED, MARKUP, template([MARKUP]), "", {"task_number": 3})], False


@pytest.fixture
def app(full: World) -> Flask:
    return full.app()


@pytest.fixture
def visitor(app: Flask) -> Iterator[FlaskClient]:
    with app.test_client() as client:
        yield client


def asks(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every rule with each of its methods."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method


def is_machine(rule: Rule) -> bool:
    return rule.endpoint.startswith("ml_backend.") or rule.endpoint in guard.UNSUBSCRIBING


def ids(world: World, project_id: int) -> dict[str, int]:
    """One id of this project for each name in TABLES; NOWHERE's are those that nothing has."""
    if project_id == NOWHERE:
        return dict.fromkeys([*TABLES, "project_id"], NOWHERE)
    found = {"project_id": project_id}
    with world.services.database.read() as session:
        for name, table_name in TABLES.items():
            table = Base.metadata.tables[table_name]
            if "project_id" in table.c:
                query = select(table.c.id).where(table.c.project_id == project_id)
            else:
                votes = Base.metadata.tables["selection"]
                query = select(table.c.id).join(votes).where(votes.c.project_id == project_id)
            found[name] = session.scalars(query.limit(1)).one()
    return found


def address(rule: Rule, values: dict[str, int]) -> str:
    """The path of a rule; what is not in ``values`` becomes 1."""
    return re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", lambda name: str(values.get(name[1], 1)), rule.rule)


def ask(client: FlaskClient, method: str, path: str, csrf: str = "") -> TestResponse:
    headers = {"X-CSRFToken": csrf} if csrf else {}
    return client.open(path, method=method, headers=headers, json={} if method != "GET" else None)


def is_csrf_error(answer: TestResponse) -> bool:
    json = answer.get_json(silent=True)
    return answer.status_code == 400 and (
        json["error"]["code"] == "csrf" if json else "This page is too old" in answer.get_data(as_text=True)
    )


def plain(answer: TestResponse) -> str:
    """What an answer says apart from numbers and tokens."""
    text = re.sub(r'name="csrf_token" value="[^"]*"', "", answer.get_data(as_text=True))
    return f"{answer.status_code} {answer.mimetype} {re.sub(r'[0-9]+', 'N', text)}"


def test_the_allow_list_is_short() -> None:
    assert guard.OPEN == FOR_EVERYBODY
    assert guard.GUESTS == FOR_GUESTS
    assert guard.MACHINES == "ml_backend"
    assert {"pages.unsubscribe", "pages.unsubscribe_now"} == guard.UNSUBSCRIBING


def test_strangers_are_refused_everywhere(app: Flask, full: World) -> None:
    full.house.visitor = None
    client = app.test_client(use_cookies=False)
    seen = ids(full, MINE)
    refused = 0
    for rule, method in asks(app):
        if is_machine(rule) or rule.endpoint in FOR_EVERYBODY:
            continue
        answer = ask(client, method, address(rule, seen))
        if rule.endpoint in FOR_GUESTS:
            assert answer.status_code in (400, 401, 403, 404, 410), (method, rule.rule)
        else:
            assert answer.status_code == 401, (method, rule.rule, answer.status_code)
        assert MARKUP not in answer.get_data(as_text=True)
        refused += 1
    assert refused > 40


def test_what_strangers_may_see_says_nothing(app: Flask, full: World) -> None:
    full.house.visitor = None
    html = app.test_client().get("/sign-in").get_data(as_text=True)
    assert "onerror" not in html
    assert "ann@example.com" not in html


def test_every_change_needs_a_csrf_token(app: Flask, visitor: FlaskClient, full: World) -> None:
    seen = ids(full, MINE)
    changes = 0
    for rule, method in asks(app):
        if is_machine(rule) or method == "GET":
            continue
        answer = ask(visitor, method, address(rule, seen))
        assert is_csrf_error(answer), (method, rule.rule, answer.status_code)
        answer = ask(visitor, method, address(rule, seen), csrf="forged")
        assert is_csrf_error(answer), (method, rule.rule, answer.status_code)
        changes += 1
    assert changes > 20
    assert full.bell.rung == []


def test_machines_need_none(app: Flask) -> None:
    client = app.test_client(use_cookies=False)
    for rule, method in asks(app):
        if is_machine(rule):
            assert not is_csrf_error(ask(client, method, rule.rule)), rule.rule


def test_what_belongs_to_another_project_looks_like_nothing(app: Flask, visitor: FlaskClient, full: World) -> None:
    csrf = visitor.get("/api/me").get_json()["csrf_token"]
    foreign, nothing, mine = ids(full, FOREIGN), ids(full, NOWHERE), ids(full, MINE)
    bound = 0
    for rule, method in asks(app):
        owners = [name for name in rule.arguments if name == "project_id" or name in guard.BELONGS]
        if is_machine(rule) or not owners:
            continue
        there = ask(visitor, method, address(rule, foreign), csrf)
        nowhere = ask(visitor, method, address(rule, nothing), csrf)
        assert there.status_code == 404, (method, rule.rule, there.status_code)
        assert plain(there) == plain(nowhere), (method, rule.rule)
        for name in owners:  # the door of one project, and somebody else's thing behind it
            mixed = ask(visitor, method, address(rule, mine | {name: foreign[name]}), csrf)
            assert mixed.status_code == 404, (method, rule.rule, name)
        bound += 1
    assert bound > 25
    assert full.bell.rung == []


def test_every_value_of_a_route_is_known_to_the_guard_or_to_this_test(app: Flask) -> None:
    """A new kind of id must either stand in ``guard.BELONGS`` or be looked after by its own route."""
    looked_after = {
        "project_id", "filename", "token", "number", "task_id", "image_id", "vote_id",
        "upload_id", "import_id",  # of the person who began it
        "notification_id", "notice_id", "name",
    }  # fmt: skip
    for rule in app.url_map.iter_rules():
        unknown = rule.arguments - looked_after - set(guard.BELONGS)
        assert not unknown, f"{rule.rule}: does {unknown} belong to a project? Then add it to guard.BELONGS"


def test_names_are_text_on_every_page(app: Flask, visitor: FlaskClient, full: World) -> None:
    """A class, a title and a message that are markup, through every GET route: nothing of it is unescaped."""
    shown = 0
    for rule, method in asks(app):
        if method != "GET" or rule.endpoint.endswith("static"):
            continue
        for query in ("", "?summary=1", "?round=1", "?lang=ko"):
            answer = visitor.get(address(rule, ids(full, MINE)) + query)
            if rule.endpoint.startswith("pages."):  # this world has no files of models for the REST API
                assert answer.status_code < 500, (rule.rule, answer.get_data(as_text=True)[:300])
            if answer.mimetype == "text/html":
                html = answer.get_data(as_text=True)
                for bad in ("<img src=x", '"><script>', "<script>alert"):
                    assert bad not in html, (rule.rule, html[max(0, html.index(bad) - 200) :][:400])
                assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*\ssrc=)", html), rule.rule
                shown += "&lt;img src=x" in html
            elif answer.mimetype != "application/json":
                assert answer.mimetype not in ("text/javascript", "image/svg+xml"), rule.rule
    assert shown > 10


def test_headers_of_every_answer(app: Flask, visitor: FlaskClient, full: World) -> None:
    for rule, method in asks(app):
        answer = ask(visitor, method, address(rule, ids(full, MINE)))
        headers = answer.headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] in ("same-origin", "no-referrer")
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        if answer.mimetype in ("text/html", "application/json") and not rule.endpoint.endswith("static"):
            assert "no-store" in headers["Cache-Control"], rule.rule
        answer.close()


def test_house_stands_in_for_the_real_one() -> None:
    """The double of these tests has every method that is used of the real one."""
    from custom_ai.web.sign_in import SignIn

    for name in ("user", "sees", "sees_which", "present", "protect", "sessions"):
        assert callable(getattr(SignIn, name))
        assert callable(getattr(House, name))
