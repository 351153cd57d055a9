"""The vote on the candidates of a run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, NotFound
from custom_ai.pipeline.overview.models import model
from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.pipeline.vote import standings
from custom_ai.services import Services
from custom_ai.state.tables import Ballot, Candidate, Selection


def selection(services: Services, selection_id: int, translate: Translate = str) -> dict[str, Any]:
    """One vote; the count only when it is closed, so that nobody votes by looking at it. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(Selection, selection_id)
        if row is None:
            raise NotFound(what=N_("vote"), id=selection_id)
        return shown_selection(session, row, translate)


def shown_selection(session: Session, row: Selection, translate: Translate) -> dict[str, Any]:
    rows = session.execute(
        select(Ballot.voter, func.count(), func.count(Ballot.confirmed_at))
        .where(Ballot.selection_id == row.id, Ballot.voted_at.is_not(None))
        .group_by(Ballot.voter)
        .order_by(Ballot.voter)
    )
    voters = [(voter, voted, confirmed) for voter, voted, confirmed in rows]
    winner = None if row.winner_id is None else session.get(Candidate, row.winner_id)
    return {
        "id": row.id,
        "project": row.project_id,
        "run": row.run_id,
        "status": row.status,
        "rounds": row.rounds,
        "candidates": len(row.candidate_ids),
        "opened_at": iso(row.opened_at),
        "deadline_at": iso(row.deadline_at),
        "closed_at": iso(row.closed_at),
        "closed_by": row.closed_by,
        "voters": {voter: voted for voter, voted, _ in voters},
        "confirmed": [voter for voter, _, confirmed in voters if confirmed >= row.rounds],
        "winner": None if winner is None else model(winner, translate),
        "result": []
        if row.status != "closed"
        else [
            {
                "model": one.candidate_id,
                "version": f"p{row.project_id}-m{one.candidate_id}",
                "votes": one.votes,
                "map50": one.score,
            }
            for one in standings(session, row)
        ],
    }
