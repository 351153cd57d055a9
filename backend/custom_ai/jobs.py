"""What RQ calls: an id comes in, a pipeline call goes out. Runs in a process forked for this job."""

from __future__ import annotations

import os

from custom_ai.errors import Conflict, NotReady
from custom_ai.pipeline import auto_label as auto_labelling
from custom_ai.pipeline import connect as connecting
from custom_ai.pipeline import deidentify as hiding
from custom_ai.pipeline import deliver as delivering
from custom_ai.pipeline import import_archive as importing
from custom_ai.pipeline import look as looking
from custom_ai.pipeline import revisions, rules
from custom_ai.pipeline import tick as ticking
from custom_ai.pipeline import train as training
from custom_ai.services import Services
from custom_ai.state.journal import notify_error
from custom_ai.wiring import services_of_this_process


def _services() -> Services:
    return services_of_this_process()


def _in_the_background() -> Services:
    """For work of minutes: this process, and those that it starts, give way to others that want the CPU."""
    services = _services()
    if os.getpriority(os.PRIO_PROCESS, 0) < services.settings.nice:  # never more eager than we were started
        os.setpriority(os.PRIO_PROCESS, 0, services.settings.nice)
    return services


def tick() -> None:
    ticking.tick(_services())


def look(project_id: int) -> None:
    rules.look_and_follow(_services(), project_id)


def reconcile(project_id: int) -> None:
    ticking.reconcile(_services(), project_id)


def adopt(project_id: int) -> None:
    connecting.adopt(_services(), project_id)


def start_training(project_id: int) -> None:
    """Label Studio's Start Training button: look first, since the click may be younger than our mirror."""
    services = _services()
    if looking.look(services, project_id) is None:
        return
    try:
        training.request_run(services, project_id, by="label-studio", trigger="button")
    except (Conflict, NotReady) as error:
        with services.database.write() as session:
            notify_error(session, project_id, "not_started", error)


def train(run_id: int, attempt: int) -> None:
    training.train(_in_the_background(), run_id, attempt)


def auto_label(job_id: int, attempt: int) -> None:
    auto_labelling.auto_label(_in_the_background(), job_id, attempt)


def import_archive(job_id: int, attempt: int) -> None:
    importing.import_archive(_in_the_background(), job_id, attempt)


def deidentify(job_id: int, attempt: int) -> None:
    hiding.deidentify(_in_the_background(), job_id, attempt)


def revise(revision_id: int, attempt: int) -> None:
    revisions.revise(_in_the_background(), revision_id, attempt)


def deliver() -> None:
    delivering.deliver(_services())


def apply_champion(project_id: int) -> None:
    auto_labelling.apply_champion(_services(), project_id)
