"""REST routes about votes."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response, jsonify

from custom_ai.errors import N_, BadInput
from custom_ai.i18n import translator
from custom_ai.pipeline import ballots, overview, results, vote, voter_links
from custom_ai.services import Services
from custom_ai.web.body import json_body, number
from custom_ai.web.language import language
from custom_ai.web.sign_in import SignIn
from custom_ai.web.visitors import Visitor


def blueprint(services: Services, sign_in: SignIn) -> Blueprint:
    """The routes below /api/selections."""
    routes = Blueprint("votes_api", __name__)

    def translate(message: str) -> str:
        return translator(language())(message)

    def sees(selection_id: int) -> Visitor:
        return sign_in.sees(overview.selection(services, selection_id)["project"])

    def shown(selection_id: int) -> Response:
        return jsonify(overview.selection(services, selection_id, translate))

    @routes.get("/selections/<int:selection_id>")
    def selection(selection_id: int) -> Response:
        sees(selection_id)
        return shown(selection_id)

    @routes.patch("/selections/<int:selection_id>")
    def change(selection_id: int) -> Response:
        visitor = sees(selection_id)
        body = json_body()
        for name in body.keys() - {"deadline_at"}:
            raise BadInput(what=name, why=N_("only deadline_at can be changed"))
        vote.set_deadline(services, selection_id, _moment(body.get("deadline_at")), by=visitor.email)
        return shown(selection_id)

    @routes.get("/selections/<int:selection_id>/ballots")
    def rounds(selection_id: int) -> Response:
        visitor = sees(selection_id)
        return jsonify({"rounds": ballots.rounds_shown(services, selection_id, visitor.email)})

    @routes.put("/selections/<int:selection_id>/ballots/<int:number>")
    def cast(selection_id: int, number: int) -> Response:
        visitor = sees(selection_id)
        picks = json_body().get("picks")
        if not isinstance(picks, list) or not all(type(one) is int for one in picks):
            raise BadInput(what="picks", why=N_("expected a list of place numbers, starting at 1"))
        ballots.cast(services, selection_id, visitor.email, number - 1, [one - 1 for one in picks])
        return jsonify({"rounds": ballots.rounds_shown(services, selection_id, visitor.email)})

    @routes.post("/selections/<int:selection_id>/confirm")
    def confirm(selection_id: int) -> Response:
        ballots.confirm(services, selection_id, sees(selection_id).email)
        return shown(selection_id)

    @routes.post("/selections/<int:selection_id>/close")
    def close(selection_id: int) -> Response:
        vote.close(services, selection_id, by=sees(selection_id).email)
        return shown(selection_id)

    @routes.get("/selections/<int:selection_id>/result")
    def result(selection_id: int) -> Response:
        sees(selection_id)
        return jsonify(results.result(services, selection_id, translate))

    @routes.post("/selections/<int:selection_id>/links")
    def link(selection_id: int) -> tuple[Response, int]:
        visitor = sees(selection_id)
        body = json_body()
        name = body.get("name")
        if not isinstance(name, str):
            raise BadInput(what="name", why=N_("expected the name of the voter"))
        days = number(body, "days", int)
        days = voter_links.DEFAULT_DAYS if days is None else days
        url = voter_links.make_link(services, selection_id, name, by=visitor.email, days=days)
        answer = jsonify({"url": url, "voter": voter_links.GUEST + " ".join(name.split()), "days": days})
        answer.headers["Cache-Control"] = "no-store"
        return answer, 201

    @routes.get("/selections/<int:selection_id>/images/<int:image_id>")
    def image(selection_id: int, image_id: int) -> Response:
        sees(selection_id)
        content = ballots.image(services, selection_id, image_id)
        return Response(content, mimetype="image/jpeg")

    return routes


def _moment(text: object) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BadInput(what=f"deadline_at = {text!r}", why=N_("a time looks like 2026-01-31T18:00:00Z")) from error
