"""The pages with Flask's test client: what they show, what their forms do, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, Visitor, World, make_world, plain_images
from sqlalchemy import select

from custom_ai import web
from custom_ai.errors import N_
from custom_ai.state.tables import AutoLabelJob, Ballot, Project, Promotion, Run, Selection


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = make_world(tmp_path)
    monkeypatch.setattr(web, "SignIn", lambda services: made.house)
    yield made
    made.services.database.dispose()


@pytest.fixture
def client(world: World) -> FlaskClient:
    return world.app().test_client()


def page(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path, follow_redirects=True)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def post(client: FlaskClient, path: str, on: str, **fields: object) -> str:
    """Send a form as the page ``on`` would, and return the page that follows."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, on))
    assert token is not None
    answer = client.post(path, data={"csrf_token": token[1], **fields}, follow_redirects=True)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.history, "expected a redirect after the POST"
    return answer.get_data(as_text=True)


def visible(html: str) -> str:
    """The text of a page, without tags and with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# The list


def test_no_project_says_how_to_connect_one(client: FlaskClient) -> None:
    html = page(client, "/")
    assert "custom-ai connect PROJECT" in html
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
    assert "Come back" in html


def test_foreign_project_looks_like_none(client: FlaskClient, world: World) -> None:
    world.project(2, "Secret")
    for path in ("/projects/2", "/projects/2/live", "/projects/999"):
        html = page(client, path, status=404)
        assert "Secret" not in html
        assert "does not exist here" in html


# The dashboard


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


# The vote


def test_vote_from_the_first_round_to_the_result(client: FlaskClient, world: World) -> None:
    """Each round shows the image once per candidate in unnamed places; the winner is promoted."""
    world.project()
    candidates = world.candidates(world.run())
    selection_id = world.selection(candidates[0].run_id, plain_images(5))
    vote = f"/selections/{selection_id}"

    html = page(client, vote)
    with world.services.database.read() as session:
        ballots = list(session.scalars(select(Ballot).order_by(Ballot.round)))
    assert [sorted(one.shown) for one in ballots] == [sorted(one.id for one in candidates)] * 5
    for ballot in ballots:
        html = page(client, f"{vote}?round={ballot.round + 1}")
        assert html.count("<image ") == 4
        for one in candidates:
            assert one.version not in html
            assert one.title not in html
        # The n-th candidate drew n boxes: what stands in each place is what the ballot recorded.
        drawn = [place.count('class="line"') for place in html.split('class="picture"')[1:]]
        assert drawn == [candidates.index(next(c for c in candidates if c.id == id)) + 1 for id in ballot.shown]

    wanted = candidates[2].id
    for ballot in ballots:
        place = ballot.shown.index(wanted) + 1
        html = post(client, f"{vote}/rounds/{ballot.round + 1}", vote, pick=[place])
        following = ballot.round + 2
        assert f"round {following}" in html if following <= 5 else "Your rounds" in html
    with world.services.database.read() as session:
        assert [one.picks for one in session.scalars(select(Ballot))] == [[wanted]] * 5

    html = post(client, f"{vote}/close", f"{vote}?summary=1")
    assert f"Model {candidates[2].version} has won" in html
    assert "Votes: 5" in html
    with world.services.database.read() as session:
        assert session.get_one(Selection, selection_id).winner_id == wanted
        assert session.scalars(select(Promotion.candidate_id).where(Promotion.active)).one() == wanted
    assert world.bell.rung == [("apply_champion", (1,))]


def test_round_can_be_changed_until_the_vote_is_closed(client: FlaskClient, world: World) -> None:
    world.project()
    selection_id = world.selection(world.run(), plain_images(5))
    vote = f"/selections/{selection_id}"
    post(client, f"{vote}/rounds/1", vote, pick=["1"])
    post(client, f"{vote}/rounds/1", vote, pick=["2", "3"])
    html = page(client, f"{vote}?round=1")
    assert re.findall(r'name="pick" value="(\d)" checked', html) == ["2", "3"]


@pytest.mark.parametrize("picks", [[], ["5"], ["0"], ["x"], ["-1"]])
def test_round_needs_a_picture_that_is_there(client: FlaskClient, world: World, picks: list[str]) -> None:
    world.project()
    selection_id = world.selection(world.run(), plain_images(5))
    vote = f"/selections/{selection_id}"
    html = post(client, f"{vote}/rounds/2", vote, pick=picks)
    assert "Vote, round 2" in html
    assert "cannot be used" in html
    with world.services.database.read() as session:
        assert all(one.picks is None for one in session.scalars(select(Ballot)))


def test_unknown_round_is_not_found(client: FlaskClient, world: World) -> None:
    world.project()
    selection_id = world.selection(world.run(), plain_images(5))
    page(client, f"/selections/{selection_id}?round=6", status=404)
    page(client, f"/selections/{selection_id}?round=-1", status=404)
    page(client, "/selections/77", status=404)


def test_close_before_somebody_has_voted_all_rounds(client: FlaskClient, world: World) -> None:
    world.project()
    selection_id = world.selection(world.run(), plain_images(5))
    vote = f"/selections/{selection_id}"
    post(client, f"{vote}/rounds/1", vote, pick=["1"])
    assert re.search(r'<button class="main" disabled>', page(client, f"{vote}?summary=1"))
    assert "nobody has voted all rounds yet" in post(client, f"{vote}/close", f"{vote}?summary=1")
    with world.services.database.read() as session:
        assert session.get_one(Selection, selection_id).status == "open"


def test_vote_that_a_new_run_closed_says_so(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 12, 12])
    selection_id = world.selection(world.run(), plain_images(5))
    post(client, "/projects/1/runs", "/projects/1", **{"class": CLASSES})
    assert "closed without a result" in page(client, f"/selections/{selection_id}")


def test_another_voter_has_own_rounds(client: FlaskClient, world: World) -> None:
    world.project()
    selection_id = world.selection(world.run(), plain_images(10))
    page(client, f"/selections/{selection_id}")
    world.house.visitor = Visitor(2, "bob@example.com")
    page(client, f"/selections/{selection_id}")
    with world.services.database.read() as session:
        ballots = list(session.scalars(select(Ballot)))
    images = {voter: {one.image_id for one in ballots if one.voter == voter} for voter in {b.voter for b in ballots}}
    assert len(images) == 2
    assert not set.intersection(*images.values())


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
    ]
    assert len(routes) == 9
    for rule in routes:
        path = re.sub(r"<int:\w+>", "1", rule.rule)
        answer = client.post(path, data={"class": CLASSES, "pick": ["1"]})
        assert answer.status_code == 400, path
        assert "This page is too old" in answer.get_data(as_text=True)
    assert world.bell.rung == []


def test_korean_is_chosen_and_remembered(client: FlaskClient, world: World) -> None:
    world.project()
    world.tasks([12, 7, 0])
    assert '<html lang="en">' in page(client, "/projects/1")
    html = page(client, "/projects/1?lang=ko")
    assert '<html lang="ko">' in html
    assert "3개 부족" in html
    assert '<html lang="ko">' in page(client, "/projects"), "the choice is remembered"
    assert '<html lang="en">' in page(client, "/projects?lang=en")


def test_browser_may_ask_for_korean(client: FlaskClient, world: World) -> None:
    answer = client.get("/projects", headers={"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.5"})
    assert '<html lang="ko">' in answer.get_data(as_text=True)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_all_pages_work_in_both_languages(client: FlaskClient, world: World, language: str) -> None:
    world.project()
    world.tasks([12, 12, 3])
    run_id = world.run()
    first, *_ = world.candidates(run_id)
    selection_id = world.selection(run_id, plain_images(5))
    world.promote(first.id)
    world.job(first.id, waiting=2, done=3)
    for path in ("/projects", "/projects/1", f"/selections/{selection_id}", f"/selections/{selection_id}?summary=1"):
        html = page(client, f"{path}{'&' if '?' in path else '?'}lang={language}")
        left_over = re.findall(r"\{\w+\}", visible(html))
        assert not left_over, "a placeholder was not filled in"
