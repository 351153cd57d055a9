"""Projects at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, lazyload

from custom_ai.errors import N_, NotFound
from custom_ai.pipeline.look import kind_of, project_readiness
from custom_ai.pipeline.overview.models import model
from custom_ai.pipeline.overview.votes import shown_selection
from custom_ai.pipeline.overview.words import Translate, iso
from custom_ai.pipeline.overview.work import shown_job, shown_run
from custom_ai.pipeline.provisional import is_provisional
from custom_ai.pipeline.review_states import project_states
from custom_ai.pipeline.vote import champion
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import AutoLabelJob, Project, Run, Selection, Task


def projects(services: Services, *, gone: bool = False) -> list[int]:
    """The ids of all connected projects; with ``gone`` also of those that Label Studio has not any more."""
    query = select(Project.id).order_by(Project.id)
    with services.database.read() as session:
        return list(session.scalars(query if gone else query.where(Project.gone_at.is_(None))))


def titles(services: Services, ids: Collection[int]) -> dict[int, str]:
    """The names of projects by id, in the order of the names."""
    query = select(Project.id, Project.title).where(Project.id.in_(ids)).order_by(Project.title, Project.id)
    with services.database.read() as session:
        return {row[0]: row[1] for row in session.execute(query)}


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
            select(Selection)
            .where(Selection.project_id == project_id)
            .order_by(Selection.id.desc())
            .limit(1)
            .options(lazyload(Selection.images))
        )
        job = session.scalar(
            select(AutoLabelJob).where(AutoLabelJob.project_id == project_id).order_by(AutoLabelJob.id.desc()).limit(1)
        )
        return {
            "id": row.id,
            "title": row.title,
            "connected": row.connected_at is not None and row.gone_at is None,
            "problem": render(row.problem, translate),
            "looked_at": iso(row.looked_at),
            "kind": kind_of(row).value,
            "kinds": row.available_kinds,
            "classes": row.available_classes,
            "chosen_classes": row.chosen_classes or row.available_classes,
            "settings": {
                "auto_train": row.auto_train,
                "retrain_below": row.retrain_below,
                "auto_label": row.auto_label,
                "threshold": row.threshold,
                "finish_review": row.finish_review,
                "review_tab": row.review_tab,
                "deidentify": row.deidentify,
                "originals": row.originals,
                "labels_per_class": state.needed,
            },
            "labels": state.counts,
            "labels_of_all_classes": every.counts,
            "needed": state.needed,
            "ready": state.ready,
            "missing": state.missing,
            "tasks": _task_counts(session, project_id),
            "review": project_states(session, project_id),
            "champion": None if best is None else model(best, translate),
            "champion_is_provisional": is_provisional(session, project_id),
            "run": None if run is None else shown_run(run, translate),
            "selection": None if selection is None else shown_selection(session, selection, translate),
            "auto_label": None if job is None else shown_job(session, job, translate),
        }


def _task_counts(session: Session, project_id: int) -> dict[str, int]:
    """Tasks of the project; ``pre_labelled`` have a prediction of ours, ``to_review`` of them nobody has touched."""
    rows = session.execute(
        select(Task.touched, Task.predicted_version, func.count())
        .where(Task.project_id == project_id)
        .group_by(Task.touched, Task.predicted_version)  # as they stand in ix_task_counts
    )
    counts: Counter[tuple[bool, bool]] = Counter()
    for was_touched, version, count in rows:
        counts[was_touched, version is not None] += count
    touched = counts[True, False] + counts[True, True]
    to_review = counts[False, True]
    return {
        "total": sum(counts.values()),
        "touched": touched,
        "untouched": sum(counts.values()) - touched,
        "pre_labelled": to_review + counts[True, True],
        "to_review": to_review,
    }
