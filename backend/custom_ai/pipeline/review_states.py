"""How far people have come with the pre-labels: counted, told, and waited for when the project wishes so.

Every task is in exactly one state: ``untouched`` (no person, no pre-label of ours), ``pre_labelled`` (waits for
a review), ``accepted`` (submitted as it was pre-labelled), ``corrected`` (submitted with changes), or ``other``
(labelled without a pre-label of ours, or skipped).
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, Conflict
from custom_ai.state.journal import notify
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Project, Review, Task

_CHANGED = case((Review.moved + Review.relabelled + Review.removed + Review.added > 0, 1), else_=0)


class ReviewDue(Conflict):
    code = "review_due"
    template = N_(
        "{count} pre-labelled images wait for a review in Label Studio. Review them first, or switch off "
        "“Finish the review first” in the settings of the project."
    )


def project_states(session: Session, project_id: int) -> dict[str, int]:
    """Tasks of a project by state; they add up to ``total``."""
    rows = session.execute(
        select(Task.touched, Task.predicted_version.is_(None), func.count())
        .where(Task.project_id == project_id)
        .group_by(Task.touched, Task.predicted_version.is_(None))
    )
    counts = {(bool(row[0]), bool(row[1])): int(row[2]) for row in rows}
    touched = counts.get((True, True), 0) + counts.get((True, False), 0)
    reviewed = _reviewed(session, project_id, [])
    return _states(counts.get((False, True), 0), counts.get((False, False), 0), touched, reviewed)


def job_states(session: Session, job: AutoLabelJob) -> dict[str, int]:
    """The same for the tasks that a job has pre-labelled, and those of them that are ``gone``."""
    rows = session.execute(
        select(Task.touched, Task.predicted_version.is_(None), func.count())
        .select_from(AutoLabelItem)
        .outerjoin(Task, (Task.project_id == job.project_id) & (Task.task_id == AutoLabelItem.task_id))
        .where(AutoLabelItem.job_id == job.id, AutoLabelItem.status == "done")
        .group_by(Task.touched, Task.predicted_version.is_(None))
    )
    counts: dict[tuple[bool | None, bool], int] = {(row[0], bool(row[1])): int(row[2]) for row in rows}
    mine = select(AutoLabelItem.task_id).where(AutoLabelItem.job_id == job.id, AutoLabelItem.status == "done")
    touched = counts.get((True, True), 0) + counts.get((True, False), 0)
    reviewed = _reviewed(session, job.project_id, [Review.candidate_id == job.candidate_id, Review.task_id.in_(mine)])
    states = _states(counts.get((False, True), 0), counts.get((False, False), 0), touched, reviewed)
    gone = sum(count for (was_touched, _), count in counts.items() if was_touched is None)
    return states | {"gone": gone, "total": states["total"] + gone}


def left_to_review(session: Session, project_id: int) -> int:
    """How many tasks have a pre-label of ours and were not touched by anybody."""
    query = select(func.count()).select_from(Task)
    return session.scalar(query.where(Task.project_id == project_id, ~Task.touched, _PREDICTED)) or 0


def check_finished(session: Session, project: Project) -> None:
    """Raises ReviewDue when the project wants its review finished first, and it is not."""
    if project.finish_review and (left := left_to_review(session, project.id)):
        raise ReviewDue(count=left)


def tell_due(session: Session, job: AutoLabelJob, labelled: int) -> None:
    """When a job has ended: say once how many pre-labels wait now.

    Jobs for new imports may end every few seconds: they tell only when everything before was reviewed.
    """
    left = left_to_review(session, job.project_id)
    if not labelled or not left or (job.trigger == "import" and left > labelled):
        return
    notify(
        session,
        job.project_id,
        "review_due",
        N_("{count} pre-labelled images wait for a review in Label Studio."),
        about=f"job {job.id}",
        count=left,
    )


_PREDICTED = Task.predicted_version.is_not(None)


def _reviewed(session: Session, project_id: int, conditions: list[ColumnElement[bool]]) -> dict[bool, int]:
    """Tasks whose present annotation was made from a pre-label of ours, by whether it was changed."""
    each = (
        select(Review.task_id, func.max(_CHANGED).label("changed"))
        .join(
            Task,
            (Task.project_id == Review.project_id)
            & (Task.task_id == Review.task_id)
            & (Task.annotation_id == Review.annotation_id),
        )
        .where(Review.project_id == project_id, Task.touched, *conditions)
        .group_by(Review.task_id)
    )
    tasks = each.subquery()
    rows = session.execute(select(tasks.c.changed, func.count()).group_by(tasks.c.changed))
    return {bool(row[0]): int(row[1]) for row in rows}


def _states(untouched: int, waiting: int, touched: int, reviewed: dict[bool, int]) -> dict[str, int]:
    corrected, accepted = reviewed.get(True, 0), reviewed.get(False, 0)
    return {
        "untouched": untouched,
        "pre_labelled": waiting,
        "corrected": corrected,
        "accepted": accepted,
        "other": touched - corrected - accepted,
        "total": untouched + waiting + touched,
    }
