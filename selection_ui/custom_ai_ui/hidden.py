"""Hidden faces: what was hidden where, and people's last word on it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput
from custom_ai.pipeline import deidentify, hidden_report, hidden_review, overview
from custom_ai_ui.reporting import task_links
from custom_ai_ui.site import Site, form_number, query_number

PAGE = 24
FAILURES = 20
FILTERS = {"look": N_("To look at"), "approved": N_("Approved"), "under_way": N_("Being worked on")}
ORIGINALS = {
    "erased": N_("The original was erased from Label Studio’s disk."),
    "on_disk": N_("The original cannot be opened any more, but is still on Label Studio’s disk: {path}"),
    "outside": N_("The original lies outside of Label Studio, where we cannot remove it."),
    "shared": N_("Another task still needs the original file."),
    "replaced": N_("The original stood in the task itself and was replaced."),
    "never": N_("The original was never in Label Studio."),
}


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the pages about hidden faces to the blueprint."""
    services = site.services

    @routes.get("/projects/<int:project_id>/hidden")
    def hidden(project_id: int) -> str:
        """Jobs, and the images to look at; ``?show=`` for others, ``?start=`` for further ones."""
        site.sees(project_id)
        show = request.args.get("show", "look")
        show = show if show in FILTERS else "look"
        start = query_number("start") or 0
        found = hidden_review.images(services, project_id, show, start=start, limit=PAGE + 1)
        return render_template(
            "custom_ai_ui/hidden.html",
            project=overview.project(services, project_id, site.translate),
            jobs=hidden_report.jobs(services, project_id, site.translate)[:5],
            failures=hidden_review.failures(services, project_id, site.translate, limit=FAILURES),
            counts=hidden_review.counts(services, project_id),
            filters={name: site.translate(words) for name, words in FILTERS.items()},
            show=show,
            images=found[:PAGE],
            start=start,
            more=start + PAGE if len(found) > PAGE else None,
            installed=deidentify.installed(),
            task_link=task_links(services.settings.label_studio_link, project_id),
        )

    @routes.get("/projects/<int:project_id>/hidden/<int:task_id>")
    def hidden_image(project_id: int, task_id: int) -> str:
        site.sees(project_id)
        found = hidden_review.image(services, project_id, task_id)
        told = ORIGINALS.get(found["original"], "")
        return render_template(
            "custom_ai_ui/hidden_image.html",
            project=overview.project(services, project_id, site.translate),
            image=found,
            original=site.translate(told).format(path=found["path"]) if told else "",
            task_link=task_links(services.settings.label_studio_link, project_id),
        )

    @routes.get("/projects/<int:project_id>/hidden/<int:task_id>/picture")
    def hidden_picture(project_id: int, task_id: int) -> Response:
        site.sees(project_id)
        content = hidden_review.picture(services, project_id, task_id)
        # The address stays the same when the image is redone.
        return Response(content, mimetype="image/jpeg", headers={"Cache-Control": "private, no-store"})

    @routes.post("/projects/<int:project_id>/hidden")
    def hide_all(project_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("Faces are being hidden.")):
            deidentify.request_deidentify(services, project_id, by=visitor.email)
        return _list(project_id)

    @routes.post("/hidden-jobs/<int:hiding_id>/cancel")
    def cancel_hiding(hiding_id: int) -> Response:
        project_id = hidden_report.job(services, hiding_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("It is being cancelled; what is hidden stays hidden.")):
            deidentify.cancel_deidentify(services, hiding_id, by=visitor.email)
        return _list(project_id)

    @routes.post("/hidden-jobs/<int:hiding_id>/retry")
    def retry_hiding(hiding_id: int) -> Response:
        project_id = hidden_report.job(services, hiding_id)["project"]
        visitor = site.sees(project_id)
        with site.telling(N_("The images that failed are tried again.")):
            deidentify.retry_deidentify(services, hiding_id, by=visitor.email)
        return _list(project_id)

    @routes.post("/projects/<int:project_id>/hidden/<int:task_id>/areas")
    def change_areas(project_id: int, task_id: int) -> Response:
        visitor = site.sees(project_id)
        with site.telling(N_("The image is being redone with your areas.")):
            remove = [int(one) for one in request.form.getlist("remove") if one.isascii() and one.isdigit()]
            hidden_report.redo(services, project_id, task_id, by=visitor.email, add=_added(), remove=remove)
        return redirect(url_for(".hidden_image", project_id=project_id, task_id=task_id), 303)

    @routes.post("/projects/<int:project_id>/hidden/<int:task_id>/approve")
    def approve_hidden(project_id: int, task_id: int) -> Response:
        visitor = site.sees(project_id)
        next_task = hidden_review.image(services, project_id, task_id)["next"]
        with site.telling(N_("Approved.")):
            hidden_report.approve(services, project_id, task_id, by=visitor.email)
        if next_task is None:
            return _list(project_id)
        return redirect(url_for(".hidden_image", project_id=project_id, task_id=next_task), 303)


def _list(project_id: int) -> Response:
    return redirect(url_for(".hidden", project_id=project_id), 303)


def _added() -> list[list[float]]:
    """Areas that were drawn ("x1,y1,x2,y2"), and the one that was typed. Raises BadInput."""
    added = []
    for text in request.form.getlist("add"):
        try:
            added.append([float(number) for number in text.split(",")])
        except ValueError as error:
            raise BadInput(what=text[:100], why=N_("expected [x1, y1, x2, y2] in pixels inside the image")) from error
    typed = [form_number(name, float) for name in ("left", "top", "right", "bottom")]
    if any(one is not None for one in typed):
        if None in typed:
            raise BadInput(what=N_("the typed area"), why=N_("all four edges are needed"))
        added.append([one for one in typed if one is not None])
    return added
