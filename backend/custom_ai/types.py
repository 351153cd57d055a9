"""The words that every part of the product shares. Standard library only.

Coordinates: a box is given in fractions (0..1) of the *upright* image, i.e. after the EXIF
orientation was applied, because that is the frame in which browsers display images and in which
Label Studio stores percentages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class LabelKind(StrEnum):
    """What people draw: upright boxes, boxes turned about any angle, or outlines."""

    BOX = "box"
    ROTATED_BOX = "rotated_box"
    POLYGON = "polygon"


Outline = tuple[tuple[float, float], ...]
"""The corners of a shape in order, (x, y) in fractions of the upright image's width and height."""


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled shape by its upright bounding box: x1 y1 x2 y2 in fractions of the upright image.

    ``outline`` is empty for an upright box; the four corners of a rotated box (in order, clockwise on the
    screen, a rectangle in *pixels*); or the three or more corners of a polygon. The bounding box is then
    the one around it, clipped to the image; corners of a rotated box may lie outside of the image.
    ``score`` is the model's confidence (0..1), None when a person drew it.
    Raises ValueError when it would be born degenerate, outside the image or without a class.
    """

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    score: float | None = None
    untouched: bool = False
    """True for model output that a person submitted without changing it: good to train on, since a
    person looked at it, but not an example *drawn by hand*."""
    outline: Outline = ()

    def __post_init__(self) -> None:
        corners = (self.x1, self.y1, self.x2, self.y2)
        if not self.label:
            raise ValueError("a box needs a class name, got ''")
        if not all(math.isfinite(value) for value in corners):
            raise ValueError(f"box corners must be finite numbers, got {corners}")
        if not (0.0 <= self.x1 < self.x2 <= 1.0 and 0.0 <= self.y1 < self.y2 <= 1.0):
            raise ValueError(f"expected 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, got {corners}")
        if self.outline and len(self.outline) < 3:
            raise ValueError(f"an outline needs three corners or more, got {len(self.outline)}")
        if not all(math.isfinite(value) for corner in self.outline for value in corner):
            raise ValueError(f"the corners of an outline must be finite numbers, got {self.outline}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score lies between 0 and 1, got {self.score}")


@dataclass(frozen=True, slots=True)
class LabelledTask:
    """What people say about one task: the answer that counts, or None while nobody gave one.

    ``boxes`` is None when the task has no submitted annotation, and empty when a person looked and
    found nothing (a negative image). ``image`` is Label Studio's URI as stored in the task's data.
    """

    task_id: int
    image: str
    boxes: tuple[Box, ...] | None
    annotation_id: int | None
    updated_at: str
    touched: bool
    """True as soon as a person worked on the task in any way (annotation, skip or draft)."""


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Width and height in pixels of the upright image."""

    width: int
    height: int
