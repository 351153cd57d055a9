"""Pure arithmetic around the network: letterbox before it, boxes and non-maximum suppression after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from custom_ai.types import Box

STRIDE = 32
"""Sides of the network's input are multiples of this."""
PADDING = 114
"""The grey with which ultralytics trains around the picture."""
MAX_BOXES = 300
IOU = 0.6
"""Of two boxes of one class that overlap more, the less certain one is dropped."""
MAX_CANDIDATES = 3000
"""So many of the best raw boxes are looked at: NMS takes quadratic time."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture was put into the network's input: x_input = x_picture * scale_x + left, and so for y."""

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    """Of the picture, in pixels."""
    height: int


def letterbox(image: NDArray[np.uint8], image_size: int) -> tuple[NDArray[np.uint8], Letterbox]:
    """Scale the longer side to ``image_size`` and pad both to the next multiple of 32.

    image: (height, width, 3) uint8, upright. Returns the input (h, w, 3) uint8 and where the picture lies.
    The arithmetic is that of ultralytics' LetterBox(auto=True), so that both see the same pixels.
    """
    height, width = image.shape[:2]
    scale = image_size / max(height, width)
    new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
    if (new_width, new_height) != (width, height):
        image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    pad_x, pad_y = -new_width % STRIDE, -new_height % STRIDE
    left, top = round(pad_x / 2 - 0.1), round(pad_y / 2 - 0.1)
    if pad_x or pad_y:
        sides = (top, pad_y - top, left, pad_x - left)
        image = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(PADDING,) * 3)
    return image, Letterbox(new_width / width, new_height / height, left, top, width, height)


@dataclass(frozen=True, slots=True)
class Found:
    """The anchors of one picture that are worth looking at, best first."""

    box: NDArray[np.float64]
    """(n, 4): centre x, centre y, width, height in input pixels."""
    label: NDArray[np.int64]
    """(n,): number of the best class; an anchor speaks for its best class only."""
    score: NDArray[np.float32]
    """(n,): of that class."""
    extra: NDArray[np.float64]
    """(n, rows after those of the classes): what the kind of labels adds."""

    def __getitem__(self, chosen: NDArray[np.int64]) -> Found:
        return Found(self.box[chosen], self.label[chosen], self.score[chosen], self.extra[chosen])


def find(output: NDArray[np.float32], classes: int, min_score: float) -> Found:
    """output: (4 + classes + extra, anchors) float32 as in the contract -> at most 3000 anchors, best first."""
    scores = output[4 : 4 + classes]
    best = scores.max(axis=0)
    chosen = np.flatnonzero(best >= min_score)
    if len(chosen) > MAX_CANDIDATES:
        chosen = chosen[np.argpartition(-best[chosen], MAX_CANDIDATES)[:MAX_CANDIDATES]]
    chosen = chosen[np.argsort(-best[chosen], kind="stable")]
    rows = output[:, chosen].T.astype(np.float64)
    return Found(rows[:, :4], scores[:, chosen].argmax(axis=0), best[chosen], rows[:, 4 + classes :])


def upright_corners(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) centre x, centre y, width, height -> (n, 4) x1 y1 x2 y2."""
    return np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], axis=1)


def decode(
    output: NDArray[np.float32], place: Letterbox, classes: Sequence[str], min_score: float, iou: float = IOU
) -> tuple[Box, ...]:
    """One picture's raw output -> at most 300 upright boxes, best first, in fractions of the picture.

    output: (4 + classes, anchors) float32; rows centre x, centre y, width, height in input pixels, then
    the scores of the classes.
    """
    found = find(output, len(classes), min_score)
    found = found[suppress(upright_corners(found.box), found.label, iou)]
    corners = upright_corners(found.box) - [place.left, place.top, place.left, place.top]
    corners /= [place.scale_x * place.width, place.scale_y * place.height] * 2
    corners = np.clip(corners, 0.0, 1.0)
    return tuple(
        Box(classes[label], x1, y1, x2, y2, min(float(score), 1.0))
        for (x1, y1, x2, y2), label, score in zip(corners.tolist(), found.label, found.score, strict=True)
        if x1 < x2 and y1 < y2
    )


def suppress(
    corners: NDArray[np.float64], labels: NDArray[np.int64], iou: float, most: int = MAX_BOXES
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    corners: (n, 4) x1 y1 x2 y2, best first; labels: (n,). Returns the at most ``most`` indices that stay, best first.
    """
    area = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    left: NDArray[np.int64] = np.arange(len(corners))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(int(first))
        low = np.maximum(corners[left, :2], corners[first, :2])
        high = np.minimum(corners[left, 2:], corners[first, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        overlap = shared / np.maximum(area[left] + area[first] - shared, 1e-12)
        left = left[(overlap <= iou) | (labels[left] != labels[first])]
    return np.array(kept, dtype=np.int64)
