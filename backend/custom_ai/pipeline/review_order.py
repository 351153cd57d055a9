"""Which pre-labels to look at first, offered to Label Studio as a tab of its Data Manager.

The tab shows the pre-labels that probably need a correction and are not all alike (``doubt``, ``variety``),
the least certain first. Label Studio can order tasks by its own columns only, so the choice is ours and the
order within it is the prediction score's. Only our own tab is ever made, replaced or removed.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import select, update

from custom_ai.doubt import doubt, looks
from custom_ai.errors import N_, Conflict, NotFound
from custom_ai.labelstudio.tabs import make_tab, remove_tab, tabs
from custom_ai.labelstudio.tasks import condition
from custom_ai.pipeline.found import found_of
from custom_ai.pipeline.versions import in_force
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import AutoLabelItem, AutoLabelJob, Candidate, Project, Task
from custom_ai.types import Box
from custom_ai.variety import valuable_and_different

log = logging.getLogger(__name__)
TITLE = "Custom AI: review first"
MOST = 100
"""Tasks in the tab: some hours of work."""
POOL = 1500
"""The most doubtful pre-labels among which different ones are looked for; the work grows with its square."""
LOOKED_AT = 20_000
"""Of so many pre-labels the most useful ones are found in seconds; those of older jobs wait until then."""
_AT_ONCE = 2000


def make(services: Services, project_id: int, *, by: str) -> dict[str, Any]:
    """Make or renew the tab; {"tab": its id in Label Studio, "tasks": how many}. Raises NotFound, Conflict."""
    with services.database.read() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(what=N_("project"), id=project_id)
    chosen = most_useful(services, project_id)
    if not chosen:
        raise Conflict(why=N_("no pre-labels of auto-labelling wait for a review"))
    studio = services.label_studio
    old = next((one for one in tabs(studio, project_id) if one["id"] == project.review_view), None)
    items = [
        condition("total_annotations", "equal", "Number", 0),
        condition("cancelled_annotations", "equal", "Number", 0),
    ]
    looks_like = None if old is None else dict(old.get("data") or {})
    tab = make_tab(studio, project_id, TITLE, chosen, items, ["tasks:predictions_score"], looks_like)
    with services.database.write() as session:
        session.execute(update(Project).where(Project.id == project_id).values(review_view=tab))
        record(session, by, "review_tab", project_id, project.title, tab=tab, tasks=len(chosen))
    if old is not None:
        remove_tab(studio, int(old["id"]))
    return {"tab": tab, "tasks": len(chosen)}


def renew(services: Services, project_id: int, *, by: str) -> None:
    """The project's setting: renew the tab after auto-labelling, when there is something to show."""
    with services.database.read() as session:
        wanted = session.get_one(Project, project_id).review_tab
    if not wanted:
        return
    try:
        made = make(services, project_id, by=by)
    except Conflict:
        return
    log.info("project %s: tab %s shows %s tasks to review first", project_id, made["tab"], made["tasks"])


def most_useful(services: Services, project_id: int, count: int = MOST) -> list[int]:
    """Untouched tasks whose pre-labels are doubtful and different, the most useful first."""
    doubts: dict[int, float] = {}
    boxes: dict[int, tuple[Box, ...]] = {}
    classes: dict[str, None] = {}
    with services.database.read() as session:
        jobs = session.scalars(
            select(AutoLabelJob)
            .where(AutoLabelJob.project_id == project_id, AutoLabelJob.rolled_back_at.is_(None))
            .order_by(AutoLabelJob.id.desc())
        ).all()
    seen: set[int] = set()
    for job in jobs:
        with services.database.read() as session:
            threshold = in_force(session, job.candidate).threshold
        threshold = job.threshold if threshold is None else threshold
        limits, level = _limits(job.candidate, threshold), 0.25 if threshold is None else threshold
        after = 0
        while len(seen) < LOOKED_AT and (some := _waiting(services, job, after)):
            after = some[-1]
            new = [task for task in some if task not in seen]
            seen.update(new)
            for task, found in found_of(services, job, new).items():
                doubts[task] = doubt(found, limits, level)
                boxes[task] = found
            classes.update(dict.fromkeys(job.candidate.classes))
            best = sorted(doubts, key=lambda task: (-doubts[task], task))[:POOL]
            boxes = {task: boxes[task] for task in best}  # memory stays the same, however many there are
            doubts = {task: doubts[task] for task in best}
    pool = sorted(doubts, key=lambda task: (-doubts[task], task))
    if not pool:
        return []
    order = valuable_and_different(
        [doubts[one] for one in pool], looks([boxes[one] for one in pool], list(classes)), count
    )
    return [pool[index] for index in order]


def _waiting(services: Services, job: AutoLabelJob, after: int) -> list[int]:
    with services.database.read() as session:
        return list(
            session.scalars(
                select(AutoLabelItem.task_id)
                .join(Task, (Task.task_id == AutoLabelItem.task_id) & (Task.project_id == job.project_id))
                .where(
                    AutoLabelItem.job_id == job.id,
                    AutoLabelItem.status == "done",
                    AutoLabelItem.task_id > after,
                    ~Task.touched,
                    Task.predicted_version.is_not(None),
                )
                .order_by(AutoLabelItem.task_id)
                .limit(_AT_ONCE)
            )
        )


def _limits(candidate: Candidate, threshold: float | None) -> dict[str, float]:
    if threshold is not None:
        return {}
    return {name: float(value) for name, value in (candidate.thresholds or {}).items()}
