"""One region of Label Studio's JSON to one of our shapes. Pure, nothing raised for bad JSON.

Label Studio stores percentages (0..100) of the upright image; ours are fractions (0..1) of the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from custom_ai.shapes import bounds, is_flat, tidy, turned, within
from custom_ai.types import Box, LabelKind, Outline

CLIP_TOLERANCE = 1e-6
"""Overhang in fractions that is rounding, not somebody's box over the edge."""


class Note(StrEnum):
    """What happened while reading, counted for the data report."""

    TASK_UNREADABLE = "task_unreadable"
    """Not a JSON object with an id: the task is left out."""
    NO_IMAGE = "no_image"
    """The task's data have no image under the config's key."""
    SKIPPED = "skipped"
    """Annotations that are skips."""
    UNREVIEWED = "unreviewed"
    """Annotations that the Data Manager copied from predictions and nobody has looked at."""
    SUPERSEDED = "superseded"
    """Further annotations of a task, beside the one that counts."""
    REGION_UNREADABLE = "region_unreadable"
    """Missing or non-numeric values."""
    OTHER_SHAPE = "other_shape"
    """Drawn with another tool than the one that is trained: an ellipse or a brush stroke among polygons."""
    ROTATED_WITHOUT_SIZE = "rotated_without_size"
    """A rotated box without the image's size in pixels, which its geometry needs."""
    NO_LABEL = "no_label"
    UNKNOWN_LABEL = "unknown_label"
    """Its label is not in the labelling config (any more)."""
    DEGENERATE = "degenerate"
    """Nothing is left of it inside the image, or it encloses nothing."""
    CLIPPED = "clipped"
    """Cut at the image's edge, and used."""
    UNROTATED = "unrotated"
    """A rotated box, used as the upright box around it."""
    AMBIGUOUS = "ambiguous"
    """Annotations of which no shape could be used though something was drawn: no negative example."""


def read_shape(region: Mapping[str, Any], label: str, kind: LabelKind, notes: Counter[str]) -> Box | None:
    """The region as a shape of ``kind``; None with a note when it cannot be used."""
    value = region.get("value")
    if not isinstance(value, Mapping):
        value = {}
    untouched = region.get("origin") == "prediction"
    if kind is LabelKind.POLYGON:
        return _polygon(value, label, untouched, notes)
    outline, rotated = _rectangle(region, value, notes)
    if not outline:
        return None
    if kind is LabelKind.ROTATED_BOX:
        # Its corners may lie outside: a rectangle that was cut at the edge would be none.
        return _box(label, outline, outline, untouched, notes)
    box = _box(label, outline, (), untouched, notes, note_clipping=True)
    if rotated and box is not None:
        notes[Note.UNROTATED] += 1
    return box


def _box(
    label: str, around: Outline, outline: Outline, untouched: bool, notes: Counter[str], *, note_clipping: bool = False
) -> Box | None:
    """The shape with the part of the bounds of ``around`` that lies in the image."""
    whole = bounds(around)
    x1, y1, x2, y2 = bounds(within(around))
    if not (x1 < x2 and y1 < y2):
        notes[Note.DEGENERATE] += 1
        return None
    if note_clipping and max(abs(a - b) for a, b in zip(whole, (x1, y1, x2, y2), strict=True)) > CLIP_TOLERANCE:
        notes[Note.CLIPPED] += 1
    return Box(label, x1, y1, x2, y2, untouched=untouched, outline=outline)


def _polygon(value: Mapping[str, Any], label: str, untouched: bool, notes: Counter[str]) -> Box | None:
    """A polygon with its corners moved into the image; it may cross itself."""
    points = value.get("points")
    pairs = [
        (_number(point[0]), _number(point[1])) if isinstance(point, list | tuple) and len(point) == 2 else (None, None)
        for point in (points if isinstance(points, list) else [None])
    ]
    drawn = tuple((x / 100, y / 100) for x, y in pairs if x is not None and y is not None)
    if not label or len(drawn) < len(pairs):
        notes[Note.REGION_UNREADABLE] += 1
        return None
    outline = tidy(within(drawn))
    if is_flat(outline):
        notes[Note.DEGENERATE] += 1
        return None
    return _box(label, drawn, outline, untouched, notes, note_clipping=True)


def _rectangle(region: Mapping[str, Any], value: Mapping[str, Any], notes: Counter[str]) -> tuple[Outline, bool]:
    """The four corners of a rectangle, clockwise from the one at x, y, and whether it is rotated; () for none.

    Computed in pixels: a rectangle turned in percentages would be a parallelogram.
    """
    x, y, width, height = (_number(value.get(key)) for key in ("x", "y", "width", "height"))
    rotation = _number(value.get("rotation") or 0)
    if x is None or y is None or width is None or height is None or rotation is None:
        notes[Note.REGION_UNREADABLE] += 1
        return (), False
    if width <= 0 or height <= 0:
        notes[Note.DEGENERATE] += 1
        return (), False
    if not rotation % 360:
        x1, y1, x2, y2 = x / 100, y / 100, (x + width) / 100, (y + height) / 100
        return ((x1, y1), (x2, y1), (x2, y2), (x1, y2)), False
    across, down = _number(region.get("original_width")), _number(region.get("original_height"))
    if not across or not down or across < 0 or down < 0:
        notes[Note.ROTATED_WITHOUT_SIZE] += 1
        return (), True
    pixels = turned(x / 100 * across, y / 100 * down, width / 100 * across, height / 100 * down, rotation % 360)
    return tuple((u / across, v / down) for u, v in pixels), True


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
