"""REST routes for new projects: archives in pieces, their import, and projects that can be connected.

An upload belongs to who began it. An import is seen by who asked for it and, once there is a project, by all who see
that in Label Studio.
"""

from __future__ import annotations

import base64
from typing import Any

from flask import Blueprint, Response, jsonify, request

from custom_ai.errors import N_, BadInput, NotFound
from custom_ai.i18n import translator
from custom_ai.pipeline import importing, unconnected, uploads
from custom_ai.services import Services
from custom_ai.web.body import flag, json_body, number
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn

MOST_ITEMS = 1000


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api."""
    routes = Blueprint("uploads_api", __name__)

    def translate(message: str) -> str:
        return translator(language())(message)

    def seen(import_id: int) -> tuple[dict[str, Any], str]:
        found = importing.show(services, import_id, translate)
        visitor = sign_in.user()
        if found["requested_by"] != visitor.email:
            if found["project"] is None:
                raise NotFound(what=N_("import"), id=import_id)
            sign_in.sees(found["project"])
        return found, visitor.email

    @routes.post("/uploads")
    def begin() -> tuple[Response, int]:
        visitor = sign_in.user()
        body = json_body()
        size = number(body, "size", int)
        if size is None:
            raise BadInput(what="size", why=N_("expected a number"))
        made = uploads.begin(services, by=visitor.email, name=_text(body, "name"), size=size)
        return jsonify(made), 201

    @routes.get("/uploads/<int:upload_id>")
    def upload(upload_id: int) -> Response:
        return jsonify(uploads.show(services, upload_id, by=sign_in.user().email))

    @routes.put("/uploads/<int:upload_id>/content")
    def write(upload_id: int) -> Response:
        """The body is the piece that begins at byte ``?offset=``; never in memory as a whole."""
        offset = request.args.get("offset", type=int)
        if offset is None:
            raise BadInput(what="offset", why=N_("expected a number"))
        by, digest = sign_in.user().email, _content_digest()
        return jsonify(
            uploads.write(services, upload_id, by=by, offset=offset, read=request.stream.read, sha256=digest)
        )

    @routes.post("/uploads/<int:upload_id>/complete")
    def complete(upload_id: int) -> Response:
        sha256 = _text(json_body(), "sha256") or None
        return jsonify(uploads.complete(services, upload_id, by=sign_in.user().email, sha256=sha256))

    @routes.delete("/uploads/<int:upload_id>")
    def discard(upload_id: int) -> tuple[str, int]:
        uploads.discard(services, upload_id, by=sign_in.user().email)
        return "", 204

    @routes.post("/imports")
    def begin_import() -> tuple[Response, int]:
        visitor = sign_in.user()
        body = json_body()
        upload_id = number(body, "upload", int)
        if upload_id is None:
            raise BadInput(what="upload", why=N_("expected a number"))
        import_id = importing.request_import(
            services,
            by=visitor.email,
            upload_id=upload_id,
            title=_text(body, "title"),
            description=_text(body, "description"),
            kind=_text(body, "kind") or "box",
            classes=_classes(body),
            deidentify=flag(body, "deidentify"),
        )
        return jsonify(importing.show(services, import_id, translate)), 201

    @routes.get("/imports")
    def imports() -> Response:
        return jsonify({"imports": importing.mine(services, by=sign_in.user().email, translate=translate)})

    @routes.get("/imports/<int:import_id>")
    def one_import(import_id: int) -> Response:
        return jsonify(seen(import_id)[0])

    @routes.get("/imports/<int:import_id>/left-out")
    def left_out(import_id: int) -> Response:
        seen(import_id)
        after, limit = request.args.get("after", -1, type=int), request.args.get("limit", 100, type=int)
        files = importing.left_out(
            services,
            import_id,
            after=after,
            limit=max(1, min(limit, MOST_ITEMS)),
            system=request.args.get("system") == "1",
            translate=translate,
        )
        return jsonify({"files": files})

    @routes.post("/imports/<int:import_id>/cancel")
    def cancel(import_id: int) -> Response:
        importing.cancel_import(services, import_id, by=seen(import_id)[1])
        return jsonify(importing.show(services, import_id, translate))

    @routes.post("/imports/<int:import_id>/again")
    def again(import_id: int) -> Response:
        importing.import_again(services, import_id, by=seen(import_id)[1])
        return jsonify(importing.show(services, import_id, translate))

    @routes.get("/label-studio/projects")
    def connectable() -> Response:
        """One page of the Label Studio projects that the visitor sees and that are not connected."""
        page = request.args.get("page", 1, type=int)
        return jsonify(unconnected.page(services, page, visible=sign_in.sees_which, translate=translate))

    return routes


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(what=f"{name} = {value!r}"[:200], why=N_("expected text"))
    return value


def _classes(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Names, or objects with `name` and `colour`."""
    found = []
    value = body.get("classes")
    for one in value if isinstance(value, list) else []:
        name, colour = (one.get("name"), one.get("colour") or "") if isinstance(one, dict) else (one, "")
        if not isinstance(name, str) or not isinstance(colour, str):
            raise BadInput(what=f"class {one!r}"[:200], why=N_('expected a name, or {"name": ..., "colour": ...}'))
        found.append((name, colour))
    return found


def _content_digest() -> bytes | None:
    """The SHA-256 in the header Content-Digest (RFC 9530), None without one. Raises BadInput."""
    header = request.headers.get("Content-Digest", "")
    if not header:
        return None
    name, _, value = header.partition("=")
    try:
        digest = base64.b64decode(value.strip().strip(":"), validate=True)
    except ValueError:  # of base64, or of letters that are none of its
        digest = b""
    if name.strip().lower() != "sha-256" or len(digest) != 32:
        raise BadInput(what="Content-Digest", why=N_("expected sha-256=:<base64>:"))
    return digest
