"""The page that shows what a model gets right and wrong."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from custom_ai.errors import N_
from custom_ai.pipeline import overview
from custom_ai.pipeline.reports import report
from custom_ai_ui.site import Site

DOUBTS = {
    "class": N_("Drawn as {drawn}, but the model is {sure} sure of {seen}."),
    "missing": N_("Nothing was drawn where the model is {sure} sure of {seen}."),
    "needless": N_("Drawn as {drawn}, but the model sees nothing there."),
}
PLOT = 100
"""Side of a plot in SVG units."""


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the report page to the blueprint."""

    @routes.get("/models/<int:model_id>")
    def model_report(model_id: int) -> str:
        site.user()
        found = report(site.services, model_id, site.translate)
        site.sees(found["project"])
        return render_template(
            "custom_ai_ui/report.html",
            report=found,
            project=overview.project(site.services, found["project"], site.translate),
            colour={name: f"c{number % 6}" for number, name in enumerate(found["classes"])},
            curves={name: line(curve["recall"], curve["precision"]) for name, curve in found["curves"].items()},
            loss=loss_line(found["loss"]),
            doubt_texts=DOUBTS,
            label_studio=site.services.settings.label_studio_link,
        )


def line(xs: list[float], ys: list[float]) -> str:
    """The points of an SVG polyline in a unit square whose y axis points up; x and y in 0..1."""
    return " ".join(f"{PLOT * x:.1f},{PLOT * (1 - y):.1f}" for x, y in zip(xs, ys, strict=True))


def loss_line(points: list[Any]) -> str:
    """The training curve, scaled so that its highest loss is at the top."""
    highest = max((loss for _, loss in points), default=0.0)
    if len(points) < 2 or highest <= 0:
        return ""
    return line([share for share, _ in points], [loss / highest for _, loss in points])
