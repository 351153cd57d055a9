"""The pages of the blind vote."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, Visitor, World, page, plain_images, post
from sqlalchemy import select

from custom_ai.state.tables import Ballot, Promotion, Selection


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
