"""Connecting a Label Studio project: config, ML backend, and a webhook with a secret of its own.

Label Studio adds a webhook without any secret when a backend is connected. We register one that
carries a secret and remove the automatic one; ``repair_registration`` keeps it so, because any Label
Studio user may edit or delete webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Sequence

from sqlalchemy import func, select

from custom_ai.errors import N_, BadInput, Conflict
from custom_ai.labelstudio.config import is_empty, parse_label_config, template
from custom_ai.pipeline.deidentify import settings_values
from custom_ai.pipeline.look import kind_of, look, request_look, use_control
from custom_ai.policy import Readiness
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import Project, Task, now
from custom_ai.types import LabelKind

log = logging.getLogger(__name__)
TITLE = "Custom AI"
SECRET_HEADER = "X-Custom-AI-Secret"
ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "PROJECT_UPDATED",
)


NOT_OFFERED = N_("the labelling config of the project does not offer this kind of labels")


def connect(
    services: Services,
    project_id: int,
    *,
    by: str,
    classes: Sequence[str] = (),
    kind: str | None = None,
    enforce_backend: bool = True,
    read_now: bool = True,
) -> Readiness | None:
    """Connect a project of Label Studio; harmless when it is connected already.

    A project without a labelling config gets one for labels of ``kind`` (None: boxes) with ``classes``; of
    one with a config ``kind`` is chosen (None: as it was). Returns the labels per class; None without
    ``read_now``, when a worker reads the tasks later. Raises BadInput when classes are needed and not given
    or the kind is not offered, LabelConfigError, LabelStudioError (e.g. when Label Studio refuses our
    address), LabelStudioMissing.
    """
    wanted = None if kind is None else kind_named(kind)
    studio = services.label_studio
    remote = studio.project(project_id)
    if is_empty(remote.label_config):
        if not classes:
            raise BadInput(
                what=N_("a project without a labelling config"),
                why=N_("give the classes to make one, e.g. --classes cat,dog"),
            )
        remote = studio.update_project(project_id, label_config=template(classes, kind=wanted or LabelKind.BOX))
    config = parse_label_config(remote.label_config, project_id)
    if wanted is not None and wanted not in config.kinds():
        raise BadInput(what=f"kind = {kind!r}", why=NOT_OFFERED)
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None:
            project = Project(id=project_id)
            session.add(project)
        if wanted is not None:
            project.kind = wanted.value
        control = config.control(None if project.kind is None else LabelKind(project.kind))
        project.title, project.label_config = remote.title, remote.label_config
        use_control(project, config, control)
        project.connected_at, project.gone_at, project.problem = now(), None, None
        project.watermark = None
        record(session, by, "connect", project_id, remote.title)
    repair_registration(services, project_id, enforce_backend=enforce_backend)
    if read_now:
        return look(services, project_id, full=True)
    request_look(services, project_id)
    return None


def repair_registration(services: Services, project_id: int, *, enforce_backend: bool = False) -> None:
    """Put our backend and webhook right in Label Studio.

    A backend that a person has removed is added again only with ``enforce_backend``: removing it is
    the way to disconnect.
    """
    studio, settings = services.label_studio, services.settings
    user, password = settings.basic_auth_user, settings.basic_auth_pass.get_secret_value()
    ours = [one for one in studio.ml_backends(project_id) if one.url.rstrip("/") == settings.ml_backend_url]
    if not ours and enforce_backend:
        backend = studio.add_ml_backend(project_id, settings.ml_backend_url, TITLE, user, password)
        log.info("project %s: ML backend %s connected", project_id, backend.id)
    if not ours and not enforce_backend:
        return
    headers = {SECRET_HEADER: webhook_secret(services, project_id)}
    url = f"{settings.ml_backend_url}/webhook"
    good = False
    for hook in studio.webhooks(project_id):
        if hook.url.rstrip("/") != url:
            continue
        if good or hook.headers.get(SECRET_HEADER) != headers[SECRET_HEADER]:
            if not good and SECRET_HEADER in hook.headers:
                studio.repair_webhook(hook.id, url, headers, ACTIONS)
                good = True
            else:
                studio.delete_webhook(hook.id)
        elif not hook.is_active or not set(ACTIONS) <= set(hook.actions):
            studio.repair_webhook(hook.id, url, headers, ACTIONS)
            good = True
        else:
            good = True
    if not good:
        studio.add_webhook(project_id, url, headers, ACTIONS)
        log.info("project %s: webhook registered", project_id)


def webhook_secret(services: Services, project_id: int) -> str:
    """What Label Studio must send in the X-Custom-AI-Secret header of this project's webhooks."""
    return hmac.new(services.database.secret_key(), f"webhook:{project_id}".encode(), hashlib.sha256).hexdigest()


