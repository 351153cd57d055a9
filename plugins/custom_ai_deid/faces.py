"""Where the faces are: several looks at an image, put together.

The network knows faces of 16 to 512 pixels that stand about upright. So the image is looked at larger for small
faces, smaller for very large ones, in pieces when it is huge, and turned where nobody can say which side is up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from custom_ai_deid.areas import Area, merge, turn_back
from custom_ai_deid.network import STRIDE, FaceNetwork

Pixels = NDArray[np.uint8]
PIECE = 1280
"""Larger images are looked at in pieces, so that memory stays bounded ..."""
LAP = 160
"""... which overlap by so much: smaller faces are whole in one of them, the others are found in OVERVIEW."""
OVERVIEW = 640
"""The longer side of the look for faces that are larger than a piece."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How thoroughly faces are looked for."""

    min_score: float = 0.3
    """An anonymiser's threshold: a face that was missed costs more than an area that was none."""
    scales: tuple[float, ...] = (1.0,)
    """Besides the overview."""
    enlarge_to: int = 5_000_000
    """Images with fewer pixels are enlarged for the network, at most to twice their width and height, because it knows
    no smaller faces than 16 pixels; that costs four times as much."""
    mirror: bool = False
    """Look at the mirror image, too."""
    turns: bool = False
    """Look at the image from all four sides (at half the size): where cameras wrote no orientation."""

    def __post_init__(self) -> None:
        if not 0.0 < self.min_score < 1.0:
            raise ValueError(f"expected a score between 0 and 1, got {self.min_score}")
        if not self.scales or not all(0.1 <= scale <= 4.0 for scale in self.scales):
            raise ValueError(f"expected scales from 0.1 to 4, got {self.scales}")


THOROUGH: Mapping[str, Any] = MappingProxyType({"scales": (0.5, 1.0), "mirror": True, "turns": True})
"""Everything, for about four times the time."""


class FaceFinder:
    """Stateless per image; may be called by any number of threads."""

    def __init__(self, networks: tuple[FaceNetwork, ...], looking: Looking) -> None:
        """networks: what any of them finds is a face."""
        self.networks, self.looking = networks, looking

    def find(self, pixels: Pixels) -> list[Area]:
        """Faces in an upright RGB image (height, width, 3), surest first; without any margin."""
        looking = self.looking
        found: list[Area] = []
        longer = max(pixels.shape[:2])
        larger = min(max((looking.enlarge_to / (pixels.shape[0] * pixels.shape[1])) ** 0.5, 1.0), 2.0)
        for scale in (larger * scale for scale in looking.scales):
            found += self._look(pixels, scale)
            if looking.mirror:
                found += [_mirrored(area, pixels.shape[1]) for area in self._look(pixels[:, ::-1], scale)]
        if longer > PIECE:
            found += self._look(pixels, OVERVIEW / longer)
        if looking.turns:
            for quarters in (1, 2, 3):
                height, width = pixels.shape[:2]
                seen = self._look(np.rot90(pixels, quarters), min(max(0.5, OVERVIEW / longer), 1.0))
                found += [turn_back(area, quarters, width, height) for area in seen]
        return merge(found)

    def _look(self, pixels: Pixels, scale: float) -> list[Area]:
        """All networks at one scale, in pixels of the image."""
        height, width = pixels.shape[:2]
        sized = _resized(pixels, scale)
        across, down = width / sized.shape[1], height / sized.shape[0]
        found: list[Area] = []
        for left, top, piece in _pieces(sized):
            batch = _padded(piece)[None]
            for network in self.networks:
                (seen,) = network.find(batch, self.looking.min_score)
                found += [
                    replace(
                        area,
                        x1=(area.x1 + left) * across,
                        y1=(area.y1 + top) * down,
                        x2=(area.x2 + left) * across,
                        y2=(area.y2 + top) * down,
                    )
                    for area in merge(seen)
                    if area.x1 < piece.shape[1] and area.y1 < piece.shape[0]
                ]
        return found


def _resized(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1.0:
        return pixels
    height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    result: Pixels = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=way)
    return result


def _pieces(pixels: Pixels) -> Iterator[tuple[int, int, Pixels]]:
    """(left, top, piece): the whole image, or pieces of it of at most PIECE pixels that overlap by LAP."""
    height, width = pixels.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            yield left, top, pixels[top : top + _side(height), left : left + _side(width)]


def _side(length: int) -> int:
    """Not a piece more for the sake of a few pixels."""
    return length if length <= PIECE + LAP else PIECE


def _starts(length: int) -> list[int]:
    if length <= PIECE + LAP:
        return [0]
    count = -(-(length - LAP) // (PIECE - LAP))
    return [round(number * (length - PIECE) / (count - 1)) for number in range(count)]


def _padded(piece: Pixels) -> Pixels:
    """With grey to the right and below, to a size that the network takes."""
    height, width = piece.shape[:2]
    padded = np.full((-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, 3), 117, np.uint8)
    padded[:height, :width] = piece
    return padded


def _mirrored(area: Area, width: int) -> Area:
    return replace(area, x1=width - area.x2, x2=width - area.x1)
