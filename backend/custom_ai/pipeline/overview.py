"""What stands where, as plain dictionaries: for the REST API, the pages and the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, NotFound
from custom_ai.pipeline.label import job_counts
from custom_ai.pipeline.look import kind_of, project_readiness
from custom_ai.pipeline.review import live_scores
from custom_ai.pipeline.vote import champion, standings
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import (
    AutoLabelJob,
    Ballot,
    Candidate,
    Notification,
    Project,
    Promotion,
    Run,
    Selection,
    Task,
)

Translate = Callable[[str], str]


def projects(services: Services) -> list[int]:
    """The ids of all connected projects."""
    with services.database.read() as session:
        return list(session.scalars(select(Project.id).where(Project.gone_at.is_(None)).order_by(Project.id)))


def project(services: Services, project_id: int, translate: Translate = str) -> dict[str, Any]:
    """Everything about one project at a glance. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(Project, project_id)
        if row is None:
            raise NotFound(what=N_("project"), id=project_id)
        state = project_readiness(session, services, row)
        every = project_readiness(session, services, row, row.available_classes)
        best = champion(session, project_id)
        run = session.scalar(select(Run).where(Run.project_id == project_id).order_by(Run.id.desc()).limit(1))
        selection = session.scalar(
            select(Selection).where(Selection.project_id == project_id).order_by(Selection.id.desc()).limit(1)
        )
        job = session.scalar(
            select(AutoLabelJob).where(AutoLabelJob.project_id == project_id).order_by(AutoLabelJob.id.desc()).limit(1)
        )
        return {
            "id": row.id,
            "title": row.title,
            "connected": row.connected_at is not None and row.gone_at is None,
            "problem": render(row.problem, translate),
            "looked_at": _time(row.looked_at),
            "kind": kind_of(row).value,
            "kinds": row.available_kinds,
            "classes": row.available_classes,
            "chosen_classes": row.chosen_classes or row.available_classes,
            "settings": {
                "auto_train": row.auto_train,
                "retrain_below": row.retrain_below,
                "auto_label": row.auto_label,
                "labels_per_class": state.needed,
            },
            "labels": state.counts,
            "labels_of_all_classes": every.counts,
            "needed": state.needed,
            "ready": state.ready,
            "missing": state.missing,
            "tasks": _task_counts(session, project_id, best),
            "champion": None if best is None else model(best, translate),
            "run": None if run is None else _run(run, translate),
            "selection": None if selection is None else _selection(session, selection, translate),
            "auto_label": None if job is None else _job(session, job, translate),
        }


def run(services: Services, run_id: int, translate: Translate = str) -> dict[str, Any]:
    """One training run with its candidates. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(Run, run_id)
        if row is None:
            raise NotFound(what=N_("run"), id=run_id)
        return _run(row, translate)


def selection(services: Services, selection_id: int, translate: Translate = str) -> dict[str, Any]:
    """One vote; the count only when it is closed, so that nobody votes by looking at it. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(Selection, selection_id)
        if row is None:
            raise NotFound(what=N_("vote"), id=selection_id)
        return _selection(session, row, translate)


def job(services: Services, job_id: int, translate: Translate = str) -> dict[str, Any]:
    """One auto-labelling job. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(AutoLabelJob, job_id)
        if row is None:
            raise NotFound(what=N_("auto-labelling job"), id=job_id)
        return _job(session, row, translate)


def models(services: Services, project_id: int, translate: Translate = str) -> list[dict[str, Any]]:
    """All finished models of a project, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Candidate)
            .where(Candidate.project_id == project_id, Candidate.status == "done")
            .order_by(Candidate.id.desc())
        )
        live = live_scores(session, project_id)
        return [model(row, translate) | {"live": live.get(row.id)} for row in rows]


