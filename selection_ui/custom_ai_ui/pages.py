"""Projects: the list, the dashboard of one, and what people start and stop there."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput, NotFound
from custom_ai.pipeline import label, overview, train, vote
from custom_ai.pipeline.connect import change_project, use_kind
from custom_ai_ui.site import Site, is_active, percent

LARGEST = 2**31 - 1
"""Larger numbers fit no column."""


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the project pages to the blueprint."""
    services = site.services

    @routes.get("/")
    def start() -> Response:
        return redirect(url_for(".project_list"))

    @routes.get("/projects")
    def project_list() -> str:
        site.user()
        visible = []
        for project_id in overview.projects(services):
            try:
                site.sees(project_id)
            except NotFound:
                continue
            project = overview.project(services, project_id, site.translate)
            visible.append((project, *at_a_glance(project, site)))
        return render_template("custom_ai_ui/projects.html", projects=visible, backend_url=services.settings.public_url)

    @routes.get("/projects/<int:project_id>")
    def project_page(project_id: int) -> str:
        site.sees(project_id)
        return render_template("custom_ai_ui/project.html", **_dashboard(site, project_id))

    @routes.get("/projects/<int:project_id>/live")
    def live(project_id: int) -> str:
        """The parts of the dashboard that change by themselves, as a fragment."""
        site.sees(project_id)
        return render_template("custom_ai_ui/live.html", **_dashboard(site, project_id))

    @routes.post("/projects/<int:project_id>/runs")
    def make(project_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("Training starts as soon as a worker is free.")):
            classes = request.form.getlist("class")
            if not classes:
                raise BadInput(what=N_("an empty choice"), why=N_("tick at least one class"))
            kind = request.form.get("kind")
            if kind and kind != overview.project(services, project_id)["kind"]:
                use_kind(services, project_id, kind, by=visitor.email)
            train.request_run(services, project_id, by=visitor.email, trigger="person", classes=classes)
        return _back(project_id)

    @routes.post("/projects/<int:project_id>/kind")
    def choose_kind(project_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("The labels are being counted again.")):
            change_project(services, project_id, by=visitor.email, kind=request.form.get("kind"))
        return _back(project_id)

    @routes.post("/runs/<int:run_id>/cancel")
    def cancel_run(run_id: int) -> Response:
        project_id = overview.run(services, run_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("The training run is being cancelled.")):
            train.cancel_run(services, run_id, by=visitor.email)
        return _back(project_id)

    @routes.post("/projects/<int:project_id>/models/<int:model_id>/promote")
    def promote(project_id: int, model_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("This model is in use now.")):
            vote.promote_version(services, project_id, model_id, by=visitor.email)
        return _back(project_id)

    @routes.post("/projects/<int:project_id>/auto-label")
    def auto_label(project_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("Auto-labelling starts as soon as a worker is free.")):
            label.request_auto_label(
                services,
                project_id,
                by=visitor.email,
                count=_number("count", int),
                candidate_id=_number("model", int),
                threshold=_number("threshold", float),
            )
        return _back(project_id)

    @routes.post("/auto-label/<int:job_id>/cancel")
    def cancel_job(job_id: int) -> Response:
        project_id = overview.job(services, job_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("Auto-labelling is being cancelled; what is labelled stays.")):
            label.cancel_job(services, job_id, by=visitor.email)
        return _back(project_id)

    @routes.post("/projects/<int:project_id>/settings")
    def settings(project_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("The settings are saved.")):
            values: dict[str, object] = {name: name in request.form for name in ("auto_train", "auto_label")}
            needed = _number("labels_per_class", int)
            now = overview.project(services, project_id)["settings"]["labels_per_class"]
            if needed != now:  # an untouched field must not pin the installation's default
                values["labels_per_class"] = needed
            change_project(services, project_id, by=visitor.email, **values)
        return _back(project_id)


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
        return "busy", _("Auto-labelling: {done} of {total}").format(done=done, total=total)
    if project["champion"] is not None:
        return "good", _("Model {version} is in use").format(version=project["champion"]["version"])
    if project["ready"]:
        return "call", _("Ready for training")
    return "calm", _("Collecting labels")


def run_fraction(run: dict[str, Any]) -> float:
    """How far a run is, over all its candidates."""
    parts = [
        1.0 if one["status"] not in ("waiting", "running") else float(one["fraction"]) for one in run["candidates"]
    ]
    return sum(parts) / len(parts) if parts else 0.0


def _dashboard(site: Site, project_id: int) -> dict[str, Any]:
    services = site.services
    project = overview.project(services, project_id, site.translate)
    served = overview.promotions(services, project_id)
    tone, state = at_a_glance(project, site)
    run, selection = project["run"], project["selection"]
    return {
        "project": project,
        "tone": tone,
        "state": state,
        "run_fraction": None if run is None else run_fraction(run),
        # The vote of an older run is history: the newest run has replaced it.
        "selection": None if selection is None or run is None or selection["run"] != run["id"] else selection,
        "models": overview.models(services, project_id, site.translate),
        "served": {one["version"] for one in served},
        "busy": is_active(run) or is_active(project["auto_label"]),
        "notices": overview.notifications(services, project_id, site.translate)[:30],
        "label_studio": f"{services.settings.label_studio_link}/projects/{project_id}/data",
    }


def _back(project_id: int) -> Response:
    return redirect(url_for(".project_page", project_id=project_id), 303)


def _number(name: str, kind: type[int] | type[float]) -> Any:
    """A number from the form; None when the field was left empty. Raises BadInput."""
    text = request.form.get(name, "").strip()
    if not text:
        return None
    try:
        number = kind(text)
    except ValueError as error:
        raise BadInput(what=text[:40], why=N_("expected a number")) from error
    if abs(number) > LARGEST:
        raise BadInput(what=text[:40], why=N_("this is not a possible value"))
    return number
