"""Large pictures with small objects are looked at in pieces, and once as a whole for what is larger than a piece.

As in SAHI (Akyon, Altinuc, Temizel 2022, arXiv:2202.06934), but a shape that a piece has cut off is dropped there:
pieces overlap so much that whatever is small is whole in one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from custom_ai.serving.decode import Letterbox, letterbox, suppress
from custom_ai.types import Box, ImageSize

LAP = 0.25
"""Neighbours overlap by at least this share of a piece's side."""
LARGE = 0.2
"""The look at the whole picture counts for shapes whose longer side is at least this share of a piece's; it sees
smaller ones, too, but not where exactly they lie."""
EDGE = 0.01
"""A shape that ends within this share of a piece's side of its edge may be cut off there."""
IOU = 0.5
"""Of two shapes of one class from different pieces that overlap more, the less certain one is dropped."""
MOST = 1000


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle in pixels of the upright picture, x1 < x2 and y1 < y2."""

    x1: int
    y1: int
    x2: int
    y2: int


def pieces(size: ImageSize, share: float) -> list[Piece]:
    """The whole picture, and with ``share`` below 1 squares whose sides are that share of its longer side."""
    whole = Piece(0, 0, size.width, size.height)
    side = max(round(share * max(size.width, size.height)), 1)
    if share >= 1.0:
        return [whole]
    xs, ys = _starts(size.width, side), _starts(size.height, side)
    return [whole, *(Piece(x, y, min(x + side, size.width), min(y + side, size.height)) for y in ys for x in xs)]


@dataclass(frozen=True, slots=True)
class Input:
    """What the network gets of one piece."""

    pixels: NDArray[np.uint8]
    """(h, w, 3), h and w multiples of 32."""
    place: Letterbox
    piece: Piece


def cut(image: NDArray[np.uint8], image_size: int, share: float) -> list[Input]:
    """image: (height, width, 3) uint8. An input for each of its ``pieces``."""
    size = ImageSize(image.shape[1], image.shape[0])
    parts = pieces(size, share)
    return [Input(*letterbox(image[one.y1 : one.y2, one.x1 : one.x2], image_size), one) for one in parts]


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread; one piece where it reaches from end to end."""
    if length <= side:
        return [0]
    count = -(-(length - LAP * side) // (side * (1 - LAP)))
    return [round(number * (length - side) / (count - 1)) for number in range(int(count))]


def put_together(found: Sequence[tuple[Piece, Sequence[Box]]], size: ImageSize, share: float) -> tuple[Box, ...]:
    """What was found in the ``pieces`` of a picture, in fractions of each -> in fractions of the picture, best first.

    At most 1,000 shapes stay.
    """
    (_, in_whole), *in_pieces = found
    if not in_pieces:
        return tuple(in_whole)
    side = share * max(size.width, size.height)
    large = LARGE * side
    shapes = [box for box in in_whole if max((box.x2 - box.x1) * size.width, (box.y2 - box.y1) * size.height) >= large]
    for piece, boxes in in_pieces:
        shapes += [placed(box, piece, size) for box in boxes if not _cut_off(box, piece, size)]
    shapes.sort(key=lambda box: -(box.score or 0.0))
    corners = np.array(
        [(box.x1 * size.width, box.y1 * size.height, box.x2 * size.width, box.y2 * size.height) for box in shapes]
    ).reshape(-1, 4)
    names = sorted({box.label for box in shapes})
    labels = np.array([names.index(box.label) for box in shapes], np.int64)
    return tuple(shapes[number] for number in suppress(corners, labels, IOU, MOST))


def placed(box: Box, piece: Piece, size: ImageSize) -> Box:
    """From fractions of a piece to fractions of the picture."""
    width, height = (piece.x2 - piece.x1) / size.width, (piece.y2 - piece.y1) / size.height
    left, top = piece.x1 / size.width, piece.y1 / size.height
    x1, y1, x2, y2 = left + box.x1 * width, top + box.y1 * height, left + box.x2 * width, top + box.y2 * height
    outline = tuple((left + x * width, top + y * height) for x, y in box.outline)
    return replace(box, x1=x1, y1=y1, x2=min(x2, 1.0), y2=min(y2, 1.0), outline=outline)


def _cut_off(box: Box, piece: Piece, size: ImageSize) -> bool:
    """Whether it ends where the piece does and the picture goes on."""
    return (
        (piece.x1 > 0 and box.x1 < EDGE)
        or (piece.y1 > 0 and box.y1 < EDGE)
        or (piece.x2 < size.width and box.x2 > 1 - EDGE)
        or (piece.y2 < size.height and box.y2 > 1 - EDGE)
    )
