"""The dashboard of a project: what it shows, what its forms do, and what they refuse."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, World, page, plain_images, post, refused, visible
from sqlalchemy import select, update

from custom_ai.errors import N_
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Project, Promotion, Run, Task


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
        ("queued", "waiting to begin"),
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
    assert "Training is in line; it begins by itself." in html
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
    html = refused(
        client, "/projects/1/auto-label", "/projects/1", **({"count": "3", "threshold": "0.5"} | {field: value})
    )
    assert "cannot be used" in html
    kept = {name: re.search(rf'<input id="auto-{name}"[^>]* value="([^"]*)"', html) for name in ("count", "threshold")}
    assert {name: found and found[1] for name, found in kept.items()} == {"count": "3", "threshold": "0.5"} | {
        field: value
    }
    assert "data-typed" in html
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


def facts(html: str) -> dict[str, str]:
    """What stands in the lists of figures, by its words; the first of each."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html):
        found.setdefault(name, visible(value))
    return found


def rich(world: World) -> tuple[int, int]:
    """A project with three runs, a model in use, one that was, and a job; returns (newest run, job)."""
    world.project()
    world.tasks([12, 10, 3], untouched=1200)
    with world.services.database.write() as session:
        session.execute(update(Task).where(Task.task_id >= 200).values(predicted_version="p1-m1"))
        session.execute(update(Task).where(Task.task_id == 1).values(predicted_version="p1-m1"))
    first, second = world.candidates(world.run())[:2]
    world.promote(first.id)
    world.promote(second.id)
    world.run("failed", reason={"template": N_("Training failed: {why}."), "params": {"why": "too dark"}})
    newest = world.run()
    job_id = world.job(second.id, waiting=2, done=5, status="done")
    with world.services.database.write() as session:
        why = {
            "template": N_("The image {image} cannot be used: {why}."),
            "params": {"image": "a.jpg", "why": "broken"},
        }
        broken = update(AutoLabelItem).where(AutoLabelItem.task_id == 103).values(status="failed", reason=why)
        session.execute(broken)
    return newest, job_id


def test_every_figure_is_what_rest_says(client: FlaskClient, world: World) -> None:
    newest, job_id = rich(world)
    html = page(client, "/projects/1")
    api = client.get("/api/projects/1").get_json()
    assert api["tasks"] == {"total": 1203, "touched": 3, "untouched": 1200, "pre_labelled": 1101, "to_review": 1100}
    shown = facts(html)
    names = {"Images": "total", "Labelled by people": "touched", "Untouched": "untouched"}
    names |= {"Pre-labelled": "pre_labelled", "To review": "to_review"}
    for words, name in names.items():
        assert shown[words] == f"{api['tasks'][name]:,}"
    text = visible(html)
    for count in api["labels_of_all_classes"].values():
        assert f"{count}/{api['needed']}" in text
    counts = client.get(f"/api/auto-label/{job_id}").get_json()["tasks"]
    assert "{done} pre-labelled, {failed} failed, {skipped} skipped, {waiting} waiting".format(**counts) in text
    (failure,) = client.get(f"/api/auto-label/{job_id}/failures").get_json()["failures"]
    assert f"Task {failure['task']} : {failure['reason']}" in text
    models = {one["id"]: one for one in client.get("/api/projects/1/models").get_json()["models"]}
    lines = re.findall(r'<strong>p1-m(\d+)</strong>.*?class="score">(\d+)%', html, re.DOTALL)
    assert {int(id): int(score) for id, score in lines} == {
        id: round(100 * one["map50"]) for id, one in models.items() if one["run"] == newest or id in (1, 2)
    }
    card = page(client, "/projects")
    shown = facts(card)
    assert shown["Labels so far"] == str(sum(api["labels_of_all_classes"].values()))
    assert (shown["Images"], shown["To review"]) == ("1,203", "1,100")


