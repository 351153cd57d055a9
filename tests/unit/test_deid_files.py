"""Files: nothing is left in them but the image, and what of the image was not to change has not."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from custom_ai.errors import ImageError
from custom_ai_deid import files, formats

SECRET = b"SECRET-52.5200-13.4050"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).resize(size).convert(mode)


def saved(image: Image.Image, kind: str, **values: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **values)
    return buffer.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    made = Image.Exif()
    made[0x010E] = SECRET.decode()
    made[0x0112] = orientation
    made.get_ifd(0x8825)[1] = "N"
    return made


def jpeg(orientation: int = 1, **values: Any) -> bytes:
    """A JPEG with everything that phones and programs leave in it."""
    plain = saved(picture(), "JPEG", exif=exif(orientation), icc_profile=PROFILE, comment=SECRET, **values)
    extra = b"".join(
        bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
        for marker, body in (
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + SECRET),
            (0xED, b"Photoshop 3.0\x008BIM\x04\x04" + SECRET),
            (0xE2, b"MPF\0" + SECRET),
            (0xE0, b"JFXX\0\x10" + SECRET),
            (0xEB, SECRET),
        )
    )
    return plain[:2] + extra + plain[2:] + b"a film behind the picture" + SECRET


def text_png() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET.decode())
    info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return saved(picture("RGBA"), "PNG", pnginfo=info, exif=exif(), icc_profile=PROFILE, dpi=(300, 300)) + SECRET


def webp(**values: Any) -> bytes:
    return saved(picture(), "WEBP", exif=exif().tobytes(), xmp=SECRET, icc_profile=PROFILE, **values)


@pytest.mark.parametrize(
    "data",
    [jpeg(), jpeg(progressive=True), text_png(), webp(), webp(lossless=True)],
    ids=["jpeg", "progressive", "png", "webp", "lossless webp"],
)
def test_metadata_go_and_pixels_stay_as_they_are(data: bytes) -> None:
    assert SECRET in data
    stripped = formats.strip(data)
    assert stripped is not None
    assert SECRET not in stripped
    assert files.metadata_left(stripped) == []
    before, after = files.read(data, "a", 10**6), files.read(stripped, "a", 10**6)
    assert after.facts["icc_profile"] == PROFILE
    assert np.array_equal(before.pixels, after.pixels)
    assert formats.strip(stripped) == stripped


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF"])
def test_other_kinds_are_written_anew(kind: str) -> None:
    values: dict[str, Any] = {"GIF": {"comment": SECRET}, "TIFF": {"exif": exif(), "compression": "tiff_lzw"}}.get(
        kind, {}
    )
    data = saved(picture("P" if kind == "GIF" else "RGB"), kind, **values)
    assert formats.strip(data) is None
    opened = files.read(data, "a", 10**6)
    written = files.write(opened, opened.pixels)
    assert SECRET not in written
    assert files.metadata_left(written) == []
    assert np.abs(files.read(written, "a", 10**6).pixels.astype(int) - opened.pixels).mean() < (
        8 if kind == "GIF" else 1
    )


def test_metadata_are_seen() -> None:
    assert files.metadata_left(jpeg())
    assert files.metadata_left(text_png())
    assert files.metadata_left(webp())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_by_exif(orientation: int) -> None:
    opened = files.read(jpeg(orientation), "a.jpg", 10**6)
    assert opened.pixels.shape[:2] == ((48, 32) if orientation > 4 else (32, 48))
    assert opened.turned == (orientation != 1)


def test_blocks_of_a_jpeg_that_do_not_change_stay_as_they_are() -> None:
    soft = picture(size=(6, 4)).resize((192, 128), Image.Resampling.BICUBIC)
    opened = files.read(saved(soft, "JPEG", quality=71, subsampling=2), "a.jpg", 10**6)
    changed = opened.pixels.copy()
    changed[:32, :32] = 0
    again = files.read(files.write(opened, changed), "a.jpg", 10**6)
    assert again.facts["tables"] == opened.facts["tables"]
    assert again.facts["sampling"] == opened.facts["sampling"] == 2
    difference = np.abs(again.pixels[48:, 48:].astype(int) - opened.pixels[48:, 48:])
    assert difference.mean() < 0.5
    assert difference.max() <= 6


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("I;16", "PNG"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
    ],
)
def test_kinds_of_pixels(mode: str, kind: str) -> None:
    image = Image.fromarray(np.arange(1536, dtype=np.uint16).reshape(32, 48)) if mode == "I;16" else picture(mode)
    opened = files.read(saved(image, kind), "a", 10**6)
    assert opened.rgb.shape == (32, 48, 3)
    again = files.read(files.write(opened, opened.pixels), "a", 10**6)
    assert again.pixels.shape[:2] == (32, 48)
    if kind == "PNG":
        assert np.array_equal(again.pixels, opened.pixels)


def test_what_cannot_be_handled_in_full_is_refused() -> None:
    frames = [picture(), picture().rotate(180)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        film = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match="several pages"):
            files.read(film, f"film.{kind}", 10**6)
    with pytest.raises(ImageError, match="more pixels than are allowed"):
        files.read(jpeg(), "a.jpg", 100)
    for damaged in (b"", b"GIF89a", jpeg()[:700], saved(picture(), "PNG")[:100]):
        with pytest.raises(ImageError, match="cannot be used"):
            files.read(damaged, "a", 10**6)


@pytest.mark.parametrize("data", [jpeg(), text_png(), webp()], ids=["jpeg", "png", "webp"])
def test_damaged_files_never_surprise(data: bytes) -> None:
    random = np.random.default_rng(3)
    for _ in range(300):
        hurt = bytearray(data[: random.integers(3, len(data))])
        for place in random.integers(0, len(hurt), 3):
            hurt[place] = random.integers(0, 256)
        with suppress(formats.Damaged):
            formats.strip(bytes(hurt))


def test_the_published_picture_is_free_of_metadata(request: pytest.FixtureRequest) -> None:
    here = Path(__file__).parents[1] / "data" / "astronaut.jpg"
    assert files.metadata_left(here.read_bytes()) == []
