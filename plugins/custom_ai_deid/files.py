"""Image files to pixels and back to a file of the same kind, without metadata."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import get_sampling

from custom_ai.errors import N_, ImageError
from custom_ai_deid import formats

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What is handled. A JPEG with further pictures behind it, which are left out, is called MPO by Pillow."""
QUALITY = 95
"""For files whose own tables cannot be used again."""
_TIFF_WAYS = {"tiff_lzw", "tiff_adobe_deflate", "packbits"}
_LEFTOVERS = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif", "comment", "photoshop", "date:create"}

Image.init()


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded file."""

    data: bytes
    """The file itself."""
    format: str
    pixels: NDArray[Any]
    """Upright: (height, width) or (height, width, 3 or 4), uint8, or uint16 for grey PNG and TIFF."""
    turned: bool
    """Whether the file needs its metadata to be upright."""
    facts: dict[str, Any]
    """What to write it anew with."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """What a detector is to see, (height, width, 3); transparency is not looked at."""
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return np.ascontiguousarray(pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def read(data: bytes, name: str, max_pixels: int) -> Opened:
    """Decode. Raises ImageError for anything that is not handled in full: nobody should think that it was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, which is left out anyway
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.size[0] * image.size[1] > max_pixels:
                raise ImageError(image=name, why=N_("it has more pixels than are allowed"))
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ImageError(image=name, why=N_("it is an animation or has several pages; split it first"))
            facts = _facts(image, data)
            image.load()
            before = image.size
            upright = ImageOps.exif_transpose(image)
            turned = upright.size != before or image.getexif().get(0x0112, 1) != 1
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever their parsers meet
        raise ImageError(image=name, why=N_("it is not an image that can be decoded, or it is truncated")) from error
    pixels = _pixels(upright)
    if image.mode in ("CMYK", "YCCK", "LAB"):
        facts.pop("icc_profile", None)  # it described the other colours
        facts["tables"] = None
    return Opened(data, image.format or "", pixels, turned, facts)


def write(opened: Opened, pixels: NDArray[Any]) -> bytes:
    """A new file of the same kind. Blocks of a JPEG that did not change stay as they were, but for rounding."""
    image = Image.fromarray(pixels)
    kind, facts = opened.format, opened.facts
    keep: dict[str, Any] = {"icc_profile": facts["icc_profile"]} if facts.get("icc_profile") else {}
    if kind in ("JPEG", "MPO"):
        kind = "JPEG"
        if facts.get("tables"):
            keep |= {"qtables": facts["tables"], "subsampling": facts["sampling"]}
        else:
            keep |= {"quality": QUALITY, "subsampling": 0}
        keep["progressive"] = facts["progressive"]
    elif kind == "WEBP":
        keep |= {"lossless": True} if facts["lossless"] else {"quality": QUALITY}
    elif kind == "TIFF" and facts["compression"] in _TIFF_WAYS:
        keep["compression"] = facts["compression"]
    elif kind == "GIF":
        ways = Image.Quantize.FASTOCTREE if image.mode == "RGBA" else Image.Quantize.MEDIANCUT
        image = image.quantize(256, ways, dither=Image.Dither.NONE)
    if kind in ("BMP", "GIF"):
        keep = {}
    buffer = io.BytesIO()
    image.save(buffer, kind, **keep)
    done = buffer.getvalue()
    stripped = formats.strip(done)
    return done if stripped is None else stripped


def metadata_left(data: bytes) -> list[str]:
    """Names of what is still in a file besides the image and its colours; empty when all is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        left = sorted(_LEFTOVERS & {*image.info})
        if image.format == "TIFF":
            tags = {*getattr(image, "tag_v2", {})}
            left += [f"TIFF tag {tag}" for tag in sorted(tags - _TIFF_TAGS)]
        else:
            left += [f"EXIF tag {tag}" for tag in image.getexif()]
        left += [f"text {name}" for name in getattr(image, "text", {})]
        if getattr(image, "n_frames", 1) > 1:
            left.append("further pictures")
    return left


_TIFF_TAGS = {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 296, 317, 320, 338, 339, 34675}
"""Those without which a TIFF cannot be shown, and the colour profile."""


def _facts(image: Image.Image, data: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
    if image.format in ("JPEG", "MPO"):
        # -1: a sampling that Pillow has no word for
        sampling = get_sampling(image) if image.mode == "RGB" else 0
        facts |= {
            "tables": getattr(image, "quantization", None) if sampling >= 0 else None,
            "sampling": sampling,
            "progressive": bool(image.info.get("progressive")),
        }
    elif image.format == "WEBP":
        facts["lossless"] = formats.is_lossless_webp(data)
    elif image.format == "TIFF":
        facts["compression"] = image.info.get("compression")
    return facts


def _pixels(image: Image.Image) -> NDArray[Any]:
    if image.mode in ("L", "RGB", "RGBA"):
        return np.array(image)
    if image.mode.startswith("I;16"):
        return np.array(image, dtype=np.uint16)
    if image.mode in ("1", "LA", "La", "P", "PA", "RGBa") and (
        "transparency" in image.info or image.mode not in ("1", "P")
    ):
        return np.array(image.convert("RGBA"))
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
        return np.array(image.convert("RGB"))
    raise ImageError(image=image.mode, why=N_("its kind of pixels is not handled"))
