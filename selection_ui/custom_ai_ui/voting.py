"""The blind vote for members of the project: voting, running the vote, and its result."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request
from werkzeug.wrappers import Response as Answer

from custom_ai.errors import N_, BadInput, Conflict, CustomAIError
from custom_ai.pipeline import ballots, overview, results, vote, voter_links
from custom_ai.state.tables import now
from custom_ai_ui import preferences
from custom_ai_ui.booth import Booth
from custom_ai_ui.site import Person, Site, form_number, percent

Shown = str | Answer | tuple[str, int]


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the pages of the vote to the blueprint."""
    services = site.services

    def enter(selection_id: int) -> tuple[dict[str, Any], Person, Booth]:
        """The vote, who is asking (and sees the project), and their booth."""
        found = overview.selection(services, selection_id, site.translate)
        visitor = site.sees(found["project"])
        return found, visitor, Booth(site, selection_id, visitor.email)

    def page(found: dict[str, Any], booth: Booth, **more: Any) -> str:
        project = overview.project(services, found["project"], site.translate)
        if found["status"] == "open":
            return booth.show(found, project=project, who=who, complete=_complete(found), **more)
        outcome = results.result(services, found["id"], site.translate)
        return render_template(
            "custom_ai_ui/result.html",
            selection=found,
            project=project,
            outcome=outcome,
            booth=booth,
            who=who,
            chance=_chance,
        )

    def who(voter: str) -> str:
        """A voter's name for people."""
        guest = site.translate(N_("{name} (by link)"))
        name = voter.removeprefix(voter_links.GUEST)
        return voter if name == voter else guest.format(name=name)

    def again(found: dict[str, Any], booth: Booth, form: str, error: CustomAIError) -> Shown:
        """The summary in answer to a form on it that cannot be taken: with what was typed, and the reason beside it."""
        if found["status"] != "open":
            flash(error.text(site.translate), "bad")
            return back(booth, summary=1)
        preferences.stands_at(booth.url("selection", summary=1))
        refused = {"form": form, "why": error.text(site.translate), "typed": request.form}
        return page(found, booth, summary=True, refused=refused), error.status

    def back(booth: Booth, **query: Any) -> Answer:
        return redirect(booth.url("selection", **query), 303)

    @routes.get("/selections/<int:selection_id>")
    def selection(selection_id: int) -> str:
        found, _, booth = enter(selection_id)
        return page(found, booth)

    @routes.post("/selections/<int:selection_id>/rounds/<int:number>")
    def cast(selection_id: int, number: int) -> Answer:
        return enter(selection_id)[2].cast(number)

    @routes.post("/selections/<int:selection_id>/confirm")
    def confirm(selection_id: int) -> Answer:
        return enter(selection_id)[2].confirm()

    @routes.get("/selections/<int:selection_id>/images/<int:image_id>")
    def vote_image(selection_id: int, image_id: int) -> Response:
        enter(selection_id)
        return jpeg(ballots.image(services, selection_id, image_id))

    @routes.post("/selections/<int:selection_id>/deadline")
    def deadline(selection_id: int) -> Shown:
        found, visitor, booth = enter(selection_id)
        try:
            vote.set_deadline(services, selection_id, _in_days(), by=visitor.email)
        except CustomAIError as error:
            return again(found, booth, "deadline", error)
        flash(site.translate(N_("The new deadline is set.")), "good")
        return back(booth, summary=1)

    @routes.post("/selections/<int:selection_id>/links")
    def voter_link(selection_id: int) -> Shown:
        found, visitor, booth = enter(selection_id)
        try:
            name, days = request.form.get("name", ""), form_number("days", int)
            if days is None:
                days = voter_links.DEFAULT_DAYS
            link = voter_links.make_link(services, selection_id, name, by=visitor.email, days=days)
        except CustomAIError as error:
            return again(found, booth, "link", error)
        # Shown in this answer only: it is a key, and is kept nowhere.
        return page(found, booth, summary=True, link=link, link_name=" ".join(name.split()))

    @routes.post("/selections/<int:selection_id>/close")
    def close(selection_id: int) -> Answer:
        found, visitor, booth = enter(selection_id)
        try:
            vote.close(services, selection_id, by=visitor.email)
        except Conflict as error:
            flash(error.text(site.translate), "bad")
        # Somebody else may have closed it a moment before: then this leads to the result as well.
        return back(booth, **({"summary": 1} if found["status"] == "open" else {}))

    @routes.post("/selections/<int:selection_id>/overrule")
    def overrule(selection_id: int) -> Answer:
        found, visitor, booth = enter(selection_id)
        with site.telling(N_("This model is in use now.")):
            chosen = form_number("model", int)
            if found["status"] != "closed" or chosen not in [one["model"] for one in found["result"]]:
                raise BadInput(
                    what=f"{chosen}", why=N_("only models that took part in a closed vote can be chosen here")
                )
            vote.promote_version(services, found["project"], chosen, by=visitor.email)
        return back(booth)


def jpeg(content: bytes) -> Response:
    """An image of a vote; the web process says how long browsers may keep images."""
    return Response(content, mimetype="image/jpeg")


def _chance(p: float) -> str:
    """A probability for people, who should not read that anything is impossible or certain."""
    return "< 1%" if p < 0.01 else "> 99%" if p > 0.99 else percent(p)


def _complete(selection: dict[str, Any]) -> bool:
    """Whether somebody has voted all rounds, so that the vote may be closed."""
    return not selection["rounds"] or any(count >= selection["rounds"] for count in selection["voters"].values())


def _in_days() -> datetime:
    days = form_number("days", int)
    if days is None or not 1 <= days <= vote.LONGEST.days:
        raise BadInput(what=request.form.get("days", "")[:40] or "–", why=N_("expected a number of days, 1 to 366"))
    return now() + timedelta(days=days) - timedelta(seconds=1)
