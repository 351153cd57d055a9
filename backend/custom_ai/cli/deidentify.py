"""deidentify: hide the faces in files, without Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from custom_ai import wiring
from custom_ai.archive import SYSTEM_FILE, Archive, Limits
from custom_ai.errors import N_, BadInput, ImageError
from custom_ai.i18n import terminal_language, translator

if TYPE_CHECKING:
    from custom_ai_deid.run import Source

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
NOBODY_KNOWS = N_(
    "No detector finds every face. Look at the images that are marked as doubtful, and at some of the others."
)


def deidentify(
    source: Annotated[Path, typer.Argument(help="A folder or a ZIP file with images.")],
    out: Annotated[Path, typer.Option(help="The folder to write to; the originals stay where they are.")],
    style: Annotated[str, typer.Option(help="mosaic, blur or solid.")] = "mosaic",
    form: Annotated[str, typer.Option(help="box or ellipse.")] = "box",
    cells: Annotated[int, typer.Option(help="Cells of the mosaic across a face.", min=1, max=16)] = 4,
    score: Annotated[float, typer.Option(help="How sure a face must be; lower finds more.", min=0.01, max=0.99)] = 0.3,
    margin: Annotated[float, typer.Option(help="How much larger than the face the area is.", min=1, max=3)] = 1.3,
    thorough: Annotated[bool, typer.Option(help="Look closer, and with a second network; slower.")] = False,
    detector: Annotated[list[Path] | None, typer.Option(help="A further RetinaFace network (ONNX).")] = None,
    model: Annotated[list[Path] | None, typer.Option(help="Also hide what this model finds (ONNX).")] = None,
    classes: Annotated[str, typer.Option(help="Which of the models' classes, e.g. badge,plate; empty: all.")] = "",
) -> None:
    """Write copies of images without faces and without metadata, and a report. Can be stopped and called again."""
    from custom_ai_deid.deidentify import Deidentifier, Options
    from custom_ai_deid.faces import THOROUGH, Looking
    from custom_ai_deid.hiding import Hiding
    from custom_ai_deid.journal import summary
    from custom_ai_deid.run import deidentify_into

    _ = translator(terminal_language())
    settings = wiring.settings_of_this_process()
    if out.resolve() == source.resolve():
        raise BadInput(what=f"--out {out}", why=N_("the originals would be lost; name another folder"))
    for name, value, known in (("style", style, ("mosaic", "blur", "solid")), ("form", form, ("box", "ellipse"))):
        if value not in known:
            raise BadInput(what=f"--{name} {value}", why=_(N_("there are: {names}")).format(names=", ".join(known)))
    looking = Looking(min_score=score, **(THOROUGH if thorough else {}))
    deidentifier = Deidentifier(
        Options(
            looking=looking,
            hiding=Hiding(style=style, form=form, cells=cells),  # type: ignore[arg-type]  # checked above
            margin=margin,
            networks=tuple(detector or ()),
            retinaface=thorough,
            models=tuple(model or ()),
            classes=tuple(name.strip() for name in classes.split(",") if name.strip()),
            max_pixels=settings.image_max_pixels,
            threads=settings.cpu_threads,
        )
    )
    console = Console()
    with ExitStack() as stack:
        count, sources = _sources(source, out, settings, stack)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = stack.enter_context(Progress(*columns, console=console))
        task = bar.add_task(_(N_("De-identifying")), total=count)
        lines = deidentify_into(
            sources,
            out,
            deidentifier,
            workers=settings.cpu_threads,
            told=lambda line: bar.advance(task),
            text=lambda error: error.text(_),
        )
    figures = summary(lines)
    table = Table(show_header=False)
    for words, name in (
        (N_("Images"), "images"),
        (N_("with faces"), "with_faces"),
        (N_("Faces hidden"), "faces"),
        (N_("Doubtful: please look at them"), "doubtful_images"),
        (N_("Not written, see the report"), "failed"),
    ):
        table.add_row(_(words), str(figures[name]))
    console.print(table)
    for line in [line for line in lines if not line.sha256_after][:10]:
        console.print(line.name, line.reason, style="yellow", markup=False, highlight=False)
    console.print(_(NOBODY_KNOWS), highlight=False)
    console.print(str(out), markup=False, highlight=False)
    if figures["failed"]:
        raise typer.Exit(1)


def _sources(source: Path, out: Path, settings: Any, stack: ExitStack) -> tuple[int, Iterator[Source]]:
    """How many images there are, and each with what reads it. Raises BadInput."""
    if source.is_dir():
        skipped = out.resolve()
        files = [
            path
            for path in sorted(source.rglob("*"))
            if path.suffix.lower() in SUFFIXES and path.is_file() and skipped not in path.resolve().parents
        ]
        if not files:
            raise BadInput(what=str(source), why=N_("there are no images in it"))
        return len(files), ((path.relative_to(source).as_posix(), path.read_bytes) for path in files)
    if not source.is_file():
        raise BadInput(what=str(source), why=N_("there is no such folder or file"))
    limits = Limits(
        images=10_000_000,
        image_bytes=settings.image_max_bytes,
        image_pixels=settings.image_max_pixels,
        ratio=settings.import_max_ratio,
        unpacked_bytes=10**15,
    )
    archive = stack.enter_context(Archive(source, limits))

    wanted = [entry for entry in archive.entries() if entry.why != SYSTEM_FILE]

    def entries() -> Iterator[Source]:
        taken: set[str] = set()
        for entry in wanted:
            name = _below(entry.name)
            if name in taken:  # archives may hold two files of one name
                name = f"{entry.position}-{name}"
            taken.add(name)
            why = entry.why
            yield name, partial(_refused, name, why) if why else lambda entry=entry: archive.read(entry).data  # type: ignore[misc]

    return len(wanted), entries()


def _refused(name: str, why: str) -> bytes:
    raise ImageError(image=name, why=why)


def _below(name: str) -> str:
    """A relative path that stays below its folder, whatever the archive says."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part.replace(":", "_") for part in parts) or "unnamed"