def adopt(services: Services, project_id: int) -> bool:
    """A backend was connected in Label Studio's own settings: finish the job.

    Only when Label Studio itself says that this project has a backend at our address; the caller of
    /setup may be anybody. False: it does not.
    """
    backends = services.label_studio.ml_backends(project_id)
    if not any(one.url.rstrip("/") == services.settings.ml_backend_url for one in backends):
        log.warning("project %s: /setup was called, but Label Studio names no backend at our address", project_id)
        return False
    connect(services, project_id, by="label-studio", enforce_backend=False)
    return True


def change_project(services: Services, project_id: int, *, by: str, **values: object) -> None:
    """Change the project's own settings: kind, auto_train, retrain_below, auto_label, finish_review,
    review_tab, labels_per_class, chosen_classes, deidentify, originals.

    Another kind of labels is counted when a worker has looked at all tasks again. Raises BadInput naming
    the value.
    """
    with services.database.write() as session:
        project = session.get(Project, project_id)
        if project is None:
            raise Conflict(why=N_("the project is not connected"))
        before = kind_of(project)
        if "kind" in values:  # first, because the classes depend on it
            _choose_kind(project, values["kind"])
        for name, value in values.items():
            if name == "kind":
                continue
            _check(services, project, name, value)
            if name == "auto_label" and value and not project.auto_label:
                newest = session.scalar(select(func.max(Task.task_id)).where(Task.project_id == project_id))
                project.auto_label_after = newest or 0
            setattr(project, name, value)
        record(session, by, "project.change", project_id, project.title, **values)
        read_again = kind_of(project) != before
        if read_again:
            project.watermark = None
    if read_again:
        request_look(services, project_id)


def use_kind(services: Services, project_id: int, kind: str, *, by: str) -> None:
    """Choose the kind of labels and count them now, so that the next step can build on the numbers."""
    change_project(services, project_id, by=by, kind=kind)
    with services.database.read() as session:
        unread = session.get_one(Project, project_id).watermark is None
    if unread:
        look(services, project_id, full=True)


def chosen_kind(services: Services, project_id: int) -> LabelKind | None:
    """The kind of labels that was chosen for a project; None: none was, or it is not connected."""
    with services.database.read() as session:
        project = session.get(Project, project_id)
        return None if project is None or project.kind is None else LabelKind(project.kind)


def kind_named(name: str) -> LabelKind:
    """Raises BadInput naming the value."""
    try:
        return LabelKind(name)
    except ValueError as error:
        raise BadInput(what=f"kind = {name!r}", why=N_("expected box, rotated_box or polygon")) from error


def _choose_kind(project: Project, value: object) -> None:
    if value == project.kind:
        return
    if value is not None and value not in project.available_kinds:
        raise BadInput(what=f"kind = {value!r}", why=NOT_OFFERED)
    project.kind = None if value is None else str(value)
    config = parse_label_config(project.label_config, project.id)
    use_control(project, config, config.control(None if project.kind is None else LabelKind(project.kind)))


def _check(services: Services, project: Project, name: str, value: object) -> None:
    if name in ("auto_train", "auto_label", "finish_review", "review_tab"):
        good = isinstance(value, bool)
    elif name in ("deidentify", "originals"):
        good = settings_values(name, value, services)
    elif name == "labels_per_class":
        good = value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000)
    elif name == "threshold":
        good = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)
    elif name == "retrain_below":
        good = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1)
    elif name == "chosen_classes":
        good = value is None or (
            isinstance(value, list) and bool(value) and all(one in project.available_classes for one in value)
        )
    else:
        raise BadInput(what=name, why=N_("there is no such project setting"))
    if not good:
        raise BadInput(what=f"{name} = {value!r}", why=N_("this is not a possible value"))
