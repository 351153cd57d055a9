"""doctor: check every leg in both directions and say in one line each what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import httpx
import typer
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from custom_ai import wiring
from custom_ai.cli.admin import services_for_terminal
from custom_ai.errors import N_, CustomAIError
from custom_ai.i18n import terminal_language, translator
from custom_ai.pipeline import checks, overview
from custom_ai.services import Services
from custom_ai.serving.choices import Choices
from custom_ai.training.weights import describe_available

_MIN_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was checked, whether it is fine, and details or the way out."""

    name: str
    good: bool
    detail: str


class Failed(CustomAIError):
    """A check that did not pass; the text says what to do."""

    template = N_("{what}")


def doctor(
    project: Annotated[
        int | None, typer.Argument(help="Also try image download, webhook and predictions with this project")
    ] = None,
) -> None:
    """Check every leg: Label Studio, token, database, queue, disk, weights, and with PROJECT the whole loop."""
    _ = translator(terminal_language())
    console = Console()
    failed = 0
    for finding in _findings(project, _):
        mark = "[green]✓[/green]" if finding.good else "[bold red]✗[/bold red]"
        console.print(mark, f"[bold]{finding.name}[/bold]", end=" ")
        console.print(finding.detail, markup=False, highlight=False)
        failed += not finding.good
    if failed:
        console.print(_(N_("{count} checks failed.")).format(count=failed), style="bold red")
        sys.exit(1)
    console.print(_(N_("Everything is in order.")), style="bold green")


def _findings(project: int | None, _: Callable[[str], str]) -> Iterator[Finding]:
    services = services_for_terminal()
    steps: list[tuple[str, Callable[[], str]]] = [
        (N_("Database"), partial(_database, services)),
        (N_("Disk"), partial(_disk, services, _)),
        (N_("Queue"), partial(_queue, services, _)),
        (N_("Prediction engine"), partial(_engine, services, _)),
        (N_("Plug-ins"), partial(_plugins, services, _)),
        (N_("Base weights"), partial(describe_available, services.settings)),
        (N_("Label Studio"), partial(_label_studio, services)),
        (N_("Web service"), partial(_web, services, _)),
    ]
    chosen = [project] if project is not None else overview.projects(services)[:1]
    for one in chosen:
        steps += [
            (N_("Project"), partial(checks.project, services, one, _)),
            (N_("ML backend and webhook"), partial(checks.registration, services, one, _)),
            (N_("Webhook reaches us"), partial(checks.webhook_arrives, services, one, _)),
            (N_("Image download"), partial(checks.image_download, services, one, _)),
            (N_("Prediction written and read"), partial(checks.prediction_round_trip, services, one, _)),
        ]
    for name, step in steps:
        try:
            yield Finding(_(name), True, step())
        except CustomAIError as error:
            yield Finding(_(name), False, error.text(_))


def _database(services: Services) -> str:
    try:
        with services.database.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise Failed(what=str(error)) from error
    return services.database.url.rpartition("@")[2]  # without user and password


def _disk(services: Services, _: Callable[[str], str]) -> str:
    folder = services.settings.state_dir
    free = shutil.disk_usage(folder).free
    shown = f"{folder}: {free / 1e9:.1f} GB"
    if free < _MIN_FREE_BYTES:
        raise Failed(what=_(N_("{shown} free; models and images need 2 GB. Free some space.")).format(shown=shown))
    return shown


def _queue(services: Services, _: Callable[[str], str]) -> str:
    url = services.settings.redis_url
    if not url:
        return _(N_("embedded; `custom-ai run` starts it"))
    try:
        wiring.redis_of(services.settings).ping()
    except RedisError as error:
        raise Failed(what=_(N_("{error}. Is REDIS_URL right, and the server running?")).format(error=error)) from error
    return url.rpartition("@")[2]


def _engine(services: Services, _: Callable[[str], str]) -> str:
    settings = services.settings
    if settings.engine:
        return _(N_("{engine}, as set")).format(engine=settings.engine)
    measured = Choices(settings.state_dir).all()
    if not measured:
        return _(N_("it is measured when a model is first used"))
    newest = measured[-1]
    rates = sorted(newest.rates.items(), key=lambda one: -one[1])
    shown = ", ".join(f"{name} {rate:g}" for name, rate in rates)
    return _(N_("{engine}; images a second at {size} pixels: {rates}")).format(
        engine=newest.engine, size=newest.image_size, rates=shown
    )


def _plugins(services: Services, _: Callable[[str], str]) -> str:
    """All that are installed. Raises SettingsError for a notifier that is named, but missing or set up wrongly."""
    ready = ", ".join(wiring.notifiers(services.settings)) or "-"
    shown = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in wiring.installed().items())
    return _(N_("{shown} (set up: {ready}; `custom-ai notify --test` tries them out)")).format(shown=shown, ready=ready)


def _label_studio(services: Services) -> str:
    person = services.label_studio.whoami()
    return f"{services.settings.label_studio_url}, {services.label_studio.version()}, {person.email}"


def _web(services: Services, _: Callable[[str], str]) -> str:
    url = services.settings.public_url
    try:
        answer = httpx.get(f"{url}/health", timeout=3.0)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Failed(
            what=_(
                N_("{url} does not answer ({error}). Start `custom-ai run`, and check CUSTOM_AI_PUBLIC_URL.")
            ).format(url=url, error=error)
        ) from error
    return url
