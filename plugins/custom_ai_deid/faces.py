"""Where the faces are: several looks at an image, put together.

The networks know faces of 10 to some hundred pixels that stand about upright. So the image is looked at enlarged for
small faces, at half its size and smaller for large ones, in pieces, and from all sides, because nobody can say which
one is up. The figures behind the choices are in docs/deidentification.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import cv2
import numpy as np

from custom_ai_deid.areas import Area, merge, turn_back
from custom_ai_deid.runtime import Pixels

STRIDE = 32
"""Sides of what the networks see are multiples of it."""
PIECE = 1184
"""Larger images are looked at in pieces of at most so many pixels as the network sees them: memory stays bounded, and
several are looked at at the same time ..."""
LAP = 80
"""... which overlap by so much: smaller faces are whole in one of them, the others are found in a smaller look."""
STEP = 3.5
"""Each look that takes several pieces is followed by one that is so much smaller."""


class Network(Protocol):
    """Finds faces. May be called by any number of threads."""

    name: str
    """For reports."""
    largest: float
    """Pixels; of larger faces it is not sure."""
    slots: int
    """So many images are best looked at at the same time."""

    def find(self, pixels: Pixels, min_score: float) -> list[Area]:
        """Faces, not yet merged. pixels: (height, width, 3) RGB, sides multiples of 32."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How thoroughly faces are looked for."""

    min_score: float = 0.3
    """An anonymiser's threshold: a face that was missed costs more than an area that was none."""
    scales: tuple[float, ...] = (1.5, 0.5)
    """Of the looks; smaller ones follow until the image is one piece."""
    turned: float = 0.5
    """The scale of the looks from the other three sides, followed by smaller ones; 0: there are none."""
    mirror: bool = False
    """Look at the mirror images, too."""

    def __post_init__(self) -> None:
        if not 0.0 < self.min_score < 1.0:
            raise ValueError(f"expected a score between 0 and 1, got {self.min_score}")
        if not self.scales or not all(0.1 <= scale <= 4.0 for scale in self.scales):
            raise ValueError(f"expected scales from 0.1 to 4, got {self.scales}")
        if not 0.0 <= self.turned <= 4.0:
            raise ValueError(f"expected a scale from 0 to 4, got {self.turned}")


THOROUGH: Mapping[str, Any] = MappingProxyType({"scales": (2.0, 1.0, 0.5), "turned": 1.0, "mirror": True})
"""Everything, for about four times the time."""

Way = Callable[[Area], Area]
"""From what was looked at to the image."""


