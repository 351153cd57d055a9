"""Which model serves while nobody has chosen one yet.

People wait minutes for four candidates and days for a vote. A project that no model serves is therefore served by
the first candidate of its run as soon as that is finished, and by the one with the best score when the run is done,
until the vote is closed or a person decides. A model that people chose is never replaced here.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.errors import N_
from custom_ai.pipeline.pulse import Pulse
from custom_ai.pipeline.vote import champion, promote
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM, notify
from custom_ai.state.tables import Candidate, Promotion, Run

HOW = "first"
"""Promotion.how of such a model."""


def serve_first(services: Services, run: Run, candidate: Candidate, pulse: Pulse) -> None:
    """Let a finished candidate serve, if no model does. Raises Fenced."""
    with services.database.write() as session:
        pulse.guard(session)
        done = session.get_one(Candidate, candidate.id)
        if done.status != "done" or champion(session, run.project_id) is not None:
            return
        promote(session, done, by=SYSTEM, how=HOW)
        notify(
            session,
            run.project_id,
            "first_model",
            N_(
                "A first model, {version}, serves the project until the best one is chosen: open a task without labels "
                "in Label Studio to see what it finds. The other models are being trained."
            ),
            to=run.requested_by,
            about=f"run {run.id}",
            version=done.version,
        )
    services.bell.ring("apply_champion", run.project_id)


def is_provisional(session: Session, project_id: int) -> bool:
    """Whether a model serves the project that nobody chose."""
    how = session.scalar(select(Promotion.how).where(Promotion.project_id == project_id, Promotion.active))
    return how == HOW


def serve_best(session: Session, project_id: int, done: list[Candidate]) -> bool:
    """Replace a model that nobody chose by the best of ``done``, by score; whether that changed anything.

    Belongs to the caller's transaction, who rings for apply_champion after it.
    """
    serving = session.scalar(select(Promotion).where(Promotion.project_id == project_id, Promotion.active))
    best = max(done, key=lambda one: one.map50 or 0.0)
    if serving is None or serving.how != HOW or serving.candidate_id == best.id:
        return False
    promote(session, best, by=SYSTEM, how=HOW)
    return True
