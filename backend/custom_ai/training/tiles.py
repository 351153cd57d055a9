"""Pieces of the training pictures, for networks that will look at pictures in pieces (see ``serving.pieces``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from custom_ai.serving.pieces import Piece, pieces
from custom_ai.shapes import bounds, clipped
from custom_ai.training.contract import TrainImage, TrainSet
from custom_ai.types import Box, ImageSize, LabelKind

VISIBLE = 0.3
"""Shapes of which a piece shows less (of the area of the upright box) are no examples there."""
EMPTY = 0.5
"""Pieces that show nothing, as a share of those that show something: most of a large picture is background."""

KEPT = 2
"""Pieces are kept at most so many times as large as the network's input: each is read again for every pass."""


def cut(data: TrainSet, share: float, image_size: int, folder: Path) -> TrainSet:
    """The training pictures and their pieces, which are written into ``folder``; nothing is held out any more.

    All pieces with shapes are taken, and of the others some, evenly spread. The pictures are numbered anew.
    image_size: the longer side of the network's input.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[TrainImage] = []
    for image in data.train:
        with Image.open(image.path) as file:
            pixels = file.convert("RGB")
        whole = pieces(image.size, share)[0]
        for piece, boxes in ((whole, image.boxes), *_chosen(image, share, data.kind)):
            part = pixels.crop((piece.x1, piece.y1, piece.x2, piece.y2))
            part.thumbnail((KEPT * image_size, KEPT * image_size), reducing_gap=3.0)
            path = folder / f"{len(made)}.jpg"
            part.save(path, "JPEG", quality=95, subsampling=0)
            made.append(TrainImage(len(made), path, ImageSize(*part.size), boxes))
    return TrainSet(data.classes, tuple(made), (), data.kind)


def _chosen(image: TrainImage, share: float, kind: LabelKind) -> Iterator[tuple[Piece, tuple[Box, ...]]]:
    empty = []
    full = 0
    for piece in pieces(image.size, share)[1:]:
        boxes = tuple(part for box in image.boxes if (part := _part(box, piece, image.size, kind)))
        if boxes:
            full += 1
            yield piece, boxes
        else:
            empty.append(piece)
    wanted = min(max(round(EMPTY * full), 1), len(empty))
    for number in range(wanted):
        yield empty[number * len(empty) // wanted], ()


def _part(box: Box, piece: Piece, size: ImageSize, kind: LabelKind) -> Box | None:
    """What a piece shows of a shape, in fractions of the piece; None: too little."""
    width, height = piece.x2 - piece.x1, piece.y2 - piece.y1

    def inside(x: float, y: float) -> tuple[float, float]:
        return (x * size.width - piece.x1) / width, (y * size.height - piece.y1) / height

    (x1, y1), (x2, y2) = inside(box.x1, box.y1), inside(box.x2, box.y2)
    outline = tuple(inside(x, y) for x, y in box.outline)
    if kind is LabelKind.POLYGON and outline:
        outline = clipped(outline)
        if len(outline) < 3:
            return None
        seen = bounds(outline)
    else:
        seen = (x1, y1, x2, y2)
    left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in seen)
    if left >= right or top >= bottom or (right - left) * (bottom - top) < VISIBLE * (x2 - x1) * (y2 - y1):
        return None
    return replace(box, x1=left, y1=top, x2=right, y2=bottom, outline=outline)
