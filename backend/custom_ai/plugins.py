"""What plug-ins promise. Standard library only.

They are found by entry points: what changes images in the group ``custom_ai.preprocessors``, what tells people of
something in ``custom_ai.notifiers``; the name of the entry point is what settings and jobs call them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from custom_ai.settings import Settings

FACES = "faces"
"""The entry point of what hides faces."""
UNSURE, SMALL_PX = 0.6, 20.0
"""Faces that were found with less certainty, or are smaller: others beside them may have been missed."""

Area = tuple[float, float, float, float, float]
"""x1, y1, x2, y2 in pixels of the upright image, and how sure it is, 0..1."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """An image file in which something was hidden, of the same kind and size as before."""

    data: bytes
    areas: Sequence[Area]
    """What was found, without the margin that is hidden around it."""
    width: int
    height: int
    sha256: str
    """Of ``data``."""

    @property
    def doubtful(self) -> bool:
        """Whether a person should look at it."""
        return any(score < UNSURE or max(x2 - x1, y2 - y1) < SMALL_PX for x1, y1, x2, y2, score in self.areas)


class Hider(Protocol):
    """Hides something in image files. Made once per process with ``threads`` and ``max_pixels``.

    And, where they are set, with ``models`` (files that ``custom-ai export-model`` has written) that find what else is
    to be hidden, and ``classes``: which of theirs; none: all.
    """

    def __call__(self, data: bytes, name: str) -> Hidden:
        """All or nothing: raises ImageError for an image about which anything is not sure to have worked."""

    def again(self, data: bytes, name: str, found: Sequence[Area], drawn: Sequence[Area]) -> Hidden:
        """Nothing is looked for: these areas are hidden, those that were found with the usual margin around them, those
        that a person has drawn without. Raises ImageError."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that has happened, in the words and the language of the one who is told. All texts are plain."""

    id: str
    """Of this notice to this address; the same in every attempt."""
    event: str
    """Such as run_done, see ``state.tables.Notification``."""
    failure: bool
    at: datetime
    project: int
    project_title: str
    title: str
    """One line."""
    text: str
    way_out: str
    """What to do about a failure; '' where there is nothing to be done."""
    link: str
    """The page on which more is told."""
    language: str
    """en or ko"""
    unsubscribe: str = ""
    """The address at which this recipient stops being told about this project."""
    picture: bytes | None = None
    """A JPEG of the result."""


class NotSent(Exception):
    """The notice has certainly not arrived. Any other error means that nobody knows, and it is not tried again."""

    def __init__(self, why: str, *, again: bool) -> None:
        """again: whether it is worth another attempt later."""
        super().__init__(why)
        self.again = again


@dataclass(frozen=True, slots=True)
class NotifierSpec:
    """What the pipeline has to know of a notifier."""

    name: str
    """That of its entry point."""
    personal: bool = False
    """It tells people one by one, at their e-mail addresses; others have addresses of their own."""
    per_project: bool = False
    """Projects may have further addresses."""


class Notifier(Protocol):
    """Tells one address of something. Made once per process with the ``Settings``; makes no connection by then."""

    spec: NotifierSpec

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when what is set cannot be used."""

    @property
    def ready(self) -> bool:
        """Whether it has been set up."""

    def addresses(self) -> Sequence[str]:
        """Where every notice goes; empty for personal ones."""

    def send(self, notice: Notice, address: str) -> None:
        """Raises NotSent. Must end within about half a minute."""
