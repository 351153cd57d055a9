"""What the dashboard of a project shows, and the one thing to know about a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import render_template, request, url_for

from custom_ai.errors import N_, CustomAIError
from custom_ai.pipeline import hidden_review, inbox, overview
from custom_ai_ui import preferences
from custom_ai_ui.site import Site, is_active, number, percent, query_number

RUNS = 6
"""The newest runs: one that is told in full, and some of the past."""
NOTICES = 5
FAILURES = 20
SPARK = (100, 32)
"""Width and height of a loss curve in SVG units."""


def dashboard(site: Site, project_id: int) -> dict[str, Any]:
    """The values of project.html and live.html; everything that counts comes from ``overview``. Raises NotFound."""
    services = site.services
    project = overview.project(services, project_id, site.translate)
    runs = overview.runs(services, project_id, site.translate, limit=RUNS)
    run, selection, job = project["run"], project["selection"], project["auto_label"]
    tone, state = at_a_glance(project, site)
    served = overview.promotions(services, project_id)
    reader = site.reader()
    asked = query_number("model")  # somebody comes back from the table of thresholds with it
    at_hand = {*overview.at_hand(services, project_id), *([] if asked is None else [asked])}
    models = overview.models(services, project_id, site.translate, only=at_hand)
    in_use = None if project["champion"] is None else project["champion"]["id"]
    models.sort(key=lambda one: one["id"] != in_use)  # the one in use first, then the newest
    return {
        "project": project,
        "tone": tone,
        "state": state,
        "say": state if not (is_active(run) or is_active(job)) else under_way(project, site),
        "run_fraction": None if run is None else run_fraction(run),
        "curves": {} if run is None else {one["id"]: curve(one["loss"]) for one in run["candidates"]},
        # The vote of an older run is history: the newest run has replaced it.
        "selection": None if selection is None or run is None or selection["run"] != run["id"] else selection,
        "past_runs": [one for one in runs if run is None or one["id"] != run["id"]],
        "models": models,
        "chosen_model": next((one["id"] for one in models if one["id"] == asked), models[0]["id"] if models else None),
        "chosen_threshold": threshold_in_query(),
        "hides": hidden_review.used(services, project_id),
        "chosen_count": "",
        "refused": {},
        "served": served,
        "served_before": {one["version"] for one in served if not one["active"]},
        "busy": is_active(run) or is_active(job),
        "ahead": _ahead(site, project),
        "failures": [] if job is None else failures(site, job),
        "notices": inbox.notifications(
            services, reader, inbox.Wanted(project=project_id), site.translate, limit=NOTICES
        ),
        "unread_here": site.unread().get(project_id, 0),
        "label_studio": f"{services.settings.label_studio_link}/projects/{project_id}/data",
    }


def refused(site: Site, project_id: int, form: str, error: CustomAIError, **values: Any) -> tuple[str, int]:
    """The dashboard in answer to a form that cannot be taken: the reason beside it, its fields kept by ``values``."""
    preferences.stands_at(url_for(".project_page", project_id=project_id))
    shown = dashboard(site, project_id) | {"refused": {form: error.text(site.translate)}} | values
    return render_template("custom_ai_ui/project.html", **shown), error.status


def typed_auto_label() -> dict[str, Any]:
    """The fields of the auto-labelling form as they were sent."""
    typed: dict[str, Any] = {
        f"chosen_{name}": request.form.get(name, "") for name in ("count", "threshold", "status", "view", "hide_faces")
    }
    model = request.form.get("model", "")
    return typed | ({"chosen_model": int(model)} if model.isascii() and model.isdigit() else {})


def threshold_in_query() -> float | None:
    """``?threshold=`` when it is one."""
    try:
        value = float(request.args.get("threshold", ""))
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None


def at_a_glance(project: dict[str, Any], site: Site) -> tuple[str, str]:
    """(tone, words): the one thing to know about a project. Tones: bad, busy, call, good, calm."""
    _ = site.translate
    run, selection, job = project["run"], project["selection"], project["auto_label"]
    if not project["connected"]:
        return "bad", _("Not connected")
    if project["problem"]:
        return "bad", _("Needs attention")
    if is_active(run):
        return "busy", _("Training: {percent}").format(percent=percent(run_fraction(run)))
    if selection is not None and selection["status"] == "open":
        return "call", _("The vote is open")
    if is_active(job):
        done, total = job["tasks"]["total"] - job["tasks"]["waiting"], job["tasks"]["total"]
        return "busy", _("Auto-labelling: {done} of {total}").format(done=number(done), total=number(total))
    if project["champion"] is not None:
        return "good", _("Model {version} is in use").format(version=project["champion"]["version"])
    if project["ready"]:
        return "call", _("Ready for training")
    return "calm", _("Collecting labels")


def under_way(project: dict[str, Any], site: Site) -> str:
    """The same without figures that change all the time: for screen readers, which are told changes."""
    return site.translate(
        N_("Training is under way.") if is_active(project["run"]) else N_("Auto-labelling is under way.")
    )


def run_fraction(run: dict[str, Any]) -> float:
    """How far a run is, over all its candidates."""
    parts = [
        1.0 if one["status"] not in ("waiting", "running") else float(one["fraction"]) for one in run["candidates"]
    ]
    return sum(parts) / len(parts) if parts else 0.0


def curve(points: Sequence[Sequence[float]]) -> str:
    """The loss over the course of training as the points of an SVG polyline; '' while there are fewer than two."""
    if len(points) < 2:
        return ""
    width, height = SPARK
    losses = [loss for _, loss in points]
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0
    return " ".join(f"{width * share:.1f},{(height - 2) * (high - loss) / span + 1:.1f}" for share, loss in points)


def failures(site: Site, job: dict[str, Any]) -> list[dict[str, Any]]:
    """The first images that an auto-labelling job could not do."""
    if not job["tasks"]["failed"]:
        return []
    return overview.failed_items(site.services, job["id"], site.translate, limit=FAILURES)


def _ahead(site: Site, project: dict[str, Any]) -> list[dict[str, Any]]:
    """What the workers do while something of this project waits for one of them.

    Training waits for training, auto-labelling for auto-labelling; for both where one worker does everything. Of
    projects that the visitor does not see, only that there is something.
    """
    waiting = {"run": project["run"], "job": project["auto_label"]}
    kinds = {what for what, one in waiting.items() if one is not None and one["status"] == "queued"}
    if not kinds:
        return []
    at_work = overview.at_work(site.services)
    alike = [one for one in at_work if one["what"] in kinds]
    visible = set(site.visible())
    return [one if one["project"] in visible else {"what": "other"} for one in alike or at_work]
