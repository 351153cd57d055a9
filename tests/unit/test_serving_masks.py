"""From prototypes to polygons, on made-up outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from custom_ai.serving.decode import Letterbox, letterbox
from custom_ai.serving.decode_masks import MAX_CORNERS, STRIDE, decode_masks
from custom_ai.types import Box

CLASSES = ("a", "b")
SIDE = 256
PLACE = letterbox(np.zeros((SIDE, SIDE, 3), np.uint8), SIDE)[1]


def anchor(box: tuple[float, float, float, float], which: int, score: float = 0.9) -> list[float]:
    """A row: centre x, centre y, width, height, scores of a and b, 32 coefficients that choose one prototype."""
    return [*box, score, 0.0, *(float(number == which) for number in range(32))]


def prototypes(*distances: NDArray[np.float64]) -> NDArray[np.float32]:
    """(32, rows, columns), the first ones as given: positive inside of a shape."""
    made = np.full((32, *distances[0].shape), -1.0, np.float32)
    for number, distance in enumerate(distances):
        made[number] = distance
    return made


def grid(rows: int = SIDE // STRIDE, columns: int = SIDE // STRIDE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x y of the prototypes' pixels, in input pixels."""
    y, x = np.mgrid[:rows, :columns]
    return (x + 0.5) * STRIDE, (y + 0.5) * STRIDE


def disc(x0: float, y0: float, radius: float) -> NDArray[np.float64]:
    x, y = grid()
    return radius - np.hypot(x - x0, y - y0)


def shapes(rows: list[list[float]], masks: NDArray[np.float32], place: Letterbox = PLACE) -> tuple[Box, ...]:
    return decode_masks(np.array(rows, np.float32).T, masks, place, CLASSES, 0.25)


def polygon(box: Box, width: float = SIDE, height: float = SIDE) -> shapely.Polygon:
    return shapely.Polygon([(x * width, y * height) for x, y in box.outline])


def iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    return float(one.intersection(other).area / one.union(other).area)


@pytest.mark.parametrize("radius", [8.0, 30.0, 100.0])
def test_a_disc_becomes_a_fine_polygon(radius: float) -> None:
    (box,) = shapes([anchor((128, 128, 2 * radius + 8, 2 * radius + 8), 0)], prototypes(disc(128, 128, radius)))
    assert 8 <= len(box.outline) <= 40
    assert iou(polygon(box), shapely.Point(128, 128).buffer(radius)) > (0.9 if radius < 10 else 0.97)
    x, y = zip(*box.outline, strict=True)
    assert (box.x1, box.y1, box.x2, box.y2) == (min(x), min(y), max(x), max(y))


def test_masks_end_at_the_box_and_at_the_edge_of_the_picture() -> None:
    everywhere = prototypes(np.ones((64, 64)))
    (box,) = shapes([anchor((100, 80, 60, 40), 0)], everywhere)
    assert (box.x1 * SIDE, box.y1 * SIDE, box.x2 * SIDE, box.y2 * SIDE) == pytest.approx((70, 60, 130, 100), abs=0.6)
    _, wide = letterbox(np.zeros((200, 256, 3), np.uint8), 256)  # 12 rows of padding above and below
    (box,) = shapes([anchor((128, 20, 200, 100), 0)], prototypes(np.ones((56, 64))), wide)
    assert (box.y1, box.y2) == pytest.approx((0, (70 - wide.top) / 200), abs=0.005)


def test_shapes_come_back_to_a_picture_of_another_size() -> None:
    _, place = letterbox(np.zeros((427, 640, 3), np.uint8), 320)
    x, y = grid(56, 80)
    x0, y0 = (0.25 * 640 * place.scale_x + place.left, 0.5 * 427 * place.scale_y + place.top)
    (box,) = shapes([anchor((x0, y0, 60, 60), 0)], prototypes(24 - np.hypot(x - x0, y - y0)), place)
    drawn = polygon(box, 640, 427)
    assert (drawn.centroid.x, drawn.centroid.y) == pytest.approx((160, 213.5), abs=0.5)
    assert drawn.area == pytest.approx(math.pi * 48**2, rel=0.03)


def test_the_largest_part_without_holes() -> None:
    ring = np.minimum(disc(90, 128, 50), -disc(90, 128, 25))
    both = np.maximum(ring, disc(200, 128, 30))
    (box,) = shapes([anchor((128, 128, 240, 200), 0)], prototypes(both))
    assert iou(polygon(box), shapely.Point(90, 128).buffer(50)) > 0.96


def test_empty_and_tiny_masks_are_dropped() -> None:
    nothing = prototypes(np.full((64, 64), -1.0))
    assert shapes([anchor((128, 128, 60, 60), 0)], nothing) == ()
    everywhere = prototypes(np.ones((64, 64)))
    assert shapes([anchor((128, 128, 0.01, 60), 0)], everywhere) == ()
    assert shapes([anchor((-50, -50, 20, 20), 0)], everywhere) == ()
    assert shapes([anchor((128, 128, 60, 60), 0, score=0.1)], everywhere) == ()


def test_never_more_than_200_corners() -> None:
    x, y = grid()
    angle = np.arctan2(y - 128, x - 128)
    star = 60 + 55 * np.sin(40 * angle) - np.hypot(x - 128, y - 128)
    (box,) = shapes([anchor((128, 128, 250, 250), 0)], prototypes(star))
    assert 3 <= len(box.outline) <= MAX_CORNERS


def test_suppression_is_by_the_boxes() -> None:
    masks = prototypes(disc(100, 128, 40), disc(104, 128, 40))
    rows = [anchor((100, 128, 80, 80), 0, 0.8), anchor((104, 128, 80, 80), 1, 0.9)]
    (box,) = shapes(rows, masks)
    assert box.score == pytest.approx(0.9)
