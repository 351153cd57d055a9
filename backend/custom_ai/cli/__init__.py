"""The command line: ``custom-ai``. Each command is a thin shell around one function elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from custom_ai.cli import admin, data, deidentify, demo, doctor, notify, processes, reports, weights
from custom_ai.errors import CustomAIError
from custom_ai.i18n import terminal_language, translator
from custom_ai.wiring import SETTINGS_FILE

app = typer.Typer(
    name="custom-ai",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Custom AI for Label Studio: label ten, let the machine do the rest.",
)
app.command("run")(processes.run)
app.command("web")(processes.web)
app.command("worker")(processes.worker)
app.command("migrate")(admin.migrate)
app.command("connect")(admin.connect)
app.command("status")(admin.status)
app.command("export-model")(admin.export_model)
app.command("report")(reports.report)
app.add_typer(weights.app, name="weights")
app.command("import")(data.import_data)
app.command("export")(data.export_data)
app.command("deidentify")(deidentify.deidentify)
app.command("notify")(notify.notify)
app.command("vault-key")(admin.vault_key)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


@app.callback()
def _start(
    settings: Annotated[
        Path | None, typer.Option(help="A TOML file with settings; the environment wins over it.")
    ] = None,
) -> None:
    if settings is not None:
        os.environ[SETTINGS_FILE] = str(settings.resolve())


def main() -> None:
    """Entry point: every error that is meant for people is one red line, without a traceback."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx", "httpcore", "alembic", "rq.worker", "rq.scheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except CustomAIError as error:
        Console(stderr=True).print(error.text(translator(terminal_language())), style="bold red", markup=False)
        sys.exit(1)
