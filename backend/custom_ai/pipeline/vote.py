"""The vote between candidates, promotion, and its taking back.

The vote is blind: in each round one image is shown once per candidate, in an order that is shuffled
anew for every voter and round and recorded with the ballot.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, Conflict, NotFound
from custom_ai.policy import VOTE_ROUNDS, Standing, tally
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify, record
from custom_ai.state.tables import Ballot, Candidate, Promotion, Run, Selection, SelectionImage, now

DEADLINE = timedelta(days=14)
"""An open vote is closed by the tick after this long, so that a project never waits for ever."""


def open_selection(
    session: Session, run: Run, candidates: Sequence[Candidate], images: Sequence[SelectionImage]
) -> Selection:
    """Open the vote of a run; ``images`` come with the most useful ones first."""
    selection = Selection(
        project_id=run.project_id,
        run_id=run.id,
        candidate_ids=[one.id for one in candidates],
        rounds=min(VOTE_ROUNDS, len(images)),
        deadline_at=now() + DEADLINE,
        images=list(images),
    )
    session.add(selection)
    session.flush()
    return selection


def cancel_selection(session: Session, project_id: int) -> bool:
    """Close the project's open vote without a winner. False: there was none."""
    done = session.execute(
        update(Selection)
        .where(Selection.project_id == project_id, Selection.status == "open")
        .values(status="cancelled", closed_at=now(), closed_by=SYSTEM)
    )
    return bool(getattr(done, "rowcount", 0))


def ballots(services: Services, selection_id: int, voter: str) -> list[Ballot]:
    """The voter's rounds, made at the first call: which image, and in which order the candidates stand.

    Voters after the first get other images while there are some: several people on the same images
    add little certainty. Raises NotFound.
    """
    with services.database.read() as session:
        rows = _ballots(session, selection_id, voter)
        if rows:
            return rows
    try:
        with services.database.write() as session:
            selection = _selection(session, selection_id)
            if selection.status != "open":
                raise Conflict(why=N_("this vote is closed"))
            before = len(
                session.scalars(select(Ballot.voter).where(Ballot.selection_id == selection_id).distinct()).all()
            )
            count = len(selection.images)
            dice = random.SystemRandom()
            for number in range(selection.rounds):
                image = selection.images[(before * selection.rounds + number) % count]
                shown = list(selection.candidate_ids)
                dice.shuffle(shown)
                session.add(
                    Ballot(selection_id=selection_id, voter=voter, round=number, image_id=image.id, shown=shown)
                )
    except IntegrityError:
        pass  # the same voter in another window was first: these ballots count
    with services.database.read() as session:
        return _ballots(session, selection_id, voter)


def cast(services: Services, selection_id: int, voter: str, round: int, places: Sequence[int]) -> Ballot:
    """Vote in one round: ``places`` (0-based, as shown) of the best pictures, at least one.

    A round may be voted again until the vote is closed; the last word counts.
    Raises NotFound, BadInput, or Conflict when the vote is closed.
    """
    mine = {ballot.round: ballot for ballot in ballots(services, selection_id, voter)}
    ballot = mine.get(round)
    if ballot is None:
        raise NotFound(what=N_("round"), id=round + 1)
    if not places:
        raise BadInput(what=N_("an empty vote"), why=N_("pick at least one picture"))
    for place in places:
        if place not in range(len(ballot.shown)):
            raise BadInput(what=f"{place + 1}", why=N_("there is no picture in this place"))
    picks = [ballot.shown[place] for place in sorted(set(places))]
    with services.database.write() as session:
        if _selection(session, selection_id).status != "open":
            raise Conflict(why=N_("this vote is closed"))
        session.execute(update(Ballot).where(Ballot.id == ballot.id).values(picks=picks, voted_at=now()))
        record(
            session,
            voter,
            "vote.cast",
            _selection(session, selection_id).project_id,
            f"selection {selection_id}",
            round=round,
        )
        return session.get_one(Ballot, ballot.id)


def standings(session: Session, selection: Selection) -> list[Standing]:
    """The count so far, best first."""
    picks = session.scalars(
        select(Ballot.picks).where(Ballot.selection_id == selection.id, Ballot.voted_at.is_not(None))
    )
    candidates = session.scalars(select(Candidate).where(Candidate.id.in_(selection.candidate_ids)))
    scores = {one.id: one.map50 or 0.0 for one in candidates}
    return tally([one for one in picks if one], scores)


