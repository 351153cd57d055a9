"""One shape as a line of an ultralytics label file. Standard library only."""

from __future__ import annotations

import math

from custom_ai.shapes import bounds, corners, shortened, visible_part, within
from custom_ai.types import Box, ImageSize, LabelKind, Outline

SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Of the length of a rotated box that runs across the whole picture."""


def label_line(number: int, box: Box, size: ImageSize, kind: LabelKind) -> str:
    """The line for a shape of the class ``number``; all values are fractions of the picture.

    - box: class, x centre, y centre, width, height; its outline is not looked at.
    - rotated box: class, then x y of its four corners in order.
    - polygon: class, then x y of its corners, inside the picture.
    """
    if kind is LabelKind.BOX:
        values = ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, box.x2 - box.x1, box.y2 - box.y1)
        return " ".join([str(number), *(f"{value:.7f}" for value in values)]) + "\n"
    outline = _turned(box, size) if kind is LabelKind.ROTATED_BOX else within(corners(box))
    return " ".join([str(number), *(f"{value:.7f}" for corner in outline for value in corner)]) + "\n"


def _turned(box: Box, size: ImageSize) -> Outline:
    """The four corners of a rotated box such that ultralytics accepts them.

    Corners may lie outside of the picture, and as long as possible they stay there: ultralytics fits a
    rectangle around them (cv2.minAreaRect), which would take another angle if they were cut off. But it
    throws a whole picture away when the upright box around the corners has its centre outside or is larger
    than the picture (verify_image_label in ultralytics/data/utils.py). Then the rectangle around the visible
    part, at the same angle, and as much shorter as needed; and if that does not help, the upright box.
    """
    if not box.outline or _accepted(box.outline):
        return corners(box)
    pixels = [(x * size.width, y * size.height) for x, y in box.outline]
    degrees = math.degrees(math.atan2(pixels[1][1] - pixels[0][1], pixels[1][0] - pixels[0][0]))
    part = visible_part(tuple(pixels), degrees, size.width, size.height)
    for share in SHARES if part else ():
        visible = tuple((x / size.width, y / size.height) for x, y in shortened(part, share))
        if _accepted(visible):
            return visible
    return (box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2)


def _accepted(outline: Outline) -> bool:
    x1, y1, x2, y2 = bounds(outline)
    return all(0 <= value <= 1 for value in ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1))
