"""The runs of a project, in short: what came of each of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import AutoLabelJob, Candidate, Project, Run, Selection


def runs(
    services: Services, project_id: int, translate: Translate = str, *, before: int | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Runs with an id below ``before``, newest first; ``best`` is the finished model with the highest score,
    ``selection`` the vote on the models, None when there was none.
    """
    with services.database.read() as session:
        query = (
            select(
                Run.id,
                Run.status,
                Run.trigger,
                Run.requested_by,
                Run.kind,
                Run.classes,
                Run.labels,
                Run.reason,
                Run.created_at,
                Run.finished_at,
            )
            .where(Run.project_id == project_id)
            .order_by(Run.id.desc())
            .limit(limit)
        )
        rows = session.execute(query if before is None else query.where(Run.id < before)).all()
        ids = [row.id for row in rows]
        made = session.execute(
            select(Candidate.id, Candidate.run_id, Candidate.title, Candidate.map50)
            .where(Candidate.run_id.in_(ids), Candidate.status == "done")
            .order_by(Candidate.map50.desc().nulls_last(), Candidate.id)
        ).all()
        votes = session.execute(
            select(Selection.id, Selection.run_id, Selection.status, Selection.winner_id).where(
                Selection.run_id.in_(ids)
            )
        ).all()
    return [
        {
            "id": row.id,
            "project": project_id,
            "status": row.status,
            "trigger": row.trigger,
            "requested_by": row.requested_by,
            "kind": row.kind,
            "classes": row.classes,
            "labels": row.labels,
            "reason": render(row.reason, translate),
            "created_at": iso(row.created_at),
            "finished_at": iso(row.finished_at),
            "models": sum(one.run_id == row.id for one in made),
            "best": next(
                (
                    {
                        "id": one.id,
                        "version": f"p{project_id}-m{one.id}",
                        "title": translate(one.title),
                        "map50": one.map50,
                    }
                    for one in made
                    if one.run_id == row.id
                ),
                None,
            ),
            "selection": next(
                (
                    {
                        "id": one.id,
                        "status": one.status,
                        "winner": None if one.winner_id is None else f"p{project_id}-m{one.winner_id}",
                    }
                    for one in votes
                    if one.run_id == row.id
                ),
                None,
            ),
        }
        for row in rows
    ]


def at_work(services: Services) -> list[dict[str, Any]]:
    """The training runs and auto-labelling jobs that workers are doing now, in all projects."""
    with services.database.read() as session:
        found = []
        for what, kind in (("run", Run), ("job", AutoLabelJob)):
            rows = session.execute(
                select(kind.id, kind.project_id, Project.title)
                .join(Project, Project.id == kind.project_id)
                .where(kind.status == "running")
                .order_by(kind.id)
            )
            found += [{"what": what, "id": row[0], "project": row[1], "title": row[2]} for row in rows]
        return found
