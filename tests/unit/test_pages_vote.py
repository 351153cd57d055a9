"""The pages of the blind vote."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from page_world import CLASSES, Visitor, World, page, plain_images, post, refused, visible
from sqlalchemy import select

from custom_ai.state.tables import Ballot, Promotion, Selection, now


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
    assert len(re.findall(r"<button[^>]* disabled>", page(client, f"{vote}?summary=1"))) == 2, "confirm and close"
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


def opened(world: World, images: int = 5) -> tuple[int, str]:
    """An open vote: its id and its address."""
    world.project()
    selection_id = world.selection(world.run(), plain_images(images))
    return selection_id, f"/selections/{selection_id}"


def vote_all(client: FlaskClient, vote: str, rounds: int = 5, **fields: object) -> None:
    for number in range(1, rounds + 1):
        post(client, f"{vote}/rounds/{number}", vote, **(fields or {"pick": ["1"]}))


def test_none_is_good_is_kept_and_shown(client: FlaskClient, world: World) -> None:
    _, vote = opened(world)
    assert "round 2" in post(client, f"{vote}/rounds/1", vote, none="1")
    assert re.search(r'name="none" value="1" checked', page(client, f"{vote}?round=1"))
    assert "none is good" in visible(page(client, f"{vote}?summary=1"))
    assert "either pick pictures" in post(client, f"{vote}/rounds/2", vote, none="1", pick=["2"])


def test_summary_confirms(client: FlaskClient, world: World) -> None:
    _, vote = opened(world)
    vote_all(client, vote)
    assert "Confirm my choice" in page(client, f"{vote}?summary=1")
    html = post(client, f"{vote}/confirm", f"{vote}?summary=1")
    assert "your choice is confirmed" in html
    assert "Confirm my choice" not in html
    post(client, f"{vote}/rounds/3", vote, none="1")
    assert "Confirm my choice" in page(client, f"{vote}?summary=1")


def test_deadline_is_set_on_the_summary(client: FlaskClient, world: World) -> None:
    selection_id, vote = opened(world)
    assert "The new deadline is set." in post(client, f"{vote}/deadline", f"{vote}?summary=1", days="30")
    for wrong in ("0", "400", "", "x"):
        html = refused(client, f"{vote}/deadline", f"{vote}?summary=1", days=wrong)
        assert "cannot be used" in html
        assert f'max="366" required value="{wrong}"' in html
    with world.services.database.read() as session:
        deadline = session.get_one(Selection, selection_id).deadline_at
    assert deadline is not None
    assert 29 < (deadline - now()).total_seconds() / 86400 < 30


def test_second_owner_who_closes_is_led_to_the_result(client: FlaskClient, world: World) -> None:
    """Both have the summary open; the second one's button comes too late, and changes nothing."""
    _, vote = opened(world)
    vote_all(client, vote)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, f"{vote}?summary=1"))
    assert token is not None
    for said in ("has won", "this vote is closed"):
        answer = client.post(f"{vote}/close", data={"csrf_token": token[1]}, follow_redirects=True)
        assert said in visible(answer.get_data(as_text=True))
        assert "Result of the vote" in answer.get_data(as_text=True)
    late = client.post(f"{vote}/rounds/1", data={"csrf_token": token[1], "pick": "2"}, follow_redirects=True)
    assert "this vote is closed" in late.get_data(as_text=True)
    with world.services.database.read() as session:
        assert len(session.scalars(select(Promotion)).all()) == 1


def test_result_tells_how_certain_it_is_and_who_saw_what(client: FlaskClient, world: World) -> None:
    _, vote = opened(world)
    vote_all(client, vote, pick=["2"])
    html = post(client, f"{vote}/close", f"{vote}?summary=1")
    text = visible(html)
    assert re.search(r"chance that p1-m\d is (really )?the best", text)
    assert "none was good in: 0" in text
    assert "ann@example.com" in text
    with world.services.database.read() as session:
        ballots = list(session.scalars(select(Ballot).order_by(Ballot.round)))
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', html, re.S)
    assert [re.findall(r"p1-m(\d+)", row) for row in rows] == [[str(id) for id in one.shown] for one in ballots]
    assert all(
        re.search(r'class="picked">p1-m(\d+)', row)[1] == str(one.shown[1])
        for row, one in zip(rows, ballots, strict=True)
    )


