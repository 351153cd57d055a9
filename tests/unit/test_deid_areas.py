"""Areas of faces: turned, merged, widened, and made unrecognisable."""

from __future__ import annotations

import numpy as np
import pytest

from custom_ai_deid.areas import Area, inside, merge, turn_back, widen
from custom_ai_deid.hiding import Hiding, hide


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turned_back(quarters: int) -> None:
    image = np.zeros((40, 70), np.uint8)
    image[5:9, 20:32] = 1
    rows, columns = np.nonzero(np.rot90(image, quarters))
    seen = Area(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert turn_back(seen, quarters, 70, 40) == Area(20, 5, 32, 9)


def test_of_two_looks_at_one_face_the_surer_stays() -> None:
    sure, unsure, other = Area(0, 0, 10, 10, 0.9), Area(1, 0, 11, 10, 0.5), Area(30, 0, 40, 10, 0.4)
    assert merge([other, unsure, sure]) == [sure, other]


def test_what_a_person_has_drawn_is_never_merged_away() -> None:
    drawn = Area(1, 0, 11, 10, source="drawn")
    assert set(merge([Area(0, 0, 10, 10, 1.0), drawn])) == {drawn}
    assert merge([drawn, drawn]) == [drawn, drawn]


def test_whole_pixels_inside_the_image() -> None:
    assert inside(Area(-5, 2.5, 7.2, 300), 100, 50) == (0, 2, 8, 50)
    assert inside(Area(100, 0, 120, 10), 100, 50) is None
    assert widen(Area(10, 10, 20, 30), 1.5) == Area(7.5, 5, 22.5, 35)


def noise(*shape: int, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)


@pytest.mark.parametrize("style", ["mosaic", "blur", "solid"])
@pytest.mark.parametrize("form", ["box", "ellipse"])
@pytest.mark.parametrize("pixels", [noise(60, 80, 3), noise(60, 80), noise(60, 80, 4), noise(60, 80, kind=np.uint16)])
def test_only_the_area_changes(style: str, form: str, pixels: np.ndarray) -> None:
    area, changed = Area(20.4, 10, 52, 47.5), pixels.copy()
    hide(changed, [area], Hiding(style, form))  # type: ignore[arg-type]
    x1, y1, x2, y2 = inside(widen(area, 2**0.5) if form == "ellipse" else area, 80, 60)  # type: ignore[misc]
    outside = np.ones((60, 80), bool)
    outside[y1:y2, x1:x2] = False
    assert np.array_equal(changed[outside], pixels[outside])
    different = changed[10:48, 20:52] != pixels[10:48, 20:52]
    if pixels.ndim == 3:
        different = different[..., :3].any(axis=2)
    assert different.mean() > 0.98  # of the whole area, corners too
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        assert np.array_equal(changed[..., 3], pixels[..., 3])


@pytest.mark.parametrize("side", [7, 32, 333])
def test_a_mosaic_is_as_coarse_for_every_face(side: int) -> None:
    pixels = noise(side, side, 3)
    hide(pixels, [Area(0, 0, side, side)], Hiding(cells=4))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 16


def test_a_mosaic_shows_means() -> None:
    pixels = np.zeros((8, 8), np.uint16)
    pixels[:, 4:] = 60000
    hide(pixels, [Area(0, 0, 8, 8)], Hiding(cells=1))
    assert np.unique(pixels).tolist() == [30000]


def test_impossible_settings() -> None:
    with pytest.raises(ValueError, match="1 to 16 cells, got 40"):
        Hiding(cells=40)
