"""Rotated boxes and polygons: from Label Studio's JSON, into it, and both ways at random."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import shapely

from custom_ai.labelstudio.config import Control
from custom_ai.labelstudio.regions import Note, read_shape
from custom_ai.labelstudio.results import MOST_POINTS, labelled_task, prediction
from custom_ai.overlap import iou
from custom_ai.shapes import bounds, is_rectangle, turned, within
from custom_ai.types import Box, ImageSize, LabelKind, Outline

ROTATED = Control("label", "image", "image", ("ship",), LabelKind.ROTATED_BOX, can_rotate=True)
POLYGON = Control("label", "image", "image", ("ship",), LabelKind.POLYGON)
SQUARE = ImageSize(100, 100)


def rectangle(**values: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["ship"]}
    return {"original_width": 400, "original_height": 200, "value": {**value, **values}}


def polygon(*points: Any, **extra: Any) -> dict[str, Any]:
    return {"value": {"points": list(points), "closed": True, "polygonlabels": ["ship"]}, **extra}


def read(region: dict[str, Any], control: Control) -> tuple[Box | None, Counter[str]]:
    notes: Counter[str] = Counter()
    return read_shape(region, "ship", control.kind, notes), notes


def written(box: Box, size: ImageSize | None, control: Control) -> dict[str, Any]:
    (region,) = prediction(1, [box], size, control, "v")["result"]
    value: dict[str, Any] = region["value"]
    return value


def there_and_back(box: Box, size: ImageSize | None, control: Control) -> Box:
    body = prediction(1, [box], size, control, "v")
    boxes = labelled_task({"id": 1, "annotations": [{"result": body["result"]}]}, control).boxes
    assert boxes is not None and len(boxes) == 1
    return boxes[0]


def shape(outline: Outline, score: float = 0.5) -> Box:
    return Box("ship", *bounds(within(outline)), score, outline=outline)


def rotated(size: ImageSize, x: float, y: float, width: float, height: float, degrees: float) -> Box:
    """A box given in pixels; raises ValueError when it lies outside of the image."""
    pixels = turned(x, y, width, height, degrees)
    return shape(tuple((u / size.width, v / size.height) for u, v in pixels))


def assert_close(a: Outline, b: Outline, tolerance: float = 1e-6) -> None:
    assert len(a) == len(b)
    for (ax, ay), (bx, by) in zip(a, b, strict=True):
        assert math.hypot(ax - bx, ay - by) < tolerance, (a, b)


# Reading


@pytest.mark.parametrize(
    ("region", "outline"),
    [
        (rectangle(), ((0.1, 0.2), (0.4, 0.2), (0.4, 0.6), (0.1, 0.6))),
        ({"value": rectangle()["value"]}, ((0.1, 0.2), (0.4, 0.2), (0.4, 0.6), (0.1, 0.6))),  # no size, none needed
        (rectangle(rotation=360), ((0.1, 0.2), (0.4, 0.2), (0.4, 0.6), (0.1, 0.6))),
        # 400x200 px: 120x80 px about 160,40 px, a quarter turn clockwise and one back.
        (rectangle(x=40, rotation=90), ((0.4, 0.2), (0.4, 0.8), (0.2, 0.8), (0.2, 0.2))),
        (rectangle(x=40, rotation=450), ((0.4, 0.2), (0.4, 0.8), (0.2, 0.8), (0.2, 0.2))),
        (rectangle(x=40, y=60, rotation=-90), ((0.4, 0.6), (0.4, 0.0), (0.6, 0.0), (0.6, 0.6))),
        # Partly outside: the corners stay where they are.
        (rectangle(x=90), ((0.9, 0.2), (1.2, 0.2), (1.2, 0.6), (0.9, 0.6))),
        (rectangle(x=10, rotation=90), ((0.1, 0.2), (0.1, 0.8), (-0.1, 0.8), (-0.1, 0.2))),
    ],
)
def test_rotated_boxes(region: dict[str, Any], outline: Outline) -> None:
    box, notes = read(region, ROTATED)
    assert box is not None
    assert_close(box.outline, outline)
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(bounds(within(outline)))
    assert notes == {}


@pytest.mark.parametrize(
    ("region", "note"),
    [
        (rectangle(x=100), Note.DEGENERATE),
        (rectangle(width=0), Note.DEGENERATE),
        (rectangle(y="top"), Note.REGION_UNREADABLE),
        (rectangle(rotation=[]) | {"original_width": None}, None),
        (rectangle(rotation=30) | {"original_width": None}, Note.ROTATED_WITHOUT_SIZE),
        (rectangle(rotation=30) | {"original_height": 0}, Note.ROTATED_WITHOUT_SIZE),
        (rectangle(rotation=float("inf")), Note.REGION_UNREADABLE),
    ],
)
def test_rotated_boxes_that_cannot_be_used(region: dict[str, Any], note: Note | None) -> None:
    box, notes = read(region, ROTATED)
    assert (box is None) == (note is not None)
    assert notes == ({note: 1} if note else {})


@pytest.mark.parametrize(
    ("points", "outline", "note"),
    [
        ([[10, 10], [50, 10], [30, 40]], ((0.1, 0.1), (0.5, 0.1), (0.3, 0.4)), None),
        # Doubles, and the first corner once more at the end.
        ([[10, 10], [10, 10], [50, 10], [30, 40], [10, 10]], ((0.1, 0.1), (0.5, 0.1), (0.3, 0.4)), None),
        ([[10, 10], [50, 50], [50, 10], [10, 50]], ((0.1, 0.1), (0.5, 0.5), (0.5, 0.1), (0.1, 0.5)), None),  # crossed
        ([[-5, 10], [50, 10], [30, 140]], ((0.0, 0.1), (0.5, 0.1), (0.3, 1.0)), Note.CLIPPED),
        ([[10, 10], [50, 10]], None, Note.DEGENERATE),
        ([[10, 10], [50, 10], [10, 10]], None, Note.DEGENERATE),
        ([[10, 10], [30, 30], [50, 50]], None, Note.DEGENERATE),  # a line
        ([[110, 10], [150, 10], [130, 40]], None, Note.DEGENERATE),  # outside
        ([], None, Note.DEGENERATE),
        (None, None, Note.REGION_UNREADABLE),
        ([[10, 10], [50], [30, 40]], None, Note.REGION_UNREADABLE),
        ([[10, 10], ["50", 10], [30, 40]], None, Note.REGION_UNREADABLE),
        ([[10, 10], [float("nan"), 10], [30, 40]], None, Note.REGION_UNREADABLE),
        ([[10, 10], None, [30, 40]], None, Note.REGION_UNREADABLE),
    ],
)
def test_polygons(points: Any, outline: Outline | None, note: Note | None) -> None:
    region = polygon(*points) if points is not None else {"value": {"closed": True}}
    box, notes = read(region, POLYGON)
    assert notes == ({note: 1} if note else {})
    assert (box is None) == (outline is None)
    if box is not None and outline is not None:
        assert_close(box.outline, outline)
        assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(bounds(outline))


def test_other_tools_in_a_polygon_project() -> None:
    """They are left out, and a picture with nothing else is no negative example."""
    good = {"id": "a", "from_name": "label", "type": "polygonlabels", **polygon([1, 1], [9, 1], [9, 9])}
    others = [
        {"id": "b", "from_name": "e", "type": "ellipselabels", "value": {"x": 1, "ellipselabels": ["ship"]}},
        {"id": "c", "from_name": "b", "type": "brushlabels", "value": {"rle": [], "brushlabels": ["ship"]}},
        {"id": "d", "from_name": "r", "type": "rectanglelabels", **rectangle()},
    ]
    notes: Counter[str] = Counter()
    for result, count in (([good, *others], 1), (others, None), ([], 0)):
        boxes = labelled_task({"id": 1, "annotations": [{"result": result}]}, POLYGON, notes).boxes
        assert (None if boxes is None else len(boxes)) == count
    assert (notes[Note.OTHER_SHAPE], notes[Note.AMBIGUOUS]) == (6, 1)


def test_untouched_polygons() -> None:
    box, _ = read(polygon([1, 1], [9, 1], [9, 9], origin="prediction"), POLYGON)
    assert box is not None and box.untouched


# Writing


def test_a_rotated_box_is_written_about_its_first_corner() -> None:
    value = written(rotated(ImageSize(400, 200), 160, 40, 120, 80, 30), ImageSize(400, 200), ROTATED)
    assert value.pop("rectanglelabels") == ["ship"]
    assert value == pytest.approx({"x": 40, "y": 20, "width": 30, "height": 40, "rotation": 30})


@pytest.mark.parametrize("control", [ROTATED, replace(ROTATED, labels_from="what")])
@pytest.mark.parametrize("size", [ImageSize(640, 480), ImageSize(300, 1000), ImageSize(4000, 3), SQUARE])
def test_rotated_boxes_come_back(size: ImageSize, control: Control) -> None:
    """Boxes that lie in the image keep every corner in its place, unless they are longer than the image."""
    dice = random.Random(7)
    kept = 0
    for _ in range(400):
        long = dice.uniform(0.01, 0.9) * max(size.width, size.height)
        degrees = dice.choice([dice.uniform(-360, 360), dice.choice([0, 45, 90, 180, 270])])
        x, y = dice.uniform(0, size.width), dice.uniform(0, size.height)
        pixels = turned(x, y, long, dice.uniform(0.01, 1.0) * long, degrees)
        outline = tuple((u / size.width, v / size.height) for u, v in pixels)
        if bounds(outline) != bounds(within(outline)):
            continue
        kept += 1
        back = there_and_back(shape(outline), size, control)
        start = min(range(4), key=lambda n: math.dist(back.outline[n], outline[0]))
        assert_close((*back.outline[start:], *back.outline[:start]), outline)
    assert kept > 20 or size.height == 3


def test_no_rotated_box_is_dropped_for_its_numbers() -> None:
    """However far it hangs over the edge: Label Studio takes numbers from 0 to 100 only."""
    dice = random.Random(11)
    alike: dict[str, list[float]] = {"as it is": [], "a part": [], "upright": []}
    for _ in range(2000):
        size = ImageSize(dice.randint(1000, 2000), dice.randint(1000, 2000))
        long = dice.uniform(0.02, 1.2) * max(size.width, size.height)
        x, y = dice.uniform(-0.3, 1.3) * size.width, dice.uniform(-0.3, 1.3) * size.height
        try:
            box = rotated(size, x, y, long, long * dice.uniform(0.02, 1), dice.uniform(0, 360))
        except ValueError:
            continue  # outside
        value = written(box, size, ROTATED)
        assert all(0 <= value[key] <= 100 for key in ("x", "y", "width", "height"))
        assert value["width"] > 0 and value["height"] > 0 and 0 <= value["rotation"] < 360
        back = there_and_back(box, size, ROTATED)
        assert is_rectangle(tuple((u * size.width, v * size.height) for u, v in back.outline))
        seen, wrote = (shapely.Polygon(one.outline).intersection(shapely.box(0, 0, 1, 1)) for one in (box, back))
        if iou(box, back) > 1 - 1e-9:
            alike["as it is"].append(1.0)
        elif seen.area > 1e-4:
            how = "a part" if value["rotation"] else "upright"
            alike[how].append(seen.intersection(wrote).area / seen.union(wrote).area)
    assert min(map(len, alike.values())) > 0 and len(alike["as it is"]) > 700
    assert len(alike["upright"]) < 20
    assert min(alike["a part"]) > 0.5
    assert sum(alike["a part"]) / len(alike["a part"]) > 0.95, "what people see of it stays the same"


@pytest.mark.parametrize(
    ("outline", "rotation"),
    [
        (((0.2, 0.2), (0.2, 0.4), (0.6, 0.4), (0.6, 0.2)), 0),  # counter-clockwise
        (((0.2, 0.2), (0.6, 0.3), (0.5, 0.6), (0.1, 0.4)), 0),  # no rectangle
        (((0.2, 0.2), (0.6, 0.3), (0.5, 0.6)), 0),
        ((), 0),
    ],
)
def test_what_is_no_rectangle_is_written_as_the_box_around_it(outline: Outline, rotation: float) -> None:
    box = shape(outline) if outline else Box("ship", 0.1, 0.2, 0.6, 0.6, 0.5)
    back = there_and_back(box, SQUARE, ROTATED)
    assert (back.x1, back.y1, back.x2, back.y2) == pytest.approx((box.x1, box.y1, box.x2, box.y2))
    assert written(box, SQUARE, ROTATED)["rotation"] == pytest.approx(rotation)


def test_without_the_size_a_rotated_box_is_written_upright() -> None:
    box = rotated(SQUARE, 50, 20, 30, 20, 45)
    assert written(box, None, ROTATED)["rotation"] == 0


@pytest.mark.parametrize("control", [POLYGON, replace(POLYGON, labels_from="what")])
def test_polygons_come_back(control: Control) -> None:
    dice = random.Random(3)
    for _ in range(300):
        outline = tuple((dice.random(), dice.random()) for _ in range(dice.randint(3, MOST_POINTS)))
        back = there_and_back(shape(outline), None, control)
        assert_close(back.outline, outline)


def test_polygons_are_kept_within_what_people_and_label_studio_can_take() -> None:
    circle = tuple(
        (0.5 + 0.6 * math.cos(2 * math.pi * n / 999), 0.5 + 0.3 * math.sin(2 * math.pi * n / 999)) for n in range(999)
    )
    points = written(shape(circle), None, POLYGON)["points"]
    assert len(points) == MOST_POINTS
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
    flat = Box("ship", 0.1, 0.1, 0.5, 0.5, 0.5, outline=((-0.1, 0.1), (-0.2, 0.5), (-0.3, 0.3)))
    for box in (flat, replace(flat, outline=())):  # the corners of the box instead
        value = written(box, None, POLYGON)
        assert value["points"] == [[10, 10], [50, 10], [50, 50], [10, 50]]
        assert value["closed"] is True


def test_two_controls_share_an_id() -> None:
    control = replace(POLYGON, from_name="where", labels_from="what")
    box = shape(((0.1, 0.1), (0.5, 0.1), (0.3, 0.4)))
    drawn, label = prediction(5, [box], None, control, "v")["result"]
    assert drawn["id"] == label["id"]
    assert (drawn["from_name"], drawn["type"], set(drawn["value"])) == ("where", "polygon", {"points", "closed"})
    assert (label["from_name"], label["type"], label["value"]["labels"]) == ("what", "labels", ["ship"])
