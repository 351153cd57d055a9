"""New projects: from an archive of images, or by connecting one that Label Studio has already."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput, CustomAIError, NotFound
from custom_ai.pipeline import importing, unconnected, uploads
from custom_ai.pipeline.connect import connect
from custom_ai_ui.site import Person, Site, is_active

SHOWN_AT_ONCE = 100
"""Files that were left out, on one page."""
KINDS = {
    "box": (N_("Boxes"), N_("upright, the quickest to draw")),
    "rotated_box": (N_("Rotated boxes"), N_("for things that lie at an angle, seen from above")),
    "polygon": (N_("Polygons"), N_("outlines, where the shape matters")),
}


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the pages to the blueprint."""
    services = site.services

    @routes.get("/projects/new")
    def new_project() -> str:
        site.user()
        return _form(site, {"kind": "box"})

    @routes.post("/projects/new")
    def create_project() -> Response | tuple[str, int]:
        visitor = site.user()
        upload_id = _upload_id()
        try:
            sent = request.files.get("archive")
            if upload_id is None:
                upload_id = _take(site, visitor, sent)
            import_id = importing.request_import(
                services,
                by=visitor.email,
                upload_id=upload_id,
                title=request.form.get("title", ""),
                description=request.form.get("description", ""),
                kind=request.form.get("kind", "box"),
                classes=importing.classes_in(request.form.get("classes", "")),
                deidentify=request.form.get("deidentify") == "1",
            )
        except CustomAIError as error:
            return _form(site, request.form.to_dict(), upload_id, error.text(site.translate)), error.status
        return redirect(url_for(".import_page", import_id=import_id), 303)

    @routes.get("/imports/<int:import_id>")
    def import_page(import_id: int) -> str:
        return render_template("custom_ai_ui/import.html", **_import(site, import_id))

    @routes.get("/imports/<int:import_id>/live")
    def import_live(import_id: int) -> str:
        """The part of the page that changes by itself, as a fragment."""
        return render_template("custom_ai_ui/_import.html", **_import(site, import_id))

    @routes.post("/imports/<int:import_id>/cancel")
    def cancel_import(import_id: int) -> Response:
        visitor = _sees_import(site, import_id)
        with site.telling(N_("The import is being cancelled; images that are in Label Studio stay there.")):
            importing.cancel_import(services, import_id, by=visitor.email)
        return redirect(url_for(".import_page", import_id=import_id), 303)

    @routes.post("/imports/<int:import_id>/again")
    def import_again(import_id: int) -> Response:
        visitor = _sees_import(site, import_id)
        with site.telling(N_("The import goes on where it had stopped.")):
            importing.import_again(services, import_id, by=visitor.email)
        return redirect(url_for(".import_page", import_id=import_id), 303)

    @routes.get("/projects/unconnected")
    def unconnected_projects() -> str:
        """As a page, or with ``?part=1`` as a part of the list of projects."""
        site.user()
        number = request.args.get("page", 1, type=int)
        found = unconnected.page(services, number, visible=site.sees_which, translate=site.translate)
        name = "_unconnected.html" if request.args.get("part") else "unconnected.html"
        return render_template(f"custom_ai_ui/{name}", found=found)

    @routes.post("/projects/<int:project_id>/connect")
    def connect_project(project_id: int) -> Response:
        visitor = site.sees(project_id)
        try:
            connect(services, project_id, by=visitor.email, read_now=False)
        except CustomAIError as error:
            flash(error.text(site.translate), "bad")
            return redirect(url_for(".project_list"), 303)
        flash(site.translate(N_("The project is connected; its labels are being counted.")), "good")
        return redirect(url_for(".project_page", project_id=project_id), 303)


def _form(site: Site, values: dict[str, str], upload_id: int | None = None, problem: str = "") -> str:
    services, visitor = site.services, site.user()
    upload = None
    if upload_id is not None:
        try:
            upload = uploads.show(services, upload_id, by=visitor.email)
        except NotFound:
            upload = None
    recent = [one for one in importing.mine(services, by=visitor.email, translate=site.translate)[:5]]
    return render_template(
        "custom_ai_ui/new_project.html",
        values=values,
        upload=upload,
        problem=problem,
        kinds=KINDS,
        colours=" ".join(importing.COLOURS),
        most_bytes=services.settings.upload_max_bytes,
        most_images=services.settings.import_max_images,
        recent=[one for one in recent if one["status"] != "done"],
    )


def _take(site: Site, visitor: Person, sent: FileStorage | None) -> int:
    """An archive that came with the form, from a browser without JavaScript."""
    if sent is None or not sent.filename:
        raise BadInput(what=N_("an empty choice"), why=N_("choose a ZIP archive with images"))
    size = sent.stream.seek(0, 2)
    sent.stream.seek(0)
    made = uploads.begin(site.services, by=visitor.email, name=sent.filename, size=size)
    upload_id = int(made["id"])
    try:
        uploads.write(site.services, upload_id, by=visitor.email, offset=0, read=sent.stream.read)
        uploads.complete(site.services, upload_id, by=visitor.email)
    except CustomAIError:
        uploads.discard(site.services, upload_id, by=visitor.email)
        raise
    return upload_id


def _import(site: Site, import_id: int) -> dict[str, Any]:
    _sees_import(site, import_id)
    found = importing.show(site.services, import_id, site.translate)
    after, system = request.args.get("after", -1, type=int), bool(request.args.get("system"))
    files = importing.left_out(
        site.services, import_id, after=after, limit=SHOWN_AT_ONCE + 1, system=system, translate=site.translate
    )
    return {
        "one": found,
        "busy": is_active(found),
        "behind": importing.waits_for_another(site.services, import_id),
        "files": files[:SHOWN_AT_ONCE],
        "more_after": files[SHOWN_AT_ONCE - 1]["position"] if len(files) > SHOWN_AT_ONCE else None,
        "system": system,
        "after": after,
        "label_studio": f"{site.services.settings.label_studio_link}/projects/{found['project']}/data",
    }


def _sees_import(site: Site, import_id: int) -> Person:
    """The visitor, who asked for this import or sees the project that it made. Raises NotFound."""
    visitor = site.user()
    found = importing.show(site.services, import_id)
    if found["requested_by"] != visitor.email:
        if found["project"] is None:
            raise NotFound(what=N_("import"), id=import_id)
        site.sees(found["project"])
    return visitor


def _upload_id() -> int | None:
    text = request.form.get("upload", "")
    return int(text) if text.isdecimal() and len(text) < 10 else None
