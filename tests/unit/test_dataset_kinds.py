"""Snapshots and YOLO folders of rotated boxes and polygons."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from custom_ai.dataset import Snapshot, make_snapshot, write_yolo
from custom_ai.shapes import bounds, within
from custom_ai.training.contract import TrainImage
from custom_ai.training.yolo import prepare_environment
from custom_ai.types import Box, ImageSize, LabelKind, LabelledTask, Outline

CLASSES = ("cat", "dog")
TRIANGLE = ((0.1, 0.2), (0.3, 0.2), (0.2, 0.6))
SIZE = ImageSize(640, 480)


def shape(label: str, outline: Outline) -> Box:
    return Box(label, *bounds(within(outline)), outline=outline)


def rectangle(x: float, y: float, width: float, height: float, degrees: float) -> Outline:
    """Around a centre in pixels of SIZE, in fractions."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(u * width / 2, v * height / 2) for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return tuple(((x + u * cos - v * sin) / SIZE.width, (y + u * sin + v * cos) / SIZE.height) for u, v in corners)


def task(*boxes: Box) -> LabelledTask:
    return LabelledTask(1, "/data/1.jpg", boxes, 1001, "", True)


def test_hash_depends_on_outline_and_kind() -> None:
    other = (*TRIANGLE[:2], (0.21, 0.6))
    one = make_snapshot([task(shape("cat", TRIANGLE))], CLASSES, LabelKind.POLYGON)
    assert one.sha256 != make_snapshot([task(shape("cat", other))], CLASSES, LabelKind.POLYGON).sha256
    assert one.sha256 != make_snapshot([task(shape("cat", TRIANGLE))], CLASSES, LabelKind.ROTATED_BOX).sha256
    noise = tuple((x + 1e-9, y) for x, y in TRIANGLE)
    assert one.sha256 == make_snapshot([task(shape("cat", noise))], CLASSES, LabelKind.POLYGON).sha256
    again = Snapshot.loads(one.dumps(), one.sha256)
    assert again == one
    assert (again.kind, again.examples[0].boxes[0].outline) == (LabelKind.POLYGON, TRIANGLE)


def test_upright_boxes_have_no_outlines() -> None:
    plain = Box("cat", 0.1, 0.2, 0.3, 0.6)
    one, other = make_snapshot([task(shape("cat", TRIANGLE))], CLASSES), make_snapshot([task(plain)], CLASSES)
    assert one.sha256 == other.sha256
    assert one.examples[0].boxes == (plain,)


def lines(folder: Path, kind: LabelKind, *boxes: Box) -> list[list[float]]:
    """The label file that is written for one picture."""
    picture = folder / "a.png"
    Image.fromarray(np.zeros((SIZE.height, SIZE.width, 3), np.uint8)).save(picture)
    write_yolo(folder / "yolo", CLASSES, [TrainImage(7, picture, SIZE, boxes)], kind)
    text = (folder / "yolo/labels/7.txt").read_text()
    return [[float(value) for value in line.split()] for line in text.splitlines()]


def accepted(folder: Path) -> bool:
    """Whether ultralytics reads the written label file without complaint."""
    prepare_environment(folder)
    from ultralytics.data.utils import verify_image_label

    files = (str(folder / "yolo/images/7.png"), str(folder / "yolo/labels/7.txt"))
    found, *_, message = verify_image_label((*files, "", False, len(CLASSES), 0, 0, False))
    return found is not None and not message


def test_boxes_ignore_outlines(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, LabelKind.BOX, shape("dog", TRIANGLE))
    assert line == pytest.approx([1, 0.2, 0.4, 0.2, 0.4])
    assert accepted(tmp_path)


def test_polygons(tmp_path: Path) -> None:
    outside = ((-0.1, 0.2), (0.3, 0.2), (0.2, 1.3))
    written = lines(
        tmp_path, LabelKind.POLYGON, shape("dog", TRIANGLE), shape("cat", outside), Box("cat", 0.1, 0.2, 0.3, 0.6)
    )
    assert written[0] == pytest.approx([1, 0.1, 0.2, 0.3, 0.2, 0.2, 0.6])
    assert written[1] == pytest.approx([0, 0, 0.2, 0.3, 0.2, 0.2, 1])
    assert written[2] == pytest.approx([0, 0.1, 0.2, 0.3, 0.2, 0.3, 0.6, 0.1, 0.6])
    assert accepted(tmp_path)


def test_rotated_boxes_keep_corners_outside_of_the_picture(tmp_path: Path) -> None:
    inside, over_the_edge = rectangle(320, 240, 200, 60, 30), rectangle(40, 100, 200, 60, 30)
    upright = Box("cat", 0.1, 0.2, 0.3, 0.6)
    first, second, third = lines(
        tmp_path, LabelKind.ROTATED_BOX, shape("dog", inside), shape("cat", over_the_edge), upright
    )
    assert first == pytest.approx([1, *(value for corner in inside for value in corner)], abs=1e-6)
    assert second == pytest.approx([0, *(value for corner in over_the_edge for value in corner)], abs=1e-6)
    assert third == pytest.approx([0, 0.1, 0.2, 0.3, 0.2, 0.3, 0.6, 0.1, 0.6])
    assert accepted(tmp_path)


@pytest.mark.parametrize(
    "outline",
    [
        rectangle(-10, 240, 200, 60, 30),  # its centre lies outside
        rectangle(320, 500, 300, 80, -20),
        rectangle(320, 240, 760, 40, 5),  # longer than the picture
    ],
)
def test_rotated_boxes_that_ultralytics_would_refuse(tmp_path: Path, outline: Outline) -> None:
    """It would throw the whole picture away. The angle stays."""
    ((_, *values),) = lines(tmp_path, LabelKind.ROTATED_BOX, shape("dog", outline))
    assert accepted(tmp_path)

    def angle(corners: Outline) -> float:
        (x1, y1), (x2, y2) = corners[:2]
        return math.degrees(math.atan2((y2 - y1) * SIZE.height, (x2 - x1) * SIZE.width))

    written = tuple(zip(values[::2], values[1::2], strict=True))
    assert angle(written) == pytest.approx(angle(outline), abs=0.1)


def test_a_rotated_box_that_is_larger_than_the_picture(tmp_path: Path) -> None:
    ((_, *values),) = lines(tmp_path, LabelKind.ROTATED_BOX, shape("dog", rectangle(320, 240, 1500, 1500, 45)))
    assert values == [0, 0, 1, 0, 1, 1, 0, 1]
    assert accepted(tmp_path)
