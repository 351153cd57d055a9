"""Polygons: from a network's raw output and mask prototypes to outlines."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from custom_ai.serving.decode import IOU, Letterbox, find, suppress, upright_corners
from custom_ai.types import Box, Outline

STRIDE = 4
"""Input pixels per pixel of the prototypes."""
RASTER = 256
"""Masks are enlarged until their longer side has about so many pixels: then the steps along an edge, and the
half pixel that is lost around it, are smaller than the tolerance of the outline."""
TOLERANCE = 0.005
"""How far the simplified outline may be from the edge of the mask, as a share of the longer side of the shape:
about as exact as people draw, with 10 to 40 corners for most things."""
MAX_CORNERS = 200

Floats = NDArray[np.float64]


def decode_masks(
    output: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    place: Letterbox,
    classes: Sequence[str],
    min_score: float,
    iou: float = IOU,
) -> tuple[Box, ...]:
    """One picture's raw output -> at most 300 polygons, best first, in fractions of the picture.

    output: (4 + classes + 32, anchors) float32; rows centre x, centre y, width, height in input pixels, the
    scores of the classes, the coefficients of the mask. prototypes: (32, h / 4, w / 4) float32. Suppression is
    by the upright boxes. Masks are made one at a time, in rasters of about 256 pixels, so memory stays small.

    One detection becomes one polygon with 3 to 200 corners within the picture: the largest connected part of
    its mask, holes filled. Further parts are dropped: they would be counted, scored and corrected as things of
    their own, with the score of the whole. A detection whose mask is empty is dropped.
    """
    found = find(output, len(classes), min_score)
    found = found[suppress(upright_corners(found.box), found.label, iou)]
    seen = [place.left, place.top, place.left + place.scale_x * place.width, place.top + place.scale_y * place.height]
    low, high = np.array(seen[:2] * 2), np.array(seen[2:] * 2)
    shapes = []
    for corners, label, score, weights in zip(
        np.clip(upright_corners(found.box), low, high), found.label, found.score, found.extra, strict=True
    ):
        edge = _edge(weights.astype(np.float32), prototypes, corners)
        outline = _outline(edge, place) if edge is not None else ()
        if outline:
            x, y = zip(*outline, strict=True)
            shapes.append(Box(classes[label], min(x), min(y), max(x), max(y), min(float(score), 1.0), outline=outline))
    return tuple(shapes)


def _edge(weights: NDArray[np.float32], prototypes: NDArray[np.float32], corners: Floats) -> Floats | None:
    """The edge of the largest part of one mask: (n, 2) x y in input pixels; None when it is too small.

    weights: (32,); corners: (4,) x1 y1 x2 y2 in input pixels, within the picture.
    """
    rows, columns = prototypes.shape[1:]
    # One pixel around the box, from which the enlarged ones at its border are interpolated.
    left, top = np.maximum(np.floor(corners[:2] / STRIDE).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners[2:] / STRIDE).astype(int) + 1, [columns, rows])
    if right <= left or bottom <= top:
        return None
    part = np.tensordot(weights, prototypes[:, top:bottom, left:right], axes=1)
    factor = max(round(RASTER / max(part.shape)), STRIDE)
    mask = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) > 0
    # Pixel k of the raster has its centre at (k + 0.5) * step from the raster's corner, in input pixels.
    step = STRIDE / factor
    x = left * STRIDE + (np.arange(mask.shape[1]) + 0.5) * step
    y = top * STRIDE + (np.arange(mask.shape[0]) + 0.5) * step
    mask &= ((x >= corners[0]) & (x < corners[2]))[None, :] & ((y >= corners[1]) & (y < corners[3]))[:, None]
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    largest = max(contours, key=cv2.contourArea)[:, 0]
    return np.stack([x[largest[:, 0]], y[largest[:, 1]]], axis=1)


def _outline(edge: Floats, place: Letterbox) -> Outline:
    """The simplified edge in fractions of the picture; () when nothing is left of it.

    Simplified in pixels of the picture, because in fractions the tolerance would depend on the direction
    (Douglas and Peucker 1973; cv2.approxPolyDP).
    """
    pixels = ((edge - [place.left, place.top]) / [place.scale_x, place.scale_y]).astype(np.float32)
    tolerance = TOLERANCE * float(np.ptp(pixels, axis=0).max())
    corners = cv2.approxPolyDP(pixels, tolerance, True)
    while len(corners) > MAX_CORNERS:
        tolerance *= 1.5
        corners = cv2.approxPolyDP(pixels, tolerance, True)
    if len(corners) < 3 or cv2.contourArea(corners) <= 0:
        return ()
    fractions = np.clip(corners[:, 0].astype(np.float64) / [place.width, place.height], 0.0, 1.0)
    if (np.ptp(fractions, axis=0) <= 0).any():
        return ()
    return tuple((x, y) for x, y in fractions.tolist())
