"""The vote between candidates: opening, deadline, closing; promotion, and its taking back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput, Conflict, NotFound
from custom_ai.pipeline.ballots import open_selection_of
from custom_ai.policy import VOTE_ROUNDS, Standing, tally
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify, record
from custom_ai.state.tables import Ballot, Candidate, Notification, Promotion, Run, Selection, SelectionImage, now

CLOSING = timedelta(days=1)
LONGEST = timedelta(days=366)
"""A deadline further away is a slip of the keyboard."""


def open_selection(
    session: Session, run: Run, candidates: Sequence[Candidate], images: Sequence[SelectionImage], *, days: float = 14.0
) -> Selection:
    """Open the vote of a run; ``images`` come with the most useful ones first.

    The tick closes it after ``days``, so that a project never waits for ever.
    """
    selection = Selection(
        project_id=run.project_id,
        run_id=run.id,
        candidate_ids=[one.id for one in candidates],
        rounds=min(VOTE_ROUNDS, len(images)),
        deadline_at=now() + timedelta(days=days),
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


def set_deadline(services: Services, selection_id: int, deadline: datetime, *, by: str) -> None:
    """Close the vote by itself at another time. Raises NotFound, BadInput, or Conflict when it is closed."""
    if deadline.tzinfo is None:
        raise BadInput(what=deadline.isoformat(), why=N_("expected a time with its time zone"))
    if not now() < deadline < now() + LONGEST:
        raise BadInput(
            what=deadline.isoformat(timespec="minutes"), why=N_("a deadline lies in the future, within a year")
        )
    with services.database.write() as session:
        selection = open_selection_of(session, selection_id)
        selection.deadline_at = deadline
        shown = deadline.isoformat(timespec="seconds")
        record(session, by, "vote.deadline", selection.project_id, f"selection {selection_id}", deadline=shown)


def tell_closing(services: Services) -> None:
    """Say once of each open vote that it closes soon: a day before, or when three quarters of a short one are over."""
    with services.database.write() as session:
        for one in session.scalars(select(Selection).where(Selection.status == "open")):
            if one.deadline_at is None or not now() < one.deadline_at:
                continue
            soon = min(CLOSING, (one.deadline_at - one.opened_at) / 4)
            subject = f"selection {one.id}"
            told = select(Notification.id).where(
                Notification.project_id == one.project_id,
                Notification.event == "selection_closing",
                Notification.subject == subject,
            )
            if one.deadline_at - now() > soon or session.scalar(told.limit(1)) is not None:
                continue
            notify(
                session,
                one.project_id,
                "selection_closing",
                N_("The vote closes soon, at {at}. Until then every vote counts."),
                about=subject,
                at=one.deadline_at.strftime("%Y-%m-%d %H:%M UTC"),
            )


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
    the votes that there are decide, and without any the held-out score).
    """
    with services.database.write() as session:
        selection = open_selection_of(session, selection_id)
        if not at_deadline and not _complete(session, selection):
            raise Conflict(why=N_("nobody has voted all rounds yet"))
        count = standings(session, selection)
        winner = session.get_one(Candidate, count[0].candidate_id)
        selection.status, selection.closed_at, selection.closed_by = "closed", now(), by
        selection.winner_id = winner.id
        promote(session, winner, by=by, how="vote")
        record(session, by, "vote.close", selection.project_id, f"selection {selection_id}", winner=winner.version)
        notify(
            session,
            selection.project_id,
            "selection_closed",
            N_("The vote is closed: model {version} was chosen and serves the project now.")
            if count[0].votes
            else N_(
                "The vote is closed without a vote: model {version} has the best score and serves the project now."
            ),
            about=f"selection {selection.id}",
            version=winner.version,
        )
    services.bell.ring("apply_champion", selection.project_id)
    return winner


def promote_version(services: Services, project_id: int, candidate_id: int, *, by: str) -> Candidate:
    """Let a person decide which model serves: roll back, or overrule the vote that this model has lost.

    Raises NotFound, Conflict.
    """
    with services.database.write() as session:
        candidate = session.get(Candidate, candidate_id)
        if candidate is None or candidate.project_id != project_id:
            raise NotFound(what=N_("model"), id=candidate_id)
        if candidate.status != "done":
            raise Conflict(why=N_("this model was never finished"))
        vote = session.scalar(select(Selection).where(Selection.run_id == candidate.run_id))
        overruled = vote is not None and vote.status == "closed" and vote.winner_id != candidate.id
        promote(session, candidate, by=by, how="overruled" if overruled else "person")
        notify(
            session,
            project_id,
            "promoted",
            N_("{who} has overruled the vote: model {version} serves the project now.")
            if overruled
            else N_("Model {version} serves the project now, by decision of {who}."),
            about=f"model {candidate.id}",
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
    """Whether somebody has voted all rounds (or there is nothing to vote on: no image could be used)."""
    voted = list(
        session.scalars(select(Ballot.voter).where(Ballot.selection_id == selection.id, Ballot.voted_at.is_not(None)))
    )
    return selection.rounds == 0 or any(voted.count(voter) >= selection.rounds for voter in set(voted))
