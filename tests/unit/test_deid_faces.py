"""Faces of all sizes, at all places, whichever side is up, and with either engine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from custom_ai_deid import runtime
from custom_ai_deid.areas import Area, iou
from custom_ai_deid.faces import LAP, PIECE, THOROUGH, FaceFinder, Looking, _spans
from custom_ai_deid.retinaface_network import RetinaFace
from custom_ai_deid.yunet import YuNet

PHOTO = np.asarray(Image.open(Path(__file__).parents[1] / "data" / "astronaut.jpg").convert("RGB"))
FACE = (83, 61, 173, 176)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder((YuNet(2),), Looking())


def scene(face_px: int, size: tuple[int, int], at: tuple[int, int]) -> tuple[np.ndarray, Area]:
    """A grey picture of width, height with the photo in it, so large that its face has so many pixels; and the face."""
    scale = face_px / (FACE[3] - FACE[1])
    photo = cv2.resize(PHOTO, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    pixels = np.full((size[1], size[0], 3), 120, np.uint8)
    x, y = at
    pixels[y : y + photo.shape[0], x : x + photo.shape[1]] = photo
    return pixels, Area(*(side * scale + move for side, move in zip(FACE, (x, y, x, y), strict=True)))


@pytest.mark.parametrize("length", [1, 300, 789, 791, 1000, 4000, 12_345])
@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0, 1.5, 4.0])
def test_pieces_cover_all_of_it(length: int, scale: float) -> None:
    spans = _spans(length, scale)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all((end - start) * scale <= PIECE + scale for start, end in spans)
    laps = [(before[1] - after[0]) * scale for before, after in pairwise(spans)]
    assert all(lap >= LAP - 2 * scale for lap in laps)


@pytest.mark.parametrize(
    ("face_px", "size", "at"),
    [
        (14, (900, 700), (840, 20)),
        (40, (1100, 900), (490, 300)),  # across the edges of pieces
        (40, (3000, 2100), (2880, 1990)),
        (200, (900, 700), (250, 150)),
        (900, (2600, 2200), (50, 100)),
    ],
)
def test_small_and_large_ones(finder: FaceFinder, face_px: int, size: tuple[int, int], at: tuple[int, int]) -> None:
    pixels, face = scene(face_px, size, at)
    (found,) = finder.find(pixels)
    assert iou(found, face) > 0.5


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_whichever_side_is_up(finder: FaceFinder, quarters: int) -> None:
    pixels, face = scene(90, (500, 400), (60, 100))
    found = finder.find(np.rot90(pixels, -quarters))
    sides = (face.x1, face.y1, face.x2, face.y2)
    height = 400
    turned = {
        1: Area(height - sides[3], sides[0], height - sides[1], sides[2]),
        2: Area(500 - sides[2], height - sides[3], 500 - sides[0], height - sides[1]),
        3: Area(sides[1], 500 - sides[2], sides[3], 500 - sides[0]),
    }[quarters]
    assert max(iou(one, turned) for one in found) > 0.5


def test_the_same_without_openvino(finder: FaceFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("openvino")

    pixels, _ = scene(40, (600, 400), (100, 50))
    expected = finder.find(pixels)
    monkeypatch.setattr(runtime, "_openvino", missing)  # it is installed here; on other machines it cannot be
    found = FaceFinder((YuNet(2),), Looking()).find(pixels)
    assert len(found) == len(expected) == 1
    assert iou(found[0], expected[0]) > 0.9
    assert found[0].score == pytest.approx(expected[0].score, abs=0.03)


def test_thoroughly_with_two_networks() -> None:
    pixels, face = scene(24, (400, 300), (100, 150))
    found = FaceFinder((YuNet(1), RetinaFace(None, 1)), Looking(**THOROUGH)).find(pixels)
    assert max(iou(one, face) for one in found) > 0.5


@pytest.mark.parametrize("wrong", [{"min_score": 0.0}, {"scales": ()}, {"scales": (9.0,)}, {"turned": -1.0}])
def test_settings_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Looking(**wrong)  # type: ignore[arg-type]
