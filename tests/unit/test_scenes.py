"""The invented pictures of the demo."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from custom_ai.demo.scenes import CLASSES, make_scenes
from custom_ai.overlap import iou
from custom_ai.shapes import is_rectangle
from custom_ai.types import LabelKind


def test_twelve_pictures_hold_just_over_ten_objects_per_class(tmp_path: Path) -> None:
    for seed in range(2):
        scenes = make_scenes(tmp_path / str(seed), 12, seed=seed)
        counts = Counter(box.label for scene in scenes for box in scene.boxes)
        assert sorted(counts) == sorted(CLASSES)
        assert all(11 <= count <= 12 for count in counts.values())
        assert all(2 <= len(scene.boxes) <= 6 for scene in scenes)


def test_the_same_number_gives_the_same_picture(tmp_path: Path) -> None:
    one = make_scenes(tmp_path / "one", 3, seed=5)
    (other,) = make_scenes(tmp_path / "other", 1, seed=5, start=2)
    assert other.boxes == one[2].boxes
    assert other.path.read_bytes() == one[2].path.read_bytes()
    (different,) = make_scenes(tmp_path / "different", 1, seed=6, start=2)
    assert different.boxes != other.boxes


def test_kinds_of_labels_share_the_pictures(tmp_path: Path) -> None:
    plain, turned, drawn = (make_scenes(tmp_path / kind, 4, seed=3, kind=kind) for kind in LabelKind)
    assert [one.boxes for one in plain] == [one.boxes for one in make_scenes(tmp_path / "again", 4, seed=3)]
    for boxes, rectangles, polygons in zip(plain, turned, drawn, strict=True):
        assert boxes.path.read_bytes() == rectangles.path.read_bytes() == polygons.path.read_bytes()
        assert not any(box.outline for box in boxes.boxes)
        size = (boxes.size.width, boxes.size.height)
        for box, rectangle, polygon in zip(boxes.boxes, rectangles.boxes, polygons.boxes, strict=True):
            assert box.label == rectangle.label == polygon.label
            assert is_rectangle(tuple((x * size[0], y * size[1]) for x, y in rectangle.outline))
            assert 8 <= len(polygon.outline) <= 100
            assert iou(box, replace(polygon, outline=())) > 0.7  # the part behind another thing may be cut off
            assert iou(rectangle, polygon) > 0.3


def test_boxes_belong_to_the_upright_picture(tmp_path: Path) -> None:
    """Some files are stored turned; their size and boxes are those that a browser shows."""
    scenes = make_scenes(tmp_path, 6, seed=1)
    orientations = []
    for scene in scenes:
        with Image.open(scene.path) as file:
            orientations.append(file.getexif().get(0x0112, 1))
            upright = np.asarray(ImageOps.exif_transpose(file).convert("L"), np.float32)
        assert upright.shape == (scene.size.height, scene.size.width)
        for box in scene.boxes:
            x1, x2 = (int(x * scene.size.width) for x in (box.x1, box.x2))
            y1, y2 = (int(y * scene.size.height) for y in (box.y1, box.y2))
            inside = upright[y1:y2, x1:x2]
            assert inside.std() > 5  # an object, not an empty piece of table
            assert x2 - x1 >= 20
            assert y2 - y1 >= 20
    assert orientations == [1, 1, 1, 1, 1, 6]
