"""Plain geometry on upright boxes. Pure, standard library only; for the other shapes see ``overlap``."""

from __future__ import annotations

from custom_ai.types import Box


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (fractions of the same image); outlines are not looked at."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (area(a) + area(b) - common)


def area(box: Box) -> float:
    """Area of the upright box as a fraction of the image."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)
