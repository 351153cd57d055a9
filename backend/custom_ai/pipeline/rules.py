"""What a project does by itself: train when there is enough that is new, pre-label what was imported."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from custom_ai.errors import Conflict
from custom_ai.pipeline.deidentify import hide_new
from custom_ai.pipeline.label import label_new_tasks
from custom_ai.pipeline.look import kind_of, look, project_readiness
from custom_ai.pipeline.review import recent_score
from custom_ai.pipeline.review_states import left_to_review
from custom_ai.pipeline.shown_version import show
from custom_ai.pipeline.train import request_run
from custom_ai.pipeline.vote import champion
from custom_ai.policy import may_train_by_rule
from custom_ai.services import Services
from custom_ai.state.journal import SYSTEM
from custom_ai.state.tables import Project, Run

log = logging.getLogger(__name__)


def look_and_follow(services: Services, project_id: int) -> None:
    """Look at Label Studio, then start what the project's rules say. Raises as ``look`` does."""
    if look(services, project_id) is None:
        return
    show(services, project_id)  # a process may have died between changing pre-labels and this
    with services.database.read() as session:
        project = session.get_one(Project, project_id)
        wants_run = project.auto_train and _wants_run(session, services, project)
    if wants_run:
        try:
            request_run(services, project_id, by=SYSTEM, trigger="rule")
        except Conflict:
            log.info("project %s: the rule wants a run, but one is under way", project_id)
    if project.deidentify == "at_import":
        hide_new(services, project_id)  # before anything is pre-labelled: such jobs wait for it
    if project.auto_label:
        label_new_tasks(services, project_id)


def _wants_run(session: Session, services: Services, project: Project) -> bool:
    if project.finish_review and left_to_review(session, project.id):
        return False
    last = session.scalar(
        select(Run.labels)
        .where(Run.project_id == project.id, Run.status != "cancelled", Run.kind == kind_of(project).value)
        .order_by(Run.id.desc())
        .limit(1)
    )
    best = champion(session, project.id)
    live = None if best is None or project.retrain_below is None else recent_score(session, best.id)
    disappointing = live is not None and project.retrain_below is not None and live < project.retrain_below
    return may_train_by_rule(project_readiness(session, services, project), last, disappointing=disappointing)
