"""Scores, checked against the reference implementation of COCO."""

from __future__ import annotations

import random
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from custom_ai.training.evaluation import DEFAULT_THRESHOLD, evaluate
from custom_ai.training.matching import ap50_by_draw, mean_of_classes, picture_draws
from custom_ai.types import Box

CLASSES = ("a", "b", "c", "never")
SIDE = 1000
"""Pictures of the reference are this large, so that no object counts as small or is dropped."""


def random_case(seed: int, images: int) -> tuple[list[tuple[Box, ...]], list[tuple[Box, ...]]]:
    """Drawn boxes, and predictions that are near some of them, doubled, of the wrong class, or free."""
    dice = random.Random(seed)

    def box(label: str, x: float, y: float, w: float, h: float, score: float | None = None) -> Box:
        x, y = min(max(x, 0.0), 0.9), min(max(y, 0.0), 0.9)
        return Box(label, x, y, min(x + max(w, 0.02), 1.0), min(y + max(h, 0.02), 1.0), score)

    truth, predicted = [], []
    for _ in range(images):
        real, guessed = [], []
        for _ in range(dice.randint(0, 7)):
            x, y, w, h = dice.uniform(0, 0.8), dice.uniform(0, 0.8), dice.uniform(0.05, 0.3), dice.uniform(0.05, 0.3)
            label = dice.choice(CLASSES[:3])
            real.append(box(label, x, y, w, h))
            for _ in range(dice.randint(0, 2)):
                shift = [dice.gauss(0, 0.03) for _ in range(4)]
                said = label if dice.random() < 0.8 else dice.choice(CLASSES[:3])
                guessed.append(box(said, x + shift[0], y + shift[1], w + shift[2], h + shift[3], dice.random()))
        for _ in range(dice.randint(0, 3)):
            guessed.append(box(dice.choice(CLASSES[:3]), dice.random(), dice.random(), 0.1, 0.1, dice.random()))
        truth.append(tuple(real))
        predicted.append(tuple(guessed))
    return truth, predicted


