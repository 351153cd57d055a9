"""Tasks that may have got a prediction of a version twice, and putting that right.

Label Studio keeps both of two predictions of one version. Ours may be doubled when a process dies, or an answer
is lost, between sending and noting, and when somebody opens a task in Label Studio while a job works on it.
Asking Label Studio for every task would cost more than it is worth: only items in doubt are asked about.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from custom_ai.services import Services
from custom_ai.state.tables import ACTIVE, AutoLabelItem, AutoLabelJob

log = logging.getLogger(__name__)
_SOME = 500


def put_right(services: Services, job: AutoLabelJob) -> None:
    """Ask Label Studio about the tasks in doubt and remove second predictions. Harmless when done twice."""
    with services.database.read() as session:
        tasks = doubtful(session, job.id)
    for start in range(0, len(tasks), _SOME):
        some = tasks[start : start + _SOME]
        removed = services.label_studio.remove_second_predictions(job.project_id, job.version, among=some)
        if removed:
            log.warning("job %s: %s second predictions were removed", job.id, removed)
        with services.database.write() as session:
            clear_doubt(session, job.id, some)


def asked_for(services: Services, project_id: int, version: str, tasks: Collection[int]) -> None:
    """Label Studio has got predictions from /predict and will store them: a job must not add second ones."""
    with services.database.read() as session:
        jobs = [
            job.id
            for job in session.scalars(
                select(AutoLabelJob).where(AutoLabelJob.project_id == project_id, AutoLabelJob.status.in_(ACTIVE))
            )
            if job.version == version
        ]
    if not jobs or not tasks:
        return
    with services.database.write() as session:
        for job_id in jobs:
            put_in_doubt(session, job_id, tasks)


def put_in_doubt(session: Session, job_id: int, tasks: Collection[int]) -> None:
    session.execute(
        update(AutoLabelItem)
        .where(AutoLabelItem.job_id == job_id, AutoLabelItem.task_id.in_(tasks))
        .values(doubt=True)
        .execution_options(synchronize_session=False)
    )


def doubtful(session: Session, job_id: int) -> list[int]:
    """Tasks that may have got a second prediction; what failed or was skipped has none of ours."""
    rows = session.scalars(
        select(AutoLabelItem.task_id)
        .where(AutoLabelItem.job_id == job_id, AutoLabelItem.doubt, AutoLabelItem.status == "done")
        .order_by(AutoLabelItem.task_id)
    )
    return list(rows)


def clear_doubt(session: Session, job_id: int, tasks: Sequence[int]) -> None:
    for start in range(0, len(tasks), _SOME):
        session.execute(
            update(AutoLabelItem)
            .where(AutoLabelItem.job_id == job_id, AutoLabelItem.task_id.in_(tasks[start : start + _SOME]))
            .values(doubt=False)
        )
