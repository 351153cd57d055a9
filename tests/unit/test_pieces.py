"""Large pictures in pieces: nothing small is lost between them, nothing is found twice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from custom_ai.dataset import make_snapshot
from custom_ai.pipeline.pictures import MAX_SIDE, _side_for
from custom_ai.serving.pieces import LAP, Piece, pieces, placed, put_together
from custom_ai.training.contract import TrainImage, TrainSet
from custom_ai.training.tiles import cut
from custom_ai.types import Box, ImageSize, LabelKind, LabelledTask

SIZE = ImageSize(2000, 1500)


def within(box: Box, piece: Piece, size: ImageSize) -> Box | None:
    """What a perfect network finds in one piece: the visible part."""
    width, height = piece.x2 - piece.x1, piece.y2 - piece.y1
    x1, x2 = ((max(min(x * size.width, piece.x2), piece.x1) - piece.x1) / width for x in (box.x1, box.x2))
    y1, y2 = ((max(min(y * size.height, piece.y2), piece.y1) - piece.y1) / height for y in (box.y1, box.y2))
    return Box(box.label, x1, y1, x2, y2, 0.9) if x1 < x2 and y1 < y2 else None


@pytest.mark.parametrize("share", [0.12, 0.2, 0.33, 0.5, 0.7])
def test_every_shape_is_found_once_and_whole(share: float) -> None:
    random = np.random.default_rng(0)
    truth = []
    for row in range(6):
        for column in range(6):  # one per cell of a grid, so that they do not overlap: from 8 to 200 pixels
            width, height = random.uniform(8, 200, 2) / (SIZE.width, SIZE.height)
            x, y = random.uniform(0, 1 / 6 - width), random.uniform(0, 1 / 6 - height)
            x1, y1 = column / 6 + max(x, 0), row / 6 + max(y, 0)
            truth.append(Box("ab"[row % 2], x1, y1, min(x1 + width, 1.0), min(y1 + height, 1.0)))
    parts = pieces(SIZE, share)
    found = [(piece, [part for box in truth if (part := within(box, piece, SIZE))]) for piece in parts]
    together = put_together(found, SIZE, share)
    assert len(together) == len(truth)
    for box in truth:
        assert any(
            one.label == box.label
            and (one.x1, one.y1, one.x2, one.y2) == pytest.approx((box.x1, box.y1, box.x2, box.y2), abs=1e-6)
            for one in together
        )


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (3000, 500), (7, 4000), (1, 1)])
@pytest.mark.parametrize("share", [0.12, 0.5])
def test_pieces_cover_the_picture_and_overlap(width: int, height: int, share: float) -> None:
    whole, *parts = pieces(ImageSize(width, height), share)
    assert whole == Piece(0, 0, width, height)
    covered = np.zeros((height, width), bool)
    for one in parts:
        assert 0 <= one.x1 < one.x2 <= width
        assert 0 <= one.y1 < one.y2 <= height
        covered[one.y1 : one.y2, one.x1 : one.x2] = True
    assert covered.all()
    side = round(share * max(width, height))
    lefts = sorted({one.x1 for one in parts})
    assert all(right - left <= (1 - LAP) * side + 1 for left, right in pairwise(lefts))


def test_one_look_is_enough_for_a_whole_picture() -> None:
    assert pieces(SIZE, 1.0) == [Piece(0, 0, 2000, 1500)]
    boxes = (Box("a", 0.0, 0.0, 0.001, 0.001, 0.5), Box("a", 0.0, 0.0, 0.001, 0.001, 0.4))
    assert put_together([(Piece(0, 0, 2000, 1500), boxes)], SIZE, 1.0) == boxes


def test_outlines_are_placed_too() -> None:
    box = Box("a", 0.25, 0.5, 0.75, 1.0, 0.9, outline=((0.25, 0.5), (0.75, 0.5), (0.5, 1.0)))
    there = placed(box, Piece(500, 750, 1000, 1500), SIZE)
    assert (there.x1, there.y1, there.x2, there.y2) == (0.3125, 0.75, 0.4375, 1.0)
    assert there.outline == ((0.3125, 0.75), (0.4375, 0.75), (0.375, 1.0))


@pytest.mark.parametrize("kind", [*LabelKind])
def test_pictures_to_train_on_are_cut(tmp_path: Path, kind: LabelKind) -> None:
    path = tmp_path / "picture.png"
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[100:120, 100:130] = 255
    Image.fromarray(pixels).save(path)
    x1, y1, x2, y2 = 100 / 400, 100 / 300, 130 / 400, 120 / 300
    outline = () if kind is LabelKind.BOX else ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    data = TrainSet(
        ("a",), (TrainImage(7, path, ImageSize(400, 300), (Box("a", x1, y1, x2, y2, outline=outline),)),), (), kind
    )
    made = cut(data, 0.3, 320, tmp_path / "pieces")
    assert made.train[0].size == ImageSize(400, 300)
    assert [image.task_id for image in made.train] == [*range(len(made.train))]
    parts = made.train[1:]
    assert any(image.boxes for image in parts)
    assert any(not image.boxes for image in parts)
    for image in parts:
        with Image.open(image.path) as file:
            seen = np.asarray(file)
            assert file.size == (image.size.width, image.size.height)
        expected = np.zeros(seen.shape[:2], bool)
        for box in image.boxes:
            x, y = (
                (box.x1 * image.size.width, box.x2 * image.size.width),
                (
                    box.y1 * image.size.height,
                    box.y2 * image.size.height,
                ),
            )
            expected[round(y[0]) : round(y[1]), round(x[0]) : round(x[1])] = True
            assert bool(box.outline) == (kind is not LabelKind.BOX)
        if image.boxes or not (seen > 127).any():
            assert (expected == (seen[..., 0] > 127)).mean() > 0.999  # JPEG smears the edges
        else:  # shows too little of it to be an example
            assert (seen[..., 0] > 127).sum() < 0.3 * 20 * 30


def test_pieces_are_kept_no_larger_than_they_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (3000, 2000)).save(path)
    box = Box("a", 0.1, 0.1, 0.11, 0.11)
    data = TrainSet(("a",), (TrainImage(1, path, ImageSize(3000, 2000), (box,)),), ())
    whole, *parts = cut(data, 0.5, 320, tmp_path / "pieces").train
    assert (whole.size, whole.boxes) == (ImageSize(640, 427), (box,))
    assert {one.size for one in parts} == {ImageSize(640, 640)}
    for image in (whole, *parts):
        with Image.open(image.path) as file:
            assert file.size == (image.size.width, image.size.height)


@pytest.mark.parametrize(("side", "times"), [(0.2, 1), (0.021, 1), (0.012, 2), (0.006, 4), (0.001, 4)])
def test_pictures_with_tiny_objects_are_kept_larger(side: float, times: int) -> None:
    small, large = Box("small", 0.5, 0.5, 0.5 + side, 0.5 + side), Box("large", 0.1, 0.1, 0.4, 0.4)
    tasks = [LabelledTask(n, "", (small, large), n, "2026-01-01T00:00:00Z", True) for n in (1, 2)]
    assert _side_for(make_snapshot(tasks, ("small", "large"))) == times * MAX_SIDE
