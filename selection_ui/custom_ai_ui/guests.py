"""Voters without a Label Studio account: a signed link opens one vote, and nothing else.

Opening a link writes into the (signed) session who may vote where and until when, and redirects, so that the token
does not stay in the address bar. The pages know neither the project nor the models.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response, redirect, render_template, session
from werkzeug.wrappers import Response as Answer

from custom_ai.errors import N_, CustomAIError, LinkInvalid, NotFound, VoteOver
from custom_ai.pipeline import ballots, overview, voter_links
from custom_ai_ui.booth import Booth
from custom_ai_ui.site import Site
from custom_ai_ui.voting import jpeg

_KEY = "guest_votes"
_AT_MOST = 8
"""Votes that one browser may be in at a time; a cookie is small."""


def add_routes(routes: Blueprint, site: Site) -> None:
    """Add the guests' pages to the blueprint. ``custom_ai.web.guard`` lets strangers ask for them."""
    services = site.services

    def enter(vote_id: int) -> Booth:
        """The guest's booth. Raises LinkInvalid for everybody else, VoteOver when the vote is closed."""
        voter, until = session.get(_KEY, {}).get(str(vote_id), ("", 0))
        if until < time.time():
            raise LinkInvalid(why=N_("it has expired") if voter else N_("it was not opened in this browser"))
        voter_links.check_open(services, vote_id)
        return booth_of(vote_id, voter)

    def booth_of(vote_id: int, voter: str) -> Booth:
        return Booth(site, vote_id, voter, prefix="guest_", key="vote_id")

    @routes.get("/vote-links/<token>")
    def open_link(token: str) -> Answer:
        link = voter_links.read_link(services, token)
        known = {**session.get(_KEY, {}), str(link.selection_id): (link.voter, int(link.expires_at.timestamp()))}
        session[_KEY] = dict(list(known.items())[-_AT_MOST:])
        answer = redirect(booth_of(link.selection_id, link.voter).url("selection"), 303)
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @routes.get("/guest-votes/<int:vote_id>")
    def guest_selection(vote_id: int) -> str:
        booth = enter(vote_id)
        return booth.show(overview.selection(services, vote_id), guest=booth.voter.removeprefix(voter_links.GUEST))

    @routes.post("/guest-votes/<int:vote_id>/rounds/<int:number>")
    def guest_cast(vote_id: int, number: int) -> Answer:
        return enter(vote_id).cast(number)

    @routes.post("/guest-votes/<int:vote_id>/confirm")
    def guest_confirm(vote_id: int) -> Answer:
        return enter(vote_id).confirm()

    @routes.get("/guest-votes/<int:vote_id>/images/<int:image_id>")
    def guest_vote_image(vote_id: int, image_id: int) -> Response:
        booth = enter(vote_id)
        if not ballots.has_image(services, vote_id, booth.voter, image_id):
            raise NotFound(what=N_("image"), id=image_id)
        return jpeg(ballots.image(services, vote_id, image_id))

    @routes.errorhandler(LinkInvalid)
    @routes.errorhandler(VoteOver)
    def no_entry(error: CustomAIError) -> tuple[str, int]:
        text = error.text(site.translate)
        return render_template("custom_ai_ui/guest_end.html", text=text, over=isinstance(error, VoteOver)), error.status
