"""The dashboard of a project: what it shows, what its forms do, and what they refuse."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, World, page, plain_images, post, visible
from sqlalchemy import select

from custom_ai.errors import N_
from custom_ai.state.tables import AutoLabelJob, Project, Promotion, Run


def test_missing_labels_are_counted_and_cannot_be_ticked(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 7, 0])
    html = page(client, "/projects/1")
    assert re.search(r'value="cup"[^>]* checked', html)
    assert re.search(r'value="spoon"[^>]* disabled', html)
    assert "3 missing" in html
    assert "10 missing" in html
    assert 'href="http://studio.example:8080/projects/1/data"' in html


def test_class_names_are_text_not_markup(client: FlaskClient, world: World) -> None:
    world.project(title="<script>alert(1)</script>")
    world.tasks([12, 12, 12])
    selection = world.selection(world.run(), plain_images(5))
    for path in ("/projects", "/projects/1", "/projects/1/live", f"/selections/{selection}"):
        html = page(client, path)
        assert "<b>fork" not in html
        assert "<script>alert" not in html
    assert "&lt;b&gt;fork&lt;/b&gt;" in page(client, f"/selections/{selection}")


def test_pages_carry_no_inline_script_or_style(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 12])
    selection = world.selection(world.run(), plain_images(5))
    for path in ("/projects", "/projects/1", f"/selections/{selection}", f"/selections/{selection}?summary=1"):
        answer = client.get(path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        html = answer.get_data(as_text=True)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "waiting for a worker"),
        ("running", "about 2 min left"),
        ("failed", "Training failed: too dark."),
        ("cancelled", "cancelled"),
    ],
)
def test_run_is_shown_as_it_stands(client: FlaskClient, world: World, state: str, words: str) -> None:
    world.project()
    world.tasks([12, 12, 12])
    why = {"template": N_("Training failed: {why}."), "params": {"why": "too dark"}}
    world.run(state, reason=why if state == "failed" else None)
    html = page(client, "/projects/1")
    assert words in visible(html)
    assert ("Cancel training" in html) == (state in ("queued", "running"))
    assert ("data-busy" in html) == (state in ("queued", "running"))


def test_live_fragment_has_the_state_but_no_token(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 12])
    world.run("running")
    html = page(client, "/projects/1/live")
    assert "csrf" not in html
    assert "45%" in html
    first = page(client, "/projects/1/live")
    assert html == first, "an unchanged state must give an unchanged fragment"


def test_problem_and_notifications_are_told(client: FlaskClient, world: World) -> None:
    world.project()
    world.problem(N_("The labelling config of project {project} cannot be used: {why}."), project=1, why="no box")
    world.tell(N_("Training was cancelled."), failure=True)
    text = visible(page(client, "/projects/1"))
    assert "cannot be used: no box." in text
    assert "Training was cancelled." in text


def test_make_starts_a_run_of_the_ticked_classes(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 3])
    html = post(client, "/projects/1/runs", "/projects/1", **{"class": [CLASSES[0], CLASSES[1]]})
    assert "Training starts as soon as a worker is free." in html
    with world.services.database.read() as session:
        run = session.scalars(select(Run)).one()
    assert (run.classes, run.requested_by) == ([CLASSES[0], CLASSES[1]], "ann@example.com")
    assert world.bell.rung == [("train", (run.id, 1))]


@pytest.mark.parametrize(
    ("ticked", "words"),
    [
        ([], "tick at least one class"),
        (["spoon"], "Not enough labels yet: spoon 3/10"),
        (["lamp"], "lamp does not exist here"),
    ],
)
def test_make_refuses_with_the_reason(client: FlaskClient, world: World, ticked: list[str], words: str) -> None:
    world.project()
    world.tasks([12, 12, 3])
    assert words in post(client, "/projects/1/runs", "/projects/1", **{"class": ticked})
    assert world.bell.rung == []


def test_cancel_run(client: FlaskClient, world: World) -> None:
    world.project()
    run_id = world.run("queued")
    assert "is being cancelled" in post(client, f"/runs/{run_id}/cancel", "/projects/1")
    with world.services.database.read() as session:
        assert session.get_one(Run, run_id).status == "cancelled"


def test_promote_and_roll_back(client: FlaskClient, world: World) -> None:
    world.project()
    first, second, *_ = world.candidates(world.run())
    world.promote(first.id)
    html = post(client, f"/projects/1/models/{second.id}/promote", "/projects/1")
    assert f"Roll back to {first.version}" in html
    with world.services.database.read() as session:
        serving = session.scalars(select(Promotion).where(Promotion.active)).one()
    assert serving.candidate_id == second.id
    assert world.bell.rung == [("apply_champion", (1,))]


def test_auto_label_with_progress_and_cancel(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 12], untouched=5)
    first, *_ = world.candidates(world.run())
    html = post(client, "/projects/1/auto-label", "/projects/1", model=first.id, count="2", threshold="0.4")
    assert "2 waiting" in html
    with world.services.database.read() as session:
        job = session.scalars(select(AutoLabelJob)).one()
    assert (job.candidate_id, job.threshold) == (first.id, 0.4)
    assert "is being cancelled" in post(client, f"/auto-label/{job.id}/cancel", "/projects/1")
    with world.services.database.read() as session:
        assert session.get_one(AutoLabelJob, job.id).status == "cancelled"


@pytest.mark.parametrize(
    ("field", "value"), [("count", "many"), ("count", "0"), ("threshold", "2.5"), ("count", "99999999999999999999")]
)
def test_auto_label_refuses_bad_numbers(client: FlaskClient, world: World, field: str, value: str) -> None:
    world.project()
    world.tasks([1])
    world.run()
    html = post(client, "/projects/1/auto-label", "/projects/1", **{field: value})
    assert "cannot be used" in html
    assert world.bell.rung == []


def test_settings_are_saved(client: FlaskClient, world: World) -> None:
    world.project()
    post(client, "/projects/1/settings", "/projects/1", auto_train="on", labels_per_class="10")
    with world.services.database.read() as session:
        project = session.get_one(Project, 1)
    assert (project.auto_train, project.auto_label) == (True, False)
    assert project.labels_per_class is None, "an unchanged number must not pin the default"
    post(client, "/projects/1/settings", "/projects/1", auto_label="on", labels_per_class="25")
    with world.services.database.read() as session:
        project = session.get_one(Project, 1)
    assert (project.auto_train, project.auto_label, project.labels_per_class) == (False, True, 25)
