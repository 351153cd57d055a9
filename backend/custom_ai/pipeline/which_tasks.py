"""Which tasks an auto-labelling job is for: by state, by number, or as listed by a view of Label Studio.

``AutoLabelJob.which`` is {"status": ..., "view": id, "count": number, "tasks": how many were named}, each only
when it was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from custom_ai.errors import N_, BadInput
from custom_ai.pipeline import chunks
from custom_ai.services import Services
from custom_ai.state.tables import AutoLabelJob, Task

log = logging.getLogger(__name__)

STATUSES = ("untouched", "new", "labelled", "all")
"""untouched: nobody has worked on them; new: and none of our models has labelled them; labelled: people have
worked on them; all. Tasks that have a prediction of this very model are never taken."""
_SOME = 500
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Which:
    """A person's choice of tasks. The conditions hold together; ``count`` takes the first of what is left."""

    status: str = "untouched"
    count: int | None = None
    view: int | None = None
    tasks: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Raises BadInput."""
        if self.status not in STATUSES:
            raise BadInput(what=f"status = {self.status!r}", why=N_("expected untouched, new, labelled or all"))
        if self.count is not None and self.count < 1:
            raise BadInput(what=f"{self.count}", why=N_("the number of images must be at least 1"))

    def stored(self) -> dict[str, Any]:
        """What the job's row keeps of it."""
        values = {
            "status": None if self.status == "untouched" else self.status,
            "count": self.count,
            "view": self.view,
            "tasks": None if self.tasks is None else len(self.tasks),
        }
        return {name: value for name, value in values.items() if value is not None}


def takes_touched(which: dict[str, Any]) -> bool:
    """Whether a job also pre-labels tasks that people have worked on."""
    return which.get("status") in ("labelled", "all")


def choose(
    session: Session, project_id: int, version: str, which: Which, among: Collection[int] | None = None
) -> list[int]:
    """The tasks by id, from our mirror. Raises BadInput for named tasks that the project has not."""
    if which.tasks is not None:
        _check_known(session, project_id, which.tasks)
        among = set(which.tasks)
    conditions: list[ColumnElement[bool]] = [
        Task.project_id == project_id,
        Task.predicted_version.is_distinct_from(version),
    ]
    if which.status == "new":
        conditions.append(Task.predicted_version.is_(None))
    if which.status in ("untouched", "new"):
        conditions.append(~Task.touched)
    elif which.status == "labelled":
        conditions.append(Task.touched.is_(True))
    query = select(Task.task_id).where(*conditions).order_by(Task.task_id)
    if among is None:
        return list(session.scalars(query.limit(which.count)))
    found = [task for task in session.scalars(query) if task in among]
    return found[: which.count]


def gather(services: Services, job: AutoLabelJob) -> None:
    """Ask Label Studio which tasks the job's view lists, and write them as its items.

    In the worker, because Label Studio needs a minute for a hundred thousand. Raises LabelStudioMissing
    when the view is gone.
    """
    view = int(job.which["view"])
    among = services.label_studio.tasks_of_view(job.project_id, view)
    which = Which(status=job.which.get("status", "untouched"), count=job.which.get("count"), view=view)
    with services.database.write() as session:
        row = session.get_one(AutoLabelJob, job.id, with_for_update=True)
        if row.gathered:
            return  # another worker was faster
        tasks = choose(session, job.project_id, job.version, which, among)
        chunks.add_items(session, job.id, tasks)
        row.gathered = True
    log.info("auto-label job %s: view %s lists %s tasks, %s are to be done", job.id, view, len(among), len(tasks))


def _check_known(session: Session, project_id: int, tasks: Sequence[int]) -> None:
    known: set[int] = set()
    for start in range(0, len(tasks), _SOME):
        some = tasks[start : start + _SOME]
        known.update(session.scalars(select(Task.task_id).where(Task.project_id == project_id, Task.task_id.in_(some))))
    unknown = [str(task) for task in tasks if task not in known]
    if unknown:
        more = ["…"] if len(unknown) > _SHOWN else []
        raise BadInput(
            what=f"tasks {', '.join([*unknown[:_SHOWN], *more])}",
            why=N_("the project has no such tasks, as far as we know"),
        )
