"""notify: try the notifiers out, and see what has become of deliveries; further addresses of a project."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from custom_ai import wiring
from custom_ai.cli.admin import services_for_terminal
from custom_ai.errors import N_, BadInput, NotFound
from custom_ai.i18n import LANGUAGES, terminal_language, translator
from custom_ai.notifiers.chat import UNKNOWN, usable
from custom_ai.pipeline.deliver import address_id, try_out
from custom_ai.plugins import NotSent
from custom_ai.services import Services
from custom_ai.state.journal import record
from custom_ai.state.tables import Delivery, Project


def notify(
    test: Annotated[bool, typer.Option("--test", help="Send a test by every notifier that is set up.")] = False,
    to: Annotated[str, typer.Option(help="With --test: the e-mail address that gets the test mail.")] = "",
    language: Annotated[str, typer.Option(help="With --test: en or ko; by default that of the terminal.")] = "",
    project: Annotated[int, typer.Option(help="A project, to show or change its own addresses.")] = 0,
    add: Annotated[str, typer.Option(help="With --project: an apprise address to add.")] = "",
    remove: Annotated[str, typer.Option(help="With --project: the name of an address, as shown, to remove.")] = "",
) -> None:
    """Show what has become of notifications; try the notifiers out; manage the addresses of a project."""
    _ = translator(terminal_language())
    language = language or terminal_language()
    if language not in LANGUAGES:
        raise BadInput(what=f"--language {language}", why=N_("there are: en, ko"))
    services = services_for_terminal()
    console = Console()
    if test:
        _test(services, console, to, language)
    elif project:
        _project(services, console, project, add, remove)
    else:
        _overview(services, console)


def _test(services: Services, console: Console, to: str, language: str) -> None:
    _ = translator(terminal_language())
    failed = tried = 0
    for name, notifier in wiring.notifiers(services.settings).items():
        addresses = ([to] if to else []) if notifier.spec.personal else list(notifier.addresses())
        if notifier.spec.personal and not to:
            console.print(f"{name}: " + _(N_("give an address by --to")), style="yellow", markup=False)
        for number, address in enumerate(addresses, start=1):
            shown = address if notifier.spec.personal else f"{number} ({address_id(address)})"
            tried += 1
            try:
                try_out(services, notifier, address, language)
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; here it is to be seen
                failed += 1
                why = str(error) if isinstance(error, NotSent) else f"{type(error).__name__}: {error}"
                console.print(f"✗ {name} {shown}: {why}", style="bold red", markup=False, highlight=False)
            else:
                console.print(f"✓ {name} {shown}", style="green", markup=False, highlight=False)
    if not tried:
        console.print(_(N_("Nothing was sent: set up a notifier, see docs/notifications.md.")), markup=False)
    if failed or not tried:
        raise typer.Exit(1)


def _project(services: Services, console: Console, number: int, add: str, remove: str) -> None:
    if add and not usable(add):
        raise BadInput(what="--add", why=UNKNOWN)  # the address is not repeated: it holds a secret
    with services.database.write() as session:
        project = session.get(Project, number)
        if project is None:
            raise NotFound(what=N_("project"), id=number)
        before = list(project.notify_urls)
        urls = [one for one in before if address_id(one) != remove]
        if remove and len(urls) == len(before):
            raise NotFound(what=N_("address"), id=remove)
        if add and add not in urls:
            urls.append(add)
        if urls != before:
            project.notify_urls = urls
            record(session, "command line", "notify.addresses", number, addresses=[address_id(one) for one in urls])
    for url in urls:
        console.print(f"{address_id(url)}  {url.partition('://')[0]}://…", markup=False, highlight=False)


def _overview(services: Services, console: Console) -> None:
    _ = translator(terminal_language())
    with services.database.read() as session:
        rows = session.execute(
            select(Delivery.channel, Delivery.status, func.count()).group_by(Delivery.channel, Delivery.status)
        ).all()
        last = session.scalars(select(Delivery).where(Delivery.error != "").order_by(Delivery.id.desc()).limit(5)).all()
    table = Table(_(N_("Notifier")), _(N_("Status")), _(N_("Notifications")))
    for row in sorted(rows, key=lambda one: (one[0], one[1])):
        table.add_row(row[0], row[1], str(row[2]))
    console.print(table)
    for one in last:
        console.print(f"{one.channel} {one.address} ({one.status}): {one.error}", style="yellow", markup=False)
