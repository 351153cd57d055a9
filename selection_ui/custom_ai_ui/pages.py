"""Projects: the list, the dashboard of one, and what people start and stop there."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput, CustomAIError
from custom_ai.pipeline import label, overview, preview, train, vote
from custom_ai.pipeline.connect import change_project, use_kind
from custom_ai.pipeline.which_tasks import Which
from custom_ai_ui.dashboard import at_a_glance, dashboard, refused, typed_auto_label
from custom_ai_ui.site import Site, form_number, query_number

RUNS = 10
"""On one page."""


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the project pages to the blueprint."""
    services = site.services

    @routes.get("/")
    def start() -> Response:
        return redirect(url_for(".project_list"))

    @routes.get("/projects")
    def project_list() -> str:
        unread = site.unread()
        cards = []
        there = set(overview.projects(services))
        for project_id in site.visible():
            if project_id in there:
                project = overview.project(services, project_id, site.translate)
                cards.append((project, *at_a_glance(project, site), unread.get(project_id, 0)))
        return render_template("custom_ai_ui/projects.html", projects=cards, backend_url=services.settings.public_url)

    @routes.get("/projects/<int:project_id>")
    def project_page(project_id: int) -> str:
        site.sees(project_id)
        return render_template("custom_ai_ui/project.html", **dashboard(site, project_id))

    @routes.get("/projects/<int:project_id>/live")
    def live(project_id: int) -> str:
        """The parts of the dashboard that change by themselves, as a fragment."""
        site.sees(project_id)
        return render_template("custom_ai_ui/live.html", **dashboard(site, project_id))

    @routes.get("/projects/<int:project_id>/runs")
    def run_list(project_id: int) -> str:
        """All runs with the models that came of them, some at a time."""
        site.sees(project_id)
        project = overview.project(services, project_id, site.translate)
        found = overview.runs(services, project_id, site.translate, before=query_number("before"), limit=RUNS + 1)
        runs = found[:RUNS]
        return render_template(
            "custom_ai_ui/runs.html",
            project=project,
            runs=runs,
            older=runs[-1]["id"] if len(found) > RUNS else None,
            models=overview.models(services, project_id, site.translate, runs=[one["id"] for one in runs]),
            served_before={one["version"] for one in overview.promotions(services, project_id) if not one["active"]},
        )

    @routes.get("/models/<int:model_id>/thresholds")
    def thresholds(model_id: int) -> str:
        """What would remain at which threshold; ``?part`` gives the table alone."""
        found = preview.thresholds(services, model_id)
        site.sees(found["project"])
        name = "_thresholds" if "part" in request.args else "thresholds"
        project = overview.project(services, found["project"], site.translate)
        return render_template(f"custom_ai_ui/{name}.html", preview=found, project=project)

    @routes.post("/projects/<int:project_id>/runs")
    def make(project_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("Training is in line; it begins by itself.")):
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
    def auto_label(project_id: int) -> Response | tuple[str, int]:
        visitor = site.sees(project_id)
        try:
            label.request_auto_label(
                services,
                project_id,
                by=visitor.email,
                which=Which(
                    status=request.form.get("status") or "untouched",
                    count=form_number("count", int),
                    view=form_number("view", int),
                ),
                candidate_id=form_number("model", int),
                threshold=form_number("threshold", float),
                prepare=["faces"] if request.form.get("hide_faces") else [],
            )
        except CustomAIError as error:
            return refused(site, project_id, "auto_label", error, **typed_auto_label())
        flash(site.translate(N_("Auto-labelling is in line; it begins by itself.")), "good")
        return _back(project_id)

    @routes.post("/auto-label/<int:job_id>/cancel")
    def cancel_job(job_id: int) -> Response:
        project_id = overview.job(services, job_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("Auto-labelling is being cancelled; what is labelled stays.")):
            label.cancel_job(services, job_id, by=visitor.email)
        return _back(project_id)

    @routes.post("/auto-label/<int:job_id>/pause")
    def pause_job(job_id: int) -> Response:
        project_id = overview.job(services, job_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("Auto-labelling pauses within seconds.")):
            label.pause_job(services, job_id, by=visitor.email)
        return _back(project_id)

    @routes.post("/auto-label/<int:job_id>/resume")
    def resume_job(job_id: int) -> Response:
        project_id = overview.job(services, job_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("Auto-labelling is in line again; it goes on by itself.")):
            label.resume_job(services, job_id, by=visitor.email)
        return _back(project_id)

    @routes.post("/auto-label/<int:job_id>/retry")
    def retry_job(job_id: int) -> Response:
        project_id = overview.job(services, job_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("The images that failed are tried again.")):
            label.retry_job(services, job_id, by=visitor.email)
        return _back(project_id)


def _back(project_id: int) -> Response:
    return redirect(url_for(".project_page", project_id=project_id), 303)
