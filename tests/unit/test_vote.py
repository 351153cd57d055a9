"""The vote: who sees what, what counts, who wins, and who may change that afterwards."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from custom_ai.errors import BadInput, Conflict, LinkInvalid, NotFound, VoteOver
from custom_ai.pipeline import overview
from custom_ai.pipeline.ballots import ballots, cast, confirm, has_image, rounds_shown
from custom_ai.pipeline.results import in_ten, result
from custom_ai.pipeline.tick import tick
from custom_ai.pipeline.vote import champion, close, open_selection, promote_version, set_deadline
from custom_ai.pipeline.voter_links import make_link, read_link
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import (
    AuditEntry,
    Ballot,
    Candidate,
    Notification,
    Project,
    Promotion,
    Run,
    Selection,
    SelectionImage,
    now,
)
from support import WritingBell, services_in

SCORES = (0.5, 0.7, 0.7, 0.1)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    made = services_in(tmp_path)
    with made.database.write() as session:
        session.add(Project(id=1, title="Pets", available_classes=["cat"], connected_at=now()))
    return made


def open_vote(services: Services, images: int = 15, scores: tuple[float, ...] = SCORES) -> tuple[int, list[int]]:
    """An open vote over finished candidates with these scores; returns its id and theirs."""
    with services.database.write() as session:
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=["cat"], status="done")
        session.add(run)
        session.flush()
        rows = [
            Candidate(
                run_id=run.id,
                project_id=1,
                place=place,
                title="x",
                recipe={},
                classes=["cat"],
                status="done",
                map50=score,
                scores={"map50_low": score - 0.1, "map50_high": score + 0.1},
            )
            for place, score in enumerate(scores)
        ]
        session.add_all(rows)
        session.flush()
        pictures = [
            SelectionImage(
                task_id=number,
                sha256="0" * 64,
                width=10,
                height=10,
                disagreement=1.0,
                predictions={str(one.id): [] for one in rows},
            )
            for number in range(images)
        ]
        return open_selection(session, run, rows, pictures).id, [one.id for one in rows]


def vote_all(services: Services, selection_id: int, voter: str, wanted: list[int]) -> None:
    """Vote all rounds for these candidates."""
    for one in ballots(services, selection_id, voter):
        cast(services, selection_id, voter, one.round, [one.shown.index(id) for id in wanted])


def actions(services: Services) -> list[str]:
    with services.database.read() as session:
        return list(session.scalars(select(AuditEntry.action)))


# What voters see


def test_every_voter_has_an_order_of_their_own(services: Services) -> None:
    selection_id, ids = open_vote(services)
    mine = ballots(services, selection_id, "me")
    assert [one.round for one in mine] == [0, 1, 2, 3, 4]
    assert all(sorted(one.shown) == sorted(ids) for one in mine)
    assert [one.shown for one in ballots(services, selection_id, "me")] == [one.shown for one in mine]
    orders = {tuple(one.shown) for voter in range(20) for one in ballots(services, selection_id, f"voter {voter}")}
    assert len(orders) > 12  # of the 24 that there are


def test_voters_see_different_images_while_there_are_some(services: Services) -> None:
    selection_id, _ = open_vote(services, images=13)
    seen = [[one.image_id for one in ballots(services, selection_id, voter)] for voter in "abcd"]
    assert seen[0] == sorted(seen[0]), "the most telling ones first"
    assert len({*seen[0], *seen[1]}) == 10
    assert len({*seen[0], *seen[1], *seen[2]}) == 13
    every = [image for one in seen for image in one]
    assert max(every.count(image) for image in every) == 2, "20 rounds on 13 images"


def test_a_vote_with_few_images_has_fewer_rounds(services: Services) -> None:
    selection_id, ids = open_vote(services, images=2)
    assert len(ballots(services, selection_id, "me")) == 2
    vote_all(services, selection_id, "me", [ids[0]])
    assert close(services, selection_id, by="me").id == ids[0]


def test_a_vote_without_images_can_be_closed_by_the_score(services: Services) -> None:
    selection_id, ids = open_vote(services, images=0)
    assert rounds_shown(services, selection_id, "me") == []
    assert close(services, selection_id, by="me").id == ids[1]


# What counts


def test_the_winner_has_the_most_picks_and_becomes_champion(services: Services) -> None:
    selection_id, ids = open_vote(services)
    vote_all(services, selection_id, "me", [ids[3]])  # the one with the lowest score
    winner = close(services, selection_id, by="me")
    assert winner.id == ids[3]
    with services.database.read() as session:
        best = champion(session, 1)
    assert best is not None
    assert best.id == ids[3]
    assert actions(services).count("vote.cast") == 5
    assert actions(services)[-2:] == ["promote", "vote.close"]
    assert isinstance(services.bell, WritingBell)
    assert services.bell.rung == [("apply_champion", (1,))]


def test_votes_of_several_people_are_pooled_and_a_tie_goes_to_the_higher_score(services: Services) -> None:
    selection_id, ids = open_vote(services)
    vote_all(services, selection_id, "me", [ids[0]])
    vote_all(services, selection_id, "you", [ids[1], ids[3]])
    assert close(services, selection_id, by="me").id == ids[1]
    assert [one["votes"] for one in overview.selection(services, selection_id)["result"]] == [5, 5, 5, 0]


def test_a_round_may_be_voted_again_and_several_may_be_picked(services: Services) -> None:
    selection_id, _ = open_vote(services)
    mine = ballots(services, selection_id, "me")
    cast(services, selection_id, "me", 0, [0])
    changed = cast(services, selection_id, "me", 0, [1, 2, 2])
    assert changed.picks == [mine[0].shown[1], mine[0].shown[2]]


def test_none_is_good_is_an_answer_and_not_the_same_as_no_vote(services: Services) -> None:
    selection_id, _ = open_vote(services)
    assert rounds_shown(services, selection_id, "me")[0]["picks"] is None
    cast(services, selection_id, "me", 0, [])
    assert rounds_shown(services, selection_id, "me")[0]["picks"] == []
    with services.database.read() as session:
        stored = session.scalars(select(Ballot).order_by(Ballot.round)).all()
        unvoted = session.scalars(select(Ballot).where(Ballot.picks.is_(None))).all()
    assert (stored[0].picks, stored[0].voted_at is not None) == ([], True)
    assert len(unvoted) == 4
    for number in range(1, 5):
        cast(services, selection_id, "me", number, [])
    close(services, selection_id, by="me")
    found = result(services, selection_id)
    assert (found["none_is_good"], found["rounds_voted"]) == (5, 5)
    assert "In 5 of 5 rounds no picture was good" in " ".join(found["certainty"]["notes"])


@pytest.mark.parametrize(
    ("round", "places", "error", "match"),
    [
        (0, [4], BadInput, "no picture in this place"),
        (0, [-1], BadInput, "no picture in this place"),
        (5, [0], NotFound, "round 6"),
    ],
)
def test_impossible_votes(
    services: Services, round: int, places: list[int], error: type[Exception], match: str
) -> None:
    selection_id, _ = open_vote(services)
    with pytest.raises(error, match=match):
        cast(services, selection_id, "me", round, places)


def test_confirming_needs_all_rounds_and_ends_with_the_next_change(services: Services) -> None:
    selection_id, ids = open_vote(services)
    cast(services, selection_id, "me", 0, [0])
    with pytest.raises(Conflict, match="not voted all rounds"):
        confirm(services, selection_id, "me")
    vote_all(services, selection_id, "me", [ids[0]])
    confirm(services, selection_id, "me")
    assert overview.selection(services, selection_id)["confirmed"] == ["me"]
    cast(services, selection_id, "me", 2, [1])
    assert overview.selection(services, selection_id)["confirmed"] == []
    assert [one["confirmed"] for one in rounds_shown(services, selection_id, "me")] == [True, True, False, True, True]


# Closing


def test_a_vote_closes_once_and_only_when_somebody_has_voted(services: Services) -> None:
    selection_id, ids = open_vote(services)
    with pytest.raises(Conflict, match="nobody has voted"):
        close(services, selection_id, by="me")
    vote_all(services, selection_id, "me", [ids[0]])
    close(services, selection_id, by="me")
    for late in (
        lambda: close(services, selection_id, by="you"),
        lambda: cast(services, selection_id, "me", 0, [1]),
        lambda: ballots(services, selection_id, "late"),
        lambda: confirm(services, selection_id, "me"),
        lambda: set_deadline(services, selection_id, now() + timedelta(days=1), by="me"),
        lambda: make_link(services, selection_id, "Kim", by="me"),
    ):
        with pytest.raises(Conflict, match="closed"):
            late()
    found = overview.selection(services, selection_id)
    assert (found["closed_by"], found["winner"]["id"]) == ("me", ids[0])
    assert ballots(services, selection_id, "me"), "one's own rounds may still be read"


def test_of_two_owners_who_close_at_once_one_succeeds(services: Services) -> None:
    selection_id, ids = open_vote(services)
    vote_all(services, selection_id, "me", [ids[2]])
    gate, told = threading.Barrier(2), []

    def owner(name: str) -> None:
        gate.wait()
        try:
            told.append(close(services, selection_id, by=name).version)
        except Conflict as error:
            told.append(str(error))

    threads = [threading.Thread(target=owner, args=(name,)) for name in ("ann", "bob")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(told) == sorted([f"p1-m{ids[2]}", "That is not possible now: this vote is closed."])
    with services.database.read() as session:
        assert len(session.scalars(select(Promotion)).all()) == 1
    assert actions(services).count("vote.close") == 1


def test_a_vote_that_is_due_is_closed_by_the_votes_that_there_are(services: Services) -> None:
    selection_id, ids = open_vote(services)
    cast(services, selection_id, "me", 0, [ballots(services, selection_id, "me")[0].shown.index(ids[3])])
    with services.database.write() as session:
        session.execute(update(Selection).values(deadline_at=now() - timedelta(seconds=1)))
    tick(services)
    assert overview.selection(services, selection_id)["winner"]["id"] == ids[3]


def test_a_vote_that_is_due_without_a_vote_is_closed_by_the_score(services: Services) -> None:
    selection_id, ids = open_vote(services)
    with services.database.write() as session:
        session.execute(update(Selection).values(deadline_at=now() - timedelta(seconds=1)))
    tick(services)
    found = overview.selection(services, selection_id)
    assert found["status"] == "closed"
    assert found["winner"]["id"] == ids[1]  # .7, and before the other .7
    assert "Nobody voted" in result(services, selection_id)["certainty"]["notes"][0]


def test_the_deadline_can_be_moved(services: Services) -> None:
    selection_id, _ = open_vote(services)
    days = datetime.fromisoformat(overview.selection(services, selection_id)["deadline_at"]) - now()
    assert timedelta(days=13.9) < days <= timedelta(days=14)
    later = now() + timedelta(days=30)
    set_deadline(services, selection_id, later, by="me")
    assert overview.selection(services, selection_id)["deadline_at"] == later.isoformat(timespec="seconds")
    assert "vote.deadline" in actions(services)


@pytest.mark.parametrize("deadline", [now() - timedelta(minutes=1), now() + timedelta(days=400), datetime(2999, 1, 1)])
def test_impossible_deadlines(services: Services, deadline: datetime) -> None:
    selection_id, _ = open_vote(services)
    with pytest.raises(BadInput, match=f"{deadline.year}"):
        set_deadline(services, selection_id, deadline, by="me")


# Afterwards


def test_only_finished_models_of_the_project_can_serve(services: Services) -> None:
    _, ids = open_vote(services)
    with services.database.write() as session:
        session.get_one(Candidate, ids[0]).status = "failed"
    with pytest.raises(Conflict, match="never finished"):
        promote_version(services, 1, ids[0], by="me")
    with pytest.raises(NotFound):
        promote_version(services, 2, ids[1], by="me")
    assert promote_version(services, 1, ids[1], by="me").id == ids[1]
    assert promote_version(services, 1, ids[2], by="me").id == ids[2]


def test_overruling_the_vote_is_recorded_and_shown(services: Services) -> None:
    selection_id, ids = open_vote(services)
    vote_all(services, selection_id, "me", [ids[0]])
    close(services, selection_id, by="me")
    promote_version(services, 1, ids[2], by="boss")
    promote_version(services, 1, ids[0], by="boss")
    found = result(services, selection_id)
    assert [(one["how"], one["by"]) for one in found["decisions"]] == [
        ("vote", "me"),
        ("overruled", "boss"),
        ("person", "boss"),
    ]
    assert found["winner"] == ids[0], "the result of the vote stays what it was"
    with services.database.read() as session:
        details = [one.detail for one in session.scalars(select(AuditEntry).where(AuditEntry.action == "promote"))]
    assert [one["how"] for one in details] == ["vote", "overruled", "person"]
    with services.database.read() as session:
        told = [render(one.message) for one in session.scalars(select(Notification))]
    assert f"boss has overruled the vote: model p1-m{ids[2]} serves the project now." in told


def test_the_result_shows_who_saw_which_candidate_where(services: Services) -> None:
    selection_id, ids = open_vote(services)
    vote_all(services, selection_id, "me", [ids[1], ids[2]])
    with pytest.raises(Conflict, match="still open"):
        result(services, selection_id)
    mine = ballots(services, selection_id, "me")
    close(services, selection_id, by="me")
    found = result(services, selection_id)
    assert [one["shown"] for one in found["ballots"]] == [one.shown for one in mine]
    assert all(sorted(one["picks"]) == [ids[1], ids[2]] for one in found["ballots"])
    winner = found["candidates"][0]
    assert (winner["votes"], winner["low"], winner["high"]) == (5, pytest.approx(0.6), pytest.approx(0.8))
    assert sum(one["p_best"] for one in found["candidates"]) == pytest.approx(1.0, abs=0.005)
    assert found["certainty"]["level"] == "close", "two are equal in everything"
    assert "Too close to call" in found["certainty"]["text"]


def test_many_votes_for_the_one_with_the_best_score_are_certain(services: Services) -> None:
    selection_id, ids = open_vote(services, images=50, scores=(0.5, 0.8, 0.5, 0.4))
    for voter in range(8):
        vote_all(services, selection_id, f"voter {voter}", [ids[1]])
    close(services, selection_id, by="me")
    found = result(services, selection_id)["certainty"]
    assert found["level"] == "certain"
    assert "over 19 in 20" in found["text"]
    assert found["notes"] == []


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 1), (0.34, 3), (0.87, 9), (0.999, 9)])
def test_chances_in_words(chance: float, expected: int) -> None:
    assert in_ten(chance) == expected


# Links for people without an account


def token_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


def test_a_link_says_who_may_vote_where(services: Services) -> None:
    selection_id, _ = open_vote(services)
    link = read_link(services, token_of(make_link(services, selection_id, "  Kim  Min-ji ", by="me", days=3)))
    assert (link.selection_id, link.voter) == (selection_id, "guest:Kim Min-ji")
    assert timedelta(days=2.9) < link.expires_at - now() <= timedelta(days=3)
    with services.database.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "vote.link")).one()
    assert entry.detail == {"voter": "guest:Kim Min-ji", "days": 3}, "and no token"


@pytest.mark.parametrize("values", [{"name": " "}, {"name": "x" * 81}, {"name": "a\x00b"}, {"days": 0}, {"days": 91}])
def test_impossible_links(services: Services, values: dict[str, Any]) -> None:
    selection_id, _ = open_vote(services)
    with pytest.raises(BadInput):
        make_link(services, selection_id, **{"name": "Kim", "by": "me", **values})


def test_forged_links_are_refused(services: Services, tmp_path: Path) -> None:
    selection_id, _ = open_vote(services)
    token = token_of(make_link(services, selection_id, "Kim", by="me"))
    foreign = services_in(tmp_path / "other")
    with foreign.database.write() as session:
        session.add(Project(id=1, title="Pets", available_classes=["cat"], connected_at=now()))
    open_vote(foreign)
    # Not the last character: it carries two unused bits, so that a change there may change nothing.
    body, _, signature = token.rpartition(".")
    changed = f"{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    for forged in (changed, "x", token.partition(".")[0], ""):
        with pytest.raises(LinkInvalid, match="not made here"):
            read_link(services, forged)
    with pytest.raises(LinkInvalid, match="not made here"):
        read_link(foreign, token)


def test_a_link_expires_and_ends_with_its_vote(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    selection_id, ids = open_vote(services)
    token = token_of(make_link(services, selection_id, "Kim", by="me", days=1))
    with monkeypatch.context() as patch:
        patch.setattr("custom_ai.pipeline.voter_links.now", lambda: datetime.now(UTC) + timedelta(days=1, seconds=2))
        with pytest.raises(LinkInvalid, match="expired"):
            read_link(services, token)
    vote_all(services, selection_id, "me", [ids[0]])
    close(services, selection_id, by="me")
    with pytest.raises(VoteOver):
        read_link(services, token)


def test_voters_have_the_images_of_their_rounds(services: Services) -> None:
    selection_id, _ = open_vote(services)
    mine = {one.image_id for one in ballots(services, selection_id, "me")}
    assert all(has_image(services, selection_id, "me", one) for one in mine)
    assert not has_image(services, selection_id, "you", next(iter(mine)))