def test_owner_overrules_and_it_is_shown(client: FlaskClient, world: World) -> None:
    selection_id, vote = opened(world)
    vote_all(client, vote)
    assert "only models that took part" in post(client, f"{vote}/overrule", f"{vote}?summary=1", model="1")
    post(client, f"{vote}/close", f"{vote}?summary=1")
    with world.services.database.read() as session:
        winner = session.get_one(Selection, selection_id).winner_id
    other = next(one for one in world.candidates(1) if one.id != winner)
    text = visible(post(client, f"{vote}/overrule", vote, model=str(other.id)))
    assert f"{other.version} by ann@example.com, who overruled the vote" in text
    assert "only models that took part" in post(client, f"{vote}/overrule", vote, model="77")
    with world.services.database.read() as session:
        assert session.scalars(select(Promotion.how).where(Promotion.active)).one() == "overruled"


# Guests


def invite(client: FlaskClient, vote: str, **fields: object) -> str:
    """The path of a link that the owner makes on the summary."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', page(client, f"{vote}?summary=1"))
    assert token is not None
    answer = client.post(f"{vote}/links", data={"csrf_token": token[1], "name": "Kim <b>", **fields})
    assert answer.headers["Cache-Control"] == "private, no-store"
    html = answer.get_data(as_text=True)
    assert "Kim &lt;b&gt;" in html
    found = re.search(r'id="link"[^>]* value="http://localhost:9090(/vote-links/[^"]+)"', html)
    assert found is not None, visible(html)
    return found[1]


def test_guest_votes_by_link_and_sees_nothing_else(client: FlaskClient, world: World) -> None:
    selection_id, vote = opened(world, images=10)
    link = invite(client, vote)
    world.house.visitor = None
    guest = world.app().test_client()
    answer = guest.get(link)
    assert (answer.status_code, answer.location) == (303, f"/guest-votes/{selection_id}")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    booth = answer.location
    html = page(guest, booth)
    assert "You vote as Kim &lt;b&gt;." in html
    secrets = [
        "Kitchen",
        "ann@example.com",
        *(word for one in world.candidates(1) for word in (one.version, one.title)),
    ]
    assert not [word for word in secrets if word in html]
    image = re.search(rf'<image href="({booth}/images/\d+)"', html)
    assert image is not None
    assert guest.get(image[1]).mimetype == "image/jpeg"

    post(guest, f"{booth}/rounds/1", booth, none="1")
    for number in range(2, 6):
        html = post(guest, f"{booth}/rounds/{number}", booth, pick=["1"])
    assert "Confirm my choice" in html
    assert "Close the vote" not in html
    assert "Make a link" not in html
    assert "your choice is confirmed" in post(guest, f"{booth}/confirm", f"{booth}?summary=1")
    with world.services.database.read() as session:
        ballots = list(session.scalars(select(Ballot).where(Ballot.voter == "guest:Kim <b>").order_by(Ballot.round)))
    assert len(ballots) == 5
    assert ballots[0].picks == []

    for path in (
        vote,
        f"{vote}/images/1",
        "/projects",
        "/projects/1",
        "/api/projects",
        f"/api{vote}",
        f"/api{vote}/result",
    ):
        assert guest.get(path).status_code == 401, path
    for path in (f"{vote}/close", f"{vote}/links", f"{vote}/overrule", f"/api{vote}/close"):
        assert guest.post(path).status_code in (400, 401), path
    used = {one.image_id for one in ballots}
    other = next(number for number in range(1, 11) if number not in used)
    page(guest, f"{booth}/images/{other}", status=404)

    world.house.visitor = Visitor(1, "ann@example.com")
    assert "Kim &lt;b&gt; (by link)" in post(client, f"{vote}/close", f"{vote}?summary=1")
    world.house.visitor = None
    for path in (booth, link):
        text = page(guest, path, status=410)
        assert "The vote is over" in text
        assert "p1-m" not in text


def test_guest_of_another_vote_forged_and_expired_links(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, vote = opened(world)
    link = invite(client, vote, days="1")
    world.house.visitor = None
    guest = world.app().test_client()
    page(guest, link)
    assert "not opened in this browser" in page(guest, "/guest-votes/77", status=403)
    for forged in (link[:-2] + "xx", "/vote-links/nothing", link.rpartition(".")[0]):
        assert "not made here" in page(world.app().test_client(), forged, status=403)
    monkeypatch.setattr("custom_ai_ui.guests.time.time", lambda: time.time_ns() / 1e9 + 86400)
    assert "it has expired" in page(guest, "/guest-votes/1", status=403)
    assert "Result" not in page(guest, "/guest-votes/1?summary=1", status=403)


def test_guest_needs_the_csrf_token_too(client: FlaskClient, world: World) -> None:
    _, vote = opened(world)
    link = invite(client, vote)
    world.house.visitor = None
    guest = world.app().test_client()
    page(guest, link)
    for path in ("/guest-votes/1/rounds/1", "/guest-votes/1/confirm"):
        answer = guest.post(path, data={"pick": "1"})
        assert answer.status_code == 400
        assert "This page is too old" in answer.get_data(as_text=True)


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "x" * 81}, {"days": "0"}, {"days": "91"}, {"days": "soon"}])
def test_links_that_cannot_be_made(client: FlaskClient, world: World, fields: dict[str, str]) -> None:
    _, vote = opened(world)
    sent = {"name": "Kim", "days": "7", **fields}
    html = refused(client, f"{vote}/links", f"{vote}?summary=1", **sent)
    assert "cannot be used" in html
    assert 'id="link"' not in html
    assert f'autocomplete="off" value="{sent["name"]}"' in html and f'max="90" value="{sent["days"]}"' in html


def test_an_image_is_asked_for_again_each_time(client: FlaskClient, world: World) -> None:
    """Who has signed out sees none any more, not even one that the browser has kept."""
    _, vote = opened(world)
    found = re.search(r'<image href="([^"]+)"', page(client, f"{vote}?round=1"))
    assert found is not None
    first = client.get(found[1])
    assert (first.status_code, first.mimetype, first.headers["Cache-Control"]) == (
        200,
        "image/jpeg",
        "private, no-cache",
    )
    again = client.get(found[1], headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and not again.data


# The REST API


def test_rest_api_of_a_vote(client: FlaskClient, world: World) -> None:
    selection_id, _ = opened(world)
    api = f"/api/selections/{selection_id}"
    headers = {"X-CSRFToken": client.get("/api/me").get_json()["csrf_token"]}

    def send(method: str, path: str, **body: object) -> tuple[int, dict[str, Any]]:
        answer = client.open(api + path, method=method, json=body, headers=headers)
        return answer.status_code, answer.get_json()

    for number in range(1, 6):
        assert send("PUT", f"/ballots/{number}", picks=[] if number == 1 else [1, 2])[0] == 200
    assert [one["picks"] for one in client.get(f"{api}/ballots").get_json()["rounds"]] == [[]] + [[1, 2]] * 4
    assert send("POST", "/confirm")[1]["confirmed"] == ["ann@example.com"]
    assert send("PATCH", "", deadline_at="2999-01-01T00:00:00Z")[0] == 400
    assert send("PATCH", "", deadline_at="soon")[0] == 400
    assert send("PATCH", "", deadline="x")[0] == 400
    moment = (now() + timedelta(days=2)).isoformat(timespec="seconds")
    assert send("PATCH", "", deadline_at=moment)[1]["deadline_at"] == moment
    status, link = send("POST", "/links", name="Kim", days=2)
    assert (status, link["voter"], link["days"]) == (201, "guest:Kim", 2)
    assert send("POST", "/links", name=5)[0] == 400
    assert send("POST", "/links", name="Kim", days=0)[0] == 400
    assert client.get(f"{api}/result").status_code == 409
    assert send("POST", "/close")[1]["status"] == "closed"
    assert send("POST", "/close")[0] == 409
    found = client.get(f"{api}/result").get_json()
    assert (found["rounds_voted"], found["none_is_good"], found["voters"]) == (5, 1, 1)
    assert sum(one["votes"] for one in found["candidates"]) == 8
