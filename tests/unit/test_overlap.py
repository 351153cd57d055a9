"""Shapes as rows, and how far outlines overlap."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from custom_ai import geometry
from custom_ai.overlap import agreement, disagreement, iou
from custom_ai.shapes import bounds, corners, from_row, is_flat, is_rectangle, shortened, tidy, to_row, turned, within
from custom_ai.types import Box, Outline


def outlined(*points: tuple[float, float], label: str = "a") -> Box:
    return Box(label, *bounds(within(points)), outline=points)


SQUARE = outlined((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6))
DIAMOND = outlined((0.4, 0.2), (0.6, 0.4), (0.4, 0.6), (0.2, 0.4))
# Like a U: its bounding box is the square, its middle is empty.
LETTER_U = outlined((0.2, 0.2), (0.3, 0.2), (0.3, 0.5), (0.5, 0.5), (0.5, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6))
BOW_TIE = outlined((0.2, 0.2), (0.6, 0.6), (0.6, 0.2), (0.2, 0.6))
INSIDE_THE_U = Box("a", 0.32, 0.22, 0.48, 0.48)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (SQUARE, SQUARE, 1.0),
        (SQUARE, Box("a", 0.2, 0.2, 0.6, 0.6), 1.0),
        (Box("a", 0.2, 0.2, 0.6, 0.6), Box("a", 0.2, 0.2, 0.6, 0.6), 1.0),
        (SQUARE, DIAMOND, 0.5),
        (SQUARE, LETTER_U, 10 / 16),
        (INSIDE_THE_U, LETTER_U, 0.0),  # the bounding boxes overlap, the shapes do not
        (SQUARE, BOW_TIE, 0.5),
        (BOW_TIE, BOW_TIE, 1.0),
        (SQUARE, Box("a", 0.6, 0.2, 0.9, 0.6), 0.0),  # side by side
        (outlined((-0.2, 0.2), (0.2, 0.2), (0.2, 0.6), (-0.2, 0.6)), Box("a", 0, 0.2, 0.2, 0.6), 0.5),
    ],
)
def test_iou(a: Box, b: Box, expected: float) -> None:
    assert iou(a, b) == pytest.approx(expected, abs=1e-9)
    assert iou(b, a) == pytest.approx(expected, abs=1e-9)


def test_iou_of_upright_outlines_is_that_of_boxes() -> None:
    dice = random.Random(1)
    for _ in range(300):
        boxes = []
        for _ in range(2):
            x, y = dice.uniform(0, 0.6), dice.uniform(0, 0.6)
            boxes.append(Box("a", x, y, x + dice.uniform(0.05, 0.4), y + dice.uniform(0.05, 0.4)))
        one, other = boxes
        expected = geometry.iou(one, other)
        assert iou(one, other) == expected
        assert iou(outlined(*corners(one)), other) == pytest.approx(expected, abs=1e-9)


def test_iou_does_not_depend_on_the_shape_of_the_image() -> None:
    """Rotated boxes are rectangles in pixels; in fractions they lean, and overlap as much."""
    values = []
    for width, height in ((1000, 1000), (1000, 250)):
        boxes = [
            outlined(*((u / width, v / height) for u, v in turned(400, 100, 120, 60, degrees))) for degrees in (20, 50)
        ]
        values.append(iou(*boxes))
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    assert 0.2 < values[0] < 0.8


def test_iou_never_fails_whatever_was_drawn() -> None:
    dice = random.Random(2)
    for _ in range(300):
        a, b = _scribble(dice), _scribble(dice)
        value = iou(a, b)
        assert 0.0 <= value <= 1.0
        assert iou(b, a) == pytest.approx(value, abs=1e-9)


def _scribble(dice: random.Random) -> Box:
    """Few places, so that sides meet, lie on each other and cross."""
    while True:
        points = tuple((dice.randint(0, 5) / 5, dice.randint(0, 5) / 5) for _ in range(dice.randint(3, 30)))
        if not is_flat(points):
            return outlined(*points)


def test_agreement_and_disagreement_look_at_outlines() -> None:
    assert agreement([LETTER_U], [SQUARE]) == 1.0
    assert agreement([DIAMOND], [LETTER_U]) == 0.0
    assert disagreement([[LETTER_U], [LETTER_U], [INSIDE_THE_U], [INSIDE_THE_U]]) == pytest.approx(4 / 6)


# Rows


@pytest.mark.parametrize(
    ("box", "last", "row"),
    [
        (Box("a", 0.1, 0.2, 0.3, 0.4), False, ["a", 0.1, 0.2, 0.3, 0.4, False]),
        (Box("a", 0.1, 0.2, 0.3, 0.4, untouched=True), True, ["a", 0.1, 0.2, 0.3, 0.4, True]),
        (Box("a", 0.1, 0.2, 0.3, 0.4, 0.5), 0.5, ["a", 0.1, 0.2, 0.3, 0.4, 0.5]),
        (Box("a", 0.1, 0.2, 0.3, 0.4, 1.0), 1.0, ["a", 0.1, 0.2, 0.3, 0.4, 1.0]),
        (Box("a", 0.1, 0.2, 0.3, 0.4), None, ["a", 0.1, 0.2, 0.3, 0.4, None]),
        (DIAMOND, False, ["a", 0.2, 0.2, 0.6, 0.6, False, [[0.4, 0.2], [0.6, 0.4], [0.4, 0.6], [0.2, 0.4]]]),
    ],
)
def test_rows(box: Box, last: Any, row: list[Any]) -> None:
    made = to_row(box, last)
    assert made == row
    assert from_row(json.loads(json.dumps(made))) == box


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ((), ()),
        (((1, 1), (1, 1)), ((1, 1),)),
        (((1, 1), (1, 1), (2, 2), (2, 2), (3, 1), (1, 1)), ((1, 1), (2, 2), (3, 1))),
        (((1, 1), (2, 2), (1, 1), (3, 1)), ((1, 1), (2, 2), (1, 1), (3, 1))),  # not neighbours
    ],
)
def test_tidy(points: Outline, kept: Outline) -> None:
    assert tidy(points) == kept


def test_a_shortened_rectangle_keeps_its_middle_and_angle() -> None:
    dice = random.Random(4)
    for _ in range(100):
        long, short, degrees = dice.uniform(2, 9), dice.uniform(0.1, 1.9), dice.uniform(0, 360)
        sides = (long, short) if dice.random() < 0.5 else (short, long)
        outline = turned(dice.uniform(-5, 5), dice.uniform(-5, 5), *sides, degrees)
        half = shortened(outline, 0.5)
        assert is_rectangle(half)
        lengths = sorted((math.dist(half[0], half[1]), math.dist(half[1], half[2])))
        assert lengths == pytest.approx(sorted((long / 2, short)))
        for axis in (0, 1):
            assert sum(p[axis] for p in half) == pytest.approx(sum(p[axis] for p in outline))
