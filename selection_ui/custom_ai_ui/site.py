"""What all pages share: who is asking, the words of their language, and how an error is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from flask import flash, request

from custom_ai.errors import N_, CustomAIError
from custom_ai.i18n import LANGUAGES, translator
from custom_ai.services import Services

LANGUAGE_COOKIE = "custom_ai_lang"
"""``language()`` of the web process reads it."""

ACTIVE = ("queued", "running")
STATUS = {
    "waiting": N_("waiting"),
    "queued": N_("waiting for a worker"),
    "running": N_("running"),
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
LANGUAGE_NAMES = {"en": "English", "ko": "한국어"}


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
    """What every template may use besides its own values."""
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

    query = {name: value for name, value in request.args.items() if name != "lang"}
    return {
        "_": _,
        "language": language,
        "languages": [(code, LANGUAGE_NAMES[code], _link({**query, "lang": code})) for code in LANGUAGES],
        "stage": stage,
        "left": left,
        "kind_name": kind_name,
        "corners": corners,
        "percent": percent,
        "active": is_active,
    }


def percent(fraction: float | None) -> str:
    """0.456 as 46%."""
    return "–" if fraction is None else f"{fraction:.0%}"


def corners(outline: Iterable[Sequence[float]], width: float, height: float) -> str:
    """An outline in fractions of an image as the points of an SVG polygon, in pixels."""
    return " ".join(f"{x * width:.2f},{y * height:.2f}" for x, y in outline)


def is_active(work: dict[str, Any] | None) -> bool:
    """Whether a run or an auto-labelling job still has work to do."""
    return work is not None and work["status"] in ACTIVE


def _link(query: dict[str, str]) -> str:
    return f"{request.script_root}{request.path}?{urlencode(query)}"
