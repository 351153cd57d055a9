"""Pages about pre-labels: what a model would draw, taking a job back, another threshold, the tab to review first."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, CustomAIError
from custom_ai.pipeline import overview, preview_images, review_order, revisions
from custom_ai.pipeline.review_states import job_states
from custom_ai.state.tables import AutoLabelJob
from custom_ai_ui.dashboard import threshold_in_query
from custom_ai_ui.reporting import COLOURS, task_links
from custom_ai_ui.site import Site, form_number

LEVELS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the pages about pre-labels to the blueprint."""
    services = site.services

    @routes.get("/models/<int:model_id>/preview")
    def preview(model_id: int) -> str | tuple[str, int]:
        """Twelve untouched images as the model would pre-label them; ``?threshold=``, and ``?page=`` for others."""
        site.user()
        number = request.args.get("page", "0")
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 0
        found = preview_images.preview(services, model_id, site.translate, page=page)
        threshold = threshold_in_query()
        return render_template(
            "custom_ai_ui/preview.html",
            project=overview.project(services, found["project"], site.translate),
            preview=found,
            shapes=preview_images.shown(found, threshold),
            threshold=threshold,
            levels=LEVELS,
            colour={name: f"c{place % COLOURS}" for place, name in enumerate(found["classes"])},
            task_link=task_links(services.settings.label_studio_link, found["project"]),
        )

    @routes.get("/auto-label/<int:job_id>")
    def job_page(job_id: int) -> str:
        """How far the review of a job's pre-labels is, and what can be done about them."""
        site.user()
        job = overview.job(services, job_id, site.translate)
        with services.database.read() as session:
            states = job_states(session, session.get_one(AutoLabelJob, job_id))
        project = overview.project(services, job["project"], site.translate)
        return render_template("custom_ai_ui/job.html", job=job, states=states, project=project)

    @routes.post("/auto-label/<int:job_id>/roll-back")
    def roll_back(job_id: int) -> Response:
        project_id = overview.job(services, job_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("The pre-labels are being taken back.")):
            revisions.request_roll_back(services, job_id, by=visitor.email)
        return redirect(url_for(".project_page", project_id=project_id), 303)

    @routes.post("/auto-label/<int:job_id>/threshold")
    def new_threshold(job_id: int) -> Response:
        visitor = site.sees(overview.job(services, job_id)["project"])
        with site.telling(N_("The pre-labels are being shown with the new threshold.")):
            threshold = form_number("threshold", float)
            revisions.request_threshold(services, job_id, threshold, by=visitor.email)
        return redirect(url_for(".job_page", job_id=job_id), 303)

    @routes.post("/projects/<int:project_id>/review-tab")
    def review_tab(project_id: int) -> Response:
        visitor = site.sees(project_id)
        try:
            made = review_order.make(services, project_id, by=visitor.email)
        except CustomAIError as error:
            flash(error.text(site.translate), "bad")
            return redirect(url_for(".project_page", project_id=project_id), 303)
        link = services.settings.label_studio_link
        return redirect(f"{link}/projects/{project_id}/data?tab={made['tab']}", 303)