def test_the_model_in_use_comes_first_and_the_one_before_can_come_back(client: FlaskClient, world: World) -> None:
    rich(world)
    html = page(client, "/projects/1")
    first, before = re.findall(r'<strong>(p1-m\d+)</strong>[^<]*<span class="badge[^"]*">([^<]+)', html)
    assert (first, before) == (("p1-m2", "in use"), ("p1-m1", "used before"))
    assert html.index("p1-m2</strong>") < html.index("p1-m12</strong>")
    assert "Roll back to p1-m1" in html
    assert "started from: ImageNet backbone" in html


def test_past_runs_are_told_as_rest_tells_them(client: FlaskClient, world: World) -> None:
    newest, _ = rich(world)
    runs = client.get("/api/projects/1/runs").get_json()["runs"]
    assert [one["status"] for one in runs] == ["done", "failed", "done"]
    assert [one["models"] for one in runs] == [4, 0, 4]
    assert [one["id"] for one in client.get(f"/api/projects/1/runs?before={newest}").get_json()["runs"]] == [2, 1]
    text = visible(page(client, "/projects/1"))
    past = text[text.index("Past training runs") :]
    assert "Training failed: too dark." in past
    assert f"best score {runs[2]['best']['map50']:.0%} {runs[2]['best']['version']}" in past
    whole = visible(page(client, "/projects/1/runs"))
    for one in runs:
        assert f"Training run {one['id']}" in whole
    assert all(f"p1-m{id}" in whole for id in (1, 2, 3, 4, 9, 12))


def test_a_run_that_was_never_voted_on_is_told(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 12])
    world.selection(world.run(), plain_images(5))
    assert "Nobody has voted yet." in visible(page(client, "/projects/1"))
    post(client, "/projects/1/runs", "/projects/1", **{"class": CLASSES})
    assert "never voted on" in visible(page(client, "/projects/1"))


def test_what_a_waiting_run_waits_for_is_told(client: FlaskClient, world: World) -> None:
    world.project(1, "Kitchen")
    world.project(2, "Secret")
    world.tasks([12, 12, 12])
    world.run("queued")
    other = world.run("running", project_id=2)
    text = visible(page(client, "/projects/1"))
    assert "At work now: something of another project" in text
    assert "Secret" not in text
    world.house.visible.add(2)
    html = page(client, "/projects/1")
    assert f"training run {other} of Secret" in html
    assert 'href="/projects/2#run-title"' in html


def test_loss_curve_has_words_for_those_who_do_not_see_it(client: FlaskClient, world: World) -> None:
    world.project()
    run_id = world.run("running")
    second = world.candidates(run_id)[1].id
    with world.services.database.write() as session:
        session.execute(
            update(Candidate).where(Candidate.id == second).values(loss=[[0.0, 8.0], [0.2, 4.0], [0.45, 2.0]])
        )
    html = page(client, "/projects/1/live")
    assert html.count('class="spark"') == 1
    assert "8.00 at the start, 2.00 now" in html
    assert 'points="0.0,1.0 20.0,21.0 45.0,31.0"' in html
    assert client.get(f"/api/runs/{run_id}").get_json()["candidates"][1]["loss"][-1] == [0.45, 2.0]


def test_screen_readers_hear_changes_of_state_only(client: FlaskClient, world: World) -> None:
    """What is said does not change with every percent."""
    world.project()
    run_id = world.run("running")
    said = re.search(r'data-say="([^"]+)"', page(client, "/projects/1/live"))
    with world.services.database.write() as session:
        session.execute(update(Candidate).where(Candidate.run_id == run_id).values(fraction=0.9))
    again = re.search(r'data-say="([^"]+)"', page(client, "/projects/1/live"))
    assert said is not None
    assert again is not None
    assert said[1] == again[1] == "Training is under way."


def test_classes_that_the_project_learns_are_ticked(client: FlaskClient, world: World) -> None:
    world.project(chosen_classes=["cup"])
    world.tasks([12, 12, 3])
    html = page(client, "/projects/1")
    assert re.search(r'name="class" value="cup"[^>]* checked', html)
    fork = re.search(r'name="class" value="&lt;b&gt;fork[^>]*>', html)
    assert fork is not None
    assert "checked" not in fork[0]
    assert "disabled" not in fork[0]
    assert "Still too few labels: spoon." in visible(html)
