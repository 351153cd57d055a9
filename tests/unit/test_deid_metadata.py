"""What another program's library (exiv2) still reads in our files: nothing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyexiv2
import pytest
from PIL import Image

from custom_ai_deid.areas import Area
from custom_ai_deid.deidentify import Deidentifier, Options

ASTRONAUT = Path(__file__).parents[1] / "data" / "astronaut.jpg"
OF_THE_PIXELS = {
    f"Exif.Image.{name}"
    for name in (
        *("NewSubfileType", "ImageWidth", "ImageLength", "BitsPerSample", "Compression", "PhotometricInterpretation"),
        *("FillOrder", "StripOffsets", "SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "PlanarConfiguration"),
        *("Predictor", "ExtraSamples", "SampleFormat"),
    )
}
"""A TIFF stores how its pixels lie in the file in the same tags; nothing about who, where and when."""
EXIF = {
    "Exif.Image.ImageDescription": "Ann at home",
    "Exif.Image.Make": "Camera",
    "Exif.Image.DateTime": "2026:01:02 03:04:05",
    "Exif.Photo.BodySerialNumber": "123456",
    "Exif.GPSInfo.GPSLatitudeRef": "N",
    "Exif.GPSInfo.GPSLatitude": "52/1 31/1 12/1",
}
IPTC = {"Iptc.Application2.Caption": "Ann", "Iptc.Application2.City": "Berlin"}
XMP = {"Xmp.dc.creator": ["Ann"], "Xmp.exif.GPSLatitude": "52,31.2N"}


@pytest.fixture(scope="module")
def deidentifier() -> Deidentifier:
    return Deidentifier(Options())


def full_of_facts(kind: str) -> bytes:
    """The photo with all that exiv2 can write into such a file."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(ASTRONAUT.read_bytes())).save(buffer, kind)
    with pyexiv2.ImageData(buffer.getvalue()) as image:
        image.modify_exif(EXIF)
        image.modify_xmp(XMP)
        if kind != "WEBP":  # which has no place for them
            image.modify_iptc(IPTC)
        if kind in ("JPEG", "PNG"):
            image.modify_comment("Ann")
        if kind == "JPEG":
            thumbnail = io.BytesIO()
            Image.open(io.BytesIO(ASTRONAUT.read_bytes())).resize((80, 64)).save(thumbnail, "JPEG")
            image.modify_thumbnail(thumbnail.getvalue())
        return bytes(image.get_bytes())


def fields(data: bytes) -> Iterator[str]:
    """All that exiv2 reads besides the pixels and the colour profile."""
    with pyexiv2.ImageData(data) as image:
        yield from {*image.read_exif()} - OF_THE_PIXELS
        yield from image.read_iptc()
        yield from image.read_xmp()
        if image.read_comment():
            yield "comment"
        if image.read_raw_xmp():
            yield "XMP packet"
        if image.read_thumbnail():
            yield "thumbnail"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("faces", [True, False], ids=["faces", "no faces"])
def test_exiv2_finds_nothing_either(deidentifier: Deidentifier, kind: str, faces: bool) -> None:
    before = full_of_facts(kind)
    assert len([*fields(before)]) >= 8
    done = deidentifier.process(before, f"a.{kind.lower()}", drawn=[Area(83, 61, 173, 176)] if faces else [])
    assert done.rewritten == (faces or kind == "TIFF")
    assert [*fields(done.data)] == []
    assert b"Ann" not in done.data
    assert b"Berlin" not in done.data
