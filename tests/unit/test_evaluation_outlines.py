"""Scores of rotated boxes and polygons, checked against the reference implementation of COCO."""

from __future__ import annotations

import math
import random
import time
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from custom_ai.overlap import iou
from custom_ai.training.evaluation import evaluate
from custom_ai.training.matching import overlaps
from custom_ai.training.outlines import outline_overlaps
from custom_ai.types import Box, Outline

CLASSES = ("a", "b")
SIDE = 1000
"""Pictures of the reference have so many pixels on each side."""
Shapes = list[tuple[Box, ...]]


def shape(label: str, outline: Outline, score: float | None = None) -> Box:
    xs, ys = zip(*outline, strict=True)
    clip = [min(max(value, 0.0), 1.0) for value in (min(xs), min(ys), max(xs), max(ys))]
    return Box(label, *clip, score=score, outline=outline)


def random_polygon(dice: random.Random, x: float, y: float, radius: float, corners: int = 9) -> Outline:
    """A star-shaped polygon within the picture."""
    turns = sorted(dice.uniform(0, 2 * math.pi) for _ in range(corners))
    reach = [dice.uniform(0.5, 1) * radius for _ in turns]
    return tuple((x + r * math.cos(turn), y + r * math.sin(turn)) for turn, r in zip(turns, reach, strict=True))


def moved(dice: random.Random, outline: Outline, by: float) -> Outline:
    x, y = dice.gauss(0, by), dice.gauss(0, by)
    points = ((u + x + dice.gauss(0, by / 2), v + y + dice.gauss(0, by / 2)) for u, v in outline)
    return tuple((min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)) for u, v in points)


def random_case(seed: int, images: int, shapes: int = 7) -> tuple[Shapes, Shapes]:
    """Drawn polygons, and predictions that are near some of them, doubled, of the wrong class, or free."""
    dice = random.Random(seed)
    truth, predicted = [], []
    for _ in range(images):
        real, guessed = [], []
        for _ in range(dice.randint(shapes // 2, shapes)):
            outline = random_polygon(dice, dice.uniform(0.2, 0.8), dice.uniform(0.2, 0.8), dice.uniform(0.08, 0.2))
            label = dice.choice(CLASSES)
            real.append(shape(label, outline))
            for _ in range(dice.randint(0, 2)):
                said = label if dice.random() < 0.8 else dice.choice(CLASSES)
                guessed.append(shape(said, moved(dice, outline, 0.012), dice.random()))
        truth.append(tuple(real))
        predicted.append(tuple(guessed))
    return truth, predicted


def mask(one: Box) -> Any:
    flat = [value * SIDE for corner in one.outline for value in corner]
    return rle.merge(rle.frPyObjects([flat], SIDE, SIDE))


def reference(truth: Shapes, predicted: Shapes) -> tuple[float, float]:
    """mAP50-95 and mAP50 of pycocotools, by masks."""

    def rows(all_shapes: Shapes) -> list[dict[str, object]]:
        made: list[dict[str, object]] = []
        for number, some in enumerate(all_shapes):
            for one in some:
                encoded = mask(one)
                made.append(
                    {
                        "id": len(made) + 1,
                        "image_id": number + 1,
                        "category_id": CLASSES.index(one.label) + 1,
                        "segmentation": encoded,
                        "area": float(rle.area(encoded)),
                        "iscrowd": 0,
                        "score": one.score,
                    }
                )
        return made

    with redirect_stdout(StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": number + 1, "width": SIDE, "height": SIDE} for number in range(len(truth))],
            "categories": [{"id": number + 1, "name": label} for number, label in enumerate(CLASSES)],
            "annotations": rows(truth),
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(rows(predicted)), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


@pytest.mark.parametrize(("seed", "images"), [(0, 2), (1, 12), (2, 40)])
def test_average_precision_equals_pycocotools_on_masks(seed: int, images: int) -> None:
    """The IoU of masks of whole pixels differs by up to 0.002 from the exact one, so that a few pairs lie on the
    other side of one of the ten limits: each of them is worth 0.004 here."""
    truth, predicted = random_case(seed, images)
    for real, guessed in zip(truth, predicted, strict=True):
        theirs = rle.iou([mask(one) for one in guessed], [mask(one) for one in real], [0] * len(real))
        if guessed:
            np.testing.assert_allclose(outline_overlaps(guessed, real), theirs, atol=0.003)
    ours = evaluate(truth, predicted, CLASSES, resamples=0)
    map50_95, map50 = reference(truth, predicted)
    assert 0.1 < map50 < 0.99
    assert ours.map50 == pytest.approx(map50, abs=0.01)
    assert ours.map50_95 == pytest.approx(map50_95, abs=0.005)


def test_upright_outlines_give_what_boxes_give() -> None:
    dice = random.Random(3)
    boxes = []
    for _ in range(30):
        x, y = dice.uniform(0, 0.7), dice.uniform(0, 0.7)
        boxes.append(Box("a", x, y, x + dice.uniform(0.05, 0.3), y + dice.uniform(0.05, 0.3), dice.random()))
    outlined = [
        replace(box, outline=((box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2))) for box in boxes
    ]
    corners = np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes])
    np.testing.assert_allclose(outline_overlaps(outlined, boxes), overlaps(corners, corners), atol=1e-9)
    assert evaluate([tuple(outlined)], [tuple(outlined)], ("a",)) == evaluate([tuple(boxes)], [tuple(boxes)], ("a",))


def test_overlaps_are_those_of_the_vote() -> None:
    """Also for outlines that cross themselves, that lie outside of the picture, or are repeated."""
    truth, predicted = random_case(5, 6)
    bow = shape("a", ((0.2, 0.2), (0.6, 0.6), (0.6, 0.2), (0.2, 0.6)))
    outside = shape("a", ((-0.2, 0.3), (0.5, -0.1), (0.6, 0.2), (-0.1, 0.6)))
    some = [*(box for boxes in truth for box in boxes), bow, outside, bow]
    others = [*(box for boxes in predicted for box in boxes), bow, outside, Box("a", 0.1, 0.1, 0.5, 0.4)]
    ours = outline_overlaps(some, others)
    np.testing.assert_allclose(ours, [[iou(one, other) for other in others] for one in some], atol=1e-9)
    assert ours[len(some) - 1, len(others) - 3] == pytest.approx(1)
    assert outline_overlaps(some, []).shape == (len(some), 0)
    assert outline_overlaps([], some).shape == (0, len(some))


def test_a_turned_box_is_not_its_bounding_box() -> None:
    thin = shape("a", ((0.1, 0.15), (0.15, 0.1), (0.9, 0.85), (0.85, 0.9)))
    crossed = shape("a", ((0.85, 0.1), (0.9, 0.15), (0.15, 0.9), (0.1, 0.85)), 0.9)
    scores = evaluate([(thin,)], [(crossed,)], ("a",))
    assert scores.map50 == 0.0
    assert evaluate([(thin,)], [(replace(thin, score=0.9),)], ("a",)).map50_95 == 1.0


def test_a_hundred_crowded_pictures_take_less_than_two_seconds() -> None:
    truth, predicted = random_case(6, 100, shapes=50)
    started = time.process_time()  # other work on the machine does not count
    evaluate(truth, predicted, CLASSES)
    assert time.process_time() - started < 2.0
