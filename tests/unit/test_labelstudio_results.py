"""Annotations in, predictions out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.results import Note, backend_result, labelled_task, labelled_tasks, prediction
from custom_ai.types import Box, ImageSize

FIXTURES = Path(__file__).parents[1] / "fixtures" / "label_studio"
CONTROL = Control("label", "image", "image", ("Car", "Person"))
PAIR = Control("where", "image", "image", ("Car", "Person"), labels_from="what")


def region(labels: Any = ("Car",), **values: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": list(labels)}
    extra = {key: values.pop(key) for key in ("origin", "original_width", "original_height", "from_name", "type")
             if key in values}  # fmt: skip
    common = {"id": "r1", "from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    return {**common, "value": {**value, **values}, **extra}


def annotation(number: int = 1, result: Any = None, **fields: Any) -> dict[str, Any]:
    base = {"id": number, "result": [region()] if result is None else result, "was_cancelled": False}
    return {**base, "updated_at": f"2026-01-01T00:00:{number:02}.5Z", **fields}


def task(*annotations: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"image": "/a.jpg"}, "annotations": list(annotations), **fields}


def test_captured_tasks() -> None:
    rows = json.loads((FIXTURES / "api_tasks_fields_all.json").read_text())["tasks"]
    notes: Counter[str] = Counter()
    first, second = labelled_tasks(rows, CONTROL, notes)
    assert (first.task_id, first.image) == (1, "/data/upload/1/933d42aa-img0.jpg")
    assert (first.boxes, first.touched, second.boxes, second.touched) == (None, True, None, True)
    assert notes == {Note.UNREVIEWED: 2, Note.SKIPPED: 1}


def test_one_box() -> None:
    read = labelled_task(task(annotation(), updated_at="2026-01-02T00:00:00Z"), CONTROL)
    assert read.boxes == (Box("Car", 0.1, 0.2, 0.4, 0.6),)
    assert (read.annotation_id, read.updated_at, read.touched) == (1, "2026-01-02T00:00:00Z", True)


@pytest.mark.parametrize(
    ("annotations", "chosen"),
    [
        ([], None),
        ([annotation(1, was_cancelled=True)], None),
        ([annotation(1), annotation(3), annotation(2)], 3),
        ([annotation(1, ground_truth=True), annotation(3)], 1),
        ([annotation(1, ground_truth=True, was_cancelled=True), annotation(3)], 3),
        ([annotation(1), annotation(2, updated_at=None)], 1),
        ([annotation(1, updated_at="2026-01-01T09:00:00+09:00"), annotation(2)], 2),
        ([annotation(1, updated_at="2026-01-01T00:00:00"), annotation(2, updated_at="junk")], 1),
        ([annotation(4, updated_at=""), annotation(7, updated_at="")], 7),
        ([annotation(1), annotation(2, parent_prediction=9, lead_time=None)], 1),
    ],
)
def test_which_annotation_counts(annotations: list[Any], chosen: int | None) -> None:
    read = labelled_task(task(*annotations), CONTROL)
    assert read.annotation_id == chosen
    assert (read.boxes is None) == (chosen is None)
    assert read.touched == bool(annotations)


@pytest.mark.parametrize(
    ("fields", "touched"),
    [
        ({}, False),
        ({"drafts": [{"id": 1}]}, True),
        ({"draft_exists": True}, True),
        ({"total_annotations": 1}, True),
        ({"cancelled_annotations": 1}, True),
        ({"drafts": None, "draft_exists": None, "total_annotations": None}, False),
    ],
)
def test_touched(fields: dict[str, Any], touched: bool) -> None:
    read = labelled_task(task(**fields), CONTROL)
    assert (read.touched, read.boxes) == (touched, None)


@pytest.mark.parametrize(
    ("fields", "reviewed"),
    [
        ({"parent_prediction": 3}, False),
        ({"parent_prediction": 3, "result": [region(origin="prediction")]}, True),
        ({"parent_prediction": 3, "result": [region(origin="manual"), region()]}, True),
        ({"parent_prediction": 3, "result": []}, False),
        ({"parent_prediction": 3, "result": [], "lead_time": 2.5}, True),
        ({"parent_prediction": None, "lead_time": None}, True),
    ],
)
def test_copies_of_predictions_are_no_review(fields: dict[str, Any], reviewed: bool) -> None:
    read = labelled_task(task({**annotation(), **fields}), CONTROL)
    assert (read.boxes is not None, read.touched) == (reviewed, True)


@pytest.mark.parametrize(
    ("part", "corners", "note"),
    [
        (region(), (0.1, 0.2, 0.4, 0.6), None),
        (region(rotation=None), (0.1, 0.2, 0.4, 0.6), None),
        (region(rotation=360), (0.1, 0.2, 0.4, 0.6), None),
        (region(x=90), (0.9, 0.2, 1.0, 0.6), Note.CLIPPED),
        (region(x=-10, y=-1e-9), (0.0, 0.0, 0.2, 0.4), Note.CLIPPED),
        (region(x=70 + 1e-9), (0.7, 0.2, 1.0, 0.6), None),
        (region(x=100), None, Note.DEGENERATE),
        (region(width=0), None, Note.DEGENERATE),
        (region(width=-5), None, Note.DEGENERATE),
        (region(x="10"), None, Note.REGION_UNREADABLE),
        (region(y=None), None, Note.REGION_UNREADABLE),
        (region(x=True), None, Note.REGION_UNREADABLE),
        (region(x=float("nan")), None, Note.REGION_UNREADABLE),
        (region(height=10**400), None, Note.REGION_UNREADABLE),
        (region(rotation="left"), None, Note.REGION_UNREADABLE),
        (region(rotation=90), None, Note.ROTATED_WITHOUT_SIZE),
        (region(rotation=90, original_width=0, original_height=9), None, Note.ROTATED_WITHOUT_SIZE),
        (region(rotation=90, original_width=-4, original_height=9), None, Note.ROTATED_WITHOUT_SIZE),
        # 400x200 px: a box of 120x80 px, turned clockwise about its top left at 160,40 px.
        (region(x=40, rotation=90, original_width=400, original_height=200), (0.2, 0.2, 0.4, 0.8), Note.UNROTATED),
        (region(x=40, y=60, rotation=-90, original_width=400, original_height=200), (0.4, 0, 0.6, 0.6), Note.UNROTATED),
        (region([]), None, Note.NO_LABEL),
        (region(rectanglelabels=None), None, Note.NO_LABEL),
        ("junk", None, Note.REGION_UNREADABLE),
        (None, None, Note.REGION_UNREADABLE),
        ({**region(), "value": None}, None, Note.NO_LABEL),
    ],
)
def test_regions(part: Any, corners: tuple[float, ...] | None, note: Note | None) -> None:
    notes: Counter[str] = Counter()
    read = labelled_task(task(annotation(result=[part, region(["Person"])])), CONTROL, notes)
    assert read.boxes is not None
    cars = [box for box in read.boxes if box.label == "Car"]
    assert len(read.boxes) == len(cars) + 1
    assert notes == ({note: 1} if note else {})
    if corners is None:
        assert cars == []
    else:
        assert (cars[0].x1, cars[0].y1, cars[0].x2, cars[0].y2) == pytest.approx(corners)


@pytest.mark.parametrize(
    ("result", "boxes"),
    [
        ([], ()),
        (None, ()),
        ("junk", ()),
        ([region(["Gone"])], ()),
        ([region(["Gone", "Person"])], 1),
        ([{"type": "choices", "from_name": "c", "value": {"choices": ["x"]}}], ()),
        ([{"type": "relation"}], ()),
        # Something was drawn there, so this is no negative example.
        ([{"type": "polygonlabels", "from_name": "p", "value": {}}], None),
        ([region(width=0)], None),
        ([region([])], None),
        (["junk"], None),
    ],
)
def test_what_is_a_negative_example(result: Any, boxes: Any) -> None:
    read = labelled_task(task({**annotation(), "result": result}), CONTROL)
    assert (len(read.boxes or ()) if isinstance(boxes, int) else read.boxes) == boxes


def test_untouched_model_output() -> None:
    parts = [region(origin=origin) for origin in ("manual", "prediction", "prediction-changed")]
    read = labelled_task(task(annotation(result=parts)), CONTROL)
    assert [box.untouched for box in read.boxes or ()] == [False, True, False]


@pytest.mark.parametrize("garbage", [None, 3, "x", [], {}, {"id": None}, {"id": "5"}])
def test_garbage_tasks_are_counted(garbage: object) -> None:
    notes: Counter[str] = Counter()
    assert list(labelled_tasks([garbage, task()], CONTROL, notes)) == [labelled_task(task(), CONTROL)]
    assert notes == {Note.TASK_UNREADABLE: 1}


@pytest.mark.parametrize(
    "fields", [{"annotations": None}, {"annotations": ["x", 3]}, {"data": None}, {"annotations": [{}]}]
)
def test_foreign_tasks_do_not_raise(fields: dict[str, Any]) -> None:
    assert labelled_task({"id": 5, **fields}, CONTROL).task_id == 5


class TestPredictions:
    BOXES = (Box("Car", 0.1, 0.2, 0.4, 0.6, 0.9), Box("Person", 0.3, 0.3, 1.0, 1.0, 0.5))

    def test_rectangle_labels(self) -> None:
        made = prediction(5, self.BOXES, ImageSize(640, 480), CONTROL, "p1-m1")
        assert {key: made[key] for key in ("task", "score", "model_version")} == {
            "task": 5,
            "score": pytest.approx(0.7),
            "model_version": "p1-m1",
        }
        first = dict(made["result"][0])
        assert len(first.pop("id")) == 12
        value = dict(first.pop("value"))
        assert value.pop("rectanglelabels") == ["Car"]
        assert value == pytest.approx({"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0})
        assert first == {
            "from_name": "label",
            "to_name": "image",
            "type": "rectanglelabels",
            "original_width": 640,
            "original_height": 480,
            "image_rotation": 0,
            "score": 0.9,
        }
        assert len({one["id"] for one in made["result"]}) == 2
        assert made == prediction(5, self.BOXES, ImageSize(640, 480), CONTROL, "p1-m1")

    @pytest.mark.parametrize("control", [CONTROL, PAIR])
    def test_there_and_back(self, control: Control) -> None:
        made = prediction(5, self.BOXES, ImageSize(640, 480), control, "p1-m1")
        read = labelled_task(task(annotation(result=made["result"])), control)
        assert read.boxes is not None
        for box, original in zip(read.boxes, self.BOXES, strict=True):
            assert (box.label, box.x1, box.y1, box.x2, box.y2) == pytest.approx(
                (original.label, original.x1, original.y1, original.x2, original.y2)
            )

    def test_two_controls_share_an_id(self) -> None:
        shape, label = prediction(5, self.BOXES[:1], None, PAIR, "v")["result"]
        assert shape["id"] == label["id"]
        assert (shape["from_name"], shape["type"]) == ("where", "rectangle")
        assert (label["from_name"], label["type"], label["value"]["labels"]) == ("what", "labels", ["Car"])
        assert "original_width" not in shape

    def test_within_bounds_whatever_the_rounding(self) -> None:
        for n in range(1, 400):
            box = Box("Car", n / 401, 1 - n / 400.5, 1.0, 1.0, 0.5)
            value = prediction(1, [box], None, CONTROL, "v")["result"][0]["value"]
            for start, length in (("x", "width"), ("y", "height")):
                assert 0 <= value[start] <= 100
                assert 0 < value[length] <= 100
                assert value[start] + value[length] <= 100 + 1e-12

    def test_nothing_found_is_a_prediction_too(self) -> None:
        nothing = {"task": 5, "result": [], "score": 0.0, "model_version": "v"}
        assert prediction(5, [], None, CONTROL, "v") == nothing
        assert prediction(5, [Box("Bus", 0, 0, 1, 1, 0.5)], None, CONTROL, "v") == nothing

    def test_for_the_backend(self) -> None:
        made = backend_result(self.BOXES, None, CONTROL, "v")
        assert set(made) == {"result", "score", "model_version"}
        with pytest.raises(ValueError, match="version"):
            backend_result((), None, CONTROL, "")
