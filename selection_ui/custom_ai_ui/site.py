"""What all pages share: who is asking, the words of their language, numbers, and how an error is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from flask import flash, g, request

from custom_ai.errors import N_, BadInput, CustomAIError
from custom_ai.i18n import translator
from custom_ai.pipeline import inbox, overview
from custom_ai.services import Services
from custom_ai_ui import preferences

ACTIVE = ("queued", "running", "paused")
STATUS = {
    "waiting": N_("waiting"),
    "queued": N_("waiting to begin"),
    "running": N_("running"),
    "paused": N_("paused"),
    "done": N_("finished"),
    "failed": N_("failed"),
    "cancelled": N_("cancelled"),
}
STAGES = {
    "preparing": N_("preparing"),
    "training": N_("training"),
    "exporting": N_("exporting"),
    "scoring": N_("scoring"),
}
KINDS = {
    "box": N_("upright boxes"),
    "rotated_box": N_("rotated boxes"),
    "polygon": N_("polygons"),
}
LARGEST = 2**31 - 1
"""Larger numbers fit no column."""


class Person(Protocol):
    """A visitor who is signed in to Label Studio."""

    @property
    def id(self) -> int: ...
    @property
    def email(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Site:
    """What the routes are made of; see ``custom_ai_ui.blueprint``."""

    services: Services
    user: Callable[[], Person]
    sees: Callable[[int], Person]
    language: Callable[[], str]
    sees_which: Callable[[Iterable[int]], list[int]]

    def visible(self) -> list[int]:
        """The ids of all our projects that the visitor sees, also of those that Label Studio has not any more."""
        if "visible" not in g:
            g.visible = self.sees_which(overview.projects(self.services, gone=True))
        found: list[int] = g.visible
        return found

    def reader(self) -> inbox.Reader:
        """The visitor as a reader of notifications."""
        return inbox.Reader(self.user().id, self.visible())

    def unread(self) -> dict[int, int]:
        """How many notifications the visitor has not seen, by project."""
        if "unread" not in g:
            g.unread = inbox.unread(self.services, self.reader())
        found: dict[int, int] = g.unread
        return found

    def translate(self, message: str) -> str:
        return translator(self.language())(message)

    @contextmanager
    def telling(self, success: str) -> Iterator[None]:
        """Tell the visitor on the next page what came of the step: ``success`` or what is wrong."""
        try:
            yield
        except CustomAIError as error:
            flash(error.text(self.translate), "bad")
        else:
            flash(self.translate(success), "good")


def words_for(language: str) -> dict[str, Any]:
    """What every template of a page may use besides its own values."""
    return preferences.words(language) | plain_words(language)


def plain_words(language: str) -> dict[str, Any]:
    """What every template may use, also without a request."""
    _ = translator(language)

    def stage(one: dict[str, Any]) -> str:
        """A run's or candidate's stage, or its status when it has no stage of its own."""
        status = str(one["status"])
        word = STAGES.get(str(one.get("stage"))) if status == "running" else None
        return _(word or STATUS.get(status, status))

    def left(seconds: float | None) -> str:
        if seconds is None:
            return ""
        if seconds < 60:
            return _("less than a minute left")
        return _("about {minutes} min left").format(minutes=round(seconds / 60))

    def kind_name(kind: str) -> str:
        return _(KINDS.get(kind, kind))

    return {
        "_": _,
        "language": language,
        "stage": stage,
        "left": left,
        "kind_name": kind_name,
        "corners": corners,
        "percent": percent,
        "number": number,
        "active": is_active,
    }


def form_number(name: str, kind: type[int] | type[float]) -> Any:
    """A number from the form; None when the field was left empty. Raises BadInput."""
    text = request.form.get(name, "").strip()
    if not text:
        return None
    try:
        number = kind(text)
    except ValueError as error:
        raise BadInput(what=text[:40], why=N_("expected a number")) from error
    if abs(number) > LARGEST:
        raise BadInput(what=text[:40], why=N_("this is not a possible value"))
    return number


def query_number(name: str) -> int | None:
    """A whole number above 0 from the address; None when there is none that could be meant."""
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 else None


def number(value: int) -> str:
    """1234567 as 1,234,567: so numbers are written in all our languages."""
    return f"{value:,}"


def percent(fraction: float | None) -> str:
    """0.456 as 46%."""
    return "–" if fraction is None else f"{fraction:.0%}"


def corners(
    outline: Iterable[Sequence[float]], width: float, height: float, left: float = 0.0, top: float = 0.0
) -> str:
    """An outline in fractions of an image as the points of an SVG polygon, in pixels from a left top."""
    return " ".join(f"{x * width - left:.2f},{y * height - top:.2f}" for x, y in outline)


def is_active(work: dict[str, Any] | None) -> bool:
    """Whether a run or an auto-labelling job still has work to do."""
    return work is not None and work["status"] in ACTIVE
