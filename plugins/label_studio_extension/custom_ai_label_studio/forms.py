"""The forms of the dialogs, in the shape that Label Studio's Data Manager draws; made anew whenever a dialog opens.

A row is ``{"columnCount", "fields"}``. Text without anything to fill in is the label of a hidden field, because the
Data Manager knows no plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from custom_ai_label_studio.server import Problem, Server
from custom_ai_label_studio.status import kind_name, lines
from custom_ai_label_studio.words import translator

CLASS = "class:"
"""Begins the names of the fields that choose classes."""
MOST_CLASSES = 24
"""With more ready classes a dialog would be too long to use; then there is one switch for all of them."""
MOST_MODELS = 30

NOT_CONNECTED = "This project is not connected to Custom AI yet."
CONNECT = "Connect it now"
CONNECT_FIRST = 'Connect it with "Custom AI: make".'
KIND = "Kind of labels"
MISSING = "{name}: {count} of {needed} labels; not enough yet"
READY = "{name}: {count} labels"
NONE_READY = "No class has the {needed} labels that it needs yet."
ALL_READY = "All {count} classes that are ready"
MODEL = "Model"
IN_USE = "The model in use ({version})"
NO_MODEL = 'There is no model yet: make one first, with "Custom AI: make".'
MODEL_NAME = "{version}: {title}, score {score}"
HIDE_FACES = "Hide the faces in their images first"
UNKNOWN_VERSION = (
    "This extension was tried with Label Studio 1.23; this is {version}. If something does not work, tell us."
)
NO_VOTE = "There is no vote on the models of this project now."
OPEN_VOTE = "The vote opens in a new tab: which of the models, whose names you do not see, found the most?"

Row = dict[str, Any]


def make(server: Server) -> list[Row]:
    """Kind and classes, those that are ready already chosen."""
    return _with_project(server, lambda project: _make(project, server.config.language), may_connect=True)


def auto_label(server: Server) -> list[Row]:
    """The model, and whether faces are hidden."""
    _ = translator(server.config.language)

    def form(project: dict[str, Any]) -> list[Row]:
        champion = project.get("champion")
        if champion is None:
            return [_note(_(NO_MODEL))]
        options = [{"value": "", "label": _(IN_USE).format(version=champion["version"])}]
        options += [_model(one, _) for one in server.look("/models")["models"][:MOST_MODELS]]
        return [
            _row({"type": "select", "name": "model", "label": _(MODEL), "options": options, "value": ""}),
            _row({"type": "toggle", "name": "hide_faces", "label": _(HIDE_FACES), "value": False}),
        ]

    return _with_project(server, form)


def choose(server: Server) -> list[Row]:
    """Whether there is something to vote on."""
    _ = translator(server.config.language)

    def form(project: dict[str, Any]) -> list[Row]:
        vote = project.get("selection") or {}
        return [_note(_(OPEN_VOTE) if vote.get("status") == "open" else _(NO_VOTE))]

    return _with_project(server, form)


def status(server: Server, version: str, *, known: bool) -> list[Row]:
    """How the project stands; also what is wrong with the extension itself."""
    _ = translator(server.config.language)
    rows = [] if known else [_note(_(UNKNOWN_VERSION).format(version=version), "version")]
    return rows + _with_project(server, lambda project: _notes(lines(project, server.config.language)))


def _with_project(
    server: Server, form: Callable[[dict[str, Any]], list[Row]], *, may_connect: bool = False
) -> list[Row]:
    """``form`` of the project as Custom AI knows it now; else why there is none."""
    _ = translator(server.config.language)
    try:
        project = server.look("")
        if project["connected"]:
            return form(project)
    except Problem as problem:
        if problem.code != "not_found":
            return [_note(problem.text)]
    if may_connect:
        return [
            _note(_(NOT_CONNECTED)),
            _row({"type": "toggle", "name": "connect", "label": _(CONNECT), "value": True}),
        ]
    return _notes([_(NOT_CONNECTED), _(CONNECT_FIRST)])


def _make(project: dict[str, Any], language: str) -> list[Row]:
    _ = translator(language)
    rows: list[Row] = []
    kinds = list(project["kinds"])
    if len(kinds) > 1:
        options = [{"value": one, "label": kind_name(one, language)} for one in kinds]
        rows.append(
            _row({"type": "select", "name": "kind", "label": _(KIND), "options": options, "value": project["kind"]})
        )
    counts, needed = dict(project["labels_of_all_classes"]), project["needed"]
    ready = [name for name, count in counts.items() if count >= needed]
    if not ready:
        rows.append(_note(_(NONE_READY).format(needed=needed), "none"))
    elif len(ready) > MOST_CLASSES:
        rows.append(
            _row({"type": "toggle", "name": "all_ready", "label": _(ALL_READY).format(count=len(ready)), "value": True})
        )
    else:
        chosen = set(project["chosen_classes"])
        for name in ready:
            label = _(READY).format(name=name, count=counts[name])
            value = name in chosen or not chosen & set(ready)
            rows.append(_row({"type": "toggle", "name": CLASS + name, "label": label, "value": value}))
    missing = [name for name in counts if name not in ready][:MOST_CLASSES]
    return rows + _notes(_(MISSING).format(name=name, count=counts[name], needed=needed) for name in missing)


def _model(model: dict[str, Any], _: Callable[[str], str]) -> dict[str, str]:
    score = "–" if model["map50"] is None else f"{model['map50']:.0%}"
    label = _(MODEL_NAME).format(version=model["version"], title=model["title"], score=score)
    return {"value": str(model["id"]), "label": label}


def _row(field: dict[str, Any]) -> Row:
    return {"columnCount": 1, "fields": [field]}


def _notes(texts: Iterable[str]) -> list[Row]:
    return [_note(text, str(number)) for number, text in enumerate(texts)]


def _note(text: str, name: str = "") -> Row:
    return _row({"type": "hidden", "name": f"note{name}", "label": text, "value": ""})
