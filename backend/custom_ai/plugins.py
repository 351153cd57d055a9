"""What plug-ins that change images promise. Standard library only.

They are found by entry points in the group ``custom_ai.preprocessors``; the name of the entry point is what settings
and jobs call them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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
