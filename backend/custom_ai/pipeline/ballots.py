"""Ballots: what a voter is shown, and what they say about it.

The vote is blind: in each round one image is shown once per candidate, in an order that is shuffled
anew for every voter and round and recorded with the ballot. A voter is a Label Studio user's e-mail, or
"guest:NAME" for somebody with a link (see ``voter_links``).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, Conflict, NotFound
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import Ballot, Selection, SelectionImage, now


def ballots(services: Services, selection_id: int, voter: str) -> list[Ballot]:
    """The voter's rounds, made at the first call: which image, and in which order the candidates stand.

    Everybody gets the images that the fewest others have got, the most useful of them first: several people
    on one image add little certainty. Raises NotFound, or Conflict when the vote is closed to a new voter.
    """
    with services.database.read() as session:
        selection_of(session, selection_id)
        rows = _ballots(session, selection_id, voter)
        if rows:
            return rows
    try:
        with services.database.write() as session:
            selection = open_selection_of(session, selection_id)
            given = session.execute(
                select(Ballot.image_id, Ballot.voted_at).where(Ballot.selection_id == selection_id)
            ).all()
            shown_to = Counter(image_id for image_id, _ in given)
            voted = Counter(image_id for image_id, voted_at in given if voted_at is not None)
            # Stable: otherwise in their own order. Who looked in and did not vote stands back.
            images = sorted(selection.images, key=lambda image: (voted[image.id], shown_to[image.id]))
            dice = random.SystemRandom()
            for number, image in enumerate(images[: selection.rounds]):
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
    """Vote in one round: ``places`` (0-based, as shown) of the best pictures; empty: none of them is good.

    A round may be voted again until the vote is closed; the last word counts.
    Raises NotFound, BadInput, or Conflict when the vote is closed.
    """
    ballot = next((one for one in ballots(services, selection_id, voter) if one.round == round), None)
    if ballot is None:
        raise NotFound(what=N_("round"), id=round + 1)
    for place in places:
        if place not in range(len(ballot.shown)):
            raise BadInput(what=f"{place + 1}", why=N_("there is no picture in this place"))
    picks = [ballot.shown[place] for place in sorted(set(places))]
    with services.database.write() as session:
        selection = open_selection_of(session, selection_id)
        session.execute(
            update(Ballot).where(Ballot.id == ballot.id).values(picks=picks, voted_at=now(), confirmed_at=None)
        )
        record(session, voter, "vote.cast", selection.project_id, f"selection {selection_id}", round=round)
        return session.get_one(Ballot, ballot.id)


def confirm(services: Services, selection_id: int, voter: str) -> None:
    """The voter stands by all rounds. They count without it, too; it tells the owner that nothing more comes.

    Raises NotFound, or Conflict while a round is not voted or when the vote is closed.
    """
    mine = ballots(services, selection_id, voter)
    if any(one.voted_at is None for one in mine):
        raise Conflict(why=N_("you have not voted all rounds yet"))
    with services.database.write() as session:
        selection = open_selection_of(session, selection_id)
        session.execute(
            update(Ballot)
            .where(Ballot.selection_id == selection_id, Ballot.voter == voter, Ballot.confirmed_at.is_(None))
            .values(confirmed_at=now())
        )
        record(session, voter, "vote.confirm", selection.project_id, f"selection {selection_id}")


def rounds_shown(services: Services, selection_id: int, voter: str) -> list[dict[str, Any]]:
    """The voter's rounds as they may see them: pictures in places, without names.

    Each place holds shapes as rows of ``shapes.to_row`` with the score, in fractions of the image;
    ``picks`` are places counted from 1, [] for "none is good", None while the round is not voted.
    """
    mine = ballots(services, selection_id, voter)
    with services.database.read() as session:
        rows = session.scalars(
            select(SelectionImage).where(SelectionImage.id.in_([ballot.image_id for ballot in mine]))
        )
        images = {one.id: one for one in rows}
    return [
        {
            "round": ballot.round + 1,
            "image": ballot.image_id,
            "task": images[ballot.image_id].task_id,
            "width": images[ballot.image_id].width,
            "height": images[ballot.image_id].height,
            "places": [images[ballot.image_id].predictions.get(str(one), []) for one in ballot.shown],
            "picks": None if ballot.picks is None else [ballot.shown.index(one) + 1 for one in ballot.picks],
            "confirmed": ballot.confirmed_at is not None,
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


def has_image(services: Services, selection_id: int, voter: str, image_id: int) -> bool:
    """Whether this image stands in one of the voter's rounds."""
    with services.database.read() as session:
        found = session.scalar(
            select(Ballot.id).where(
                Ballot.selection_id == selection_id, Ballot.voter == voter, Ballot.image_id == image_id
            )
        )
    return found is not None


def selection_of(session: Session, selection_id: int) -> Selection:
    """Raises NotFound."""
    selection = session.get(Selection, selection_id)
    if selection is None:
        raise NotFound(what=N_("vote"), id=selection_id)
    return selection


def open_selection_of(session: Session, selection_id: int) -> Selection:
    """The vote, locked until the end of the transaction: nobody closes it meanwhile. Raises NotFound, Conflict."""
    selection = session.get(Selection, selection_id, with_for_update=True)
    if selection is None:
        raise NotFound(what=N_("vote"), id=selection_id)
    if selection.status != "open":
        raise Conflict(why=N_("this vote is closed"))
    return selection


def _ballots(session: Session, selection_id: int, voter: str) -> list[Ballot]:
    return list(
        session.scalars(
            select(Ballot).where(Ballot.selection_id == selection_id, Ballot.voter == voter).order_by(Ballot.round)
        )
    )