def close(services: Services, selection_id: int, *, by: str, at_deadline: bool = False) -> Candidate:
    """End the vote and promote the winner, in one transaction.

    Raises Conflict when it is closed already, or when nobody has voted all rounds (at the deadline
    the held-out score decides alone).
    """
    with services.database.write() as session:
        selection = _selection(session, selection_id)
        if not at_deadline and not _complete(session, selection):
            raise Conflict(why=N_("nobody has voted all rounds yet"))
        winner_id = standings(session, selection)[0].candidate_id
        closed = session.execute(
            update(Selection)
            .where(Selection.id == selection_id, Selection.status == "open")
            .values(status="closed", closed_at=now(), closed_by=by, winner_id=winner_id)
        )
        if not getattr(closed, "rowcount", 0):
            raise Conflict(why=N_("this vote is closed"))
        winner = session.get_one(Candidate, winner_id)
        promote(session, winner, by=by, how="vote")
        notify(
            session,
            selection.project_id,
            "selection_closed",
            N_("The vote is closed: model {version} was chosen and serves the project now."),
            version=winner.version,
        )
    services.bell.ring("apply_champion", selection.project_id)
    return winner


def promote_version(services: Services, project_id: int, candidate_id: int, *, by: str) -> Candidate:
    """Let a person decide which model serves: roll back, or overrule a vote."""
    with services.database.write() as session:
        candidate = session.get(Candidate, candidate_id)
        if candidate is None or candidate.project_id != project_id:
            raise NotFound(what=N_("model"), id=candidate_id)
        if candidate.status != "done":
            raise Conflict(why=N_("this model was never finished"))
        promote(session, candidate, by=by, how="person")
        notify(
            session,
            project_id,
            "promoted",
            N_("Model {version} serves the project now, by decision of {who}."),
            version=candidate.version,
            who=by,
        )
    services.bell.ring("apply_champion", project_id)
    return candidate


def promote(session: Session, candidate: Candidate, *, by: str, how: str) -> None:
    """Make a candidate the champion, inside the caller's transaction."""
    session.execute(
        update(Promotion).where(Promotion.project_id == candidate.project_id, Promotion.active).values(active=False)
    )
    session.add(Promotion(project_id=candidate.project_id, candidate_id=candidate.id, how=how, promoted_by=by))
    session.flush()
    record(session, by, "promote", candidate.project_id, candidate.version, how=how)


def champion(session: Session, project_id: int) -> Candidate | None:
    """The model that serves the project now."""
    promotion = session.scalar(select(Promotion).where(Promotion.project_id == project_id, Promotion.active))
    return None if promotion is None else promotion.candidate


def _complete(session: Session, selection: Selection) -> bool:
    rows = session.execute(
        select(Ballot.voter).where(Ballot.selection_id == selection.id, Ballot.voted_at.is_not(None))
    )
    voted = [row[0] for row in rows]
    return any(voted.count(voter) >= selection.rounds for voter in set(voted))


def _selection(session: Session, selection_id: int) -> Selection:
    selection = session.get(Selection, selection_id)
    if selection is None:
        raise NotFound(what=N_("vote"), id=selection_id)
    return selection


def _ballots(session: Session, selection_id: int, voter: str) -> list[Ballot]:
    _selection(session, selection_id)
    return list(
        session.scalars(
            select(Ballot).where(Ballot.selection_id == selection_id, Ballot.voter == voter).order_by(Ballot.round)
        )
    )


def rounds_shown(services: Services, selection_id: int, voter: str) -> list[dict[str, Any]]:
    """The voter's rounds as they may see them: pictures in places, without names.

    Each place holds shapes as rows of ``shapes.to_row`` with the score, in fractions of the image;
    ``picks`` are places counted from 1.
    """
    mine = ballots(services, selection_id, voter)
    with services.database.read() as session:
        images = {one.id: one for one in _selection(session, selection_id).images}
    return [
        {
            "round": ballot.round + 1,
            "image": ballot.image_id,
            "task": images[ballot.image_id].task_id,
            "width": images[ballot.image_id].width,
            "height": images[ballot.image_id].height,
            "places": [images[ballot.image_id].predictions.get(str(one), []) for one in ballot.shown],
            "picks": None if ballot.picks is None else [ballot.shown.index(one) + 1 for one in ballot.picks],
        }
        for ballot in mine
    ]


def image(services: Services, selection_id: int, image_id: int) -> bytes:
    """The JPEG of one image of a vote. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(SelectionImage, image_id)
    if row is None or row.selection_id != selection_id:
        raise NotFound(what=N_("image"), id=image_id)
    return services.store.path(row.sha256).read_bytes()
