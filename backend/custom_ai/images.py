"""Image files to upright RGB images. Pure: no network, no Label Studio."""

from __future__ import annotations

import io
import math
import threading
import warnings

import numpy as np
from PIL import Image

from custom_ai.errors import N_, CustomAIError, ImageError
from custom_ai.types import ImageSize

# Pillow's own guard warns at 89 million pixels, whatever we allow; ours is checked before decoding.
Image.MAX_IMAGE_PIXELS = None

Image.init()
_WANTED = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "JPEG2000", "PPM", "AVIF")
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)
"""Raster formats only (Pillow would start Ghostscript for others), as far as this Pillow has them."""

EMPTY = N_("the file is empty")
UNDECODABLE = N_("it is not an image that can be decoded, or it is truncated")
TOO_MANY_PIXELS = N_("it has more pixels than CUSTOM_AI_IMAGE_MAX_PIXELS allows")

_ORIENTATION = 0x0112
_warnings_lock = threading.Lock()


def decode_upright(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Decode to RGB, with the EXIF orientation applied as browsers do, transparency on white.

    Of an animation the first frame. Raises ImageError(name) for anything that cannot be decoded or
    has more than ``max_pixels``; the file name's extension means nothing.
    """
    return _bare(_decoded(data, name, max_pixels)[0])


def decode_pixels(
    data: bytes, name: str, max_pixels: int, side: int = 0
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], ImageSize]:
    """The same as an array (height, width, 3) uint8 RGB, and the size of the upright image in full.

    A JPEG whose longer side is a multiple of ``side`` (0: none is) is decoded to a half, a quarter or an eighth of
    its size, as long as ``side`` pixels are left: a large photo takes a fifth of the time. Raises ImageError.
    """
    image, size = _decoded(data, name, max_pixels, side)
    return np.asarray(image), size


def is_turned(data: bytes) -> bool:
    """Whether the EXIF orientation of an image that can be decoded says that it has to be turned to be upright."""
    image = _open(data)
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (image.getexif().get(_ORIENTATION) or 1) != 1


def _decoded(data: bytes, name: str, max_pixels: int, side: int = 0) -> tuple[Image.Image, ImageSize]:
    """Upright and RGB, perhaps reduced, and the upright size in full."""
    if not data:
        raise ImageError(image=name, why=EMPTY)
    try:
        image = _open(data)
        full = image.size
        if full[0] * full[1] > max_pixels:
            raise ImageError(image=name, why=TOO_MANY_PIXELS)
        if side and max(full) >= 2 * side:
            share = side / max(full)
            image.draft(None, (math.ceil(full[0] * share), math.ceil(full[1] * share)))
        reduced = image.size
        image.load()
        upright = _upright(image)
        if reduced == full:
            full = upright.size
        elif upright.size != reduced:  # turned by a quarter
            full = full[::-1]
        return upright if upright.mode == "RGB" else _rgb(upright), ImageSize(*full)
    except CustomAIError:
        raise
    except Exception as error:
        raise ImageError(image=name, why=UNDECODABLE) from error


def _open(data: bytes) -> Image.Image:
    # Pillow warns about damaged metadata, which we do not need. The lock keeps threads from mixing up
    # the saved filters; only headers are read under it.
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=FORMATS)


def _upright(image: Image.Image) -> Image.Image:
    """Turned by its EXIF orientation, which Pillow has already done (and removed) for TIFF."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        orientation = image.getexif().get(_ORIENTATION)
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation or 1)
    return image if turned is None else image.transpose(turned)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_numbers(np.asarray(image, dtype=np.float64))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _bare(image: Image.Image) -> Image.Image:
    """A plain image without the file's metadata; `tRNS` of RGB images is ignored, as it is rare."""
    plain = image.copy() if type(image) is Image.Image else image.convert("RGB").copy()
    plain.info = {}
    return plain


def _from_numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image.Image:
    """Grey values of 16 or more bits, or floats: scaled by the range that they seem to be in."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if top <= 1.0:
        scale = 255.0
    elif top <= 255.0:
        scale = 1.0
    else:
        scale = 255.0 / max(65535.0, top)
    grey = np.clip(values * scale, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
