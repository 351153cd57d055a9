"""The result of a vote: the count, how certain it is, who saw what where, and what people decided afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, Conflict
from custom_ai.pipeline import provisional
from custom_ai.pipeline.ballots import selection_of
from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.pipeline.vote import champion, standings
from custom_ai.services import Services
from custom_ai.state.tables import Ballot, Candidate, Promotion, Selection, SelectionImage

TOO_CLOSE = 0.6
"""Below this chance the choice is little better than tossing a coin."""
CERTAIN = 0.95


def result(services: Services, selection_id: int, translate: Translate = str) -> dict[str, Any]:
    """Everything about a closed vote. Raises NotFound, or Conflict while it is open: nobody votes by looking."""
    with services.database.read() as session:
        selection = selection_of(session, selection_id)
        if selection.status == "open":
            raise Conflict(why=N_("this vote is still open; its result is shown when it is closed"))
        rows = session.scalars(select(Candidate).where(Candidate.id.in_(selection.candidate_ids)))
        candidates = {one.id: one for one in rows}
        ballots = list(
            session.scalars(
                select(Ballot)
                .where(Ballot.selection_id == selection_id, Ballot.voted_at.is_not(None))
                .order_by(Ballot.voter, Ballot.round)
            )
        )
        chance = _chances(candidates, ballots)
        serving = champion(session, selection.project_id)
        none = sum(one.picks == [] for one in ballots)
        return {
            "selection": selection_id,
            "project": selection.project_id,
            "status": selection.status,
            "winner": selection.winner_id,
            "candidates": [
                {
                    "model": one.candidate_id,
                    "version": candidates[one.candidate_id].version,
                    "title": translate(candidates[one.candidate_id].title),
                    "votes": one.votes,
                    **_score(candidates[one.candidate_id]),
                    "p_best": round(chance[one.candidate_id], 3),
                    "won": one.candidate_id == selection.winner_id,
                    "serves": serving is not None and serving.id == one.candidate_id,
                }
                for one in standings(session, selection)
            ],
            "rounds_voted": len(ballots),
            "voters": len({one.voter for one in ballots}),
            "none_is_good": none,
            "certainty": None
            if selection.winner_id is None
            else _certainty(selection.winner_id, chance, candidates, len(ballots), none, translate),
            "ballots": _shown(session, ballots),
            "decisions": _decisions(session, selection),
        }


def in_ten(chance: float) -> int:
    """0.87 as 9 (in 10); never 0 or 10, which would say that something is known for sure."""
    return min(9, max(1, round(10 * chance)))


def _chances(candidates: Mapping[int, Candidate], ballots: list[Ballot]) -> dict[int, float]:
    from custom_ai.certainty import Score, Vote, p_best  # brings numpy: only for those who ask

    scores = {id: Score(*_score(one).values()) for id, one in candidates.items()}
    return p_best(scores, [Vote(one.image_id, tuple(one.picks or ())) for one in ballots])


def _score(candidate: Candidate) -> dict[str, float | None]:
    scores = candidate.scores or {}
    return {"map50": candidate.map50, "low": scores.get("map50_low"), "high": scores.get("map50_high")}


def _certainty(
    winner: int,
    chance: Mapping[int, float],
    candidates: Mapping[int, Candidate],
    ballots: int,
    none: int,
    translate: Translate,
) -> dict[str, Any]:
    """The chance that the winner is the best, and what to make of it, in words."""
    p = chance[winner]
    likeliest = max(chance, key=lambda one: chance[one])
    if p >= CERTAIN:
        level, words = "certain", N_("As good as certain: the chance that {version} is the best is over 19 in 20.")
    elif p >= TOO_CLOSE:
        level, words = "likely", N_("The chance that {version} is really the best of these models is {n} in 10.")
    else:
        level, words = "close", N_("Too close to call: the chance that {version} is the best is only {n} in 10.")
    notes = []
    if not ballots:
        notes.append(translate(N_("Nobody voted; the held-out score decided alone.")))
    if level == "close":
        notes.append(translate(N_("More voters make the next vote surer. As far as can be told, others are as good.")))
    if likeliest != winner:
        more = N_("With the held-out scores taken into account, {version} is more likely to be the best: {n} in 10.")
        shown = {"version": candidates[likeliest].version, "n": in_ten(chance[likeliest])}
        notes.append(translate(more).format(**shown))
    if ballots and 2 * none >= ballots:
        poor = N_("In {count} of {total} rounds no picture was good: more labels may help more than another choice.")
        notes.append(translate(poor).format(count=none, total=ballots))
    return {
        "p": round(p, 3),
        "level": level,
        "likeliest": likeliest,
        "text": translate(words).format(version=candidates[winner].version, n=in_ten(p)),
        "notes": notes,
    }


def _shown(session: Session, ballots: list[Ballot]) -> list[dict[str, Any]]:
    """Who saw which candidate at which place, and what was picked."""
    wanted = {one.image_id for one in ballots}
    tasks: dict[int, int] = {
        row[0]: row[1]
        for row in session.execute(
            select(SelectionImage.id, SelectionImage.task_id).where(SelectionImage.id.in_(wanted))
        )
    }
    return [
        {
            "voter": one.voter,
            "round": one.round + 1,
            "image": one.image_id,
            "task": tasks[one.image_id],
            "shown": one.shown,
            "picks": one.picks,
            "confirmed": one.confirmed_at is not None,
            "voted_at": iso(one.voted_at),
        }
        for one in ballots
    ]


def _decisions(session: Session, selection: Selection) -> list[dict[str, Any]]:
    """Which of the candidates were put to use, by the vote and by people afterwards, in order."""
    rows = session.scalars(
        select(Promotion)
        .where(Promotion.candidate_id.in_(selection.candidate_ids), Promotion.how != provisional.HOW)
        .order_by(Promotion.id)
    )
    return [
        {
            "version": row.candidate.version,
            "how": row.how,
            "by": row.promoted_by,
            "at": iso(row.promoted_at),
        }
        for row in rows
    ]
