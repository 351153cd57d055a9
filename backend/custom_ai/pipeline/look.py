"""Look at Label Studio: bring the mirror of a project up to date, then decide what follows.

A webhook is only a hint that there is something to see, so everything here may be called at any
time and any number of times.
"""

from __future__ import annotations

import logging

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from custom_ai.errors import N_, CustomAIError, LabelConfigError, LabelStudioMissing, NotFound
from custom_ai.labelstudio.config import Control, LabelConfig, parse_label_config
from custom_ai.pipeline.mirror import count_all, forget_deleted, mirrored, take_in
from custom_ai.policy import Readiness
from custom_ai.services import Services
from custom_ai.state.journal import notify, notify_error, reason_of
from custom_ai.state.tables import Project, now
from custom_ai.types import LabelKind

log = logging.getLogger(__name__)


def request_look(services: Services, project_id: int, *, by_webhook: bool = False) -> bool:
    """Have a worker look soon. A burst of calls leads to one look. False: not a project of ours."""
    with services.database.write() as session:
        known = session.scalar(select(Project.id).where(Project.id == project_id, Project.gone_at.is_(None)))
        if known is None:
            return False
        if by_webhook:
            session.execute(update(Project).where(Project.id == project_id).values(webhook_at=now()))
        first = session.execute(
            update(Project)
            .where(Project.id == project_id, Project.look_requested_at.is_(None))
            .values(look_requested_at=now())
        )
        due = bool(getattr(first, "rowcount", 0))
    if due:
        services.bell.ring("look", project_id, delay_s=services.settings.debounce_s)
    return True


def look(services: Services, project_id: int, *, full: bool = False) -> Readiness | None:
    """Take in what changed (``full``: everything).

    Returns the labels per class, or None when the project cannot be worked on (the reason stands in
    the project's row). Raises LabelStudioUnreachable or LabelStudioAuth when Label Studio cannot be asked.
    """
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise NotFound(what=N_("project"), id=project_id)
        # Cleared before asking: whoever changes something from here on rings again.
        project.look_requested_at = None
        watermark = None if full or project.looked_at is None else project.watermark
        known_config, chosen = project.label_config, project.kind
    config: LabelConfig | None = None
    try:
        remote = services.label_studio.project(project_id)
        config = parse_label_config(remote.label_config, project_id)
        control = config.control(None if chosen is None else LabelKind(chosen))
    except LabelStudioMissing:
        _mark_gone(services, project_id)
        return None
    except LabelConfigError as error:
        _set_problem(services, project_id, error, remote.label_config, config)
        return None
    if remote.label_config != known_config:
        watermark = None  # which regions count depends on the config: read all of them again
    newest = take_in(services, project_id, control, watermark)
    if watermark is None or remote.raw.get("task_number") != mirrored(services, project_id):
        forget_deleted(services, project_id)
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        # Somebody may have chosen another kind while we read: then what we stored says nothing about it.
        chosen_anew = project.kind != chosen
        if not chosen_anew:
            project.title, project.label_config = remote.title, remote.label_config
            use_control(project, config, control)
        project.watermark = None if chosen_anew else newest
        project.looked_at = now()
        project.problem = None
        state = project_readiness(session, services, project)
    return look(services, project_id) if chosen_anew else state


def project_readiness(
    session: Session, services: Services, project: Project, classes: list[str] | None = None
) -> Readiness:
    """Labels by class, from the mirror; for all chosen classes or for ``classes``."""
    counts = project.label_counts
    if counts is None:
        counts = count_all(session, project.id)
    names = classes or project.chosen_classes or project.available_classes
    needed = project.labels_per_class or services.settings.labels_per_class
    return Readiness({name: counts.get(name, 0) for name in names}, needed)


def kind_of(project: Project) -> LabelKind:
    """The kind of labels that the project's models learn: the one chosen, else the config's first."""
    return LabelKind(project.kind or next(iter(project.available_kinds), LabelKind.BOX))


def control_of(project: Project) -> Control:
    """The control that our shapes go to. Raises LabelConfigError."""
    kind = None if project.kind is None else LabelKind(project.kind)
    return parse_label_config(project.label_config, project.id).control(kind)


def use_control(project: Project, config: LabelConfig, control: Control) -> None:
    """Write into the project's row what the config offers; classes that it has not (any more) are not chosen."""
    project.available_kinds = [kind.value for kind in config.kinds()]
    project.available_classes = list(control.classes)
    if project.chosen_classes is not None:
        project.chosen_classes = [name for name in project.chosen_classes if name in control.classes] or None


def _mark_gone(services: Services, project_id: int) -> None:
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        if project.gone_at is None:
            project.gone_at = now()
            notify(
                session,
                project_id,
                "project_gone",
                N_("Label Studio has no project {id} any more, or our token may not see it."),
                id=project_id,
                failure=True,
            )


def _set_problem(
    services: Services, project_id: int, error: CustomAIError, xml: str, config: LabelConfig | None
) -> None:
    """Note why the project cannot be worked on; ``config`` when it could be read: people choose from its kinds."""
    with services.database.write() as session:
        project = session.get_one(Project, project_id)
        project.looked_at = now()
        if config is not None:
            project.label_config, project.available_kinds = xml, [kind.value for kind in config.kinds()]
        if project.problem != reason_of(error):
            project.problem = reason_of(error)
            notify_error(session, project_id, "project_problem", error)
