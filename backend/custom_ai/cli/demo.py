"""demo: the main job, end to end, on generated images and a real Label Studio."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.errors import N_, SettingsError
from custom_ai.i18n import terminal_language, translator

PASSES = 6500
"""Picture passes of one candidate: a random start on a dozen images needs more of them than real projects,
which start from pre-trained weights."""
GOOD_ENOUGH = 0.5
"""mAP50 that the winner's pre-labels must beat, or the demo has failed."""


def demo(
    unattended: Annotated[
        bool, typer.Option(help="Vote by the generator's truth, auto-label, print a table and exit.")
    ] = False,
    label_studio: Annotated[
        Path, typer.Option(help="The program `label-studio`, in an environment of its own.")
    ] = Path(".venv-label-studio/bin/label-studio"),
    folder: Annotated[Path, typer.Option(help="Where the demo keeps everything; it is emptied first.")] = Path(".demo"),
    seconds: Annotated[float, typer.Option(help="Training time of one candidate.")] = 105.0,
    port: Annotated[int, typer.Option(help="The port of Custom AI.")] = 9090,
    label_studio_port: Annotated[int, typer.Option(help="The port of Label Studio (0: a free one).")] = 8080,
) -> None:
    """Start a real Label Studio with generated images and hand labels, train, and let you vote."""
    from custom_ai.demo import story  # brings numpy and the image generator

    _ = translator(terminal_language())
    console = Console()
    executable = label_studio if label_studio.exists() else Path(shutil.which("label-studio") or label_studio)
    if not executable.exists():
        raise SettingsError(name="--label-studio", why=f"{executable} does not exist; `make setup` installs it")
    shutil.rmtree(folder, ignore_errors=True)
    stages: dict[str, float] = {}
    with _stage(console, stages, _(N_("Starting Label Studio"))):
        server = LabelStudioServer(executable, folder / "label-studio", port=label_studio_port)
        server.start()
    try:
        with story.custom_ai(
            folder / "state", server.url, server.token, port, candidate_seconds=seconds, candidate_passes=PASSES
        ) as url:
            with _stage(console, stages, _(N_("Making the project and its hand labels"))):
                work = story.prepare(server.url, server.token, url, folder)
                story.connect(work)
            with _stage(console, stages, _(N_("Training"))), _bars(console) as show:
                run = story.train(work, show)
            page = f"{url}/projects/{work.project_id}"
            if not unattended:
                _invite(console, _, server, page)
                return
            with _stage(console, stages, _(N_("Voting"))):
                selection = story.vote_by_truth(work)
            with _stage(console, stages, _(N_("Auto-labelling"))), _bars(console) as show:
                job = story.auto_label(work, show)
            winner = selection["winner"]
            found = story.pre_labels(work, winner["version"])
            truth_score = story.score(work, found)
            _report(console, _, run, winner, job, len(found), truth_score, work.first_s, stages)
            good = truth_score > GOOD_ENOUGH and len(found) == len(work.untouched)
            sys.exit(0 if good else 1)
    finally:
        server.stop()


def _invite(console: Console, _: Callable[[str], str], server: LabelStudioServer, page: str) -> None:
    console.rule()
    console.print(_(N_("Everything is running. Sign in to Label Studio first, then vote:")))
    console.print("  Label Studio", server.url, f"({server.email} / {server.password})")
    console.print("  Custom AI   ", page)
    console.print(_(N_("Press Ctrl-C to stop.")))
    try:
        while True:
            time.sleep(1.0)
    except KeyboardInterrupt:
        return


def _report(
    console: Console,
    _: Callable[[str], str],
    run: dict[str, Any],
    winner: dict[str, Any],
    job: dict[str, Any],
    stored: int,
    truth_score: float,
    first_s: float | None,
    stages: dict[str, float],
) -> None:
    table = Table(_(N_("Candidate")), _(N_("Held-out mAP50")), _(N_("Seconds")), _(N_("Base weights")))
    for one in run["candidates"]:
        mark = " *" if one["id"] == winner["id"] else ""
        value = "-" if one["map50"] is None else f"{one['map50']:.3f}"
        took = "-" if one["seconds"] is None else f"{one['seconds']:.0f}"
        table.add_row(one["title"] + mark, value, took, one["base_weights"] or one["reason"])
    console.print(table)
    facts = Table(show_header=False)
    facts.add_row(_(N_("Winner")), f"{winner['version']} {winner['title']}")
    facts.add_row(_(N_("Tasks pre-labelled, by the job")), str(job["tasks"]["done"]))
    facts.add_row(_(N_("Pre-labels found in Label Studio")), str(stored))
    facts.add_row(_(N_("mAP50 of the pre-labels against the truth")), f"{truth_score:.3f}")
    if first_s is not None:
        facts.add_row(_(N_("First pre-labels, from the start of training")), f"{first_s:.1f} s")
    for name, seconds in stages.items():
        facts.add_row(name, f"{seconds:.1f} s")
    console.print(facts)


@contextmanager
def _stage(console: Console, stages: dict[str, float], name: str) -> Iterator[None]:
    console.print(f"[bold]{name}[/bold] ...")
    start = time.monotonic()
    yield
    stages[name] = time.monotonic() - start


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Progress bars fed with the state of a run or of an auto-labelling job."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[str, Any] = {}

        def show(state: dict[str, Any]) -> None:
            tasks = state.get("tasks")
            lines = (
                {"": (tasks["total"] - tasks["waiting"]) / max(tasks["total"], 1)}
                if tasks
                else {
                    f"{one['title']}": 1.0 if one["status"] == "failed" else one["fraction"]
                    for one in state["candidates"]
                }
            )
            for name, fraction in lines.items():
                if name not in bars:
                    bars[name] = progress.add_task(name, total=1.0)
                progress.update(bars[name], completed=fraction)

        yield show
