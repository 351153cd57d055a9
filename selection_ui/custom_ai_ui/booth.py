"""The voting booth: the rounds and the summary of one voter in one vote, for members and guests alike."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from custom_ai.errors import N_, BadInput, CustomAIError, NotFound
from custom_ai.pipeline import ballots, overview
from custom_ai_ui.site import Site

COLOURS = 8
"""Classes are told apart by this many colours (``.c0`` ... in vote.css) and by their names."""


class Booth:
    """One voter in one vote. ``prefix`` and ``key`` name the routes and their argument that stands for the vote."""

    def __init__(self, site: Site, selection_id: int, voter: str, *, prefix: str = "", key: str = "selection_id"):
        self.site = site
        self.selection_id = selection_id
        self.voter = voter
        self._prefix = prefix
        self._key = key

    def url(self, page: str, **values: Any) -> str:
        """The address of a page of this booth: "selection" (with ``round`` or ``summary``), "cast", "vote_image"..."""
        values[self._key] = self.selection_id
        return url_for(f".{self._prefix}{page}", **values)

    def show(self, found: dict[str, Any], *, summary: bool = False, **common: Any) -> str:
        """The round that was asked for, else the first one to vote, else the summary. Raises NotFound."""
        rounds = self._rounds()
        common |= {"rounds": rounds, "selection": found, "booth": self}
        wanted = request.args.get("round", type=int) or _unvoted(rounds, 0)
        if summary or "summary" in request.args or wanted is None:
            return render_template("custom_ai_ui/summary.html", **common)
        if not 1 <= wanted <= len(rounds):
            raise NotFound(what=N_("round"), id=wanted)
        classes = overview.run(self.site.services, found["run"])["classes"]
        return render_template(
            "custom_ai_ui/vote.html",
            round=rounds[wanted - 1],
            next_round=rounds[wanted] if wanted < len(rounds) else None,
            colour={name: f"c{number % COLOURS}" for number, name in enumerate(classes)},
            **common,
        )

    def cast(self, number: int) -> Response:
        """Take the form of a round; lead to the next one to vote, or to the summary."""
        try:
            ballots.cast(self.site.services, self.selection_id, self.voter, number - 1, _places())
        except CustomAIError as error:
            flash(error.text(self.site.translate), "bad")
            return redirect(self.url("selection", round=number), 303)
        following = _unvoted(self._rounds(), number)
        where: dict[str, Any] = {"summary": 1} if following is None else {"round": following}
        return redirect(self.url("selection", **where), 303)

    def confirm(self) -> Response:
        """Take the confirmation on the summary."""
        with self.site.telling(
            N_("Thank you: your choice is confirmed. You may still change it until the vote is closed.")
        ):
            ballots.confirm(self.site.services, self.selection_id, self.voter)
        return redirect(self.url("selection", summary=1), 303)

    def _rounds(self) -> list[dict[str, Any]]:
        return ballots.rounds_shown(self.site.services, self.selection_id, self.voter)


def _places() -> list[int]:
    """The pictures that the form picks, as indices; [] when it says that none is good. Raises BadInput."""
    picks = request.form.getlist("pick")
    none = "none" in request.form
    if none and picks:
        raise BadInput(what=N_("this vote"), why=N_("either pick pictures, or say that none is good"))
    if not none and not picks:
        raise BadInput(what=N_("an empty vote"), why=N_("pick at least one picture, or say that none is good"))
    return [_place(text) for text in picks]


def _place(text: str) -> int:
    """A place as the form sends it (1, 2, ...) as an index."""
    if not text.isascii() or not text.isdigit():
        raise BadInput(what=text[:20], why=N_("there is no picture in this place"))
    return int(text) - 1


def _unvoted(rounds: list[dict[str, Any]], after: int) -> int | None:
    """The next round to vote: behind ``after`` if there is one, else the first; None when all are voted."""
    waiting = [one["round"] for one in rounds if one["picks"] is None]
    return next((number for number in waiting if number > after), next(iter(waiting), None))
