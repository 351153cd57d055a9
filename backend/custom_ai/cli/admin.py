"""migrate, connect and status: small things an admin asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from custom_ai import wiring
from custom_ai.errors import N_, NotFound
from custom_ai.i18n import terminal_language, translator
from custom_ai.pipeline import connect as connecting
from custom_ai.pipeline import export, overview
from custom_ai.services import Services
from custom_ai.state.database import Database
from custom_ai.types import LabelKind
from custom_ai.vault import new_key

CLI_RETRY_S = 5.0


def services_for_terminal() -> Services:
    """Services with the schema brought up to date; a terminal does not wait long for Label Studio."""
    settings = wiring.settings_of_this_process()
    services = wiring.build(settings, retry_s=CLI_RETRY_S, need_queue=False)
    services.database.migrate()
    return services


def migrate() -> None:
    """Bring the database schema to this version."""
    settings = wiring.settings_of_this_process()
    Database(settings.sqlalchemy_url).migrate()
    Console().print(translator(terminal_language())(N_("The database is up to date.")))


def connect(
    project: Annotated[int, typer.Argument(help="The project's id in Label Studio")],
    classes: Annotated[str, typer.Option(help="Classes for a project without a labelling config: cat,dog")] = "",
    kind: Annotated[
        LabelKind | None, typer.Option(help="What people draw, of what the labelling config offers; or for a new one")
    ] = None,
) -> None:
    """Connect a Label Studio project: labelling config, ML backend and webhook."""
    _ = translator(terminal_language())
    services = services_for_terminal()
    names = [name.strip() for name in classes.split(",") if name.strip()]
    state = connecting.connect(services, project, by="command line", classes=names, kind=kind)
    console = Console()
    console.print(_(N_("Project {id} is connected.")).format(id=project), style="bold green")
    if state is not None:
        console.print(_(N_("Labels so far: {labels}")).format(labels=state), markup=False)


def vault_key() -> None:
    """Print a new key for CUSTOM_AI_VAULT_KEY. Without it nobody can read the originals in the vault: keep it apart."""
    typer.echo(new_key())


def status() -> None:
    """Show where every connected project stands."""
    _ = translator(terminal_language())
    services = services_for_terminal()
    titles = [N_("Project"), N_("Labels"), N_("Training"), N_("Vote"), N_("Model"), N_("Pre-labelled")]
    table = Table(*map(_, titles))
    for project_id in overview.projects(services):
        state = overview.project(services, project_id, _)
        table.add_row(*_line(state), end_section=False)
        if state["problem"]:
            table.add_row("", state["problem"])
    Console().print(table)


def export_model(
    model: Annotated[str, typer.Argument(help="The model's version, e.g. p7-m12")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
) -> None:
    """Write a model's ONNX file, its weights and its card into a folder."""
    number = model.rpartition("-m")[2]
    if not number.isascii() or not number.isdigit():
        raise NotFound(what=N_("model"), id=model)
    services = services_for_terminal()
    out.mkdir(parents=True, exist_ok=True)
    card = export.model_card(services, int(number))
    written = [export.model_file(services, int(number), format) for format in export.FORMATS]
    written.append((f"{card['version']}-card.md", export.card_text(card).encode()))
    for name, content in written:
        (out / name).write_bytes(content)
        Console().print(str(out / name), markup=False, highlight=False)


def _line(state: dict[str, Any]) -> list[str]:
    labels = ", ".join(f"{name} {count}/{state['needed']}" for name, count in state["labels"].items())
    run, selection, best, tasks = state["run"], state["selection"], state["champion"], state["tasks"]
    share = ""
    if run and run["status"] == "running":
        fractions = [one["fraction"] for one in run["candidates"]] or [0.0]
        share = f" {100 * sum(fractions) / len(fractions):.0f} %"
    return [
        f"{state['id']} {state['title']}",
        labels,
        f"{run['status']}{share}" if run else "-",
        selection["status"] if selection else "-",
        best["version"] if best else "-",
        f"{tasks['to_review']}/{tasks['untouched']}",
    ]
