"""The blind vote: one round at a time, then the summary, then the result."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput, CustomAIError, NotFound
from custom_ai.pipeline import overview, vote
from custom_ai_ui.site import Site

COLOURS = 8
"""Classes are told apart by this many colours (``.c0`` ... in vote.css) and by their names."""


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the pages of the vote to the blueprint."""
    services = site.services

    @routes.get("/selections/<int:selection_id>")
    def selection(selection_id: int) -> str:
        found = overview.selection(services, selection_id, site.translate)
        visitor = site.sees(found["project"])
        common: dict[str, Any] = {
            "selection": found,
            "project": overview.project(services, found["project"], site.translate),
        }
        if found["status"] != "open":
            models = {one["id"]: one for one in overview.models(services, found["project"], site.translate)}
            return render_template("custom_ai_ui/result.html", models=models, **common)
        rounds = vote.rounds_shown(services, selection_id, visitor.email)
        common |= {"rounds": rounds, "complete": _complete(found)}
        wanted = request.args.get("round", type=int) or _unvoted(rounds, 0)
        if "summary" in request.args or wanted is None:
            return render_template("custom_ai_ui/summary.html", **common)
        if not 1 <= wanted <= len(rounds):
            raise NotFound(what=N_("round"), id=wanted)
        classes = overview.run(services, found["run"])["classes"]
        return render_template(
            "custom_ai_ui/vote.html",
            round=rounds[wanted - 1],
            next_round=rounds[wanted] if wanted < len(rounds) else None,
            colour={name: f"c{number % COLOURS}" for number, name in enumerate(classes)},
            **common,
        )

    @routes.post("/selections/<int:selection_id>/rounds/<int:number>")
    def cast(selection_id: int, number: int) -> Response:
        visitor = site.sees(overview.selection(services, selection_id)["project"])
        try:
            places = [_place(text) for text in request.form.getlist("pick")]
            vote.cast(services, selection_id, visitor.email, number - 1, places)
        except CustomAIError as error:
            flash(error.text(site.translate), "bad")
            return redirect(url_for(".selection", selection_id=selection_id, round=number), 303)
        rounds = vote.rounds_shown(services, selection_id, visitor.email)
        following = _unvoted(rounds, number)
        where: dict[str, Any] = {"summary": 1} if following is None else {"round": following}
        return redirect(url_for(".selection", selection_id=selection_id, **where), 303)

    @routes.post("/selections/<int:selection_id>/close")
    def close(selection_id: int) -> Response:
        visitor = site.sees(overview.selection(services, selection_id)["project"])
        where: dict[str, Any] = {}
        try:
            vote.close(services, selection_id, by=visitor.email)
        except CustomAIError as error:
            flash(error.text(site.translate), "bad")
            where["summary"] = 1
        return redirect(url_for(".selection", selection_id=selection_id, **where), 303)


def _complete(selection: dict[str, Any]) -> bool:
    """Whether somebody has voted all rounds, so that the vote may be closed."""
    return any(count >= selection["rounds"] for count in selection["voters"].values())


def _unvoted(rounds: list[dict[str, Any]], after: int) -> int | None:
    """The next round to vote: behind ``after`` if there is one, else the first; None when all are voted."""
    waiting = [one["round"] for one in rounds if one["picks"] is None]
    return next((number for number in waiting if number > after), next(iter(waiting), None))


def _place(text: str) -> int:
    """A place as the form sends it (1, 2, ...) as an index."""
    if not text.isascii() or not text.isdigit():
        raise BadInput(what=text[:20], why=N_("there is no picture in this place"))
    return int(text) - 1
