"""The settings of a project: the form on its dashboard, which keeps what was typed when something is refused."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput, CustomAIError
from custom_ai.pipeline import overview
from custom_ai.pipeline.connect import change_project
from custom_ai.pipeline.deidentify import installed
from custom_ai_ui.dashboard import refused
from custom_ai_ui.site import Site, form_number

MOST_LABELS = 10_000
SWITCHES = ("auto_train", "auto_label", "finish_review", "review_tab")


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add what the settings form is sent to."""
    services = site.services

    @routes.context_processor
    def words() -> dict[str, object]:
        return {"saved_settings": saved, "can_hide": installed}

    @routes.post("/projects/<int:project_id>/settings")
    def settings(project_id: int) -> Response | tuple[str, int]:
        visitor = site.sees(project_id)
        try:
            values = _values(overview.project(services, project_id))
            change_project(services, project_id, by=visitor.email, **values)
        except CustomAIError as error:
            return refused(site, project_id, "settings", error, typed=_typed())
        flash(site.translate(N_("The settings are saved.")), "good")
        return redirect(url_for(".project_page", project_id=project_id), 303)


def _values(project: dict[str, Any]) -> dict[str, object]:
    """What ``change_project`` is to set, of the form that was sent. Raises BadInput."""
    values: dict[str, object] = {name: name in request.form for name in SWITCHES}
    needed = form_number("labels_per_class", int)
    if needed is not None and not 1 <= needed <= MOST_LABELS:
        raise BadInput(what=f"{needed}", why=N_("expected a whole number from 1 to 10,000"))
    if needed != project["settings"]["labels_per_class"]:  # an untouched field must not pin the installation's default
        values["labels_per_class"] = needed
    for name in ("deidentify", "originals"):
        if name in request.form:
            values[name] = request.form[name]
    if "threshold" in request.form:
        threshold = form_number("threshold", float)
        if threshold is not None and not 0 <= threshold <= 1:
            raise BadInput(what=f"{threshold:g}", why=N_("a threshold lies between 0 and 1"))
        values["threshold"] = threshold
    if "retrain_below" in request.form:
        below = form_number("retrain_below", float)
        if below is not None and not 0 < below < 100:
            raise BadInput(what=f"{below:g}", why=N_("expected a percentage between 0 and 100"))
        values["retrain_below"] = None if below is None else round(below / 100, 4)
    if "classes_shown" in request.form:
        ticked = request.form.getlist("chosen_class")
        if not ticked:
            raise BadInput(what=N_("an empty choice"), why=N_("tick at least one class"))
        # All of them: classes that are added later count as well.
        values["chosen_classes"] = None if set(ticked) == set(project["classes"]) else ticked
    return values


def _typed() -> dict[str, Any]:
    """The form as it was sent, in the shape in which the template shows it."""
    return {
        **{name: name in request.form for name in SWITCHES},
        "labels_per_class": request.form.get("labels_per_class", ""),
        "retrain_below": request.form.get("retrain_below", ""),
        "threshold": request.form.get("threshold", ""),
        "deidentify": request.form.get("deidentify", "off"),
        "originals": request.form.get("originals", "destroy"),
        "chosen_classes": request.form.getlist("chosen_class"),
    }


def saved(project: dict[str, Any]) -> dict[str, Any]:
    """The form as it stands in the database, in the same shape."""
    settings = project["settings"]
    below = settings["retrain_below"]
    return {
        **{name: settings[name] for name in SWITCHES},
        "labels_per_class": settings["labels_per_class"],
        "threshold": "" if settings["threshold"] is None else f"{settings['threshold']:g}",
        "retrain_below": "" if below is None else f"{100 * below:g}",
        "deidentify": settings["deidentify"],
        "originals": settings["originals"],
        "chosen_classes": project["chosen_classes"],
    }
