"""import and export: pictures with labels in the formats of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from custom_ai.cli.admin import services_for_terminal
from custom_ai.errors import N_, BadInput
from custom_ai.formats.common import Format, LeftOut
from custom_ai.formats.source import Source, opened
from custom_ai.i18n import terminal_language, translator
from custom_ai.labelstudio.config import template
from custom_ai.pipeline.export_labels import export_labels, folder_or_zip
from custom_ai.pipeline.import_labels import VERSION, Wanted, classes_of, import_labels
from custom_ai.pipeline.importing import COLOURS, checked_classes, checked_title
from custom_ai.pipeline.run_data import NOTES
from custom_ai.pipeline.uploads import limits_of
from custom_ai.services import Services
from custom_ai.types import LabelKind

BY = "command line"
Translate = Callable[[str], str]


def import_data(
    source: Annotated[Path, typer.Argument(help="A folder or a ZIP file with pictures, with or without labels.")],
    project: Annotated[int, typer.Option(help="The project's id in Label Studio.")] = 0,
    new: Annotated[str, typer.Option(help="Or the title of a new project.")] = "",
    format: Annotated[Format | None, typer.Option(help="Which labels count; by default those that are there.")] = None,
    kind: Annotated[
        LabelKind | None, typer.Option(help="What the labels become; by default the project's kind.")
    ] = None,
    as_: Annotated[str, typer.Option("--as", help="annotations or predictions.")] = "annotations",
    version: Annotated[str, typer.Option(help="With --as predictions: their model version.")] = VERSION,
    add_classes: Annotated[
        bool, typer.Option(help="Add classes to the labelling config that it does not have.")
    ] = False,
    rename: Annotated[list[str] | None, typer.Option(help="old=new: what a class is called in Label Studio.")] = None,
    classes: Annotated[str, typer.Option(help="Names for YOLO labels without any: cat,dog")] = "",
    deidentify: Annotated[bool, typer.Option(help="Hide faces before the pictures reach Label Studio.")] = False,
) -> None:
    """Import pictures with labels (COCO, YOLO, Pascal VOC) or without. May be stopped and called again."""
    _ = translator(terminal_language())
    if as_ not in ("annotations", "predictions"):
        raise BadInput(what=f"--as {as_}", why=_(N_("there are: {names}")).format(names="annotations, predictions"))
    if bool(project) == bool(new):
        raise BadInput(what="--project, --new", why=N_("give one of them: a project's id, or the title of a new one"))
    services = services_for_terminal()
    console = Console()
    wanted = Wanted(
        by=BY,
        format=format,
        kind=kind,
        as_predictions=as_ == "predictions",
        add_classes=add_classes,
        rename=_renamed(rename or []),
        classes=[name.strip() for name in classes.split(",") if name.strip()],
        deidentify=deidentify,
        version=version.strip() or VERSION,
    )
    with opened(source, limits_of(services.settings)) as content:
        if new:
            project = _new_project(services, new, content, wanted)
            console.print(_(N_("Project {id} was made.")).format(id=project), style="bold green")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(_(N_("Importing")), total=None)
            done = import_labels(
                services, project, content, wanted, lambda one, all: progress.update(bar, completed=one, total=all)
            )
    figures = (
        (N_("New images"), done.images),
        (N_("Images that were there and have got labels"), done.completed),
        (N_("Images that were there already"), done.already),
        (N_("Labels"), done.shapes),
        (N_("Left out"), len(done.left_out)),
    )
    _tell(console, _, figures, done.notes, done.left_out)
    if done.added_classes:
        console.print(_(N_("Classes added: {names}")).format(names=", ".join(done.added_classes)), markup=False)
    if new:
        hint = N_("Now connect it: custom-ai connect {id}")
        console.print(_(hint).format(id=project), markup=False, highlight=False)
    if done.left_out:
        raise typer.Exit(1)


def export_data(
    project: Annotated[int, typer.Argument(help="The project's id in Label Studio")],
    format: Annotated[Format, typer.Option(help="coco, yolo or voc.")],
    out: Annotated[Path, typer.Option(help="A new folder, or a ZIP file, to write to.")],
    kind: Annotated[LabelKind | None, typer.Option(help="Which labels; by default the project's kind.")] = None,
    images: Annotated[bool, typer.Option(help="With the pictures.")] = False,
    with_predictions: Annotated[bool, typer.Option(help="Predictions for tasks without annotations, too.")] = False,
) -> None:
    """Write what people have labelled, in COCO, YOLO or Pascal VOC."""
    _ = translator(terminal_language())
    services = services_for_terminal()
    console = Console()
    with console.status(_(N_("Exporting"))), folder_or_zip(out) as sink:
        done = export_labels(
            services,
            project,
            sink,
            by=BY,
            format=format,
            kind=kind,
            with_predictions=with_predictions,
            images=images,
        )
    figures = (
        (N_("Images"), done.images),
        (N_("Labels"), done.shapes),
        (N_("Images with a model's labels"), done.predicted),
        (N_("Left out"), len(done.left_out)),
    )
    notes = Counter({NOTES.get(note, note): count for note, count in done.notes.items()})
    _tell(console, _, figures, notes, done.left_out)
    console.print(str(out), markup=False, highlight=False)
    if done.left_out:
        raise typer.Exit(1)


def _tell(
    console: Console,
    translate: Translate,
    figures: Sequence[tuple[str, int]],
    notes: Counter[str],
    left_out: Sequence[LeftOut],
) -> None:
    table = Table(show_header=False)
    for words, number in figures:
        table.add_row(translate(words), str(number))
    for words, number in notes.items():
        if number:
            table.add_row(translate(words), str(number), style="dim")
    console.print(table)
    for one in left_out:
        console.print(f"{one.where}: {translate(one.why)}", style="yellow", markup=False, highlight=False)


def _renamed(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        old, sign, called = pair.partition("=")
        if not sign or not old.strip() or not called.strip():
            raise BadInput(what=f"--rename {pair}", why=N_("expected old=new"))
        found[old.strip()] = called.strip()
    return found


def _new_project(services: Services, title: str, source: Source, wanted: Wanted) -> int:
    """Make a project with the classes of the data set. Raises BadInput, also when there is one of this title."""
    title = checked_title(title)
    there = next((one for one in services.label_studio.projects() if one.title == title), None)
    if there is not None:
        raise BadInput(what=f"--new {title}", why=N_("there is a project of this title; go on with it by --project"))
    names = classes_of(source, wanted) or list(wanted.classes)
    chosen = checked_classes([(name, "") for name in names])
    config = template([name for name, _ in chosen], kind=wanted.kind or LabelKind.BOX, colours=COLOURS)
    return services.label_studio.create_project(title, "", config).id
