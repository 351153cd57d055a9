"""Rotated boxes: from a network's raw output to shapes with four corners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from custom_ai.serving.decode import MAX_BOXES, Found, Letterbox, find
from custom_ai.types import Box

PROBABLE_IOU = 0.7
"""Of two boxes of one class that are more alike, the less certain one is dropped. For boxes of one size and
direction this is an IoU of 0.6, the limit for upright boxes."""

Floats = NDArray[np.float64]


def decode_rotated(
    output: NDArray[np.float32],
    place: Letterbox,
    classes: Sequence[str],
    min_score: float,
    iou: float = PROBABLE_IOU,
) -> tuple[Box, ...]:
    """One picture's raw output -> at most 300 rotated boxes, best first, in fractions of the picture.

    output: (4 + classes + 1, anchors) float32; rows centre x, centre y, width, height in input pixels, the
    scores of the classes, the angle in radians, clockwise on the screen. Outlines are rectangles in pixels,
    clockwise from the corner that is top left when the box is turned back upright; boxes are turned by -45 to
    45 degrees, since a box turned by 90 degrees is one with width and height exchanged. Corners may lie
    outside of the picture, the bounding box is clipped to it.
    """
    found = find(output, len(classes), min_score)
    found = found[suppress_rotated(np.concatenate([found.box, found.extra], axis=1), found.label, iou)]
    corners = _corners(found, place) / [place.width, place.height]
    bounds = np.clip(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1), 0.0, 1.0)
    return tuple(
        Box(classes[label], x1, y1, x2, y2, min(float(score), 1.0), outline=tuple((x, y) for x, y in outline))
        for label, score, (x1, y1, x2, y2), outline in zip(
            found.label, found.score, bounds.tolist(), corners.tolist(), strict=True
        )
        if x1 < x2 and y1 < y2
    )


def _corners(found: Found, place: Letterbox) -> Floats:
    """(n, 4, 2) x y in pixels of the picture."""
    # The two scales differ by less than a pixel of the input; one for both keeps the angles right.
    scale = (place.scale_x * place.scale_y) ** 0.5
    centre = (found.box[:, :2] - [place.left, place.top]) / [place.scale_x, place.scale_y]
    width, height = (found.box[:, 2:] / scale).T
    angle = found.extra[:, 0]
    quarters = np.round(angle / (np.pi / 2))
    angle = angle - quarters * (np.pi / 2)
    lying = quarters % 2 == 1
    width, height = np.where(lying, height, width), np.where(lying, width, height)
    x = width[:, None] / 2 * [-1, 1, 1, -1]
    y = height[:, None] / 2 * [-1, -1, 1, 1]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.asarray(centre[:, None, :] + np.stack([x * cos - y * sin, x * sin + y * cos], axis=2), np.float64)


def suppress_rotated(boxes: Floats, labels: NDArray[np.int64], iou: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    boxes: (n, 5) centre x, centre y, width, height, angle in radians, best first; labels: (n,). Returns the
    at most 300 indices that stay, best first.
    """
    left: NDArray[np.int64] = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < MAX_BOXES:
        first, left = left[0], left[1:]
        kept.append(int(first))
        left = left[(probable_iou(boxes[first], boxes[left]) <= iou) | (labels[left] != labels[first])]
    return np.array(kept, dtype=np.int64)


def probable_iou(box: Floats, others: Floats) -> Floats:
    """How alike rotated boxes are: (5,) and (n, 5) centre x, centre y, width, height, angle -> (n,) 0..1.

    One minus the Hellinger distance of the normal distributions with the boxes' moments (Llerena et al.,
    arXiv 2106.06072), computed as in ultralytics 8.4 (batch_probiou in utils/metrics.py), by which the
    networks are trained. Unlike the exact IoU it takes a square and the same one turned by 45 degrees for
    equal, which is right here: they are two opinions about one thing.
    """
    tiny = 1e-7
    x, y, (a1, b1, c1) = box[0], box[1], _moments(box[None])
    a2, b2, c2 = _moments(others)
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    across, down = x - others[:, 0], y - others[:, 1]
    both = a * b - c**2
    apart = (a * down**2 + b * across**2) / (both + tiny) / 4 - c * across * down / (both + tiny) / 2
    single = np.maximum(a1 * b1 - c1**2, 0) * np.maximum(a2 * b2 - c2**2, 0)
    unlike = np.log(both / (4 * np.sqrt(single) + tiny) + tiny) / 2
    distance = np.clip(apart + unlike, tiny, 100.0)
    return np.asarray(1 - np.sqrt(1 - np.exp(-distance) + tiny), np.float64)


def _moments(boxes: Floats) -> tuple[Floats, Floats, Floats]:
    """The covariance matrix [[a, c], [c, b]] of the even distribution on each box: (n, 5) -> three (n,)."""
    wide, high = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return wide * cos**2 + high * sin**2, wide * sin**2 + high * cos**2, (wide - high) * cos * sin
