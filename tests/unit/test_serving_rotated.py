"""Decoding and suppression of rotated boxes, on made-up outputs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from custom_ai.serving.decode import MAX_BOXES, letterbox
from custom_ai.serving.decode_rotated import decode_rotated, probable_iou, suppress_rotated
from custom_ai.training.yolo import prepare_environment

CLASSES = ("a", "b")


def raw(rows: list[tuple[float, ...]]) -> NDArray[np.float32]:
    """Anchors as rows (x, y, w, h, score of a, score of b, angle) -> (7, anchors)."""
    return np.array(rows, np.float32).T


SQUARE = letterbox(np.zeros((64, 64, 3), np.uint8), 64)[1]


def test_corners_are_clockwise_from_the_top_left() -> None:
    (box,) = decode_rotated(raw([(32, 32, 32, 16, 0.9, 0.1, 0.0)]), SQUARE, CLASSES, 0.25)
    assert (box.label, box.score) == ("a", pytest.approx(0.9))
    assert np.array(box.outline) * 64 == pytest.approx(np.array([[16, 24], [48, 24], [48, 40], [16, 40]]))
    (turned,) = decode_rotated(raw([(32, 32, 32, 16, 0.9, 0.1, math.radians(30))]), SQUARE, CLASSES, 0.25)
    first, second = np.array(turned.outline[:2]) * 64
    assert math.degrees(math.atan2(*(second - first)[::-1])) == pytest.approx(30, abs=1e-4)  # clockwise: y is down
    assert np.linalg.norm(second - first) == pytest.approx(32, abs=1e-4)
    centre = np.array(turned.outline).mean(axis=0) * 64
    assert centre == pytest.approx([32, 32], abs=1e-4)
    assert (turned.x1, turned.y2) == (
        min(x for x, _ in turned.outline),
        max(y for _, y in turned.outline),
    )


@pytest.mark.parametrize("degrees", [-170, -90, -46, -44, 0, 44, 46, 90, 134, 180, 400])
def test_the_first_side_never_leans_more_than_45_degrees(degrees: float) -> None:
    """The same rectangle, whichever of its four descriptions the network uses."""
    angle = math.radians(degrees)
    (box,) = decode_rotated(raw([(32, 32, 30, 10, 0.9, 0.1, angle)]), SQUARE, CLASSES, 0.25)
    corners = np.array(box.outline) * 64
    side = corners[1] - corners[0]
    assert abs(math.degrees(math.atan2(side[1], side[0]))) <= 45.001
    x, y = np.array([-15, 15, 15, -15]), np.array([-5, -5, 5, 5])
    wanted = np.stack([32 + x * np.cos(angle) - y * np.sin(angle), 32 + x * np.sin(angle) + y * np.cos(angle)], axis=1)
    gaps = np.linalg.norm(corners[:, None] - wanted[None], axis=2)
    assert gaps.min(axis=1).max() < 1e-4


def test_rectangles_in_pixels_of_the_picture() -> None:
    """A picture that is not square, letterboxed with padding: right angles stay right angles."""
    _, place = letterbox(np.zeros((427, 640, 3), np.uint8), 320)
    (box,) = decode_rotated(raw([(160, 112, 100, 40, 0.1, 0.9, 0.5)]), place, CLASSES, 0.25)
    corners = np.array(box.outline) * [640, 427]
    across, down = corners[1] - corners[0], corners[3] - corners[0]
    assert across @ down == pytest.approx(0, abs=1e-3)
    assert (np.linalg.norm(across), np.linalg.norm(down)) == pytest.approx((200, 80), rel=0.005)
    assert corners.mean(axis=0) == pytest.approx([320, 213.5], abs=1)


def test_bounds_are_clipped_and_corners_are_not() -> None:
    outside = (-30.0, -30.0, 20.0, 20.0, 0.9, 0.0, 0.3)
    half_out = (0.0, 32.0, 30.0, 10.0, 0.8, 0.0, 0.3)
    (box,) = decode_rotated(raw([outside, half_out]), SQUARE, CLASSES, 0.25)
    assert box.x1 == 0.0
    assert min(x for x, _ in box.outline) < 0


def test_at_most_300() -> None:
    many = [(float(x), float(y), 0.5, 0.5, 0.9, 0.0, 0.2) for x in range(2, 62) for y in range(2, 62)]
    assert len(decode_rotated(raw(many), SQUARE, CLASSES, 0.25)) == MAX_BOXES
    assert decode_rotated(raw([(30, 30, 10, 10, 0.1, 0.2, 0.0)]), SQUARE, CLASSES, 0.25) == ()


def test_suppression_knows_the_angle_and_the_class() -> None:
    cross = np.array([[32, 32, 40, 6, 0.0], [32, 32, 40, 6, math.pi / 2], [32, 32, 40, 6, 0.05], [33, 32, 40, 6, 0.0]])
    assert suppress_rotated(cross, np.array([0, 0, 0, 1]), 0.7).tolist() == [0, 1, 3]
    # The same rectangle described in another way is the same rectangle.
    same = np.array([[32, 32, 40, 6, 0.2], [32, 32, 6, 40, 0.2 + math.pi / 2]])
    assert suppress_rotated(same, np.array([0, 0]), 0.7).tolist() == [0]


def test_probable_iou_equals_that_of_ultralytics(tmp_path: Path) -> None:
    prepare_environment(tmp_path)
    from ultralytics.utils.metrics import batch_probiou

    random = np.random.default_rng(0)
    boxes = np.concatenate([random.uniform(0, 60, (40, 2)), random.uniform(5, 60, (40, 2))], axis=1)
    boxes = np.concatenate([boxes, random.uniform(-3, 3, (40, 1))], axis=1)
    theirs = batch_probiou(boxes, boxes).numpy()
    ours = np.stack([probable_iou(box, boxes) for box in boxes])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_suppression_keeps_what_ultralytics_keeps(tmp_path: Path) -> None:
    """Theirs drops a box also for the sake of one that is dropped itself (fast NMS), so it keeps fewer."""
    prepare_environment(tmp_path)
    import torch
    from ultralytics.utils.metrics import batch_probiou
    from ultralytics.utils.nms import TorchNMS

    random = np.random.default_rng(1)
    centres = random.uniform(0, 60, (12, 2))[random.integers(0, 12, 300)] + random.normal(0, 2, (300, 2))
    boxes = np.concatenate([centres, random.uniform(8, 30, (300, 2)), random.uniform(-1, 1, (300, 1))], axis=1)
    scores = torch.linspace(0.9, 0.1, 300)
    theirs = TorchNMS.fast_nms(torch.tensor(boxes), scores, 0.7, iou_func=batch_probiou).tolist()
    ours = suppress_rotated(boxes, np.zeros(300, np.int64), 0.7).tolist()
    assert set(theirs) <= set(ours)
    assert len(theirs) < len(ours) < 300
    for place, one in enumerate(ours[1:], 1):
        assert max(probable_iou(boxes[one], boxes[ours[:place]])) <= 0.7


def test_the_limit_stands_for_an_iou_of_about_six_tenths() -> None:
    boxes = np.array([[0.0, 0.0, 40.0, 10.0, 0.4], [10.0 * math.cos(0.4), 10.0 * math.sin(0.4), 40.0, 10.0, 0.4]])
    assert probable_iou(boxes[0], boxes[1:])[0] == pytest.approx(0.7, abs=0.01)  # their IoU is 30 / 50