class FaceFinder:
    """Stateless per image; may be called by any number of threads."""

    def __init__(self, networks: tuple[Network, ...], looking: Looking) -> None:
        """networks: what any of them finds is a face."""
        self.networks, self.looking = networks, looking
        slots = max(network.slots for network in networks)
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="faces") if slots > 1 else None

    def find(self, pixels: Pixels) -> list[Area]:
        """Faces in an upright RGB image (height, width, 3), surest first; without any margin."""
        looks = [*self._looks(np.ascontiguousarray(pixels))]
        seen = self._pool.map(lambda look: look(), looks) if self._pool else (look() for look in looks)
        return merge(area for some in seen for area in some)

    def _looks(self, pixels: Pixels) -> Iterator[Callable[[], list[Area]]]:
        """What is to be done, each independent of the others."""
        looking = self.looking
        height, width = pixels.shape[:2]
        longer = max(height, width)
        for scale in _scales(looking.scales, longer):
            yield from self._in_pieces(pixels, scale, lambda area: area, longer)
            if looking.mirror:
                yield from self._in_pieces(np.ascontiguousarray(pixels[:, ::-1]), scale, _mirror(width), longer)
        for scale in _scales((looking.turned,), longer) if looking.turned else ():
            small = _resized(pixels, scale)
            across, down = width / small.shape[1], height / small.shape[0]
            for quarters in (1, 2, 3):
                turned = np.ascontiguousarray(np.rot90(small, quarters))
                way = _upright(quarters, small.shape[1], small.shape[0], across, down)
                yield from self._in_pieces(turned, 1.0, way, max(small.shape[:2]))

    def _in_pieces(self, pixels: Pixels, scale: float, way: Way, longer: int) -> Iterator[Callable[[], list[Area]]]:
        last = longer * scale <= PIECE
        for x1, x2 in _spans(pixels.shape[1], scale):
            for y1, y2 in _spans(pixels.shape[0], scale):
                for network in self.networks:
                    place = (x1, y1, x2, y2)
                    yield lambda network=network, place=place: [  # type: ignore[misc]
                        way(area) for area in self._look(network, pixels, place, scale, last)
                    ]

    def _look(
        self, network: Network, pixels: Pixels, place: tuple[int, int, int, int], scale: float, last: bool
    ) -> list[Area]:
        """One network, at one scale, at one place of the image. last: no smaller look will follow."""
        x1, y1, x2, y2 = place
        piece = _resized(pixels[y1:y2, x1:x2], scale)
        height, width = piece.shape[:2]
        across, down = (x2 - x1) / width, (y2 - y1) / height
        cut = (x1 > 0, y1 > 0, x2 < pixels.shape[1], y2 < pixels.shape[0])
        return [
            replace(
                area,
                x1=x1 + area.x1 * across,
                y1=y1 + area.y1 * down,
                x2=x1 + area.x2 * across,
                y2=y1 + area.y2 * down,
            )
            for area in merge(network.find(_padded(piece), self.looking.min_score))
            if area.x1 < width
            and area.y1 < height
            and (last or area.size <= network.largest)
            and not _is_part(area, width, height, cut)
        ]


def _scales(wanted: Sequence[float], longer: int) -> list[float]:
    """These, and smaller ones until the image is one piece."""
    scales = sorted({*wanted}, reverse=True)
    while longer * scales[-1] > PIECE:
        scales.append(scales[-1] / STEP)
    return scales


def _is_part(area: Area, width: int, height: int, cut: tuple[bool, bool, bool, bool]) -> bool:
    """Whether it reaches the edge of a piece where the image goes on: it may be half a face.

    The whole face is in the next piece or, when it is larger than LAP, in a smaller look. If the half were kept, it
    might be surer than the whole and take its place.
    """
    near = area.size / 10
    reaches = (area.x1 < near, area.y1 < near, area.x2 > width - near, area.y2 > height - near)
    return area.size > LAP / 2 and any(edge and reached for edge, reached in zip(cut, reaches, strict=True))


def _resized(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1.0:
        return pixels
    height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    result: Pixels = cv2.resize(pixels, (width, height), interpolation=way)
    return result


def _spans(length: int, scale: float) -> list[tuple[int, int]]:
    """Where pieces begin and end, in pixels of the image: as few as are needed, of the same length."""
    piece, lap = int(PIECE / scale), int(LAP / scale)
    if length <= piece:
        return [(0, length)]
    count = -(-(length - lap) // (piece - lap))
    side = -(-(length + (count - 1) * lap) // count)
    starts = [round(number * (length - side) / (count - 1)) for number in range(count)]
    return [(start, start + side) for start in starts]


def _padded(piece: Pixels) -> Pixels:
    """With grey to the right and below, to a size that the networks take."""
    height, width = piece.shape[:2]
    padded = np.full((-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, 3), 117, np.uint8)
    padded[:height, :width] = piece
    return padded


def _mirror(width: int) -> Way:
    return lambda area: replace(area, x1=width - area.x2, x2=width - area.x1)


def _upright(quarters: int, width: int, height: int, across: float, down: float) -> Way:
    """From a turned image to the upright one of width, height, and from that to one that is so much larger."""

    def way(area: Area) -> Area:
        back = turn_back(area, quarters, width, height)
        return replace(back, x1=back.x1 * across, y1=back.y1 * down, x2=back.x2 * across, y2=back.y2 * down)

    return way
