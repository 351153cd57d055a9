"""The pages that show what a run learned from, and what a model gets right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_
from custom_ai.pipeline import forecast, overview
from custom_ai.pipeline.reports import report
from custom_ai.pipeline.run_data import run_data
from custom_ai_ui.plots import days_plot, forecast_plot, line, loss_plot
from custom_ai_ui.site import Site

COLOURS = 8
"""Classes are told apart by this many colours (``.c0`` ... in vote.css) and by their names."""
DOUBTS = {
    "class": N_("Drawn as {drawn}; the model is {sure} sure of {seen}."),
    "missing": N_("Nothing was drawn; the model is {sure} sure of {seen}."),
    "needless": N_("Drawn as {drawn}; the model sees nothing here, but {sure} of the others of this class."),
}
POINTS = {
    "siblings": N_("cross-validation: models that learned from half of the labels"),
    "model": N_("the model itself"),
    "subset": N_("a short training with fewer labels"),
    "earlier": N_("an earlier training run"),
}


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the report pages to the blueprint."""
    services = site.services

    @routes.get("/models/<int:model_id>")
    def model_report(model_id: int) -> str:
        site.user()
        found = report(services, model_id, site.translate)
        site.sees(found["project"])

        def picture(task: int) -> str:
            return f"{request.script_root}/api/models/{model_id}/images/{task}"

        def thumb(number: int, doubt: dict[str, Any]) -> str:
            view = ",".join(str(edge) for edge in doubt["view"])
            return f"{request.script_root}/api/models/{model_id}/images/{doubt['task']}?view={view}"

        return render_template(
            "custom_ai_ui/report.html",
            project=overview.project(services, found["project"], site.translate),
            **report_values(found, services.settings.label_studio_link, picture, thumb),
        )

    @routes.get("/runs/<int:run_id>/data")
    def data_page(run_id: int) -> str:
        site.user()
        found = run_data(services, run_id, site.translate)
        site.sees(found["project"]["id"])
        return render_template(
            "custom_ai_ui/data.html",
            data=found,
            forecast=found["forecast"],
            plot=plot_of(found["forecast"]),
            point_texts=POINTS,
            task_link=task_links(services.settings.label_studio_link, found["project"]["id"]),
        )

    @routes.post("/runs/<int:run_id>/forecast/stop")
    def stop_forecast(run_id: int) -> Response:
        site.user()
        visitor = site.sees(overview.run(services, run_id)["project"])
        with site.telling(N_("The forecast is being stopped.")):
            forecast.stop(services, run_id, by=visitor.email)
        return redirect(url_for(".data_page", run_id=run_id), 303)


def report_values(
    found: dict[str, Any],
    label_studio: str,
    picture: Callable[[int], str],
    thumb: Callable[[int, dict[str, Any]], str],
) -> dict[str, Any]:
    """What `_report.html` needs: on the page, and in the files to take away.

    ``picture(task)`` and ``thumb(number, doubt)`` are the addresses of a whole image and of the part of one
    around the label in doubt.
    """
    return {
        "report": found,
        "colour": {name: f"c{number % COLOURS}" for number, name in enumerate(found["classes"])},
        "curves": {name: line(curve["recall"], curve["precision"]) for name, curve in found["curves"].items()},
        "chosen": {name: _chosen(found, name) for name in found["classes"]},
        "loss": loss_plot(found["loss"]),
        "live": days_plot(found["live"]["days"]),
        "forecast": found["forecast"],
        "plot": plot_of(found["forecast"]),
        "point_texts": POINTS,
        "doubt_texts": DOUBTS,
        "picture": picture,
        "thumb": thumb,
        "task_link": task_links(label_studio, found["project"]),
    }


def plot_of(forecast: dict[str, Any] | None) -> dict[str, Any] | None:
    """The drawing of a forecast, when it is finished."""
    return forecast_plot(forecast) if forecast is not None and forecast["status"] == "done" else None


def task_links(label_studio: str, project_id: int) -> Callable[[int], str]:
    """The address at which Label Studio opens a task."""
    return lambda task: f"{label_studio}/projects/{project_id}/data?task={task}"


def _chosen(found: dict[str, Any], name: str) -> tuple[float, float] | None:
    """Where on its curve a class stands with its threshold: x and y in plot units; None when it is nowhere."""
    one = ((found["scores"] or {}).get("per_class") or {}).get(name)
    if not one or not found["curves"][name]["recall"]:
        return None
    return round(100 * one["recall"], 1), round(100 * (1 - one["precision"]), 1)
