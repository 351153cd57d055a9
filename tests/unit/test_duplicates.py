from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from custom_ai.demo.scenes import make_scenes
from custom_ai.duplicates import fingerprint, groups


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    folder: Path = tmp_path_factory.mktemp("scenes")
    return [Image.open(scene.path).convert("RGB") for scene in make_scenes(folder, 8, seed=2)]


def again(image: Image.Image, change: str) -> Image.Image:
    width, height = image.size
    if change == "half the size":
        return image.resize((width // 2, height // 2))
    if change == "brighter":
        return ImageEnhance.Brightness(image).enhance(1.1)
    if change == "cropped":
        return image.crop((width // 50, height // 50, width - width // 50, height - height // 50))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


def test_different_pictures_stand_alone(pictures: list[Image.Image]) -> None:
    assert groups([fingerprint(one) for one in pictures]) == list(range(8))


@pytest.mark.parametrize("change", ["half the size", "brighter", "cropped", "JPEG at quality 40"])
def test_the_same_picture_again_is_found(pictures: list[Image.Image], change: str) -> None:
    prints = [fingerprint(one) for one in pictures] + [fingerprint(again(pictures[3], change))]
    assert groups(prints)[8] == 3


def test_a_chain_of_neighbours_is_one_group(pictures: list[Image.Image]) -> None:
    first = fingerprint(pictures[0])
    second, third = first.copy(), first.copy()
    second[:60] = ~second[:60]
    third[:120] = ~third[:120]  # too far from the first, near enough to the second
    assert groups([first, third]) == [0, 1]
    assert groups([first, second, third]) == [0, 0, 0]


def test_nothing_at_all() -> None:
    assert groups([]) == []


def test_black_frames_stand_alone() -> None:
    assert groups([fingerprint(Image.new("RGB", (64, 64))) for _ in range(3)]) == [0, 1, 2]