def reference(truth: list[tuple[Box, ...]], predicted: list[tuple[Box, ...]]) -> tuple[float, float]:
    """mAP50-95 and mAP50 of pycocotools."""

    def rows(all_boxes: list[tuple[Box, ...]]) -> list[dict[str, object]]:
        made: list[dict[str, object]] = []
        for number, boxes in enumerate(all_boxes):
            for one in boxes:
                w, h = (one.x2 - one.x1) * SIDE, (one.y2 - one.y1) * SIDE
                made.append(
                    {
                        "id": len(made) + 1,
                        "image_id": number + 1,
                        "category_id": CLASSES.index(one.label) + 1,
                        "bbox": [one.x1 * SIDE, one.y1 * SIDE, w, h],
                        "area": w * h,
                        "iscrowd": 0,
                        "score": one.score,
                    }
                )
        return made

    with redirect_stdout(StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": number + 1} for number in range(len(truth))],
            "categories": [{"id": number + 1, "name": label} for number, label in enumerate(CLASSES)],
            "annotations": rows(truth),
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(rows(predicted)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


@pytest.mark.parametrize(("seed", "images"), [(0, 1), (1, 3), (2, 12), (3, 40), (4, 40)])
def test_average_precision_equals_pycocotools(seed: int, images: int) -> None:
    truth, predicted = random_case(seed, images)
    ours = evaluate(truth, predicted, CLASSES, resamples=0)
    map50_95, map50 = reference(truth, predicted)
    assert ours.map50 == pytest.approx(map50, abs=1e-6)
    assert ours.map50_95 == pytest.approx(map50_95, abs=1e-6)


BOX = (0.1, 0.1, 0.5, 0.5)
AWAY = (0.6, 0.6, 0.9, 0.9)


def test_perfect_and_useless() -> None:
    truth = [(Box("a", *BOX), Box("b", *AWAY))] * 4
    perfect = evaluate(truth, [(Box("a", *BOX, 0.9), Box("b", *AWAY, 0.8))] * 4, CLASSES)
    assert (perfect.map50, perfect.map50_95) == (1.0, 1.0)
    assert (perfect.precision, perfect.recall, perfect.map50_low) == (1.0, 1.0, 1.0)
    useless = evaluate(truth, [()] * 4, CLASSES)
    assert (useless.map50, useless.precision, useless.recall) == (0.0, 0.0, 0.0)
    assert useless.per_class["a"].threshold == DEFAULT_THRESHOLD


def test_classes_without_drawn_boxes_do_not_count() -> None:
    scores = evaluate([(Box("a", *BOX),)], [(Box("a", *BOX, 0.9), Box("never", *AWAY, 0.9))], CLASSES)
    assert scores.map50 == 1.0
    assert scores.per_class["never"].boxes == 0


def test_threshold_lies_between_good_and_bad() -> None:
    truth = [(Box("a", *BOX),)] * 10
    predicted = [(Box("a", *BOX, 0.6 + number / 100), Box("a", *AWAY, number / 50)) for number in range(10)]
    scores = evaluate(truth, predicted, ("a",))
    assert 0.2 < scores.per_class["a"].threshold <= 0.65
    assert scores.per_class["a"].precision == 1.0


def test_threshold_leaves_out_what_costs_more_than_it_saves() -> None:
    # Ten sure ones that lie well; below them, of each five predictions two are right: more to remove than is saved.
    sure = [((Box("a", *BOX),), (Box("a", *BOX, 0.9),))] * 10
    pair = (Box("a", *BOX), Box("a", *AWAY))
    wrong = tuple(Box("a", 0.2 * n, 0.92, 0.2 * n + 0.1, 0.99, 0.4) for n in range(3))
    unsure = [(pair, (Box("a", *BOX, 0.4), Box("a", *AWAY, 0.4), *wrong))] * 10
    truth, predicted = zip(*sure, *unsure, strict=True)
    assert evaluate(truth, predicted, ("a",)).per_class["a"].threshold == 0.9


def test_threshold_where_every_score_costs_more_than_it_saves_is_that_of_the_best_f1() -> None:
    wrong = tuple(Box("a", 0.2 * n, 0.92, 0.2 * n + 0.1, 0.99, 0.4) for n in range(3))
    truth, predicted = [(Box("a", *BOX),)] * 10, [(Box("a", *BOX, 0.4), *wrong, Box("a", *AWAY, 0.1))] * 10
    assert evaluate(truth, predicted, ("a",)).per_class["a"].threshold == 0.4


def test_few_examples_keep_the_default_threshold() -> None:
    scores = evaluate([(Box("a", *BOX),)], [(Box("a", *BOX, 0.9),)], ("a",))
    assert scores.per_class["a"].threshold == DEFAULT_THRESHOLD


def test_interval_holds_the_score_and_shrinks_with_more_pictures() -> None:
    small, large = (evaluate(*random_case(7, images), CLASSES) for images in (8, 120))
    for scores in (small, large):
        assert scores.map50_low <= scores.map50 <= scores.map50_high
    assert large.map50_high - large.map50_low < small.map50_high - small.map50_low
    assert evaluate(*random_case(7, 8), CLASSES) == small


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="got 1 for 2"):
        evaluate([(), ()], [()], CLASSES)
    with pytest.raises(ValueError, match="got 0 for 0"):
        evaluate([], [], CLASSES)


def test_scores_are_plain_numbers() -> None:
    content = evaluate(*random_case(1, 3), CLASSES).to_dict()
    assert not any(isinstance(value, np.generic) for value in [*content.values(), *content["per_class"]["a"].values()])


def test_draws_of_a_bootstrap_say_how_sure_each_class_is() -> None:
    cat, dog = Box("cat", 0.1, 0.1, 0.3, 0.3), Box("dog", 0.5, 0.5, 0.8, 0.8)
    truth = [(cat, dog), (cat,), (cat,), (cat,)]
    seen = [(replace(cat, score=0.9), replace(dog, score=0.9)), (replace(cat, score=0.8),), (), ()]
    scores = evaluate(truth, seen, ["cat", "dog", "cow"])
    cats, dogs, cows = (scores.per_class[name] for name in ("cat", "dog", "cow"))
    assert cats.ap50_low < cats.ap50 < cats.ap50_high
    assert cats.ap50_95 == pytest.approx(cats.ap50)  # what was found lies exactly
    assert (dogs.ap50_low, dogs.ap50_high) == (1.0, 1.0)
    assert (cows.ap50, cows.ap50_low, cows.ap50_high) == (0.0, 0.0, 1.0)  # nobody knows
    draws = picture_draws(4, 50)
    assert draws.sum(axis=1).tolist() == [4] * 50
    by_draw = ap50_by_draw(truth, seen, ["cat", "dog"], draws)
    assert by_draw.shape == (50, 2)
    assert np.isnan(by_draw[draws[:, 0] == 0, 1]).all()  # the only dog is not among them
    assert not np.isnan(mean_of_classes(by_draw)).any()
