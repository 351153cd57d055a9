"""Decoding: upright, RGB, and never anything but ImageError."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from custom_ai.errors import ImageError
from custom_ai.images import decode_pixels, decode_upright
from custom_ai.types import ImageSize

LIMIT = 10_000


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quarters() -> Image.Image:
    """40x20: red, green above; blue, white below."""
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 20, 10))
    image.paste("lime", (20, 0, 40, 10))
    image.paste("blue", (0, 10, 20, 20))
    return image


def corners(image: Image.Image) -> list[str]:
    """Colours of the quarters, left to right, top to bottom."""
    names = {(255, 0, 0): "r", (0, 255, 0): "g", (0, 0, 255): "b", (255, 255, 255): "w"}
    array = np.asarray(image)
    height, width = array.shape[:2]
    found = []
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            value = array[y, x]
            found.append(names[tuple(255 if part > 128 else 0 for part in value)])  # type: ignore[index]
    return found


@pytest.mark.parametrize(
    ("orientation", "size", "colours"),
    [
        (1, (40, 20), "rgbw"),
        (2, (40, 20), "grwb"),
        (3, (40, 20), "wbgr"),
        (4, (40, 20), "bwrg"),
        (5, (20, 40), "rbgw"),
        (6, (20, 40), "brwg"),
        (7, (20, 40), "wgbr"),
        (8, (20, 40), "gwrb"),
        (99, (40, 20), "rgbw"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_once(kind: str, orientation: int, size: tuple[int, int], colours: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_upright(encoded(quarters(), kind, exif=exif), "a", LIMIT)
    assert (image.mode, image.size, "".join(corners(image))) == ("RGB", size, colours)
    assert not image.getexif()
    for side, times in ((0, 1), (20, 2 if kind == "JPEG" else 1), (11, 2 if kind == "JPEG" else 1)):
        pixels, full = decode_pixels(encoded(quarters(), kind, exif=exif), "a", LIMIT, side)
        assert full == ImageSize(*size)
        assert pixels.shape == (size[1] // times, size[0] // times, 3)
        assert "".join(corners(Image.fromarray(pixels))) == colours


def test_large_photos_are_decoded_small() -> None:
    image = Image.radial_gradient("L").resize((640, 480)).convert("RGB")
    data = encoded(image, "JPEG", quality=95)
    whole, size = decode_pixels(data, "a", 640 * 480)
    small, same = decode_pixels(data, "a", 640 * 480, 80)
    assert (whole.shape, small.shape, size, same) == ((480, 640, 3), (60, 80, 3), ImageSize(640, 480), size)
    mean = whole.reshape(60, 8, 80, 8, 3).mean(axis=(1, 3))
    assert np.abs(mean - small).max() < 4
    with pytest.raises(ImageError):
        decode_pixels(data, "a", 640 * 480 - 1, 80)
    with pytest.raises(ImageError):
        decode_pixels(data[: len(data) // 2], "a", 640 * 480, 80)


@pytest.mark.parametrize(
    ("image", "kind", "value"),
    [
        (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), "PNG", (255, 0, 0)),
        (Image.new("LA", (4, 4), (0, 0)), "PNG", (255, 255, 255)),
        (Image.new("L", (4, 4), 7), "PNG", (7, 7, 7)),
        (Image.new("1", (4, 4), 1), "PNG", (255, 255, 255)),
        (Image.new("P", (4, 4)), "GIF", (0, 0, 0)),
        (Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "TIFF", (0, 0, 0)),
        (Image.fromarray(np.full((4, 4), 32896, np.uint16)), "PNG", (128, 128, 128)),
        (Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF", (127, 127, 127)),
        (Image.fromarray(np.full((4, 4), 200, np.int32)), "TIFF", (200, 200, 200)),
    ],
)
def test_modes(image: Image.Image, kind: str, value: tuple[int, int, int]) -> None:
    decoded = decode_upright(encoded(image, kind), "a", LIMIT)
    assert (decoded.mode, decoded.getpixel((1, 1))) == ("RGB", value)


def test_palette_with_transparency_per_entry() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = encoded(image, "PNG", transparency=bytes([255, 0]))
    assert decode_upright(data, "a", LIMIT).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_frames(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    pixel = decode_upright(data, "a", LIMIT).getpixel((3, 3))
    assert isinstance(pixel, tuple) and pixel[0] > 200 and pixel[2] < 60


PNG = encoded(quarters(), "PNG")
JPEG = encoded(quarters(), "JPEG")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        PNG[:60],
        PNG[:-30],
        PNG[:40] + b"\x00" * 20 + PNG[60:],
        JPEG[: len(JPEG) // 2],
        JPEG[:20],
        encoded(quarters(), "GIF")[:30],
        encoded(quarters(), "WEBP")[:40],
        encoded(quarters(), "TIFF")[:50],
        encoded(quarters(), "BMP")[:100],
    ],
)
def test_damaged_files(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"picture\.png"):
        decode_upright(data, "picture.png", LIMIT)


def test_damaged_metadata_does_not_matter() -> None:
    data = encoded(quarters(), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff garbage")
    assert decode_upright(data, "a", LIMIT).size == (40, 20)


def test_bombs_are_refused_before_decoding() -> None:
    with pytest.raises(ImageError, match="CUSTOM_AI_IMAGE_MAX_PIXELS"):
        decode_upright(PNG, "a", 799)
    assert decode_upright(PNG, "a", 800).size == (40, 20)
    bomb = bytearray(PNG)
    bomb[16:24] = b"\x00\x01\x86\xa0" * 2  # says that it is 100,000 x 100,000
    with pytest.raises(ImageError):
        decode_upright(bytes(bomb), "a", LIMIT)
