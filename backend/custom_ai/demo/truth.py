"""What a careful person would draw around an object of a demo scene."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from custom_ai.shapes import bounds, within
from custom_ai.types import Box, LabelKind, Outline

CARE = 0.006
"""How far a drawn polygon is from the edge of the object, as a share of the object's longer side."""


def shape_of(label: str, visible: NDArray[np.bool_], kind: LabelKind, tilt: float) -> Box:
    """The label of one object.

    visible: (height, width) where the object is seen; tilt: by how much it is turned, in radians, clockwise.
    """
    height, width = visible.shape
    rows, columns = np.nonzero(visible)
    if kind is LabelKind.BOX:
        x1, y1 = columns.min() / width, rows.min() / height
        x2, y2 = (columns.max() + 1) / width, (rows.max() + 1) / height
        return Box(label, float(x1), float(y1), float(x2), float(y2))
    if kind is LabelKind.ROTATED_BOX:
        pixels = _rectangle(np.stack([columns + 0.5, rows + 0.5], axis=1), tilt)
    else:
        pixels = _polygon(visible)
    outline: Outline = tuple((x / width, y / height) for x, y in pixels.tolist())
    if kind is LabelKind.POLYGON:
        outline = within(outline)
    return Box(label, *bounds(within(outline)), outline=outline)


def _rectangle(points: NDArray[np.float64], tilt: float) -> NDArray[np.float64]:
    """The corners of the rectangle turned by ``tilt`` around points x y: (n, 2) -> (4, 2) clockwise."""
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    (x1, y1), (x2, y2) = (limit(points @ turn.T, axis=0) for limit in (np.min, np.max))
    return np.asarray(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) @ turn, np.float64)


def _polygon(visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The outline of the largest part, holes filled: (n, 2) x y in pixels."""
    parts, _ = cv2.findContours(visible.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(parts, key=cv2.contourArea)
    tolerance = CARE * float(np.ptp(largest[:, 0], axis=0).max())
    return np.asarray(cv2.approxPolyDP(largest, tolerance, True)[:, 0] + 0.5, np.float64)
