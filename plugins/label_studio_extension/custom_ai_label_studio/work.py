"""What the actions do, once Label Studio has made sure that the person may: ask Custom AI, and say what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from custom_ai_label_studio.forms import CLASS, NO_VOTE
from custom_ai_label_studio.server import Problem, Server, hand_over_path
from custom_ai_label_studio.status import lines
from custom_ai_label_studio.words import translator

IN_LINE = "Training is in line; it begins by itself."
CONNECTED = "The project is connected. Custom AI counts its labels now; open this dialog again in a moment."
NO_CLASS = "Nothing was started: choose at least one class."
LABELLING = "Auto-labelling of {count} tasks is in line; it begins by itself."
BOTH = "Hiding faces in {count} tasks, then auto-labelling them, is in line; it begins by itself."
HIDING = "Hiding faces in {count} tasks is in line; it begins by itself."
NO_HIDING = "This Custom AI cannot de-identify tasks that are in Label Studio already; a newer one can."
NO_TASKS = "No task is selected."
VOTE_OPENS = "The vote opens in a new tab."


@dataclass(frozen=True)
class Done:
    """What came of an action."""

    detail: str
    tasks: int = 0
    open: str = ""
    """A path in Label Studio that the page script opens in a new tab."""


def make(server: Server, form: Mapping[str, Any]) -> Done:
    """Train models; or connect the project, when the dialog offered that. Raises Problem."""
    _ = translator(server.config.language)
    if form.get("connect"):
        server.post("/connect", {})
        return Done(_(CONNECTED))
    body: dict[str, Any] = {}
    offered = [name for name in form if name.startswith(CLASS)]
    if offered:
        body["classes"] = [name.removeprefix(CLASS) for name in offered if form[name] is True]
        if not body["classes"]:
            raise Problem(_(NO_CLASS), code="bad_input")
    elif form.get("all_ready"):
        project = server.look("")
        counts, needed = project["labels_of_all_classes"], project["needed"]
        body["classes"] = [name for name, count in counts.items() if count >= needed]
    if form.get("kind"):
        body["kind"] = str(form["kind"])
    server.post("/runs", body)
    return Done(_(IN_LINE))


def auto_label(server: Server, form: Mapping[str, Any], tasks: Iterable[int]) -> Done:
    """Have the tasks pre-labelled; with ``hide_faces`` after their images are de-identified. Raises Problem."""
    _ = translator(server.config.language)
    body: dict[str, Any] = {"tasks": _chosen(server, tasks)}
    model = str(form.get("model") or "")
    if model.isdecimal():
        body["model"] = int(model)
    if form.get("hide_faces") is True:
        body["prepare"] = ["faces"]
    count = server.post("/auto-label", body)["tasks"]["total"]
    text = BOTH if "prepare" in body else LABELLING
    return Done(_(text).format(count=count), count)


def deidentify(server: Server, tasks: Iterable[int]) -> Done:
    """Have faces hidden in the images of the tasks. Raises Problem."""
    _ = translator(server.config.language)
    ids = _chosen(server, tasks)
    try:
        server.post("/deidentify", {"tasks": ids})
    except Problem as problem:
        if problem.code == "http":  # no such route
            raise Problem(_(NO_HIDING), code="not_offered", status=problem.status) from problem
        raise
    return Done(_(HIDING).format(count=len(ids)), len(ids))


def choose(server: Server) -> Done:
    """Lead to the open vote. Raises Problem."""
    _ = translator(server.config.language)
    vote = server.look("")["selection"]
    if vote is None or vote["status"] != "open":
        raise Problem(_(NO_VOTE), code="no_vote")
    return Done(_(VOTE_OPENS), open=hand_over_path(server.project_id, f"/selections/{vote['id']}"))


def status(server: Server) -> Done:
    """How the project stands. Raises Problem."""
    return Done(" · ".join(lines(server.look(""), server.config.language)))


def _chosen(server: Server, tasks: Iterable[int]) -> list[int]:
    ids = [int(one) for one in tasks]
    if not ids:
        raise Problem(translator(server.config.language)(NO_TASKS), code="bad_input")
    return ids