def notifications(services: Services, project_id: int, translate: Translate = str) -> list[dict[str, Any]]:
    """The newest 100 notifications of a project, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Notification)
            .where(Notification.project_id == project_id)
            .order_by(Notification.id.desc())
            .limit(100)
        )
        return [
            {
                "id": row.id,
                "at": _time(row.at),
                "event": row.event,
                "failure": row.failure,
                "text": render(row.message, translate),
                "recipient": row.recipient,
            }
            for row in rows
        ]


def model(row: Candidate, translate: Translate = str) -> dict[str, Any]:
    """One candidate, in short."""
    return {
        "id": row.id,
        "version": row.version,
        "title": translate(row.title),
        "run": row.run_id,
        "classes": row.classes,
        "status": row.status,
        "stage": row.stage,
        "fraction": round(row.fraction, 4),
        "seconds_left": row.seconds_left,
        "seconds": row.seconds,
        "passes": row.passes,
        "map50": row.map50,
        "scores": row.scores,
        "thresholds": row.thresholds,
        "base_weights": row.base_weights,
        "image_size": row.image_size,
        "sha256": row.onnx_sha256,
        "reason": render(row.reason, translate),
    }


def _run(row: Run, translate: Translate) -> dict[str, Any]:
    return {
        "id": row.id,
        "project": row.project_id,
        "status": row.status,
        "stage": row.stage,
        "trigger": row.trigger,
        "requested_by": row.requested_by,
        "kind": row.kind,
        "classes": row.classes,
        "labels": row.labels,
        "snapshot": None if row.snapshot is None else row.snapshot.sha256,
        "images": None if row.snapshot is None else row.snapshot.images,
        "data_report": row.data_report,
        "left_out": [{"task": task, "reason": render(why, translate)} for task, why in row.left_out],
        "reason": render(row.reason, translate),
        "created_at": _time(row.created_at),
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
        "candidates": [model(one, translate) for one in row.candidates],
    }


def _selection(session: Session, row: Selection, translate: Translate) -> dict[str, Any]:
    voters = session.execute(
        select(Ballot.voter, func.count())
        .where(Ballot.selection_id == row.id, Ballot.voted_at.is_not(None))
        .group_by(Ballot.voter)
    )
    winner = None if row.winner_id is None else session.get(Candidate, row.winner_id)
    return {
        "id": row.id,
        "project": row.project_id,
        "run": row.run_id,
        "status": row.status,
        "rounds": row.rounds,
        "candidates": len(row.candidate_ids),
        "opened_at": _time(row.opened_at),
        "deadline_at": _time(row.deadline_at),
        "closed_at": _time(row.closed_at),
        "closed_by": row.closed_by,
        "voters": {voter: count for voter, count in voters},
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


def _job(session: Session, row: AutoLabelJob, translate: Translate) -> dict[str, Any]:
    return {
        "id": row.id,
        "project": row.project_id,
        "status": row.status,
        "trigger": row.trigger,
        "requested_by": row.requested_by,
        "model": row.candidate.version,
        "threshold": row.threshold,
        "reason": render(row.reason, translate),
        "created_at": _time(row.created_at),
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
        "tasks": job_counts(session, row.id),
    }


def _task_counts(session: Session, project_id: int, best: Candidate | None) -> dict[str, int]:
    def count(*conditions: Any) -> int:
        query = select(func.count()).select_from(Task).where(Task.project_id == project_id, *conditions)
        return session.scalar(query) or 0

    return {
        "total": count(),
        "touched": count(Task.touched),
        "untouched": count(~Task.touched),
        "pre_labelled": 0 if best is None else count(~Task.touched, Task.predicted_version == best.version),
    }


def promotions(services: Services, project_id: int) -> list[dict[str, Any]]:
    """Which model served when, newest first."""
    with services.database.read() as session:
        rows = session.scalars(
            select(Promotion).where(Promotion.project_id == project_id).order_by(Promotion.id.desc())
        )
        return [
            {
                "version": row.candidate.version,
                "active": row.active,
                "how": row.how,
                "by": row.promoted_by,
                "at": _time(row.promoted_at),
            }
            for row in rows
        ]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
