"""report: what a model gets right and wrong, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from custom_ai.cli.admin import services_for_terminal
from custom_ai.errors import N_, BadInput, NotFound
from custom_ai.i18n import LANGUAGES, terminal_language


def report(
    model: Annotated[str, typer.Argument(help="The model's version, e.g. p7-m12")],
    out: Annotated[Path, typer.Option(help="The folder, or the ZIP file, to write to.")],
    language: Annotated[str, typer.Option(help="en or ko; by default that of the terminal.")] = "",
) -> None:
    """Write a model's report: a page that needs no server, figures, curves and the worst images. No weights."""
    number = model.rpartition("-m")[2]
    if not number.isascii() or not number.isdigit():
        raise NotFound(what=N_("model"), id=model)
    if language and language not in LANGUAGES:
        raise BadInput(what=f"--language {language}", why=N_("there are: en, ko"))
    from custom_ai_ui.report_files import as_zip, report_files  # brings Flask

    content = report_files(services_for_terminal(), int(number), language or terminal_language())
    if out.suffix.lower() == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(as_zip(content, f"report-{model}"))
    else:
        for name, data in content.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        out = out / "index.html"
    Console().print(str(out), markup=False, highlight=False)
