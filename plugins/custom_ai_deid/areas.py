"""Areas of an image that are to be hidden. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Source = Literal["found", "drawn"]


@dataclass(frozen=True, slots=True)
class Area:
    """An upright rectangle in pixels of the upright image, x1 < x2 and y1 < y2; it may hang over the edges."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float = 1.0
    """How sure the detector is, 0..1; 1 for what a person has drawn."""
    source: Source = "found"

    def __post_init__(self) -> None:
        if not (self.x1 < self.x2 and self.y1 < self.y2):
            raise ValueError(f"expected x1 < x2 and y1 < y2, got {self}")

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def size(self) -> float:
        """The longer side."""
        return max(self.width, self.height)


def widen(area: Area, factor: float) -> Area:
    """The same centre, ``factor`` times the width and the height."""
    dx, dy = area.width * (factor - 1) / 2, area.height * (factor - 1) / 2
    return replace(area, x1=area.x1 - dx, y1=area.y1 - dy, x2=area.x2 + dx, y2=area.y2 + dy)


def turn_back(area: Area, quarters: int, width: int, height: int) -> Area:
    """From an image that was turned counter-clockwise by ``quarters`` * 90 degrees to the original.

    Turned as numpy.rot90 does it. width, height: of the original.
    """
    x1, y1, x2, y2 = area.x1, area.y1, area.x2, area.y2
    for left in range(quarters % 4, 0, -1):  # undo one quarter at a time
        across = width if left % 2 else height  # the width that was there before this quarter
        x1, y1, x2, y2 = across - y2, x1, across - y1, x2
    return replace(area, x1=x1, y1=y1, x2=x2, y2=y2)


def merge(areas: Iterable[Area], overlap: float = 0.4) -> list[Area]:
    """The union of what several looks at an image have found: of areas that overlap much, the surest one.

    overlap: intersection over union from which on two are the same face. Surest first. What a person has drawn stays.
    """
    kept: list[Area] = []
    for area in sorted(areas, key=lambda one: (one.source == "drawn", one.score), reverse=True):
        if area.source == "drawn" or all(iou(area, other) < overlap for other in kept):
            kept.append(area)
    return kept


def iou(a: Area, b: Area) -> float:
    """Intersection over union, 0..1."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a.width * a.height + b.width * b.height - common)


def inside(area: Area, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Whole pixels (x1, y1, x2, y2; the last ones not included) that the area touches; None: it is outside."""
    x1, y1 = max(int(area.x1 // 1), 0), max(int(area.y1 // 1), 0)
    x2, y2 = min(int(-(-area.x2 // 1)), width), min(int(-(-area.y2 // 1)), height)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def least_sure(areas: Sequence[Area]) -> float | None:
    """The lowest score of what was found; None: nothing was."""
    return min((area.score for area in areas if area.source == "found"), default=None)
